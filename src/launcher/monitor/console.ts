import type { Engine, EngineEvent } from "../engine.ts"
import type { TerminalMonitor, TerminalSession } from "../terminal.ts"
import type { Control, Monitor, SaveEngine } from "./commands.ts"
import { LineEditor } from "./lineEditor.ts"
import { counted } from "./text.ts"

/*
 * The monitor on a terminal. Ctrl-A c opens it and goes back to the guest's console. While it is open the guest runs on, and
 * what it writes is kept and shown when the console is back, so that nobody's words stand in the middle of another's.
 *
 * A line is carried out between two slices of the guest: in one thread that is whenever Node's event loop has its turn, and
 * where virtual CPUs have threads they are made to pause. `stop`, `step` and `cont` are the main loop's: it asks `attend`
 * before each slice.
 */

const PROMPT = "(lguest64) "
const BANNER = "The monitor: help lists its commands, Ctrl-A c goes back to the guest."
/** So much of the guest's output may wait for its console; then the guest does. */
const MOST_HELD = 1 << 20

const BUDGET: EngineEvent = { kind: "budget" }

export class MonitorConsole implements TerminalMonitor, Control {
  isOpen = false
  /** How a machine of this run is saved; it is asked for when the monitor is opened first. */
  saver: (() => Promise<SaveEngine>) | undefined
  /** By the command; the guest stands still until `cont`. */
  stopped = false
  private readonly terminal: TerminalSession
  /** gdb decides when the guest runs. */
  private readonly underGdb: boolean
  private readonly editor: LineEditor
  private engine: Engine | undefined
  private monitor: Monitor | undefined
  private steps: { readonly vcpu: number; readonly count: number } | undefined
  private lines: Promise<void> = Promise.resolve()
  /** The guest stands still because too much of its output waits. */
  private full = false
  private paused: Engine | undefined

  constructor(terminal: TerminalSession, underGdb: boolean) {
    this.terminal = terminal
    this.underGdb = underGdb
    this.editor = new LineEditor(PROMPT, {
      show: (text) => terminal.show(text),
      line: (line) => this.enter(line),
      leave: () => this.toggle(),
      complete: (line) => this.monitor?.complete(line) ?? [],
    })
  }

  // ----------------------------------------------------------------------------------------------------------- keys
  toggle(): void {
    this.isOpen = !this.isOpen
    if (this.isOpen) {
      this.terminal.holdOutput()
      this.terminal.show(`${BANNER}\n`)
      this.editor.redraw()
      // It is loaded now, so that the first line finds it there.
      this.lines = this.lines.then(() => void this.load())
    } else {
      this.editor.clear()
      if (this.stopped) this.terminal.show("The guest is stopped: cont in the monitor lets it go on.\n")
      this.terminal.releaseOutput()
      this.terminal.wake()
    }
  }

  input(bytes: Uint8Array): void {
    this.editor.input(bytes)
  }

  above(say: () => void): void {
    if (this.isOpen) this.editor.clear()
    say()
    if (this.isOpen) this.editor.redraw()
  }

  private async load(): Promise<Monitor> {
    // The disassembler is large.
    const { Monitor: Commands } = await import("./commands.ts")
    const save = await this.saver?.()
    return (this.monitor ??= new Commands(() => this.engine, this.underGdb ? undefined : this, save))
  }

  private enter(line: string): void {
    this.lines = this.lines.then(() => this.answer(line))
  }

  private async answer(line: string): Promise<void> {
    const monitor = await this.load()
    const { engine } = this
    await this.pause(engine)
    const answer = monitor.execute(line)
    if (!this.stopped && !this.full && this.steps === undefined) this.unpause()
    if (answer !== "") this.say(answer)
    else if (this.steps === undefined && this.isOpen) this.editor.redraw()
  }

  /** Text of ours, then the prompt. */
  private say(text: string): void {
    if (!this.isOpen) return
    this.terminal.show(`${text}\n`)
    this.editor.redraw()
  }

  // ------------------------------------------------------------------------------------------------ virtual CPUs' threads
  private async pause(engine: Engine | undefined): Promise<void> {
    if (engine?.pause === undefined || this.paused === engine) return
    await engine.pause()
    this.paused = engine
  }

  private unpause(): void {
    this.paused?.resume?.()
    this.paused = undefined
  }

  // -------------------------------------------------------------------------------------------------------- commands
  stop(): void {
    this.stopped = true
    this.terminal.wake()
  }

  go(): void {
    this.stopped = false
    this.terminal.wake()
  }

  step(vcpu: number, count: number): string {
    if (this.engine?.pause !== undefined)
      return "virtual CPUs with threads of their own cannot be stepped: run with --deterministic"
    this.stopped = true
    this.steps = { vcpu, count }
    this.terminal.wake()
    return ""
  }

  quit(): void {
    this.terminal.quit()
  }

  // -------------------------------------------------------------------------------------------------------- main loop
  /**
   * Before each slice. Undefined: the guest may run. Otherwise it did not, or has made steps, and this is what came of them.
   */
  async attend(engine: Engine): Promise<EngineEvent | undefined> {
    this.engine = engine
    const { steps } = this
    if (steps !== undefined) return this.makeSteps(engine, steps)
    const wasFull = this.full
    this.full = this.isOpen && this.terminal.heldBytes > MOST_HELD
    if (!this.stopped && !this.full) return undefined
    await this.pause(engine)
    if (this.full && !wasFull)
      this.above(() => this.terminal.show("The guest stands still: too much of its output waits.\n"))
    await this.terminal.change(Infinity)
    if (!this.stopped) this.unpause()
    return BUDGET
  }

  private async makeSteps(
    engine: Engine,
    { vcpu, count }: { readonly vcpu: number; readonly count: number },
  ): Promise<EngineEvent> {
    const { stepGuest } = await import("./stepper.ts")
    const over = (): boolean => !this.stopped || this.terminal.failure !== undefined
    const stepped = await stepGuest(engine, vcpu, count, over)
    this.steps = undefined
    if (stepped.kind === "over") {
      this.stopped = false
      return stepped.event
    }
    const where = this.monitor?.where(vcpu) ?? ""
    if (stepped.kind === "done") this.say(where)
    else this.say(`after ${counted(stepped.steps, "step")} virtual CPU ${vcpu} waits; cont lets time pass\n${where}`)
    return BUDGET
  }
}
