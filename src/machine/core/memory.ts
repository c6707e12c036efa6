import { busMmioRead, busMmioWrite, cpu } from "./cpu";
import {
  ALIGN,
  ATTENTION,
  ATT_DEBUG,
  CODE_WRITTEN,
  CPL,
  CPU_INDEX,
  DEBUG_WATCHES,
  DR,
  HEADER,
  HEADER_RAM_BASE,
  META_CODE,
  META_VERSION_STEP,
  MODE,
  MODE_64,
  MSR_EFER,
  PENDING_DEBUG,
  SEG_DS,
  SEG_SS,
  TLB_BASE,
  TLB_GENERATION,
  WATCH,
  WATCH_LATE,
} from "./state";
import { EFER_LMA, PF_FETCH, PF_USER, PF_WRITE, V_AC, V_GP, V_SS } from "./arch";
import { debuggerWatches } from "./debug";
import { beginShort, endShort, lockBus, unlockBus } from "./atomic";
import { dropLine, touchCache } from "./cache";
import { raise } from "./fault";
import { endTransient, isTransient } from "./late";
import { metaAddress } from "./paging";
import {
  ADDEND,
  PAGE_MASK,
  SLOT,
  TAG_READ,
  TAG_WRITE,
  TLB_SUPERVISOR,
  isCanonical,
  mmioPhysical,
  translateAccess,
} from "./tlb";

/*
 * Loads and stores by linear address. They return or raise; when they raise, nothing has been written.
 *
 * The fast path is one tag comparison. The tag looked for is that of the access's last byte in the slot of its first, so
 * an access that crosses a page can never match and needs no test of its own.
 */

/** Loads with the rights of CPL. `seg`: which segment is to blame for a non-canonical address (#SS or #GP). */
// @ts-ignore: decorator
@inline
export function ld<T>(linear: u64, seg: u32): T {
  const entry = load<u32>(cpu, TLB_BASE) + ((<u32>(linear >> 7)) & SLOT);
  if (load<u64>(entry, TAG_READ) == (((linear + (sizeof<T>() - 1)) & PAGE_MASK) | load<u64>(cpu, TLB_GENERATION)))
    return load<T>(load<u32>(entry, ADDEND) + <u32>linear);
  return <T>loadSlow(linear, sizeof<T>(), seg);
}

/** Stores with the rights of CPL. */
// @ts-ignore: decorator
@inline
export function st<T>(linear: u64, value: T, seg: u32): void {
  const entry = load<u32>(cpu, TLB_BASE) + ((<u32>(linear >> 7)) & SLOT);
  if (load<u64>(entry, TAG_WRITE) == (((linear + (sizeof<T>() - 1)) & PAGE_MASK) | load<u64>(cpu, TLB_GENERATION)))
    store<T>(load<u32>(entry, ADDEND) + <u32>linear, value);
  else storeSlow(linear, <u64>value, sizeof<T>(), seg);
}

/**
 * WebAssembly address through which `linear` can be read and written with atomic operations; all faults of the write
 * have been raised. 0 when there is none: the access crosses a page, is not aligned to its size or hits a device. The
 * caller then reads and writes by ld and st under the bus lock. To be called once for each operation: a page with
 * decoded code is marked as written here.
 */
// @ts-ignore: decorator
@inline
export function translateWrite<T>(linear: u64, seg: u32): usize {
  const entry = load<u32>(cpu, TLB_BASE) + ((<u32>(linear >> 7)) & SLOT);
  if (
    ((<u32>linear) & (sizeof<T>() - 1)) == 0 &&
    load<u64>(entry, TAG_WRITE) == ((linear & PAGE_MASK) | load<u64>(cpu, TLB_GENERATION))
  )
    return load<u32>(entry, ADDEND) + <u32>linear;
  return translateWriteSlow(linear, sizeof<T>(), seg);
}

/** PF_USER if the access is made with user rights. */
// @ts-ignore: decorator
@inline
function rights(): u32 {
  return load<u32>(cpu, CPL) == 3 ? PF_USER : 0;
}

/** The address that follows the page of `linear`: 32-bit addresses wrap. */
function nextPage(linear: u64, system: bool): u64 {
  const next = (linear & PAGE_MASK) + 0x1000;
  if (next != 0x100000000 || load<u32>(cpu, MODE) == MODE_64) return next;
  return system && (load<u64>(cpu, MSR_EFER) & EFER_LMA) != 0 ? next : 0;
}

