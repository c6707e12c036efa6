import { Decoder, DecoderOptions, Formatter, FormatterSyntax } from "iced-x86"
import { parseAddress } from "./address.ts"
import type { Subject } from "./subject.ts"
import { fail, hex } from "./text.ts"

/* `x` and `xp`: memory, guest-virtual and guest-physical, in gdb's formats. */

const SIZES: Readonly<Record<string, number>> = { b: 1, h: 2, w: 4, g: 8 }
const FORMATS = "xduocsi"
const MOST_COUNT = 4096
const LONGEST_INSTRUCTION = 15
const LONGEST_STRING = 200
const ROW = 16

export interface Format {
  readonly count: number
  readonly format: string
  /** Bytes of a unit. */
  readonly size: number
}

/** What `x` alone means, and what a part that is not given is taken from. */
export const FIRST_FORMAT: Format = { count: 1, format: "x", size: 4 }

/** "3i", "16xb", "" after the slash. */
export const parseFormat = (text: string, before: Format): Format => {
  const parts = /^(\d*)([a-z]*)$/.exec(text)
  if (parts === null) return fail(`"/${text}" is no format: a count, then one of x d u o c s i, then one of b h w g`)
  const count = parts[1] === "" ? 1 : Number(parts[1])
  if (count < 1 || count > MOST_COUNT) return fail(`a count of ${parts[1]}: it can be 1 to ${MOST_COUNT}`)
  let { format, size } = before
  let sized = false
  for (const letter of parts[2]!)
    if (letter in SIZES) {
      size = SIZES[letter]!
      sized = true
    } else if (FORMATS.includes(letter)) format = letter
    else return fail(`no format "${letter}": x d u o c s i, and sizes b h w g`)
  if (format === "c" && !sized) size = 1
  return { count, format, size }
}

type Reader = (address: bigint, length: number) => Uint8Array

const nothing = (space: string, address: bigint): never => fail(`there is no memory at ${space} ${hex(address)}`)

const printable = (byte: number): string => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "")

const ESCAPES: Readonly<Record<number, string>> = {
  0: "\\0",
  9: "\\t",
  10: "\\n",
  13: "\\r",
  27: "\\e",
  34: '\\"',
  92: "\\\\",
}
const escaped = (byte: number): string => {
  const special = ESCAPES[byte] ?? printable(byte)
  return special === "" ? `\\x${byte.toString(16).padStart(2, "0")}` : special
}

const number = (bytes: Uint8Array, format: string): string => {
  let value = 0n
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!)
  const bits = 8 * bytes.length
  switch (format) {
    case "d":
      return BigInt.asIntN(bits, value).toString()
    case "u":
      return value.toString()
    case "o":
      return `0${value.toString(8)}`
    case "c":
      return `${BigInt.asIntN(bits, value)} '${escaped(Number(value & 0xffn))}'`
    default:
      return hex(value, bits)
  }
}

/** The text, and the address after it. */
type Examined = readonly [string, bigint]

const numbers = (read: Reader, at: bigint, { count, format, size }: Format, bits: number, space: string): Examined => {
  const bytes = read(at, count * size)
  const whole = Math.floor(bytes.length / size)
  if (whole === 0) return nothing(space, at)
  const perRow = Math.max(1, Math.floor(ROW / size / (format === "c" ? 2 : 1)))
  const rows: string[] = []
  for (let i = 0; i < whole; i += perRow) {
    const cells: string[] = []
    for (let n = i; n < Math.min(i + perRow, whole); n++)
      cells.push(number(bytes.subarray(n * size, (n + 1) * size), format))
    rows.push(`${hex(at + BigInt(i * size), bits)}: ${cells.join(" ")}`)
  }
  if (whole < count) rows.push(`there is no more memory at ${space} ${hex(at + BigInt(bytes.length))}`)
  return [rows.join("\n"), at + BigInt(whole * size)]
}

const strings = (read: Reader, from: bigint, count: number, bits: number, space: string): Examined => {
  const rows: string[] = []
  let at = from
  for (let i = 0; i < count; i++) {
    const bytes = read(at, LONGEST_STRING)
    if (bytes.length === 0) {
      if (i === 0) return nothing(space, at)
      rows.push(`there is no more memory at ${space} ${hex(at)}`)
      break
    }
    const end = bytes.indexOf(0)
    const text = [...bytes.subarray(0, end < 0 ? bytes.length : end)].map(escaped).join("")
    rows.push(`${hex(at, bits)}: "${text}"${end < 0 ? "..." : ""}`)
    at += BigInt(end < 0 ? bytes.length : end + 1)
  }
  return [rows.join("\n"), at]
}

const instructions = (read: Reader, from: bigint, count: number, bits: 32 | 64, space: string): Examined => {
  const bytes = read(from, count * LONGEST_INSTRUCTION)
  if (bytes.length === 0) return nothing(space, from)
  const decoder = new Decoder(bits, bytes, DecoderOptions.None)
  const formatter = new Formatter(FormatterSyntax.Gas)
  formatter.uppercaseHex = false
  try {
    decoder.ip = from
    const rows: string[] = []
    for (let i = 0; i < count && decoder.canDecode; i++) {
      const start = decoder.position
      const instruction = decoder.decode()
      const known = !instruction.isInvalid
      const text = known ? formatter.format(instruction).replace(/\s+/g, " ") : "(bad)"
      const end = known ? decoder.position : start + 1
      if (!known) {
        decoder.position = end
        decoder.ip = from + BigInt(end)
      }
      const code = [...bytes.subarray(start, end)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ")
      rows.push(`${hex(from + BigInt(start), bits)}: ${code.padEnd(24)} ${text}`)
      instruction.free()
    }
    return [rows.join("\n"), from + BigInt(decoder.position)]
  } finally {
    formatter.free()
    decoder.free()
  }
}

/** Where the next command without an address goes on. */
export interface Position {
  format: Format
  next: bigint
}

/** `physical`: xp. */
export const examine = (
  subject: Subject,
  position: Position,
  slash: string,
  words: ReadonlyArray<string>,
  physical: boolean,
): string => {
  if (words.length > 1) fail(`one address, please: ${physical ? "xp" : "x"}/NFU ADDRESS`)
  const format = parseFormat(slash, position.format)
  const at = words[0] === undefined ? position.next : parseAddress(words[0], subject)
  const read: Reader = physical
    ? (address, length) => subject.readPhysical(Number(address), length)
    : (address, length) => subject.readVirtual(address, length)
  const space = physical ? "guest-physical" : "address"
  const { bits } = subject
  const [text, next] =
    format.format === "i"
      ? instructions(read, at, format.count, bits, space)
      : format.format === "s"
        ? strings(read, at, format.count, bits, space)
        : numbers(read, at, format, bits, space)
  position.format = format
  position.next = BigInt.asUintN(bits, next)
  return text
}
