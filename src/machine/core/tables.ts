import { cpu } from "./cpu";
import { GDTR_BASE, GDTR_LIMIT, IDTR_BASE, IDTR_LIMIT, MODE, MODE_64, SEG_DS, SEG_LDTR, SEG_TR } from "./state";
import {
  AR_CODE,
  AR_DC,
  AR_MASK,
  AR_PRESENT,
  AR_RW,
  AR_S,
  AR_TYPE_SHIFT,
  FL_ZF,
  TYPE_CALL,
  TYPE_CALL16,
  TYPE_LDT,
  TYPE_TASK_GATE,
  TYPE_TSS,
  TYPE_TSS16,
  TYPE_TSS16_BUSY,
  TYPE_TSS_BUSY,
  V_GP,
  V_NP,
  V_UD,
} from "./arch";
import { privileged } from "./control";
import { raise, raiseGp } from "./fault";
import { setStatusFlags, statusFlags } from "./flags";
import { ld, orSys, st } from "./memory";
import {
  cpl,
  descAt,
  descBase,
  descDpl,
  descHigh,
  descLimit,
  descType,
  fetchDescriptor,
  inLongMode,
  inProtectedMode,
  peekDescriptor,
  peekUpper,
  segSelector,
  setNull,
  setSegment,
} from "./segments";
import { isCanonical } from "./tlb";

/*
 * Descriptor-table registers and the instructions that ask about selectors (SDM vol. 2, by instruction).
 */

const SELECTOR: u32 = 0xfffc;
/** lar() and lsl() when the selector is not for the asker. */
const REFUSED: u64 = ~(<u64>0);

/** Reads a pseudo-descriptor's base: 3, 4 or 8 bytes after the limit. */
function readBase(linear: u64, osize: u32): u64 {
  if (load<u32>(cpu, MODE) == MODE_64) {
    const base = ld<u64>(linear + 2, SEG_DS);
    if (!isCanonical(base)) raiseGp();
    return base;
  }
  const base = ld<u32>(linear + 2, SEG_DS);
  return osize == 2 ? base & 0x00ffffff : base;
}

export function lgdt(linear: u64, osize: u32): void {
  privileged();
  const limit = ld<u16>(linear, SEG_DS);
  const base = readBase(linear, osize);
  store<u32>(cpu, limit, GDTR_LIMIT);
  store<u64>(cpu, base, GDTR_BASE);
}

export function lidt(linear: u64, osize: u32): void {
  privileged();
  const limit = ld<u16>(linear, SEG_DS);
  const base = readBase(linear, osize);
  store<u32>(cpu, limit, IDTR_LIMIT);
  store<u64>(cpu, base, IDTR_BASE);
}

/** Stores limit and base. The base goes first: it is the further one, so a fault there leaves nothing written. */
function storeTable(linear: u64, limit: u32, base: u64): void {
  if (load<u32>(cpu, MODE) == MODE_64) st<u64>(linear + 2, base, SEG_DS);
  else st<u32>(linear + 2, <u32>base, SEG_DS);
  st<u16>(linear, <u16>limit, SEG_DS);
}

export function sgdt(linear: u64, _osize: u32): void {
  storeTable(linear, load<u32>(cpu, GDTR_LIMIT), load<u64>(cpu, GDTR_BASE));
}

export function sidt(linear: u64, _osize: u32): void {
  storeTable(linear, load<u32>(cpu, IDTR_LIMIT), load<u64>(cpu, IDTR_BASE));
}

/** #UD outside of protected mode. */
function protectedOnly(): void {
  if (!inProtectedMode()) raise(V_UD, 0);
}

export function lldt(selector: u32): void {
  protectedOnly();
  privileged();
  selector &= 0xffff;
  if ((selector & SELECTOR) == 0) {
    setNull(SEG_LDTR, selector);
    return;
  }
  if ((selector & 4) != 0) raise(V_GP, selector & SELECTOR);
  fetchDescriptor(selector, V_GP);
  if ((descHigh & AR_S) != 0 || descType() != TYPE_LDT) raise(V_GP, selector & SELECTOR);
  const long = inLongMode();
  if (long && !peekUpper(selector)) raise(V_GP, selector & SELECTOR);
  if ((descHigh & AR_PRESENT) == 0) raise(V_NP, selector & SELECTOR);
  if (!isCanonical(descBase(long))) raise(V_GP, selector & SELECTOR);
  setSegment(SEG_LDTR, selector, descBase(long), descLimit(), descHigh & AR_MASK);
}

