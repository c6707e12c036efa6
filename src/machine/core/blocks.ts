import { cpu } from "./cpu";
import { V_GP, V_UD } from "./arch";
import { decode } from "./decode";
import { raise } from "./fault";
import { fuse, separate } from "./fuse";
import { H_CHECK, H_END } from "./handlers";
import { LOWERED_LAST, LOWERED_NOT, lower, lowerFault } from "./lower";
import { fetchPage } from "./memory";
import { inRam, metaAddress, ramAddress } from "./paging";
import * as R from "./record";
import {
  ARENA_NEXT,
  COUNT_BLOCKS_DECODED,
  CPU_STRIDE,
  DECODE_AREA,
  HEADER,
  HEADER_GATE_BEGIN,
  HEADER_GATE_END,
  MODE_64,
} from "./state";
import { markCode } from "./tlb";

/*
 * Decoded blocks: straight runs of instructions, found by physical address and mode. Blocks lie in an arena and are
 * never freed one by one; when it is full everything is forgotten.
 *
 * A block ends with what ends it (a transfer of control, a system instruction), at the end of its page, before a gate,
 * or after BLOCK_MOST instructions. An instruction that crosses a page is a block of its own.
 */

/** Relative to the processor's area: a block cut short, the jump cache (enter.ts), bucket heads, the arena. */
export const CUT_AREA = DECODE_AREA + 0x1000;
export const JUMP_CACHE = DECODE_AREA + 0x10000;
export const JUMP_CACHE_SIZE = 0x20000;
const BUCKETS = DECODE_AREA + 0x30000;
const BUCKET_BITS = 14;
const ARENA = DECODE_AREA + 0x40000;

/** Instructions of a block at most. */
const BLOCK_MOST: u32 = 64;
/** Header, instructions, a check and an end. */
const BLOCK_BYTES_MOST: u32 = (BLOCK_MOST + 3) * R.RECORD_SIZE;

/** Forgets everything that has been decoded. */
export function resetBlocks(): void {
  memory.fill(cpu + JUMP_CACHE, 0, JUMP_CACHE_SIZE);
  memory.fill(cpu + BUCKETS, 0, 4 << BUCKET_BITS);
  store<u32>(cpu, <u32>cpu + ARENA, ARENA_NEXT);
}

function bucketOf(physical: u32, key: u32): usize {
  return cpu + BUCKETS + ((((physical + key) * 0x9e3779b1) >>> (32 - BUCKET_BITS)) << 2);
}

/** Whether a host gate begins at, or covers, this physical address. */
export function isGate(physical: u32): bool {
  return (
    physical - load<u32>(HEADER, HEADER_GATE_BEGIN) <
    load<u32>(HEADER, HEADER_GATE_END) - load<u32>(HEADER, HEADER_GATE_BEGIN)
  );
}

/** The linear address of the page after that of `linear`. */
function nextPage(linear: u64, key: u32): u64 {
  const next = (linear | 0xfff) + 1;
  return (key & 3) == MODE_64 ? next : next & 0xffffffff;
}

/** Whether what a block was decoded from is still there. `linear` is where it is mapped. */
function isFresh(block: usize, linear: u64): bool {
  if (atomic.load<u32>(load<u32>(block, R.BLOCK_META)) != load<u32>(block, R.BLOCK_VERSION)) return false;
  const second = load<u32>(block, R.BLOCK_SECOND);
  if (second == 0xffffffff) return true;
  if (<u32>fetchPage(nextPage(linear, load<u32>(block, R.BLOCK_KEY))) != second) return false;
  const check = block + R.RECORD_SIZE;
  return atomic.load<u32>(load<u32>(check, R.R_DST)) == load<u32>(check, R.R_SRC);
}

/**
 * The block at a physical address that is memory; decodes it if need be. Can raise the fault of a second page: #GP if
 * that lies beyond the `room` bytes that CS's limit leaves.
 */
export function findBlock(physical: u32, key: u32, linear: u64, room: u64): usize {
  const bucket = bucketOf(physical, key);
  let link = bucket;
  for (let block: usize = load<u32>(link); block != 0; block = load<u32>(link)) {
    if (load<u32>(block, R.BLOCK_PHYSICAL) == physical && load<u32>(block, R.BLOCK_KEY) == key) {
      if (isFresh(block, linear)) return block;
      store<u32>(link, load<u32>(block, R.BLOCK_NEXT));
    } else link = block + R.BLOCK_NEXT;
  }
  const fresh = decodeBlock(physical, key, linear, room);
  // Decoding may have emptied the arena and the buckets.
  store<u32>(fresh, load<u32>(bucket), R.BLOCK_NEXT);
  store<u32>(bucket, <u32>fresh);
  return fresh;
}

/** An empty record at `ip`. */
function begin(ip: usize, offset: u32, position: u32): void {
  memory.fill(ip, 0, R.RECORD_SIZE);
  store<u16>(ip, offset, R.R_OFFSET);
  store<u8>(ip, position, R.R_POSITION);
}

/** Fills in the record for a decoder's result; returns LOWERED_*. */
function translate(ip: usize, length: i32, wideStack: bool): u32 {
  if (length <= 0) {
    lowerFault(ip, length == R.DECODE_TOO_LONG ? V_GP : V_UD);
    return LOWERED_LAST;
  }
  store<u8>(ip, length, R.R_LENGTH);
  return lower(ip, wideStack);
}

