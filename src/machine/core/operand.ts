import { cpu } from "./cpu";
import { V_GP } from "./arch";
import { pause } from "./counters";
import { raise } from "./fault";
import { H_RESYNC } from "./handlers";
import { loadSlow, probe, storeSlow, translateWrite } from "./memory";
import * as R from "./record";
import { linear } from "./segments";
import {
  CODE_WRITTEN,
  MODE,
  MODE_64,
  SEG,
  SEGF_EXPAND_DOWN,
  SEGF_READ,
  SEGF_WRITE,
  SEG_ATTR,
  SEG_BASE,
  SEG_FLAGS,
  SEG_FS,
  SEG_LIMIT,
  SEG_SS,
  SEG_STRIDE,
  TLB_BASE,
  TLB_GENERATION,
} from "./state";
import { ADDEND, PAGE_MASK, SLOT, TAG_READ, TAG_WRITE, isCanonical } from "./tlb";

/*
 * Operands of a record: registers by address, memory by segment, address size and TLB. The fast paths are inlined into
 * the run loop and store nothing but the datum; everything else first notes where the instruction is (pause), because
 * it may raise a fault or call a device.
 */

/** General registers by address; a 32-bit write clears the upper half. */
// @ts-ignore: decorator
@inline
export function setRegister<T>(at: usize, value: T): void {
  if (sizeof<T>() == 4) store<u64>(at, <u64>(<u32>value));
  else store<T>(at, value);
}

// @ts-ignore: decorator
@inline
export function dst<T>(ip: usize): T {
  return load<T>(load<u32>(ip, R.R_DST));
}

// @ts-ignore: decorator
@inline
export function src<T>(ip: usize): T {
  return load<T>(load<u32>(ip, R.R_SRC));
}

/** The immediate, sign-extended from 32 bits. */
// @ts-ignore: decorator
@inline
export function imm<T>(ip: usize): T {
  if (sizeof<T>() == 8) return <T>load<i32>(ip, R.R_IMM);
  // Not through i32: asc makes a load as wide as the expression around it, and a signed one would extend its sign.
  return load<T>(ip, R.R_IMM);
}

// @ts-ignore: decorator
@inline
export function setDst<T>(ip: usize, value: T): void {
  setRegister<T>(load<u32>(ip, R.R_DST), value);
}

/** Base, index and displacement added up, not yet cut to the address size. */
// @ts-ignore: decorator
@inline
export function sum(ip: usize): u64 {
  return (
    load<u64>(load<u32>(ip, R.R_BASE)) +
    (load<u64>(load<u32>(ip, R.R_INDEX)) << (<u64>load<u8>(ip, R.R_SCALE))) +
    <u64>(<i64>load<i32>(ip, R.R_DISP))
  );
}

/** The offset of the memory operand within its segment. */
export function offsetOf(ip: usize): u64 {
  const how = <i32>load<u8>(ip, R.R_ADDRESSING);
  const total = sum(ip);
  if (how <= R.ADDRESS_64) return total;
  return how == R.ADDRESS_16 ? total & 0xffff : total & 0xffffffff;
}

/** Linear address of `offset` in a segment, outside of 64-bit mode: limit and rights, inlined when nothing is wrong. */
// @ts-ignore: decorator
@inline
export function inSegment(ip: usize, seg: u32, offset: u64, size: u32, write: bool): u64 {
  const at = cpu + seg * SEG_STRIDE;
  const need: u32 = write ? SEGF_WRITE : SEGF_READ;
  if (
    (load<u32>(at, SEG + SEG_FLAGS) & (need | SEGF_EXPAND_DOWN)) == need &&
    offset + size - 1 <= <u64>load<u32>(at, SEG + SEG_LIMIT)
  )
    return (load<u64>(at, SEG + SEG_BASE) + offset) & 0xffffffff;
  return outsideSegment(ip, seg, offset, size, write);
}

function outsideSegment(ip: usize, seg: u32, offset: u64, size: u32, write: bool): u64 {
  pause(ip);
  return linear(seg, offset, size, write);
}

