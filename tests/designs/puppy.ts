import { readFileSync } from "node:fs"
import type { Choices } from "../../src/design/dimensions.ts"
import { EventLog } from "../../src/host/eventLog.ts"
import { parseElf } from "../../src/launcher/elf.ts"
import { type Host, HostedGuest, type HostedEvent } from "../../src/launcher/hosted.ts"
import { bootHost, type Hosted } from "../../src/modules/index.ts"

/* puppy under any design, also one that no rule allows: what `designs check` refuses, this builds. */

const file = (path: string) => new Uint8Array(readFileSync(new URL(`../../${path}`, import.meta.url)))

export const core = new WebAssembly.Module(file("dist/machine/core.wasm"))
export const MEMORY = 16 * 2 ** 20
const SLICE = 10_000_000
/** Simulated time after which a guest that still runs is taken to be stuck. */
const LONGEST = 20_000_000_000
/** Instructions after which it is, too, for one that does nothing but fault. */
const MOST_INSTRUCTIONS = 200_000_000
const PROMPT = /[#$] $/

export interface Ended {
  /** Why it came to its end; `stuck`: it did not. */
  readonly kind: HostedEvent["kind"] | "stuck"
  /** With which status it powered off; -1: it did not. */
  readonly status: number
  /** Why it was killed. */
  readonly cause: string
  /** What its console said, without carriage returns. */
  readonly output: string
}

/** A guest of puppy's in a host, with what it has printed. */
export class Puppy {
  readonly guest: HostedGuest
  private readonly chunks: Array<Uint8Array> = []

  constructor(host: Host, arch: Choices["arch"]) {
    this.guest = new HostedGuest({
      host,
      memoryBytes: MEMORY,
      kernel: parseElf(file(`guests/images/puppy-${arch}.elf`), { memoryBytes: MEMORY, reserved: undefined }),
      cmdline: "",
      initrd: file(`guests/images/initramfs-${arch}.cpio`),
      consoleOut: (bytes) => this.chunks.push(bytes.slice()),
    })
  }

  get output(): string {
    return Buffer.concat(this.chunks).toString("utf8").replaceAll("\r", "")
  }

  /** Whether the shell waits for a line. */
  get waits(): boolean {
    return PROMPT.test(this.output)
  }

  type(line: string): void {
    this.guest.input(Buffer.from(`${line}\n`))
  }

  /** Types the lines, each at a prompt, until the guest ends; before each, `atPrompt` may look at the guest. */
  run(lines: ReadonlyArray<string>, atPrompt: () => void = () => undefined): Ended {
    const left = [...lines]
    const { guest } = this
    const { cpus } = guest.host.kernel
    const ended = (kind: Ended["kind"], how: Partial<Pick<Ended, "status" | "cause">> = {}): Ended => ({
      kind,
      status: -1,
      cause: "",
      output: this.output,
      ...how,
    })
    for (;;) {
      const event = guest.run(SLICE)
      if (event.kind === "killed") return ended("killed", { cause: event.death.cause })
      if (event.kind === "powerOff") return ended("powerOff", { status: event.status })
      if (event.kind === "reset") return ended("reset")
      if (event.kind === "idle" && left.length > 0 && this.waits) {
        atPrompt()
        this.type(left.shift()!)
      } else if (event.kind === "idle" && event.until === Infinity) return ended("stuck")
      else if (event.kind === "idle") guest.skip(event.until)
      if (guest.now > LONGEST || cpus.some(({ processor }) => processor.instructions > MOST_INSTRUCTIONS))
        return ended("stuck")
    }
  }
}

/** How large a host's only guest is, and how many processors run it; default: one virtual CPU on one processor, MEMORY. */
export interface Size extends Partial<Record<"vcpus" | "processors" | "bytes", number>> {
  /** The processors check late (docs/late-checks.md). */
  readonly lateChecks?: boolean
}

/** A host with the design's module, and a guest opened in it. */
export const bootDesign = (
  design: Choices,
  { vcpus = 1, processors = vcpus, bytes = MEMORY, lateChecks = false }: Size = {},
): Promise<Hosted> =>
  bootHost(design.arch === "x86_64" ? { module: "lguest64" } : { module: "lguest", pae: false }, {
    core,
    guestBytes: bytes,
    startMs: 1_170_000_000_000,
    log: EventLog.off,
    design,
    vcpus,
    processors,
    seed: 7,
    lateChecks,
  })

/** puppy as that guest, before its first instruction. */
export const bootPuppy = async (design: Choices, size?: Pick<Size, "vcpus" | "processors">): Promise<Puppy> =>
  new Puppy(await bootDesign(design, size), design.arch)

/** Boots puppy and types the lines. */
export const runPuppy = async (design: Choices, lines: ReadonlyArray<string>): Promise<Ended> =>
  (await bootPuppy(design)).run(lines)
