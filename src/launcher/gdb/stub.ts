import type { Watchpoint } from "../../machine/debugger.ts"
import type { RegisterName } from "../../machine/inspection.ts"
import { ReplayFailed } from "../debug/replay.ts"
import type { DebugSession, End, MonitorCommands, Resume, Stop } from "../debug/session.ts"
import { fromHex, fromLittleEndian, littleEndian, parseAddress, parseNumber, textToHex, toHex } from "./hex.ts"
import { builtIn } from "./monitor.ts"
import { PACKET_SIZE } from "./packet.ts"
import { description, type GdbRegister, registersOf } from "./registers.ts"

/*
 * What each packet of the protocol means (gdb manual, appendix E.2): a packet's text in, the replies' texts out. It is one
 * connection's view of the session; threads are virtual CPUs, numbered from 1. A packet that is unknown has an empty reply, which
 * is how gdb learns what there is; one that is malformed has an error.
 */

/** errno values, as gdb shows them. */
const EFAULT = "E0e"
const EINVAL = "E16"
const ENOSPC = "E1c"
const UNKNOWN = ""
const OK = "OK"

const SIGINT = "02"
const SIGABRT = "06"
const SIGTERM = "0f"
const SIGTRAP = "05"

/** Characters of a console message in one packet. */
const MESSAGE = 1024

export type Replies = ReadonlyArray<string | Uint8Array>

/** What a packet does besides its replies. */
export interface Outcome {
  readonly replies: Replies
  /** The guest is to go on: its next stop is the reply. */
  readonly resume?: Resume
  /** The connection is over. */
  readonly leave?: true
}

const reply = (...replies: Replies): Outcome => ({ replies })

type BreakKind = "swbreak" | "hwbreak"
const WATCH_KINDS: Readonly<Record<string, Watchpoint["kind"]>> = { "2": "write", "3": "read", "4": "access" }
const WATCH_NAMES: Readonly<Record<Watchpoint["kind"], string>> = { write: "watch", read: "rwatch", access: "awatch" }

export class GdbStub {
  /** Acknowledgements are no longer wanted. */
  quiet = false
  private readonly session: DebugSession
  private readonly commands: MonitorCommands | undefined
  /** Breakpoints of this connection by kind: gdb wants to hear which it was. */
  private readonly breakpoints: Readonly<Record<BreakKind, Set<bigint>>> = { swbreak: new Set(), hwbreak: new Set() }
  private readonly tellsKind = new Set<BreakKind>()
  /** The virtual CPU that registers and memory are asked of. */
  private vcpu = 0

  constructor(session: DebugSession, commands?: MonitorCommands) {
    this.session = session
    this.commands = commands
  }

  private get registers(): ReadonlyArray<GdbRegister> {
    return registersOf(this.session.target.bits)
  }

  /** `data` is a packet's; the guest is stopped. */
  async handle(data: Uint8Array): Promise<Outcome> {
    const text = Buffer.from(data).toString("latin1")
    const rest = text.slice(1)
    switch (text[0]) {
      case "?":
        return reply(this.stopReply(this.session.stop!))
      case "g":
        return reply(this.readAll())
      case "G":
        return reply(this.writeAll(rest))
      case "p":
        return reply(this.readOne(rest))
      case "P":
        return reply(this.writeOne(rest))
      case "m":
        return reply(this.readMemory(rest))
      case "M":
        return reply(this.writeMemory(rest))
      case "X":
        return reply(this.writeBinary(data))
      case "Z":
      case "z":
        return reply(this.changeBreak(text[0] === "Z", rest))
      case "c":
      case "s":
        return this.go(text[0], rest)
      case "C":
      case "S":
        return this.go(text[0] === "C" ? "c" : "s", rest.slice(3))
      case "b":
        return this.back(rest)
      case "H":
        return reply(this.selectThread(rest))
      case "T":
        return reply(this.thread(rest) === undefined ? EINVAL : OK)
      case "D":
        return { replies: [OK], leave: true }
      case "k":
        this.session.kill()
        return reply()
      case "q":
        return this.query(rest)
      case "Q":
        if (rest !== "StartNoAckMode") return reply(UNKNOWN)
        this.quiet = true
        return reply(OK)
      case "v":
        return this.verbose(rest)
      default:
        return reply(UNKNOWN)
    }
  }

