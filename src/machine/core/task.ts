import { cpu } from "./cpu";
import {
  ATTENTION,
  ATT_DEBUG,
  COUNT_CR3_LOAD,
  CR0,
  CR3,
  CR4,
  GDTR_BASE,
  GPR,
  NEXT_RIP,
  PENDING_DEBUG,
  RIP,
  SEG_CS,
  SEG_DS,
  SEG_ES,
  SEG_FS,
  SEG_GS,
  SEG_LDTR,
  SEG_SS,
  SEG_TR,
} from "./state";
import {
  AR_DC,
  AR_MASK,
  AR_PRESENT,
  AR_S,
  AR_TYPE_SHIFT,
  CR0_PG,
  CR0_TS,
  CR4_PAE,
  DR6_BT,
  FL_NT,
  FL_VM,
  TSS16_FLAGS,
  TSS16_GPR,
  TSS16_IP,
  TSS16_LDT,
  TSS16_LIMIT,
  TSS16_SEGMENTS,
  TSS16_SP0,
  TSS32_CR3,
  TSS32_EFLAGS,
  TSS32_EIP,
  TSS32_ESP0,
  TSS32_GPR,
  TSS32_LDT,
  TSS32_LIMIT,
  TSS32_SEGMENTS,
  TSS32_TRAP,
  TSS_IO_BASE,
  TSS_LINK,
  TYPE_LDT,
  V_GP,
  V_NP,
  V_TS,
} from "./arch";
import { writeFlags } from "./eflags";
import { raise } from "./fault";
import { framePush, loadSystem, storeSystem, takeFramePointer, useCurrentStack } from "./frame";
import { clearSys, ldSys, orSys, probeSys } from "./memory";
import { loadPdptes } from "./paging";
import {
  checkDataSelector,
  checkStackSelector,
  cpl,
  descAt,
  descBase,
  descDpl,
  descHigh,
  descIsCode,
  descLimit,
  descType,
  fetchDescriptor,
  loadFromDescriptor,
  segAttr,
  segBase,
  segLimit,
  segSelector,
  setCpl,
  setNull,
  setSegment,
  setVirtual,
  systemLinear,
  updateMode,
} from "./segments";
import { flushAll } from "./tlb";

/*
 * Task-state segments: inner stacks, the interrupt redirection bitmap, and task switches as the processor does them by
 * itself (SDM vol. 3, chapter 8).
 */

/** What caused a task switch. */
export const TASK_JMP: u32 = 0;
export const TASK_CALL: u32 = 1;
export const TASK_INT: u32 = 2;
export const TASK_IRET: u32 = 3;

const SELECTOR: u32 = 0xfffc;
/** Every flag that exists. */
const FL_ALL: u32 = 0x003f7fd5;
/** The busy bit of a TSS descriptor's type. */
const BUSY: u32 = 2 << AR_TYPE_SHIFT;
/** The 32-bit bit of its type. */
const WIDE: u32 = 8 << AR_TYPE_SHIFT;

/** What stackFromTss() found. */
export let tssStackSelector: u32 = 0;
export let tssStackPointer: u32 = 0;

/** Reads the stack of privilege `level` from the current TSS, 16- or 32-bit; #TS(TR) if it lies beyond the limit. */
export function stackFromTss(level: u32): void {
  const wide = (segAttr(SEG_TR) & WIDE) != 0;
  const size: u32 = wide ? 4 : 2;
  const slot = wide ? TSS32_ESP0 + (level << 3) : TSS16_SP0 + (level << 2);
  if (slot + size + 1 > segLimit(SEG_TR)) raise(V_TS, segSelector(SEG_TR) & SELECTOR);
  const at = segBase(SEG_TR) + slot;
  tssStackPointer = loadSystem(systemLinear(at), size);
  tssStackSelector = loadSystem(systemLinear(at + size), 2);
}

/** Whether the TSS sends INT `vector` of virtual-8086 code to that code's own vector table: its bit is clear. */
export function redirected(vector: u32): bool {
  const limit = segLimit(SEG_TR);
  if ((segAttr(SEG_TR) & (WIDE | AR_PRESENT)) != (WIDE | AR_PRESENT) || limit < TSS32_LIMIT) return false;
  const base = segBase(SEG_TR);
  const map = <u32>ldSys<u16>(systemLinear(base + TSS_IO_BASE));
  const byte = map - 32 + (vector >>> 3);
  if (map < 32 || byte > limit) return false;
  return (((<u32>ldSys<u8>(systemLinear(base + byte))) >>> (vector & 7)) & 1) == 0;
}

