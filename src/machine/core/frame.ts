import { cpu } from "./cpu";
import { GPR, MODE, MODE_64, SEG_DS, SEG_SS } from "./state";
import { AR_DB, AR_DC, V_SS } from "./arch";
import { raise } from "./fault";
import { ld, ldSys, st, stSys } from "./memory";
import { cpl, linear, segAttr, segBase, segLimit } from "./segments";

/*
 * Frames on a stack that may not be the current one: what interrupts, far calls and task switches push, what IRET and
 * far returns pop. Nothing of the processor changes until the caller takes the new stack pointer from here.
 */

const RSP: usize = 4 * 8;

let base: u64 = 0;
let limit: u32 = 0;
let attr: u32 = 0;
/** Bits of the stack pointer that are in use. */
let mask: u64 = 0;
/** No segmentation: 64-bit. */
let flat: bool = false;
/** With supervisor rights, whatever CPL still is. */
let system: bool = false;
/** The selector in the error code of #SS. */
let blame: u32 = 0;
/** The stack pointer, already masked. */
export let framePointer: u64 = 0;

/** The mask of the current stack pointer. */
export function stackMask(): u64 {
  if (load<u32>(cpu, MODE) == MODE_64) return ~(<u64>0);
  return (segAttr(SEG_SS) & AR_DB) != 0 ? 0xffffffff : 0xffff;
}

export function stackPointer(): u64 {
  return load<u64>(cpu + RSP, GPR);
}

/** `value` in the part of RSP that a stack with this mask uses. A 32-bit pointer clears the upper half. */
export function mergeStackPointer(value: u64, stack: u64): u64 {
  return stack == 0xffff ? (stackPointer() & 0xffff0000) | (value & 0xffff) : value & stack;
}

export function setStackPointer(value: u64): void {
  store<u64>(cpu + RSP, value, GPR);
}

/** Frames go on (or come from) the current stack. */
export function useCurrentStack(): void {
  mask = stackMask();
  flat = load<u32>(cpu, MODE) == MODE_64;
  base = segBase(SEG_SS);
  limit = segLimit(SEG_SS);
  attr = segAttr(SEG_SS);
  system = cpl() < 3;
  blame = 0;
  framePointer = stackPointer() & mask;
}

/** Frames go on a segment that is about to become the stack of privilege `level`. */
export function useStack(selector: u32, segBase: u64, segLimit: u32, segAttr: u32, pointer: u64, level: u32): void {
  mask = (segAttr & AR_DB) != 0 ? 0xffffffff : 0xffff;
  flat = false;
  base = segBase;
  limit = segLimit;
  attr = segAttr;
  system = level < 3;
  blame = selector & 0xfffc;
  framePointer = pointer & mask;
}

/** Frames go on a 64-bit stack of privilege `level`. */
export function useFlatStack(pointer: u64, level: u32): void {
  mask = ~(<u64>0);
  flat = true;
  system = level < 3;
  blame = 0;
  framePointer = pointer;
}

/** The mask of the stack that frames go on. */
export function frameMask(): u64 {
  return mask;
}

function frameLinear(offset: u64, size: u32): u64 {
  if (flat) return offset;
  const last = offset + size - 1;
  if ((attr & AR_DC) != 0) {
    if (offset <= <u64>limit || last > ((attr & AR_DB) != 0 ? 0xffffffff : 0xffff)) raise(V_SS, blame);
  } else if (last > <u64>limit) raise(V_SS, blame);
  return (base + offset) & 0xffffffff;
}

/** Pushes the low `size` bytes (2, 4, 8) of `value`. */
export function framePush(value: u64, size: u32): void {
  const offset = (framePointer - size) & mask;
  const address = frameLinear(offset, size);
  if (system) {
    if (size == 2) stSys<u16>(address, <u16>value, SEG_SS);
    else if (size == 4) stSys<u32>(address, <u32>value, SEG_SS);
    else stSys<u64>(address, value, SEG_SS);
  } else if (size == 2) st<u16>(address, <u16>value, SEG_SS);
  else if (size == 4) st<u32>(address, <u32>value, SEG_SS);
  else st<u64>(address, value, SEG_SS);
  framePointer = offset;
}

/** Pops `size` bytes (2, 4, 8), zero-extended. */
export function framePop(size: u32): u64 {
  const address = frameLinear(framePointer, size);
  let value: u64;
  if (system) {
    if (size == 2) value = <u64>ldSys<u16>(address, SEG_SS);
    else if (size == 4) value = <u64>ldSys<u32>(address, SEG_SS);
    else value = ldSys<u64>(address, SEG_SS);
  } else if (size == 2) value = <u64>ld<u16>(address, SEG_SS);
  else if (size == 4) value = <u64>ld<u32>(address, SEG_SS);
  else value = ld<u64>(address, SEG_SS);
  framePointer = (framePointer + size) & mask;
  return value;
}

/** Moves the pointer without access: parameters that are released. */
export function frameSkip(bytes: u32): void {
  framePointer = (framePointer + bytes) & mask;
}

/** Makes the frame's pointer the current stack's. */
export function takeFramePointer(): void {
  setStackPointer(mergeStackPointer(framePointer, mask));
}

/** Loads `size` bytes (2, 4, 8) with the rights of CPL and all checks of the segment; parameters of call gates. */
export function loadSized(seg: u32, offset: u64, size: u32): u64 {
  const address = linear(seg, offset, size, false);
  if (size == 2) return <u64>ld<u16>(address, seg);
  if (size == 4) return <u64>ld<u32>(address, seg);
  return ld<u64>(address, seg);
}

/** Supervisor load of 2 or 4 bytes. */
export function loadSystem(address: u64, size: u32): u32 {
  return size == 2 ? <u32>ldSys<u16>(address, SEG_DS) : ldSys<u32>(address, SEG_DS);
}

export function storeSystem(address: u64, value: u32, size: u32): void {
  if (size == 2) stSys<u16>(address, <u16>value, SEG_DS);
  else stSys<u32>(address, value, SEG_DS);
}
