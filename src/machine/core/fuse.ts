import { cpu } from "./cpu";
import { following, target } from "./branch";
import { wrapped } from "./counters";
import { enter } from "./enter";
import { setArithmetic, setLogic } from "./flags";
import * as H from "./handlers";
import * as R from "./record";

/*
 * A comparison of registers and the conditional jump behind it, executed as one: one jump of the run loop less, and a
 * condition that is known from the operands without a look at the lazy flags, which are set all the same.
 *
 * They stay two records and two instructions. Only the handler of the first changes, to one that goes on with the second
 * by itself; so counts, RIP and faults of the jump are what they would be without it. The comparison neither faults nor
 * stores, so nothing can happen between the two. A block that is cut between them, for its budget or a single step, has
 * the first one's own handler put back.
 */

/** What is compared; 16 handlers each, by condition. */
const CMP_RR32: i32 = 0;
const CMP_RI32: i32 = 1;
const CMP_RR64: i32 = 2;
const CMP_RI64: i32 = 3;
const TEST_RR32: i32 = 4;
const TEST_RR64: i32 = 5;
const KINDS: i32 = 6;

/** CMP's place among the operations of a family. */
const CMP: i32 = 7;

/** The comparison's own handler. */
function comparison(kind: i32): i32 {
  switch (kind) {
    case CMP_RR32:
      return H.H_RR32 + CMP;
    case CMP_RI32:
      return H.H_RI32 + CMP;
    case CMP_RR64:
      return H.H_RR64 + CMP;
    case CMP_RI64:
      return H.H_RI64 + CMP;
    case TEST_RR32:
      return H.H_TEST_RR32;
    default:
      return H.H_TEST_RR64;
  }
}

/** Fuses the record at `ip` with the one behind it, if they are such a pair. */
export function fuse(ip: usize): void {
  const jump = <i32>load<u16>(ip + R.RECORD_SIZE, R.R_HANDLER);
  const code = jump - (jump < H.H_JCC32 ? H.H_JCC64 : H.H_JCC32);
  // Overflow and parity are not asked for often enough.
  if (code < 2 || code > 15 || code == 10 || code == 11) return;
  const handler = <i32>load<u16>(ip, R.R_HANDLER);
  for (let kind: i32 = 0; kind < KINDS; ++kind)
    if (handler == comparison(kind)) store<u16>(ip, <u16>(H.H_FUSED + (kind << 4) + code), R.R_HANDLER);
}

/** The record at `ip` is to be executed without the one behind it. */
export function separate(ip: usize): void {
  const handler = <i32>load<u16>(ip, R.R_HANDLER);
  if (handler >= H.H_FUSED) store<u16>(ip, <u16>comparison((handler - H.H_FUSED) >> 4), R.R_HANDLER);
}

// @ts-ignore: decorator
@inline
function less<T>(a: T, b: T): bool {
  return sizeof<T>() == 8 ? <i64>a < <i64>b : <i32>a < <i32>b;
}

/** Condition `code` of Jcc behind CMP a, b; constant, so that inlining leaves one. */
// @ts-ignore: decorator
@inline
function compared<T>(code: u32, a: T, b: T): bool {
  switch (code) {
    case 2:
      return a < b;
    case 3:
      return a >= b;
    case 4:
      return a == b;
    case 5:
      return a != b;
    case 6:
      return a <= b;
    case 7:
      return a > b;
    case 8:
      return less<T>(<T>(a - b), 0);
    case 9:
      return !less<T>(<T>(a - b), 0);
    case 12:
      return less<T>(a, b);
    case 13:
      return !less<T>(a, b);
    case 14:
      return !less<T>(b, a);
    default:
      return less<T>(b, a);
  }
}

/** The jump, whose record is the next one. */
// @ts-ignore: decorator
@inline
function jumpIf(taken: bool, ip: usize): usize {
  const jump = ip + R.RECORD_SIZE;
  return enter(taken ? jump : 0, wrapped(taken ? target(jump) : following(jump)));
}

/** CMP a, b; Jcc. */
// @ts-ignore: decorator
@inline
export function compareAndJump<T>(code: u32, ip: usize, a: T, b: T): usize {
  const r = <T>(a - b);
  setArithmetic<T>(r, <T>((~a & b) | (~(a ^ b) & r)));
  return jumpIf(compared<T>(code, a, b), ip);
}

/** TEST a, b; Jcc: CF and OF are 0, as if the result had been compared with 0. */
// @ts-ignore: decorator
@inline
export function testAndJump<T>(code: u32, ip: usize, a: T, b: T): usize {
  const r = <T>(a & b);
  setLogic<T>(r);
  return jumpIf(compared<T>(code, r, 0), ip);
}