// The image of the incoming task, read before anything changes.
let newRip: u32 = 0;
let newFlags: u32 = 0;
let newLdt: u32 = 0;
let newCr3: u32 = 0;
let newTrap: u32 = 0;

function saveTask(tss: u64, wide: bool, flags: u32): void {
  const size: u32 = wide ? 4 : 2;
  storeSystem(tss + (wide ? TSS32_EIP : TSS16_IP), <u32>load<u64>(cpu, NEXT_RIP), size);
  storeSystem(tss + (wide ? TSS32_EFLAGS : TSS16_FLAGS), flags, size);
  const registers = tss + (wide ? TSS32_GPR : TSS16_GPR);
  for (let i: u32 = 0; i < 8; ++i) storeSystem(registers + i * size, load<u32>(cpu + (i << 3), GPR), size);
  const segments = tss + (wide ? TSS32_SEGMENTS : TSS16_SEGMENTS);
  const last: u32 = wide ? 6 : 4;
  for (let seg: u32 = 0; seg < last; ++seg) storeSystem(segments + seg * size, segSelector(seg), 2);
}

/** A data segment register of the incoming task. */
function loadTaskData(seg: u32): void {
  const selector = segSelector(seg);
  if ((selector & SELECTOR) == 0) return;
  checkDataSelector(selector, V_TS);
  loadFromDescriptor(seg, selector);
}

/** LDTR, CS, SS and the data segments of the incoming task. Faults belong to it. */
function loadTaskSegments(): void {
  const ldt = segSelector(SEG_LDTR);
  if ((ldt & SELECTOR) != 0) {
    if ((ldt & 4) != 0) raise(V_TS, ldt & SELECTOR);
    fetchDescriptor(ldt, V_TS);
    if ((descHigh & AR_S) != 0 || descType() != TYPE_LDT) raise(V_TS, ldt & SELECTOR);
    if ((descHigh & AR_PRESENT) == 0) raise(V_TS, ldt & SELECTOR);
    setSegment(SEG_LDTR, ldt, descBase(), descLimit(), descHigh & AR_MASK);
  }
  if ((newFlags & FL_VM) != 0) {
    for (let seg: u32 = SEG_ES; seg <= <u32>SEG_GS; ++seg) setVirtual(seg, segSelector(seg));
    return;
  }
  const cs = segSelector(SEG_CS);
  if ((cs & SELECTOR) == 0) raise(V_TS, 0);
  fetchDescriptor(cs, V_TS);
  const conforming = (descHigh & AR_DC) != 0;
  if (!descIsCode() || (conforming ? descDpl() > (cs & 3) : descDpl() != (cs & 3))) raise(V_TS, cs & SELECTOR);
  if ((descHigh & AR_PRESENT) == 0) raise(V_NP, cs & SELECTOR);
  loadFromDescriptor(SEG_CS, cs);
  const ss = segSelector(SEG_SS);
  checkStackSelector(ss, cpl(), V_TS);
  loadFromDescriptor(SEG_SS, ss);
  loadTaskData(SEG_DS);
  loadTaskData(SEG_ES);
  loadTaskData(SEG_FS);
  loadTaskData(SEG_GS);
}

/**
 * Switches to the task of TSS `selector`, whose descriptor is at hand and of the right kind. NEXT_RIP is where the old
 * task will go on; `flags` are its flags. Faults found in the new task's segments are raised in the new task.
 */