/** The end record, and what is only known then. `records`: how many instructions' records there are, from `first`. */
function finish(block: usize, first: usize, count: u32, bytes: u32, position: u32): void {
  begin(first + count * R.RECORD_SIZE, bytes, position + count);
  store<u16>(first + count * R.RECORD_SIZE, H_END, R.R_HANDLER);
  for (let i: u32 = 0; i < count; ++i) store<u8>(first + i * R.RECORD_SIZE, count - i, R.R_REMAINING);
  store<u16>(block, count, R.BLOCK_COUNT);
  store<u16>(block, bytes, R.BLOCK_BYTES);
}

function decodeBlock(physical: u32, key: u32, linear: u64, room: u64): usize {
  if (load<u32>(cpu, ARENA_NEXT) + BLOCK_BYTES_MOST > <u32>cpu + CPU_STRIDE) resetBlocks();
  const block: usize = load<u32>(cpu, ARENA_NEXT);
  markCode(physical);
  store<u32>(block, physical, R.BLOCK_PHYSICAL);
  store<u32>(block, key, R.BLOCK_KEY);
  store<u32>(block, metaAddress(physical), R.BLOCK_META);
  store<u32>(block, atomic.load<u32>(metaAddress(physical)), R.BLOCK_VERSION);
  store<u32>(block, 0xffffffff, R.BLOCK_SECOND);

  const mode = key & 3;
  const wideStack = (key & R.BLOCK_STACK32) != 0;
  const bytes: usize = ramAddress(physical);
  const available: u32 = 0x1000 - (physical & 0xfff);
  const first = block + R.RECORD_SIZE;
  let offset: u32 = 0;
  let count: u32 = 0;
  while (count < BLOCK_MOST && offset < available && (offset == 0 || !isGate(physical + offset))) {
    const ip = first + count * R.RECORD_SIZE;
    begin(ip, offset, count);
    const length = decode(mode, bytes + offset, available - offset);
    if (length == R.DECODE_MORE) {
      if (count > 0) break;
      if (room <= <u64>available) raise(V_GP, 0);
      return decodeCrossing(block, physical, key, linear);
    }
    const result = translate(ip, length, wideStack);
    if (result == LOWERED_NOT) break;
    offset += length > 0 ? length : 1;
    ++count;
    if (result == LOWERED_LAST) break;
  }
  finish(block, first, count, offset, 0);
  if (count > 1) fuse(first + (count - 2) * R.RECORD_SIZE);
  return keep(block, count);
}

/** Takes the block's bytes from the arena. */
function keep(block: usize, records: u32): usize {
  store<u32>(cpu, <u32>block + (records + 2) * R.RECORD_SIZE, ARENA_NEXT);
  store<u64>(cpu, load<u64>(cpu, COUNT_BLOCKS_DECODED) + 1, COUNT_BLOCKS_DECODED);
  return block;
}

/** The instruction at the end of a page whose last bytes are in the next. */
function decodeCrossing(block: usize, physical: u32, key: u32, linear: u64): usize {
  const second = fetchPage(nextPage(linear, key));
  const inFirst: u32 = 0x1000 - (physical & 0xfff);
  const copy = cpu + R.D_BYTES;
  memory.copy(copy, ramAddress(physical), inFirst);
  const check = block + R.RECORD_SIZE;
  begin(check, 0, 0);
  store<u16>(check, H_CHECK, R.R_HANDLER);
  if (inRam(second, 0x1000)) {
    markCode(<u32>second);
    store<u32>(check, metaAddress(second), R.R_DST);
    store<u32>(check, atomic.load<u32>(metaAddress(second)), R.R_SRC);
    memory.copy(copy + inFirst, ramAddress(second), 16 - inFirst);
  } else {
    // Nothing answers there: all ones.
    store<u32>(check, load<u32>(block, R.BLOCK_META), R.R_DST);
    store<u32>(check, load<u32>(block, R.BLOCK_VERSION), R.R_SRC);
    memory.fill(copy + inFirst, 0xff, 16 - inFirst);
  }
  store<u32>(block, <u32>second, R.BLOCK_SECOND);
  const ip = check + R.RECORD_SIZE;
  begin(ip, 0, 1);
  const length = decode(key & 3, copy, 16);
  translate(ip, length, (key & R.BLOCK_STACK32) != 0);
  finish(block, ip, 1, length > 0 ? length : 1, 1);
  return keep(block, 2);
}

/** A copy of the block that ends after its first `count` instructions; good until the next one is made. */
export function cutBlock(block: usize, count: u32): usize {
  const cut = cpu + CUT_AREA;
  const checks: u32 = load<u32>(block, R.BLOCK_SECOND) != 0xffffffff ? 1 : 0;
  memory.copy(cut, block, (1 + checks + count) * R.RECORD_SIZE);
  const first = cut + (1 + checks) * R.RECORD_SIZE;
  const last = first + (count - 1) * R.RECORD_SIZE;
  separate(last);
  finish(cut, first, count, <u32>load<u16>(last, R.R_OFFSET) + load<u8>(last, R.R_LENGTH), checks);
  return cut;
}

/** How many of the block's first instructions lie within the first `bytes` bytes. */
export function countWithin(block: usize, bytes: u64): u32 {
  let count: u32 = 0;
  const checks: u32 = load<u32>(block, R.BLOCK_SECOND) != 0xffffffff ? 1 : 0;
  const all = <u32>load<u16>(block, R.BLOCK_COUNT);
  let ip = block + (1 + checks) * R.RECORD_SIZE;
  for (; count < all; ++count, ip += R.RECORD_SIZE)
    if (<u64>load<u16>(ip, R.R_OFFSET) + load<u8>(ip, R.R_LENGTH) > bytes) break;
  return count;
}
