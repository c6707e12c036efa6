import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import type { LguestDevice } from "../../src/host/devLguest.ts"
import { EventLog } from "../../src/host/eventLog.ts"
import { bootLguest } from "../../src/modules/lguest/boot.ts"
import type { Hosted } from "../../src/modules/hosted.ts"
import { bootLguest64 } from "../../src/modules/lguest64/boot.ts"
import { code as code32, symbols as symbols32 } from "../i386/guest.gen.ts"
import { symbols as symbols64 } from "../lguest64/guest.gen.ts"
import { KERNEL_CODE, layOut, USER_CODE } from "../lguest64/guests.ts"
import { fragment, Random } from "./fragments.ts"

/*
 * A hundred thousand fragments of random code, as kernels and as processes of guests of both modules. Whatever a fragment
 * does, it ends (by itself, by being killed, or by the limit), nothing is thrown, no page of the host that its own code
 * does not write has changed, and neither has the memory of another guest.
 *
 * FUZZ_FRAGMENTS and FUZZ_SEED run more of them, or others.
 */
const FRAGMENTS = Number(process.env["FUZZ_FRAGMENTS"] ?? 100_000)
const SEED = Number(process.env["FUZZ_SEED"] ?? 20070212)

const core = new WebAssembly.Module(readFileSync(new URL("../../dist/machine/core.wasm", import.meta.url)))
const GUEST_BYTES = 0x20_0000
const LOAD = 0x10_0000
const SHADOW_PAGES = 96
/** Bytes of a fragment, ns of a run, runs of a fragment (each device access ends one). */
const FRAGMENT_BYTES = 48
const LIMIT = 4_000
const READS = 12
/** Tables, stacks, shared pages, and the image. */
const OFTEN = [
  [0x0, 0x1_0000],
  [LOAD, LOAD + 0x3000],
] as const
/** Fragments between two looks at all of the host and at the other guest. */
const ROUND = 500

interface World {
  readonly name: string
  readonly long: boolean
  readonly boot: () => Hosted
  /** Where fragments lie, and the entry that leads to them. */
  readonly at: number
  readonly entry: number
  readonly prepare: (hosted: Hosted) => void
}

const config = { core, guestBytes: 2 * GUEST_BYTES, startMs: 0, log: EventLog.off }
const image32 = Uint8Array.from(Buffer.from(code32, "base64"))
const load32 = ({ machine, guestBase }: Hosted, pae: boolean) => {
  machine.ram.copyIn(guestBase + LOAD, image32)
  machine.ram.write32(guestBase + 0x1000, pae ? 1 : 0)
}
const world64 = (name: string, entry: keyof typeof symbols64, at: number): World => ({
  name: `lguest64, ${name}`,
  long: true,
  boot: () => bootLguest64(config),
  at,
  entry: LOAD + symbols64[entry],
  prepare: (hosted) => layOut(hosted, hosted.guestBase),
})
const world32 = (name: string, entry: keyof typeof symbols32, pae: boolean): World => ({
  name: `lguest${pae ? " with PAE" : ""}, ${name}`,
  long: false,
  boot: () => bootLguest({ ...config, pae }),
  at: 0x1ff000,
  entry: LOAD + symbols32[entry],
  prepare: (hosted) => load32(hosted, pae),
})

const WORLDS: ReadonlyArray<World> = [
  world64("kernel", "fuzz_kernel", KERNEL_CODE),
  world64("user", "fuzz_user", USER_CODE),
  world32("kernel", "fragment_kernel", false),
  world32("user", "fragment_user", false),
  world32("kernel", "fragment_kernel", true),
]

/** Looks at the machine's memory without going through it. */
class Watch {
  private readonly words: Uint32Array
  readonly pages: ReadonlyArray<number>
  private readonly sums = new Map<number, number>()
  private readonly neighbour: number

  /** Watches the host's pages that are in use now, but for those in `mutable`. */
  constructor(hosted: Hosted, mutable: ReadonlySet<number>) {
    const { ram } = hosted.machine
    this.words = new Uint32Array(hosted.machine.memory.buffer, ram.wasmAddress(0), ram.size / 4)
    const used: Array<number> = []
    for (let page = 0; page < hosted.guestBase / 4096; page++)
      if (!mutable.has(page) && hosted.kernel.frames.isTaken(page)) used.push(page)
    this.pages = used
    for (const page of used) this.sums.set(page, this.sum(page))
    this.neighbour = hosted.guestBase + GUEST_BYTES
    this.words.fill(0x5a5a1234, this.neighbour / 4, (this.neighbour + GUEST_BYTES) / 4)
  }