  // ----------------------------------------------------------------------------------------------------- stops, ends
  stopReply({ reason, vcpu }: Stop): string {
    this.vcpu = vcpu
    const thread = `thread:${(vcpu + 1).toString(16)};`
    switch (reason.kind) {
      case "interrupted":
        return `T${SIGINT}${thread}`
      case "watchpoint":
        return `T${SIGTRAP}${WATCH_NAMES[reason.watchpoint.kind]}:${reason.watchpoint.address.toString(16)};${thread}`
      case "breakpoint": {
        const rip = this.session.target.vcpus[vcpu]!.read("rip")
        const kind = (["swbreak", "hwbreak"] as const).find((k) => this.breakpoints[k].has(rip))
        return `T${SIGTRAP}${kind !== undefined && this.tellsKind.has(kind) ? `${kind}:;` : ""}${thread}`
      }
      case "historyBegins":
        return `T${SIGTRAP}replaylog:begin;${thread}`
      default:
        return `T${SIGTRAP}${thread}`
    }
  }

  static endReply(end: End): Replies {
    switch (end.kind) {
      case "powerOff":
        return [`W${(end.status & 0xff).toString(16).padStart(2, "0")}`]
      case "killed":
        return [...consoleMessages(`the guest was killed: ${end.reason}\n`), `X${SIGABRT}`]
      case "closed":
        return [`X${SIGTERM}`]
    }
  }

  // ------------------------------------------------------------------------------------------------------- registers
  private value({ bits, from }: GdbRegister, values: ReadonlyMap<RegisterName, bigint>): string {
    return from === undefined ? "x".repeat(bits / 4) : littleEndian(values.get(from)!, bits / 8)
  }

  private readAll(): string {
    const values = this.session.target.registers(this.vcpu)
    return this.registers.map((register) => this.value(register, values)).join("")
  }

  private readOne(text: string): string {
    const register = this.registers[parseNumber(text) ?? -1]
    return register === undefined ? EINVAL : this.value(register, this.session.target.registers(this.vcpu))
  }

  private set(register: GdbRegister, text: string): boolean {
    // What gdb was told is unavailable it gives back so, or as anything.
    if (register.from === undefined || /^x+$/.test(text)) return true
    const value = fromLittleEndian(text)
    return (
      value !== undefined &&
      text.length === register.bits / 4 &&
      this.session.writeRegister(this.vcpu, register.from, value)
    )
  }

  private writeOne(text: string): string {
    const [number = "", value = ""] = text.split("=")
    const register = this.registers[parseNumber(number) ?? -1]
    return register !== undefined && this.set(register, value) ? OK : EINVAL
  }

  private writeAll(text: string): string {
    let at = 0
    for (const register of this.registers) {
      const digits = register.bits / 4
      if (at + digits > text.length) return EINVAL
      if (!this.set(register, text.slice(at, at + digits))) return EINVAL
      at += digits
    }
    return OK
  }

  // ---------------------------------------------------------------------------------------------------------- memory
  /** "address,length", and what follows the colon. */
  private range(
    text: string,
  ): { readonly address: bigint; readonly length: number; readonly rest: string } | undefined {
    const [, from, count, rest] = /^([0-9a-f]+),([0-9a-f]+)(?::([^]*))?$/i.exec(text) ?? []
    const address = parseAddress(from ?? "")
    const length = parseNumber(count ?? "")
    return address === undefined || length === undefined ? undefined : { address, length, rest: rest ?? "" }
  }

  private readMemory(text: string): string {
    const range = this.range(text)
    if (range === undefined) return EINVAL
    // Fewer bytes than were asked for are an answer, none is not.
    const bytes = this.session.target.read(this.vcpu, range.address, Math.min(range.length, PACKET_SIZE / 2 - 16))
    return bytes.length === 0 && range.length > 0 ? EFAULT : toHex(bytes)
  }

