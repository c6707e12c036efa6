import { busDelivered, cpu } from "./cpu";
import {
  ATTENTION,
  ATT_HALTED,
  ATT_SHADOW,
  COUNT_VECTOR,
  WATCHED,
  CR4,
  EFLAGS,
  EXTERNAL,
  HALTED,
  IDTR_BASE,
  IDTR_LIMIT,
  NEXT_RIP,
  REPEATING,
  RESUME_ARMED,
  SEG_CS,
  SEG_DS,
  SEG_ES,
  SEG_FS,
  SEG_GS,
  SEG_SS,
  SEG_TR,
  SHADOW_STI,
  SHADOW_USED,
  TRAP_ARMED,
} from "./state";
import {
  AR_DB,
  AR_DC,
  AR_L,
  AR_MASK,
  AR_PRESENT,
  AR_TYPE_SHIFT,
  CR4_VME,
  FL_AC,
  FL_IF,
  FL_IOPL,
  FL_NT,
  FL_RF,
  FL_TF,
  FL_VIF,
  FL_VM,
  TSS64_IST1,
  TSS64_RSP0,
  TYPE_INT,
  TYPE_INT16,
  TYPE_TASK_GATE,
  TYPE_TRAP,
  TYPE_TRAP16,
  TYPE_TSS,
  TYPE_TSS16,
  V_GP,
  V_NP,
  V_SS,
  V_TS,
} from "./arch";
import { raise } from "./fault";
import { iopl, noticeFlags, readFlags } from "./eflags";
import {
  framePush,
  setStackPointer,
  stackPointer,
  takeFramePointer,
  useCurrentStack,
  useFlatStack,
  useStack,
} from "./frame";
import { ldSys } from "./memory";
import { isCanonical } from "./tlb";
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
  fetchDescriptor,
  inLongMode,
  inRealMode,
  inVirtual8086,
  loadFromDescriptor,
  segAttr,
  segBase,
  segLimit,
  segSelector,
  setCpl,
  setNull,
  setReal,
  setVirtual,
  systemLinear,
  touchDescriptor,
  useDescriptor,
} from "./segments";
import { TASK_INT, redirected, stackFromTss, taskSwitch, tssStackPointer, tssStackSelector } from "./task";

/*
 * Delivery of one event through the IVT or the IDT (SDM vol. 3, chapter 6; vol. 2, INT n). Everything that can fail comes
 * first, the frame is written, then the processor changes. NEXT_RIP is where execution goes on.
 */

/** What is delivered: software interrupts (the first four are softwareInterrupt()'s), exceptions, interrupts. */
export const KIND_INT: u32 = 0;
export const KIND_INT3: u32 = 1;
export const KIND_INTO: u32 = 2;
export const KIND_INT1: u32 = 3;
export const KIND_EXCEPTION: u32 = 4;
export const KIND_EXTERNAL: u32 = 5;

const SELECTOR: u32 = 0xfffc;

/** The error code that names an IDT entry. */
function idtError(vector: u32): u32 {
  return (vector << 3) | 2;
}

/** What every delivered event ends: HLT, shadows, single steps that were about to be reported. */
function delivered(vector: u32): void {
  store<u32>(cpu, 0, HALTED);
  store<u32>(cpu, 0, EXTERNAL);
  store<u32>(cpu, 0, SHADOW_USED);
  store<u32>(cpu, 0, SHADOW_STI);
  store<u32>(cpu, 0, TRAP_ARMED);
  store<u32>(cpu, 0, RESUME_ARMED);
  store<u32>(cpu, 0, REPEATING);
  const clear: u32 = ATT_HALTED | ATT_SHADOW;
  if ((atomic.load<u32>(cpu + ATTENTION) & clear) != 0) atomic.and<u32>(cpu + ATTENTION, ~clear);
  const counter = cpu + <usize>(vector << 3);
  store<u64>(counter, load<u64>(counter, COUNT_VECTOR) + 1, COUNT_VECTOR);
}

