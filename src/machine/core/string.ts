import { cpu } from "./cpu";
import * as O from "./ops";
import { alu } from "./alu";
import { pause } from "./counters";
import { DF, zero } from "./flags";
import { checkPort, portIn, portOut } from "./io";
import { based, inSegment, read, setRegister, write } from "./operand";
import { probe } from "./memory";
import * as R from "./record";
import {
  ATTENTION,
  ATT_UNSEEN,
  BUDGET,
  EFLAGS,
  GPR,
  MODE,
  MODE_64,
  SEG,
  SEGF_EXPAND_DOWN,
  SEGF_READ,
  SEGF_WRITE,
  SEG_BASE,
  SEG_ES,
  SEG_FLAGS,
  SEG_FS,
  SEG_LIMIT,
  SEG_STRIDE,
  TLB_BASE,
  TLB_GENERATION,
} from "./state";
import { ADDEND, PAGE_MASK, SLOT, TAG_READ, TAG_WRITE, isCanonical } from "./tlb";

/*
 * String instructions (SDM vol. 1, 7.3.9). With REP they go in slices: as far as the pages at both ends reach, or a few
 * hundred elements. Each slice counts as one instruction; between two of them the instruction can be left for an
 * interrupt or because the budget is spent, with RIP still at it and the registers saying how far it has come.
 *
 * Every function returns whether the instruction is complete.
 */

/** R_SUB: which repeat prefix there is. */
export const REPEAT_NONE: u32 = 0;
export const REPEAT_EQUAL: u32 = 1;
export const REPEAT_NOT_EQUAL: u32 = 2;

/** Elements of a slice that goes one by one. */
const SLICE: u32 = 256;

const RCX: usize = GPR + 8;
const RSI: usize = GPR + 48;
const RDI: usize = GPR + 56;

/** All ones over the bits of an index register that count. */
function addressMask(ip: usize): u64 {
  const how = <i32>load<u8>(ip, R.R_ADDRESSING);
  if (how <= R.ADDRESS_64) return ~(<u64>0);
  return how == R.ADDRESS_16 ? 0xffff : 0xffffffff;
}

/** Writes a counter or index register as wide as the address size is. */
function setIndex(at: usize, value: u64, mask: u64): void {
  if (mask == 0xffff) store<u16>(cpu + at, <u16>value);
  else store<u64>(cpu + at, value & mask);
}

/** What is added to an index after each element. */
function step(size: u32): u64 {
  return (load<u32>(cpu, EFLAGS) & DF) != 0 ? -(<u64>size) : <u64>size;
}

/** Linear address of an element. */
function place(ip: usize, seg: u32, offset: u64, size: u32, forWrite: bool): u64 {
  if (load<u32>(cpu, MODE) != MODE_64) return inSegment(ip, seg, offset, size, forWrite);
  return based(ip, seg, offset);
}

/** Whether something waits at the instruction boundary that the program, or its host, would see. */
function attended(): bool {
  return (load<u32>(cpu, ATTENTION) & ~ATT_UNSEEN) != 0;
}

/** After a slice: whether to go on with the next, which is charged here. */
function again(): bool {
  if (attended()) return false;
  const left = load<i64>(cpu, BUDGET);
  if (left <= 0) return false;
  store<i64>(cpu, left - 1, BUDGET);
  return true;
}

/** While something waits at the instruction boundary, it is looked at after each element. */
function sliceLength(): u32 {
  return attended() ? 1 : SLICE;
}

/**
 * Elements of a slice that may go all at once, of which `inPage` lie before the next end of a page; `inPage` is 0 where an
 * element lies across it. As many are taken one by one where there is no short way: instructions are counted the same.
 */
function bulkLength(inPage: u64): u32 {
  if ((load<u32>(cpu, EFLAGS) & DF) != 0) return sliceLength();
  return attended() || inPage == 0 ? 1 : <u32>inPage;
}

/** WebAssembly address of `bytes` bytes in a row that can be accessed without any check, or 0. */
function direct(seg: u32, offset: u64, bytes: u64, mask: u64, forWrite: bool): usize {
  if (offset + bytes - 1 > mask) return 0;
  let linear = offset;
  const at = cpu + seg * SEG_STRIDE;
  if (load<u32>(cpu, MODE) != MODE_64) {
    const need: u32 = forWrite ? SEGF_WRITE : SEGF_READ;
    if ((load<u32>(at, SEG + SEG_FLAGS) & (need | SEGF_EXPAND_DOWN)) != need) return 0;
    if (offset + bytes - 1 > <u64>load<u32>(at, SEG + SEG_LIMIT)) return 0;
    linear = (offset + load<u64>(at, SEG + SEG_BASE)) & 0xffffffff;
  } else if (seg >= <u32>SEG_FS) {
    if (!isCanonical(offset)) return 0;
    linear += load<u64>(at, SEG + SEG_BASE);
  }
  const entry = load<u32>(cpu, TLB_BASE) + ((<u32>(linear >> 7)) & SLOT);
  const tag = ((linear + bytes - 1) & PAGE_MASK) | load<u64>(cpu, TLB_GENERATION);
  if ((linear & PAGE_MASK) != ((linear + bytes - 1) & PAGE_MASK)) return 0;
  if ((forWrite ? load<u64>(entry, TAG_WRITE) : load<u64>(entry, TAG_READ)) != tag) return 0;
  return load<u32>(entry, ADDEND) + <u32>linear;
}

