import type { SharedHeap } from "../machine/shared.ts"
import type { HostCpu } from "./cpus.ts"
import type { Driven } from "./kernel.ts"

/*
 * M:140 Those that trying can find are tried here: a seed decides who runs when, so a race that shows up once can be
 * shown to everybody, as often as they like. The best debugging tool in the house is a number.
 *
 * Several processors in one thread take turns. Who is next and for how long is drawn from a seed, so the same seed
 * gives the same run; which races a run shows depends on the seed alone. No processor that has something to do gets
 * further ahead of another than a turn, so their clocks agree about as well as a real machine's.
 */

/** Longest turn, in instructions; most are shorter. */
const LONGEST_TURN = 4096

const CPU = 0
const UNTIL = 1

export class Interleaver {
  private readonly cpus: ReadonlyArray<HostCpu>
  /** [0]: state of the generator (Marsaglia's xorshift32), never 0. */
  private readonly state: Int32Array
  /** The turn that is not over: [CPU] whose (-1: all are), [UNTIL] simulated time. */
  private readonly turn: Float64Array

  constructor(heap: SharedHeap, cpus: ReadonlyArray<HostCpu>, seed: number) {
    this.cpus = cpus
    this.state = heap.i32(1)
    this.turn = heap.f64(2)
    if (!heap.fresh) return
    this.state[0] = Math.imul(seed + 1, 0x9e3779b1) | 1
    this.turn[CPU] = -1
  }

  /** A number from 0 to below - 1. */
  private random(below: number): number {
    let x = this.state[0]!
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    this.state[0] = x
    return (x >>> 0) % below
  }

  drive(limit: number, turn: (cpu: HostCpu, until: number) => Driven): Driven {
    for (;;) {
      if (this.turn[CPU]! < 0 && !this.begin()) return "idle"
      const cpu = this.cpus[this.turn[CPU]!]!
      const until = this.turn[UNTIL]!
      if (cpu.processor.now >= limit) return "slice"
      const why = turn(cpu, Math.min(limit, until))
      // A turn that the launcher's limit or a debugger cuts short goes on afterwards: neither has a say in who is next.
      if (why === "debug") return why
      if (why !== "slice" || cpu.processor.now >= until) this.turn[CPU] = -1
      if (why === "asked") return why
    }
  }

  /** Draws whose turn it is; false if nobody has anything to do. */
  private begin(): boolean {
    const next = this.choose()
    if (next === undefined) return false
    // Short turns find more races than long ones, long ones are faster: the length's own order of magnitude is drawn.
    const longest = LONGEST_TURN >>> (2 * this.random(4))
    this.turn[CPU] = next.index
    this.turn[UNTIL] = next.processor.now + 1 + this.random(longest)
    return true
  }

  /** One of the processors that have something to do and are not ahead of the others. */
  private choose(): HostCpu | undefined {
    const { cpus } = this
    let earliest = Infinity
    let latest = 0
    for (const cpu of cpus) {
      const { now } = cpu.processor
      if (!cpu.asleep) earliest = Math.min(earliest, now)
      latest = Math.max(latest, now)
    }
    // Time passes for those who sleep too; one whose timer comes before the others get there has its turn then.
    const time = earliest === Infinity ? latest : earliest
    let ready = 0
    for (const cpu of cpus) {
      if (cpu.asleep) this.follow(cpu, time)
      if (!cpu.asleep && cpu.processor.now <= time) ready++
    }
    if (ready === 0) return undefined
    let pick = this.random(ready)
    for (const cpu of cpus) if (!cpu.asleep && cpu.processor.now <= time && pick-- === 0) return cpu
    return undefined
  }

  /** A processor that sleeps comes along, no further than to its next event. */
  private follow(cpu: HostCpu, time: number): void {
    const { processor, clock } = cpu
    const { now } = processor
    const to = Math.min(time, clock.nextEvent(now))
    if (to > now) processor.skip(Math.ceil(to - now))
    clock.advance(processor.now)
  }
}