/** Clears flags as the handler is entered. */
function clearFlags(bits: u32): void {
  store<u32>(cpu, load<u32>(cpu, EFLAGS) & ~bits, EFLAGS);
  noticeFlags();
}

/** Real mode's way, and that of interrupts redirected within virtual-8086 mode: three words and a vector table. */
function deliverVectorTable(vector: u32, table: u64, flags: u32, returnRip: u64, clear: u32, virtual: bool): void {
  const pointer = ldSys<u32>(table + (vector << 2));
  useCurrentStack();
  framePush(flags, 2);
  framePush(segSelector(SEG_CS), 2);
  framePush(returnRip, 2);
  const rip = pointer & 0xffff;
  if (rip > segLimit(SEG_CS)) raise(V_GP, 0);
  takeFramePointer();
  if (virtual) setVirtual(SEG_CS, pointer >>> 16);
  else setReal(SEG_CS, pointer >>> 16);
  store<u64>(cpu, rip, NEXT_RIP);
  clearFlags(clear);
}

/** INT n in virtual-8086 mode where it is not for the protected-mode IDT (SDM vol. 3, 20.3.3); false where it is. */
function deliverRedirected(vector: u32, flags: u32, returnRip: u64): bool {
  const sensitive = iopl() < 3;
  if ((load<u64>(cpu, CR4) & CR4_VME) == 0 || !redirected(vector)) {
    if (sensitive) raise(V_GP, 0);
    return false;
  }
  if (sensitive) {
    // The program sees the virtual interrupt flag, and an IOPL under which it could have used the real one.
    const image = (flags & ~FL_IF) | FL_IOPL | ((flags & FL_VIF) != 0 ? FL_IF : 0);
    deliverVectorTable(vector, 0, image, returnRip, FL_TF | FL_VIF | FL_RF, true);
  } else deliverVectorTable(vector, 0, flags, returnRip, FL_TF | FL_IF | FL_RF, true);
  return true;
}

