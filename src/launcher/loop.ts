import type { Engine, EngineEvent } from "./engine.ts"
import { type CannotWrite, GuestKilled, InstructionLimit, type Interrupted } from "./errors.ts"
import type { Sampler } from "./sampler.ts"
import { TerminalSession } from "./terminal.ts"

/*
 * L:120 Around that loop there is another, for a Guest is not alone in the world: somebody may be typing, or listening,
 * or pressing Ctrl-A x. The two clocks, its time and ours, meet here and have to come to an arrangement.
 *
 * The main loop: a slice of simulated time, then a turn of Node's event loop, so that keys, signals and a slow reader
 * are answered within some milliseconds.
 *
 * Time. One instruction is one nanosecond. While the guest idles, real time passes for it where somebody may be waiting for
 * it (a terminal, an open pipe); where nobody is, it leaps to the next event, and `sleep 60` in a script costs nothing.
 *
 * Input. From a pipe we hand out one line at a time, the next when the guest idles: it has then done what it was told before,
 * and the output reads like a session. A guest that does not idle gets its next line after a second. At the end we press ^D,
 * again while nothing comes of it, as a partial line or a program that reads takes the first. With --deterministic only idling
 * counts, and the guest's time stands still until there is a line: so the moment depends on the simulation alone.
 */

export interface LoopConfig {
  readonly terminal: TerminalSession
  /** Builds a machine; again after a restart. */
  readonly create: () => Promise<Engine>
  readonly deterministic: boolean
  readonly maxInstructions: number
  /** Where statistics are asked for. */
  readonly sampler: Sampler | undefined
  readonly restarted: () => void
  /** Instructions after which the run ends with its state as outcome; Infinity: never. */
  readonly saveAt: number
  /** Processors, each of which executes up to an instruction in a nanosecond. */
  readonly processors: number
  /** Where the loop was when the machine that `create` makes first was saved. */
  readonly resume: LoopState | undefined
}

/** What the loop remembers from one step to the next, as far as a guest can tell. Times are simulated, ns. */
export interface LoopState {
  /** Instructions of machines before a restart. */
  readonly before: number
  /** When the guest got its last input, and how many bytes it has got of it. */
  readonly fedAt: number
  readonly fed: number
  /** When ^D may be pressed again, and how long to wait after that. */
  readonly endAt: number
  readonly endPause: number
  /** When it was last seen to have said something, and whether it has said nothing since. */
  readonly spokeAt: number
  readonly quiet: boolean
  /** What is left of a slice that was cut. */
  readonly rest: number
}

/** For who saves a machine and has no loop at hand. */
export const NO_LOOP: LoopState = {
  before: 0,
  fedAt: 0,
  fed: 0,
  endAt: 0,
  endPause: 1e9,
  spokeAt: 0,
  quiet: false,
  rest: 0,
}

export interface Ending {
  readonly outcome:
    | { readonly kind: "powerOff"; readonly status: number; readonly message: string }
    /** `saveAt` has come: the engine is between two slices. */
    | { readonly kind: "save"; readonly loop: LoopState }
    | LoopError
  /** The machine that ran last. */
  readonly engine: Engine
}

export type LoopError = GuestKilled | InstructionLimit | Interrupted | CannotWrite

const SLICE_MS = 8
const FIRST_SLICE = 200_000
const SMALLEST_SLICE = 20_000
const LARGEST_SLICE = 100_000_000
/** With --deterministic slices have one length, whatever the computer's speed. */
const FIXED_SLICE = 1_000_000
const NS_PER_MS = 1e6
const SECOND = 1e9
/** A guest that after the end of its input has nothing to do or say for so long waits in vain. */
const IN_VAIN = 3600 * SECOND

/** One step of the guest's life in a pipe or at a terminal; the state of the loop between steps. */
class Loop {
  private readonly config: LoopConfig
  private readonly terminal: TerminalSession
  private engine!: Engine
  private slice: number
  /** Instructions of machines before a restart. */
  private before = 0
  private turnStarted = performance.now()
  /** When ^D may be pressed again, and how long to wait after that. */
  private endAt = 0
  private endPause = SECOND
  private fedAt = 0
  private fed = 0
  private spokeAt = 0
  private spoken = 0
  /** What is left of a slice that was cut in order to save. */
  private rest = 0

  constructor(config: LoopConfig) {
    this.config = config
    this.terminal = config.terminal
    this.slice = config.deterministic ? FIXED_SLICE : FIRST_SLICE
  }

  async run(): Promise<Ending> {
    await this.start()
    if (this.config.resume !== undefined) this.resume(this.config.resume)
    for (;;) {
      const outcome = await this.step()
      if (outcome !== undefined) {
        await this.engine.close?.()
        this.terminal.releaseOutput()
        this.terminal.flush()
        // A write that fails says so a turn later, and a guest's last words that nobody got are no success.
        await this.turn()
        return { outcome: "_tag" in outcome ? outcome : (this.terminal.failure ?? outcome), engine: this.engine }
      }
    }
  }

  private resume({ before, fedAt, fed, endAt, endPause, spokeAt, quiet, rest }: LoopState): void {
    this.before = before
    this.fedAt = fedAt
    this.fed = fed
    this.endAt = endAt
    this.endPause = endPause
    this.spokeAt = spokeAt
    this.spoken = quiet ? this.terminal.written : -1
    this.rest = rest
  }

  private get state(): LoopState {
    const { before, fedAt, fed, endAt, endPause, spokeAt, rest } = this
    return { before, fedAt, fed, endAt, endPause, spokeAt, quiet: this.spoken === this.terminal.written, rest }
  }

