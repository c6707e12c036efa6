import { cpu } from "./cpu";
import {
  COUNT_SYSCALL,
  COUNT_SYSENTER,
  EFLAGS,
  GPR,
  MODE,
  MODE_64,
  MSR_EFER,
  MSR_LSTAR,
  MSR_SFMASK,
  MSR_STAR,
  MSR_SYSENTER_CS,
  MSR_SYSENTER_EIP,
  MSR_SYSENTER_ESP,
  NEXT_RIP,
  SEG_CS,
  SEG_SS,
  TRAP_ARMED,
} from "./state";
import {
  AR_ACCESSED,
  AR_CODE,
  AR_DB,
  AR_DPL_SHIFT,
  AR_G,
  AR_L,
  AR_PRESENT,
  AR_RW,
  AR_S,
  EFER_SCE,
  FL_IF,
  FL_RF,
  FL_TF,
  FL_VM,
  V_GP,
  V_UD,
} from "./arch";
import { noticeFlags, readFlags, writeFlags } from "./eflags";
import { raise, raiseGp } from "./fault";
import { setStackPointer } from "./frame";
import { cpl, inLongMode, inRealMode, setCpl, setSegment } from "./segments";
import { isCanonical } from "./tlb";

/*
 * SYSCALL, SYSRET, SYSENTER, SYSEXIT: flat segments out of MSRs, no memory access. Where processors differ these behave
 * as Intel's: SYSCALL and SYSRET exist in 64-bit mode only, and SYSRET to a non-canonical RCX faults in ring 0.
 */

const RCX: usize = 1 * 8;
const RDX: usize = 2 * 8;
const R11: usize = 11 * 8;

const FLAT: u32 = AR_PRESENT | AR_S | AR_RW | AR_ACCESSED | AR_G;

function flatCode(selector: u32, long: bool): void {
  const level = selector & 3;
  setSegment(SEG_CS, selector, 0, 0xffffffff, FLAT | AR_CODE | (level << AR_DPL_SHIFT) | (long ? AR_L : AR_DB));
  setCpl(level);
}

function flatStack(selector: u32): void {
  setSegment(SEG_SS, selector, 0, 0xffffffff, FLAT | AR_DB | ((selector & 3) << AR_DPL_SHIFT));
}

function bump(counter: u32): void {
  store<u64>(cpu + counter, load<u64>(cpu + counter) + 1);
}

/**
 * P:120 A program that wants something from its kernel makes a system call. SYSCALL is the fast way: no table, no
 * stack, nothing in memory is touched. RIP goes to RCX, the flags to R11, and on it goes in ring 0 at the address that
 * the kernel left in LSTAR. The stack pointer still is the user's, which will keep two people busy in S:040. The
 * hypervisor's question of questions is what should happen if the kernel that is called is itself only a guest.
 */
export function syscall(): void {
  if (load<u32>(cpu, MODE) != MODE_64 || (load<u64>(cpu, MSR_EFER) & EFER_SCE) == 0) raise(V_UD, 0);
  const flags = readFlags() & ~FL_RF;
  store<u64>(cpu + RCX, load<u64>(cpu, NEXT_RIP), GPR);
  store<u64>(cpu + R11, flags, GPR);
  store<u64>(cpu, load<u64>(cpu, MSR_LSTAR), NEXT_RIP);
  const selector = (<u32>(load<u64>(cpu, MSR_STAR) >> 32)) & 0xfffc;
  flatCode(selector, true);
  flatStack(selector + 8);
  const mask = <u32>load<u64>(cpu, MSR_SFMASK);
  // The step that TF asked for is not taken into the handler when TF is masked.
  if ((mask & FL_TF) != 0) store<u32>(cpu, 0, TRAP_ARMED);
  writeFlags(flags & ~mask, 0xffffffff);
  bump(COUNT_SYSCALL);
}

export function sysret(osize: u32): void {
  if (load<u32>(cpu, MODE) != MODE_64 || (load<u64>(cpu, MSR_EFER) & EFER_SCE) == 0) raise(V_UD, 0);
  if (cpl() != 0) raiseGp();
  const long = osize == 8;
  const rip = load<u64>(cpu + RCX, GPR);
  if (long && !isCanonical(rip)) raiseGp();
  const base = <u32>(load<u64>(cpu, MSR_STAR) >> 48);
  flatCode(((long ? base + 16 : base) & 0xffff) | 3, long);
  flatStack(((base + 8) & 0xffff) | 3);
  store<u64>(cpu, long ? rip : rip & 0xffffffff, NEXT_RIP);
  // All flags of R11 but RF and VM, which become 0.
  writeFlags((<u32>load<u64>(cpu + R11, GPR)) & ~(FL_RF | FL_VM), 0x003f7fd5);
}

export function sysenter(): void {
  const selector = (<u32>load<u64>(cpu, MSR_SYSENTER_CS)) & 0xfffc;
  if (inRealMode() || selector == 0) raise(V_GP, 0);
  const long = inLongMode();
  const width: u64 = long ? ~(<u64>0) : 0xffffffff;
  flatCode(selector, long);
  flatStack(selector + 8);
  setStackPointer(load<u64>(cpu, MSR_SYSENTER_ESP) & width);
  store<u64>(cpu, load<u64>(cpu, MSR_SYSENTER_EIP) & width, NEXT_RIP);
  store<u32>(cpu, load<u32>(cpu, EFLAGS) & ~(FL_VM | FL_IF | FL_RF), EFLAGS);
  noticeFlags();
  bump(COUNT_SYSENTER);
}

export function sysexit(osize: u32): void {
  const base = (<u32>load<u64>(cpu, MSR_SYSENTER_CS)) & 0xfffc;
  if (inRealMode() || base == 0 || cpl() != 0) raise(V_GP, 0);
  const long = osize == 8;
  const rip = load<u64>(cpu + RDX, GPR);
  const pointer = load<u64>(cpu + RCX, GPR);
  if (long && (!isCanonical(rip) || !isCanonical(pointer))) raiseGp();
  const selector = (long ? base + 32 : base + 16) | 3;
  flatCode(selector, long);
  flatStack(selector + 8);
  setStackPointer(long ? pointer : pointer & 0xffffffff);
  store<u64>(cpu, long ? rip : rip & 0xffffffff, NEXT_RIP);
  store<u32>(cpu, load<u32>(cpu, EFLAGS) & ~FL_RF, EFLAGS);
  noticeFlags();
}
