import { cpu } from "./cpu";
import {
  ALIGN,
  ATTENTION,
  ATT_SHADOW,
  CPL,
  CR0,
  EFLAGS,
  GDTR_BASE,
  GDTR_LIMIT,
  MODE,
  MODE_16,
  MODE_32,
  MODE_64,
  MSR_EFER,
  SEG,
  SEGF_EXPAND_DOWN,
  SEGF_READ,
  SEGF_WRITE,
  SEG_ATTR,
  SEG_BASE,
  SEG_CS,
  SEG_FLAGS,
  SEG_FS,
  SEG_LDTR,
  SEG_LIMIT,
  SEG_SELECTOR,
  SEG_SS,
  SEG_STRIDE,
  SHADOW_STI,
  TLB_BASE,
  WATCH,
} from "./state";
import {
  AR_ACCESSED,
  AR_CODE,
  AR_DB,
  AR_DC,
  AR_DPL_SHIFT,
  AR_G,
  AR_L,
  AR_MASK,
  AR_PRESENT,
  AR_RW,
  AR_S,
  AR_TYPE_SHIFT,
  CR0_AM,
  CR0_PE,
  EFER_LMA,
  FL_AC,
  FL_VM,
  V_GP,
  V_NP,
  V_SS,
} from "./arch";
import { raise } from "./fault";
import { ldSys, orSys } from "./memory";
import { TLB_SUPERVISOR, TLB_USER, TLB_VOID, isCanonical } from "./tlb";

/*
 * Segment registers and descriptors (SDM vol. 3, chapters 3 and 5).
 *
 * A segment register holds its descriptor in decoded form. A null or unusable one has attributes 0, and so neither of
 * SEGF_READ and SEGF_WRITE. In real and virtual-8086 mode the same fields hold what those modes make of a selector.
 */

// @ts-ignore: decorator
@inline
export function segAt(seg: u32): usize {
  return cpu + SEG + seg * SEG_STRIDE;
}

// @ts-ignore: decorator
@inline
export function segBase(seg: u32): u64 {
  return load<u64>(segAt(seg), SEG_BASE);
}

// @ts-ignore: decorator
@inline
export function segLimit(seg: u32): u32 {
  return load<u32>(segAt(seg), SEG_LIMIT);
}

// @ts-ignore: decorator
@inline
export function segAttr(seg: u32): u32 {
  return load<u32>(segAt(seg), SEG_ATTR);
}

// @ts-ignore: decorator
@inline
export function segSelector(seg: u32): u32 {
  return load<u32>(segAt(seg), SEG_SELECTOR);
}

// @ts-ignore: decorator
@inline
export function cpl(): u32 {
  return load<u32>(cpu, CPL);
}

/** CR0.PE clear. */
export function inRealMode(): bool {
  return (load<u64>(cpu, CR0) & CR0_PE) == 0;
}

export function inVirtual8086(): bool {
  return (load<u32>(cpu, EFLAGS) & FL_VM) != 0;
}

/** Protected mode proper: where selectors name descriptors. */
export function inProtectedMode(): bool {
  return !inRealMode() && !inVirtual8086();
}

/** IA-32e mode (64-bit or compatibility). */
export function inLongMode(): bool {
  return (load<u64>(cpu, MSR_EFER) & EFER_LMA) != 0;
}

/** CPL changes; updateMode() must follow once CS and the flags are in place. */
export function setCpl(level: u32): void {
  store<u32>(cpu, level, CPL);
}

/** The SEGF_* flags that follow from attributes. */
function accessFlags(attr: u32): u32 {
  if ((attr & (AR_PRESENT | AR_S)) != (AR_PRESENT | AR_S)) return 0;
  if ((attr & AR_CODE) != 0) return (attr & AR_RW) != 0 ? SEGF_READ : 0;
  return SEGF_READ | ((attr & AR_RW) != 0 ? SEGF_WRITE : 0) | ((attr & AR_DC) != 0 ? SEGF_EXPAND_DOWN : 0);
}

