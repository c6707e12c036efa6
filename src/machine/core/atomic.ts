import { cpu } from "./cpu";
import { alu, aluBy, decremented, incremented, negated } from "./alu";
import { V_GP } from "./arch";
import { changed } from "./bits";
import { pause } from "./counters";
import { raise } from "./fault";
import { ZF, setCarry, setLazy, setStatusFlags, statusFlags, zero } from "./flags";
import { endTransient } from "./late";
import { address, atomicAddress, dst, imm, read, readToWriteMiss, setDst, setRegister, src, write } from "./operand";
import * as O from "./ops";
import * as R from "./record";
import {
  CPU_AREA,
  CPU_INDEX,
  CPU_STRIDE,
  GPR,
  HEADER,
  HEADER_CPUS,
  HEADER_SPLIT_LOCK,
  LAZY_AUX,
  LAZY_RESULT,
  LOCKING,
} from "./state";

/*
 * Read-modify-write on memory that other processors see as one step: LOCKed instructions, XCHG, and the ones that are
 * LOCKed in practice. An aligned operand is updated by compare-and-exchange; one that is not, that lies across two pages
 * or that has 16 bytes, under one lock for the whole machine, which is what a bus lock is.
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

/*
 * The bus lock. An access that is one WebAssembly atomic (short) and one that is several operations (long) must exclude
 * each other, and the short ones, which are the usual, must not pay for a common lock word. So a short access only says on
 * a word of its own processor that it is under way and then looks at the lock; a long one takes the lock and then waits
 * until nobody is under way. Both write before they read, in one order for all processors (WebAssembly's atomics are
 * sequentially consistent), so at least one of the two sees the other. Nothing can fault or call out of the core between
 * the two ends of a short access. A machine with one processor has nobody to exclude.
 */

/** Before a short access. */
// @ts-ignore: decorator
@inline
export function beginShort(): void {
  if (load<u32>(HEADER, HEADER_CPUS) > 1) announce();
}

function announce(): void {
  while (true) {
    atomic.store<u32>(cpu + LOCKING, 1);
    const holder = atomic.load<u32>(HEADER + HEADER_SPLIT_LOCK);
    // Its own, when a long access walks page tables: it excludes nobody who is not excluded already.
    if (holder == 0 || holder == load<u32>(cpu, CPU_INDEX) + 1) return;
    atomic.store<u32>(cpu + LOCKING, 0);
    while (atomic.load<u32>(HEADER + HEADER_SPLIT_LOCK) != 0) {}
  }
}

// @ts-ignore: decorator
@inline
export function endShort(): void {
  if (load<u32>(HEADER, HEADER_CPUS) > 1) atomic.store<u32>(cpu + LOCKING, 0);
}

/** Before a long access. Its faults have been raised already, unless another processor changes the page tables meanwhile. */
export function lockBus(): void {
  const processors = load<u32>(HEADER, HEADER_CPUS);
  if (processors <= 1) return;
  const holder = load<u32>(cpu, CPU_INDEX) + 1;
  while (atomic.cmpxchg<u32>(HEADER + HEADER_SPLIT_LOCK, 0, holder) != 0) {}
  for (let i: u32 = 0; i < processors; ++i) while (atomic.load<u32>(CPU_AREA + i * CPU_STRIDE + LOCKING) != 0) {}
}

export function unlockBus(): void {
  if (load<u32>(HEADER, HEADER_CPUS) > 1) atomic.store<u32>(HEADER + HEADER_SPLIT_LOCK, 0);
}

/**
 * LFENCE, MFENCE, SFENCE: nothing behind it is loaded before what is before it has been stored. By an exchange: asc 0.28 turns its own
 * `atomic.fence` into a module that its validator refuses. The word is 0 at all times but in a short access.
 */
export function fence(): void {
  endTransient();
  atomic.xchg<u32>(cpu + LOCKING, 0);
}

/** A fault has ended an instruction of this processor: if that had the bus lock, others must not wait for ever. */
export function abandonBus(): void {
  if (load<u32>(HEADER, HEADER_SPLIT_LOCK) == load<u32>(cpu, CPU_INDEX) + 1) unlockBus();
}

// @ts-ignore: decorator
@inline
function exchange<T>(at: usize, expected: T, replacement: T): T {
  beginShort();
  const old: T = atomic.cmpxchg<T>(at, expected, replacement);
  endShort();
  return old;
}

