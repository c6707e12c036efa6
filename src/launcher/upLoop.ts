import type { NetLink } from "../devices/index.ts"
import type { Engine, EngineEvent } from "./engine.ts"
import { type CannotWrite, InstructionLimit, type Interrupted } from "./errors.ts"
import type { Sampler } from "./sampler.ts"
import { TerminalSession } from "./terminal.ts"
import { AddressedLines, type Channel, pieces, type SharedOutput } from "./upConsole.ts"

/*
 * The main loop of `lguest64 up`: several machines whose clocks go together. Time passes in rounds. In each, every guest runs
 * until its clock has reached the round's end, or sleeps; frames that it sends are at the others' ports at once and are taken
 * in the next round. So no guest is ever more than a round ahead of another, and one that waits for an answer gets it before
 * its timer ends. When all sleep, time leaps to the first timer, unless somebody may still type.
 *
 * A guest whose virtual CPUs have threads runs all the time, whatever the round. The round waits until its clock is there too;
 * when that is too far ahead the guest is made to pause until the others have caught up.
 *
 * With --deterministic a line of input is taken only when all guests sleep, and their time stands still until there is one.
 */

export interface UpMember {
  readonly name: string
  readonly channel: Channel
  /** Builds its machine; again after a restart. */
  readonly create: () => Promise<Engine>
  /** What its network device is plugged into. */
  readonly link: NetLink | undefined
  readonly script: string
  /** Where statistics are asked for. */
  readonly sampler: Sampler | undefined
}

export interface UpConfig {
  readonly terminal: TerminalSession
  readonly output: SharedOutput
  readonly members: ReadonlyArray<UpMember>
  readonly deterministic: boolean
  readonly maxInstructions: number
  /** A guest has ended: with a status of its own, or killed for a reason. */
  readonly ended: (name: string, ending: UpEnding) => void
}

export type UpEnding =
  | { readonly kind: "powerOff"; readonly status: number; readonly message: string }
  | { readonly kind: "killed"; readonly reason: string }

/** Simulated nanoseconds of a round. */
const ROUND = 500_000
/** How far a guest with threads may be ahead of the round's end. A pause costs all its virtual CPUs a way out of the guest. */
const MOST_AHEAD = 20_000_000
const SECOND = 1e9
const NS_PER_MS = 1e6
/** Between two turns of Node's event loop. */
const TURN_MS = 8
/** All input has been typed, and no guest has said anything for so long: then ^D is pressed. */
const QUIET = 10 * SECOND
/** And for so long: then they wait in vain. */
const IN_VAIN = 3600 * SECOND

/** One guest in the loop. */
class Guest {
  readonly member: UpMember
  engine!: Engine
  ending: UpEnding | undefined
  /** What is to be typed. */
  readonly input: Uint8Array[]
  /** The loop's time at which this machine's clock was 0. */
  private origin = 0
  /** It sleeps until then, by the loop's time; 0: it does not. */
  sleepsUntil = 0
  private fedAt = 0
  /** It has threads, and has been made to pause. */
  private held = false
  /** Instructions of machines before a restart. */
  private before = 0

  constructor(member: UpMember) {
    this.member = member
    this.input = pieces(new TextEncoder().encode(member.script))
  }

  async start(now: number): Promise<void> {
    if (this.engine !== undefined) {
      await this.close()
      this.before += this.engine.instructions
    }
    this.engine = await this.member.create()
    this.origin = now
    this.sleepsUntil = 0
  }

  /** Ends its threads, if it has any: what it has counted stays. */
  async close(): Promise<void> {
    this.held = false
    await this.engine?.close?.()
  }

  get instructions(): number {
    return this.before + this.engine.instructions
  }

  /** The loop's time as this guest has lived it. */
  private get now(): number {
    return this.origin + this.engine.now
  }

  /** Also to a time that is past: of several processors one may be behind, with a timer that is due. */
  private skipTo(time: number): void {
    this.engine.skip(time - this.origin)
  }

  get hasFrames(): boolean {
    return (this.member.link?.pending ?? 0) > 0
  }

  /** Does it sleep, with nothing that would wake it by `time`? */
  sleepsAt(time: number): boolean {
    return this.sleepsUntil > time && !this.hasFrames
  }

