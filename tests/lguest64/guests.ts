import { readFileSync } from "node:fs"
import type { LguestDevice, Pending } from "../../src/host/devLguest.ts"
import { EventLog, type LogCategory } from "../../src/host/eventLog.ts"
import type { Hosted } from "../../src/modules/hosted.ts"
import { bootLguest64 } from "../../src/modules/lguest64/boot.ts"
import { code, symbols } from "./guest.gen.ts"

/* Runs the little guests of guest.S on a whole simulated PC with its host. */

export const core = new WebAssembly.Module(readFileSync(new URL("../../dist/machine/core.wasm", import.meta.url)))
const image = Uint8Array.from(Buffer.from(code, "base64"))
const LOAD = 0x10_0000
export const RESULTS = 0x3000
export const GUEST_BYTES = 0x40_0000
/** Where the guests `user` and `kernel` find what the test wants to be run, guest-physical. */
export const USER_CODE = 0x1c_0000
export const KERNEL_CODE = 0x1f_0000
/** The same as the guest sees them. */
export const USER_TEXT = 0x40_0000n
const USER_STACK = 0x1d_0000
/** Enough for anything here, and an end for what should not go on. */
const LIMIT = 50_000_000

const KERNEL_TABLE = 0x63
const USER_TABLE = 0x67

export type Entry = keyof typeof symbols

/** A host with the module; its own guest is closed, tests open theirs. */
export const bootHost = (guestBytes: number, log: EventLog = EventLog.off): Hosted => {
  const hosted = bootLguest64({ core, guestBytes, startMs: 1_000_000_000_000, log })
  hosted.device.close()
  return hosted
}

/** Lays out a guest's memory: image and page tables. */
export const layOut = (hosted: Hosted, base: number): void => {
  const { ram } = hosted.machine
  ram.copyIn(base + LOAD, image)
  const entry = (table: number, index: number, value: number) => ram.write64(base + table + 8 * index, value, 0)
  entry(0x4000, 511, 0x5000 | KERNEL_TABLE)
  entry(0x5000, 510, 0x6000 | KERNEL_TABLE)
  entry(0x6000, 0, 0x7000 | KERNEL_TABLE)
  for (let i = 0; i < 512; i++) entry(0x7000, i, (i * 4096) | 3)
  entry(0x4000, 0, 0x8000 | USER_TABLE)
  entry(0x8000, 0, 0x9000 | USER_TABLE)
  // The kernel's first 2 MiB once more at 0, where it is when it changes to these tables.
  entry(0x9000, 0, 0x7000 | KERNEL_TABLE)
  entry(0x9000, 2, 0xe000 | USER_TABLE)
  entry(0x9000, 3, 0xf000 | USER_TABLE)
  for (let i = 0; i < 16; i++) entry(0xe000, i, (USER_CODE + i * 4096) | 7)
  for (let i = 0; i < 2; i++) entry(0xf000, i, (USER_STACK + i * 4096) | 7)
}

export class TestGuest {
  readonly hosted: Hosted
  readonly device: LguestDevice
  readonly base: number
  readonly lines: Array<string> = []

  /** On a host of its own, or on a given one at guest memory `base`. */
  constructor(entry: Entry, options: { log?: ReadonlyArray<LogCategory>; host?: Hosted; base?: number } = {}) {
    const log = new EventLog(new Set(options.log ?? []), (line) => this.lines.push(line))
    this.hosted = options.host ?? bootHost(GUEST_BYTES, log)
    this.base = options.base ?? this.hosted.guestBase
    layOut(this.hosted, this.base)
    this.device = this.hosted.open(this.base, GUEST_BYTES)
    this.device.initialize({ entry: LOAD + symbols[entry], bootParams: 0x1000 })
  }

  /** Runs until the guest has something for the launcher; idle time passes by itself. */
  run(limit = this.hosted.kernel.now + LIMIT): Pending {
    const { kernel } = this.hosted
    for (;;) {
      const pending = this.device.read(limit)
      if (pending.kind !== "idle") return pending
      const until = Math.min(pending.until, limit)
      if (until === Infinity) return pending
      kernel.processor.skip(Math.max(0, until - kernel.now))
      if (kernel.now >= limit) return { kind: "slice" }
    }
  }

  /** 64-bit result `index`. */
  result(index: number): bigint {
    return this.hosted.machine.ram.readBig(this.base + RESULTS + 8 * index)
  }

  setResult(index: number, value: bigint): void {
    this.hosted.machine.ram.writeBig(this.base + RESULTS + 8 * index, value)
  }

  put(gpa: number, bytes: ReadonlyArray<number> | Uint8Array): void {
    this.hosted.machine.ram.copyIn(this.base + gpa, Uint8Array.from(bytes))
  }
}
