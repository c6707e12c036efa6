import { cpu } from "./cpu";
import { EFLAGS, LAZY_AUX, LAZY_RESULT } from "./state";

/*
 * The six status flags, lazily. An instruction leaves its result, sign-extended to 64 bits, in LAZY_RESULT and its
 * carry-out vector in LAZY_AUX; a flag is computed when somebody asks:
 *
 *   ZF  result is 0
 *   SF  sign of the result, xor bit 0 of aux
 *   PF  even parity of the result's low byte xor bits 8..15 of aux
 *   CF  bit 31 of aux (the carry out of the most significant bit)
 *   OF  bit 31 xor bit 30 of aux (carry out of, xor carry into, the most significant bit)
 *   AF  bit 3 of aux (the carry out of bit 3)
 *
 * The deltas for SF and PF are 0 after arithmetic; they exist so that any combination of flags can be represented.
 */

export const AUX_CF: u32 = 0x80000000;
export const AUX_PO: u32 = 0x40000000;
export const AUX_AF: u32 = 8;
export const AUX_CARRIES: u32 = 0xc0000000;

/** The status flags in EFLAGS (SDM vol. 1, 3.4.3.1). */
export const CF: u32 = 1;
export const PF: u32 = 4;
export const AF: u32 = 0x10;
export const ZF: u32 = 0x40;
export const SF: u32 = 0x80;
export const OF: u32 = 0x800;
export const STATUS: u32 = 0x8d5;

/** Direction flag, as EFLAGS holds it. */
export const DF: u32 = 0x400;

// @ts-ignore: decorator
@inline
export function signExtended<T>(value: T): i64 {
  if (sizeof<T>() == 8) return <i64>value;
  if (sizeof<T>() == 4) return <i64>(<i32>value);
  if (sizeof<T>() == 2) return <i64>(<i16>value);
  return <i64>(<i8>value);
}

/** The aux word of a vector of carries out of each bit. */
// @ts-ignore: decorator
@inline
function auxOf<T>(carries: T): u32 {
  if (sizeof<T>() == 8) return ((<u32>((<u64>carries) >> 32)) & AUX_CARRIES) | ((<u32>carries) & AUX_AF);
  if (sizeof<T>() == 4) return (<u32>carries) & (AUX_CARRIES | AUX_AF);
  if (sizeof<T>() == 2) return (((<u32>carries) << 16) & AUX_CARRIES) | ((<u32>carries) & AUX_AF);
  return (((<u32>carries) << 24) & AUX_CARRIES) | ((<u32>carries) & AUX_AF);
}

// @ts-ignore: decorator
@inline
export function setLazy(result: i64, aux: u32): void {
  store<i64>(cpu, result, LAZY_RESULT);
  store<u32>(cpu, aux, LAZY_AUX);
}

/** All flags from an operation's result and its carries. */
// @ts-ignore: decorator
@inline
export function setArithmetic<T>(result: T, carries: T): void {
  setLazy(signExtended<T>(result), auxOf<T>(carries));
}

/** Flags of AND, OR, XOR, TEST: CF, OF and AF are 0. */
// @ts-ignore: decorator
@inline
export function setLogic<T>(result: T): void {
  setLazy(signExtended<T>(result), 0);
}

/** SF, ZF, PF from a result; CF, OF and AF as given (0 or 1 each). */
// @ts-ignore: decorator
@inline
export function setResult<T>(result: T, carry: u32, overflow: u32, adjust: u32): void {
  setLazy(signExtended<T>(result), (carry << 31) | ((carry ^ overflow) << 30) | (adjust << 3));
}

/** Changes CF alone. */
export function setCarry(carry: u32): void {
  const aux = load<u32>(cpu, LAZY_AUX);
  setCarryOverflow(carry, ((aux >>> 30) ^ (aux >>> 31)) & 1);
}

/** Changes CF and OF alone. */
export function setCarryOverflow(carry: u32, overflow: u32): void {
  const aux = load<u32>(cpu, LAZY_AUX) & ~AUX_CARRIES;
  store<u32>(cpu, aux | (carry << 31) | ((carry ^ overflow) << 30), LAZY_AUX);
}

// @ts-ignore: decorator
@inline
export function carry(): u32 {
  return load<u32>(cpu, LAZY_AUX) >>> 31;
}

// @ts-ignore: decorator
@inline
export function zero(): bool {
  return load<i64>(cpu, LAZY_RESULT) == 0;
}

// @ts-ignore: decorator
@inline
export function sign(): u32 {
  return (<u32>(load<u64>(cpu, LAZY_RESULT) >> 63)) ^ (load<u32>(cpu, LAZY_AUX) & 1);
}

// @ts-ignore: decorator
@inline
export function overflow(): u32 {
  const aux = load<u32>(cpu, LAZY_AUX);
  return (aux ^ (aux << 1)) >>> 31;
}

// @ts-ignore: decorator
@inline
export function adjust(): u32 {
  return (load<u32>(cpu, LAZY_AUX) >>> 3) & 1;
}

// @ts-ignore: decorator
@inline
export function parity(): u32 {
  const byte = (load<u32>(cpu, LAZY_RESULT) ^ (load<u32>(cpu, LAZY_AUX) >>> 8)) & 0xff;
  return ~popcnt<u32>(byte) & 1;
}

/** Whether condition `code` (the low four bits of Jcc, SETcc, CMOVcc) holds; inlined for a constant. */
// @ts-ignore: decorator
@inline
export function holds(code: u32): bool {
  switch (code) {
    case 0:
      return overflow() != 0;
    case 1:
      return overflow() == 0;
    case 2:
      return <i32>load<u32>(cpu, LAZY_AUX) < 0;
    case 3:
      return <i32>load<u32>(cpu, LAZY_AUX) >= 0;
    case 4:
      return zero();
    case 5:
      return !zero();
    case 6:
      return <u32>zero() != 0 || <i32>load<u32>(cpu, LAZY_AUX) < 0;
    case 7:
      return !zero() && <i32>load<u32>(cpu, LAZY_AUX) >= 0;
    case 8:
      return sign() != 0;
    case 9:
      return sign() == 0;
    case 10:
      return parity() != 0;
    case 11:
      return parity() == 0;
    case 12:
      return sign() != overflow();
    case 13:
      return sign() == overflow();
    case 14:
      return zero() || sign() != overflow();
    default:
      return !zero() && sign() == overflow();
  }
}

/** The same for a code known only at run time. */
export function condition(code: u32): bool {
  return holds(code);
}

/** The status flags as EFLAGS shows them. */
export function statusFlags(): u32 {
  return carry() | (parity() << 2) | (adjust() << 4) | ((<u32>zero()) << 6) | (sign() << 7) | (overflow() << 11);
}

/** Sets all six from an EFLAGS image. */
export function setStatusFlags(flags: u32): void {
  const isZero = (flags & ZF) != 0;
  const isSign = (flags >>> 7) & 1;
  // Without ZF the result is 1: positive and of odd parity; with it 0, of even parity.
  const odd = ((flags >>> 2) & 1) ^ 1;
  const parityDelta = isZero ? odd : odd ^ 1;
  const cf = flags & 1;
  const ov = (flags >>> 11) & 1;
  const af = (flags >>> 4) & 1;
  setLazy(isZero ? 0 : 1, isSign | (parityDelta << 8) | (af << 3) | (cf << 31) | ((cf ^ ov) << 30));
}

/** EFLAGS as a whole. */
export function eflags(): u32 {
  return load<u32>(cpu, EFLAGS) | statusFlags();
}
