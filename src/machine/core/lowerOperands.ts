import { cpu } from "./cpu";
import * as R from "./record";
import { BLOCK_RIP, GPR, MODE_64, SEG_DS, SEG_FS, ZERO } from "./state";

/*
 * The operands of the decoded instruction (decode.ts), and how they go into the record at `ip`.
 */

/** 0, 1, 2, 3 for 1, 2, 4, 8 bytes. */
// @ts-ignore: decorator
@inline
export function log2(size: u32): u32 {
  return ctz<u32>(size);
}

export function kindOf(which: usize): u32 {
  return load<u8>(cpu + which * R.OPERAND_STRIDE, R.D_OPERANDS);
}

export function numberOf(which: usize): u32 {
  return load<u8>(cpu + which * R.OPERAND_STRIDE, R.D_OPERANDS + 1);
}

export function sizeOf(which: usize): u32 {
  return load<u16>(cpu + which * R.OPERAND_STRIDE, R.D_OPERANDS + 2);
}

export function isRegister(which: usize): bool {
  return kindOf(which) == R.OPERAND_REGISTER;
}

export function isImmediate(which: usize): bool {
  const kind = kindOf(which);
  return kind == R.OPERAND_IMMEDIATE || kind == R.OPERAND_ONE;
}

export function isMemory(which: usize): bool {
  return kindOf(which) == R.OPERAND_MEMORY;
}

/** Address of a general register. */
export function gpr(number: u32): u32 {
  return <u32>cpu + GPR + (number << 3);
}

/** Address of a register operand; 16..19 are AH, CH, DH, BH. */
export function registerOf(which: usize): u32 {
  const number = numberOf(which);
  return number < 16 ? gpr(number) : gpr(number - 16) + 1;
}

export function immediate(): i64 {
  return load<i64>(cpu, R.D_IMMEDIATE);
}

/** Lengths as 64-bit numbers, for R_INDEX to point at. */
const LENGTHS: StaticArray<u64> = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/** The memory operand's base, index and displacement. False if it only fits at the beginning of a block. */
export function setAddress(ip: usize): bool {
  const base = <u32>load<u8>(cpu, R.D_BASE);
  const index = <u32>load<u8>(cpu, R.D_INDEX);
  store<u8>(ip, load<u8>(cpu, R.D_SCALE), R.R_SCALE);
  store<u32>(ip, index == R.NO_REGISTER ? <u32>cpu + ZERO : gpr(index), R.R_INDEX);
  let displacement = load<i64>(cpu, R.D_DISPLACEMENT);
  if (base == R.RIP_BASE) {
    // The block's RIP plus what is constant: from there to the end of this instruction, and the displacement.
    store<u32>(ip, <u32>cpu + BLOCK_RIP, R.R_BASE);
    const ahead = <i64>load<u16>(ip, R.R_OFFSET) + load<u32>(cpu, R.D_LENGTH);
    if (displacement + ahead == <i64>(<i32>(displacement + ahead))) displacement += ahead;
    else {
      if (load<u16>(ip, R.R_OFFSET) != 0) return false;
      store<u32>(ip, <u32>(changetype<usize>(LENGTHS) + ((<usize>ahead) << 3)), R.R_INDEX);
    }
  } else store<u32>(ip, base == R.NO_REGISTER ? <u32>cpu + ZERO : gpr(base), R.R_BASE);
  store<i32>(ip, <i32>displacement, R.R_DISP);
  return true;
}

export function setAddressing(ip: usize, memory: bool): void {
  let seg = <u32>load<u8>(cpu, R.D_SEGMENT);
  if (seg == R.NO_REGISTER) seg = SEG_DS;
  store<u8>(ip, seg, R.R_SEGMENT);
  const size = load<u32>(cpu, R.D_ADDRESS_SIZE);
  let how: u32;
  if (!memory) how = R.ADDRESS_NONE;
  else if (size == 8) how = seg >= <u32>SEG_FS ? R.ADDRESS_64 : R.ADDRESS_FLAT;
  else if (load<u32>(cpu, R.D_MODE) == MODE_64) how = R.ADDRESS_32_LONG;
  else how = size == 4 ? R.ADDRESS_32 : R.ADDRESS_16;
  store<u8>(ip, how, R.R_ADDRESSING);
}

// @ts-ignore: decorator
@inline
export function setHandler(ip: usize, handler: u32): void {
  store<u16>(ip, handler, R.R_HANDLER);
}

// @ts-ignore: decorator
@inline
export function setSub(ip: usize, sub: u32): void {
  store<u8>(ip, sub, R.R_SUB);
}

/** The immediate as 32 bits; instructions with more have handlers of their own. */
export function setImmediate(ip: usize): void {
  store<i32>(ip, <i32>immediate(), R.R_IMM);
}

/** First operand r/m (R_DST when a register), second a register in R_SRC or an immediate. Returns 1 if an immediate. */
export function setRmSecond(ip: usize): u32 {
  if (isRegister(0)) store<u32>(ip, registerOf(0), R.R_DST);
  if (isImmediate(1)) {
    setImmediate(ip);
    return 1;
  }
  store<u32>(ip, registerOf(1), R.R_SRC);
  return 0;
}

export function isLocked(): bool {
  return (load<u32>(cpu, R.D_PREFIXES) & R.PREFIX_LOCK) != 0;
}
