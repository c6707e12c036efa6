import { GPR_NAMES } from "../../machine/processor.ts"
import type { RegisterName, VcpuInspection } from "../../machine/inspection.ts"
import type { Subject } from "./subject.ts"
import { bitNames, bracketed, hex, parseIndex } from "./text.ts"

/* `info registers`: the registers as the guest has them, flags decoded. */

/** SDM vol. 3, 2.3 and 2.5, 2.2.1. */
const EFLAGS: Readonly<Record<number, string>> = {
  0: "CF",
  2: "PF",
  4: "AF",
  6: "ZF",
  7: "SF",
  8: "TF",
  9: "IF",
  10: "DF",
  11: "OF",
  14: "NT",
  16: "RF",
  17: "VM",
  18: "AC",
  19: "VIF",
  20: "VIP",
  21: "ID",
}
const CR0: Readonly<Record<number, string>> = {
  0: "PE",
  1: "MP",
  2: "EM",
  3: "TS",
  4: "ET",
  5: "NE",
  16: "WP",
  18: "AM",
  29: "NW",
  30: "CD",
  31: "PG",
}
const CR4: Readonly<Record<number, string>> = {
  0: "VME",
  1: "PVI",
  2: "TSD",
  3: "DE",
  4: "PSE",
  5: "PAE",
  6: "MCE",
  7: "PGE",
  8: "PCE",
  9: "OSFXSR",
  10: "OSXMMEXCPT",
}
const EFER: Readonly<Record<number, string>> = { 0: "SCE", 8: "LME", 10: "LMA", 11: "NXE" }

/** Bit 1 is always 1; IOPL is two bits. */
const eflagsNames = (flags: bigint): ReadonlyArray<string> => {
  const iopl = Number((flags >> 12n) & 3n)
  const names = bitNames(flags & ~0x3002n, EFLAGS, 32)
  return iopl === 0 ? names : [...names, `IOPL=${iopl}`]
}

const PER_LINE = 4
const LEGACY = 8
const SEGMENTS = ["cs", "ss", "ds", "es", "fs", "gs"] as const

/** A register's name in the guest's mode: rax is eax on i386. */
const shown = (name: RegisterName, bits: 32 | 64): string => (bits === 32 ? name.replace(/^r/, "e") : name)

export const registersOf = (vcpu: VcpuInspection, bits: 32 | 64): string => {
  const value = (name: RegisterName, width: number = bits): string =>
    `${shown(name, bits)}=${hex(BigInt.asUintN(width, vcpu.read(name)), width)}`
  const rows: string[] = []
  const general = bits === 64 ? GPR_NAMES : GPR_NAMES.slice(0, LEGACY)
  for (let i = 0; i < general.length; i += PER_LINE)
    rows.push(
      general
        .slice(i, i + PER_LINE)
        .map((name) => value(name))
        .join(" "),
    )
  const flags = vcpu.read("eflags")
  rows.push(`${value("rip")} eflags=${hex(flags, 32)} ${bracketed(eflagsNames(flags))}`)
  rows.push(SEGMENTS.map((name) => value(name, 16)).join(" "))
  rows.push(`${value("cr0", 32)} ${bracketed(bitNames(vcpu.read("cr0"), CR0, 32))}`)
  rows.push(`${value("cr2")} ${value("cr3")}`)
  rows.push(`${value("cr4", 32)} ${bracketed(bitNames(vcpu.read("cr4"), CR4, 32))}`)
  if (bits === 64) {
    rows.push(`${value("fs_base")} ${value("gs_base")} ${value("k_gs_base")}`)
    rows.push(`${value("efer", 32)} ${bracketed(bitNames(vcpu.read("efer"), EFER, 32))}`)
  }
  return rows.join("\n")
}

export const infoRegisters = (subject: Subject, [which]: ReadonlyArray<string>): string => {
  const { vcpus, bits } = subject
  if (which === "-a") return vcpus.map((vcpu, i) => `virtual CPU ${i}\n${registersOf(vcpu, bits)}`).join("\n\n")
  const index = which === undefined ? subject.index : parseIndex(which, vcpus.length, "virtual CPU")
  return `virtual CPU ${index}\n${registersOf(vcpus[index]!, bits)}`
}
