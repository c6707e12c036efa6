import {
  imm,
  isMemory,
  address,
  dst,
  read,
  readRm,
  readToWriteRm,
  setDst,
  setRegister,
  src,
  sum,
  writeRm,
} from "./operand";
import { setCarry, setLazy } from "./flags";
import { atomicUpdate } from "./atomic";
import * as R from "./record";
import { segmented } from "./operand";

/*
 * Bit tests and scans. The bit offset of BT, BTS, BTR and BTC with a register reaches beyond the memory operand: the
 * operand is the one that many operand sizes away (SDM vol. 2, BT; vol. 1, 3.1.1.9).
 */

/** BT's number and its relatives', as in group 8 less 4. */
const BT: u32 = 0;
const BTS: u32 = 1;
const BTR: u32 = 2;

// @ts-ignore: decorator
@inline
export function changed<T>(which: u32, value: T, mask: T): T {
  if (which == BTS) return <T>(value | mask);
  if (which == BTR) return <T>(value & ~mask);
  return <T>(value ^ mask);
}

/** The bit offset given by an immediate, or a register operand: within r/m. R_SUB: which one. */
// @ts-ignore: decorator
@inline
function within<T>(ip: usize, offset: u32): void {
  const bit = offset & ((sizeof<T>() << 3) - 1);
  const which = <u32>load<u8>(ip, R.R_SUB);
  if (which == BT) {
    setCarry((<u32>((<u64>readRm<T>(ip)) >> bit)) & 1);
    return;
  }
  const value = readToWriteRm<T>(ip);
  writeRm<T>(ip, changed<T>(which, value, <T>((<u64>1) << bit)));
  setCarry((<u32>((<u64>value) >> bit)) & 1);
}

export function bitRmI<T>(ip: usize): void {
  within<T>(ip, imm<u32>(ip));
}

export function bitRR<T>(ip: usize): void {
  within<T>(ip, <u32>src<T>(ip));
}

/** Linear address of the operand that holds the bit. */
export function bitAddress<T>(ip: usize, write: bool): u64 {
  const offset = sizeof<T>() == 8 ? <i64>src<u64>(ip) : sizeof<T>() == 4 ? <i64>src<i32>(ip) : <i64>src<i16>(ip);
  const shift: i64 = sizeof<T>() == 8 ? 6 : sizeof<T>() == 4 ? 5 : 4;
  const total = sum(ip) + <u64>((offset >> shift) * sizeof<T>());
  return load<u8>(ip, R.R_ADDRESSING) == R.ADDRESS_FLAT ? total : segmented(ip, total, sizeof<T>(), write);
}

export function bitMR<T>(ip: usize): void {
  const bit = (<u32>src<T>(ip)) & ((sizeof<T>() << 3) - 1);
  const which = <u32>load<u8>(ip, R.R_SUB);
  const at = bitAddress<T>(ip, which != BT);
  if (which == BT) {
    setCarry((<u32>((<u64>read<T>(ip, at)) >> bit)) & 1);
    return;
  }
  const old = atomicUpdate<T>(ip, at, 8 + which, <T>((<u64>1) << bit));
  setCarry((<u32>((<u64>old) >> bit)) & 1);
}

/** BSF and BSR: with 0 the destination stays as it is (AMD's manual promises it), and only ZF is set. */
export function bsf<T>(ip: usize): void {
  scan<T>(ip, false);
}

export function bsr<T>(ip: usize): void {
  scan<T>(ip, true);
}

// @ts-ignore: decorator
@inline
function scan<T>(ip: usize, reverse: bool): void {
  const value = <u64>(isMemory(ip) ? read<T>(ip, address(ip, sizeof<T>(), false)) : load<T>(load<u32>(ip, R.R_SRC)));
  if (value == 0) {
    setLazy(0, 0);
    return;
  }
  const found = reverse ? 63 - clz<u64>(value) : ctz<u64>(value);
  setDst<T>(ip, <T>found);
  // Not zero, and the parity of what was found, as AMD's processors leave it.
  setLazy(<i64>(found | 0x100), 0);
}

/** BSWAP; of a 16-bit register it is undefined, and gives 0. */
export function bswapR<T>(ip: usize): void {
  const at = load<u32>(ip, R.R_DST);
  if (sizeof<T>() == 2) store<u16>(at, 0);
  else setRegister<T>(at, bswap<T>(load<T>(at)));
}
