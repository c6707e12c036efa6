import type { Watchpoint } from "../../machine/debugger.ts"
import type { RegisterName } from "../../machine/inspection.ts"
import { EventLog } from "../../host/index.ts"
import type { Engine, EngineConfig, EngineEvent } from "../engine.ts"
import { applyChange, type Change, type Deed, History, perform } from "./history.ts"
import { Progress } from "./progress.ts"
import { type Found, Past, ReplayFailed } from "./replay.ts"
import { type Arrival, DebugTarget } from "./target.ts"

/*
 * One debugged run: an engine that stands still until somebody says that it may go on. To the main loop it is an engine like
 * any other whose slices take their time; to gdb and the monitor it is a guest to look at, stop and resume. All of it is on
 * one thread, so whoever looks while it is stopped sees nothing change.
 *
 * A deterministic run keeps its history, and can be taken back: then the engine below is another one, which has been run up to
 * the wanted moment, and what the launcher did after it comes again by itself.
 */

/** Why the guest stands still. */
export type StopReason =
  | { readonly kind: "start" }
  | { readonly kind: "interrupted" }
  | { readonly kind: "stepped" }
  | { readonly kind: "breakpoint" }
  | { readonly kind: "watchpoint"; readonly watchpoint: Watchpoint }
  /** Backwards no further. */
  | { readonly kind: "historyBegins" }

export interface Stop {
  readonly reason: StopReason
  readonly vcpu: number
}

/** A command line of the monitor's, from gdb's `monitor` or a terminal; the text that answers it. */
export type MonitorCommands = (line: string) => string

/** How the run ended. */
export type End =
  | { readonly kind: "powerOff"; readonly status: number }
  | { readonly kind: "killed"; readonly reason: string }
  /** The simulator ends: a signal, a limit, an error of its own. */
  | { readonly kind: "closed" }

export type Resume = { readonly kind: "continue" } | { readonly kind: "step"; readonly vcpu: number }

export interface DebugListener {
  stopped(stop: Stop): void
  ended(end: End): void
}

/** What the session asks of the terminal: a run that is over is not waited for. */
export interface Patience {
  readonly failure: unknown
  change(milliseconds: number): Promise<void>
  /** Ends whatever waits in `change`. */
  wake(): void
}

export interface SessionConfig {
  readonly config: EngineConfig
  readonly create: (config: EngineConfig) => Promise<Engine>
  readonly patience: Patience
  /** Why the run cannot be taken back; undefined: it can. */
  readonly forwardOnly: string | undefined
}

const BUDGET: EngineEvent = { kind: "budget" }
const BRING_UP_SLICE = 1_000_000

export class DebugSession {
  private readonly config: SessionConfig
  private readonly listeners = new Set<DebugListener>()
  private readonly breakpoints = new Map<bigint, number>()
  private readonly watchpoints: Watchpoint[] = []
  private engine!: Engine
  private using!: DebugTarget
  private history = new History()
  private stopped: Stop | undefined = { reason: { kind: "start" }, vcpu: 0 }
  private ended: End | undefined
  /** The first instruction after a stop is to be done before anything stops the guest again. */
  private resumed: { readonly action: Resume; readonly progress: Progress } | undefined
  private interrupting = false
  private killed = false
  private cancelled = false
  /** The engine's last slice was over by itself: what comes from outside may come now. */
  private between = false
  private idle = false
  /** What the launcher did while it might not. */
  private readonly waiting: Deed[] = []
  private unrepeatable: string | undefined
  private changed: () => void = () => undefined
  /** Bytes of output that have been shown: an engine on its way through the past says nothing new. */
  private shown = 0
  private readonly said = new WeakMap<Engine, () => number>()
  private ready: () => void = () => undefined
  /** Resolves when there is a guest. */
  readonly started = new Promise<void>((resolve) => (this.ready = resolve))

  constructor(config: SessionConfig) {
    this.config = config
    this.unrepeatable = config.forwardOnly
  }