/** A device's register; all ones above 4 GiB, where nothing answers. */
export function mmioLoad(physical: u64, size: u32): u64 {
  if (physical + size > 0x100000000) return ~(<u64>0);
  if (size == 8) {
    const low = <u64>busMmioRead(load<u32>(cpu, CPU_INDEX), <u32>physical, 4);
    return low | ((<u64>busMmioRead(load<u32>(cpu, CPU_INDEX), <u32>physical + 4, 4)) << 32);
  }
  return <u64>busMmioRead(load<u32>(cpu, CPU_INDEX), <u32>physical, size);
}

/** A device that answers with an interrupt, or with a stop, gets it at the next instruction, wherever its block ends. */
export function mmioStore(physical: u64, value: u64, size: u32): void {
  if (physical + size > 0x100000000) return;
  if (size == 8) {
    busMmioWrite(load<u32>(cpu, CPU_INDEX), <u32>physical, 4, <u32>value);
    busMmioWrite(load<u32>(cpu, CPU_INDEX), <u32>physical + 4, 4, <u32>(value >> 32));
  } else busMmioWrite(load<u32>(cpu, CPU_INDEX), <u32>physical, size, <u32>value);
  if (atomic.load<u32>(cpu + ATTENTION) != 0) store<u32>(cpu, load<u32>(cpu, CODE_WRITTEN) | 2, CODE_WRITTEN);
}

function loadAt(address: u32, size: u32): u64 {
  if (size == 1) return <u64>load<u8>(address);
  if (size == 2) return <u64>load<u16>(address);
  if (size == 4) return <u64>load<u32>(address);
  return load<u64>(address);
}

function storeAt(address: u32, value: u64, size: u32): void {
  if (size == 1) store<u8>(address, <u8>value);
  else if (size == 2) store<u16>(address, <u16>value);
  else if (size == 4) store<u32>(address, <u32>value);
  else store<u64>(address, value);
}

/** A byte at what translateAccess returned. */
function byteIn(address: u32, physical: u64): u64 {
  return address != 0 ? <u64>load<u8>(address) : mmioLoad(physical, 1) & 0xff;
}

function byteOut(address: u32, physical: u64, value: u64): void {
  if (address != 0) store<u8>(address, <u8>value);
  else mmioStore(physical, value & 0xff, 1);
}

/**
 * Tells everybody that instructions decoded from the page at this address are stale, if there are any. Then none are
 * left that count, so the page is an ordinary one again until the next are decoded from it: pages change hands, and one
 * that has held code must not be slow to write to for ever.
 */
function wrote(address: u32): void {
  const meta = metaAddress(address - load<u32>(HEADER, HEADER_RAM_BASE));
  for (;;) {
    const word = atomic.load<u32>(meta);
    if ((word & META_CODE) == 0) return;
    if (atomic.cmpxchg<u32>(meta, word, (word & ~META_CODE) + META_VERSION_STEP) == word) break;
  }
  store<u32>(cpu, load<u32>(cpu, CODE_WRITTEN) | 1, CODE_WRITTEN);
}

/** An access that crosses into non-canonical addresses faults for that before any of it is translated. */
function checkCanonicalEnd(linear: u64, size: u32, seg: u32): void {
  if (!isCanonical(linear + size - 1) && isCanonical(linear)) raise(seg == SEG_SS ? V_SS : V_GP, 0);
}

/** Whether the processor has a cache that makes a difference: if it checks late. */
// @ts-ignore: decorator
@inline
function isCached(): bool {
  return (load<u32>(cpu, WATCH) & WATCH_LATE) != 0;
}

/** An access whose first `inFirst` bytes are in one page and the others in another; 0: a device. */
function touchBoth(first: u32, second: u32, inFirst: u32, size: u32, waits: bool): void {
  const ram = load<u32>(HEADER, HEADER_RAM_BASE);
  if (first != 0) touchCache(first - ram, inFirst, waits);
  if (second != 0) touchCache(second - ram, size - inFirst, waits);
}