/** Derives the flags of a register again, after its attributes were written from outside. */
export function refreshSegment(seg: u32): void {
  store<u32>(segAt(seg), accessFlags(segAttr(seg)), SEG_FLAGS);
}

/** Sets everything of a segment register. */
export function setSegment(seg: u32, selector: u32, base: u64, limit: u32, attr: u32): void {
  const at = segAt(seg);
  store<u64>(at, base, SEG_BASE);
  store<u32>(at, limit, SEG_LIMIT);
  store<u32>(at, attr, SEG_ATTR);
  store<u32>(at, selector, SEG_SELECTOR);
  store<u32>(at, accessFlags(attr), SEG_FLAGS);
}

/** Loads a null selector: unusable. FS and GS lose their base too, as on Intel's processors. */
export function setNull(seg: u32, selector: u32): void {
  setSegment(seg, selector, 0, 0, 0);
}

const ATTR_REAL: u32 = AR_PRESENT | AR_S | AR_RW | AR_ACCESSED;
const ATTR_VIRTUAL: u32 = ATTR_REAL | (3 << AR_DPL_SHIFT);

/** A selector of real mode: the limit and sizes stay what they were. */
export function setReal(seg: u32, selector: u32): void {
  setSegment(seg, selector, selector << 4, segLimit(seg), (segAttr(seg) & (AR_G | AR_DB)) | ATTR_REAL);
}

/** A selector of virtual-8086 mode. */
export function setVirtual(seg: u32, selector: u32): void {
  setSegment(seg, selector, selector << 4, 0xffff, ATTR_VIRTUAL);
}

// ---------------------------------------------------------------------------------------------- descriptors

// The descriptor that fetchDescriptor() or peekDescriptor() found.
export let descLow: u32 = 0;
export let descHigh: u32 = 0;
/** Linear address of the descriptor. */
export let descAt: u64 = 0;
/** Bits 63..32 of the base (or a gate's offset) of a 16-byte system descriptor, when peekUpper() has read them. */
export let descUpper: u32 = 0;

/** Makes a descriptor that was read earlier the one at hand again. */
export function useDescriptor(low: u32, high: u32, at: u64): void {
  descLow = low;
  descHigh = high;
  descAt = at;
}

/** Reads the descriptor that `selector` names; false when it lies outside of its table. */
export function peekDescriptor(selector: u32): bool {
  let base: u64;
  let limit: u32;
  if ((selector & 4) != 0) {
    if ((segAttr(SEG_LDTR) & AR_PRESENT) == 0) return false;
    base = segBase(SEG_LDTR);
    limit = segLimit(SEG_LDTR);
  } else {
    base = load<u64>(cpu, GDTR_BASE);
    limit = load<u32>(cpu, GDTR_LIMIT);
  }
  if ((selector | 7) > limit) return false;
  descAt = systemLinear(base + (selector & 0xfff8));
  const raw = ldSys<u64>(descAt);
  descLow = <u32>raw;
  descHigh = <u32>(raw >> 32);
  return true;
}

/** Reads the descriptor that `selector` names, or raises `vector` with the selector. */
export function fetchDescriptor(selector: u32, vector: u32): void {
  if (!peekDescriptor(selector)) raise(vector, selector & 0xfffc);
}

/** An address that the processor itself uses: 64 bits in IA-32e mode, else 32. */
export function systemLinear(address: u64): u64 {
  return inLongMode() ? address : address & 0xffffffff;
}

/** Reads the second half of a 16-byte system descriptor after the first; false when outside or with a wrong type. */
export function peekUpper(selector: u32): bool {
  const limit = (selector & 4) != 0 ? segLimit(SEG_LDTR) : load<u32>(cpu, GDTR_LIMIT);
  if ((selector | 7) + 8 > limit) return false;
  const raw = ldSys<u64>(descAt + 8);
  descUpper = <u32>raw;
  return ((<u32>(raw >> 32)) & 0x1f00) == 0;
}

