import { Decoder, DecoderOptions, Formatter, FormatterSyntax } from "iced-x86"
import { MAX_DIFFS, RESULT, TEST, isLong } from "./layout.ts"
import { NOWHERE, TRAPPED } from "./simulated.ts"
import type { Template } from "./templates.ts"

/* Compares what the two processors did, word by word, and tells a difference so that one can act on it. */

const CF = 0x001
const AF = 0x010
const OF = 0x800
/** Instead of flags: even the destination is undefined. */
const UNDEFINED_RESULT = -1
const STEPPED = 1
const NOT_PRESENT = 11
const STACK_FAULT = 12
const GENERAL_PROTECTION = 13
const PAGE_FAULT = 14
const RCX = 1
const RSI = 6
const RDI = 7

/** The status flags that the manuals leave undefined for this very case. */
const undefinedFlags = (t: Template, tests: DataView, index: number): number => {
  const { mnemonic } = t
  const immediate = t.count >= 0
  const cl = tests.getUint8(index * TEST.size + TEST.fields.gpr.offset + 8 * RCX)
  const count = (immediate ? t.count : cl) & (t.width === 64 ? 63 : 31)
  switch (mnemonic) {
    case "shl":
    case "sal":
    case "shr":
    case "sar":
      if (count === 0) return 0
      return AF | (count !== 1 ? OF : 0) | (count >= t.width && mnemonic !== "sar" ? CF : 0)
    case "rol":
    case "ror":
    case "rcl":
    case "rcr":
      return count > 1 ? OF : 0
    case "shld":
    case "shrd":
      if (count === 0) return 0
      return count > t.width ? UNDEFINED_RESULT : AF | (count !== 1 ? OF : 0)
    default:
      return icedToFlags(t.undefinedFlags)
  }
}

/** iced-x86's RflagsBits to the processor's. */
const icedToFlags = (bits: number): number =>
  (bits & 1 ? OF : 0) |
  (bits & 2 ? 0x80 : 0) |
  (bits & 4 ? 0x40 : 0) |
  (bits & 8 ? AF : 0) |
  (bits & 16 ? CF : 0) |
  (bits & 32 ? 0x04 : 0)

const GPR_WORDS = 32
const REGISTERS = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15".split(" ")
const f = RESULT.fields
const word = (field: { offset: number }) => field.offset >>> 2

/** The names of the fields of result `index` that differ; empty if the processors agree. */
export const differences = (
  t: Template,
  tests: DataView,
  native: Uint32Array,
  simulated: Uint32Array,
  index: number,
): string[] => {
  const at = (index * RESULT.size) >>> 2
  const out: string[] = []
  const differ = (w: number) => native[at + w] !== simulated[at + w]
  // In compatibility mode the upper halves cannot be told; that of RSP is whatever Linux returned to a 16-bit stack with.
  const whole = t.bitness === 64 && isLong((native[at + word(f.cs)]! >>> (8 * (f.cs.offset & 3))) & 0xffff)
  for (let w = 0; w < GPR_WORDS; w += whole ? 1 : 2) if (differ(w)) out.push(REGISTERS[w >>> 1]!)
  if (differ(word(f.rip)) || differ(word(f.rip) + 1)) out.push("rip")
  const ignored = undefinedFlags(t, tests, index)
  if (ignored === UNDEFINED_RESULT) return []
  if (((native[at + word(f.rflags)]! ^ simulated[at + word(f.rflags)]!) & ~ignored) !== 0) out.push("rflags")
  const vector = native[at + word(f.vector)]! & 0xffff
  if ((simulated[at + word(f.vector)]! & 0xffff) !== vector) out.push("vector")
  for (const name of ["cs", "ss", "ds", "es", "fs", "gs"] as const) {
    const shift = (f[name].offset & 2) * 8
    const selector = (words: Uint32Array) => (words[at + word(f[name])]! >>> shift) & 0xffff
    // Linux's IRET into the signal handler turns every null selector of a data segment into 0.
    const seen = (s: number) => (s < 4 ? 0 : s)
    if (seen(selector(native)) !== seen(selector(simulated))) out.push(name)
  }
  if (t.bitness === 64)
    for (const name of ["fsBase", "gsBase"] as const)
      if (differ(word(f[name])) || differ(word(f[name]) + 1)) out.push(name)
  // Linux says of every address that is not the user's that the page is present.
  const cr2High = native[at + word(f.cr2) + 1]!
  const beyond = cr2High > 0x7fff || (cr2High === 0x7fff && native[at + word(f.cr2)]! >= 0xfffff000)
  const kernelHalf = vector === PAGE_FAULT && beyond ? 1 : 0
  if ((native[at + word(f.error)]! | kernelHalf) !== (simulated[at + word(f.error)]! | kernelHalf)) out.push("error")
  if (vector === PAGE_FAULT && (differ(word(f.cr2)) || differ(word(f.cr2) + 1))) out.push("cr2")
  if (differ(word(f.diffs)) || differ(word(f.hash)) || differ(word(f.hash) + 1)) out.push("memory")
  if (out.length === 0) return out
  const ours = simulated[at + word(f.vector)]! & 0xffff
  return unspecified(t, vector, ours, out) || (t.repeats && shortOverlap(t, tests, index, out)) ? [] : out
}

