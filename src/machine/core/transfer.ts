import { cpu } from "./cpu";
import { NEXT_RIP, SEG_CS, SEG_SS, SEG_TR } from "./state";
import {
  AR_DB,
  AR_DC,
  AR_L,
  AR_MASK,
  AR_PRESENT,
  AR_S,
  TSS64_RSP0,
  TYPE_CALL,
  TYPE_CALL16,
  TYPE_TASK_GATE,
  TYPE_TSS,
  TYPE_TSS16,
  V_GP,
  V_NP,
  V_SS,
  V_TS,
} from "./arch";
import { readFlags } from "./eflags";
import { raise, raiseGp } from "./fault";
import {
  framePush,
  loadSized,
  setStackPointer,
  stackMask,
  stackPointer,
  takeFramePointer,
  useCurrentStack,
  useFlatStack,
  useStack,
} from "./frame";
import { ldSys } from "./memory";
import { checkTarget } from "./returns";
import {
  checkStackSelector,
  cpl,
  descAt,
  descBase,
  descDpl,
  descHigh,
  descIsCode,
  descLimit,
  descLow,
  descType,
  descUpper,
  fetchDescriptor,
  inLongMode,
  inRealMode,
  inVirtual8086,
  loadFromDescriptor,
  peekUpper,
  segBase,
  segLimit,
  segSelector,
  setCpl,
  setNull,
  setReal,
  setVirtual,
  touchDescriptor,
  updateMode,
  useDescriptor,
} from "./segments";
import { TASK_CALL, TASK_JMP, stackFromTss, taskSwitch, tssStackPointer, tssStackSelector } from "./task";
import { isCanonical } from "./tlb";

/*
 * Far jumps and calls: to code segments, through call gates, to tasks (SDM vol. 3, 5.8; vol. 2, JMP and CALL). The other
 * transfers have files of their own and are shown here, so that the run loop finds them in one place.
 */
export { farReturn, iret } from "./returns";
export { sysenter, sysexit, syscall, sysret } from "./syscall";
export { softwareInterrupt } from "./interrupts";

const SELECTOR: u32 = 0xfffc;

/** A code segment named directly: its descriptor is at hand. #GP(selector) unless it may be entered at this CPL. */
function checkDirect(selector: u32): void {
  const level = cpl();
  const both: u32 = AR_L | AR_DB;
  const fits = (descHigh & AR_DC) != 0 ? descDpl() <= level : (selector & 3) <= level && descDpl() == level;
  if (!fits || (inLongMode() && (descHigh & both) == both)) raise(V_GP, selector & SELECTOR);
  if ((descHigh & AR_PRESENT) == 0) raise(V_NP, selector & SELECTOR);
}

/** A gate or TSS: DPL against CPL and RPL, and presence. */
function checkSystem(selector: u32): void {
  if (descDpl() < cpl() || descDpl() < (selector & 3)) raise(V_GP, selector & SELECTOR);
  if ((descHigh & AR_PRESENT) == 0) raise(V_NP, selector & SELECTOR);
}

/** Loads CS from the descriptor at hand, at privilege `level`. */
function enter(selector: u32, level: u32, rip: u64): void {
  setCpl(level);
  loadFromDescriptor(SEG_CS, (selector & SELECTOR) | level);
  store<u64>(cpu, rip, NEXT_RIP);
  updateMode();
}

// The call gate that readGate() found.
let gateSelector: u32 = 0;
let gateOffset: u64 = 0;
/** Bytes of each thing pushed. */
let gateSize: u32 = 0;
let gateParameters: u32 = 0;

/** Reads the call gate whose first half is at hand and fetches the descriptor of its target. */
function readGate(selector: u32, type: u32): void {
  gateSelector = descLow >>> 16;
  gateOffset = descLow & 0xffff;
  gateParameters = descHigh & 0x1f;
  gateSize = 2;
  if (type == TYPE_CALL) {
    gateOffset |= <u64>(descHigh & 0xffff0000);
    gateSize = 4;
  }
  const long = inLongMode();
  if (long) {
    gateSize = 8;
    if (!peekUpper(selector)) raise(V_GP, selector & SELECTOR);
    gateOffset |= (<u64>descUpper) << 32;
  }
  if ((gateSelector & SELECTOR) == 0) raiseGp();
  fetchDescriptor(gateSelector, V_GP);
  if (!descIsCode() || descDpl() > cpl()) raise(V_GP, gateSelector & SELECTOR);
  if (long && (descHigh & (AR_L | AR_DB)) != AR_L) raise(V_GP, gateSelector & SELECTOR);
}

/** The type of the system descriptor at hand, or 0 for one that cannot be transferred to in this mode. */
function transferType(): u32 {
  const type = descType();
  if (inLongMode()) return type == TYPE_CALL ? type : 0;
  if (type == TYPE_CALL || type == TYPE_CALL16 || type == TYPE_TASK_GATE) return type;
  return type == TYPE_TSS || type == TYPE_TSS16 ? type : 0;
}

/** A task gate's TSS: its descriptor is at hand afterwards. */
function readTaskGate(): u32 {
  const selector = descLow >>> 16;
  if ((selector & 4) != 0) raise(V_GP, selector & SELECTOR);
  fetchDescriptor(selector, V_GP);
  const type = descType();
  if ((descHigh & AR_S) != 0 || (type != TYPE_TSS && type != TYPE_TSS16)) raise(V_GP, selector & SELECTOR);
  if ((descHigh & AR_PRESENT) == 0) raise(V_NP, selector & SELECTOR);
  return selector;
}