/** The base of the descriptor at hand; in IA-32e mode with `wide` that of a 16-byte one whose upper half was read. */
export function descBase(wide: bool = false): u64 {
  const low = (descLow >>> 16) | ((descHigh & 0xff) << 16) | (descHigh & 0xff000000);
  return wide ? (<u64>low) | ((<u64>descUpper) << 32) : <u64>low;
}

/** Limit in bytes. */
export function descLimit(): u32 {
  const limit = (descLow & 0xffff) | (descHigh & 0xf0000);
  return (descHigh & AR_G) != 0 ? (limit << 12) | 0xfff : limit;
}

export function descDpl(): u32 {
  return (descHigh >>> AR_DPL_SHIFT) & 3;
}

/** The 4-bit type. */
export function descType(): u32 {
  return (descHigh >>> AR_TYPE_SHIFT) & 15;
}

/** Loads a segment register from the descriptor at hand; all checks are done. Sets the accessed flag in the table. */
export function loadFromDescriptor(seg: u32, selector: u32): void {
  if ((descHigh & (AR_S | AR_ACCESSED)) == AR_S) {
    orSys(descAt + 4, AR_ACCESSED);
    descHigh |= AR_ACCESSED;
  }
  setSegment(seg, selector, descBase(), descLimit(), descHigh & AR_MASK);
}

/** Sets the accessed flag of the descriptor at hand in its table, before anything of the processor changes. */
export function touchDescriptor(): void {
  if ((descHigh & (AR_S | AR_ACCESSED)) != AR_S) return;
  orSys(descAt + 4, AR_ACCESSED);
  descHigh |= AR_ACCESSED;
}

/** Whether the descriptor at hand is a writable data segment. */
export function descIsStack(): bool {
  return (descHigh & (AR_S | AR_CODE | AR_RW)) == (AR_S | AR_RW);
}

/** Whether the descriptor at hand is a code segment. */
export function descIsCode(): bool {
  return (descHigh & (AR_S | AR_CODE)) == (AR_S | AR_CODE);
}

/**
 * Checks a selector for SS at privilege `level` and fetches its descriptor: `vector` (#GP for a load, #TS on a stack
 * switch) with the selector for a wrong one, #SS for one that is not present.
 */
export function checkStackSelector(selector: u32, level: u32, vector: u32): void {
  if ((selector & 0xfffc) == 0) raise(vector, 0);
  fetchDescriptor(selector, vector);
  if ((selector & 3) != level || !descIsStack() || descDpl() != level) raise(vector, selector & 0xfffc);
  if ((descHigh & AR_PRESENT) == 0) raise(V_SS, selector & 0xfffc);
}

/** Checks a selector for ES, DS, FS or GS and fetches its descriptor. */
export function checkDataSelector(selector: u32, vector: u32): void {
  fetchDescriptor(selector, vector);
  const readable = (descHigh & AR_S) != 0 && (descHigh & (AR_CODE | AR_RW)) != AR_CODE;
  const conforming = (descHigh & (AR_CODE | AR_DC)) == (AR_CODE | AR_DC);
  const level = max(cpl(), selector & 3);
  if (!readable || (!conforming && level > descDpl())) raise(vector, selector & 0xfffc);
  if ((descHigh & AR_PRESENT) == 0) raise(V_NP, selector & 0xfffc);
}

/**
 * MOV Sreg, POP Sreg: ES, SS, DS, FS, GS in every mode. After SS nothing interrupts for one instruction, so that rSP can
 * follow.
 */
export function loadSegment(seg: u32, selector: u32): void {
  loadChecked(seg, selector & 0xffff);
  if (seg != SEG_SS) return;
  store<u32>(cpu, 0, SHADOW_STI);
  atomic.or<u32>(cpu + ATTENTION, ATT_SHADOW);
}