  // ------------------------------------------------------------------------------------------------- the main loop's
  /** The engine for the main loop; another one after a restart. */
  async create(): Promise<Engine> {
    this.history = new History()
    this.waiting.length = 0
    this.shown = 0
    // Who steps over a restart comes to the first instruction behind it.
    this.interrupting ||= this.resumed?.action.kind === "step"
    this.resumed = undefined
    const engine = await this.build(this.config.config)
    this.use(engine, new DebugTarget(engine.inspect()))
    this.between = true
    if (this.stopped !== undefined) await this.bringUp()
    this.ready()
    return this.wrapped()
  }

  private async build(config: EngineConfig): Promise<Engine> {
    let said = 0
    const output = (bytes: Uint8Array): void => {
      const known = Math.max(0, this.shown - said)
      said += bytes.length
      if (known >= bytes.length) return
      this.shown = said
      config.output(bytes.subarray(known))
    }
    const engine = await this.config.create({ ...config, output })
    this.said.set(engine, () => said)
    return engine
  }

  private use(engine: Engine, target: DebugTarget): void {
    this.engine = engine
    this.using = target
    this.rearm()
  }

  /** A host boots first: whoever waits for the guest's first instruction shall see that. */
  private async bringUp(): Promise<void> {
    this.using.setStepping(true)
    for (;;) {
      const event = await this.engine.run(BRING_UP_SLICE)
      const arrival = this.using.arrival()
      if (arrival === undefined ? event.kind !== "budget" : arrival.vcpu !== undefined) break
    }
    this.using.setStepping(false)
    this.between = false
  }

  private wrapped(): Engine {
    const current = (): Engine => this.engine
    const held = (): number => this.held
    return {
      get now() {
        return current().now
      },
      get instructions() {
        return current().instructions
      },
      get pendingInput() {
        return current().pendingInput + held()
      },
      run: (slice) => this.run(slice),
      skip: (until) => this.outside({ kind: "skip", until }),
      input: (bytes) => this.outside({ kind: "input", bytes }),
      resize: (columns, rows) => this.outside({ kind: "resize", columns, rows }),
      counts: () => current().counts(),
      inspect: () => current().inspect(),
    }
  }

  /** Bytes of input that have not reached the machine; in its past, more than none. */
  private get held(): number {
    const waiting = this.waiting.reduce((sum, deed) => sum + (deed.kind === "input" ? deed.bytes.length : 0), 0)
    return waiting + (this.history.upcoming === undefined ? 0 : 1)
  }

  /** The launcher does something to the machine. */
  private outside(deed: Deed): void {
    if (this.stopped === undefined && this.between && this.history.upcoming === undefined) this.record(deed)
    // Time stands still while the guest does, and passes as it passed in its past.
    else if (deed.kind !== "skip") this.waiting.push(deed)
  }

  private record(deed: Deed): void {
    const { engine, using, history } = this
    if (this.unrepeatable === undefined)
      history.append({ kind: "deed", position: using.position, moment: using.moment, idle: this.idle, deed })
    perform(engine, deed)
    this.idle = false
  }

  private async run(slice: number): Promise<EngineEvent> {
    await this.whileStopped()
    if (this.killed) return this.over({ kind: "killed", reason: "the debugger killed it" })
    if (this.stopped !== undefined) return BUDGET
    if (this.interrupting) this.using.setStepping(true)
    const next = this.history.upcoming
    const until = next?.kind === "deed" ? Math.max(1, next.position - this.using.position) : Infinity
    const event = await this.engine.run(Math.min(slice, until))
    const arrival = this.using.arrival()
    this.between = arrival === undefined
    this.idle = event.kind === "idle"
    if (arrival !== undefined) {
      const reason = this.reasonFor(arrival)
      if (reason !== undefined) this.halt({ reason, vcpu: arrival.vcpu ?? 0 })
      return BUDGET
    }
    if (event.kind !== "budget" && event.kind !== "idle") return this.over(event)
    if (this.idle && this.interrupting) {
      this.halt({ reason: { kind: "interrupted" }, vcpu: 0 })
      return BUDGET
    }
    return this.fromOutside() ? BUDGET : event
  }