  /** Lives through the round that ends at `end`. */
  async live(end: number): Promise<void> {
    // It has not moved since it fell asleep.
    if (this.sleepsUntil > 0) this.skipTo(Math.min(this.sleepsUntil, this.hasFrames ? end - ROUND : end))
    this.sleepsUntil = 0
    if (this.held) {
      if (this.now > end) return
      this.held = false
      this.engine.resume!()
    }
    this.member.sampler?.tick(this.engine)
    // Where it runs by itself it is looked at in every round: frames and what its virtual CPUs ask for must not wait.
    let look = this.engine.pause !== undefined
    while (this.ending === undefined && (look || this.now < end)) {
      look = false
      const event = await this.engine.run(Math.max(0, end - this.now))
      if (event.kind === "idle") {
        this.sleepsUntil = this.origin + event.until
        this.member.channel.pause()
        if (this.sleepsUntil > end) return
        this.skipTo(this.sleepsUntil)
        this.sleepsUntil = 0
      } else if (event.kind === "restart") await this.start(end)
      else if (event.kind === "powerOff" || event.kind === "killed") await this.endWith(await endingOf(event))
    }
    if (this.ending === undefined && this.engine.pause !== undefined && this.now - end > MOST_AHEAD) {
      await this.engine.pause()
      this.held = true
    }
  }

  async endWith(ending: UpEnding): Promise<void> {
    this.ending = ending
    await this.close()
  }

  /** All that was typed has been taken. */
  get satisfied(): boolean {
    return this.engine.pendingInput === 0 && this.input.length === 0
  }

  /** Types the next line, if the guest has taken the last and waits (or has been busy for long). */
  feed(time: number): boolean {
    if (this.input.length === 0 || this.engine.pendingInput > 0) return false
    if (this.sleepsUntil === 0 && time - this.fedAt < SECOND) return false
    this.type(this.input.shift()!, time)
    return true
  }

  type(bytes: Uint8Array, time: number): void {
    this.skipTo(Math.min(time, this.sleepsUntil))
    this.engine.input(bytes)
    this.sleepsUntil = 0
    this.fedAt = time
  }
}

/** What it means that a machine stopped; with the instruction that it died of. The disassembler is large, and rarely needed. */
const endingOf = async (event: Extract<EngineEvent, { kind: "powerOff" | "killed" }>): Promise<UpEnding> => {
  if (event.kind === "powerOff") return event
  if (event.code === undefined) return { kind: "killed", reason: event.reason }
  const { disassemble } = await import("./disassemble.ts")
  return { kind: "killed", reason: `${event.reason}: ${disassemble(event.code)}` }
}

class Loop {
  private readonly config: UpConfig
  private readonly terminal: TerminalSession
  private readonly all: ReadonlyArray<Guest>
  /** The end of the round, simulated ns. */
  private time = 0
  private turnStarted = performance.now()
  /** Who has the keyboard. */
  private focus: Guest | undefined
  private readonly lines = new AddressedLines()
  /** Lines that nobody has been given yet. */
  private readonly waiting: string[] = []
  private spoken = 0
  private spokeAt = 0
  private endAt = 0
  private endPause = QUIET

  constructor(config: UpConfig) {
    this.config = config
    this.terminal = config.terminal
    this.all = config.members.map((member) => new Guest(member))
    this.focus = this.all[0]
  }

  private get living(): ReadonlyArray<Guest> {
    return this.all.filter((guest) => guest.ending === undefined)
  }

  /** Whatever ends it, no guest's threads go on. */
  async run(): Promise<UpOutcome> {
    try {
      return await this.rounds()
    } finally {
      await Promise.all(this.all.map((guest) => guest.close()))
    }
  }

  private async rounds(): Promise<UpOutcome> {
    const { terminal, config } = this
    for (const guest of this.all) await guest.start(0)
    const resize = () => {
      const { size } = terminal
      if (size !== undefined) for (const guest of this.living) guest.engine.resize(size[0] - 4, size[1])
    }
    resize()
    terminal.onResize(resize)
    terminal.onNext(() => this.nextFocus())
    while (this.living.length > 0) {
      if (terminal.failure !== undefined) return terminal.failure
      if (this.all.reduce((sum, guest) => sum + guest.instructions, 0) >= config.maxInstructions)
        return new InstructionLimit({ limit: config.maxInstructions })
      await this.round()
      if (!terminal.flush()) await this.drain()
      if (performance.now() - this.turnStarted >= TURN_MS) await this.turn()
    }
    config.output.finish()
    terminal.flush()
    await this.turn()
    return terminal.failure ?? this.all.map((guest) => guest.ending!)
  }

