import { cpu } from "./cpu";
import { pause } from "./counters";
import {
  imm,
  offsetOf,
  readRm,
  readStack,
  segmented,
  setDst,
  setRegister,
  stackAddress,
  stackWidth,
  write,
  writeStack,
} from "./operand";
import { pushf } from "./control";
import { probe } from "./memory";
import { selectorOf } from "./misc";
import * as R from "./record";
import { GPR, SEG_SS } from "./state";

/*
 * The stack for every combination of operand size (what is pushed) and stack size (how much of rSP counts: SS.B outside
 * of 64-bit mode). rSP changes last, when nothing can fault any more. The usual combinations have shorter ways in the
 * run loop.
 */

const RSP: usize = GPR + 32;
const RBP: usize = GPR + 40;

// @ts-ignore: decorator
@inline
function widthMask(width: u32): u64 {
  return width == 8 ? ~(<u64>0) : width == 4 ? 0xffffffff : 0xffff;
}

/** Writes rSP or rBP as wide as the stack is; a 16-bit stack leaves the upper half alone. */
function setPointer(at: usize, value: u64, width: u32): void {
  if (width == 8) store<u64>(cpu + at, value);
  else if (width == 4) store<u64>(cpu + at, <u64>(<u32>value));
  else store<u16>(cpu + at, <u16>value);
}

/** Stores below the stack pointer and moves it. */
export function push<T>(ip: usize, value: T): void {
  const width = stackWidth();
  const sp = (load<u64>(cpu, RSP) - sizeof<T>()) & widthMask(width);
  writeStack<T>(ip, stackAddress(ip, sp, sizeof<T>(), true), value);
  setPointer(RSP, sp, width);
}

/** The datum `skip` bytes above the stack pointer, which stays. */
export function peek<T>(ip: usize, skip: u64): T {
  const sp = (load<u64>(cpu, RSP) + skip) & widthMask(stackWidth());
  return readStack<T>(ip, stackAddress(ip, sp, sizeof<T>(), false));
}

/** Adds to the stack pointer. */
export function release(bytes: u64): void {
  setPointer(RSP, load<u64>(cpu, RSP) + bytes, stackWidth());
}

export function pushRm<T>(ip: usize): void {
  push<T>(ip, readRm<T>(ip));
}

export function pushI<T>(ip: usize): void {
  push<T>(ip, imm<T>(ip));
}

/** POP to a register: rSP has moved before the register is written (POP RSP). */
export function popR<T>(ip: usize): void {
  const value = peek<T>(ip, 0);
  release(sizeof<T>());
  setDst<T>(ip, value);
}

/** POP to memory: the address is computed with rSP as it is after the pop (SDM vol. 2, POP). */
export function popM<T>(ip: usize): void {
  const value = peek<T>(ip, 0);
  const before = load<u64>(cpu, RSP);
  release(sizeof<T>());
  const offset = offsetOf(ip);
  // A fault of the store must find rSP as it was.
  const after = load<u64>(cpu, RSP);
  store<u64>(cpu, before, RSP);
  write<T>(ip, segmented(ip, offset, sizeof<T>(), true), value);
  store<u64>(cpu, after, RSP);
}

/** PUSH of a segment register, zero-extended to the operand size. */
export function pushSegment<T>(ip: usize): void {
  push<T>(ip, <T>selectorOf(ip));
}

/** PUSHA: the eight registers, with rSP as it was before; rSP moves when all of them are stored. */
export function pusha<T>(ip: usize): void {
  const width = stackWidth();
  const mask = widthMask(width);
  const before = load<u64>(cpu, RSP);
  let sp = before;
  for (let i: u32 = 0; i < 8; ++i) {
    sp = (sp - sizeof<T>()) & mask;
    const at = stackAddress(ip, sp, sizeof<T>(), true);
    writeStack<T>(ip, at, <T>(i == 4 ? before : load<u64>(cpu + (i << 3), GPR)));
  }
  setPointer(RSP, sp, width);
}

/** POPA: all but rSP. Registers popped before a fault stay popped, as on AMD's processors; rSP has not moved then. */
export function popa<T>(ip: usize): void {
  const mask = widthMask(stackWidth());
  const sp = load<u64>(cpu, RSP);
  for (let i: u32 = 0; i < 8; ++i) {
    const at = stackAddress(ip, (sp + i * sizeof<T>()) & mask, sizeof<T>(), false);
    const value = readStack<T>(ip, at);
    if (i != 3) setRegister<T>(cpu + GPR + ((7 - i) << 3), value);
  }
  release(8 * sizeof<T>());
}

/** LEAVE: rSP from rBP, then POP rBP. */
export function leave<T>(ip: usize): void {
  const width = stackWidth();
  const bp = load<u64>(cpu, RBP) & widthMask(width);
  const value = readStack<T>(ip, stackAddress(ip, bp, sizeof<T>(), false));
  setPointer(RSP, bp + sizeof<T>(), width);
  setRegister<T>(cpu + RBP, value);
}

/** ENTER (SDM vol. 2, ENTER): bytes of locals in R_IMM, nesting level in R_SUB. */
export function enterFrame<T>(ip: usize): void {
  const width = stackWidth();
  const mask = widthMask(width);
  const level = (<u32>load<u8>(ip, R.R_SUB)) & 31;
  const sp = load<u64>(cpu, RSP);
  const bp = load<u64>(cpu, RBP);
  const frame = (sp - sizeof<T>()) & mask;
  // With a 16-bit stack the frame pointer takes ESP's upper half along.
  const pointer = (sp & ~mask) | frame;
  const bottom = (sp - (level + 1) * sizeof<T>() - <u64>load<u32>(ip, R.R_IMM)) & mask;
  writeStack<T>(ip, stackAddress(ip, frame, sizeof<T>(), true), <T>bp);
  let slot = frame;
  for (let i: u32 = 1; i < level; ++i) {
    const value = readStack<T>(ip, stackAddress(ip, (bp - i * sizeof<T>()) & mask, sizeof<T>(), false));
    slot = (slot - sizeof<T>()) & mask;
    writeStack<T>(ip, stackAddress(ip, slot, sizeof<T>(), true), value);
  }
  if (level > 0) {
    slot = (slot - sizeof<T>()) & mask;
    writeStack<T>(ip, stackAddress(ip, slot, sizeof<T>(), true), <T>pointer);
  }
  // The stack must reach down to where rSP will point; only then do the registers change.
  pause(ip);
  probe(stackAddress(ip, bottom, sizeof<T>(), true), sizeof<T>(), true, SEG_SS);
  setRegister<T>(cpu + RBP, <T>pointer);
  setPointer(RSP, bottom, width);
}

/** PUSHF. */
export function pushFlags<T>(ip: usize): void {
  pause(ip);
  push<T>(ip, <T>pushf(sizeof<T>()));
}
