import type { Watchpoint } from "../../machine/debugger.ts"
import type { Engine } from "../engine.ts"
import { applyChange, type History, perform } from "./history.ts"
import { Progress } from "./progress.ts"
import { type Arrival, DebugTarget } from "./target.ts"

/*
 * Execution backwards, by execution forwards: a new machine is run from power-on, with everything that came from outside coming
 * again when it came, up to a moment before. A moment of the past is named by what the processors have executed (target.ts).
 */

/** The past did not repeat itself, or it is not wanted any more. */
export class ReplayFailed extends Error {
  override readonly name = "ReplayFailed"
}

/** How long before its goal a replay goes from instruction to instruction. */
const NEAR = 4096
/** A longer stretch is looked at where none of the guest's instructions is near. */
const FARTHER = 16
const TURN_MS = 20
const MOST_SLICE = 10_000_000

/** A machine on its way through its past. */
export class Replay {
  readonly engine: Engine
  readonly target: DebugTarget
  /** How much of the history has happened. */
  cursor = 0
  private readonly history: History
  private readonly cancelled: () => boolean
  private turned = performance.now()

  constructor(engine: Engine, history: History, cancelled: () => boolean) {
    this.engine = engine
    this.target = new DebugTarget(engine.inspect())
    this.history = history
    this.cancelled = cancelled
  }

  /** To the stop at moment `goal`, as whoever was stopped there left it. */
  async to(goal: number): Promise<void> {
    await this.changesBefore(goal)
    await this.reach(goal)
    this.makeChanges(goal)
  }

  /** To somewhere before `goal`: nothing that is to be seen there has been passed. */
  async near(goal: number): Promise<void> {
    await this.changesBefore(goal)
    await this.approach(goal)
  }

  /**
   * The stops from here on, each instruction's, until `visit` returns true or `end` is past. Changes that the debugger made on
   * the way are made, but at the last.
   */
  async stops(end: number, visit: (moment: number, arrival: Arrival) => boolean): Promise<void> {
    this.target.setStepping(true)
    const see = (arrival: Arrival): boolean => {
      if (arrival.vcpu === undefined) return false
      const { moment } = this.target
      if (visit(moment, arrival)) return true
      this.makeChanges(moment)
      return false
    }
    await this.advance(
      () => this.target.moment > end,
      () => NEAR,
      see,
    )
    this.target.setStepping(false)
  }

  /** The stops at breakpoints and watchpoints from power-on to `end`. */
  async hits(
    breakpoints: ReadonlyArray<bigint>,
    watchpoints: ReadonlyArray<Watchpoint>,
    end: number,
    visit: (moment: number, arrival: Arrival) => void,
  ): Promise<void> {
    this.target.arm(breakpoints, watchpoints)
    let at: number | undefined
    let progress: Progress | undefined
    const see = (moment: number, arrival: Arrival): boolean => {
      const { breakpoint, watchpoint } = arrival.hit
      // An instruction that its host had to help is come to twice.
      const again = breakpoint && arrival.vcpu === at && progress?.made(arrival) === false
      if (watchpoint !== undefined || (breakpoint && !again)) visit(moment, arrival)
      if (breakpoint && arrival.vcpu !== undefined) {
        at = arrival.vcpu
        progress = new Progress(this.target, at)
      }
      return false
    }
    for (let change = this.nextChange(end); change !== undefined; change = this.nextChange(end)) {
      await this.approach(change, see)
      await this.stops(change, (moment, arrival) => see(moment, arrival) || moment >= change!)
      this.makeChanges(change)
    }
    await this.approach(end, see)
    await this.stops(end, (moment, arrival) => see(moment, arrival) || moment >= end)
  }

  private async changesBefore(goal: number): Promise<void> {
    for (let change = this.nextChange(goal); change !== undefined; change = this.nextChange(goal)) {
      await this.reach(change)
      this.makeChanges(change)
    }
  }

  private async reach(goal: number): Promise<void> {
    await this.approach(goal)
    let last: number | undefined
    await this.stops(goal, (moment) => (last = moment) >= goal)
    if (last !== goal) throw new ReplayFailed("the run did not repeat itself")
  }

  /** Moment of the next change that the debugger made, if that is before `goal`. */
  private nextChange(goal: number): number | undefined {
    for (let i = this.cursor; ; i++) {
      const entry = this.history.at(i)
      if (entry === undefined || entry.moment >= goal) return undefined
      if (entry.kind === "change") return entry.moment
    }
  }

  private makeChanges(moment: number): void {
    let entry = this.history.at(this.cursor)
    if (entry?.kind !== "change" || entry.moment !== moment) return
    for (; entry?.kind === "change" && entry.moment === moment; entry = this.history.at(++this.cursor))
      applyChange(this.target, entry.change)
    this.target.pass()
  }