/** Interrupt, trap and task gates outside of IA-32e mode. */
function deliverGate(vector: u32, software: bool, hasError: bool, error: u32, returnRip: u64, flags: u32): void {
  if ((vector << 3) + 7 > load<u32>(cpu, IDTR_LIMIT)) raise(V_GP, idtError(vector));
  const gate = ldSys<u64>(systemLinear(load<u64>(cpu, IDTR_BASE) + (vector << 3)));
  const low = <u32>gate;
  const high = <u32>(gate >> 32);
  // Five bits: S must be clear.
  const type = (high >>> AR_TYPE_SHIFT) & 0x1f;
  const wide = type == TYPE_INT || type == TYPE_TRAP;
  if (!wide && type != TYPE_INT16 && type != TYPE_TRAP16 && type != TYPE_TASK_GATE) raise(V_GP, idtError(vector));
  const level = cpl();
  if (software && ((high >>> 13) & 3) < level) raise(V_GP, idtError(vector));
  if ((high & AR_PRESENT) == 0) raise(V_NP, idtError(vector));
  const selector = low >>> 16;
  if (type == TYPE_TASK_GATE) {
    checkTaskSelector(selector);
    store<u64>(cpu, returnRip, NEXT_RIP);
    taskSwitch(selector, TASK_INT, flags, hasError, error);
    return;
  }

  const size: u32 = wide ? 4 : 2;
  const offset: u32 = (low & 0xffff) | (wide ? high & 0xffff0000 : 0);
  const virtual = inVirtual8086();
  if ((selector & SELECTOR) == 0) raise(V_GP, 0);
  fetchDescriptor(selector, V_GP);
  if (!descIsCode() || descDpl() > level) raise(V_GP, selector & SELECTOR);
  if ((descHigh & AR_PRESENT) == 0) raise(V_NP, selector & SELECTOR);
  const newLevel = (descHigh & AR_DC) != 0 ? level : descDpl();
  if (virtual && newLevel != 0) raise(V_GP, selector & SELECTOR);
  const csLow = descLow;
  const csHigh = descHigh;
  const csAt = descAt;
  const csLimit = descLimit();

  const inner = newLevel < level;
  let newSs: u32 = 0;
  let newSp: u32 = 0;
  let ssLow: u32 = 0;
  let ssHigh: u32 = 0;
  let ssAt: u64 = 0;
  if (inner) {
    stackFromTss(newLevel);
    newSs = tssStackSelector;
    newSp = tssStackPointer;
    checkStackSelector(newSs, newLevel, V_TS);
    useStack(newSs, descBase(), descLimit(), descHigh & AR_MASK, newSp, newLevel);
  } else useCurrentStack();
  if (offset > csLimit) raise(V_GP, 0);
  if (inner) {
    touchDescriptor();
    ssLow = descLow;
    ssHigh = descHigh;
    ssAt = descAt;
    if (virtual) {
      framePush(segSelector(SEG_GS), size);
      framePush(segSelector(SEG_FS), size);
      framePush(segSelector(SEG_DS), size);
      framePush(segSelector(SEG_ES), size);
    }
    framePush(segSelector(SEG_SS), size);
    framePush(stackPointer(), size);
  }
  framePush(flags, size);
  framePush(segSelector(SEG_CS), size);
  framePush(returnRip, size);
  if (hasError) framePush(error, size);
  useDescriptor(csLow, csHigh, csAt);
  touchDescriptor();

  // Nothing fails from here on.
  setCpl(newLevel);
  loadFromDescriptor(SEG_CS, (selector & SELECTOR) | newLevel);
  if (inner) {
    useDescriptor(ssLow, ssHigh, ssAt);
    loadFromDescriptor(SEG_SS, newSs);
    setStackPointer(newSp);
  }
  takeFramePointer();
  if (virtual) {
    setNull(SEG_GS, 0);
    setNull(SEG_FS, 0);
    setNull(SEG_DS, 0);
    setNull(SEG_ES, 0);
  }
  store<u64>(cpu, offset, NEXT_RIP);
  clearFlags(FL_TF | FL_NT | FL_VM | FL_RF | ((type & 1) == 0 ? FL_IF : 0));
}

/** The TSS selector of a task gate; its descriptor becomes the one at hand. */
function checkTaskSelector(selector: u32): void {
  if ((selector & 4) != 0) raise(V_GP, selector & SELECTOR);
  fetchDescriptor(selector, V_GP);
  const type = descType() | ((descHigh >>> 8) & 0x10);
  if (type != TYPE_TSS && type != TYPE_TSS16) raise(V_GP, selector & SELECTOR);
  if ((descHigh & AR_PRESENT) == 0) raise(V_NP, selector & SELECTOR);
}

/**
 * P:110 So an exception calls the kernel. How? The vector is an index into the IDT, a table of gates, each with the
 * address of a handler. If the program was in ring 3, the processor first takes a fresh stack from the TSS (RSP0), for
 * a user's stack pointer is worth as much as a user's word. On it go five words: where the program was (ss, rsp,
 * rflags, cs, rip), so that IRET can bring it back. Interrupts, the calls from devices, come by the same door.
 *
 * 64-bit interrupt and trap gates (SDM vol. 3, 6.14).
 */