function loadAccess(linear: u64, size: u32, seg: u32, access: u32, system: bool): u64 {
  const inFirst: u32 = 0x1000 - ((<u32>linear) & 0xfff);
  if (size > inFirst) checkCanonicalEnd(linear, size, seg);
  const first = translateAccess(linear, access, seg);
  const physical = mmioPhysical;
  const cached = !system && isCached();
  if (size <= inFirst) {
    if (first == 0) return mmioLoad(physical, size);
    if (cached) touchCache(first - load<u32>(HEADER, HEADER_RAM_BASE), size, true);
    return loadAt(first, size);
  }
  const second = translateAccess(nextPage(linear, system), access, seg);
  const physicalSecond = mmioPhysical;
  if (cached) touchBoth(first, second, inFirst, size, true);
  let value: u64 = 0;
  for (let i: u32 = 0; i < size; ++i) {
    const byte =
      i < inFirst
        ? byteIn(first != 0 ? first + i : 0, physical + i)
        : byteIn(second != 0 ? second + (i - inFirst) : 0, physicalSecond + (i - inFirst));
    value |= byte << (i << 3);
  }
  return value;
}

function storeAccess(linear: u64, value: u64, size: u32, seg: u32, access: u32, system: bool): void {
  const inFirst: u32 = 0x1000 - ((<u32>linear) & 0xfff);
  if (size > inFirst) checkCanonicalEnd(linear, size, seg);
  const first = translateAccess(linear, access, seg);
  const physical = mmioPhysical;
  const cached = !system && isCached();
  if (size <= inFirst) {
    if (first != 0) {
      if (cached) touchCache(first - load<u32>(HEADER, HEADER_RAM_BASE), size, false);
      storeAt(first, value, size);
      wrote(first);
    } else mmioStore(physical, value, size);
    return;
  }
  const second = translateAccess(nextPage(linear, system), access, seg);
  const physicalSecond = mmioPhysical;
  if (cached) touchBoth(first, second, inFirst, size, false);
  for (let i: u32 = 0; i < size; ++i) {
    const byte = value >> (i << 3);
    if (i < inFirst) byteOut(first != 0 ? first + i : 0, physical + i, byte);
    else byteOut(second != 0 ? second + (i - inFirst) : 0, physicalSecond + (i - inFirst), byte);
  }
  if (first != 0) wrote(first);
  if (second != 0) wrote(second);
}

/** #AC where it is asked for (SDM vol. 3, 6.15): after the access is known to be possible. */
function checkAlignment(linear: u64, size: u32): void {
  if (load<u32>(cpu, ALIGN) != 0 && ((<u32>linear) & (size - 1)) != 0) raise(V_AC, 0);
}

export function loadSlow(linear: u64, size: u32, seg: u32): u64 {
  if (load<u32>(cpu, ALIGN) != 0) probe(linear, size, false, seg);
  checkAlignment(linear, size);
  const value = loadAccess(linear, size, seg, rights(), false);
  if (load<u32>(cpu, WATCH) != 0) watch(linear, size, false);
  return value;
}

export function storeSlow(linear: u64, value: u64, size: u32, seg: u32): void {
  // It would leave the store buffer when the instruction retires, which it never does.
  if (isTransient()) return;
  if (load<u32>(cpu, ALIGN) != 0) probe(linear, size, true, seg);
  checkAlignment(linear, size);
  storeAccess(linear, value, size, seg, rights() | PF_WRITE, false);
  if (load<u32>(cpu, WATCH) != 0) watch(linear, size, true);
}

function translateWriteSlow(linear: u64, size: u32, seg: u32): usize {
  endTransient();
  probe(linear, size, true, seg);
  checkAlignment(linear, size);
  if (((<u32>linear) & (size - 1)) != 0) return 0;
  const address = translateAccess(linear, rights() | PF_WRITE, seg);
  if (address == 0) return 0;
  if (isCached()) touchCache(<u32>address - load<u32>(HEADER, HEADER_RAM_BASE), size, true);
  wrote(address);
  if (load<u32>(cpu, WATCH) != 0) watch(linear, size, true);
  return address;
}

/** CLFLUSH on a processor with a cache: the faults of a load, then the line is gone, unless nothing counts any more. */
export function flushLine(linear: u64, seg: u32): void {
  const address = translateAccess(linear, rights(), seg);
  if (address != 0 && !isTransient()) dropLine(address - load<u32>(HEADER, HEADER_RAM_BASE));
}

/** Raises the faults that an access of `size` bytes (at most a page) would raise with the rights of CPL. */
export function probe(linear: u64, size: u32, write: bool, seg: u32): void {
  const access = rights() | (write ? PF_WRITE : 0);
  const crosses = ((<u32>linear) & 0xfff) + size > 0x1000;
  if (crosses) checkCanonicalEnd(linear, size, seg);
  translateAccess(linear, access, seg);
  if (crosses) translateAccess(nextPage(linear, false), access, seg);
}