/** Linear address of `offset` in a segment, in 64-bit mode, where only FS and GS have bases. */
export function based(ip: usize, seg: u32, offset: u64): u64 {
  if (seg < <u32>SEG_FS) return offset;
  if (!isCanonical(offset)) {
    // Base and offset may well sum up to something canonical, but AMD's processors look at the offset too.
    pause(ip);
    raise(V_GP, 0);
  }
  return offset + load<u64>(cpu + seg * SEG_STRIDE, SEG + SEG_BASE);
}

/** Linear address for every kind of addressing but the flat one. */
export function segmented(ip: usize, total: u64, size: u32, write: bool): u64 {
  const how = <i32>load<u8>(ip, R.R_ADDRESSING);
  const seg = <u32>load<u8>(ip, R.R_SEGMENT);
  if (how == R.ADDRESS_32 || how == R.ADDRESS_16)
    return inSegment(ip, seg, total & (how == R.ADDRESS_32 ? 0xffffffff : 0xffff), size, write);
  return based(ip, seg, how == R.ADDRESS_32_LONG ? total & 0xffffffff : total);
}

/** Linear address of the memory operand, `size` bytes wide. */
// @ts-ignore: decorator
@inline
export function address(ip: usize, size: u32, write: bool): u64 {
  const total = sum(ip);
  const how = <i32>load<u8>(ip, R.R_ADDRESSING);
  if (how == R.ADDRESS_FLAT) return total;
  if (how == R.ADDRESS_32) return inSegment(ip, load<u8>(ip, R.R_SEGMENT), total & 0xffffffff, size, write);
  return segmented(ip, total, size, write);
}

/** Linear address of a part of the memory operand, `skip` bytes into it. */
export function addressAt(ip: usize, skip: u32, size: u32, write: bool): u64 {
  const offset = offsetOf(ip) + skip;
  const seg = <u32>load<u8>(ip, R.R_SEGMENT);
  if (load<u32>(cpu, MODE) != MODE_64) return inSegment(ip, seg, offset, size, write);
  const part = load<u8>(ip, R.R_ADDRESSING) == R.ADDRESS_32_LONG ? offset & 0xffffffff : offset;
  return based(ip, seg, part);
}

// @ts-ignore: decorator
@inline
function entryOf(linear: u64): usize {
  return load<u32>(cpu, TLB_BASE) + ((<u32>(linear >> 7)) & SLOT);
}

// @ts-ignore: decorator
@inline
function tagOf(linear: u64, size: u32): u64 {
  return ((linear + (size - 1)) & PAGE_MASK) | load<u64>(cpu, TLB_GENERATION);
}

/** Loads from a linear address; `seg` is to blame when it is not canonical. */
// @ts-ignore: decorator
@inline
export function read<T>(ip: usize, linear: u64): T {
  const entry = entryOf(linear);
  if (load<u64>(entry, TAG_READ) == tagOf(linear, sizeof<T>())) return load<T>(load<u32>(entry, ADDEND) + <u32>linear);
  return <T>readMiss(ip, linear, sizeof<T>(), load<u8>(ip, R.R_SEGMENT));
}

// @ts-ignore: decorator
@inline
export function write<T>(ip: usize, linear: u64, value: T): void {
  const entry = entryOf(linear);
  if (load<u64>(entry, TAG_WRITE) == tagOf(linear, sizeof<T>()))
    store<T>(load<u32>(entry, ADDEND) + <u32>linear, value);
  else writeMiss(ip, linear, <u64>value, sizeof<T>(), load<u8>(ip, R.R_SEGMENT));
}

/** The same on the stack segment. */
// @ts-ignore: decorator
@inline
export function readStack<T>(ip: usize, linear: u64): T {
  const entry = entryOf(linear);
  if (load<u64>(entry, TAG_READ) == tagOf(linear, sizeof<T>())) return load<T>(load<u32>(entry, ADDEND) + <u32>linear);
  return <T>readMiss(ip, linear, sizeof<T>(), SEG_SS);
}

// @ts-ignore: decorator
@inline
export function writeStack<T>(ip: usize, linear: u64, value: T): void {
  const entry = entryOf(linear);
  if (load<u64>(entry, TAG_WRITE) == tagOf(linear, sizeof<T>()))
    store<T>(load<u32>(entry, ADDEND) + <u32>linear, value);
  else writeMiss(ip, linear, <u64>value, sizeof<T>(), SEG_SS);
}