  private writeMemory(text: string): string {
    const range = this.range(text)
    const bytes = fromHex(range?.rest ?? "-")
    if (range === undefined || bytes === undefined || bytes.length !== range.length) return EINVAL
    return this.session.writeMemory(this.vcpu, range.address, bytes) ? OK : EFAULT
  }

  private writeBinary(data: Uint8Array): string {
    const colon = data.indexOf(0x3a)
    const range = this.range(Buffer.from(data.subarray(1, Math.max(colon, 1))).toString("latin1"))
    if (colon < 0 || range === undefined || data.length - colon - 1 !== range.length) return EINVAL
    return this.session.writeMemory(this.vcpu, range.address, data.subarray(colon + 1)) ? OK : EFAULT
  }

  // ---------------------------------------------------------------------------------------- breakpoints, watchpoints
  private changeBreak(insert: boolean, text: string): string {
    const [, type, from, size] = /^(\d),([0-9a-f]+),([0-9a-f]+)(?:;.*)?$/i.exec(text) ?? []
    const address = parseAddress(from ?? "")
    const length = parseNumber(size ?? "")
    if (address === undefined || length === undefined) return EINVAL
    try {
      if (type === "0" || type === "1")
        return this.changeBreakpoint(insert, type === "0" ? "swbreak" : "hwbreak", address)
      const kind = WATCH_KINDS[type!]
      if (kind === undefined) return UNKNOWN
      if (length === 0 || length > 4096) return EINVAL
      const watchpoint = { address, length, kind }
      if (insert) this.session.insertWatchpoint(watchpoint)
      else this.session.removeWatchpoint(watchpoint)
      return OK
    } catch (thrown) {
      if (thrown instanceof RangeError) return ENOSPC
      throw thrown
    }
  }

  /** Inserting one twice is no mistake (gdb manual, E.2: packets are to be idempotent). */
  private changeBreakpoint(insert: boolean, kind: BreakKind, address: bigint): string {
    const own = this.breakpoints[kind]
    if (insert === own.has(address)) return OK
    if (insert) {
      this.session.insertBreakpoint(address)
      own.add(address)
    } else {
      own.delete(address)
      this.session.removeBreakpoint(address)
    }
    return OK
  }

  // --------------------------------------------------------------------------------------------------------- running
  private go(how: "c" | "s", text: string): Outcome {
    if (text !== "") {
      const address = parseAddress(text)
      if (address === undefined || !this.session.writeRegister(this.vcpu, "rip", address)) return reply(EINVAL)
    }
    return { replies: [], resume: how === "c" ? { kind: "continue" } : { kind: "step", vcpu: this.vcpu } }
  }

  /** The first action that names a thread, or all, decides; where one thread steps the others stand. */
  private vCont(text: string): Outcome {
    const actions = text.split(";").slice(1)
    const parsed = actions.map((action) =>
      /^([cst]|[CS][0-9a-f]{2})(?::(-1|[0-9a-f]+(?:\.-?[0-9a-f]+)?))?$/i.exec(action),
    )
    if (parsed.length === 0 || parsed.some((action) => action === null)) return reply(EINVAL)
    const steps = parsed.find((action) => /^s/i.test(action![1]!))
    if (steps !== undefined) {
      const vcpu = steps![2] === undefined || steps![2] === "-1" ? this.vcpu : this.thread(steps![2])
      if (vcpu === undefined) return reply(EINVAL)
      return { replies: [], resume: { kind: "step", vcpu } }
    }
    if (parsed.every((action) => action![1] === "t")) return reply(this.stopReply(this.session.stop!))
    return { replies: [], resume: { kind: "continue" } }
  }

  private async back(text: string): Promise<Outcome> {
    if (text !== "s" && text !== "c") return reply(UNKNOWN)
    try {
      return reply(this.stopReply(await this.session.back(text === "s" ? "step" : "continue")))
    } catch (thrown) {
      if (!(thrown instanceof ReplayFailed)) throw thrown
      return reply(`E.no reverse execution: ${thrown.message}`)
    }
  }