/** Elements from here to the end of the page of the index, as linear addresses see it. */
function untilPageEnd(seg: u32, offset: u64, size: u32): u64 {
  const base =
    load<u32>(cpu, MODE) == MODE_64 && seg < <u32>SEG_FS ? 0 : load<u64>(cpu + seg * SEG_STRIDE, SEG + SEG_BASE);
  return (0x1000 - ((offset + base) & 0xfff)) / size;
}

/** Copies forwards element by element, so that overlapping ranges repeat as they do on the processor. */
function copyForwards<T>(to: usize, from: usize, elements: u32): void {
  const bytes = elements * sizeof<T>();
  if (to <= from || to >= from + bytes) memory.copy(to, from, bytes);
  else for (let i: u32 = 0; i < bytes; i += sizeof<T>()) store<T>(to + i, load<T>(from + i));
}

function fillForwards<T>(to: usize, value: T, elements: u32): void {
  const bytes = elements * sizeof<T>();
  const byte = <u64>(<u8>value) * 0x0101010101010101;
  if (<T>byte == value) memory.fill(to, <u8>value, bytes);
  else for (let i: u32 = 0; i < bytes; i += sizeof<T>()) store<T>(to + i, value);
}

function moveOne<T>(ip: usize, mask: u64): void {
  const from = load<u64>(cpu, RSI) & mask;
  const to = load<u64>(cpu, RDI) & mask;
  const source = place(ip, load<u8>(ip, R.R_SEGMENT), from, sizeof<T>(), false);
  const value = read<T>(ip, source);
  write<T>(ip, place(ip, SEG_ES, to, sizeof<T>(), true), value);
  const by = step(sizeof<T>());
  setIndex(RSI, from + by, mask);
  setIndex(RDI, to + by, mask);
}

/** One slice of REP MOVS; `left` elements are to be moved. */
function moveSlice<T>(ip: usize, mask: u64, left: u64): void {
  const seg = <u32>load<u8>(ip, R.R_SEGMENT);
  const fromPage = untilPageEnd(seg, load<u64>(cpu, RSI) & mask, sizeof<T>());
  const toPage = untilPageEnd(SEG_ES, load<u64>(cpu, RDI) & mask, sizeof<T>());
  for (let slice = bulkLength(min(fromPage, toPage)); slice > 0 && left > 0; --slice) {
    if (slice > 1 && (load<u32>(cpu, EFLAGS) & DF) == 0) {
      const from = load<u64>(cpu, RSI) & mask;
      const to = load<u64>(cpu, RDI) & mask;
      const elements = min(left, slice);
      const bytes = elements * sizeof<T>();
      const source = elements > 1 ? direct(seg, from, bytes, mask, false) : 0;
      const target = source != 0 ? direct(SEG_ES, to, bytes, mask, true) : 0;
      if (target != 0) {
        copyForwards<T>(target, source, <u32>elements);
        setIndex(RSI, from + bytes, mask);
        setIndex(RDI, to + bytes, mask);
        setIndex(RCX, left - elements, mask);
        return;
      }
    }
    moveOne<T>(ip, mask);
    setIndex(RCX, --left, mask);
  }
}

export function movs<T>(ip: usize): bool {
  const mask = addressMask(ip);
  if (load<u8>(ip, R.R_SUB) == REPEAT_NONE) {
    moveOne<T>(ip, mask);
    return true;
  }
  while ((load<u64>(cpu, RCX) & mask) != 0) {
    moveSlice<T>(ip, mask, load<u64>(cpu, RCX) & mask);
    if ((load<u64>(cpu, RCX) & mask) != 0 && !again()) return false;
  }
  return true;
}

function storeOne<T>(ip: usize, mask: u64): void {
  const to = load<u64>(cpu, RDI) & mask;
  write<T>(ip, place(ip, SEG_ES, to, sizeof<T>(), true), load<T>(cpu, GPR));
  setIndex(RDI, to + step(sizeof<T>()), mask);
}

