import { readFileSync } from "node:fs"
import type { Choices } from "../../src/design/dimensions.ts"
import { EventLog, type LogCategory } from "../../src/host/eventLog.ts"
import type { LguestDevice, Pending } from "../../src/host/devLguest.ts"
import type { Hosted } from "../../src/modules/hosted.ts"
import { bootLguest } from "../../src/modules/lguest/boot.ts"
import { code, symbols } from "./guest.gen.ts"

/* Runs the little guests of guest.S on a whole simulated PC with its host. */

const core = new WebAssembly.Module(readFileSync(new URL("../../dist/machine/core.wasm", import.meta.url)))
const image = Uint8Array.from(Buffer.from(code, "base64"))
const LOAD = 0x10_0000
const BOOT_PARAMS = 0x1000
export const RESULTS = 0x3000
export const GUEST_BYTES = 0x40_0000
/** Enough for anything here, and an end for what should not go on. */
const LIMIT = 50_000_000

export interface GuestOptions {
  readonly pae?: boolean
  readonly log?: ReadonlyArray<LogCategory>
  readonly design?: Choices
}

export class TestGuest {
  readonly hosted: Hosted
  readonly lines: Array<string> = []

  constructor(entry: keyof typeof symbols, options: GuestOptions = {}) {
    const log = new EventLog(new Set(options.log ?? []), (line) => this.lines.push(line))
    this.hosted = bootLguest({
      core,
      guestBytes: GUEST_BYTES,
      startMs: 1_000_000_000_000,
      log,
      pae: options.pae ?? false,
      design: options.design,
    })
    this.hosted.machine.ram.copyIn(this.hosted.guestBase + LOAD, image)
    this.write(BOOT_PARAMS, options.pae === true ? 1 : 0)
    this.hosted.device.initialize({ entry: LOAD + symbols[entry], bootParams: BOOT_PARAMS })
  }

  /** Runs until the guest has something for the launcher; idle time passes by itself. */
  run(limit = LIMIT): Pending {
    const { device, kernel } = this.hosted
    for (;;) {
      const pending = device.read(limit)
      if (pending.kind !== "idle") return pending
      const until = Math.min(pending.until, limit)
      if (until === Infinity) return pending
      kernel.processor.skip(Math.max(0, until - kernel.now))
      if (kernel.now >= limit) return { kind: "slice" }
    }
  }

  /** Closes the guest and gives two new ones half of its memory each, on the same host. */
  divide(
    entries: ReadonlyArray<keyof typeof symbols>,
    designs: ReadonlyArray<Choices> = [],
  ): ReadonlyArray<LguestDevice> {
    const { hosted } = this
    const bytes = GUEST_BYTES / 2
    hosted.device.close()
    return entries.map((entry, i) => {
      const base = hosted.guestBase + i * bytes
      hosted.machine.ram.fill(base, bytes, 0)
      hosted.machine.ram.copyIn(base + LOAD, image)
      const device = hosted.open(base, bytes, undefined, designs[i])
      device.initialize({ entry: LOAD + symbols[entry], bootParams: BOOT_PARAMS })
      return device
    })
  }

  /** Two guests take turns on the processor until both have ended; how each has. */
  takeTurns(devices: ReadonlyArray<LguestDevice>): ReadonlyArray<Pending | undefined> {
    const { kernel } = this.hosted
    const ends: Array<Pending | undefined> = [undefined, undefined]
    // Slices of prime lengths, so that they interrupt one another everywhere.
    for (let i = 0; i < 20_000 && ends.includes(undefined); i++) {
      const n = i % 2
      if (ends[n] !== undefined) continue
      const pending = devices[n]!.read(kernel.now + [211, 503][n]!)
      if (pending.kind === "shutdown" || pending.kind === "killed") ends[n] = pending
      else if (pending.kind === "idle") kernel.processor.skip(Math.min(pending.until - kernel.now, 1_000_000))
    }
    return ends
  }

  /** Lets `ns` pass for the host, whatever the guest does. */
  pass(ns: number): void {
    const { kernel } = this.hosted
    const end = kernel.now + ns
    while (kernel.now < end)
      if (kernel.drive(end) === "idle")
        kernel.processor.skip(Math.max(1, Math.min(end, kernel.nextEvent()) - kernel.now))
  }

  /** 32-bit word `index` of what the guest left in its results. */
  result(index: number): number {
    return this.read(RESULTS + 4 * index)
  }

  read(gpa: number): number {
    return this.hosted.machine.ram.read32(this.hosted.guestBase + gpa)
  }

  write(gpa: number, value: number): void {
    this.hosted.machine.ram.write32(this.hosted.guestBase + gpa, value)
  }
}