  // --------------------------------------------------------------------------------------------------------- threads
  /** The virtual CPU of a thread's number; any thread, 0, is the one in use. */
  private thread(text: string): number | undefined {
    const number = parseNumber(text)
    if (number === 0) return this.vcpu
    return number !== undefined && number <= this.session.target.vcpus.length ? number - 1 : undefined
  }

  private selectThread(text: string): string {
    if (!/^[gc]/.test(text)) return UNKNOWN
    const vcpu = text.slice(1) === "-1" ? this.vcpu : this.thread(text.slice(1))
    if (vcpu === undefined) return EINVAL
    if (text[0] === "g") this.vcpu = vcpu
    return OK
  }

  // --------------------------------------------------------------------------------------------------------- queries
  private query(text: string): Outcome {
    const { target } = this.session
    if (text.startsWith("Supported")) return reply(this.supported(text))
    if (text === "fThreadInfo") return reply(`m${target.vcpus.map((_, i) => (i + 1).toString(16)).join(",")}`)
    if (text === "sThreadInfo") return reply("l")
    if (text === "C") return reply(`QC${(this.vcpu + 1).toString(16)}`)
    if (text === "Attached" || text.startsWith("Attached:")) return reply("1")
    if (text.startsWith("ThreadExtraInfo,")) return reply(this.threadInfo(text.slice("ThreadExtraInfo,".length)))
    if (text.startsWith("Xfer:")) return reply(this.transfer(text.slice("Xfer:".length)))
    if (text.startsWith("Rcmd,")) return reply(...this.command(text.slice("Rcmd,".length)))
    if (text === "Symbol::") return reply(OK)
    return reply(UNKNOWN)
  }

  private supported(text: string): string {
    for (const kind of ["swbreak", "hwbreak"] as const) if (text.includes(`${kind}+`)) this.tellsKind.add(kind)
    return [
      `PacketSize=${PACKET_SIZE.toString(16)}`,
      "qXfer:features:read+",
      "QStartNoAckMode+",
      "swbreak+",
      "hwbreak+",
      "vContSupported+",
      "ReverseStep+",
      "ReverseContinue+",
      "multiprocess-",
    ].join(";")
  }

  private threadInfo(text: string): string {
    const vcpu = this.thread(text)
    if (vcpu === undefined) return EINVAL
    const running = this.session.target.vcpus[vcpu]!.running() !== undefined
    return textToHex(`virtual CPU ${vcpu}${running ? "" : ", not in the guest"}`)
  }

  private transfer(text: string): string {
    const [, file, from, count] = /^features:read:([^:]*):([0-9a-f]+),([0-9a-f]+)$/i.exec(text) ?? []
    if (file === undefined) return UNKNOWN
    if (file !== "target.xml") return "E00"
    const whole = description(this.session.target.bits)
    const offset = parseNumber(from!) ?? whole.length
    const piece = whole.slice(offset, offset + Math.min(parseNumber(count!) ?? 0, PACKET_SIZE / 2))
    return `${offset + piece.length < whole.length ? "m" : "l"}${piece}`
  }

  private command(text: string): Replies {
    const bytes = fromHex(text)
    if (bytes === undefined) return [EINVAL]
    const line = Buffer.from(bytes).toString("utf8").trim()
    const output = builtIn(this.session, line, this.commands)
    return [...consoleMessages(output === "" || output.endsWith("\n") ? output : `${output}\n`), OK]
  }

  private verbose(text: string): Outcome {
    if (text === "Cont?") return reply("vCont;c;C;s;S;t")
    if (text.startsWith("Cont;")) return this.vCont(text)
    if (text.startsWith("Kill")) {
      this.session.kill()
      return { replies: [OK], leave: true }
    }
    return reply(UNKNOWN)
  }
}

/** Text for gdb's console. */
const consoleMessages = (text: string): Replies => {
  const messages: string[] = []
  for (let at = 0; at < text.length; at += MESSAGE) messages.push(`O${textToHex(text.slice(at, at + MESSAGE))}`)
  return messages
}
