import { cpu } from "./cpu";
import { atomicAddress, dst, imm, readToWriteMiss, setDst, setRegister, src, write, address } from "./operand";
import { aluBy, decremented, incremented, negated } from "./alu";
import { alu } from "./alu";
import { changed } from "./bits";
import * as O from "./ops";
import * as R from "./record";
import { carry, setArithmetic, setCarry, setLazy, zero } from "./flags";
import { GPR, HEADER, HEADER_SPLIT_LOCK, LAZY_AUX, LAZY_RESULT } from "./state";

/*
 * Read-modify-write on memory that other processors see as one step: LOCKed instructions, XCHG, and the ones that are
 * LOCKed in practice. An aligned operand is updated by compare-and-exchange; one that is not, or that lies across two
 * pages, under one lock for the whole machine, which is what a bus lock is.
 */

// What is done to the operand: 0..7 the arithmetic of the opcode map (no CMP), then these.
export const UPDATE_BTS: u32 = 9;
export const UPDATE_BTR: u32 = 10;
export const UPDATE_BTC: u32 = 11;
export const UPDATE_INC: u32 = 12;
export const UPDATE_DEC: u32 = 13;
export const UPDATE_NOT: u32 = 14;
export const UPDATE_NEG: u32 = 15;
export const UPDATE_XCHG: u32 = 16;

/** The new value; sets the flags that the update sets, except for the bit operations. */
function updated<T>(how: u32, old: T, operand: T): T {
  if (how < 8) return aluBy<T>(how, old, operand);
  if (how == UPDATE_INC) return incremented<T>(old);
  if (how == UPDATE_DEC) return decremented<T>(old);
  if (how == UPDATE_NOT) return <T>~old;
  if (how == UPDATE_NEG) return negated<T>(old);
  if (how == UPDATE_XCHG) return operand;
  return changed<T>(how - 8, old, operand);
}

function lockBus(): void {
  while (atomic.cmpxchg<u32>(HEADER + HEADER_SPLIT_LOCK, 0, 1) != 0) {}
}

function unlockBus(): void {
  atomic.store<u32>(HEADER + HEADER_SPLIT_LOCK, 0);
}

/** Updates the operand at `linear` as one step; returns what it held before. */
export function atomicUpdate<T>(ip: usize, linear: u64, how: u32, operand: T): T {
  const at = atomicAddress<T>(ip, linear);
  if (at == 0) return splitUpdate<T>(ip, linear, how, operand);
  const result = load<i64>(cpu, LAZY_RESULT);
  const aux = load<u32>(cpu, LAZY_AUX);
  while (true) {
    const old: T = atomic.load<T>(at);
    if (atomic.cmpxchg<T>(at, old, updated<T>(how, old, operand)) == old) return old;
    // ADC, INC and the like start from the flags as they were.
    setLazy(result, aux);
  }
}

function splitUpdate<T>(ip: usize, linear: u64, how: u32, operand: T): T {
  lockBus();
  const old = <T>readToWriteMiss(ip, linear, sizeof<T>(), load<u8>(ip, R.R_SEGMENT));
  write<T>(ip, linear, updated<T>(how, old, operand));
  unlockBus();
  return old;
}

/** LOCKed arithmetic; R_SUB says how. */
export function lockedR<T>(ip: usize): void {
  atomicUpdate<T>(ip, address(ip, sizeof<T>(), true), load<u8>(ip, R.R_SUB), src<T>(ip));
}

export function lockedI<T>(ip: usize): void {
  atomicUpdate<T>(ip, address(ip, sizeof<T>(), true), load<u8>(ip, R.R_SUB), imm<T>(ip));
}

/** LOCK BTS, BTR, BTC with an immediate. */
export function lockedBitI<T>(ip: usize): void {
  const bit = imm<u32>(ip) & ((sizeof<T>() << 3) - 1);
  const how = 8 + <u32>load<u8>(ip, R.R_SUB);
  const old = atomicUpdate<T>(ip, address(ip, sizeof<T>(), true), how, <T>((<u64>1) << bit));
  setCarry((<u32>((<u64>old) >> bit)) & 1);
}

/** XCHG: with memory always LOCKed. */
export function xchgMR<T>(ip: usize): void {
  const register = load<u32>(ip, R.R_SRC);
  setRegister<T>(register, atomicUpdate<T>(ip, address(ip, sizeof<T>(), true), UPDATE_XCHG, load<T>(register)));
}

export function xchgRR<T>(ip: usize): void {
  const a = dst<T>(ip);
  setDst<T>(ip, src<T>(ip));
  setRegister<T>(load<u32>(ip, R.R_SRC), a);
}

/** XADD: the sum into r/m, what was there into the register. When both are one register, the sum stays. */
export function xaddRR<T>(ip: usize): void {
  const a = dst<T>(ip);
  const total = alu<T>(O.ADD, a, src<T>(ip));
  setRegister<T>(load<u32>(ip, R.R_SRC), a);
  setDst<T>(ip, total);
}

export function xaddMR<T>(ip: usize): void {
  const register = load<u32>(ip, R.R_SRC);
  setRegister<T>(register, atomicUpdate<T>(ip, address(ip, sizeof<T>(), true), 0, load<T>(register)));
}

/** CMPXCHG: compares the accumulator with r/m; the accumulator is written only when they differ. */
export function cmpxchgRR<T>(ip: usize): void {
  const old = dst<T>(ip);
  const replacement = src<T>(ip);
  alu<T>(O.CMP, load<T>(cpu, GPR), old);
  if (zero()) setDst<T>(ip, replacement);
  else setRegister<T>(cpu + GPR, old);
}

export function cmpxchgMR<T>(ip: usize): void {
  const linear = address(ip, sizeof<T>(), true);
  const expected = load<T>(cpu, GPR);
  const replacement = src<T>(ip);
  const at = atomicAddress<T>(ip, linear);
  let old: T;
  if (at != 0) old = atomic.cmpxchg<T>(at, expected, replacement);
  else {
    lockBus();
    old = <T>readToWriteMiss(ip, linear, sizeof<T>(), load<u8>(ip, R.R_SEGMENT));
    write<T>(ip, linear, old == expected ? replacement : old);
    unlockBus();
  }
  alu<T>(O.CMP, expected, old);
  if (old != expected) setRegister<T>(cpu + GPR, old);
}
