import { cpu } from "./cpu";
import {
  CPL,
  CR4,
  EFLAGS,
  MODE,
  MODE_64,
  NEXT_RIP,
  NMI_BLOCKED,
  SEG_CS,
  SEG_DS,
  SEG_ES,
  SEG_FS,
  SEG_GS,
  SEG_SS,
  SEG_TR,
} from "./state";
import {
  AR_CODE,
  AR_DB,
  AR_DC,
  AR_DPL_SHIFT,
  AR_L,
  AR_PRESENT,
  AR_S,
  CR4_VME,
  FL_IF,
  FL_IOPL,
  FL_NT,
  FL_RF,
  FL_TF,
  FL_VIF,
  FL_VIP,
  FL_VM,
  TSS_LINK,
  TYPE_TSS16_BUSY,
  TYPE_TSS_BUSY,
  V_GP,
  V_NP,
  V_SS,
  V_TS,
} from "./arch";
import { FL_USER, iopl, readFlags, writeFlags } from "./eflags";
import { raise, raiseGp } from "./fault";
import { framePop, frameSkip, mergeStackPointer, setStackPointer, takeFramePointer, useCurrentStack } from "./frame";
import { ldSys } from "./memory";
import {
  cpl,
  descAt,
  descDpl,
  descHigh,
  descIsCode,
  descIsStack,
  descLimit,
  descLow,
  descType,
  fetchDescriptor,
  inLongMode,
  inRealMode,
  inVirtual8086,
  loadFromDescriptor,
  segAttr,
  segBase,
  segLimit,
  setCpl,
  setNull,
  setReal,
  setVirtual,
  systemLinear,
  touchDescriptor,
  updateMode,
  useDescriptor,
} from "./segments";
import { TASK_IRET, taskSwitch } from "./task";
import { isCanonical } from "./tlb";

/*
 * Far returns and IRET (SDM vol. 2, RET and IRET). Everything is popped and judged before anything changes.
 */

const SELECTOR: u32 = 0xfffc;

/** Code segments on which an instruction pointer must be canonical instead of within a limit. */
export function targetIs64(attr: u32): bool {
  return (attr & AR_L) != 0 && inLongMode();
}

/** #GP(0) unless `rip` lies in the code segment of the descriptor at hand. */
export function checkTarget(rip: u64): void {
  if (targetIs64(descHigh)) {
    if (!isCanonical(rip)) raiseGp();
  } else if (rip > <u64>descLimit()) raiseGp();
}

/** A selector popped into CS: its descriptor is at hand afterwards. */
function checkReturnSelector(selector: u32): void {
  if ((selector & SELECTOR) == 0) raiseGp();
  fetchDescriptor(selector, V_GP);
  const level = selector & 3;
  const fits = (descHigh & AR_DC) != 0 ? descDpl() <= level : descDpl() == level;
  const both: u32 = AR_L | AR_DB;
  if (!descIsCode() || level < cpl() || !fits || (inLongMode() && (descHigh & both) == both))
    raise(V_GP, selector & SELECTOR);
  if ((descHigh & AR_PRESENT) == 0) raise(V_NP, selector & SELECTOR);
}

/** Makes unusable what an outer privilege must not keep. */
function dropInnerSegment(seg: u32): void {
  const attr = segAttr(seg);
  const conforming = (attr & (AR_CODE | AR_DC)) == (AR_CODE | AR_DC);
  if (attr != 0 && !conforming && ((attr >>> AR_DPL_SHIFT) & 3) < load<u32>(cpu, CPL)) setNull(seg, 0);
}

/**
 * The common end of RETF and IRET in protected mode. rip, selector (and for IRET the flags) have been popped from the
 * frame. `release`: bytes of parameters. `always`: SS:rSP is popped whatever the privilege (IRET in 64-bit mode).
 */
function returnTo(selector: u32, rip: u64, osize: u32, release: u32, always: bool, flags: u32, mask: u32): void {
  const from = cpl();
  checkReturnSelector(selector);
  checkTarget(rip);
  touchDescriptor();
  const level = selector & 3;
  const long = targetIs64(descHigh);
  if (level == from && !always) {
    loadFromDescriptor(SEG_CS, selector);
    frameSkip(release);
    takeFramePointer();
  } else {
    const csLow = descLow;
    const csHigh = descHigh;
    const csAt = descAt;
    frameSkip(release);
    const pointer = framePop(osize) + release;
    const stack = (<u32>framePop(osize)) & 0xffff;
    const isNull = (stack & SELECTOR) == 0;
    if (isNull) {
      if (!long || level == 3) raiseGp();
    } else {
      fetchDescriptor(stack, V_GP);
      if ((stack & 3) != level || !descIsStack() || descDpl() != level) raise(V_GP, stack & SELECTOR);
      if ((descHigh & AR_PRESENT) == 0) raise(V_SS, stack & SELECTOR);
      touchDescriptor();
    }
    // Nothing fails from here on.
    if (isNull) setNull(SEG_SS, stack);
    else loadFromDescriptor(SEG_SS, stack);
    const wide = (segAttr(SEG_SS) & AR_DB) != 0;
    setStackPointer(long ? pointer : mergeStackPointer(pointer, wide ? 0xffffffff : 0xffff));
    useDescriptor(csLow, csHigh, csAt);
    loadFromDescriptor(SEG_CS, selector);
    setCpl(level);
    if (level > from) {
      dropInnerSegment(SEG_ES);
      dropInnerSegment(SEG_DS);
      dropInnerSegment(SEG_FS);
      dropInnerSegment(SEG_GS);
    }
  }
  store<u64>(cpu, rip, NEXT_RIP);
  if (mask != 0) writeFlags(flags, mask);
  else updateMode();
}

