import { cpu } from "./cpu";
import { CR0_EM, CR0_MP, CR0_TS, V_BR, V_NM, V_UD } from "./arch";
import { pause } from "./counters";
import { raise } from "./fault";
import { STATUS, condition, setStatusFlags, statusFlags } from "./flags";
import { flushLine } from "./memory";
import { address, addressAt, dst, isMemory, read, segmented, setDst, sum, write } from "./operand";
import * as O from "./ops";
import * as R from "./record";
import { CR0, GPR, SEG, SEG_SELECTOR, SEG_STRIDE, WATCH, WATCH_LATE } from "./state";

/*
 * Instructions that belong to no larger family.
 */

/** Moves with a 64-bit absolute address (in R_IMM64); R_SUB: log2 of the size, plus 4 for a store. */
export function movAbsolute(ip: usize): void {
  const sub = <u32>load<u8>(ip, R.R_SUB);
  const total = load<u64>(ip, R.R_IMM64);
  const how = <i32>load<u8>(ip, R.R_ADDRESSING);
  const size: u32 = 1 << (sub & 3);
  const at = how == R.ADDRESS_FLAT ? total : segmented(ip, total, size, sub >= 4);
  switch (sub) {
    case 0:
      return setDst<u8>(ip, read<u8>(ip, at));
    case 1:
      return setDst<u16>(ip, read<u16>(ip, at));
    case 2:
      return setDst<u32>(ip, read<u32>(ip, at));
    case 3:
      return setDst<u64>(ip, read<u64>(ip, at));
    case 4:
      return write<u8>(ip, at, dst<u8>(ip));
    case 5:
      return write<u16>(ip, at, dst<u16>(ip));
    case 6:
      return write<u32>(ip, at, dst<u32>(ip));
    default:
      return write<u64>(ip, at, dst<u64>(ip));
  }
}

/** The selector of R_SUB's segment register. */
export function selectorOf(ip: usize): u16 {
  return load<u16>(cpu + <usize>load<u8>(ip, R.R_SUB) * SEG_STRIDE, SEG + SEG_SELECTOR);
}

/** MOVZX and MOVSX of a byte to a word; R_SUB: 1 for sign; 2 for MOVSXD, which truncates 32 bits. */
export function extend8To16(ip: usize): void {
  if (load<u8>(ip, R.R_SUB) == 2) {
    setDst<u16>(ip, <u16>(isMemory(ip) ? read<u32>(ip, address(ip, 4, false)) : load<u32>(load<u32>(ip, R.R_SRC))));
    return;
  }
  const byte = isMemory(ip) ? read<u8>(ip, address(ip, 1, false)) : load<u8>(load<u32>(ip, R.R_SRC));
  setDst<u16>(ip, load<u8>(ip, R.R_SUB) != 0 ? <u16>(<i16>(<i8>byte)) : <u16>byte);
}

/** LEA with a truncated address. */
export function leaAny(ip: usize): void {
  const how = <i32>load<u8>(ip, R.R_ADDRESSING);
  const total = sum(ip);
  const offset = how <= R.ADDRESS_64 ? total : how == R.ADDRESS_16 ? total & 0xffff : total & 0xffffffff;
  const size = load<u8>(ip, R.R_SIZE);
  if (size == 2) setDst<u16>(ip, <u16>offset);
  else if (size == 4) setDst<u32>(ip, <u32>offset);
  else setDst<u64>(ip, offset);
}

/** CMOVcc: a 32-bit destination is written, and its upper half cleared, even when nothing is moved. */
export function cmovRR<T>(ip: usize): void {
  setDst<T>(ip, condition(load<u8>(ip, R.R_SUB)) ? load<T>(load<u32>(ip, R.R_SRC)) : dst<T>(ip));
}

export function cmovRM<T>(ip: usize): void {
  const value = read<T>(ip, address(ip, sizeof<T>(), false));
  setDst<T>(ip, condition(load<u8>(ip, R.R_SUB)) ? value : dst<T>(ip));
}

/** XLAT: AL from DS:[rBX + AL]. */
export function xlat(ip: usize): void {
  const total = sum(ip) + <u64>load<u8>(cpu, GPR);
  const at = load<u8>(ip, R.R_ADDRESSING) == R.ADDRESS_FLAT ? total : segmented(ip, total, 1, false);
  store<u8>(cpu, read<u8>(ip, at), GPR);
}

/** BOUND: #BR unless the signed index is within the pair of limits. */
export function bound<T>(ip: usize): void {
  const index = dst<T>(ip);
  const low = read<T>(ip, addressAt(ip, 0, sizeof<T>(), false));
  const high = read<T>(ip, addressAt(ip, sizeof<T>(), sizeof<T>(), false));
  if (index >= low && index <= high) return;
  pause(ip);
  raise(V_BR, 0);
}

/** CLFLUSH faults as a load does; there is something to flush only where there is a cache. */
export function clflush(ip: usize): void {
  const linear = address(ip, 1, false);
  if ((load<u32>(cpu, WATCH) & WATCH_LATE) == 0) {
    read<u8>(ip, linear);
    return;
  }
  pause(ip);
  flushLine(linear, load<u8>(ip, R.R_SEGMENT));
}

export function lahf(): void {
  store<u8>(cpu, <u8>(statusFlags() | 2), GPR + 1);
}

/** SAHF: all status flags but OF. */
export function sahf(): void {
  const kept = statusFlags() & 0x800;
  setStatusFlags(((<u32>load<u8>(cpu, GPR + 1)) & STATUS & 0xff) | kept);
}

/** x87 and vector instructions on a processor that has neither: #NM where the system asks for it, else #UD. */
export function noUnit(ip: usize): void {
  pause(ip);
  const cr0 = load<u64>(cpu, CR0);
  const operation = load<u8>(ip, R.R_SUB);
  if (operation == O.FWAIT) {
    if ((cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS)) raise(V_NM, 0);
    return;
  }
  // EM means that x87 is emulated; there is no such thing for the vector instructions.
  if (operation == O.X87 ? (cr0 & (CR0_EM | CR0_TS)) != 0 : (cr0 & CR0_EM) == 0 && (cr0 & CR0_TS) != 0) raise(V_NM, 0);
  raise(V_UD, 0);
}
