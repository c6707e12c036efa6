import { cpu } from "./cpu";
import * as H from "./handlers";
import * as O from "./ops";
import * as R from "./record";
import {
  aluMI,
  aluMR,
  aluRI,
  aluRM,
  aluRMBy,
  aluRR,
  aluRmIBy,
  aluRmRBy,
  decRm,
  decremented,
  incRm,
  incremented,
  negRm,
  notRm,
  testRmI,
  testRmR,
} from "./alu";
import {
  abandonBus,
  cmpxchg16b,
  cmpxchg8b,
  cmpxchgMR,
  cmpxchgRR,
  fence,
  lockedBitI,
  lockedI,
  lockedR,
  xaddMR,
  xaddRR,
  xchgMR,
  xchgRR,
} from "./atomic";
import { aaa, aad, aam, aas, daa, das, salc } from "./bcd";
import { bitMR, bitRR, bitRmI, bsf, bsr, bswapR } from "./bits";
import { badCall, call, callRm, checkTarget, following, isTarget, jcc, jmp, jmpRm, loop, ret, target } from "./branch";
import { cli } from "./control";
import { count, pause, ripOf, wrapped } from "./counters";
import { enter, enterFrom, enterHere, refreshTag } from "./enter";
import { raise } from "./fault";
import { DF, carry, condition, holds, setCarry, setLogic } from "./flags";
import { compareAndJump, testAndJump } from "./fuse";
import { deliverPendingFault } from "./interrupts";
import {
  bound,
  clflush,
  cmovRM,
  cmovRR,
  extend8To16,
  lahf,
  leaAny,
  movAbsolute,
  noUnit,
  sahf,
  selectorOf,
  xlat,
} from "./misc";
import { divRm, divRm64, idivRm, idivRm64, imulRM, imulRMI, imulRR, imulRRI, imulRm, mulRm } from "./muldiv";
import { address, dst, imm, inSegment, read, readStack, setDst, src, sum, write, writeStack } from "./operand";
import { doubleShiftCl, doubleShiftI, sarRI, shiftRmCl, shiftRmI, shlRI, shrRI } from "./shift";
import { enterFrame, leave, popM, popR, popa, pushFlags, pushI, pushRm, pushSegment, pusha } from "./stack";
import {
  BLOCK_RIP,
  BUDGET,
  BUDGET_MARK,
  CURRENT,
  DEBUG_LEFT,
  EFLAGS,
  EXIT_REASON,
  FAULT_VECTOR,
  GATE_LEFT,
  GPR,
  IDLE_TICKS,
  NONE,
  REPEATING,
  RIP,
  SEG_SS,
} from "./state";
import { cmps, ins, lods, movs, outs, scas, stos } from "./string";
import { system } from "./system";
import { isCanonical } from "./tlb";

/*
 * The run loop: one switch over the records of a block. What is hot is inlined here, everything else is a call. A case
 * that ends with `break` goes on with the next record; a transfer of control looks up a block and goes on there, or
 * leaves when there is none.
 *
 * The switch is long because it must be one: it becomes a single jump table, and a second one, in functions for groups of
 * cases, would cost every instruction behind it another jump. AssemblyScript has neither macros nor cases with ranges, so
 * a family is written out, and reads as a table: one case, one line, what it means in the file that it calls.
 *
 * A fault throws through this function. The caller calls it again, and it delivers the fault first.
 */

const RSP: usize = GPR + 32;

// @ts-ignore: decorator
@inline
function push64(ip: usize, value: u64): void {
  const sp = load<u64>(cpu, RSP) - 8;
  writeStack<u64>(ip, sp, value);
  store<u64>(cpu, sp, RSP);
}

// @ts-ignore: decorator
@inline
function pop64(ip: usize): u64 {
  const sp = load<u64>(cpu, RSP);
  const value = readStack<u64>(ip, sp);
  store<u64>(cpu, sp + 8, RSP);
  return value;
}

// @ts-ignore: decorator
@inline
function push32(ip: usize, value: u32): void {
  const sp = load<u32>(cpu, RSP) - 4;
  writeStack<u32>(ip, inSegment(ip, SEG_SS, sp, 4, true), value);
  store<u64>(cpu, <u64>sp, RSP);
}

// @ts-ignore: decorator
@inline
function pop32(ip: usize): u32 {
  const sp = load<u32>(cpu, RSP);
  const value = readStack<u32>(ip, inSegment(ip, SEG_SS, sp, 4, false));
  store<u64>(cpu, <u64>(sp + 4), RSP);
  return value;
}

/** Jcc in 64-bit mode, and with a 32-bit operand size outside of it. */
// @ts-ignore: decorator
@inline
function jumpIf64(code: u32, ip: usize): usize {
  const taken = holds(code);
  return enter(taken ? ip : 0, taken ? target(ip) : following(ip));
}

// @ts-ignore: decorator
@inline
function jumpIf32(code: u32, ip: usize): usize {
  const taken = holds(code);
  return enter(taken ? ip : 0, (taken ? target(ip) : following(ip)) & 0xffffffff);
}

/** Looks up the instruction at `ip` anew: from it on the block is not executed. */
function resync(ip: usize): usize {
  store<i64>(cpu, load<i64>(cpu, BUDGET) + load<u8>(ip, R.R_REMAINING), BUDGET);
  return enterFrom(0, ripOf(ip));
}

/** Leaves a string instruction that is not complete: this slice counts, the rest of the block does not. */
function suspend(ip: usize): usize {
  store<u32>(cpu, 1, REPEATING);
  store<i64>(cpu, load<i64>(cpu, BUDGET) + load<u8>(ip, R.R_REMAINING) - 1, BUDGET);
  return enterFrom(0, ripOf(ip));
}

/** After a fault has unwound run(): counts and RIP as of the instruction that raised it, then its delivery. */
function recover(): void {
  abandonBus();
  const current: usize = load<u32>(cpu, CURRENT);
  if (current != 0) {
    store<i64>(cpu, load<i64>(cpu, BUDGET) + load<u8>(current, R.R_REMAINING), BUDGET);
    // System instructions keep RIP themselves; they may have got as far as another task.
    if (load<u16>(current, R.R_HANDLER) != H.H_SYSTEM) store<u64>(cpu, ripOf(current), RIP);
    store<u32>(cpu, 0, CURRENT);
  }
  count(0);
  // A fault costs a tick of time and one of the budget: a guest that only faults must come to an end as well.
  store<i64>(cpu, load<i64>(cpu, BUDGET) - 1, BUDGET);
  store<i64>(cpu, load<i64>(cpu, BUDGET_MARK) - 1, BUDGET_MARK);
  store<u64>(cpu, load<u64>(cpu, IDLE_TICKS) + 1, IDLE_TICKS);
  deliverPendingFault();
}

/**
 * P:060 And this is the simulator's heart: one loop, one switch, one case for each operation. Below it are some six
 * hundred lines of cases that you need not read, since you know what ADD does. What ends the loop is more interesting:
 * the budget is spent, the processor waits (HLT), or it has come to a gate (P:150).
 *
 * Runs until `budget` instructions have been executed or something else ends it; returns EXIT_*. When a fault has been
 * thrown out of it, it is to be called again and goes on with what is left of its budget, whatever it is given.
 */