  private async start(): Promise<void> {
    this.engine = await this.config.create()
    const resize = () => {
      const { size } = this.terminal
      if (size !== undefined) this.engine.resize(size[0], size[1])
    }
    resize()
    this.terminal.onResize(resize)
    this.spokeAt = this.fedAt = this.endAt = 0
  }

  private async step(): Promise<Ending["outcome"] | undefined> {
    const { engine, terminal, config } = this
    if (terminal.failure !== undefined) return terminal.failure
    const done = this.before + engine.instructions
    if (done >= config.saveAt) return { kind: "save", loop: this.state }
    const left = config.maxInstructions - done
    if (left <= 0) return new InstructionLimit({ limit: config.maxInstructions })
    const whole = this.rest > 0 ? this.rest : Math.min(this.slice, config.sampler?.tick(engine) ?? Infinity)
    const held = await terminal.monitor?.attend(engine)
    const event = held ?? (await this.until(config.saveAt - done, Math.min(whole, left)))
    if (!terminal.flush()) await this.drain()
    switch (event.kind) {
      case "budget":
        if (this.rest > 0) return undefined
        if (terminal.interactive || (!config.deterministic && engine.now - this.fedAt >= SECOND)) this.feed()
        await this.turn()
        return undefined
      case "idle":
        return this.idle(event.until)
      case "powerOff":
        return event
      case "killed":
        return new GuestKilled({ reason: event.reason + (await disassembly(event)) })
      case "restart":
        await engine.close?.()
        this.before += engine.instructions
        config.restarted()
        await this.start()
        return undefined
    }
  }

  /** Runs a slice, or as much of it as is sure to end before so many instructions; the rest then comes in the next step. */
  private async until(instructions: number, slice: number): Promise<EngineEvent> {
    const most = Math.max(1, Math.floor(instructions / this.config.processors))
    this.rest = 0
    if (most >= slice) return this.timed(slice)
    const inspection = this.engine.inspect()
    const from = inspection.position
    const event = await this.engine.run(most)
    if (event.kind === "budget") this.rest = Math.max(0, slice - (inspection.position - from))
    return event
  }

  /** Runs a slice, and finds the length of the next. */
  private async timed(slice: number): Promise<EngineEvent> {
    const started = performance.now()
    const event = await this.engine.run(slice)
    if (!this.config.deterministic && event.kind === "budget" && slice === this.slice) {
      const factor = SLICE_MS / Math.max(performance.now() - started, SLICE_MS / 4)
      this.slice = Math.min(Math.max(Math.round(slice * factor), SMALLEST_SLICE), LARGEST_SLICE)
    }
    return event
  }

  /** Lets the event loop have its turn. */
  private turn(): Promise<void> {
    return new Promise((resolve) =>
      setImmediate(() => {
        this.turnStarted = performance.now()
        resolve()
      }),
    )
  }

  private async drain(): Promise<void> {
    while (!this.terminal.flush() && this.terminal.failure === undefined) await this.terminal.change(Infinity)
  }

  /** Hands the guest its next input if it has taken the last. */
  private feed(): boolean {
    const { engine, terminal } = this
    if (engine.pendingInput > 0) return false
    const bytes = terminal.take()
    if (bytes === undefined) return false
    engine.input(bytes)
    this.fed += bytes.length
    this.fedAt = engine.now
    return true
  }

  private async idle(until: number): Promise<Ending["outcome"] | undefined> {
    const { engine, terminal, config } = this
    if (this.feed()) return undefined
    if (terminal.inputEnded) return this.idleAtEnd(until)
    // What waits in the console (or with us) keeps: nobody is held up by time that leaps.
    if (!terminal.interactive && (engine.pendingInput > 0 || terminal.hasInput)) return this.leap(until)
    if (!terminal.interactive && config.deterministic) {
      await terminal.change(Infinity)
      return undefined
    }
    const wait = (until - engine.now) / NS_PER_MS
    const started = performance.now()
    // Timers are no finer than a millisecond.
    if (wait >= 1) await terminal.change(wait)
    else await this.turn()
    const passed = wait >= 1 ? (performance.now() - started) * NS_PER_MS : Infinity
    const to = Math.min(until, engine.now + passed)
    if (to < Infinity) engine.skip(to)
    return undefined
  }

  /** The input is at its end: press ^D, and leap. */
  private async idleAtEnd(until: number): Promise<Ending["outcome"] | undefined> {
    const { engine, terminal } = this
    if (this.spoken !== terminal.written) {
      this.spoken = terminal.written
      this.spokeAt = engine.now
      this.endPause = SECOND
    }
    if (engine.pendingInput === 0 && engine.now >= this.endAt) {
      engine.input(TerminalSession.endOfInput)
      this.endAt = engine.now + this.endPause
      this.endPause *= 2
      return undefined
    }
    if (Math.min(until, this.endAt) === Infinity || engine.now - this.spokeAt > IN_VAIN)
      return new GuestKilled({ reason: "its input has ended, and it has waited in vain for an hour of simulated time" })
    return this.leap(engine.pendingInput === 0 ? Math.min(until, this.endAt) : until)
  }

  private async leap(until: number): Promise<Ending["outcome"] | undefined> {
    if (until === Infinity) return new GuestKilled({ reason: "it waits for an interrupt that cannot come" })
    this.engine.skip(until)
    if (performance.now() - this.turnStarted >= SLICE_MS) await this.turn()
    return undefined
  }
}

/** ": mov eax,[rbx]" for the instruction that a guest died of. The disassembler is large, and rarely needed. */
const disassembly = async (event: Extract<EngineEvent, { kind: "killed" }>): Promise<string> => {
  if (event.code === undefined) return ""
  const { disassemble } = await import("./disassemble.ts")
  return `: ${disassemble(event.code)}`
}

export const runLoop = (config: LoopConfig): Promise<Ending> => new Loop(config).run()