/** Differences in what no manual specifies: the order of accesses and checks within long microcoded instructions. */
const unspecified = (t: Template, real: number, ours: number, fields: ReadonlyArray<string>): boolean => {
  const only = (...allowed: string[]) => fields.every((name) => allowed.includes(name))
  // ENTER has copied some frame pointers when a later one, or the check of the new stack top, faults.
  if (t.mnemonic === "enter" && real === PAGE_FAULT) return only("memory", "cr2", "error")
  // POPA has loaded some registers when a later one faults; ESP is as it was, so it can be done again.
  if (t.mnemonic.startsWith("popa") && real !== STEPPED && real === ours) return only(...REGISTERS, "cr2")
  // Which slot of a frame is touched first, whether before the target is looked at, and with which width of rSP when the
  // transfer changes that.
  const frame = t.mnemonic.startsWith("iret") || t.mnemonic === "retf" || t.mnemonic === "call"
  const faulted = [NOT_PRESENT, STACK_FAULT, GENERAL_PROTECTION, PAGE_FAULT].includes(ours)
  if (frame && (real === PAGE_FAULT || real === STACK_FAULT) && faulted) return only("vector", "error", "cr2")
  return false
}

/**
 * REP MOVSW, MOVSD and MOVSQ whose source and target are less than one element apart: the real processor's short moves read
 * ahead of what they have written.
 */
const shortOverlap = (t: Template, tests: DataView, index: number, fields: ReadonlyArray<string>): boolean => {
  if (!/^movs[wdq]$/.test(t.mnemonic) || !fields.every((name) => name === "memory")) return false
  const gpr = (r: number) => tests.getBigUint64(index * TEST.size + TEST.fields.gpr.offset + 8 * r, true)
  const distance = BigInt.asIntN(8 * t.addressSize, gpr(RDI) - gpr(RSI))
  return distance !== 0n && distance > -8n && distance < 8n
}

const hex = (v: bigint | number) => `0x${v.toString(16)}`

export const disassemble = (bytes: Uint8Array, bitness: number, ip: bigint): string => {
  const decoder = new Decoder(bitness, bytes, DecoderOptions.AMD)
  decoder.ip = ip
  const instruction = decoder.decode()
  const formatter = new Formatter(FormatterSyntax.Intel)
  formatter.digitSeparator = ""
  const text = formatter.format(instruction)
  instruction.free()
  decoder.free()
  formatter.free()
  return text
}

const FLAG_NAMES: ReadonlyArray<readonly [number, string]> = [
  [0x1, "CF"],
  [0x4, "PF"],
  [0x10, "AF"],
  [0x40, "ZF"],
  [0x80, "SF"],
  [0x100, "TF"],
  [0x200, "IF"],
  [0x400, "DF"],
  [0x800, "OF"],
  [0x4000, "NT"],
  [0x10000, "RF"],
  [0x40000, "AC"],
  [0x200000, "ID"],
]
const flagText = (v: bigint) =>
  `${hex(v)} ${FLAG_NAMES.filter(([bit]) => Number(v) & bit)
    .map(([, name]) => name)
    .join(" ")}`

