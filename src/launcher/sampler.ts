import type { Engine } from "./engine.ts"

/*
 * The counters of a run as it went along. Looking does not change what is counted: where a slice ends is nothing that a guest,
 * its host or a counter can see.
 *
 * The clock is the count of instructions, which while the machine is busy is its time in ns: an hour of idling takes no room from
 * the second of work before it. There are never more than `LIMIT` samples: when there are, the interval is doubled and every
 * other one goes.
 */

/** The counters at one moment; all but `shadowPagesAlive` only grow. */
export interface Sample {
  /** Simulated time, ns. */
  readonly now: number
  /** Executed in rings 0 to 3. */
  readonly instructions: readonly [number, number, number, number]
  readonly worldSwitches: number
  readonly hypercalls: number
  readonly traps: number
  readonly cr3Loads: number
  readonly tlbMisses: number
  readonly injectedInterrupts: number
  /** By the hardware's level. */
  readonly shadowPagesAlive: Readonly<Record<string, number>>
}

/** All that a sampler remembers. */
export interface SamplerState {
  readonly samples: ReadonlyArray<Sample>
  readonly interval: number
  readonly next: number
}

const LIMIT = 512
/** Instructions between samples at first. A short script is a million of them. */
const FIRST_INTERVAL = 20_000

const sum = (counts: ArrayLike<number>): number => {
  let total = 0
  for (let i = 0; i < counts.length; i++) total += counts[i]!
  return total
}

const look = (engine: Engine): Sample => {
  const { processor, host } = engine.counts()
  return {
    now: engine.now,
    instructions: processor.instructions,
    worldSwitches: host?.statistics.worldSwitches ?? 0,
    hypercalls: sum(host?.statistics.hypercalls ?? []),
    traps: sum(processor.vectors),
    cr3Loads: processor.cr3Loads,
    tlbMisses: processor.tlbMisses,
    injectedInterrupts: host?.statistics.injectedInterrupts ?? 0,
    shadowPagesAlive: { ...host?.shadow.pagesAlive },
  }
}

const executed = (sample: Sample): number => sum(sample.instructions)

export class Sampler {
  private samples: Array<Sample> = []
  private interval = FIRST_INTERVAL
  /** The count of instructions at which the next sample is due. */
  private next = 0
  private engine: Engine | undefined

  /** To be called before each slice. Takes a sample if one is due; returns how many instructions there are to the next. */
  tick(engine: Engine): number {
    if (engine !== this.engine) this.restart(engine)
    if (engine.instructions >= this.next) this.add(engine)
    return this.next - engine.instructions
  }

  /** All samples, the last of them taken now. */
  finish(engine: Engine): ReadonlyArray<Sample> {
    if (engine !== this.engine) this.restart(engine)
    const last = look(engine)
    const before = this.samples.at(-1)
    if (before !== undefined && before.now === last.now && executed(before) === executed(last)) this.samples.pop()
    return [...this.samples, last]
  }

  get state(): SamplerState {
    const { samples, interval, next } = this
    return { samples, interval, next }
  }

  /** Goes on where another one was, with a machine that was saved then. */
  resume(engine: Engine, { samples, interval, next }: SamplerState): void {
    this.engine = engine
    this.samples = [...samples]
    this.interval = interval
    this.next = next
  }

  /** Another machine, whose counts begin at 0: what was before it is told no more. */
  private restart(engine: Engine): void {
    this.engine = engine
    this.samples = []
    this.interval = FIRST_INTERVAL
    this.next = 0
  }

  private add(engine: Engine): void {
    this.samples.push(look(engine))
    // Slices may be longer than the interval; it then takes more than one doubling until half of the room is free.
    while (this.samples.length >= LIMIT) this.thin()
    this.next = engine.instructions + this.interval
  }

  /** Keeps of the samples those that are a doubled interval apart. */
  private thin(): void {
    this.interval *= 2
    let kept = -Infinity
    this.samples = this.samples.filter((sample) => {
      const keep = executed(sample) - kept >= this.interval
      if (keep) kept = executed(sample)
      return keep
    })
  }
}