  /** What came at this moment the last time, or has waited for one. */
  private fromOutside(): boolean {
    const next = this.history.upcoming
    if (next?.kind === "deed") {
      if (this.using.position >= next.position && (this.idle || !next.idle)) {
        perform(this.engine, next.deed)
        this.history.cursor++
      }
      return true
    }
    const waiting = this.waiting.splice(0)
    for (const deed of waiting) this.record(deed)
    return waiting.length > 0
  }

  private over(event: EngineEvent): EngineEvent {
    if (event.kind === "powerOff") this.finish({ kind: "powerOff", status: event.status })
    if (event.kind === "killed") this.finish({ kind: "killed", reason: event.reason })
    return event
  }

  private async whileStopped(): Promise<void> {
    const { patience } = this.config
    while (this.stopped !== undefined && !this.killed && patience.failure === undefined)
      await Promise.race([new Promise<void>((resolve) => (this.changed = resolve)), patience.change(Infinity)])
  }

  // ---------------------------------------------------------------------------------------------------------- stops
  private reasonFor(arrival: Arrival): StopReason | undefined {
    const { vcpu, hit } = arrival
    if (vcpu === undefined) return undefined
    if (hit.watchpoint !== undefined) return { kind: "watchpoint", watchpoint: hit.watchpoint }
    if (this.interrupting) return { kind: "interrupted" }
    const { resumed } = this
    if (resumed !== undefined) {
      if (!resumed.progress.made(arrival))
        return hit.breakpoint && vcpu !== resumed.progress.vcpu ? { kind: "breakpoint" } : undefined
      if (resumed.action.kind === "step") return { kind: "stepped" }
      this.resumed = undefined
      this.using.setStepping(false)
    }
    return hit.breakpoint ? { kind: "breakpoint" } : undefined
  }

  private halt(stop: Stop): void {
    this.stopped = stop
    this.resumed = undefined
    this.interrupting = false
    this.using.setStepping(false)
    for (const listener of this.listeners) listener.stopped(stop)
  }

  private finish(end: End): void {
    if (this.ended !== undefined) return
    this.ended = end
    for (const listener of this.listeners) listener.ended(end)
  }

  // ------------------------------------------------------------------------------------------------- the debugger's
  listen(listener: DebugListener): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  /** Undefined while the guest runs. */
  get stop(): Stop | undefined {
    return this.stopped
  }

  get end(): End | undefined {
    return this.ended
  }

  /** The engine below; undefined before the first is there. */
  get current(): Engine | undefined {
    return this.engine
  }

  /** The guest; to be looked at while it is stopped. Another one after every stop. */
  get target(): DebugTarget {
    return this.using
  }

  /** Simulated time, ns. */
  get now(): number {
    return this.engine.now
  }

  /** Why there is no way back; undefined: there is. */
  get forwardOnly(): string | undefined {
    return this.unrepeatable
  }

  /** Lets the guest go on; what stops it is told to the listeners. */
  resume(action: Resume): void {
    if (this.stopped === undefined) return
    const vcpu = action.kind === "step" ? action.vcpu : this.stopped.vcpu
    this.using.pass()
    this.using.setStepping(true)
    this.resumed = { action, progress: new Progress(this.using, vcpu) }
    this.stopped = undefined
    this.wake()
  }

  /** Stops the guest, as soon as it is between two of its instructions or has nothing to do. */
  interrupt(): void {
    this.cancelled = true
    if (this.stopped !== undefined || this.ended !== undefined) return
    this.interrupting = true
    if (this.idle) this.halt({ reason: { kind: "interrupted" }, vcpu: 0 })
  }

  /** Whoever debugged has gone: nothing stops the guest any more. */
  release(): void {
    if (this.ended !== undefined) return
    this.breakpoints.clear()
    this.watchpoints.length = 0
    this.rearm()
    this.interrupting = false
    if (this.stopped !== undefined) this.resume({ kind: "continue" })
    else if (this.resumed?.action.kind !== "continue") {
      this.resumed = undefined
      this.using.setStepping(false)
    }
  }

