import {
  ATTENTION,
  CPL,
  CR0,
  CR3,
  CR4,
  GDTR_BASE,
  GDTR_LIMIT,
  IDTR_BASE,
  IDTR_LIMIT,
  MSR_EFER,
  MSR_KERNEL_GS_BASE,
  MSR_LSTAR,
  MSR_SFMASK,
  MSR_STAR,
  SEG_CS,
  SEG_DS,
  SEG_ES,
  SEG_FS,
  SEG_GS,
  SEG_LDTR,
  SEG_SS,
  SEG_TR,
  WAIT_SIPI,
} from "../../machine/core/state.ts"
import type { Processor } from "../../machine/processor.ts"
import type { Ram } from "../../machine/ram.ts"
import { PDA } from "../../pda/index.ts"
import { cpuAddress } from "./fixedArea.ts"
import * as L from "./layout.ts"
import {
  attributesOf,
  GDT_LIMIT,
  IDT_LIMIT,
  TSS_ATTRIBUTES,
  writeGate,
  writeGdt,
  writeGuestGdts,
  writePseudoDescriptor,
} from "./tables.ts"

/*
 * H:040 Each processor's own furniture: which table of gates, which stack to take when something happens, where SYSCALL
 * goes. Set up once at boot, and then nobody touches it. Nearly nobody (S:100).
 *
 * What each processor of the x86_64 host has for itself (GDT, IDT, TSS, PDA, IST stacks), and the state in which the
 * host's boot code would have left it: long mode, its tables, its MSRs.
 */

const SFMASK = 0x47700n // TF IF DF IOPL NT AC
const SEGMENT_LIMIT = 0xffffffff

/** Writes the tables of processor `cpu` to its pages, given by their physical addresses. */
export const writeProcessorArea = (
  ram: Ram,
  pages: ArrayLike<number>,
  cpu: number,
  root: number,
  symbol: (name: "nmi" | "vectors") => bigint,
): void => {
  const low = (address: bigint) => Number(address & 0xffffffffn)
  const tss = cpuAddress(cpu, L.CPU_TSS)
  writeGdt(ram, pages[L.CPU_GDT]!, low(tss), L.FIXED_HI)
  writeGuestGdts(ram, pages[L.CPU_GUEST_GDT]!, low(tss), L.FIXED_HI)
  for (let vector = 0; vector < 256; vector++) {
    const ist = vector === 2 ? 1 : vector === 8 ? 2 : vector === 18 ? 3 : 0
    const handler = vector === 2 ? symbol("nmi") : symbol("vectors") + BigInt(16 * vector)
    // Breakpoints and overflow may be raised by any program; INT with any other number is a protection fault.
    const dpl = vector === 3 || vector === 4 ? 3 : 0
    writeGate(ram, pages[L.CPU_IDT]!, vector, L.KERNEL_CS, low(handler), L.FIXED_HI, dpl, ist)
    writeGate(ram, pages[L.CPU_GUEST_IDT]!, vector, L.SWITCHER_CS, low(handler), L.FIXED_HI, dpl, ist)
  }
  const tssPa = pages[L.CPU_TSS]!
  for (let i = 0; i < 3; i++)
    ram.writeBig(tssPa + L.TSS.fields.ist.offset + 8 * i, cpuAddress(cpu, L.CPU_IST + i) + 4096n)
  ram.write16(tssPa + L.TSS.fields.ioMapBase.offset, L.TSS.size)
  const pda = pages[L.CPU_PDA]!
  ram.writeBig(pda + PDA.fields.self.offset, cpuAddress(cpu, L.CPU_PDA))
  ram.writeBig(pda + PDA.fields.tss.offset, tss)
  ram.writeBig(pda + PDA.fields.idt.offset, cpuAddress(cpu, L.CPU_IDT))
  writePseudoDescriptor(ram, pda + PDA.fields.gdtr.offset, GDT_LIMIT, cpuAddress(cpu, L.CPU_GDT))
  writePseudoDescriptor(ram, pda + PDA.fields.idtr.offset, IDT_LIMIT, cpuAddress(cpu, L.CPU_IDT))
  ram.writeBig(pda + PDA.fields.hostCr3.offset, BigInt(root))
  ram.write32(pda + PDA.fields.cpu.offset, cpu)
}

/** Long mode at ring 0 on the host's tables; RIP and stack are the caller's to set. */
export const enterHost = (processor: Processor, cpu: number, root: number, systemCall: bigint): void => {
  // The host's boot code has brought up the others by INIT and start-up IPIs.
  processor.setWord(WAIT_SIPI, 0)
  processor.setWord(ATTENTION, 0)
  processor.setLong(CR0, 0x8001_0033n) // PG WP NE ET MP PE
  processor.setLong(CR4, 0xa0n) // PAE PGE
  processor.setLong(MSR_EFER, 0xd01n) // NXE LMA LME SCE
  processor.setLong(CR3, BigInt(root))
  processor.setWord(CPL, 0)
  for (const segment of [SEG_SS, SEG_DS, SEG_ES])
    processor.setSegment(segment, L.KERNEL_DS, 0n, SEGMENT_LIMIT, attributesOf(L.KERNEL_DS))
  processor.setSegment(SEG_CS, L.KERNEL_CS, 0n, SEGMENT_LIMIT, attributesOf(L.KERNEL_CS))
  processor.setSegment(SEG_FS, 0, 0n, 0, 0)
  processor.setSegment(SEG_GS, 0, cpuAddress(cpu, L.CPU_PDA), 0, 0)
  // A reset leaves an LDT at linear address 0, which is memory of whoever runs: with a call gate in it, ring 0 would be his.
  processor.setSegment(SEG_LDTR, 0, 0n, 0, 0)
  processor.setSegment(SEG_TR, L.TSS_SELECTOR, cpuAddress(cpu, L.CPU_TSS), L.TSS.size - 1, TSS_ATTRIBUTES)
  processor.setLong(GDTR_BASE, cpuAddress(cpu, L.CPU_GDT))
  processor.setWord(GDTR_LIMIT, GDT_LIMIT)
  processor.setLong(IDTR_BASE, cpuAddress(cpu, L.CPU_IDT))
  processor.setWord(IDTR_LIMIT, IDT_LIMIT)
  processor.setLong(MSR_STAR, (BigInt(L.USER32_CS) << 48n) | (BigInt(L.SWITCHER_CS) << 32n))
  processor.setLong(MSR_LSTAR, systemCall)
  processor.setLong(MSR_SFMASK, SFMASK)
  processor.setLong(MSR_KERNEL_GS_BASE, 0n)
}
