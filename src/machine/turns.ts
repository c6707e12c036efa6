import type { Chipset } from "./chipset/index.ts"
import { ATT_STOP, EFLAGS, EXIT_BUDGET, EXIT_DEBUG, EXIT_HALT, WAIT_SIPI } from "./core/state.ts"
import type { Machine } from "./machine.ts"
import type { Processor } from "./processor.ts"
import { Random } from "./random.ts"
import { Fields, type State } from "./snapshot.ts"

/*
 * Several processors in one thread: each has turns, of a length that chance decides, and a seed decides chance, so that the
 * same seed gives the same run.
 *
 * Every processor has its own time, and none gets further ahead of another than the longest turn: the next turn is always
 * that of the one that is furthest behind. A processor that waits (for an interrupt, or to be started) has no turns; its
 * time follows that of the slowest that does not. When it is alone, a processor runs until the next event, or until
 * it wakes another. Whoever runs them in slices changes nothing: a turn that a slice has cut goes on with the next.
 */

const EFLAGS_IF = 0x200
/** A turn is of at most 2^n instructions, n below this: races show in short ones, and long ones are cheap. */
const LONGEST_SHIFT = 13

const CHANCE = 0
const CURRENT = 1
/** 1 for each processor that waits. */
const WAITS = 2
/** Instructions that are left of the turn; simulated nanosecond at which somebody has to be looked after. */
const LEFT = 0
const DEADLINE = 1

const FIELDS = new Fields({ arrays: ["words", "times"] })

export class Turns {
  /** All there is to remember, for whoever saves it and puts it back. */
  readonly words: Uint32Array
  readonly times = new Float64Array(2)
  private readonly processors: ReadonlyArray<Processor>
  private readonly chipset: Chipset
  private readonly random: Random

  constructor(machine: Machine, chipset: Chipset, seed: number) {
    this.processors = machine.processors
    this.chipset = chipset
    this.words = new Uint32Array(WAITS + this.processors.length)
    this.random = new Random(this.words.subarray(CHANCE, CHANCE + 1))
    this.random.seed(seed)
  }

  /** The processor whose turn it is, or was last. */
  get current(): Processor {
    return this.processors[this.words[CURRENT]!]!
  }

  /**
   * The time of processor 0, which is the board's. While it waits its own is behind in the middle of another one's turn, and a
   * timer that is read meanwhile must not be.
   */
  get boardTime(): number {
    const [first] = this.processors as [Processor]
    if (!this.waits(0)) return first.now
    let slowest = Infinity
    for (let i = 1; i < this.processors.length; i++)
      if (!this.waits(i)) slowest = Math.min(slowest, this.processors[i]!.now)
    return slowest === Infinity ? first.now : Math.max(first.now, slowest)
  }

  private waits(i: number): boolean {
    return this.words[WAITS + i] !== 0
  }

  /** Lets the timers of processor `i` see its time; the board's time is the first's. */
  private advance(i: number): void {
    const { now } = this.processors[i]!
    if (i === 0) this.chipset.advance(now)
    else this.chipset.apics.of(i).advance(now)
  }

  private nextEvent(i: number): number {
    return i === 0 ? this.chipset.nextEvent(this.processors[0]!.now) : this.chipset.apics.of(i).nextEvent()
  }

  /** Whose turn it is now; undefined: all wait. */
  next(): Processor | undefined {
    const { processors, times } = this
    if (times[LEFT]! > 0) return this.current
    // The time of those that wait.
    let slowest = Infinity
    let fastest = 0
    for (let i = 0; i < processors.length; i++) {
      const { now } = processors[i]!
      if (!this.waits(i)) slowest = Math.min(slowest, now)
      fastest = Math.max(fastest, now)
    }
    const common = slowest === Infinity ? fastest : slowest
    let active = 0
    for (let i = 0; i < processors.length; i++) {
      if (this.waits(i)) {
        this.skipTo(i, common)
        this.advance(i)
        if (processors[i]!.called) this.words[WAITS + i] = 0
      }
      if (!this.waits(i)) active++
    }
    if (active === 0) return undefined

    const chosen = this.furthestBehind()
    this.words[CURRENT] = chosen
    this.advance(chosen)
    let deadline = this.nextEvent(chosen)
    for (let i = 0; i < processors.length; i++) if (this.waits(i)) deadline = Math.min(deadline, this.nextEvent(i))
    const most = active === 1 ? Infinity : 1 + this.random.below(1 << this.random.below(LONGEST_SHIFT + 1))
    times[DEADLINE] = deadline
    times[LEFT] = Math.min(most, Math.max(1, deadline - processors[chosen]!.now))
    return processors[chosen]
  }

  /** Of several, chance decides. */
  private furthestBehind(): number {
    let chosen = -1
    let equals = 1
    for (let i = 0; i < this.processors.length; i++) {
      if (this.waits(i)) continue
      const ahead = chosen < 0 ? -1 : this.processors[i]!.now - this.processors[chosen]!.now
      if (ahead < 0) {
        chosen = i
        equals = 1
      } else if (ahead === 0 && this.random.below(++equals) === 0) chosen = i
    }
    return chosen
  }

  /** The turn, of which at most `most` instructions; returns EXIT_*. */
  run(most: number): number {
    const { current, times } = this
    const before = current.instructions
    const reason = current.run(Math.min(most, times[LEFT]!))
    if (reason === EXIT_HALT) this.words[WAITS + current.index] = 1
    const cut = reason === EXIT_BUDGET || reason === EXIT_DEBUG
    times[LEFT] = cut ? Math.max(0, times[LEFT]! - (current.instructions - before)) : 0
    return reason
  }

  /** A processor has something to attend to: if it waits, the turn is over. */
  attention(cpu: number): void {
    if (cpu !== this.words[CURRENT] && this.waits(cpu)) this.current.attend(ATT_STOP)
  }

  /** A timer may have been moved. */
  rescheduled(): void {
    const mine = this.nextEvent(this.words[CURRENT]!)
    const board = this.waits(0) ? this.nextEvent(0) : Infinity
    if (Math.min(mine, board) < this.times[DEADLINE]!) this.current.attend(ATT_STOP)
  }

  // --------------------------------------------------------------------------------------------- while all wait
  /** Whether an interrupt could still get one of them going. */
  get hopeful(): boolean {
    return this.processors.some((cpu) => cpu.word(WAIT_SIPI) === 0 && (cpu.word(EFLAGS) & EFLAGS_IF) !== 0)
  }

  /** Simulated nanosecond of the next timer interrupt, or Infinity. */
  get until(): number {
    let until = Infinity
    for (let i = 0; i < this.processors.length; i++)
      until = Math.min(until, Math.max(this.nextEvent(i), this.processors[i]!.now + 1))
    return until
  }

  /** Lets time pass until simulated nanosecond `until`. */
  skip(until: number): void {
    for (let i = 0; i < this.processors.length; i++) {
      this.skipTo(i, until)
      this.advance(i)
    }
  }

  private skipTo(i: number, until: number): void {
    const cpu = this.processors[i]!
    const ticks = Math.ceil(until - cpu.now)
    if (ticks > 0) cpu.skip(ticks)
  }

  save(): State {
    return FIELDS.save(this)
  }

  restore(state: State): void {
    FIELDS.restore(this, state)
  }
}
