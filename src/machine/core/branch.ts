import { cpu } from "./cpu";
import { V_GP } from "./arch";
import { pause } from "./counters";
import { raise } from "./fault";
import { condition, zero } from "./flags";
import { probe } from "./memory";
import { readRm, stackAddress, stackWidth } from "./operand";
import { peek, push, release } from "./stack";
import * as R from "./record";
import { BLOCK_RIP, GPR, MODE, MODE_64, SEG, SEG_CS, SEG_LIMIT, SEG_SS, SEG_STRIDE } from "./state";
import { isCanonical } from "./tlb";

/*
 * Near transfers of control. Each returns the new RIP; the run loop looks up the block there. A target that cannot be
 * (beyond CS's limit, not canonical) faults in the branch itself, before it has changed anything.
 */

const RSP: usize = GPR + 32;

/** A target cut to the operand size. */
// @ts-ignore: decorator
@inline
function cut<T>(target: u64): u64 {
  return <u64>(<T>target);
}

/** Raises #GP(0) unless RIP may become `target`. */
export function checkTarget(ip: usize, target: u64): void {
  if (isTarget(target)) return;
  pause(ip);
  raise(V_GP, 0);
}

/** RIP of the instruction that follows. */
// @ts-ignore: decorator
@inline
export function following(ip: usize): u64 {
  return load<u64>(cpu, BLOCK_RIP) + <u64>load<u32>(ip, R.R_DST);
}

/** Target of a relative branch before it is cut. */
// @ts-ignore: decorator
@inline
export function target(ip: usize): u64 {
  return load<u64>(cpu, BLOCK_RIP) + load<u64>(ip, R.R_IMM64);
}

/** Where a conditional branch goes on; only the taken way is cut to the operand size. */
function branch<T>(ip: usize, taken: bool): u64 {
  if (!taken) {
    const next = following(ip);
    return load<u32>(cpu, MODE) == MODE_64 ? next : next & 0xffffffff;
  }
  const to = cut<T>(target(ip));
  checkTarget(ip, to);
  return to;
}

/** Jcc, condition in R_SUB. */
export function jcc<T>(ip: usize): u64 {
  return branch<T>(ip, condition(load<u8>(ip, R.R_SUB)));
}

/** JMP rel. */
export function jmp<T>(ip: usize): u64 {
  return branch<T>(ip, true);
}

/** JMP r/m. */
export function jmpRm<T>(ip: usize): u64 {
  const to = <u64>readRm<T>(ip);
  checkTarget(ip, to);
  return to;
}

/** Whether RIP may become `target`. */
// @ts-ignore: decorator
@inline
export function isTarget(target: u64): bool {
  if (load<u32>(cpu, MODE) == MODE_64) return isCanonical(target);
  return target <= <u64>load<u32>(cpu + SEG_CS * SEG_STRIDE, SEG + SEG_LIMIT);
}

/** The target of a call cannot be: #GP(0), unless the return address cannot be pushed either, which comes first. */
export function badCall(ip: usize, size: u32): void {
  pause(ip);
  const width = stackWidth();
  const mask: u64 = width == 8 ? ~(<u64>0) : width == 4 ? 0xffffffff : 0xffff;
  probe(stackAddress(ip, (load<u64>(cpu, RSP) - size) & mask, size, true), size, true, SEG_SS);
  raise(V_GP, 0);
}

// @ts-ignore: decorator
@inline
function pushReturn<T>(ip: usize, to: u64, address: T): void {
  if (!isTarget(to)) badCall(ip, sizeof<T>());
  push<T>(ip, address);
}

/** CALL rel. */
export function call<T>(ip: usize): u64 {
  const to = cut<T>(target(ip));
  pushReturn<T>(ip, to, <T>following(ip));
  return to;
}

/** CALL r/m. */
export function callRm<T>(ip: usize): u64 {
  const to = <u64>readRm<T>(ip);
  pushReturn<T>(ip, to, <T>(load<u64>(cpu, BLOCK_RIP) + load<u16>(ip, R.R_OFFSET) + load<u8>(ip, R.R_LENGTH)));
  return to;
}

/** RET, with R_IMM bytes of arguments released. */
export function ret<T>(ip: usize): u64 {
  const to = <u64>peek<T>(ip, 0);
  checkTarget(ip, to);
  release(sizeof<T>() + <u64>load<u32>(ip, R.R_IMM));
  return to;
}

/** LOOPNE, LOOPE, LOOP, JrCXZ (R_SUB 0..3): the address size says how wide the counter is. */
export function loop<T>(ip: usize): u64 {
  const how = <i32>load<u8>(ip, R.R_ADDRESSING);
  const mask: u64 = how <= R.ADDRESS_64 ? ~(<u64>0) : how == R.ADDRESS_16 ? 0xffff : 0xffffffff;
  const kind = load<u8>(ip, R.R_SUB);
  const old = load<u64>(cpu, GPR + 8);
  if (kind == 3) return branch<T>(ip, (old & mask) == 0);
  const counter = (old - 1) & mask;
  const taken = counter != 0 && (kind == 2 || zero() == (kind == 1));
  const to = branch<T>(ip, taken);
  if (mask == 0xffff) store<u16>(cpu, <u16>counter, GPR + 8);
  else store<u64>(cpu, counter, GPR + 8);
  return to;
}