function storeSlice<T>(ip: usize, mask: u64, left: u64): void {
  const inPage = untilPageEnd(SEG_ES, load<u64>(cpu, RDI) & mask, sizeof<T>());
  for (let slice = bulkLength(inPage); slice > 0 && left > 0; --slice) {
    if (slice > 1 && (load<u32>(cpu, EFLAGS) & DF) == 0) {
      const to = load<u64>(cpu, RDI) & mask;
      const elements = min(left, slice);
      const bytes = elements * sizeof<T>();
      const target = elements > 1 ? direct(SEG_ES, to, bytes, mask, true) : 0;
      if (target != 0) {
        fillForwards<T>(target, load<T>(cpu, GPR), <u32>elements);
        setIndex(RDI, to + bytes, mask);
        setIndex(RCX, left - elements, mask);
        return;
      }
    }
    storeOne<T>(ip, mask);
    setIndex(RCX, --left, mask);
  }
}

export function stos<T>(ip: usize): bool {
  const mask = addressMask(ip);
  if (load<u8>(ip, R.R_SUB) == REPEAT_NONE) {
    storeOne<T>(ip, mask);
    return true;
  }
  while ((load<u64>(cpu, RCX) & mask) != 0) {
    storeSlice<T>(ip, mask, load<u64>(cpu, RCX) & mask);
    if ((load<u64>(cpu, RCX) & mask) != 0 && !again()) return false;
  }
  return true;
}

/** One element of LODS, CMPS, SCAS, INS, OUTS; the flags are CMP's for the two that compare. */
// @ts-ignore: decorator
@inline
function one<T>(operation: u32, ip: usize, mask: u64): void {
  const by = step(sizeof<T>());
  const from = load<u64>(cpu, RSI) & mask;
  const to = load<u64>(cpu, RDI) & mask;
  const seg = <u32>load<u8>(ip, R.R_SEGMENT);
  if (operation == O.LODS) {
    setRegister<T>(cpu + GPR, read<T>(ip, place(ip, seg, from, sizeof<T>(), false)));
    setIndex(RSI, from + by, mask);
  } else if (operation == O.CMPS) {
    const a = read<T>(ip, place(ip, seg, from, sizeof<T>(), false));
    const b = read<T>(ip, place(ip, SEG_ES, to, sizeof<T>(), false));
    alu<T>(O.CMP, a, b);
    setIndex(RSI, from + by, mask);
    setIndex(RDI, to + by, mask);
  } else if (operation == O.SCAS) {
    alu<T>(O.CMP, load<T>(cpu, GPR), read<T>(ip, place(ip, SEG_ES, to, sizeof<T>(), false)));
    setIndex(RDI, to + by, mask);
  } else if (operation == O.INS) {
    // What has been read from a port cannot be read again: first make sure that it can be stored.
    const at = place(ip, SEG_ES, to, sizeof<T>(), true);
    pause(ip);
    probe(at, sizeof<T>(), true, SEG_ES);
    write<T>(ip, at, <T>portIn(load<u16>(cpu, GPR + 16), sizeof<T>()));
    setIndex(RDI, to + by, mask);
  } else {
    const value = read<T>(ip, place(ip, seg, from, sizeof<T>(), false));
    pause(ip);
    portOut(load<u16>(cpu, GPR + 16), sizeof<T>(), <u32>value);
    setIndex(RSI, from + by, mask);
  }
}

/** Whether REPE or REPNE ends after a comparison. */
// @ts-ignore: decorator
@inline
function ends(operation: u32, repeat: u32): bool {
  if (operation != O.CMPS && operation != O.SCAS) return false;
  return zero() != (repeat == REPEAT_EQUAL);
}

// @ts-ignore: decorator
@inline
function repeated<T>(operation: u32, ip: usize): bool {
  const mask = addressMask(ip);
  const repeat = <u32>load<u8>(ip, R.R_SUB);
  if (operation == O.INS || operation == O.OUTS) {
    // The port comes first: before the memory operand, and even if the count is 0.
    pause(ip);
    checkPort(load<u16>(cpu, GPR + 16), sizeof<T>());
  }
  if (repeat == REPEAT_NONE) {
    one<T>(operation, ip, mask);
    return true;
  }
  while (true) {
    let left = load<u64>(cpu, RCX) & mask;
    if (left == 0) return true;
    for (let slice = sliceLength(); slice > 0 && left > 0; --slice) {
      one<T>(operation, ip, mask);
      setIndex(RCX, --left, mask);
      if (ends(operation, repeat)) return true;
    }
    if (left == 0) return true;
    if (!again()) return false;
  }
}

export function lods<T>(ip: usize): bool {
  return repeated<T>(O.LODS, ip);
}

export function cmps<T>(ip: usize): bool {
  return repeated<T>(O.CMPS, ip);
}

export function scas<T>(ip: usize): bool {
  return repeated<T>(O.SCAS, ip);
}

export function ins<T>(ip: usize): bool {
  return repeated<T>(O.INS, ip);
}

export function outs<T>(ip: usize): bool {
  return repeated<T>(O.OUTS, ip);
}