/** LDS and its kin; LSS, which loads rSP too, needs no such grace. */
export function loadFarSegment(seg: u32, selector: u32): void {
  loadChecked(seg, selector & 0xffff);
}

function loadChecked(seg: u32, selector: u32): void {
  if (inRealMode()) {
    setReal(seg, selector);
    return;
  }
  if (inVirtual8086()) {
    setVirtual(seg, selector);
    return;
  }
  if (seg == SEG_SS) {
    // 64-bit code may run its inner rings on a null stack segment.
    if ((selector & 0xfffc) == 0 && load<u32>(cpu, MODE) == MODE_64 && cpl() < 3 && (selector & 3) == cpl()) {
      setNull(seg, selector);
      return;
    }
    checkStackSelector(selector, cpl(), V_GP);
  } else {
    if ((selector & 0xfffc) == 0) {
      setNull(seg, selector);
      return;
    }
    checkDataSelector(selector, V_GP);
  }
  loadFromDescriptor(seg, selector);
}

// ---------------------------------------------------------------------------------------------- addresses

/**
 * P:080 Who may do what? A processor is always in one of four rings: 0 may do everything, 3 is for ordinary programs, 1
 * and 2 nobody has loved since OS/2. The ring belongs to the code segment; a segment is a range of addresses with
 * rights, described in a table that the kernel keeps. On i386 segments have limits, and an access beyond one is
 * refused: with that above all, lguest protected itself. On x86_64 the limits were dropped, and the argument of 2007
 * began.
 *
 * The linear address of `size` bytes at seg:offset after the checks of the mode: segment limit and type, #GP(0) or for
 * SS #SS(0); in 64-bit mode that the address is canonical.
 */
export function linear(seg: u32, offset: u64, size: u32, write: bool): u64 {
  const at = segAt(seg);
  const vector = seg == SEG_SS ? V_SS : V_GP;
  if (load<u32>(cpu, MODE) == MODE_64) {
    const address = seg >= <u32>SEG_FS ? load<u64>(at, SEG_BASE) + offset : offset;
    if (!isCanonical(address) || !isCanonical(address + size - 1)) raise(vector, 0);
    return address;
  }
  const flags = load<u32>(at, SEG_FLAGS);
  if ((flags & (write ? SEGF_WRITE : SEGF_READ)) == 0) raise(vector, 0);
  const limit = <u64>load<u32>(at, SEG_LIMIT);
  const first = offset & 0xffffffff;
  const last = first + size - 1;
  if ((flags & SEGF_EXPAND_DOWN) != 0) {
    const top: u64 = (load<u32>(at, SEG_ATTR) & AR_DB) != 0 ? 0xffffffff : 0xffff;
    if (first <= limit || last > top) raise(vector, 0);
  } else if (last > limit) raise(vector, 0);
  return (load<u64>(at, SEG_BASE) + first) & 0xffffffff;
}

/** Recomputes MODE, alignment checks and the TLB half in use, after a change of CS, CPL, EFLAGS, CR0 or EFER. */
export function updateMode(): void {
  const attr = segAttr(SEG_CS);
  const level = cpl();
  let mode: u32 = (attr & AR_DB) != 0 ? MODE_32 : MODE_16;
  if ((attr & AR_L) != 0 && inLongMode()) mode = MODE_64;
  store<u32>(cpu, mode, MODE);
  const align = level == 3 && (load<u64>(cpu, CR0) & CR0_AM) != 0 && (load<u32>(cpu, EFLAGS) & FL_AC) != 0;
  store<u32>(cpu, align ? 1 : 0, ALIGN);
  const half = align || load<u32>(cpu, WATCH) != 0 ? TLB_VOID : level == 3 ? TLB_USER : TLB_SUPERVISOR;
  store<u32>(cpu, <u32>cpu + half, TLB_BASE);
}