export function run(budget: f64): i32 {
  let passing = false;
  if (load<u32>(cpu, FAULT_VECTOR) != <u32>NONE) recover();
  else {
    store<i64>(cpu, <i64>budget, BUDGET);
    store<i64>(cpu, <i64>budget, BUDGET_MARK);
    store<u32>(cpu, 0, CURRENT);
    passing = load<u64>(cpu, GATE_LEFT) == load<u64>(cpu, RIP);
    store<u64>(cpu, ~(<u64>0), GATE_LEFT);
    // Whoever has been sent elsewhere since he was stopped may be stopped there again.
    if (load<u64>(cpu, DEBUG_LEFT) != load<u64>(cpu, RIP)) store<u64>(cpu, ~(<u64>0), DEBUG_LEFT);
  }
  refreshTag();
  let ip = enterHere(passing);
  while (ip != 0) {
    // prettier-ignore
    switch (<u32>load<u16>(ip)) {
      // Arithmetic.
      case H.H_RR32 + 0: aluRR<u32>(O.ADD, ip); break;
      case H.H_RR32 + 1: aluRR<u32>(O.OR, ip); break;
      case H.H_RR32 + 2: aluRR<u32>(O.ADC, ip); break;
      case H.H_RR32 + 3: aluRR<u32>(O.SBB, ip); break;
      case H.H_RR32 + 4: aluRR<u32>(O.AND, ip); break;
      case H.H_RR32 + 5: aluRR<u32>(O.SUB, ip); break;
      case H.H_RR32 + 6: aluRR<u32>(O.XOR, ip); break;
      case H.H_RR32 + 7: aluRR<u32>(O.CMP, ip); break;
      case H.H_RR64 + 0: aluRR<u64>(O.ADD, ip); break;
      case H.H_RR64 + 1: aluRR<u64>(O.OR, ip); break;
      case H.H_RR64 + 2: aluRR<u64>(O.ADC, ip); break;
      case H.H_RR64 + 3: aluRR<u64>(O.SBB, ip); break;
      case H.H_RR64 + 4: aluRR<u64>(O.AND, ip); break;
      case H.H_RR64 + 5: aluRR<u64>(O.SUB, ip); break;
      case H.H_RR64 + 6: aluRR<u64>(O.XOR, ip); break;
      case H.H_RR64 + 7: aluRR<u64>(O.CMP, ip); break;
      case H.H_RI32 + 0: aluRI<u32>(O.ADD, ip); break;
      case H.H_RI32 + 1: aluRI<u32>(O.OR, ip); break;
      case H.H_RI32 + 2: aluRI<u32>(O.ADC, ip); break;
      case H.H_RI32 + 3: aluRI<u32>(O.SBB, ip); break;
      case H.H_RI32 + 4: aluRI<u32>(O.AND, ip); break;
      case H.H_RI32 + 5: aluRI<u32>(O.SUB, ip); break;
      case H.H_RI32 + 6: aluRI<u32>(O.XOR, ip); break;
      case H.H_RI32 + 7: aluRI<u32>(O.CMP, ip); break;
      case H.H_RI64 + 0: aluRI<u64>(O.ADD, ip); break;
      case H.H_RI64 + 1: aluRI<u64>(O.OR, ip); break;
      case H.H_RI64 + 2: aluRI<u64>(O.ADC, ip); break;
      case H.H_RI64 + 3: aluRI<u64>(O.SBB, ip); break;
      case H.H_RI64 + 4: aluRI<u64>(O.AND, ip); break;
      case H.H_RI64 + 5: aluRI<u64>(O.SUB, ip); break;
      case H.H_RI64 + 6: aluRI<u64>(O.XOR, ip); break;
      case H.H_RI64 + 7: aluRI<u64>(O.CMP, ip); break;
      case H.H_RM32 + 0: aluRM<u32>(O.ADD, ip); break;
      case H.H_RM32 + 1: aluRM<u32>(O.OR, ip); break;
      case H.H_RM32 + 2: aluRM<u32>(O.ADC, ip); break;
      case H.H_RM32 + 3: aluRM<u32>(O.SBB, ip); break;
      case H.H_RM32 + 4: aluRM<u32>(O.AND, ip); break;
      case H.H_RM32 + 5: aluRM<u32>(O.SUB, ip); break;
      case H.H_RM32 + 6: aluRM<u32>(O.XOR, ip); break;
      case H.H_RM32 + 7: aluRM<u32>(O.CMP, ip); break;
      case H.H_RM64 + 0: aluRM<u64>(O.ADD, ip); break;
      case H.H_RM64 + 1: aluRM<u64>(O.OR, ip); break;
      case H.H_RM64 + 2: aluRM<u64>(O.ADC, ip); break;
      case H.H_RM64 + 3: aluRM<u64>(O.SBB, ip); break;
      case H.H_RM64 + 4: aluRM<u64>(O.AND, ip); break;
      case H.H_RM64 + 5: aluRM<u64>(O.SUB, ip); break;
      case H.H_RM64 + 6: aluRM<u64>(O.XOR, ip); break;
      case H.H_RM64 + 7: aluRM<u64>(O.CMP, ip); break;
      case H.H_MR32 + 0: aluMR<u32>(O.ADD, ip); break;
      case H.H_MR32 + 1: aluMR<u32>(O.OR, ip); break;
      case H.H_MR32 + 2: aluMR<u32>(O.ADC, ip); break;
      case H.H_MR32 + 3: aluMR<u32>(O.SBB, ip); break;
      case H.H_MR32 + 4: aluMR<u32>(O.AND, ip); break;
      case H.H_MR32 + 5: aluMR<u32>(O.SUB, ip); break;
      case H.H_MR32 + 6: aluMR<u32>(O.XOR, ip); break;
      case H.H_MR32 + 7: aluMR<u32>(O.CMP, ip); break;
      case H.H_MR64 + 0: aluMR<u64>(O.ADD, ip); break;
      case H.H_MR64 + 1: aluMR<u64>(O.OR, ip); break;
      case H.H_MR64 + 2: aluMR<u64>(O.ADC, ip); break;
      case H.H_MR64 + 3: aluMR<u64>(O.SBB, ip); break;
      case H.H_MR64 + 4: aluMR<u64>(O.AND, ip); break;
      case H.H_MR64 + 5: aluMR<u64>(O.SUB, ip); break;
      case H.H_MR64 + 6: aluMR<u64>(O.XOR, ip); break;
      case H.H_MR64 + 7: aluMR<u64>(O.CMP, ip); break;
      case H.H_MI32 + 0: aluMI<u32>(O.ADD, ip); break;
      case H.H_MI32 + 1: aluMI<u32>(O.OR, ip); break;
      case H.H_MI32 + 2: aluMI<u32>(O.ADC, ip); break;
      case H.H_MI32 + 3: aluMI<u32>(O.SBB, ip); break;
      case H.H_MI32 + 4: aluMI<u32>(O.AND, ip); break;
      case H.H_MI32 + 5: aluMI<u32>(O.SUB, ip); break;
      case H.H_MI32 + 6: aluMI<u32>(O.XOR, ip); break;
      case H.H_MI32 + 7: aluMI<u32>(O.CMP, ip); break;
      case H.H_MI64 + 0: aluMI<u64>(O.ADD, ip); break;
      case H.H_MI64 + 1: aluMI<u64>(O.OR, ip); break;
      case H.H_MI64 + 2: aluMI<u64>(O.ADC, ip); break;
      case H.H_MI64 + 3: aluMI<u64>(O.SBB, ip); break;
      case H.H_MI64 + 4: aluMI<u64>(O.AND, ip); break;
      case H.H_MI64 + 5: aluMI<u64>(O.SUB, ip); break;
      case H.H_MI64 + 6: aluMI<u64>(O.XOR, ip); break;
      case H.H_MI64 + 7: aluMI<u64>(O.CMP, ip); break;
      case H.H_ALU_RM_R + 0: aluRmRBy<u8>(ip); break;
      case H.H_ALU_RM_R + 1: aluRmRBy<u16>(ip); break;
      case H.H_ALU_RM_I + 0: aluRmIBy<u8>(ip); break;
      case H.H_ALU_RM_I + 1: aluRmIBy<u16>(ip); break;
      case H.H_ALU_R_M + 0: aluRMBy<u8>(ip); break;
      case H.H_ALU_R_M + 1: aluRMBy<u16>(ip); break;

      case H.H_TEST_RM_R + 0: testRmR<u8>(ip); break;
      case H.H_TEST_RM_R + 1: testRmR<u16>(ip); break;
      case H.H_TEST_RM_R + 2: testRmR<u32>(ip); break;
      case H.H_TEST_RM_R + 3: testRmR<u64>(ip); break;

      case H.H_TEST_RM_I + 0: testRmI<u8>(ip); break;
      case H.H_TEST_RM_I + 1: testRmI<u16>(ip); break;
      case H.H_TEST_RM_I + 2: testRmI<u32>(ip); break;
      case H.H_TEST_RM_I + 3: testRmI<u64>(ip); break;

      case H.H_INC_RM + 0: incRm<u8>(ip); break;
      case H.H_INC_RM + 1: incRm<u16>(ip); break;
      case H.H_INC_RM + 2: incRm<u32>(ip); break;
      case H.H_INC_RM + 3: incRm<u64>(ip); break;

      case H.H_DEC_RM + 0: decRm<u8>(ip); break;
      case H.H_DEC_RM + 1: decRm<u16>(ip); break;
      case H.H_DEC_RM + 2: decRm<u32>(ip); break;
      case H.H_DEC_RM + 3: decRm<u64>(ip); break;

      case H.H_NEG_RM + 0: negRm<u8>(ip); break;
      case H.H_NEG_RM + 1: negRm<u16>(ip); break;
      case H.H_NEG_RM + 2: negRm<u32>(ip); break;
      case H.H_NEG_RM + 3: negRm<u64>(ip); break;

      case H.H_NOT_RM + 0: notRm<u8>(ip); break;
      case H.H_NOT_RM + 1: notRm<u16>(ip); break;
      case H.H_NOT_RM + 2: notRm<u32>(ip); break;
      case H.H_NOT_RM + 3: notRm<u64>(ip); break;

      case H.H_SHIFT_RM_I + 0: shiftRmI<u8>(ip); break;
      case H.H_SHIFT_RM_I + 1: shiftRmI<u16>(ip); break;
      case H.H_SHIFT_RM_I + 2: shiftRmI<u32>(ip); break;
      case H.H_SHIFT_RM_I + 3: shiftRmI<u64>(ip); break;

      case H.H_SHIFT_RM_CL + 0: shiftRmCl<u8>(ip); break;
      case H.H_SHIFT_RM_CL + 1: shiftRmCl<u16>(ip); break;
      case H.H_SHIFT_RM_CL + 2: shiftRmCl<u32>(ip); break;
      case H.H_SHIFT_RM_CL + 3: shiftRmCl<u64>(ip); break;

      case H.H_MUL + 0: mulRm<u8>(ip); break;
      case H.H_MUL + 1: mulRm<u16>(ip); break;
      case H.H_MUL + 2: mulRm<u32>(ip); break;
      case H.H_MUL + 3: mulRm<u64>(ip); break;

      case H.H_IMUL + 0: imulRm<u8>(ip); break;
      case H.H_IMUL + 1: imulRm<u16>(ip); break;
      case H.H_IMUL + 2: imulRm<u32>(ip); break;
      case H.H_IMUL + 3: imulRm<u64>(ip); break;

      case H.H_DIV + 0: divRm<u8>(ip); break;
      case H.H_DIV + 1: divRm<u16>(ip); break;
      case H.H_DIV + 2: divRm<u32>(ip); break;
      case H.H_DIV + 3: divRm64(ip); break;

      case H.H_IDIV + 0: idivRm<u8>(ip); break;
      case H.H_IDIV + 1: idivRm<u16>(ip); break;
      case H.H_IDIV + 2: idivRm<u32>(ip); break;
      case H.H_IDIV + 3: idivRm64(ip); break;

      case H.H_LOCKED_R + 0: lockedR<u8>(ip); break;
      case H.H_LOCKED_R + 1: lockedR<u16>(ip); break;
      case H.H_LOCKED_R + 2: lockedR<u32>(ip); break;
      case H.H_LOCKED_R + 3: lockedR<u64>(ip); break;

      case H.H_LOCKED_I + 0: lockedI<u8>(ip); break;
      case H.H_LOCKED_I + 1: lockedI<u16>(ip); break;
      case H.H_LOCKED_I + 2: lockedI<u32>(ip); break;
      case H.H_LOCKED_I + 3: lockedI<u64>(ip); break;

      case H.H_XCHG_RR + 0: xchgRR<u8>(ip); break;
      case H.H_XCHG_RR + 1: xchgRR<u16>(ip); break;
      case H.H_XCHG_RR + 2: xchgRR<u32>(ip); break;
      case H.H_XCHG_RR + 3: xchgRR<u64>(ip); break;

      case H.H_XCHG_MR + 0: xchgMR<u8>(ip); break;
      case H.H_XCHG_MR + 1: xchgMR<u16>(ip); break;
      case H.H_XCHG_MR + 2: xchgMR<u32>(ip); break;
      case H.H_XCHG_MR + 3: xchgMR<u64>(ip); break;

      case H.H_XADD_RR + 0: xaddRR<u8>(ip); break;
      case H.H_XADD_RR + 1: xaddRR<u16>(ip); break;
      case H.H_XADD_RR + 2: xaddRR<u32>(ip); break;
      case H.H_XADD_RR + 3: xaddRR<u64>(ip); break;

      case H.H_XADD_MR + 0: xaddMR<u8>(ip); break;
      case H.H_XADD_MR + 1: xaddMR<u16>(ip); break;
      case H.H_XADD_MR + 2: xaddMR<u32>(ip); break;
      case H.H_XADD_MR + 3: xaddMR<u64>(ip); break;

      case H.H_CMPXCHG_RR + 0: cmpxchgRR<u8>(ip); break;
      case H.H_CMPXCHG_RR + 1: cmpxchgRR<u16>(ip); break;
      case H.H_CMPXCHG_RR + 2: cmpxchgRR<u32>(ip); break;
      case H.H_CMPXCHG_RR + 3: cmpxchgRR<u64>(ip); break;

      case H.H_CMPXCHG_MR + 0: cmpxchgMR<u8>(ip); break;
      case H.H_CMPXCHG_MR + 1: cmpxchgMR<u16>(ip); break;
      case H.H_CMPXCHG_MR + 2: cmpxchgMR<u32>(ip); break;
      case H.H_CMPXCHG_MR + 3: cmpxchgMR<u64>(ip); break;

      // Moves.
      case H.H_MOV_RR + 0: setDst<u8>(ip, src<u8>(ip)); break;
      case H.H_MOV_RR + 1: setDst<u16>(ip, src<u16>(ip)); break;
      case H.H_MOV_RR + 2: setDst<u32>(ip, src<u32>(ip)); break;
      case H.H_MOV_RR + 3: setDst<u64>(ip, src<u64>(ip)); break;
      case H.H_MOV_RI + 0: setDst<u8>(ip, imm<u8>(ip)); break;
      case H.H_MOV_RI + 1: setDst<u16>(ip, imm<u16>(ip)); break;
      case H.H_MOV_RI + 2: setDst<u32>(ip, imm<u32>(ip)); break;
      case H.H_MOV_RI + 3: setDst<u64>(ip, imm<u64>(ip)); break;
      case H.H_LOAD + 0: setDst<u8>(ip, read<u8>(ip, address(ip, 1, false))); break;
      case H.H_LOAD + 1: setDst<u16>(ip, read<u16>(ip, address(ip, 2, false))); break;
      case H.H_LOAD + 2: setDst<u32>(ip, read<u32>(ip, address(ip, 4, false))); break;
      case H.H_LOAD + 3: setDst<u64>(ip, read<u64>(ip, address(ip, 8, false))); break;
      case H.H_STORE + 0: write<u8>(ip, address(ip, 1, true), src<u8>(ip)); break;
      case H.H_STORE + 1: write<u16>(ip, address(ip, 2, true), src<u16>(ip)); break;
      case H.H_STORE + 2: write<u32>(ip, address(ip, 4, true), src<u32>(ip)); break;
      case H.H_STORE + 3: write<u64>(ip, address(ip, 8, true), src<u64>(ip)); break;
      case H.H_STORE_I + 0: write<u8>(ip, address(ip, 1, true), imm<u8>(ip)); break;
      case H.H_STORE_I + 1: write<u16>(ip, address(ip, 2, true), imm<u16>(ip)); break;
      case H.H_STORE_I + 2: write<u32>(ip, address(ip, 4, true), imm<u32>(ip)); break;
      case H.H_STORE_I + 3: write<u64>(ip, address(ip, 8, true), imm<u64>(ip)); break;
      case H.H_MOV_RQ: setDst<u64>(ip, load<u64>(ip, R.R_IMM64)); break;
      case H.H_ZERO32: setDst<u64>(ip, 0); setLogic<u32>(0); break;
      case H.H_MOVZX8_R: setDst<u64>(ip, <u64>src<u8>(ip)); break;
      case H.H_MOVZX16_R: setDst<u64>(ip, <u64>src<u16>(ip)); break;
      case H.H_MOVZX8_M: setDst<u64>(ip, <u64>read<u8>(ip, address(ip, 1, false))); break;
      case H.H_MOVZX16_M: setDst<u64>(ip, <u64>read<u16>(ip, address(ip, 2, false))); break;
      case H.H_MOVSX8_R32: setDst<u32>(ip, <u32>(<i32>src<i8>(ip))); break;
      case H.H_MOVSX8_R64: setDst<u64>(ip, <u64>(<i64>src<i8>(ip))); break;
      case H.H_MOVSX16_R32: setDst<u32>(ip, <u32>(<i32>src<i16>(ip))); break;
      case H.H_MOVSX16_R64: setDst<u64>(ip, <u64>(<i64>src<i16>(ip))); break;
      case H.H_MOVSX32_R64: setDst<u64>(ip, <u64>(<i64>src<i32>(ip))); break;
      case H.H_MOVSX8_M32: setDst<u32>(ip, <u32>(<i32>(<i8>read<u8>(ip, address(ip, 1, false))))); break;
      case H.H_MOVSX8_M64: setDst<u64>(ip, <u64>(<i64>(<i8>read<u8>(ip, address(ip, 1, false))))); break;
      case H.H_MOVSX16_M32: setDst<u32>(ip, <u32>(<i32>(<i16>read<u16>(ip, address(ip, 2, false))))); break;
      case H.H_MOVSX16_M64: setDst<u64>(ip, <u64>(<i64>(<i16>read<u16>(ip, address(ip, 2, false))))); break;
      case H.H_MOVSX32_M64: setDst<u64>(ip, <u64>(<i64>(<i32>read<u32>(ip, address(ip, 4, false))))); break;
      case H.H_MOVX8_16: extend8To16(ip); break;
      case H.H_LEA64: setDst<u64>(ip, sum(ip)); break;
      case H.H_LEA32: setDst<u32>(ip, <u32>sum(ip)); break;
      case H.H_LEA_ANY: leaAny(ip); break;
      case H.H_MOVSEG_R + 0: setDst<u16>(ip, <u16>selectorOf(ip)); break;
      case H.H_MOVSEG_R + 1: setDst<u32>(ip, <u32>selectorOf(ip)); break;
      case H.H_MOVSEG_R + 2: setDst<u64>(ip, <u64>selectorOf(ip)); break;
      case H.H_CMOV_RR + 0: cmovRR<u16>(ip); break;
      case H.H_CMOV_RR + 1: cmovRR<u32>(ip); break;
      case H.H_CMOV_RR + 2: cmovRR<u64>(ip); break;
      case H.H_CMOV_RM + 0: cmovRM<u16>(ip); break;
      case H.H_CMOV_RM + 1: cmovRM<u32>(ip); break;
      case H.H_CMOV_RM + 2: cmovRM<u64>(ip); break;
      case H.H_MOVSEG_M: write<u16>(ip, address(ip, 2, true), selectorOf(ip)); break;
      case H.H_MOV_ABSOLUTE: movAbsolute(ip); break;
      case H.H_XLAT: xlat(ip); break;

      // Flags from the usual sizes, and the shifts of registers by constants.
      case H.H_TEST_RR8: setLogic<u8>(dst<u8>(ip) & src<u8>(ip)); break;
      case H.H_TEST_RR32: setLogic<u32>(dst<u32>(ip) & src<u32>(ip)); break;
      case H.H_TEST_RR64: setLogic<u64>(dst<u64>(ip) & src<u64>(ip)); break;
      case H.H_TEST_RI32: setLogic<u32>(dst<u32>(ip) & imm<u32>(ip)); break;
      case H.H_TEST8_RI: setLogic<u8>(dst<u8>(ip) & imm<u8>(ip)); break;
      case H.H_TEST8_MI: setLogic<u8>(read<u8>(ip, address(ip, 1, false)) & imm<u8>(ip)); break;
      case H.H_CMP8_RI: aluRI<u8>(O.CMP, ip); break;
      case H.H_CMP8_MI: aluMI<u8>(O.CMP, ip); break;
      case H.H_INC_R32: setDst<u32>(ip, incremented<u32>(dst<u32>(ip))); break;
      case H.H_INC_R64: setDst<u64>(ip, incremented<u64>(dst<u64>(ip))); break;
      case H.H_DEC_R32: setDst<u32>(ip, decremented<u32>(dst<u32>(ip))); break;
      case H.H_DEC_R64: setDst<u64>(ip, decremented<u64>(dst<u64>(ip))); break;
      case H.H_SHL_RI32: shlRI<u32>(ip); break;
      case H.H_SHL_RI64: shlRI<u64>(ip); break;
      case H.H_SHR_RI32: shrRI<u32>(ip); break;
      case H.H_SHR_RI64: shrRI<u64>(ip); break;
      case H.H_SAR_RI32: sarRI<u32>(ip); break;
      case H.H_SAR_RI64: sarRI<u64>(ip); break;
      case H.H_SETCC_R + 0: setDst<u8>(ip, <u8>holds(0)); break;
      case H.H_SETCC_R + 1: setDst<u8>(ip, <u8>holds(1)); break;
      case H.H_SETCC_R + 2: setDst<u8>(ip, <u8>holds(2)); break;
      case H.H_SETCC_R + 3: setDst<u8>(ip, <u8>holds(3)); break;
      case H.H_SETCC_R + 4: setDst<u8>(ip, <u8>holds(4)); break;
      case H.H_SETCC_R + 5: setDst<u8>(ip, <u8>holds(5)); break;
      case H.H_SETCC_R + 6: setDst<u8>(ip, <u8>holds(6)); break;
      case H.H_SETCC_R + 7: setDst<u8>(ip, <u8>holds(7)); break;
      case H.H_SETCC_R + 8: setDst<u8>(ip, <u8>holds(8)); break;
      case H.H_SETCC_R + 9: setDst<u8>(ip, <u8>holds(9)); break;
      case H.H_SETCC_R + 10: setDst<u8>(ip, <u8>holds(10)); break;
      case H.H_SETCC_R + 11: setDst<u8>(ip, <u8>holds(11)); break;
      case H.H_SETCC_R + 12: setDst<u8>(ip, <u8>holds(12)); break;
      case H.H_SETCC_R + 13: setDst<u8>(ip, <u8>holds(13)); break;
      case H.H_SETCC_R + 14: setDst<u8>(ip, <u8>holds(14)); break;
      case H.H_SETCC_R + 15: setDst<u8>(ip, <u8>holds(15)); break;
      case H.H_SETCC_M: write<u8>(ip, address(ip, 1, true), <u8>condition(load<u8>(ip, R.R_SUB))); break;

      // Longer ones.
      case H.H_DSHIFT_I + 0: doubleShiftI<u16>(ip); break;
      case H.H_DSHIFT_I + 1: doubleShiftI<u32>(ip); break;
      case H.H_DSHIFT_I + 2: doubleShiftI<u64>(ip); break;
      case H.H_DSHIFT_CL + 0: doubleShiftCl<u16>(ip); break;
      case H.H_DSHIFT_CL + 1: doubleShiftCl<u32>(ip); break;
      case H.H_DSHIFT_CL + 2: doubleShiftCl<u64>(ip); break;
      case H.H_IMUL_RR + 0: imulRR<u16>(ip); break;
      case H.H_IMUL_RR + 1: imulRR<u32>(ip); break;
      case H.H_IMUL_RR + 2: imulRR<u64>(ip); break;
      case H.H_IMUL_RM + 0: imulRM<u16>(ip); break;
      case H.H_IMUL_RM + 1: imulRM<u32>(ip); break;
      case H.H_IMUL_RM + 2: imulRM<u64>(ip); break;
      case H.H_IMUL_RRI + 0: imulRRI<u16>(ip); break;
      case H.H_IMUL_RRI + 1: imulRRI<u32>(ip); break;
      case H.H_IMUL_RRI + 2: imulRRI<u64>(ip); break;
      case H.H_IMUL_RMI + 0: imulRMI<u16>(ip); break;
      case H.H_IMUL_RMI + 1: imulRMI<u32>(ip); break;
      case H.H_IMUL_RMI + 2: imulRMI<u64>(ip); break;
      case H.H_BIT_RM_I + 0: bitRmI<u16>(ip); break;
      case H.H_BIT_RM_I + 1: bitRmI<u32>(ip); break;
      case H.H_BIT_RM_I + 2: bitRmI<u64>(ip); break;
      case H.H_BIT_RR + 0: bitRR<u16>(ip); break;
      case H.H_BIT_RR + 1: bitRR<u32>(ip); break;
      case H.H_BIT_RR + 2: bitRR<u64>(ip); break;
      case H.H_BIT_MR + 0: bitMR<u16>(ip); break;
      case H.H_BIT_MR + 1: bitMR<u32>(ip); break;
      case H.H_BIT_MR + 2: bitMR<u64>(ip); break;
      case H.H_LOCKED_BIT_I + 0: lockedBitI<u16>(ip); break;
      case H.H_LOCKED_BIT_I + 1: lockedBitI<u32>(ip); break;
      case H.H_LOCKED_BIT_I + 2: lockedBitI<u64>(ip); break;
      case H.H_BSF + 0: bsf<u16>(ip); break;
      case H.H_BSF + 1: bsf<u32>(ip); break;
      case H.H_BSF + 2: bsf<u64>(ip); break;
      case H.H_BSR + 0: bsr<u16>(ip); break;
      case H.H_BSR + 1: bsr<u32>(ip); break;
      case H.H_BSR + 2: bsr<u64>(ip); break;
      case H.H_BSWAP + 0: bswapR<u16>(ip); break;
      case H.H_BSWAP + 1: bswapR<u32>(ip); break;
      case H.H_BSWAP + 2: bswapR<u64>(ip); break;
      case H.H_PUSH_RM + 0: pushRm<u16>(ip); break;
      case H.H_PUSH_RM + 1: pushRm<u32>(ip); break;
      case H.H_PUSH_RM + 2: pushRm<u64>(ip); break;
      case H.H_PUSH_I + 0: pushI<u16>(ip); break;
      case H.H_PUSH_I + 1: pushI<u32>(ip); break;
      case H.H_PUSH_I + 2: pushI<u64>(ip); break;
      case H.H_POP_R + 0: popR<u16>(ip); break;
      case H.H_POP_R + 1: popR<u32>(ip); break;
      case H.H_POP_R + 2: popR<u64>(ip); break;
      case H.H_POP_M + 0: popM<u16>(ip); break;
      case H.H_POP_M + 1: popM<u32>(ip); break;
      case H.H_POP_M + 2: popM<u64>(ip); break;
      case H.H_PUSHSEG + 0: pushSegment<u16>(ip); break;
      case H.H_PUSHSEG + 1: pushSegment<u32>(ip); break;
      case H.H_PUSHSEG + 2: pushSegment<u64>(ip); break;
      case H.H_PUSHF + 0: pushFlags<u16>(ip); break;
      case H.H_PUSHF + 1: pushFlags<u32>(ip); break;
      case H.H_PUSHF + 2: pushFlags<u64>(ip); break;
      case H.H_LEAVE + 0: leave<u16>(ip); break;
      case H.H_LEAVE + 1: leave<u32>(ip); break;
      case H.H_LEAVE + 2: leave<u64>(ip); break;
      case H.H_ENTER + 0: enterFrame<u16>(ip); break;
      case H.H_ENTER + 1: enterFrame<u32>(ip); break;
      case H.H_ENTER + 2: enterFrame<u64>(ip); break;
      case H.H_CBW: store<u16>(cpu, <u16>(<i16>load<i8>(cpu, GPR)), GPR); break;
      case H.H_CBW + 1: store<u64>(cpu, <u64>(<u32>(<i32>load<i16>(cpu, GPR))), GPR); break;
      case H.H_CBW + 2: store<i64>(cpu, <i64>load<i32>(cpu, GPR), GPR); break;
      case H.H_CWD: store<i16>(cpu, load<i16>(cpu, GPR) >> 15, GPR + 16); break;
      case H.H_CWD + 1: store<u64>(cpu, <u64>(<u32>(load<i32>(cpu, GPR) >> 31)), GPR + 16); break;
      case H.H_CWD + 2: store<i64>(cpu, load<i64>(cpu, GPR) >> 63, GPR + 16); break;
      case H.H_CMPXCHG8B: cmpxchg8b(ip); break;
      case H.H_CMPXCHG16B: cmpxchg16b(ip); break;
      case H.H_PUSHA16: pusha<u16>(ip); break;
      case H.H_PUSHA32: pusha<u32>(ip); break;
      case H.H_POPA16: popa<u16>(ip); break;
      case H.H_POPA32: popa<u32>(ip); break;
      case H.H_BOUND16: bound<i16>(ip); break;
      case H.H_BOUND32: bound<i32>(ip); break;
      case H.H_CLFLUSH: clflush(ip); break;
      case H.H_CLC: setCarry(0); break;
      case H.H_STC: setCarry(1); break;
      case H.H_CMC: setCarry(carry() ^ 1); break;
      case H.H_CLD: store<u32>(cpu, load<u32>(cpu, EFLAGS) & ~DF, EFLAGS); break;
      case H.H_STD: store<u32>(cpu, load<u32>(cpu, EFLAGS) | DF, EFLAGS); break;
      case H.H_CLI: pause(ip); cli(); break;
      case H.H_LAHF: lahf(); break;
      case H.H_SAHF: sahf(); break;
      case H.H_DAA: daa(); break;
      case H.H_DAS: das(); break;
      case H.H_AAA: aaa(); break;
      case H.H_AAS: aas(); break;
      case H.H_AAM: aam(ip); break;
      case H.H_AAD: aad(ip); break;
      case H.H_SALC: salc(); break;
      case H.H_NOP:
        // PAUSE, prefetches
        break;
      case H.H_FENCE: fence(); break;

      // The stack, where it is as wide as the mode.
      case H.H_PUSH_R64: push64(ip, dst<u64>(ip)); break;
      case H.H_PUSH_I64: push64(ip, imm<u64>(ip)); break;
      case H.H_POP_R64: {
        const value = pop64(ip);
        setDst<u64>(ip, value);
        break;
      }
      case H.H_PUSH_R32: push32(ip, dst<u32>(ip)); break;
      case H.H_PUSH_I32: push32(ip, imm<u32>(ip)); break;
      case H.H_POP_R32: {
        const value = pop32(ip);
        setDst<u32>(ip, value);
        break;
      }

      // Near transfers: the next block.
      case H.H_JCC64 + 0: ip = jumpIf64(0, ip); continue;
      case H.H_JCC64 + 1: ip = jumpIf64(1, ip); continue;
      case H.H_JCC64 + 2: ip = jumpIf64(2, ip); continue;
      case H.H_JCC64 + 3: ip = jumpIf64(3, ip); continue;
      case H.H_JCC64 + 4: ip = jumpIf64(4, ip); continue;
      case H.H_JCC64 + 5: ip = jumpIf64(5, ip); continue;
      case H.H_JCC64 + 6: ip = jumpIf64(6, ip); continue;
      case H.H_JCC64 + 7: ip = jumpIf64(7, ip); continue;
      case H.H_JCC64 + 8: ip = jumpIf64(8, ip); continue;
      case H.H_JCC64 + 9: ip = jumpIf64(9, ip); continue;
      case H.H_JCC64 + 10: ip = jumpIf64(10, ip); continue;
      case H.H_JCC64 + 11: ip = jumpIf64(11, ip); continue;
      case H.H_JCC64 + 12: ip = jumpIf64(12, ip); continue;
      case H.H_JCC64 + 13: ip = jumpIf64(13, ip); continue;
      case H.H_JCC64 + 14: ip = jumpIf64(14, ip); continue;
      case H.H_JCC64 + 15: ip = jumpIf64(15, ip); continue;
      case H.H_JCC32 + 0: ip = jumpIf32(0, ip); continue;
      case H.H_JCC32 + 1: ip = jumpIf32(1, ip); continue;
      case H.H_JCC32 + 2: ip = jumpIf32(2, ip); continue;
      case H.H_JCC32 + 3: ip = jumpIf32(3, ip); continue;
      case H.H_JCC32 + 4: ip = jumpIf32(4, ip); continue;
      case H.H_JCC32 + 5: ip = jumpIf32(5, ip); continue;
      case H.H_JCC32 + 6: ip = jumpIf32(6, ip); continue;
      case H.H_JCC32 + 7: ip = jumpIf32(7, ip); continue;
      case H.H_JCC32 + 8: ip = jumpIf32(8, ip); continue;
      case H.H_JCC32 + 9: ip = jumpIf32(9, ip); continue;
      case H.H_JCC32 + 10: ip = jumpIf32(10, ip); continue;
      case H.H_JCC32 + 11: ip = jumpIf32(11, ip); continue;
      case H.H_JCC32 + 12: ip = jumpIf32(12, ip); continue;
      case H.H_JCC32 + 13: ip = jumpIf32(13, ip); continue;
      case H.H_JCC32 + 14: ip = jumpIf32(14, ip); continue;
      case H.H_JCC32 + 15: ip = jumpIf32(15, ip); continue;
      case H.H_JMP + 2: ip = enter(ip, target(ip)); continue;
      case H.H_JMP + 1: ip = enter(ip, target(ip) & 0xffffffff); continue;
      case H.H_CALL64: {
        const to = target(ip);
        if (!isCanonical(to)) badCall(ip, 8);
        push64(ip, following(ip));
        ip = enter(ip, to);
        continue;
      }
      case H.H_CALL32: {
        const to = target(ip) & 0xffffffff;
        if (!isTarget(to)) badCall(ip, 4);
        push32(ip, <u32>following(ip));
        ip = enter(ip, to);
        continue;
      }
      case H.H_RET64: {
        const to = readStack<u64>(ip, load<u64>(cpu, RSP));
        if (!isCanonical(to)) checkTarget(ip, to);
        store<u64>(cpu, load<u64>(cpu, RSP) + 8 + <u64>load<u32>(ip, R.R_IMM), RSP);
        ip = enter(ip, to);
        continue;
      }
      case H.H_RET32: {
        const sp = load<u32>(cpu, RSP);
        const to = <u64>readStack<u32>(ip, inSegment(ip, SEG_SS, sp, 4, false));
        if (!isTarget(to)) checkTarget(ip, to);
        store<u64>(cpu, <u64>(sp + 4 + load<u32>(ip, R.R_IMM)), RSP);
        ip = enter(ip, to);
        continue;
      }
      case H.H_JMP_RM + 2: ip = enter(ip, jmpRm<u64>(ip)); continue;
      case H.H_JMP_RM + 1: ip = enter(ip, jmpRm<u32>(ip)); continue;
      case H.H_JMP_RM + 0: ip = enter(ip, jmpRm<u16>(ip)); continue;
      case H.H_CALL_RM + 2: ip = enter(ip, callRm<u64>(ip)); continue;
      case H.H_CALL_RM + 1: ip = enter(ip, callRm<u32>(ip)); continue;
      case H.H_CALL_RM + 0: ip = enter(ip, callRm<u16>(ip)); continue;
      case H.H_JCC_ANY + 0: ip = enter(0, jcc<u16>(ip)); continue;
      case H.H_JCC_ANY + 1: ip = enter(0, jcc<u32>(ip)); continue;
      case H.H_JCC_ANY + 2: ip = enter(0, jcc<u64>(ip)); continue;
      case H.H_JMP + 0: ip = enter(0, jmp<u16>(ip)); continue;
      case H.H_CALL_ANY + 0: ip = enter(0, call<u16>(ip)); continue;
      case H.H_CALL_ANY + 1: ip = enter(0, call<u32>(ip)); continue;
      case H.H_CALL_ANY + 2: ip = enter(0, call<u64>(ip)); continue;
      case H.H_RET_ANY + 0: ip = enter(0, ret<u16>(ip)); continue;
      case H.H_RET_ANY + 1: ip = enter(0, ret<u32>(ip)); continue;
      case H.H_RET_ANY + 2: ip = enter(0, ret<u64>(ip)); continue;
      case H.H_LOOP + 0: ip = enter(0, loop<u16>(ip)); continue;
      case H.H_LOOP + 1: ip = enter(0, loop<u32>(ip)); continue;
      case H.H_LOOP + 2: ip = enter(0, loop<u64>(ip)); continue;

      // A comparison and the conditional jump behind it.
      case H.H_FUSED + 2: ip = compareAndJump<u32>(2, ip, dst<u32>(ip), src<u32>(ip)); continue;
      case H.H_FUSED + 3: ip = compareAndJump<u32>(3, ip, dst<u32>(ip), src<u32>(ip)); continue;
      case H.H_FUSED + 4: ip = compareAndJump<u32>(4, ip, dst<u32>(ip), src<u32>(ip)); continue;
      case H.H_FUSED + 5: ip = compareAndJump<u32>(5, ip, dst<u32>(ip), src<u32>(ip)); continue;
      case H.H_FUSED + 6: ip = compareAndJump<u32>(6, ip, dst<u32>(ip), src<u32>(ip)); continue;
      case H.H_FUSED + 7: ip = compareAndJump<u32>(7, ip, dst<u32>(ip), src<u32>(ip)); continue;
      case H.H_FUSED + 8: ip = compareAndJump<u32>(8, ip, dst<u32>(ip), src<u32>(ip)); continue;
      case H.H_FUSED + 9: ip = compareAndJump<u32>(9, ip, dst<u32>(ip), src<u32>(ip)); continue;
      case H.H_FUSED + 12: ip = compareAndJump<u32>(12, ip, dst<u32>(ip), src<u32>(ip)); continue;
      case H.H_FUSED + 13: ip = compareAndJump<u32>(13, ip, dst<u32>(ip), src<u32>(ip)); continue;
      case H.H_FUSED + 14: ip = compareAndJump<u32>(14, ip, dst<u32>(ip), src<u32>(ip)); continue;
      case H.H_FUSED + 15: ip = compareAndJump<u32>(15, ip, dst<u32>(ip), src<u32>(ip)); continue;
      case H.H_FUSED + 16 + 2: ip = compareAndJump<u32>(2, ip, dst<u32>(ip), imm<u32>(ip)); continue;
      case H.H_FUSED + 16 + 3: ip = compareAndJump<u32>(3, ip, dst<u32>(ip), imm<u32>(ip)); continue;
      case H.H_FUSED + 16 + 4: ip = compareAndJump<u32>(4, ip, dst<u32>(ip), imm<u32>(ip)); continue;
      case H.H_FUSED + 16 + 5: ip = compareAndJump<u32>(5, ip, dst<u32>(ip), imm<u32>(ip)); continue;
      case H.H_FUSED + 16 + 6: ip = compareAndJump<u32>(6, ip, dst<u32>(ip), imm<u32>(ip)); continue;
      case H.H_FUSED + 16 + 7: ip = compareAndJump<u32>(7, ip, dst<u32>(ip), imm<u32>(ip)); continue;
      case H.H_FUSED + 16 + 8: ip = compareAndJump<u32>(8, ip, dst<u32>(ip), imm<u32>(ip)); continue;
      case H.H_FUSED + 16 + 9: ip = compareAndJump<u32>(9, ip, dst<u32>(ip), imm<u32>(ip)); continue;
      case H.H_FUSED + 16 + 12: ip = compareAndJump<u32>(12, ip, dst<u32>(ip), imm<u32>(ip)); continue;
      case H.H_FUSED + 16 + 13: ip = compareAndJump<u32>(13, ip, dst<u32>(ip), imm<u32>(ip)); continue;
      case H.H_FUSED + 16 + 14: ip = compareAndJump<u32>(14, ip, dst<u32>(ip), imm<u32>(ip)); continue;
      case H.H_FUSED + 16 + 15: ip = compareAndJump<u32>(15, ip, dst<u32>(ip), imm<u32>(ip)); continue;
      case H.H_FUSED + 32 + 2: ip = compareAndJump<u64>(2, ip, dst<u64>(ip), src<u64>(ip)); continue;
      case H.H_FUSED + 32 + 3: ip = compareAndJump<u64>(3, ip, dst<u64>(ip), src<u64>(ip)); continue;
      case H.H_FUSED + 32 + 4: ip = compareAndJump<u64>(4, ip, dst<u64>(ip), src<u64>(ip)); continue;
      case H.H_FUSED + 32 + 5: ip = compareAndJump<u64>(5, ip, dst<u64>(ip), src<u64>(ip)); continue;
      case H.H_FUSED + 32 + 6: ip = compareAndJump<u64>(6, ip, dst<u64>(ip), src<u64>(ip)); continue;
      case H.H_FUSED + 32 + 7: ip = compareAndJump<u64>(7, ip, dst<u64>(ip), src<u64>(ip)); continue;
      case H.H_FUSED + 32 + 8: ip = compareAndJump<u64>(8, ip, dst<u64>(ip), src<u64>(ip)); continue;
      case H.H_FUSED + 32 + 9: ip = compareAndJump<u64>(9, ip, dst<u64>(ip), src<u64>(ip)); continue;
      case H.H_FUSED + 32 + 12: ip = compareAndJump<u64>(12, ip, dst<u64>(ip), src<u64>(ip)); continue;
      case H.H_FUSED + 32 + 13: ip = compareAndJump<u64>(13, ip, dst<u64>(ip), src<u64>(ip)); continue;
      case H.H_FUSED + 32 + 14: ip = compareAndJump<u64>(14, ip, dst<u64>(ip), src<u64>(ip)); continue;
      case H.H_FUSED + 32 + 15: ip = compareAndJump<u64>(15, ip, dst<u64>(ip), src<u64>(ip)); continue;
      case H.H_FUSED + 48 + 2: ip = compareAndJump<u64>(2, ip, dst<u64>(ip), imm<u64>(ip)); continue;
      case H.H_FUSED + 48 + 3: ip = compareAndJump<u64>(3, ip, dst<u64>(ip), imm<u64>(ip)); continue;
      case H.H_FUSED + 48 + 4: ip = compareAndJump<u64>(4, ip, dst<u64>(ip), imm<u64>(ip)); continue;
      case H.H_FUSED + 48 + 5: ip = compareAndJump<u64>(5, ip, dst<u64>(ip), imm<u64>(ip)); continue;
      case H.H_FUSED + 48 + 6: ip = compareAndJump<u64>(6, ip, dst<u64>(ip), imm<u64>(ip)); continue;
      case H.H_FUSED + 48 + 7: ip = compareAndJump<u64>(7, ip, dst<u64>(ip), imm<u64>(ip)); continue;
      case H.H_FUSED + 48 + 8: ip = compareAndJump<u64>(8, ip, dst<u64>(ip), imm<u64>(ip)); continue;
      case H.H_FUSED + 48 + 9: ip = compareAndJump<u64>(9, ip, dst<u64>(ip), imm<u64>(ip)); continue;
      case H.H_FUSED + 48 + 12: ip = compareAndJump<u64>(12, ip, dst<u64>(ip), imm<u64>(ip)); continue;
      case H.H_FUSED + 48 + 13: ip = compareAndJump<u64>(13, ip, dst<u64>(ip), imm<u64>(ip)); continue;
      case H.H_FUSED + 48 + 14: ip = compareAndJump<u64>(14, ip, dst<u64>(ip), imm<u64>(ip)); continue;
      case H.H_FUSED + 48 + 15: ip = compareAndJump<u64>(15, ip, dst<u64>(ip), imm<u64>(ip)); continue;
      case H.H_FUSED + 64 + 2: ip = testAndJump<u32>(2, ip, dst<u32>(ip), src<u32>(ip)); continue;
      case H.H_FUSED + 64 + 3: ip = testAndJump<u32>(3, ip, dst<u32>(ip), src<u32>(ip)); continue;
      case H.H_FUSED + 64 + 4: ip = testAndJump<u32>(4, ip, dst<u32>(ip), src<u32>(ip)); continue;
      case H.H_FUSED + 64 + 5: ip = testAndJump<u32>(5, ip, dst<u32>(ip), src<u32>(ip)); continue;
      case H.H_FUSED + 64 + 6: ip = testAndJump<u32>(6, ip, dst<u32>(ip), src<u32>(ip)); continue;
      case H.H_FUSED + 64 + 7: ip = testAndJump<u32>(7, ip, dst<u32>(ip), src<u32>(ip)); continue;
      case H.H_FUSED + 64 + 8: ip = testAndJump<u32>(8, ip, dst<u32>(ip), src<u32>(ip)); continue;
      case H.H_FUSED + 64 + 9: ip = testAndJump<u32>(9, ip, dst<u32>(ip), src<u32>(ip)); continue;
      case H.H_FUSED + 64 + 12: ip = testAndJump<u32>(12, ip, dst<u32>(ip), src<u32>(ip)); continue;
      case H.H_FUSED + 64 + 13: ip = testAndJump<u32>(13, ip, dst<u32>(ip), src<u32>(ip)); continue;
      case H.H_FUSED + 64 + 14: ip = testAndJump<u32>(14, ip, dst<u32>(ip), src<u32>(ip)); continue;
      case H.H_FUSED + 64 + 15: ip = testAndJump<u32>(15, ip, dst<u32>(ip), src<u32>(ip)); continue;
      case H.H_FUSED + 80 + 2: ip = testAndJump<u64>(2, ip, dst<u64>(ip), src<u64>(ip)); continue;
      case H.H_FUSED + 80 + 3: ip = testAndJump<u64>(3, ip, dst<u64>(ip), src<u64>(ip)); continue;
      case H.H_FUSED + 80 + 4: ip = testAndJump<u64>(4, ip, dst<u64>(ip), src<u64>(ip)); continue;
      case H.H_FUSED + 80 + 5: ip = testAndJump<u64>(5, ip, dst<u64>(ip), src<u64>(ip)); continue;
      case H.H_FUSED + 80 + 6: ip = testAndJump<u64>(6, ip, dst<u64>(ip), src<u64>(ip)); continue;
      case H.H_FUSED + 80 + 7: ip = testAndJump<u64>(7, ip, dst<u64>(ip), src<u64>(ip)); continue;
      case H.H_FUSED + 80 + 8: ip = testAndJump<u64>(8, ip, dst<u64>(ip), src<u64>(ip)); continue;
      case H.H_FUSED + 80 + 9: ip = testAndJump<u64>(9, ip, dst<u64>(ip), src<u64>(ip)); continue;
      case H.H_FUSED + 80 + 12: ip = testAndJump<u64>(12, ip, dst<u64>(ip), src<u64>(ip)); continue;
      case H.H_FUSED + 80 + 13: ip = testAndJump<u64>(13, ip, dst<u64>(ip), src<u64>(ip)); continue;
      case H.H_FUSED + 80 + 14: ip = testAndJump<u64>(14, ip, dst<u64>(ip), src<u64>(ip)); continue;
      case H.H_FUSED + 80 + 15: ip = testAndJump<u64>(15, ip, dst<u64>(ip), src<u64>(ip)); continue;

      // Strings: not complete means that the instruction is to be looked up again at the boundary.
      case H.H_MOVS + 0: if (movs<u8>(ip)) break; ip = suspend(ip); continue;
      case H.H_MOVS + 1: if (movs<u16>(ip)) break; ip = suspend(ip); continue;
      case H.H_MOVS + 2: if (movs<u32>(ip)) break; ip = suspend(ip); continue;
      case H.H_MOVS + 3: if (movs<u64>(ip)) break; ip = suspend(ip); continue;
      case H.H_STOS + 0: if (stos<u8>(ip)) break; ip = suspend(ip); continue;
      case H.H_STOS + 1: if (stos<u16>(ip)) break; ip = suspend(ip); continue;
      case H.H_STOS + 2: if (stos<u32>(ip)) break; ip = suspend(ip); continue;
      case H.H_STOS + 3: if (stos<u64>(ip)) break; ip = suspend(ip); continue;
      case H.H_LODS + 0: if (lods<u8>(ip)) break; ip = suspend(ip); continue;
      case H.H_LODS + 1: if (lods<u16>(ip)) break; ip = suspend(ip); continue;
      case H.H_LODS + 2: if (lods<u32>(ip)) break; ip = suspend(ip); continue;
      case H.H_LODS + 3: if (lods<u64>(ip)) break; ip = suspend(ip); continue;
      case H.H_CMPS + 0: if (cmps<u8>(ip)) break; ip = suspend(ip); continue;
      case H.H_CMPS + 1: if (cmps<u16>(ip)) break; ip = suspend(ip); continue;
      case H.H_CMPS + 2: if (cmps<u32>(ip)) break; ip = suspend(ip); continue;
      case H.H_CMPS + 3: if (cmps<u64>(ip)) break; ip = suspend(ip); continue;
      case H.H_SCAS + 0: if (scas<u8>(ip)) break; ip = suspend(ip); continue;
      case H.H_SCAS + 1: if (scas<u16>(ip)) break; ip = suspend(ip); continue;
      case H.H_SCAS + 2: if (scas<u32>(ip)) break; ip = suspend(ip); continue;
      case H.H_SCAS + 3: if (scas<u64>(ip)) break; ip = suspend(ip); continue;
      case H.H_INS + 0: if (ins<u8>(ip)) break; ip = suspend(ip); continue;
      case H.H_INS + 1: if (ins<u16>(ip)) break; ip = suspend(ip); continue;
      case H.H_INS + 2: if (ins<u32>(ip)) break; ip = suspend(ip); continue;
      case H.H_OUTS + 0: if (outs<u8>(ip)) break; ip = suspend(ip); continue;
      case H.H_OUTS + 1: if (outs<u16>(ip)) break; ip = suspend(ip); continue;
      case H.H_OUTS + 2: if (outs<u32>(ip)) break; ip = suspend(ip); continue;

      // What is no ordinary instruction.
      case H.H_END: ip = enter(0, wrapped(load<u64>(cpu, BLOCK_RIP) + <u64>load<u16>(ip, R.R_OFFSET))); continue;
      case H.H_RESYNC: ip = resync(ip); continue;
      case H.H_CHECK:
        if (load<u32>(load<u32>(ip, R.R_DST)) == load<u32>(ip, R.R_SRC)) break;
        ip = resync(ip + R.RECORD_SIZE);
        continue;
      case H.H_SYSTEM: ip = enter(0, system(ip)); continue;
      case H.H_NO_UNIT: noUnit(ip); break;
      case H.H_RAISE: pause(ip); raise(load<u8>(ip, R.R_SUB), 0); break;
      default:
        unreachable();
    }
    ip += R.RECORD_SIZE;
  }
  return load<u32>(cpu, EXIT_REASON);
}
