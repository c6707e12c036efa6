/*
 * Segment descriptors and gates as the processor wants them: 8 bytes, the fields in pieces (SDM vol. 3, figures 3-8 and
 * 6-2). A descriptor travels as two 32-bit words, low and high; every function here works on those words.
 */

/** Bits of the high word. */
export const DESC_ACCESSED = 1 << 8
export const DESC_WRITABLE = 1 << 9
/** Data segments grow downwards; code segments may be called from less privileged ones. */
export const DESC_EXPAND_DOWN = 1 << 10
export const DESC_CODE = 1 << 11
/** 0: a system descriptor (TSS, LDT, gate). */
export const DESC_S = 1 << 12
export const DESC_DPL_SHIFT = 13
export const DESC_DPL = 3 << DESC_DPL_SHIFT
export const DESC_PRESENT = 1 << 15
export const DESC_BIG = 1 << 22
export const DESC_GRANULARITY = 1 << 23

/** Base, limit and the attribute bits of a segment register (core/state.ts, SEG_ATTR). */
const ATTRIBUTES = 0x00f0ff00

export const descriptorBase = (lo: number, hi: number): number =>
  ((lo >>> 16) | ((hi & 0xff) << 16) | (hi & 0xff000000)) >>> 0

/** The last offset that the limit allows (or, of a segment that expands down, forbids). */
export const descriptorLimit = (lo: number, hi: number): number => {
  const raw = ((lo & 0xffff) | (hi & 0x000f0000)) >>> 0
  return (hi & DESC_GRANULARITY) !== 0 ? raw * 4096 + 4095 : raw
}

export const descriptorDpl = (hi: number): number => (hi >>> DESC_DPL_SHIFT) & 3
export const descriptorAttributes = (hi: number): number => hi & ATTRIBUTES

export const descriptorLo = (base: number, rawLimit: number): number => ((base << 16) | (rawLimit & 0xffff)) >>> 0
export const descriptorHi = (base: number, rawLimit: number, attributes: number): number =>
  ((base & 0xff000000) | ((base >>> 16) & 0xff) | (rawLimit & 0x000f0000) | attributes) >>> 0

/** Attributes of flat 32-bit segments, accessed already so that the processor never writes to the table. */
export const flatCode = (dpl: number): number => 0x00c09b00 | (dpl << DESC_DPL_SHIFT)
export const flatData = (dpl: number): number => 0x00c09300 | (dpl << DESC_DPL_SHIFT)
/** Byte-granular data, for the processor's own data. */
export const smallData = 0x00409300
export const tssAvailable = 0x00008900
export const tssBusy = 0x00008b00

// ----------------------------------------------------------------------------------------------------------- gates
export const GATE_INTERRUPT = 0xe
export const GATE_TRAP = 0xf
/** Bits of a gate's high word that are neither address nor reserved: P, DPL, type. */
export const GATE_FLAGS = 0xef00

export const gateLo = (selector: number, address: number): number => ((selector << 16) | (address & 0xffff)) >>> 0
export const gateHi = (address: number, dpl: number, type: number): number =>
  ((address & 0xffff0000) | DESC_PRESENT | (dpl << DESC_DPL_SHIFT) | (type << 8)) >>> 0
export const gateAddress = (lo: number, hi: number): number => ((hi & 0xffff0000) | (lo & 0xffff)) >>> 0
export const gateType = (hi: number): number => (hi >>> 8) & 0x1f
export const gatePresent = (hi: number): boolean => (hi & DESC_PRESENT) !== 0