/** RETF, with `release` bytes of parameters to drop. */
export function farReturn(osize: u32, release: u32): void {
  useCurrentStack();
  const rip = framePop(osize);
  const selector = (<u32>framePop(osize)) & 0xffff;
  if (!inRealMode() && !inVirtual8086()) {
    returnTo(selector, rip, osize, release, false, 0, 0);
    return;
  }
  if (rip > <u64>segLimit(SEG_CS)) raiseGp();
  frameSkip(release);
  takeFramePointer();
  if (inRealMode()) setReal(SEG_CS, selector);
  else setVirtual(SEG_CS, selector);
  store<u64>(cpu, rip, NEXT_RIP);
  updateMode();
}

/** Flags that IRET loads, by operand size. */
function sizeMask(osize: u32): u32 {
  return osize == 2 ? 0xffff : 0xffffffff;
}

function iretReal(osize: u32): void {
  useCurrentStack();
  const rip = framePop(osize);
  const selector = (<u32>framePop(osize)) & 0xffff;
  const flags = <u32>framePop(osize);
  if (rip > <u64>segLimit(SEG_CS)) raiseGp();
  takeFramePointer();
  setReal(SEG_CS, selector);
  store<u64>(cpu, rip, NEXT_RIP);
  writeFlags(flags, (FL_USER | FL_IF | FL_IOPL | FL_RF) & sizeMask(osize));
}

function iretVirtual(osize: u32): void {
  const sensitive = iopl() < 3;
  if (sensitive && ((load<u64>(cpu, CR4) & CR4_VME) == 0 || osize != 2)) raiseGp();
  useCurrentStack();
  const rip = framePop(osize);
  const selector = (<u32>framePop(osize)) & 0xffff;
  let flags = <u32>framePop(osize);
  let mask = (FL_USER | FL_IF | FL_RF) & sizeMask(osize);
  if (rip > <u64>segLimit(SEG_CS)) raiseGp();
  if (sensitive) {
    // CR4.VME: the image's IF is the virtual one (SDM vol. 3, 20.3.3).
    const interrupts = (flags & FL_IF) != 0;
    if ((interrupts && (load<u32>(cpu, EFLAGS) & FL_VIP) != 0) || (flags & FL_TF) != 0) raiseGp();
    mask = (mask & ~FL_IF) | FL_VIF;
    flags = (flags & ~FL_VIF) | (interrupts ? FL_VIF : 0);
  }
  takeFramePointer();
  setVirtual(SEG_CS, selector);
  store<u64>(cpu, rip, NEXT_RIP);
  writeFlags(flags, mask);
}

/** IRET with NT set: back to the task that the TSS links to. */
function iretTask(): void {
  const selector = <u32>ldSys<u16>(systemLinear(segBase(SEG_TR) + TSS_LINK));
  if ((selector & 4) != 0) raise(V_TS, selector & SELECTOR);
  fetchDescriptor(selector, V_TS);
  const type = descType();
  if ((descHigh & AR_S) != 0 || (type != TYPE_TSS_BUSY && type != TYPE_TSS16_BUSY)) raise(V_TS, selector & SELECTOR);
  if ((descHigh & AR_PRESENT) == 0) raise(V_NP, selector & SELECTOR);
  taskSwitch(selector, TASK_IRET, readFlags(), false, 0);
}

/** The rest of an IRET from ring 0 to virtual-8086 mode. */
function iretToVirtual(selector: u32, rip: u64, flags: u32): void {
  const pointer = framePop(4);
  const ss = (<u32>framePop(4)) & 0xffff;
  const es = (<u32>framePop(4)) & 0xffff;
  const ds = (<u32>framePop(4)) & 0xffff;
  const fs = (<u32>framePop(4)) & 0xffff;
  const gs = (<u32>framePop(4)) & 0xffff;
  if (rip > 0xffff) raiseGp();
  setCpl(3);
  setVirtual(SEG_CS, selector);
  setVirtual(SEG_SS, ss);
  setVirtual(SEG_ES, es);
  setVirtual(SEG_DS, ds);
  setVirtual(SEG_FS, fs);
  setVirtual(SEG_GS, gs);
  setStackPointer(pointer);
  store<u64>(cpu, rip, NEXT_RIP);
  writeFlags(flags, FL_USER | FL_IF | FL_IOPL | FL_RF | FL_VM | FL_VIF | FL_VIP);
}

function iretProtected(osize: u32): void {
  const now = load<u32>(cpu, EFLAGS);
  if ((now & FL_NT) != 0) {
    if (inLongMode()) raiseGp();
    iretTask();
    return;
  }
  useCurrentStack();
  const rip = framePop(osize);
  const selector = (<u32>framePop(osize)) & 0xffff;
  const flags = <u32>framePop(osize);
  const level = cpl();
  if ((flags & FL_VM) != 0 && osize == 4 && level == 0 && !inLongMode()) {
    iretToVirtual(selector, rip, flags);
    return;
  }
  let mask: u32 = FL_USER | FL_RF;
  if (level <= iopl()) mask |= FL_IF;
  if (level == 0) mask |= FL_IOPL | FL_VIF | FL_VIP;
  returnTo(selector, rip, osize, 0, load<u32>(cpu, MODE) == MODE_64, flags, mask & sizeMask(osize));
}

/** IRET, IRETD, IRETQ in every mode. */
export function iret(osize: u32): void {
  // NMIs are let in again even if the IRET faults (SDM vol. 3, 6.7.1).
  store<u32>(cpu, 0, NMI_BLOCKED);
  if (inRealMode()) iretReal(osize);
  else if (inVirtual8086()) iretVirtual(osize);
  else iretProtected(osize);
}