/** Updates the operand at `linear` as one step; returns what it held before. */
export function atomicUpdate<T>(ip: usize, linear: u64, how: u32, operand: T): T {
  const at = atomicAddress<T>(ip, linear);
  if (at == 0) return splitUpdate<T>(ip, linear, how, operand);
  const result = load<i64>(cpu, LAZY_RESULT);
  const aux = load<u32>(cpu, LAZY_AUX);
  while (true) {
    const old: T = atomic.load<T>(at);
    if (exchange<T>(at, old, updated<T>(how, old, operand)) == old) return old;
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

/** Compares and exchanges the operand at `linear`; returns what it held before. It is written in either case. */
function compareExchange<T>(ip: usize, linear: u64, expected: T, replacement: T): T {
  const at = atomicAddress<T>(ip, linear);
  if (at != 0) return exchange<T>(at, expected, replacement);
  lockBus();
  const old = <T>readToWriteMiss(ip, linear, sizeof<T>(), load<u8>(ip, R.R_SEGMENT));
  write<T>(ip, linear, old == expected ? replacement : old);
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
  const old = compareExchange<T>(ip, linear, expected, replacement);
  alu<T>(O.CMP, expected, old);
  if (old != expected) setRegister<T>(cpu + GPR, old);
}

/** Changes only ZF. */
function setZero(zero: bool): void {
  setStatusFlags((statusFlags() & ~ZF) | (zero ? ZF : 0));
}

/** CMPXCHG8B: EDX:EAX with memory, ECX:EBX to be stored. */
export function cmpxchg8b(ip: usize): void {
  const linear = address(ip, 8, true);
  const expected = (load<u64>(cpu, GPR + 16) << 32) | (<u64>load<u32>(cpu, GPR));
  const replacement = (load<u64>(cpu, GPR + 8) << 32) | (<u64>load<u32>(cpu, GPR + 24));
  const old = compareExchange<u64>(ip, linear, expected, replacement);
  if (old != expected) {
    store<u64>(cpu, old & 0xffffffff, GPR);
    store<u64>(cpu, old >> 32, GPR + 16);
  }
  setZero(old == expected);
}

/** What a 16-byte operand held. */
let oldLow: u64 = 0;
let oldHigh: u64 = 0;

/**
 * Compares and exchanges 16 aligned bytes under the bus lock, one half after the other, each by compare-and-exchange.
 * No LOCKed access of any processor comes between the halves, so among LOCKed accesses this is one step. What can come
 * between is an ordinary access. A load can see one half new and the other old. A store into the second half while only
 * the first is new makes that fail: the first is put back, unless it has been stored into as well, and all starts over.
 * (A store into the first half of just what was put there cannot be told from it, and goes with it.)
 */
function exchangeWide(at: usize, low: u64, high: u64, newLow: u64, newHigh: u64): void {
  lockBus();
  while (true) {
    oldLow = atomic.load<u64>(at);
    oldHigh = atomic.load<u64>(at, 8);
    if (oldLow != low || oldHigh != high) break;
    if (atomic.cmpxchg<u64>(at, low, newLow) != low) continue;
    if (atomic.cmpxchg<u64>(at, high, newHigh, 8) == high) break;
    atomic.cmpxchg<u64>(at, newLow, low);
  }
  unlockBus();
}

/** CMPXCHG16B: RDX:RAX with memory, RCX:RBX to be stored; #GP unless aligned. */
export function cmpxchg16b(ip: usize): void {
  const linear = address(ip, 16, true);
  if ((linear & 15) != 0) {
    pause(ip);
    raise(V_GP, 0);
  }
  const low = load<u64>(cpu, GPR);
  const high = load<u64>(cpu, GPR + 16);
  const newLow = load<u64>(cpu, GPR + 24);
  const newHigh = load<u64>(cpu, GPR + 8);
  const at = atomicAddress<u64>(ip, linear);
  // In the same page; asked for since a data breakpoint may lie there.
  const upper = atomicAddress<u64>(ip, linear + 8);
  if (at != 0 && upper != 0) exchangeWide(at, low, high, newLow, newHigh);
  else {
    // A device: nothing else is LOCKed there either.
    oldLow = readToWriteMiss(ip, linear, 8, load<u8>(ip, R.R_SEGMENT));
    oldHigh = read<u64>(ip, linear + 8);
    const equal = oldLow == low && oldHigh == high;
    write<u64>(ip, linear, equal ? newLow : oldLow);
    write<u64>(ip, linear + 8, equal ? newHigh : oldHigh);
  }
  const equal = oldLow == low && oldHigh == high;
  if (!equal) {
    store<u64>(cpu, oldLow, GPR);
    store<u64>(cpu, oldHigh, GPR + 16);
  }
  setZero(equal);
}
