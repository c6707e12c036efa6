import type { Ram } from "../../machine/ram.ts"
import { GUEST_KERNEL_CS, GUEST_KERNEL_DS, GUEST_USER_CS, GUEST_USER_DS } from "../../paravirt_ops/lguest64.ts"
import { GDT_ENTRIES, KERNEL_CS, KERNEL_DS, TSS, TSS_SELECTOR, USER32_CS, USER_CS, USER_DS } from "./layout.ts"

/*
 * M:060 Or look for a back door in the tables. None of yours is ever loaded: on x86_64 you have no GDT to write to at
 * all. Here is how the engineers' open question of CS and DS came out.
 *
 * GDT, IDT and TSS of one processor of the x86_64 host. The guests' own selectors lie in the same GDT, all of ring 3:
 * the question "should the guest have a different CS/DS" of 2007, answered with yes.
 */

/** Bytes 4..7 of descriptors (SDM vol. 3, 3.4.5), accessed already, so that the processor never writes to the table. */
const CODE64 = (dpl: number) => 0x00af9b00 | (dpl << 13)
const CODE32 = (dpl: number) => 0x00cf9b00 | (dpl << 13)
const DATA = (dpl: number) => 0x00cf9300 | (dpl << 13)
const TSS_BUSY = 0x00008b00
const INTERRUPT_GATE = 0x8e00

const descriptors: ReadonlyArray<readonly [selector: number, high: number]> = [
  [KERNEL_CS, CODE64(0)],
  [KERNEL_DS, DATA(0)],
  [USER32_CS, CODE32(3)],
  [USER_DS, DATA(3)],
  [USER_CS, CODE64(3)],
  [GUEST_KERNEL_CS, CODE64(3)],
  [GUEST_KERNEL_DS, DATA(3)],
  [GUEST_USER_DS, DATA(3)],
  [GUEST_USER_CS, CODE64(3)],
]

/** Attribute bits of a segment register (core/state.ts, SEG_ATTR) for each selector above. */
export const attributesOf = (selector: number): number =>
  (descriptors.find(([s]) => s === selector)?.[1] ?? 0) & 0x00f0ff00

export const TSS_ATTRIBUTES = TSS_BUSY & 0x00f0ff00
export const GDT_LIMIT = GDT_ENTRIES * 8 - 1
export const IDT_LIMIT = 256 * 16 - 1

export const writeGdt = (ram: Ram, pa: number, tssLo: number, tssHi: number): void => {
  for (const [selector, high] of descriptors) ram.write64(pa + (selector & ~7), 0x0000ffff, high)
  const at = pa + TSS_SELECTOR
  ram.write64(at, (TSS.size - 1) | (tssLo << 16), (tssLo & 0xff000000) | TSS_BUSY | ((tssLo >>> 16) & 0xff))
  ram.write64(at + 8, tssHi, 0)
}

/**
 * S:010 Part 6, Switcher: how one processor is two people, and never both at once. It is short, it is assembly, and
 * each line has its reason. Begin where the processor begins when something happens, at a gate in the IDT. All 256 of
 * them are the Host's, whoever runs, and all turn interrupts off.
 *
 * A 64-bit interrupt gate to hi:lo (SDM vol. 3, 6.14.1).
 */
export const writeGate = (ram: Ram, idt: number, vector: number, lo: number, hi: number, dpl: number, ist: number) => {
  const at = idt + vector * 16
  ram.write64(at, (KERNEL_CS << 16) | (lo & 0xffff), (lo & 0xffff0000) | INTERRUPT_GATE | (dpl << 13) | ist)
  ram.write64(at + 8, hi, 0)
}