/** WebAssembly address where an access that reads and then writes can be made at once, or 0. */
// @ts-ignore: decorator
@inline
export function direct<T>(linear: u64): usize {
  const entry = entryOf(linear);
  return load<u64>(entry, TAG_WRITE) == tagOf(linear, sizeof<T>()) ? <usize>load<u32>(entry, ADDEND) + <u32>linear : 0;
}

export function readMiss(ip: usize, linear: u64, size: u32, seg: u32): u64 {
  pause(ip);
  return loadSlow(linear, size, seg);
}

export function writeMiss(ip: usize, linear: u64, value: u64, size: u32, seg: u32): void {
  pause(ip);
  storeSlow(linear, value, size, seg);
  leaveIfStale(ip);
}

/** The read half of a read-modify-write: raises the faults of the write. */
export function readToWriteMiss(ip: usize, linear: u64, size: u32, seg: u32): u64 {
  pause(ip);
  probe(linear, size, true, seg);
  return loadSlow(linear, size, seg);
}

/** Where an atomic operation can be made, or 0 (see memory.ts). */
export function atomicAddress<T>(ip: usize, linear: u64): usize {
  pause(ip);
  const at = translateWrite<T>(linear, load<u8>(ip, R.R_SEGMENT));
  leaveIfStale(ip);
  return at;
}

/**
 * A store has hit a page with decoded code. If it was the running block's own, the block is never entered again, and
 * what is left of it must not be executed now: its next record is turned into one that looks up a new block. So it is
 * behind a store to a device that has asked for attention: there the block ends from now on.
 */
export function leaveIfStale(ip: usize): void {
  const written = load<u32>(cpu, CODE_WRITTEN);
  if (written == 0) return;
  store<u32>(cpu, 0, CODE_WRITTEN);
  const header = ip - (<usize>load<u8>(ip, R.R_POSITION) + 1) * R.RECORD_SIZE;
  const stale = load<u32>(load<u32>(header, R.BLOCK_META)) != load<u32>(header, R.BLOCK_VERSION);
  if (stale || (written & 2) != 0) store<u16>(ip + R.RECORD_SIZE, <u16>H_RESYNC, R.R_HANDLER);
}

/** r/m operands of handlers that are not worth a record for each form. */
// @ts-ignore: decorator
@inline
export function isMemory(ip: usize): bool {
  return load<u8>(ip, R.R_ADDRESSING) != R.ADDRESS_NONE;
}

/** Reads r/m (R_DST when it is a register). */
// @ts-ignore: decorator
@inline
export function readRm<T>(ip: usize): T {
  return isMemory(ip) ? read<T>(ip, address(ip, sizeof<T>(), false)) : dst<T>(ip);
}

/** Writes r/m. */
// @ts-ignore: decorator
@inline
export function writeRm<T>(ip: usize, value: T): void {
  if (isMemory(ip)) write<T>(ip, address(ip, sizeof<T>(), true), value);
  else setDst<T>(ip, value);
}

/** Reads r/m that is written afterwards. */
// @ts-ignore: decorator
@inline
export function readToWriteRm<T>(ip: usize): T {
  if (!isMemory(ip)) return dst<T>(ip);
  const at = address(ip, sizeof<T>(), true);
  const place = direct<T>(at);
  return place != 0 ? load<T>(place) : <T>readToWriteMiss(ip, at, sizeof<T>(), load<u8>(ip, R.R_SEGMENT));
}

/** Bytes of the stack pointer that count: 8, 4 or 2. */
export function stackWidth(): u32 {
  if (load<u32>(cpu, MODE) == MODE_64) return 8;
  return (load<u32>(cpu + SEG_SS * SEG_STRIDE, SEG + SEG_ATTR) & 0x00400000) != 0 ? 4 : 2;
}

/** Linear address of a stack slot. */
export function stackAddress(ip: usize, offset: u64, size: u32, write: bool): u64 {
  return load<u32>(cpu, MODE) == MODE_64 ? offset : inSegment(ip, SEG_SS, offset, size, write);
}
