import type { Ram } from "../../machine/ram.ts"
import {
  GUEST_KERNEL_CS,
  GUEST_KERNEL_DS,
  GUEST_RING1_CS,
  GUEST_RING1_DS,
  GUEST_USER_CS,
  GUEST_USER_DS,
  NATIVE_KERNEL_CS,
  NATIVE_KERNEL_DS,
  NATIVE_USER_CS,
  NATIVE_USER_DS,
} from "../../paravirt_ops/lguest64.ts"
import {
  GDT_ENTRIES,
  KERNEL_CS,
  KERNEL_DS,
  SWITCHER_CS,
  SWITCHER_DS,
  TSS,
  TSS_SELECTOR,
  USER32_CS,
  USER_CS,
  USER_DS,
} from "./layout.ts"

/*
 * M:060 Or look for a back door in the tables. None of yours is ever loaded: on x86_64 you have no GDT to write to at
 * all. Here is how the engineers' open question of CS and DS came out.
 *
 * GDT, IDT and TSS of one processor of the x86_64 host. The guests' own selectors lie in the same GDT, of ring 3 or 1:
 * the question "should the guest have a different CS/DS" of 2007, answered with yes. Whoever answers with no gets tables of
 * his own, in which the guest has the numbers of the bare machine and the host gives way.
 */

/** Bytes 4..7 of descriptors (SDM vol. 3, 3.4.5), accessed already, so that the processor never writes to the table. */
const CODE64 = (dpl: number) => 0x00af9b00 | (dpl << 13)
const CODE32 = (dpl: number) => 0x00cf9b00 | (dpl << 13)
const DATA = (dpl: number) => 0x00cf9300 | (dpl << 13)
const TSS_BUSY = 0x00008b00
const INTERRUPT_GATE = 0x8e00

type Descriptors = ReadonlyArray<readonly [selector: number, high: number]>

const descriptors: Descriptors = [
  [KERNEL_CS, CODE64(0)],
  [KERNEL_DS, DATA(0)],
  [USER32_CS, CODE32(3)],
  [USER_DS, DATA(3)],
  [USER_CS, CODE64(3)],
  [GUEST_KERNEL_CS, CODE64(3)],
  [GUEST_KERNEL_DS, DATA(3)],
  [GUEST_USER_DS, DATA(3)],
  [GUEST_USER_CS, CODE64(3)],
  [GUEST_RING1_CS, CODE64(1)],
  [GUEST_RING1_DS, DATA(1)],
  [SWITCHER_CS, CODE64(0)],
  [SWITCHER_DS, DATA(0)],
]

/** While a guest runs whose kernel has the selectors of the bare machine, at ring `ring`. */
const nativeDescriptors = (ring: number): Descriptors => [
  [NATIVE_KERNEL_CS, CODE64(ring)],
  [NATIVE_KERNEL_DS, DATA(ring)],
  [USER32_CS, CODE32(3)],
  [NATIVE_USER_DS, DATA(3)],
  [NATIVE_USER_CS, CODE64(3)],
  [SWITCHER_CS, CODE64(0)],
  [SWITCHER_DS, DATA(0)],
]

/** Attribute bits of a segment register (core/state.ts, SEG_ATTR) for each selector above. */
export const attributesOf = (selector: number): number =>
  (descriptors.find(([s]) => s === selector)?.[1] ?? 0) & 0x00f0ff00

export const TSS_ATTRIBUTES = TSS_BUSY & 0x00f0ff00
export const GDT_LIMIT = GDT_ENTRIES * 8 - 1
export const IDT_LIMIT = 256 * 16 - 1

export const writeGdt = (ram: Ram, pa: number, tssLo: number, tssHi: number, table = descriptors): void => {
  for (const [selector, high] of table) ram.write64(pa + (selector & ~7), 0x0000ffff, high)
  const at = pa + TSS_SELECTOR
  ram.write64(at, (TSS.size - 1) | (tssLo << 16), (tssLo & 0xff000000) | TSS_BUSY | ((tssLo >>> 16) & 0xff))
  ram.write64(at + 8, tssHi, 0)
}

/** Where in the page CPU_GUEST_GDT the table for a guest's kernel at ring `ring` begins. */
export const guestGdtOffset = (ring: number): number => (ring === 1 ? 0x800 : 0)

export const writeGuestGdts = (ram: Ram, pa: number, tssLo: number, tssHi: number): void => {
  for (const ring of [1, 3]) writeGdt(ram, pa + guestGdtOffset(ring), tssLo, tssHi, nativeDescriptors(ring))
}

/** What LGDT and LIDT read: limit and base, 10 bytes (SDM vol. 3, 3.5.1). */
export const writePseudoDescriptor = (ram: Ram, pa: number, limit: number, base: bigint): void => {
  ram.write16(pa, limit)
  ram.write32(pa + 2, Number(base & 0xffffffffn))
  ram.write32(pa + 6, Number(base >> 32n))
}

/**
 * S:010 Part 6, Switcher: how one processor is two people, and never both at once. It is short, it is assembly, and
 * each line has its reason. Begin where the processor begins when something happens, at a gate in the IDT. All 256 of
 * them are the Host's, whoever runs, and all turn interrupts off.
 *
 * A 64-bit interrupt gate to cs:hi:lo (SDM vol. 3, 6.14.1).
 */
export const writeGate = (
  ram: Ram,
  idt: number,
  vector: number,
  cs: number,
  lo: number,
  hi: number,
  dpl: number,
  ist: number,
): void => {
  const at = idt + vector * 16
  ram.write64(at, (cs << 16) | (lo & 0xffff), (lo & 0xffff0000) | INTERRUPT_GATE | (dpl << 13) | ist)
  ram.write64(at + 8, hi, 0)
}

const DPL_SHIFT = 13

/** Lets programs of ring `dpl` and of those further in raise `vector` by INT; whom the gate has let in it goes on to. */
export const openGate = (ram: Ram, idt: number, vector: number, dpl: number): void => {
  const at = idt + vector * 16 + 4
  const gate = ram.read32(at)
  if (((gate >>> DPL_SHIFT) & 3) < dpl) ram.write32(at, gate | (dpl << DPL_SHIFT))
}
