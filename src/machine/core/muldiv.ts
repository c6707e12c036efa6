import { cpu } from "./cpu";
import { address, dst, imm, read, readRm, setDst, setRegister, src } from "./operand";
import { pause } from "./counters";
import { V_DE } from "./arch";
import { raise } from "./fault";
import { AUX_AF, AUX_CARRIES, setCarryOverflow, setLazy, signExtended } from "./flags";
import { R_BASE } from "./record";
import { GPR, LAZY_AUX } from "./state";

/*
 * Multiplication and division. The products of 64-bit operands are put together from 32-bit halves; a division of 128
 * by 64 bits goes bit by bit unless the dividend fits in 64.
 */

const RAX: usize = GPR;
const RDX: usize = GPR + 16;

/** Upper half of the unsigned 128-bit product. */
export function highProduct(a: u64, b: u64): u64 {
  const al = a & 0xffffffff;
  const ah = a >> 32;
  const bl = b & 0xffffffff;
  const bh = b >> 32;
  const middle = ah * bl + ((al * bl) >> 32);
  const other = al * bh + (middle & 0xffffffff);
  return ah * bh + (middle >> 32) + (other >> 32);
}

/** Upper half of the signed 128-bit product. */
export function highProductSigned(a: i64, b: i64): i64 {
  let high = <i64>highProduct(<u64>a, <u64>b);
  if (a < 0) high -= b;
  if (b < 0) high -= a;
  return high;
}

/** Flags of a product: CF and OF say that the upper half matters. The others are undefined; AMD leaves them alone. */
// @ts-ignore: decorator
@inline
function setProduct(significant: bool): void {
  setCarryOverflow(<u32>significant, <u32>significant);
}

/** MUL: the accumulator by r/m, into rDX:rAX (AX for bytes). */
export function mulRm<T>(ip: usize): void {
  const b = readRm<T>(ip);
  const a = load<T>(cpu, RAX);
  if (sizeof<T>() == 8) {
    const low = <u64>a * <u64>b;
    const high = highProduct(<u64>a, <u64>b);
    store<u64>(cpu, low, RAX);
    store<u64>(cpu, high, RDX);
    setProduct(high != 0);
    return;
  }
  const product = <u64>a * <u64>b;
  const high = <T>(product >> (sizeof<T>() << 3));
  storeProduct<T>(product);
  setProduct(high != 0);
}

// @ts-ignore: decorator
@inline
function storeProduct<T>(product: u64): void {
  if (sizeof<T>() == 1) store<u16>(cpu, <u16>product, RAX);
  else {
    setRegister<T>(cpu + RAX, <T>product);
    setRegister<T>(cpu + RDX, <T>(product >> (sizeof<T>() << 3)));
  }
}

/** IMUL with one operand. */
export function imulRm<T>(ip: usize): void {
  const b = readRm<T>(ip);
  const a = load<T>(cpu, RAX);
  if (sizeof<T>() == 8) {
    const low = <i64>a * <i64>b;
    const high = highProductSigned(<i64>a, <i64>b);
    store<i64>(cpu, low, RAX);
    store<i64>(cpu, high, RDX);
    setProduct(high != low >> 63);
    return;
  }
  const product = signExtended<T>(a) * signExtended<T>(b);
  storeProduct<T>(<u64>product);
  setProduct(product != signExtended<T>(<T>product));
}

/** IMUL with two or three operands: the truncated product. */
// @ts-ignore: decorator
@inline
export function product<T>(a: T, b: T): T {
  if (sizeof<T>() == 8) {
    const low = <i64>a * <i64>b;
    // A product of two 32-bit numbers, the usual case, cannot overflow.
    const small = <i64>(<i32>a) == <i64>a && <i64>(<i32>b) == <i64>b;
    setProduct(!small && highProductSigned(<i64>a, <i64>b) != low >> 63);
    return <T>low;
  }
  const wide = signExtended<T>(a) * signExtended<T>(b);
  setProduct(wide != signExtended<T>(<T>wide));
  return <T>wide;
}

/** dst = dst * register, dst * memory, register * immediate, memory * immediate. */
export function imulRR<T>(ip: usize): void {
  setDst<T>(ip, product<T>(dst<T>(ip), src<T>(ip)));
}

export function imulRM<T>(ip: usize): void {
  const b = read<T>(ip, address(ip, sizeof<T>(), false));
  setDst<T>(ip, product<T>(dst<T>(ip), b));
}

export function imulRRI<T>(ip: usize): void {
  setDst<T>(ip, product<T>(load<T>(load<u32>(ip, R_BASE)), imm<T>(ip)));
}

