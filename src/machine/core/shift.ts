import { dst, imm, isMemory, readToWriteRm, setDst, writeRm } from "./operand";
import { carry, setCarryOverflow, setResult } from "./flags";
import { R_BASE, R_DST, R_SUB } from "./record";
import { cpu } from "./cpu";
import { GPR } from "./state";

/*
 * Shifts and rotates (SDM vol. 2, SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD). Counts are masked to 5 bits, to 6 with
 * 64-bit operands; a count of 0 changes no flag. OF is defined for counts of 1 only, AF not at all: for other counts OF is
 * computed from the same formula, and AF is 1, as AMD's processors have it.
 */

/** Bits of the operand. */
// @ts-ignore: decorator
@inline
function bits<T>(): u32 {
  return sizeof<T>() << 3;
}

/** The most significant bit. */
// @ts-ignore: decorator
@inline
function top<T>(value: T): u32 {
  return (<u32>((<u64>value) >> (bits<T>() - 1))) & 1;
}

// @ts-ignore: decorator
@inline
export function masked<T>(count: u32): u32 {
  return count & (sizeof<T>() == 8 ? 63 : 31);
}

/** SHL, SHR, SAR by a masked count other than 0. */
// @ts-ignore: decorator
@inline
export function shl<T>(a: T, count: u32): T {
  // Bytes and words can be shifted out altogether.
  const wide = (<u64>a) << (count - 1);
  const last = top<T>(<T>wide);
  const r = <T>(wide << 1);
  setResult<T>(r, last, last ^ top<T>(r), 1);
  return r;
}

// @ts-ignore: decorator
@inline
export function shr<T>(a: T, count: u32): T {
  const wide = (<u64>a) >> (count - 1);
  const r = <T>(wide >> 1);
  // OF for a count of 1 is the operand's sign: what moved into the second bit from the top.
  setResult<T>(r, (<u32>wide) & 1, top<T>(<T>((<u64>r) << 1)) ^ top<T>(r), 1);
  return r;
}

// @ts-ignore: decorator
@inline
export function sar<T>(a: T, count: u32): T {
  let wide: i64;
  if (sizeof<T>() == 8) wide = <i64>a;
  else if (sizeof<T>() == 4) wide = <i64>(<i32>a);
  else if (sizeof<T>() == 2) wide = <i64>(<i16>a);
  else wide = <i64>(<i8>a);
  wide >>= count - 1;
  const r = <T>(wide >> 1);
  setResult<T>(r, (<u32>wide) & 1, 0, 1);
  return r;
}

function rol<T>(a: T, count: u32): T {
  const n = count & (bits<T>() - 1);
  const wide = <u64>a;
  const left: u64 = bits<T>() - n;
  const r = n == 0 ? a : <T>((wide << n) | (wide >> left));
  const low = (<u32>r) & 1;
  setCarryOverflow(low, low ^ top<T>(r));
  return r;
}

function ror<T>(a: T, count: u32): T {
  const n = count & (bits<T>() - 1);
  const wide = <u64>a;
  const left: u64 = bits<T>() - n;
  const r = n == 0 ? a : <T>((wide >> n) | (wide << left));
  const high = top<T>(r);
  setCarryOverflow(high, high ^ top<T>(<T>((<u64>r) << 1)));
  return r;
}

/** Rotates through carry: of bits + 1, so the count is taken modulo that. */
function rcl<T>(a: T, count: u32): T {
  const n = count % (bits<T>() + 1);
  if (n == 0) {
    setCarryOverflow(carry(), carry() ^ top<T>(a));
    return a;
  }
  const in_ = <u64>carry();
  const out = (<u32>((<u64>a) >> (bits<T>() - n))) & 1;
  let r = (n == 64 ? 0 : (<u64>a) << n) | (in_ << (n - 1));
  if (n > 1) r |= (<u64>a) >> (bits<T>() + 1 - n);
  setCarryOverflow(out, out ^ top<T>(<T>r));
  return <T>r;
}

function rcr<T>(a: T, count: u32): T {
  const n = count % (bits<T>() + 1);
  if (n == 0) {
    setCarryOverflow(carry(), top<T>(a) ^ top<T>(<T>((<u64>a) << 1)));
    return a;
  }
  const in_ = <u64>carry();
  const out = (<u32>((<u64>a) >> (n - 1))) & 1;
  const left: u64 = bits<T>() - n;
  let r = (n == 64 ? 0 : (<u64>a) >> n) | (in_ << left);
  if (n > 1) r |= (<u64>a) << (left + 1);
  setCarryOverflow(out, top<T>(<T>r) ^ top<T>(<T>(r << 1)));
  return <T>r;
}