const outcome = (view: DataView, base: number): string => {
  const v = view.getUint16(base + f.vector.offset, true)
  const e = view.getUint32(base + f.error.offset, true)
  const cr2 = v === PAGE_FAULT ? ` cr2 ${hex(view.getBigUint64(base + f.cr2.offset, true))}` : ""
  return `${v === 1 ? "stepped" : v === 3 ? "int3" : v === NOWHERE ? "no end" : v === TRAPPED ? "THE CORE TRAPPED" : `exception ${v} error ${hex(e)}${cr2}`}`
}

const memory = (view: DataView, base: number): string => {
  const n = view.getUint32(base + f.diffs.offset, true)
  const words = Array.from({ length: Math.min(n, MAX_DIFFS) }, (_, i) => {
    const at = base + f.diff.offset + 16 * i
    return `[${hex(view.getBigUint64(at, true))}]=${hex(view.getBigUint64(at + 8, true))}`
  })
  return `${n} words ${words.join(" ")}`
}

/** One case in full: instruction, state before, both states after. */
export const describeCase = (
  t: Template,
  tests: DataView,
  native: DataView,
  simulated: DataView,
  index: number,
  fields: ReadonlyArray<string>,
): string => {
  const base = index * TEST.size
  const T = TEST.fields
  const q = (offset: number) => tests.getBigUint64(base + offset, true)
  const length = t.bytes.length
  const code = new Uint8Array(tests.buffer, tests.byteOffset + base + T.code.offset, length)
  const rip = q(T.rip.offset)
  const lines = [
    `${t.bitness}-bit  ${disassemble(code, t.bitness, rip)}    [${Buffer.from(code).toString("hex")}] at ${hex(rip)}  differs: ${fields.join(" ")}`,
    `  before: ${REGISTERS.slice(0, t.bitness === 64 ? 16 : 8)
      .map((r, i) => `${r}=${hex(q(T.gpr.offset + 8 * i))}`)
      .join(" ")}`,
    `          rflags=${flagText(q(T.rflags.offset))}; ${(["cs", "ss", "ds", "es", "fs", "gs"] as const)
      .map((s) => `${s}=${hex(tests.getUint16(base + T[s].offset, true))}`)
      .join(" ")} fsbase=${hex(q(T.fsBase.offset))} gsbase=${hex(q(T.gsBase.offset))}`,
  ]
  const patches = tests.getUint16(base + T.patches.offset, true)
  if (patches > 0)
    lines.push(
      `          memory ${Array.from({ length: patches }, (_, i) => `[${hex(q(T.patch.offset + 16 * i))}]=${hex(q(T.patch.offset + 16 * i + 8))}`).join(" ")}`,
    )
  const at = index * RESULT.size
  for (const [name, view] of [
    ["silicon", native],
    ["core", simulated],
  ] as const) {
    const parts = [outcome(view, at)]
    for (const field of new Set(fields)) {
      const r = REGISTERS.indexOf(field)
      if (r >= 0) parts.push(`${field}=${hex(view.getBigUint64(at + f.gpr.offset + 8 * r, true))}`)
      else if (field === "rflags") parts.push(`rflags=${flagText(view.getBigUint64(at + f.rflags.offset, true))}`)
      else if (field === "rip" || field === "fsBase" || field === "gsBase")
        parts.push(`${field}=${hex(view.getBigUint64(at + f[field].offset, true))}`)
      else if (field === "memory") parts.push(memory(view, at))
      else if (["cs", "ss", "ds", "es", "fs", "gs"].includes(field))
        parts.push(`${field}=${hex(view.getUint16(at + f[field as "cs"].offset, true))}`)
    }
    lines.push(`  ${name.padEnd(8)}${parts.join(" ")}`)
  }
  return lines.join("\n")
}