  /** The simulator is about to end. */
  close(): void {
    this.finish({ kind: "closed" })
  }

  /** Ends the run. */
  kill(): void {
    this.killed = true
    this.wake()
  }

  private wake(): void {
    this.changed()
    this.config.patience.wake()
  }

  // ------------------------------------------------------------------------------------------ breaks, watches, changes
  private rearm(): void {
    this.using.arm([...this.breakpoints.keys()], this.watchpoints)
  }

  /** Breakpoints at one address are counted. Throws a RangeError when they are too many. */
  insertBreakpoint(address: bigint): void {
    this.breakpoints.set(address, (this.breakpoints.get(address) ?? 0) + 1)
    try {
      this.rearm()
    } catch (thrown) {
      this.removeBreakpoint(address)
      throw thrown
    }
  }

  removeBreakpoint(address: bigint): void {
    const count = this.breakpoints.get(address) ?? 0
    if (count > 1) this.breakpoints.set(address, count - 1)
    else this.breakpoints.delete(address)
    this.rearm()
  }

  insertWatchpoint(watchpoint: Watchpoint): void {
    this.watchpoints.push(watchpoint)
    try {
      this.rearm()
    } catch (thrown) {
      this.watchpoints.pop()
      throw thrown
    }
  }

  removeWatchpoint({ address, length, kind }: Watchpoint): void {
    const index = this.watchpoints.findIndex((w) => w.address === address && w.length === length && w.kind === kind)
    if (index >= 0) this.watchpoints.splice(index, 1)
    this.rearm()
  }

  /** False, with nothing done: not all of it is mapped to memory. */
  writeMemory(vcpu: number, address: bigint, data: Uint8Array): boolean {
    const pieces = this.using.locate(vcpu, address, data)
    for (const piece of pieces ?? []) this.change({ kind: "memory", ...piece })
    return pieces !== undefined
  }

  /** False: that register cannot be changed from here. */
  writeRegister(vcpu: number, register: RegisterName, value: bigint): boolean {
    return this.change({ kind: "register", vcpu, register, value })
  }

  private change(change: Change): boolean {
    if (!applyChange(this.using, change)) return false
    if (this.unrepeatable !== undefined) return true
    // Who idles is not between two instructions that a replay could come to.
    if (this.between) this.unrepeatable = "something was changed while the guest was idle"
    else {
      this.history.append({ kind: "change", moment: this.using.moment, change })
      this.shown = this.said.get(this.engine)?.() ?? this.shown
    }
    return true
  }

  // ------------------------------------------------------------------------------------------------------- backwards
  /** One instruction back, or to the last stop there was on the way here. Throws ReplayFailed, with nothing changed. */
  async back(kind: "step" | "continue"): Promise<Stop> {
    if (this.unrepeatable !== undefined) throw new ReplayFailed(this.unrepeatable)
    this.cancelled = false
    const quiet = { ...this.config.config, log: EventLog.off }
    const past = new Past(
      () => this.build(quiet),
      this.history,
      () => this.cancelled,
    )
    const { moment } = this.using
    const found =
      kind === "step"
        ? await past.stepBack(moment, this.stopped?.vcpu ?? 0)
        : await past.continueBack(moment, [...this.breakpoints.keys()], this.watchpoints)
    const { replay, arrival } = found
    this.history.cursor = replay.cursor
    this.history.forgetChanges()
    this.use(replay.engine, replay.target)
    this.between = this.idle = false
    this.stopped = { reason: backwards(arrival), vcpu: arrival?.vcpu ?? 0 }
    return this.stopped
  }
}

const backwards = (arrival: Found["arrival"]): StopReason => {
  if (arrival === undefined) return { kind: "historyBegins" }
  const { watchpoint, breakpoint } = arrival.hit
  if (watchpoint !== undefined) return { kind: "watchpoint", watchpoint }
  return { kind: breakpoint ? "breakpoint" : "stepped" }
}