  /** At full speed to less than NEAR before `goal`. Time may run up to three times as fast as instructions, when all of them fault. */
  private approach(goal: number, see?: (moment: number, arrival: Arrival) => boolean): Promise<void> {
    const left = () => goal - this.target.moment
    return this.advance(
      () => left() < NEAR,
      () => Math.max(1, Math.floor(left() / (4 * this.target.guest.processors.length))),
      (arrival) => arrival.vcpu !== undefined && see?.(this.target.moment, arrival) === true,
    )
  }

  /** Runs, with what came from outside, until `done` says so before a slice or `see` at a stop. */
  private async advance(done: () => boolean, slice: () => number, see: (arrival: Arrival) => boolean): Promise<void> {
    const { engine, target } = this
    let idle = false
    while (!done()) {
      const entry = this.history.at(this.cursor)
      const deed = entry?.kind === "deed" ? entry : undefined
      if (deed !== undefined && target.position >= deed.position && (idle || !deed.idle)) {
        perform(engine, deed.deed)
        this.cursor++
        idle = false
        continue
      }
      // What was done when the machine had said that it idles waits until it says so again.
      const until = deed === undefined ? Infinity : Math.max(1, deed.position - target.position)
      const event = await engine.run(Math.min(slice(), until, MOST_SLICE))
      const arrival = target.arrival()
      idle = event.kind === "idle"
      if (arrival !== undefined) {
        if (see(arrival)) return
      } else if (idle && (deed === undefined || target.position < deed.position)) return
      else if (event.kind !== "budget" && !idle) return
      await this.turn()
    }
  }

  /** Lets the event loop have its turn, and whoever waits lose his patience. */
  private async turn(): Promise<void> {
    if (performance.now() - this.turned < TURN_MS) return
    await new Promise((resolve) => setImmediate(resolve))
    this.turned = performance.now()
    if (this.cancelled()) throw new ReplayFailed("interrupted")
  }
}

/** Makes machines as they were at power-on. */
export type Builder = () => Promise<Engine>

/** Where a search through the past ends. */
export interface Found {
  readonly replay: Replay
  /** Undefined: there was nothing before; it is the guest's first instruction. */
  readonly arrival: Omit<Arrival, "processor"> | undefined
}

export class Past {
  private readonly build: Builder
  private readonly history: History
  private readonly cancelled: () => boolean

  constructor(build: Builder, history: History, cancelled: () => boolean) {
    this.build = build
    this.history = history
    this.cancelled = cancelled
  }

  private async replay(): Promise<Replay> {
    return new Replay(await this.build(), this.history, this.cancelled)
  }

  private async at(time: number): Promise<Replay> {
    const replay = await this.replay()
    await replay.to(time)
    return replay
  }

  /** Moment of the virtual CPU's last stop before `time`, undefined if there is none. */
  private async momentBefore(time: number, vcpu: number): Promise<number | undefined> {
    for (let reach = NEAR; ; reach *= FARTHER) {
      const replay = await this.replay()
      await replay.near(Math.max(0, time - reach))
      // The first stop that is seen may be at an instruction that had to be come to twice; the one before is the right one then.
      let sure = reach >= time
      let last: number | undefined
      let progress: Progress | undefined
      await replay.stops(time, (moment, arrival) => {
        if (progress?.made(arrival) === false || arrival.vcpu !== vcpu) return moment >= time
        progress = new Progress(replay.target, vcpu)
        if (moment < time && sure) last = moment
        sure = true
        return moment >= time
      })
      if (last !== undefined) return last
      if (reach >= time) return undefined
    }
  }

  /** The guest's very first instruction. */
  private async first(): Promise<Found> {
    const replay = await this.replay()
    await replay.stops(Infinity, () => true)
    return { replay, arrival: undefined }
  }

  /** One instruction of a virtual CPU's back from `time`. */
  async stepBack(time: number, vcpu: number): Promise<Found> {
    const before = await this.momentBefore(time, vcpu)
    if (before === undefined) return this.first()
    const hit = { stepped: true, breakpoint: false, watchpoint: undefined }
    return { replay: await this.at(before), arrival: { vcpu, hit } }
  }

  /**
   * Back from `time` to the last breakpoint before it, or to before the last access to something watched: backwards an
   * instruction hits a watchpoint where it begins.
   */
  async continueBack(
    time: number,
    breakpoints: ReadonlyArray<bigint>,
    watchpoints: ReadonlyArray<Watchpoint>,
  ): Promise<Found> {
    let last: { readonly moment: number; readonly arrival: Arrival } | undefined
    const replay = await this.replay()
    await replay.hits(breakpoints, watchpoints, time, (moment, arrival) => {
      if (arrival.hit.watchpoint !== undefined ? moment <= time : moment < time) last = { moment, arrival }
    })
    if (last === undefined) return this.first()
    if (last.arrival.hit.watchpoint === undefined) return { replay: await this.at(last.moment), arrival: last.arrival }
    const { replay: before } = await this.stepBack(last.moment, last.arrival.vcpu ?? 0)
    return { replay: before, arrival: last.arrival }
  }
}