export function imulRMI<T>(ip: usize): void {
  setDst<T>(ip, product<T>(read<T>(ip, address(ip, sizeof<T>(), false)), imm<T>(ip)));
}

/**
 * Flags of a quotient, all of them undefined: Zen keeps CF and OF, sets AF, and clears SF, ZF and PF. (A result of 1 is
 * neither negative nor zero nor of even parity.)
 */
function setDivided(): void {
  setLazy(1, (load<u32>(cpu, LAZY_AUX) & AUX_CARRIES) | AUX_AF);
}

function divideError(ip: usize): void {
  pause(ip);
  raise(V_DE, 0);
}

/** DIV for 8, 16 and 32 bits. */
export function divRm<T>(ip: usize): void {
  const divisor = <u64>readRm<T>(ip);
  const dividend = readDividend<T>();
  if (divisor == 0) divideError(ip);
  const quotient = dividend / divisor;
  if (<u64>(<T>quotient) != quotient) divideError(ip);
  storeQuotient<T>(<T>quotient, <T>(dividend % divisor));
}

// @ts-ignore: decorator
@inline
function readDividend<T>(): u64 {
  if (sizeof<T>() == 1) return <u64>load<u16>(cpu, RAX);
  const high = <u64>load<T>(cpu, RDX);
  const width: u64 = sizeof<T>() << 3;
  return (high << width) | (<u64>load<T>(cpu, RAX));
}

// @ts-ignore: decorator
@inline
function storeQuotient<T>(quotient: T, remainder: T): void {
  setDivided();
  if (sizeof<T>() == 1) {
    store<u8>(cpu, <u8>quotient, RAX);
    store<u8>(cpu, <u8>remainder, RAX + 1);
  } else {
    setRegister<T>(cpu + RAX, quotient);
    setRegister<T>(cpu + RDX, remainder);
  }
}

/** IDIV for 8, 16 and 32 bits. */
export function idivRm<T>(ip: usize): void {
  const divisor = signExtended<T>(readRm<T>(ip));
  const raw = readDividend<T>();
  const dividend = sizeof<T>() == 1 ? <i64>(<i16>raw) : sizeof<T>() == 2 ? <i64>(<i32>raw) : <i64>raw;
  if (divisor == 0) divideError(ip);
  // The only quotient that 64 bits cannot hold; WebAssembly would trap.
  if (divisor == -1 && dividend == i64.MIN_VALUE) divideError(ip);
  const quotient = dividend / divisor;
  if (signExtended<T>(<T>quotient) != quotient) divideError(ip);
  storeQuotient<T>(<T>quotient, <T>(dividend % divisor));
}

/** Remainder of the last long division. */
let remainder: u64 = 0;

/** high:low / divisor with high < divisor, by shifting and subtracting. */
function longDivide(high: u64, low: u64, divisor: u64): u64 {
  let quotient: u64 = 0;
  for (let i = 0; i < 64; ++i) {
    const carried = high >> 63 != 0;
    high = (high << 1) | (low >> 63);
    low <<= 1;
    quotient <<= 1;
    if (carried || high >= divisor) {
      high -= divisor;
      quotient |= 1;
    }
  }
  remainder = high;
  return quotient;
}

export function divRm64(ip: usize): void {
  const divisor = readRm<u64>(ip);
  const low = load<u64>(cpu, RAX);
  const high = load<u64>(cpu, RDX);
  if (high >= divisor) divideError(ip);
  if (high == 0) storeQuotient<u64>(low / divisor, low % divisor);
  else {
    const quotient = longDivide(high, low, divisor);
    storeQuotient<u64>(quotient, remainder);
  }
}

export function idivRm64(ip: usize): void {
  const divisor = readRm<i64>(ip);
  let low = load<u64>(cpu, RAX);
  let high = load<u64>(cpu, RDX);
  if (divisor == 0) divideError(ip);
  const negative = <i64>high < 0;
  if (<i64>high == (<i64>low) >> 63 && !(divisor == -1 && low == 0x8000000000000000)) {
    storeQuotient<u64>(<u64>(<i64>low / divisor), <u64>(<i64>low % divisor));
    return;
  }
  if (negative) {
    high = ~high + <u64>(low == 0);
    low = -low;
  }
  const magnitude = divisor < 0 ? <u64>-divisor : <u64>divisor;
  if (high >= magnitude) divideError(ip);
  const quotient = longDivide(high, low, magnitude);
  const minus = negative != divisor < 0;
  if (quotient > (minus ? 0x8000000000000000 : 0x7fffffffffffffff)) divideError(ip);
  storeQuotient<u64>(minus ? -quotient : quotient, negative ? -remainder : remainder);
}