  sum(page: number): number {
    let h = 0x811c9dc5
    for (let i = page * 1024; i < (page + 1) * 1024; i++)
      if (this.words[i] !== 0) h = Math.imul(h ^ this.words[i]! ^ i, 0x01000193)
    return h >>> 0
  }

  /** Watched pages that are other than they were. */
  changed(): Array<number> {
    return this.pages.filter((page) => this.sum(page) !== this.sums.get(page))
  }

  neighbourTouched(): boolean {
    for (let i = this.neighbour / 4; i < (this.neighbour + GUEST_BYTES) / 4; i++)
      if (this.words[i] !== 0x5a5a1234) return true
    return false
  }
}

/** What a fragment came to. */
const runFragment = (hosted: Hosted, device: LguestDevice): string => {
  for (let reads = 0; reads < READS; reads++) {
    const pending = device.read(hosted.kernel.now + LIMIT)
    if (pending.kind === "io") device.trap(13, 0)
    else if (pending.kind === "idle") return "idle"
    else if (pending.kind !== "slice") return pending.kind
    else if (reads > 0) return "slice"
  }
  return "limit"
}

/** The host without guests for a while: its process beats a few times. */
const letTimePass = ({ kernel }: Hosted): void => {
  for (let i = 0; i < 4; i++)
    if (kernel.drive(kernel.now + 1_000_000) === "idle")
      kernel.processor.skip(Math.max(1, kernel.nextEvent() - kernel.now))
}

describe("random fragments of code", () => {
  it.each(WORLDS)(
    "of a $name hurt nobody else",
    (world) => {
      const hosted = world.boot()
      hosted.device.close()
      const { ram } = hosted.machine
      world.prepare(hosted)
      const pristine = ram.copyOut(hosted.guestBase, GUEST_BYTES)
      let started = 0
      const start = (bytes: Uint8Array): LguestDevice => {
        // What a fragment is likely to have written each time; everything now and then.
        if (started++ % 64 === 0) ram.copyIn(hosted.guestBase, pristine)
        for (const [from, to] of OFTEN) ram.copyIn(hosted.guestBase + from, pristine.subarray(from, to))
        ram.copyIn(hosted.guestBase + world.at, bytes)
        const device = hosted.open(hosted.guestBase, GUEST_BYTES, SHADOW_PAGES)
        device.initialize({ entry: world.entry, bootParams: 0x1000 })
        return device
      }

      // What the host writes itself while it runs guests that do no harm: its stacks, tasks, PDA, and pages it lends out.
      const all = new Watch(hosted, new Set())
      const mutable = new Set<number>()
      for (let i = 0; i < 40; i++) {
        const device = start(Uint8Array.of(0xeb, 0xfe))
        runFragment(hosted, device)
        for (const page of all.changed()) mutable.add(page)
        device.close()
        letTimePass(hosted)
        for (const page of all.changed()) mutable.add(page)
      }
      const watch = new Watch(hosted, mutable)
      expect(mutable.size).toBeLessThan(watch.pages.length)
      const free = hosted.kernel.frames.available

      const random = new Random(SEED)
      const ends = new Map<string, number>()
      const count = Math.ceil(FRAGMENTS / WORLDS.length)
      for (let n = 0; n < count; n++) {
        const bytes = fragment(random, world.long, FRAGMENT_BYTES)
        const device = start(bytes)
        let end: string
        try {
          end = runFragment(hosted, device)
          device.close()
        } catch (thrown) {
          throw new Error(`fragment ${n} of seed ${SEED}: ${Buffer.from(bytes).toString("hex")}`, { cause: thrown })
        }
        ends.set(end, (ends.get(end) ?? 0) + 1)
        if (n % ROUND === 0 || n === count - 1) {
          expect(watch.changed(), `pages of the host changed by fragment ${n} or one before`).toEqual([])
          expect(watch.neighbourTouched(), `another guest's memory at fragment ${n}`).toBe(false)
          expect(hosted.kernel.frames.available, `frames after fragment ${n}`).toBe(free)
        }
      }
      // The fragments did get somewhere, in more than one way.
      expect(ends.get("killed") ?? 0).toBeGreaterThan(0)
      const { instructions } = hosted.kernel.processor.counters()
      expect(instructions[1] + instructions[3]).toBeGreaterThan(30 * count)
      // And the host's own process is still there.
      const calls = hosted.kernel.statistics.hostSystemCalls
      letTimePass(hosted)
      expect(hosted.kernel.statistics.hostSystemCalls).toBeGreaterThan(calls)
    },
    600_000,
  )
})