export function taskSwitch(selector: u32, source: u32, flags: u32, hasError: bool, error: u32): void {
  const attr = descHigh & AR_MASK;
  const wide = (attr & WIDE) != 0;
  const limit = descLimit();
  const least: u32 = wide ? TSS32_LIMIT : TSS16_LIMIT;
  if (limit < least) raise(V_TS, selector & SELECTOR);
  // The old one may have been good enough for LTR and still have no room for the registers.
  const oldLeast: u32 = (segAttr(SEG_TR) & WIDE) != 0 ? TSS32_LIMIT : TSS16_LIMIT;
  if (segLimit(SEG_TR) < oldLeast) raise(V_TS, segSelector(SEG_TR) & SELECTOR);
  const tss = descBase();
  const descriptor = descAt;
  const oldTss = segBase(SEG_TR);
  const oldWide = (segAttr(SEG_TR) & WIDE) != 0;
  const oldSelector = segSelector(SEG_TR);
  const oldDescriptor = systemLinear(load<u64>(cpu, GDTR_BASE) + (oldSelector & 0xfff8));

  // Everything that can fail in the old task.
  probeSys(oldTss, (oldWide ? TSS32_LIMIT : TSS16_LIMIT) + 1, true, SEG_DS);
  probeSys(tss, (wide ? TSS32_LIMIT : TSS16_LIMIT) + 1, source == TASK_CALL || source == TASK_INT, SEG_DS);
  if (source != TASK_IRET) probeSys(descriptor, 8, true, SEG_DS);
  const leaves = source == TASK_JMP || source == TASK_IRET;
  if (leaves) clearSys(oldDescriptor + 4, BUSY);

  if (source == TASK_IRET) flags &= ~FL_NT;
  saveTask(oldTss, oldWide, flags);
  const size: u32 = wide ? 4 : 2;
  newRip = loadSystem(tss + (wide ? TSS32_EIP : TSS16_IP), size);
  newFlags = loadSystem(tss + (wide ? TSS32_EFLAGS : TSS16_FLAGS), size);
  newLdt = loadSystem(tss + (wide ? TSS32_LDT : TSS16_LDT), 2);
  newCr3 = wide ? loadSystem(tss + TSS32_CR3, 4) : 0;
  newTrap = wide ? loadSystem(tss + TSS32_TRAP, 2) & 1 : 0;
  const registers = tss + (wide ? TSS32_GPR : TSS16_GPR);
  for (let i: u32 = 0; i < 8; ++i) {
    const value = loadSystem(registers + i * size, size);
    // A 16-bit TSS says nothing of the upper halves; like the processor, leave them set.
    store<u64>(cpu + (i << 3), wide ? value : value | 0xffff0000, GPR);
  }
  const segments = tss + (wide ? TSS32_SEGMENTS : TSS16_SEGMENTS);
  for (let seg: u32 = 0; seg < 6; ++seg) setNull(seg, wide || seg < 4 ? loadSystem(segments + seg * size, 2) : 0);
  setNull(SEG_LDTR, newLdt);

  if (source == TASK_CALL || source == TASK_INT) {
    storeSystem(tss + TSS_LINK, oldSelector, 2);
    newFlags |= FL_NT;
  }
  if (source != TASK_IRET) orSys(descriptor + 4, BUSY);
  setSegment(SEG_TR, selector, tss, limit, attr | BUSY);
  store<u64>(cpu, load<u64>(cpu, CR0) | CR0_TS, CR0);
  store<u64>(cpu, newRip, NEXT_RIP);
  store<u64>(cpu, newRip, RIP);
  setCpl((newFlags & FL_VM) != 0 ? 3 : segSelector(SEG_CS) & 3);
  writeFlags(wide ? newFlags : newFlags & 0x7fd5, FL_ALL);
  if (wide && (load<u64>(cpu, CR0) & CR0_PG) != 0) {
    if ((load<u64>(cpu, CR4) & CR4_PAE) != 0 && !loadPdptes(newCr3)) raise(V_GP, 0);
    store<u64>(cpu, newCr3, CR3);
    store<u64>(cpu, load<u64>(cpu, COUNT_CR3_LOAD) + 1, COUNT_CR3_LOAD);
    flushAll(false);
  }
  loadTaskSegments();
  updateMode();
  if (newTrap != 0) {
    store<u32>(cpu, load<u32>(cpu, PENDING_DEBUG) | DR6_BT, PENDING_DEBUG);
    atomic.or<u32>(cpu + ATTENTION, ATT_DEBUG);
  }
  if (hasError) {
    useCurrentStack();
    framePush(error, size);
    takeFramePointer();
  }
  if (newRip > segLimit(SEG_CS)) raise(V_GP, 0);
}