/** The eight of group 2 by number; `count` is masked and not 0. */
function shifted<T>(number: u32, a: T, count: u32): T {
  switch (number) {
    case 0:
      return rol<T>(a, count);
    case 1:
      return ror<T>(a, count);
    case 2:
      return rcl<T>(a, count);
    case 3:
      return rcr<T>(a, count);
    case 5:
      return shr<T>(a, count);
    case 7:
      return sar<T>(a, count);
    default:
      return shl<T>(a, count);
  }
}

// @ts-ignore: decorator
@inline
function shiftRm<T>(ip: usize, count: u32): void {
  count = masked<T>(count);
  const a = readToWriteRm<T>(ip);
  // A 32-bit register is written even then, which clears its upper half.
  writeRm<T>(ip, count == 0 ? a : shifted<T>(load<u8>(ip, R_SUB), a, count));
}

/** Group 2 by an immediate, and by CL. */
export function shiftRmI<T>(ip: usize): void {
  shiftRm<T>(ip, imm<u32>(ip));
}

export function shiftRmCl<T>(ip: usize): void {
  shiftRm<T>(ip, load<u8>(cpu, GPR + 8));
}

/** Immediate shifts of registers that the run loop inlines; the lowering has masked the count and it is not 0. */
// @ts-ignore: decorator
@inline
export function shlRI<T>(ip: usize): void {
  setDst<T>(ip, shl<T>(dst<T>(ip), imm<u32>(ip)));
}

// @ts-ignore: decorator
@inline
export function shrRI<T>(ip: usize): void {
  setDst<T>(ip, shr<T>(dst<T>(ip), imm<u32>(ip)));
}

// @ts-ignore: decorator
@inline
export function sarRI<T>(ip: usize): void {
  setDst<T>(ip, sar<T>(dst<T>(ip), imm<u32>(ip)));
}

/** SHLD and SHRD. With 16-bit operands and counts above 16, which the manuals leave open, the second shifts in again. */
function shld<T>(a: T, b: T, count: u32): T {
  let r: T;
  let out: u32;
  if (sizeof<T>() == 2) {
    // a:b:b, 48 bits, shifted left; the top 16 remain.
    const wide = (((<u64>a) << 32) | ((<u64>b) << 16) | (<u64>b)) << count;
    r = <T>(wide >> 32);
    out = (<u32>(wide >> 48)) & 1;
  } else {
    const left: u64 = bits<T>() - count;
    r = <T>(((<u64>a) << count) | ((<u64>b) >> left));
    out = (<u32>((<u64>a) >> (bits<T>() - count))) & 1;
  }
  setResult<T>(r, out, out ^ top<T>(r), 1);
  return r;
}

function shrd<T>(a: T, b: T, count: u32): T {
  let r: T;
  let out: u32;
  if (sizeof<T>() == 2) {
    const wide = (((<u64>b) << 32) | ((<u64>b) << 16) | (<u64>a)) >> (count - 1);
    r = <T>(wide >> 1);
    out = (<u32>wide) & 1;
  } else {
    const left: u64 = bits<T>() - count;
    r = <T>(((<u64>a) >> count) | ((<u64>b) << left));
    out = (<u32>((<u64>a) >> (count - 1))) & 1;
  }
  setResult<T>(r, out, top<T>(r) ^ top<T>(<T>((<u64>r) << 1)), 1);
  return r;
}

/** R_SUB: 0 SHLD, 1 SHRD. The second register is R_BASE's, or R_DST's when the first operand is memory. */
// @ts-ignore: decorator
@inline
function doubleShift<T>(ip: usize, second: usize, count: u32): void {
  count = masked<T>(count);
  const a = readToWriteRm<T>(ip);
  if (count == 0) {
    writeRm<T>(ip, a);
    return;
  }
  const b = load<T>(second);
  writeRm<T>(ip, load<u8>(ip, R_SUB) == 0 ? shld<T>(a, b, count) : shrd<T>(a, b, count));
}

function secondRegister(ip: usize): usize {
  return isMemory(ip) ? load<u32>(ip, R_DST) : load<u32>(ip, R_BASE);
}

export function doubleShiftI<T>(ip: usize): void {
  doubleShift<T>(ip, secondRegister(ip), imm<u32>(ip));
}

export function doubleShiftCl<T>(ip: usize): void {
  doubleShift<T>(ip, secondRegister(ip), load<u8>(cpu, GPR + 8));
}
