import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Engine, EngineEvent } from "./engine.ts"
import { CannotWrite, Interrupted } from "./errors.ts"
import { problemOf } from "./files.ts"
import { Keys, KEYS_HELP } from "./keys.ts"

/*
 * L:130 Housekeeping, and whoever has seen a shell without echo knows why it gets a file of its own. Standard input and
 * output, the signals that end a run, and the terminal's mode: all that must be put back whatever happens. Opened with
 * a layer's scope and closed with it. What the run loop calls often is plain methods, no Effects.
 */

const END_OF_TRANSMISSION = 0x04
const NEWLINE = 0x0a
/** Input that the guest has not taken: beyond this, whoever sends it waits. */
const INPUT_HIGH = 1 << 16
/** A line is what a person would type; longer ones come in parts, so that a guest's small buffers fill up in turn. */
const LONGEST_LINE = 256

/** Of the guest's unfinished line, shown again when its console is. */
const LONGEST_REST = 512

/** What Ctrl-A c opens (monitor/console.ts). */
export interface TerminalMonitor {
  /** What is typed is the monitor's. */
  readonly isOpen: boolean
  toggle(): void
  input(bytes: Uint8Array): void
  /** Whatever `say` writes stands above the line that is being typed. */
  above(say: () => void): void
  /** To be asked before each slice: what has become of a guest that the monitor holds; undefined: it may run. */
  attend(engine: Engine): Promise<EngineEvent | undefined>
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const

export class TerminalSession {
  /** Is a person at the keyboard? */
  readonly interactive: boolean
  /** Why the run has to end. */
  failure: Interrupted | CannotWrite | undefined
  /** Bytes of output so far. */
  written = 0
  /** All input has been taken, and no more will come. */
  private closed = false
  private column0 = true
  private input: Buffer[] = []
  private inputBytes = 0
  private output: Uint8Array[] = []
  private waiter: (() => void) | undefined
  private resized: (() => void) | undefined
  private nextGuest: (() => void) | undefined
  /** Whoever gives the guest a monitor sets it. */
  monitor: TerminalMonitor | undefined
  /** Output waits for the guest's console to be back. */
  private held = false
  private rest = Buffer.alloc(0)
  private readonly undo: Array<() => void> = []

  constructor() {
    this.interactive = process.stdin.isTTY === true
    try {
      this.open()
    } catch (thrown) {
      this.close()
      throw thrown
    }
  }

  // ------------------------------------------------------------------------------------------------------ opening
  private on(emitter: NodeJS.EventEmitter, event: string, listener: (...args: never[]) => void): void {
    emitter.on(event, listener as (...args: unknown[]) => void)
    this.undo.push(() => emitter.off(event, listener as (...args: unknown[]) => void))
  }

  private open(): void {
    const { stdin, stdout, stderr } = process
    for (const signal of SIGNALS) this.on(process, signal, () => this.fail(signal))
    // What we cannot tell anybody any more must not end us in the middle of ending.
    this.on(stderr, "error", () => undefined)
    this.on(stdout, "error", (error: NodeJS.ErrnoException) => this.undeliverable(error))
    this.on(stdout, "drain", () => this.wake())
    this.on(stdout, "resize", () => this.resized?.())
    // Node writes to pipes blockingly. A reader that does not read would make us deaf to signals.
    const handle = (stdout as { _handle?: { setBlocking?: (on: boolean) => void } })._handle
    if (stdout.isTTY !== true) handle?.setBlocking?.(false)

    const keys = new Keys({
      send: (bytes) => {
        if (this.monitor?.isOpen === true) this.monitor.input(bytes)
        else this.received(Buffer.from(bytes))
      },
      monitor: () => {
        if (this.monitor === undefined) this.note("lguest64: there is no monitor here")
        else this.monitor.toggle()
      },
      quit: () => this.quit(),
      help: () => this.note(["", ...KEYS_HELP].join("\n")),
      next: () => this.nextGuest?.(),
    })
    this.on(stdin, "data", (bytes: Buffer) => (this.interactive ? keys.input(bytes) : this.received(bytes)))
    this.on(stdin, "end", () => this.ended())
    this.on(stdin, "close", () => this.ended())
    this.on(stdin, "error", () => this.ended())
    if (this.interactive) {
      const raw = () => stdin.setRawMode(true)
      raw()
      this.undo.push(() => {
        try {
          stdin.setRawMode(false)
        } catch {
          // The terminal is gone, and its mode with it.
        }
      })
      this.on(process, "SIGCONT", raw)
    }
    stdin.resume()
    this.undo.push(() => {
      stdin.pause()
      stdin.unref?.()
    })
  }

  close(): void {
    this.releaseOutput()
    // What is said after the guest's last words begins on a line of its own.
    if (process.stdout.isTTY === true && !this.column0 && !this.hungUp) process.stdout.write("\n")
    for (const undo of this.undo.splice(0).reverse()) undo()
    // Errors that are still on their way have nobody left to tell.
    process.stdout.on("error", () => undefined)
    process.stderr.on("error", () => undefined)
  }

  /** Ends the run, as a person wants it. */
  quit(): void {
    this.fail("Ctrl-A x")
  }

  private fail(by: Interrupted["by"]): void {
    this.failure ??= new Interrupted({ by })
    this.wake()
  }