function deliverLong(vector: u32, software: bool, hasError: bool, error: u32, returnRip: u64, flags: u32): void {
  if ((vector << 4) + 15 > load<u32>(cpu, IDTR_LIMIT)) raise(V_GP, idtError(vector));
  const at = load<u64>(cpu, IDTR_BASE) + (vector << 4);
  const gate = ldSys<u64>(at);
  const upper = ldSys<u32>(at + 8);
  const low = <u32>gate;
  const high = <u32>(gate >> 32);
  const type = (high >>> AR_TYPE_SHIFT) & 0x1f;
  if (type != TYPE_INT && type != TYPE_TRAP) raise(V_GP, idtError(vector));
  const level = cpl();
  if (software && ((high >>> 13) & 3) < level) raise(V_GP, idtError(vector));
  if ((high & AR_PRESENT) == 0) raise(V_NP, idtError(vector));
  const selector = low >>> 16;
  if ((selector & SELECTOR) == 0) raise(V_GP, 0);
  fetchDescriptor(selector, V_GP);
  if (!descIsCode() || descDpl() > level || (descHigh & (AR_L | AR_DB)) != AR_L) raise(V_GP, selector & SELECTOR);
  if ((descHigh & AR_PRESENT) == 0) raise(V_NP, selector & SELECTOR);
  touchDescriptor();
  const newLevel = (descHigh & AR_DC) != 0 ? level : descDpl();
  const offset = (<u64>((low & 0xffff) | (high & 0xffff0000))) | ((<u64>upper) << 32);
  if (!isCanonical(offset)) raise(V_GP, 0);

  const inner = newLevel < level;
  const ist = high & 7;
  let pointer = stackPointer();
  if (inner || ist != 0) {
    const slot = ist != 0 ? TSS64_IST1 + ((ist - 1) << 3) : TSS64_RSP0 + (newLevel << 3);
    if (slot + 7 > segLimit(SEG_TR)) raise(V_TS, segSelector(SEG_TR) & SELECTOR);
    pointer = ldSys<u64>(segBase(SEG_TR) + slot);
    if (!isCanonical(pointer)) raise(V_SS, 0);
  }
  useFlatStack(pointer & ~(<u64>15), newLevel);
  framePush(segSelector(SEG_SS), 8);
  framePush(stackPointer(), 8);
  framePush(flags, 8);
  framePush(segSelector(SEG_CS), 8);
  framePush(returnRip, 8);
  if (hasError) framePush(error, 8);

  // Nothing fails from here on.
  setCpl(newLevel);
  loadFromDescriptor(SEG_CS, (selector & SELECTOR) | newLevel);
  if (inner) setNull(SEG_SS, newLevel);
  takeFramePointer();
  store<u64>(cpu, offset, NEXT_RIP);
  clearFlags(FL_TF | FL_NT | FL_VM | FL_RF | ((type & 1) == 0 ? FL_IF : 0));
}

/**
 * Delivers `vector`. `returnRip` goes on the stack; `flags` is the image that does. The caller has decided on RF. Sets
 * NEXT_RIP; counts the vector.
 */
export function deliver(vector: u32, kind: u32, hasError: bool, error: u32, returnRip: u64, flags: u32): void {
  const software = kind <= KIND_INTO;
  // Error codes of selectors say whether the program asked for what failed. raise() adds the bit.
  store<u32>(cpu, software ? 0 : 1, EXTERNAL);
  if (inRealMode()) {
    if ((vector << 2) + 3 > load<u32>(cpu, IDTR_LIMIT)) raise(V_GP, idtError(vector));
    deliverVectorTable(vector, load<u64>(cpu, IDTR_BASE), flags, returnRip, FL_IF | FL_TF | FL_AC | FL_RF, false);
  } else if (inVirtual8086() && kind == KIND_INT && deliverRedirected(vector, flags, returnRip)) {
    // Done within the virtual-8086 task.
  } else if (inLongMode()) deliverLong(vector, software, hasError, error, returnRip, flags);
  else deliverGate(vector, software, hasError, error, returnRip, flags);
  delivered(vector);
  if (load<u32>(cpu, WATCHED) != 0) busDelivered(vector, hasError ? error : 0);
}

/** The flags as they are now, with RF as given. */
export function flagsImage(resume: bool): u32 {
  return (readFlags() & ~FL_RF) | (resume ? FL_RF : 0);
}
