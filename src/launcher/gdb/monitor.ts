import type { DebugSession, MonitorCommands } from "../debug/session.ts"

/* gdb's `monitor` command: what gdb has no word for, then whatever the simulator's own monitor knows. */

const HELP = `physical ADDRESS [LENGTH]  bytes of the guest's physical memory (LENGTH: at most 4096, else 64)
virtual ADDRESS            the guest-physical address that is mapped there
time                       simulated nanoseconds and how far execution can be taken back
help                       this list`

const MOST = 4096
const ROW = 16

/** Decimal, or hexadecimal with 0x. */
const number = (text: string | undefined): bigint | undefined =>
  text !== undefined && /^(0x[0-9a-f]{1,16}|\d{1,15})$/i.test(text) ? BigInt(text) : undefined

const hex = (n: number | bigint): string => `0x${n.toString(16)}`

const dump = (address: number, bytes: Uint8Array): string => {
  const rows: string[] = []
  for (let at = 0; at < bytes.length; at += ROW) {
    const row = [...bytes.subarray(at, at + ROW)]
    const digits = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ")
    const text = row.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".")).join("")
    rows.push(`${hex(address + at)}: ${digits.padEnd(3 * ROW - 1)}  ${text}`)
  }
  return rows.join("\n")
}

const physical = (session: DebugSession, words: ReadonlyArray<string>): string => {
  const address = number(words[0])
  const length = words[1] === undefined ? 64n : number(words[1])
  if (address === undefined || length === undefined || length < 1n || length > BigInt(MOST))
    return `physical ADDRESS [LENGTH]: numbers, LENGTH from 1 to ${MOST}`
  const at = Number(address)
  const bytes = session.target.readPhysical(at, Number(length))
  return bytes.length === 0 ? `there is no memory at guest-physical ${hex(address)}` : dump(at, bytes)
}

const virtual = (session: DebugSession, words: ReadonlyArray<string>): string => {
  const address = number(words[0])
  if (address === undefined) return "virtual ADDRESS: a number"
  const vcpu = session.stop?.vcpu ?? 0
  const gpa = session.target.vcpus[vcpu]!.translate(address)
  return gpa < 0 ? `nothing is mapped at ${hex(address)}` : `${hex(address)} is guest-physical ${hex(gpa)}`
}

const time = (session: DebugSession): string =>
  `${session.now} ns; ${session.forwardOnly === undefined ? "execution can be taken back to the start" : `no way back: ${session.forwardOnly}`}`

/** The answer to a `monitor` line. */
export const builtIn = (session: DebugSession, line: string, others: MonitorCommands | undefined): string => {
  const [command = "help", ...words] = line.split(/\s+/).filter((word) => word !== "")
  switch (command) {
    case "physical":
      return physical(session, words)
    case "virtual":
      return virtual(session, words)
    case "time":
      return time(session)
    case "help":
      return others === undefined ? HELP : `${HELP}\n${others("help")}`
    default:
      return others === undefined ? `there is no command ${command}; try help` : others(line)
  }
}