  /** Standard output takes no more. */
  private undeliverable(error: NodeJS.ErrnoException): void {
    if (error.code === "EIO") return this.fail("SIGHUP")
    if (error.code === "EPIPE") return this.fail("SIGPIPE")
    this.failure ??= new CannotWrite({ file: "standard output", problem: problemOf(error) })
    this.wake()
  }

  private get hungUp(): boolean {
    return this.failure?._tag === "Interrupted" && this.failure.by === "SIGHUP"
  }

  // -------------------------------------------------------------------------------------------------------- input
  private received(bytes: Buffer): void {
    this.input.push(bytes)
    this.inputBytes += bytes.length
    if (this.inputBytes > INPUT_HIGH) process.stdin.pause()
    this.wake()
  }

  private ended(): void {
    this.closed = true
    // On a terminal there is always more to come, unless it is gone.
    if (this.interactive) this.fail("SIGHUP")
    this.wake()
  }

  get hasInput(): boolean {
    return this.inputBytes > 0
  }

  /** Nothing is left, and nothing will come. */
  get inputEnded(): boolean {
    return this.closed && this.inputBytes === 0
  }

  /** The next piece of input: up to the end of a line. */
  take(): Uint8Array | undefined {
    const first = this.input[0]
    if (first === undefined) return undefined
    const newline = first.indexOf(NEWLINE)
    const length = Math.min(newline < 0 ? first.length : newline + 1, LONGEST_LINE)
    if (length === first.length) this.input.shift()
    else this.input[0] = first.subarray(length)
    this.inputBytes -= length
    if (this.inputBytes <= INPUT_HIGH && process.stdin.isPaused()) process.stdin.resume()
    return first.subarray(0, length)
  }

  /** What a person types to say that there is no more. */
  static readonly endOfInput = Uint8Array.of(END_OF_TRANSMISSION)

  // ------------------------------------------------------------------------------------------------------- output
  /** Bytes for standard output; they leave at the next `flush`. */
  write(bytes: Uint8Array): void {
    this.output.push(bytes)
    this.written += bytes.length
  }

  /** Sends what was written. False: whoever reads us is slow, so wait for a change. */
  flush(): boolean {
    if (this.output.length > 0 && !this.held) {
      const bytes = Buffer.concat(this.output.splice(0))
      this.column0 = bytes.at(-1) === NEWLINE
      if (this.monitor !== undefined) {
        const newline = bytes.lastIndexOf(NEWLINE)
        const begun = newline < 0 ? Buffer.concat([this.rest, bytes]) : bytes.subarray(newline + 1)
        this.rest = Buffer.from(begun.subarray(-LONGEST_REST))
      }
      process.stdout.write(bytes)
    }
    return !process.stdout.writableNeedDrain
  }

  /** From here on the terminal shows what `show` is given; the guest's output is kept. */
  holdOutput(): void {
    this.flush()
    if (!this.column0) this.show("\n")
    this.held = process.stdout.isTTY === true
  }

  /** The guest's console is back: the line that it had begun, and what it has written since. */
  releaseOutput(): void {
    if (!this.held) return
    this.held = false
    // The run ends under an open monitor: its line is not the guest's.
    if (this.monitor?.isOpen === true) this.show("\r\x1b[K")
    process.stdout.write(this.rest)
    this.column0 = this.rest.length === 0
    this.flush()
  }

  /** Bytes that are kept. */
  get heldBytes(): number {
    return this.held ? this.output.reduce((sum, { length }) => sum + length, 0) : 0
  }

  /** Text of the monitor's, at once. */
  show(text: string): void {
    if (this.hungUp) return
    if (process.stdout.isTTY === true) process.stdout.write(text)
    else process.stderr.write(text)
  }

  /** A line of ours, on standard error. In raw mode too libuv turns line ends into what a terminal needs. */
  note(line: string): void {
    const say = (): void => void process.stderr.write(`${line}\n`)
    if (this.monitor?.isOpen === true) this.monitor.above(say)
    else say()
  }

  /** Columns and rows of the terminal that shows the output. */
  get size(): readonly [number, number] | undefined {
    return process.stdout.isTTY === true ? [process.stdout.columns, process.stdout.rows] : undefined
  }

  /** Ctrl-A n; what `take` gives at that moment was typed before it. */
  onNext(listener: () => void): void {
    this.nextGuest = listener
  }

  onResize(listener: () => void): void {
    this.resized = listener
  }

  // ------------------------------------------------------------------------------------------------------ waiting
  /** Ends a wait for a change: something else has changed. */
  wake(): void {
    const { waiter } = this
    this.waiter = undefined
    waiter?.()
  }

  /** Resolves at the next input, drain, end or signal, or after `milliseconds`. */
  change(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer =
        milliseconds === Infinity ? undefined : setTimeout(() => this.wake(), Math.min(milliseconds, 2 ** 30))
      this.waiter = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}

export class Terminal extends Context.Service<Terminal, TerminalSession>()("lguest64/launcher/Terminal") {
  static readonly layer = Layer.effect(
    Terminal,
    Effect.acquireRelease(
      Effect.sync(() => new TerminalSession()),
      (session) => Effect.sync(() => session.close()),
    ),
  )
}
