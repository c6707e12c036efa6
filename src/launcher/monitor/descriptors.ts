import { GDTR_BASE, GDTR_LIMIT, IDTR_BASE, IDTR_LIMIT, MSR_EFER } from "../../machine/core/state.ts"
import type { Processor } from "../../machine/processor.ts"
import type { Subject } from "./subject.ts"
import { columns, hex } from "./text.ts"

/* `info idt` and `info gdt`: the tables of a processor, and what a guest under a module believes to have in their place. */

const EFER_LMA = 1n << 10n
const word = (bytes: Uint8Array, at: number): number =>
  (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0

/** Exceptions by vector (SDM vol. 3, table 6-1). */
const EXCEPTIONS: Readonly<Record<number, string>> = {
  0: "#DE",
  1: "#DB",
  2: "NMI",
  3: "#BP",
  4: "#OF",
  5: "#BR",
  6: "#UD",
  7: "#NM",
  8: "#DF",
  10: "#TS",
  11: "#NP",
  12: "#SS",
  13: "#GP",
  14: "#PF",
  16: "#MF",
  17: "#AC",
  18: "#MC",
  19: "#XM",
}
export const vectorName = (vector: number): string =>
  vector in EXCEPTIONS ? `${vector} ${EXCEPTIONS[vector]}` : String(vector)

const isLong = (cpu: Processor): boolean => (cpu.long(MSR_EFER) & EFER_LMA) !== 0n

/** Bytes of a descriptor table of a processor, or why they cannot be shown. */
const tableOf = (subject: Subject, cpu: Processor, base: number, limit: number): Uint8Array | string => {
  const at = cpu.long(base)
  const bytes = cpu.word(limit) + 1
  if (bytes === 1) return "empty"
  return subject.readLinear(cpu, at, bytes) ?? "not mapped by the tables that the processor is on now"
}

// ------------------------------------------------------------------------------------------------------------- IDT
interface Gate {
  readonly type: string
  readonly dpl: number
  readonly selector: number
  readonly address: bigint
  readonly ist: number
}

const GATE_TYPES: Readonly<Record<number, string>> = {
  5: "task",
  6: "16-bit interrupt",
  7: "16-bit trap",
  14: "interrupt",
  15: "trap",
}

/** SDM vol. 3, figures 6-2 and 6-8. */
const gateOf = (bytes: Uint8Array, at: number, long: boolean): Gate | undefined => {
  const lo = word(bytes, at)
  const hi = word(bytes, at + 4)
  if ((hi & 0x8000) === 0) return undefined
  const top = long ? BigInt(word(bytes, at + 8)) << 32n : 0n
  return {
    type: GATE_TYPES[(hi >>> 8) & 0xf] ?? "reserved",
    dpl: (hi >>> 13) & 3,
    selector: lo >>> 16,
    address: top | BigInt(((hi & 0xffff_0000) | (lo & 0xffff)) >>> 0),
    ist: long ? hi & 7 : 0,
  }
}

/** Vectors in a row whose gates differ by one distance only are one line. */
const gateRows = (gates: ReadonlyArray<Gate | undefined>, bits: 32 | 64): ReadonlyArray<ReadonlyArray<string>> => {
  const rows: Array<ReadonlyArray<string>> = []
  for (let i = 0; i < gates.length;) {
    const gate = gates[i]
    if (gate === undefined) {
      i++
      continue
    }
    const follows = (n: number, step: bigint): boolean => {
      const next = gates[n]
      if (next === undefined || n in EXCEPTIONS) return false
      const alike =
        next.type === gate.type && next.dpl === gate.dpl && next.selector === gate.selector && next.ist === gate.ist
      return alike && next.address === gate.address + step * BigInt(n - i)
    }
    const step = (gates[i + 1]?.address ?? 0n) - gate.address
    let end = i + 1
    if (!(i in EXCEPTIONS)) while (follows(end, step)) end++
    rows.push([
      end === i + 1 ? vectorName(i) : `${i}..${end - 1}`,
      gate.type,
      String(gate.dpl),
      hex(gate.selector, 16),
      hex(gate.address, bits) + (end > i + 1 && step !== 0n ? ` + ${step} each` : ""),
      gate.ist === 0 ? "" : `IST ${gate.ist}`,
    ])
    i = end
  }
  return rows
}

const GATE_HEADING = ["vector", "gate", "DPL", "selector", "handler", "stack"]

const processorIdt = (subject: Subject, index: number): string => {
  const cpu = subject.processors[index]!
  const long = isLong(cpu)
  const title = `IDT of processor ${index} at ${hex(cpu.long(IDTR_BASE), long ? 64 : 32)}, limit ${hex(cpu.word(IDTR_LIMIT), 16)}`
  const bytes = tableOf(subject, cpu, IDTR_BASE, IDTR_LIMIT)
  if (typeof bytes === "string") return `${title}: ${bytes}`
  const size = long ? 16 : 8
  const gates = Array.from({ length: Math.min(256, Math.floor(bytes.length / size)) }, (_, i) =>
    gateOf(bytes, i * size, long),
  )
  return `${title}\n${columns([GATE_HEADING, ...gateRows(gates, long ? 64 : 32)])}`
}

const guestIdt = (subject: Subject): string => {
  const handlers = subject.module!.handlers()
  if (handlers.length === 0) return "the guest has set no handlers yet"
  const rows = handlers.map(({ vector, address, user, trap, direct }) => [
    vectorName(vector),
    trap ? "trap" : "interrupt",
    user ? "kernel, processes" : "kernel",
    hex(address, subject.bits),
    direct ? "the processor" : "the host",
  ])
  return `handlers as the guest has set them\n${columns([["vector", "gate", "INT by", "handler", "taken there by"], ...rows])}`
}

export const infoIdt = (subject: Subject): string => {
  const processor = processorIdt(subject, subject.processorOf(subject.index))
  return subject.module === undefined ? processor : `${guestIdt(subject)}\n\n${processor}`
}

// ------------------------------------------------------------------------------------------------------------- GDT
const SYSTEM_TYPES: Readonly<Record<number, string>> = {
  1: "16-bit TSS",
  2: "LDT",
  3: "16-bit TSS, busy",
  4: "16-bit call gate",
  5: "task gate",
  9: "TSS",
  11: "TSS, busy",
  12: "call gate",
}

/** Type of a code or data segment (SDM vol. 3, table 3-1). */
const segmentType = (hi: number): string => {
  const long = (hi & 0x20_0000) !== 0
  const size = (hi & 0x40_0000) !== 0 ? "32-bit" : long ? "64-bit" : "16-bit"
  if ((hi & 0x800) !== 0)
    return `${size} code ${(hi & 0x200) !== 0 ? "rx" : "-x"}${(hi & 0x400) !== 0 ? " conforming" : ""}`
  return `data r${(hi & 0x200) !== 0 ? "w" : "-"}${(hi & 0x400) !== 0 ? " expand-down" : ""}`
}

const PRESENT = 0x8000
const CODE_OR_DATA = 0x1000

const descriptorRows = (
  words: ReadonlyArray<readonly [number, number]>,
  long: boolean,
): ReadonlyArray<ReadonlyArray<string>> => {
  const rows: Array<ReadonlyArray<string>> = []
  for (let i = 0; i < words.length; i++) {
    const [lo, hi] = words[i]!
    if ((hi & PRESENT) === 0) continue
    const system = (hi & CODE_OR_DATA) === 0
    const raw = (lo & 0xffff) | (hi & 0xf_0000)
    const limit = (hi & 0x80_0000) !== 0 ? raw * 4096 + 4095 : raw
    let base = BigInt(((lo >>> 16) | ((hi & 0xff) << 16) | (hi & 0xff00_0000)) >>> 0)
    // System descriptors have 16 bytes in IA-32e mode: the upper half of the base follows.
    const wide = system && long
    if (wide) base |= BigInt(words[i + 1]?.[0] ?? 0) << 32n
    rows.push([
      hex(i * 8, 16),
      system ? (SYSTEM_TYPES[(hi >>> 8) & 0xf] ?? "reserved") : segmentType(hi),
      String((hi >>> 13) & 3),
      hex(base, wide ? 64 : 32),
      hex(limit, 32),
    ])
    if (wide) i++
  }
  return rows
}

const GDT_HEADING = ["selector", "type", "DPL", "base", "limit"]

const processorGdt = (subject: Subject, index: number): string => {
  const cpu = subject.processors[index]!
  const long = isLong(cpu)
  const title = `GDT of processor ${index} at ${hex(cpu.long(GDTR_BASE), long ? 64 : 32)}, limit ${hex(cpu.word(GDTR_LIMIT), 16)}`
  const bytes = tableOf(subject, cpu, GDTR_BASE, GDTR_LIMIT)
  if (typeof bytes === "string") return `${title}: ${bytes}`
  const words = Array.from(
    { length: bytes.length >>> 3 },
    (_, i) => [word(bytes, 8 * i), word(bytes, 8 * i + 4)] as const,
  )
  return `${title}\n${columns([GDT_HEADING, ...descriptorRows(words, long)])}`
}

const guestGdt = (subject: Subject): string => {
  const words = subject.module!.descriptors()
  if (words === undefined)
    return "the guest has no GDT of its own: its selectors are fixed (docs/abi-x86_64.md), and lead into the processor's"
  return `descriptors of the guest, as the host has made them harmless\n${columns([GDT_HEADING, ...descriptorRows(words, false)])}`
}

export const infoGdt = (subject: Subject): string => {
  const processor = processorGdt(subject, subject.processorOf(subject.index))
  return subject.module === undefined ? processor : `${guestGdt(subject)}\n\n${processor}`
}