/** The same for an access with supervisor rights. */
export function probeSys(linear: u64, size: u32, write: bool, seg: u32): void {
  const access = write ? PF_WRITE : 0;
  translateAccess(linear, access, seg);
  if (((<u32>linear) & 0xfff) + size > 0x1000) translateAccess(nextPage(linear, true), access, seg);
}

/** Data breakpoints (SDM vol. 3, 17.2.5): a trap after the instruction, told by DR6. */
function watch(linear: u64, size: u32, write: bool): void {
  if (isTransient()) return;
  if (load<u32>(cpu, DEBUG_WATCHES) != 0) debuggerWatches(linear, size, write);
  const dr7 = <u32>load<u64>(cpu + 7 * 8, DR);
  let hits: u32 = 0;
  for (let i: u32 = 0; i < 4; ++i) {
    if (((dr7 >>> (2 * i)) & 3) == 0) continue;
    const kind = (dr7 >>> (16 + 4 * i)) & 3;
    if (kind != 3 && !(kind == 1 && write)) continue;
    // LEN 0, 1, 2, 3: 1, 2, 8, 4 bytes.
    const code = (dr7 >>> (18 + 4 * i)) & 3;
    const length: u64 = code == 2 ? 8 : <u64>(code + 1);
    const begin = load<u64>(cpu + i * 8, DR) & ~(length - 1);
    if (linear < begin + length && begin < linear + size) hits |= 1 << i;
  }
  if (hits == 0) return;
  store<u32>(cpu, load<u32>(cpu, PENDING_DEBUG) | hits, PENDING_DEBUG);
  atomic.or<u32>(cpu + ATTENTION, ATT_DEBUG);
}

/** Loads as the processor itself does, with supervisor rights: descriptor tables, TSS, inner stacks. */
export function ldSys<T>(linear: u64, seg: u32 = SEG_DS): T {
  const entry = <u32>cpu + TLB_SUPERVISOR + ((<u32>(linear >> 7)) & SLOT);
  if (load<u64>(entry, TAG_READ) == (((linear + (sizeof<T>() - 1)) & PAGE_MASK) | load<u64>(cpu, TLB_GENERATION)))
    return load<T>(load<u32>(entry, ADDEND) + <u32>linear);
  return <T>loadAccess(linear, sizeof<T>(), seg, 0, true);
}

/** Stores as the processor itself does, with supervisor rights. */
export function stSys<T>(linear: u64, value: T, seg: u32 = SEG_DS): void {
  const entry = <u32>cpu + TLB_SUPERVISOR + ((<u32>(linear >> 7)) & SLOT);
  if (load<u64>(entry, TAG_WRITE) == (((linear + (sizeof<T>() - 1)) & PAGE_MASK) | load<u64>(cpu, TLB_GENERATION)))
    store<T>(load<u32>(entry, ADDEND) + <u32>linear, value);
  else storeAccess(linear, <u64>value, sizeof<T>(), seg, PF_WRITE, true);
  if (load<u32>(cpu, WATCH) != 0) watch(linear, sizeof<T>(), true);
}

/** Sets or clears bits of a 32-bit word in supervisor memory, as one step to whatever is LOCKed. */
function changeSys(linear: u64, set: u32, clear: u32): void {
  const address = translateAccess(linear, PF_WRITE, SEG_DS);
  if (address == 0 || (address & 3) != 0) {
    probeSys(linear, 4, true, SEG_DS);
    lockBus();
    stSys<u32>(linear, (ldSys<u32>(linear) | set) & ~clear);
    unlockBus();
    return;
  }
  beginShort();
  if (set != 0) atomic.or<u32>(address, set);
  if (clear != 0) atomic.and<u32>(address, ~clear);
  endShort();
  wrote(address);
}

/** The accessed and busy flags of descriptors (SDM vol. 3, 8.1.2.1). */
export function orSys(linear: u64, bits: u32): void {
  changeSys(linear, bits, 0);
}

export function clearSys(linear: u64, bits: u32): void {
  changeSys(linear, 0, bits);
}

/**
 * Translates an instruction address (linear: base added, canonical or not) with the rights of CPL. Returns the physical
 * address of the byte; #GP(0) or #PF with I/D if it cannot be fetched. An address at or above the size of memory is no
 * memory, and fetches all ones.
 */
export function fetchPage(linear: u64): u64 {
  const address = translateAccess(linear, rights() | PF_FETCH, SEG_DS);
  return address != 0 ? <u64>(address - load<u32>(HEADER, HEADER_RAM_BASE)) : mmioPhysical;
}