  // ------------------------------------------------------------------------------------------------------- a round
  private async round(): Promise<void> {
    const end = this.time + ROUND
    const awake = this.living.filter((guest) => !guest.sleepsAt(end))
    if (awake.length === 0) return this.idle()
    this.time = end
    // Machines that have threads run at once; in a deterministic run one after the other.
    if (this.config.deterministic) for (const guest of awake) await guest.live(end)
    else await Promise.all(awake.map((guest) => guest.live(end)))
    for (const guest of awake) if (guest.ending !== undefined) this.bury(guest)
    if (this.terminal.interactive || !this.config.deterministic) this.take()
    for (const guest of this.living) guest.feed(this.time)
  }

  private bury(guest: Guest): void {
    guest.member.channel.end()
    this.terminal.flush()
    this.config.ended(guest.member.name, guest.ending!)
    if (this.focus === guest) this.nextFocus()
  }

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

  // --------------------------------------------------------------------------------------------------------- input
  private nextFocus(): void {
    this.take()
    const { living, focus } = this
    const order = [...this.all.slice(this.all.indexOf(focus!) + 1), ...this.all]
    this.focus = order.find((guest) => living.includes(guest))
    if (this.terminal.interactive && living.length > 0) this.terminal.note(`\r\n[typing at ${this.focus!.member.name}]`)
  }

  /** Takes what has been typed so far. */
  private take(): void {
    const { terminal } = this
    for (let bytes = terminal.take(); bytes !== undefined; bytes = terminal.take())
      if (terminal.interactive) this.focus?.input.push(...pieces(bytes))
      else this.waiting.push(...this.lines.add(bytes))
    if (terminal.inputEnded) this.waiting.push(...this.lines.rest())
    if (!this.config.deterministic) while (this.address());
  }

  /** Hands the next line to its guest. */
  private address(): boolean {
    const line = this.waiting.shift()
    if (line === undefined) return false
    const to = AddressedLines.split(line)
    const guest = this.all.find(({ member }) => member.name === to?.name)
    if (to === undefined || guest === undefined)
      this.terminal.note(`lguest64: input for no guest: ${JSON.stringify(line.trimEnd())} (a line is "name:text")`)
    else guest.input.push(...pieces(to.bytes))
    return true
  }

  /** Nobody has anything to do in the next round. */
  private async idle(): Promise<void> {
    const { terminal, config, living } = this
    const fed = () => living.filter((guest) => guest.feed(this.time)).length > 0
    this.take()
    if (fed()) return
    const waiting = living.some((guest) => guest.input.length > 0)
    // One line after the other, so that it does not matter when they came.
    if (config.deterministic && !terminal.interactive && !waiting && this.address()) return
    const next = Math.min(...living.map((guest) => guest.sleepsUntil))
    if (terminal.inputEnded && this.waiting.length === 0) return this.idleAtEnd(next)
    if (config.deterministic && !terminal.interactive) {
      // A line is on its way to somebody who has not taken the one before.
      if (waiting && next < Infinity) this.time = next
      else await terminal.change(Infinity)
      return
    }
    const wait = (next - this.time) / NS_PER_MS
    const started = performance.now()
    if (wait >= 1) await terminal.change(wait)
    else await this.turn()
    const passed = wait >= 1 ? (performance.now() - started) * NS_PER_MS : Infinity
    this.time = Math.min(next, this.time + passed)
  }

  /** All sleep, and nobody will type any more: time leaps, and ^D is pressed. */
  private async idleAtEnd(next: number): Promise<void> {
    const { terminal, living } = this
    if (this.spoken !== terminal.written) {
      this.spoken = terminal.written
      this.spokeAt = this.time
      this.endAt = this.time + QUIET
      this.endPause = QUIET
    }
    if (this.time - this.spokeAt > IN_VAIN) {
      const reason = "all input has ended, and no guest has said anything for an hour of simulated time"
      for (const guest of living) {
        await guest.endWith({ kind: "killed", reason })
        this.bury(guest)
      }
      return
    }
    if (next <= this.endAt) {
      this.time = next
      return
    }
    this.time = this.endAt
    this.endAt += this.endPause
    this.endPause *= 2
    for (const guest of living) if (guest.satisfied) guest.type(TerminalSession.endOfInput, this.time)
  }
}

/** How each guest ended, or what ended all of them. */
export type UpOutcome = ReadonlyArray<UpEnding> | InstructionLimit | Interrupted | CannotWrite

export const runUp = (config: UpConfig): Promise<UpOutcome> => new Loop(config).run()
