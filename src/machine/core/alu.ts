import * as O from "./ops";
import {
  address,
  direct,
  dst,
  imm,
  read,
  readRm,
  readToWriteMiss,
  readToWriteRm,
  setDst,
  src,
  write,
  writeRm,
} from "./operand";
import { carry, setArithmetic, setLogic, setResult } from "./flags";
import { R_SEGMENT, R_SUB } from "./record";

/*
 * Addition, subtraction and logic on two operands, and their relatives with one. `operation` is a constant wherever
 * speed matters, so that inlining leaves one operation's code.
 */

/** The result of ADD..CMP, with all flags set. CMP's result is to be thrown away. */
// @ts-ignore: decorator
@inline
export function alu<T>(operation: u32, a: T, b: T): T {
  let r: T;
  switch (operation) {
    case O.ADD:
      r = <T>(a + b);
      setArithmetic<T>(r, <T>((a & b) | ((a | b) & ~r)));
      return r;
    case O.ADC:
      r = <T>(a + b + <T>carry());
      setArithmetic<T>(r, <T>((a & b) | ((a | b) & ~r)));
      return r;
    case O.SBB:
      r = <T>(a - b - <T>carry());
      setArithmetic<T>(r, <T>((~a & b) | (~(a ^ b) & r)));
      return r;
    case O.SUB:
    case O.CMP:
      r = <T>(a - b);
      setArithmetic<T>(r, <T>((~a & b) | (~(a ^ b) & r)));
      return r;
    case O.AND:
      r = <T>(a & b);
      setLogic<T>(r);
      return r;
    case O.OR:
      r = <T>(a | b);
      setLogic<T>(r);
      return r;
    default:
      r = <T>(a ^ b);
      setLogic<T>(r);
      return r;
  }
}

/** The same for an operation known only at run time: `number` is its place in the opcode map. */
export function aluBy<T>(number: u32, a: T, b: T): T {
  switch (number) {
    case 0:
      return alu<T>(O.ADD, a, b);
    case 1:
      return alu<T>(O.OR, a, b);
    case 2:
      return alu<T>(O.ADC, a, b);
    case 3:
      return alu<T>(O.SBB, a, b);
    case 4:
      return alu<T>(O.AND, a, b);
    case 6:
      return alu<T>(O.XOR, a, b);
    default:
      return alu<T>(O.SUB, a, b);
  }
}

// The five forms, for the run loop to inline: register with register, immediate, memory; memory with register, immediate.

// @ts-ignore: decorator
@inline
export function aluRR<T>(operation: u32, ip: usize): void {
  const r = alu<T>(operation, dst<T>(ip), src<T>(ip));
  if (operation != O.CMP) setDst<T>(ip, r);
}

// @ts-ignore: decorator
@inline
export function aluRI<T>(operation: u32, ip: usize): void {
  const r = alu<T>(operation, dst<T>(ip), imm<T>(ip));
  if (operation != O.CMP) setDst<T>(ip, r);
}

// @ts-ignore: decorator
@inline
export function aluRM<T>(operation: u32, ip: usize): void {
  const b = read<T>(ip, address(ip, sizeof<T>(), false));
  const r = alu<T>(operation, dst<T>(ip), b);
  if (operation != O.CMP) setDst<T>(ip, r);
}

// @ts-ignore: decorator
@inline
function modify<T>(operation: u32, ip: usize, b: T): void {
  if (operation == O.CMP) {
    alu<T>(operation, read<T>(ip, address(ip, sizeof<T>(), false)), b);
    return;
  }
  const at = address(ip, sizeof<T>(), true);
  const place = direct<T>(at);
  const a = place != 0 ? load<T>(place) : <T>readToWriteMiss(ip, at, sizeof<T>(), load<u8>(ip, R_SEGMENT));
  const r = alu<T>(operation, a, b);
  if (place != 0) store<T>(place, r);
  else write<T>(ip, at, r);
}

// @ts-ignore: decorator
@inline
export function aluMR<T>(operation: u32, ip: usize): void {
  modify<T>(operation, ip, src<T>(ip));
}

// @ts-ignore: decorator
@inline
export function aluMI<T>(operation: u32, ip: usize): void {
  modify<T>(operation, ip, imm<T>(ip));
}

/** CMP's number among the eight. */
const CMP_NUMBER: u32 = 7;

/** Forms of the less common sizes; R_SUB is the operation's number, R_DST or memory the first operand. */
export function aluRmRBy<T>(ip: usize): void {
  aluRm<T>(ip, src<T>(ip));
}

export function aluRmIBy<T>(ip: usize): void {
  aluRm<T>(ip, imm<T>(ip));
}

// @ts-ignore: decorator
@inline
function aluRm<T>(ip: usize, b: T): void {
  const number = <u32>load<u8>(ip, R_SUB);
  if (number == CMP_NUMBER) alu<T>(O.CMP, readRm<T>(ip), b);
  else writeRm<T>(ip, aluBy<T>(number, readToWriteRm<T>(ip), b));
}

export function aluRMBy<T>(ip: usize): void {
  const number = <u32>load<u8>(ip, R_SUB);
  const r = aluBy<T>(number, dst<T>(ip), read<T>(ip, address(ip, sizeof<T>(), false)));
  if (number != CMP_NUMBER) setDst<T>(ip, r);
}

/** TEST: R_DST or memory with a register or an immediate. */
export function testRmR<T>(ip: usize): void {
  setLogic<T>(<T>(readRm<T>(ip) & src<T>(ip)));
}

export function testRmI<T>(ip: usize): void {
  setLogic<T>(<T>(readRm<T>(ip) & imm<T>(ip)));
}

/** INC and DEC leave CF as it is. */
// @ts-ignore: decorator
@inline
export function incremented<T>(a: T): T {
  const r = <T>(a + 1);
  setResult<T>(r, carry(), <u32>(a == <T>maximum<T>()), <u32>(((<u32>r) & 15) == 0));
  return r;
}

// @ts-ignore: decorator
@inline
export function decremented<T>(a: T): T {
  const r = <T>(a - 1);
  setResult<T>(r, carry(), <u32>(r == <T>maximum<T>()), <u32>(((<u32>r) & 15) == 15));
  return r;
}

/** The largest signed number. */
// @ts-ignore: decorator
@inline
function maximum<T>(): u64 {
  if (sizeof<T>() == 8) return 0x7fffffffffffffff;
  if (sizeof<T>() == 4) return 0x7fffffff;
  if (sizeof<T>() == 2) return 0x7fff;
  return 0x7f;
}

// @ts-ignore: decorator
@inline
export function negated<T>(a: T): T {
  return alu<T>(O.SUB, <T>0, a);
}

export function incRm<T>(ip: usize): void {
  writeRm<T>(ip, incremented<T>(readToWriteRm<T>(ip)));
}

export function decRm<T>(ip: usize): void {
  writeRm<T>(ip, decremented<T>(readToWriteRm<T>(ip)));
}

export function negRm<T>(ip: usize): void {
  writeRm<T>(ip, negated<T>(readToWriteRm<T>(ip)));
}

export function notRm<T>(ip: usize): void {
  writeRm<T>(ip, <T>~readToWriteRm<T>(ip));
}