/** Far JMP. `offset` has been cut to the operand size. */
export function farJump(selector: u32, offset: u64, osize: u32): void {
  if (osize == 2) offset &= 0xffff;
  if (inRealMode() || inVirtual8086()) {
    if (offset > <u64>segLimit(SEG_CS)) raiseGp();
    if (inRealMode()) setReal(SEG_CS, selector);
    else setVirtual(SEG_CS, selector);
    store<u64>(cpu, offset, NEXT_RIP);
    updateMode();
    return;
  }
  if ((selector & SELECTOR) == 0) raiseGp();
  fetchDescriptor(selector, V_GP);
  if ((descHigh & AR_S) != 0) {
    if (!descIsCode()) raise(V_GP, selector & SELECTOR);
    checkDirect(selector);
    checkTarget(offset);
    enter(selector, cpl(), offset);
    return;
  }
  const type = transferType();
  if (type == 0) raise(V_GP, selector & SELECTOR);
  checkSystem(selector);
  if (type == TYPE_CALL || type == TYPE_CALL16) {
    readGate(selector, type);
    if ((descHigh & AR_DC) == 0 && descDpl() != cpl()) raise(V_GP, gateSelector & SELECTOR);
    if ((descHigh & AR_PRESENT) == 0) raise(V_NP, gateSelector & SELECTOR);
    checkTarget(gateOffset);
    enter(gateSelector, cpl(), gateOffset);
  } else taskSwitch(type == TYPE_TASK_GATE ? readTaskGate() : selector, TASK_JMP, readFlags(), false, 0);
}

/** Far CALL. */
export function farCall(selector: u32, offset: u64, osize: u32): void {
  if (osize == 2) offset &= 0xffff;
  if (inRealMode() || inVirtual8086()) {
    useCurrentStack();
    framePush(segSelector(SEG_CS), osize);
    framePush(load<u64>(cpu, NEXT_RIP), osize);
    if (offset > <u64>segLimit(SEG_CS)) raiseGp();
    takeFramePointer();
    if (inRealMode()) setReal(SEG_CS, selector);
    else setVirtual(SEG_CS, selector);
    store<u64>(cpu, offset, NEXT_RIP);
    updateMode();
    return;
  }
  if ((selector & SELECTOR) == 0) raiseGp();
  fetchDescriptor(selector, V_GP);
  if ((descHigh & AR_S) != 0) {
    if (!descIsCode()) raise(V_GP, selector & SELECTOR);
    checkDirect(selector);
    callHere(selector, offset, osize);
    return;
  }
  const type = transferType();
  if (type == 0) raise(V_GP, selector & SELECTOR);
  checkSystem(selector);
  if (type == TYPE_CALL || type == TYPE_CALL16) {
    readGate(selector, type);
    if ((descHigh & AR_PRESENT) == 0) raise(V_NP, gateSelector & SELECTOR);
    if ((descHigh & AR_DC) == 0 && descDpl() < cpl()) callInner();
    else callHere(gateSelector, gateOffset, gateSize);
  } else taskSwitch(type == TYPE_TASK_GATE ? readTaskGate() : selector, TASK_CALL, readFlags(), false, 0);
}

/** A call on the current stack to the code segment at hand. */
function callHere(selector: u32, offset: u64, size: u32): void {
  useCurrentStack();
  framePush(segSelector(SEG_CS), size);
  framePush(load<u64>(cpu, NEXT_RIP), size);
  checkTarget(offset);
  touchDescriptor();
  takeFramePointer();
  enter(selector, cpl(), offset);
}

/** A call through a gate to a more privileged code segment, which is at hand: a new stack, parameters copied. */
function callInner(): void {
  const level = descDpl();
  const csLow = descLow;
  const csHigh = descHigh;
  const csAt = descAt;
  let stack: u32 = level;
  let ssLow: u32 = 0;
  let ssHigh: u32 = 0;
  let ssAt: u64 = 0;
  let pointer: u64;
  const long = inLongMode();
  if (long) {
    const slot = TSS64_RSP0 + (level << 3);
    if (slot + 7 > segLimit(SEG_TR)) raise(V_TS, segSelector(SEG_TR) & SELECTOR);
    pointer = ldSys<u64>(segBase(SEG_TR) + slot);
    if (!isCanonical(pointer)) raise(V_SS, 0);
    useFlatStack(pointer, level);
  } else {
    stackFromTss(level);
    stack = tssStackSelector;
    pointer = tssStackPointer;
    checkStackSelector(stack, level, V_TS);
    touchDescriptor();
    ssLow = descLow;
    ssHigh = descHigh;
    ssAt = descAt;
    useStack(stack, descBase(), descLimit(), descHigh & AR_MASK, pointer, level);
  }
  framePush(segSelector(SEG_SS), gateSize);
  framePush(stackPointer(), gateSize);
  if (!long)
    for (let i = gateParameters; i > 0; --i)
      framePush(loadSized(SEG_SS, (stackPointer() + (i - 1) * gateSize) & stackMask(), gateSize), gateSize);
  framePush(segSelector(SEG_CS), gateSize);
  framePush(load<u64>(cpu, NEXT_RIP), gateSize);
  useDescriptor(csLow, csHigh, csAt);
  checkTarget(gateOffset);
  touchDescriptor();
  const csTouched = descHigh;

  // Nothing fails from here on.
  if (long) setNull(SEG_SS, level);
  else {
    useDescriptor(ssLow, ssHigh, ssAt);
    loadFromDescriptor(SEG_SS, stack);
    setStackPointer(pointer);
  }
  takeFramePointer();
  useDescriptor(csLow, csTouched, csAt);
  enter(gateSelector, level, gateOffset);
}