export function ltr(selector: u32): void {
  protectedOnly();
  privileged();
  selector &= 0xffff;
  if ((selector & SELECTOR) == 0) raiseGp();
  if ((selector & 4) != 0) raise(V_GP, selector & SELECTOR);
  fetchDescriptor(selector, V_GP);
  const long = inLongMode();
  const type = descType();
  if ((descHigh & AR_S) != 0 || (type != TYPE_TSS && (long || type != TYPE_TSS16))) raise(V_GP, selector & SELECTOR);
  if (long && !peekUpper(selector)) raise(V_GP, selector & SELECTOR);
  if ((descHigh & AR_PRESENT) == 0) raise(V_NP, selector & SELECTOR);
  if (!isCanonical(descBase(long))) raise(V_GP, selector & SELECTOR);
  const busy: u32 = 2 << AR_TYPE_SHIFT;
  orSys(descAt + 4, busy);
  setSegment(SEG_TR, selector, descBase(long), descLimit(), (descHigh & AR_MASK) | busy);
}

export function sldt(): u32 {
  protectedOnly();
  return segSelector(SEG_LDTR);
}

export function str(): u32 {
  protectedOnly();
  return segSelector(SEG_TR);
}

function setZero(zero: bool): void {
  setStatusFlags((statusFlags() & ~FL_ZF) | (zero ? FL_ZF : 0));
}

/** Whether CPL and RPL may know of the descriptor at hand; everybody may know of conforming code. */
function visible(selector: u32): bool {
  if ((descHigh & (AR_S | AR_CODE | AR_DC)) == (AR_S | AR_CODE | AR_DC)) return true;
  return descDpl() >= cpl() && descDpl() >= (selector & 3);
}

/** System types with a limit (SDM vol. 2, LSL). */
function hasLimit(type: u32): bool {
  if (type == TYPE_LDT || type == TYPE_TSS || type == TYPE_TSS_BUSY) return true;
  return !inLongMode() && (type == TYPE_TSS16 || type == TYPE_TSS16_BUSY);
}

/** System types with access rights (SDM vol. 2, LAR). */
function hasRights(type: u32): bool {
  if (hasLimit(type) || type == TYPE_CALL) return true;
  return !inLongMode() && (type == TYPE_CALL16 || type == TYPE_TASK_GATE);
}

/** LAR: ZF and the access rights (with the limit's bits between them, as AMD's processors do), or ZF clear and all ones. */
export function lar(selector: u32): u64 {
  protectedOnly();
  selector &= 0xffff;
  const found = (selector & SELECTOR) != 0 && peekDescriptor(selector);
  const good = found && visible(selector) && ((descHigh & AR_S) != 0 || hasRights(descType()));
  setZero(good);
  return good ? <u64>(descHigh & 0x00ffff00) : REFUSED;
}

/** LSL: ZF and the limit in bytes, or ZF clear and all ones. */
export function lsl(selector: u32): u64 {
  protectedOnly();
  selector &= 0xffff;
  const found = (selector & SELECTOR) != 0 && peekDescriptor(selector);
  const good = found && visible(selector) && ((descHigh & AR_S) != 0 || hasLimit(descType()));
  setZero(good);
  return good ? <u64>descLimit() : REFUSED;
}

/** A code or data segment that CPL and RPL may use. */
function usable(selector: u32): bool {
  return (selector & SELECTOR) != 0 && peekDescriptor(selector) && (descHigh & AR_S) != 0 && visible(selector);
}

export function verr(selector: u32): void {
  protectedOnly();
  selector &= 0xffff;
  setZero(usable(selector) && ((descHigh & AR_CODE) == 0 || (descHigh & AR_RW) != 0));
}

export function verw(selector: u32): void {
  protectedOnly();
  selector &= 0xffff;
  setZero(usable(selector) && (descHigh & (AR_CODE | AR_RW)) == AR_RW);
}

/** ARPL: the adjusted destination selector; ZF says whether it was. */
export function arpl(dst: u32, src: u32): u32 {
  protectedOnly();
  const raised = (dst & 3) < (src & 3);
  setZero(raised);
  return raised ? (dst & ~3) | (src & 3) : dst;
}
