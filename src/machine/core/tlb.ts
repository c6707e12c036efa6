import { cpu } from "./cpu";
import {
  ATTENTION,
  ATT_FLUSH,
  COUNT_INVLPG,
  COUNT_TLB_FLUSH,
  COUNT_TLB_MISS,
  CPU_AREA,
  CPU_STRIDE,
  FETCH_EPOCH,
  HEADER,
  HEADER_CODE_EPOCH,
  HEADER_CPUS,
  HEADER_RAM_BASE,
  LARGE_HIGH,
  LARGE_LOW,
  META_CODE,
  META_VERSION_STEP,
  MSR_APIC_BASE,
  SEG_SS,
  TLB_ADDEND,
  TLB_AREA,
  TLB_ENTRIES,
  TLB_ENTRY_SIZE,
  TLB_FLAGS,
  TLB_F_EXECUTE,
  TLB_F_GLOBAL,
  TLB_F_LARGE,
  TLB_F_WRITE,
  TLB_GENERATION,
  TLB_GENERATION_MASK,
  TLB_GLOBAL_GENERATION,
  TLB_GLOBAL_SHIFT,
  TLB_TAG_EXECUTE,
  TLB_TAG_READ,
  TLB_TAG_WRITE,
} from "./state";
import { PF_FETCH, PF_USER, PF_WRITE, V_GP, V_SS } from "./arch";
import { raise } from "./fault";
import { denied, isTransient, translateTransient } from "./late";
import {
  WALK_OK,
  inRam,
  metaAddress,
  ramAddress,
  walk,
  walkDirty,
  walkExecutable,
  walkGlobal,
  walkLarge,
  walkPhysical,
  walkWritable,
} from "./paging";

/*
 * The software TLB: direct-mapped, one half for accesses with supervisor rights, one for those with user rights, and a
 * third, always empty "half" that is put in use while every access has to be looked at (alignment checks, data
 * breakpoints).
 *
 * An entry (32 bytes) holds for a 4 KiB page three tags, one for each kind of access that may go straight to memory. A
 * tag is the page's linear address, canonical, with the current generation (1..4095) in its low bits, so a flush is a
 * new generation. Global entries outlive it: they carry the global generation, and the slow path gives them new tags.
 *
 * The TLB is architectural: an entry stays as it is, whatever happens to the tables, until it is flushed, pushed out by
 * another page, or found to forbid an access (then the tables are walked again before a fault is raised).
 */

/** A 4 KiB page's worth of tag. */
export const PAGE_MASK: u64 = 0xfffffffffffff000;
const ENTRIES: u32 = TLB_ENTRIES;
const ENTRY_SIZE: u32 = TLB_ENTRY_SIZE;
const HALF: u32 = ENTRIES * ENTRY_SIZE;
/** (linear >> 7) & SLOT: offset of a page's entry in a half. */
export const SLOT: u32 = HALF - ENTRY_SIZE;
export const TLB_SUPERVISOR: u32 = TLB_AREA;
export const TLB_USER: u32 = TLB_AREA + HALF;
export const TLB_VOID: u32 = TLB_AREA + 2 * HALF;

/** u64 each. */
export const TAG_READ: u32 = TLB_TAG_READ;
export const TAG_WRITE: u32 = TLB_TAG_WRITE;
export const TAG_EXECUTE: u32 = TLB_TAG_EXECUTE;
/** u32: WebAssembly address of the page minus the low 32 bits of its linear address. */
export const ADDEND: u32 = TLB_ADDEND;
/** u32: F_*, and the global generation in the upper half. */
export const FLAGS: u32 = TLB_FLAGS;

const F_GLOBAL: u32 = TLB_F_GLOBAL;
/** Writing is allowed and D is set (yet there is no write tag while the page holds decoded code). */
const F_WRITE: u32 = TLB_F_WRITE;
const F_EXECUTE: u32 = TLB_F_EXECUTE;
/** A fragment of a page larger than 4 KiB. */
const F_LARGE: u32 = TLB_F_LARGE;
const GLOBAL_SHIFT: u32 = TLB_GLOBAL_SHIFT;
const GENERATION_MASK: u64 = TLB_GENERATION_MASK;

/** Physical address of the last access that translateAccess() found to be no memory. */
export let mmioPhysical: u64 = 0;

// @ts-ignore: decorator
@inline
function count(counter: u32): void {
  store<u64>(cpu + counter, load<u64>(cpu + counter) + 1);
}

// @ts-ignore: decorator
@inline
function entryOf(linear: u64, half: u32): u32 {
  return <u32>cpu + half + ((<u32>(linear >> 7)) & SLOT);
}

// @ts-ignore: decorator
@inline
export function isCanonical(linear: u64): bool {
  return <u64>((<i64>(linear << 16)) >> 16) == linear;
}

function drop(entry: u32): void {
  store<u64>(entry, 0, TAG_READ);
  store<u64>(entry, 0, TAG_WRITE);
  store<u64>(entry, 0, TAG_EXECUTE);
}

function holds(entry: u32, linear: u64): bool {
  const tag = load<u64>(entry, TAG_READ);
  if (((tag ^ linear) & PAGE_MASK) != 0 || (tag & GENERATION_MASK) == 0) return false;
  if ((tag & GENERATION_MASK) == load<u64>(cpu, TLB_GENERATION)) return true;
  const flags = load<u32>(entry, FLAGS);
  return (flags & F_GLOBAL) != 0 && flags >>> GLOBAL_SHIFT == load<u32>(cpu, TLB_GLOBAL_GENERATION);
}

/** Empties both halves at once: at reset, and when a generation counter comes round. */
export function resetTlb(): void {
  memory.fill(cpu + TLB_AREA, 0, 3 * HALF);
  store<u64>(cpu, 1, TLB_GENERATION);
  store<u64>(cpu, 1, TLB_GLOBAL_GENERATION);
  store<u64>(cpu, ~(<u64>0), LARGE_LOW);
  store<u64>(cpu, 0, LARGE_HIGH);
  store<u32>(cpu, load<u32>(cpu, FETCH_EPOCH) + 1, FETCH_EPOCH);
}

/** Drops all entries; global ones only if `global`. */
export function flushAll(global: bool): void {
  count(COUNT_TLB_FLUSH);
  const generation = load<u64>(cpu, TLB_GENERATION) + 1;
  const globals = load<u64>(cpu, TLB_GLOBAL_GENERATION) + (global ? 1 : 0);
  if (generation > GENERATION_MASK || globals > 0xffff) {
    resetTlb();
    return;
  }
  store<u64>(cpu, generation, TLB_GENERATION);
  store<u64>(cpu, globals, TLB_GLOBAL_GENERATION);
  if (global) {
    store<u64>(cpu, ~(<u64>0), LARGE_LOW);
    store<u64>(cpu, 0, LARGE_HIGH);
  }
  store<u32>(cpu, load<u32>(cpu, FETCH_EPOCH) + 1, FETCH_EPOCH);
}

/**
 * INVLPG: drops the page of `linear`, global or not. A large page is cached as 4 KiB fragments and has to go as a
 * whole (SDM vol. 3, 4.10.4.1), so where large pages have been seen all fragments of all of them go.
 */
export function flushPage(linear: u64): void {
  count(COUNT_INVLPG);
  for (let half = TLB_SUPERVISOR; half <= TLB_USER; half += HALF) {
    const entry = entryOf(linear, half);
    if (((load<u64>(entry, TAG_READ) ^ linear) & PAGE_MASK) == 0) drop(entry);
  }
  store<u32>(cpu, load<u32>(cpu, FETCH_EPOCH) + 1, FETCH_EPOCH);
  if (linear < load<u64>(cpu, LARGE_LOW) || linear > load<u64>(cpu, LARGE_HIGH)) return;
  const end = <u32>cpu + TLB_SUPERVISOR + 2 * HALF;
  for (let entry = <u32>cpu + TLB_SUPERVISOR; entry < end; entry += ENTRY_SIZE)
    if ((load<u32>(entry, FLAGS) & F_LARGE) != 0) drop(entry);
}

/** Takes away every fast write tag for pages that hold decoded code; what may have been written becomes stale code. */
export function dropCodeWrites(): void {
  const end = <u32>cpu + TLB_SUPERVISOR + 2 * HALF;
  const ram = load<u32>(HEADER, HEADER_RAM_BASE);
  for (let entry = <u32>cpu + TLB_SUPERVISOR; entry < end; entry += ENTRY_SIZE) {
    const tag = load<u64>(entry, TAG_WRITE);
    if (tag == 0) continue;
    const meta = metaAddress(load<u32>(entry, ADDEND) + <u32>(tag & PAGE_MASK) - ram);
    if ((atomic.load<u32>(meta) & META_CODE) == 0) continue;
    store<u64>(entry, 0, TAG_WRITE);
    atomic.add<u32>(meta, META_VERSION_STEP);
  }
}

/**
 * The decoder says that it is about to keep instructions of the page at `physical` (memory). From here on a write to it
 * takes the slow path and bumps the page's version, on this processor at once, on others as soon as they take the
 * attention that is asked of them here (whatever they wrote until then is caught by dropCodeWrites). To be called before
 * the version word is read and the bytes are decoded.
 */
export function markCode(physical: u32): void {
  const meta = metaAddress(physical);
  if ((atomic.or<u32>(meta, META_CODE) & META_CODE) != 0) return;
  atomic.add<u32>(HEADER + HEADER_CODE_EPOCH, 1);
  dropCodeWrites();
  const cpus = load<u32>(HEADER, HEADER_CPUS);
  for (let i: u32 = 0; i < cpus; ++i) {
    const other = CPU_AREA + i * CPU_STRIDE;
    if (other != <u32>cpu) atomic.or<u32>(other + ATTENTION, ATT_FLUSH);
  }
}

/** Writes an entry's tags for the current generation from its flags. */
function tag(entry: u32, linear: u64, flags: u32, code: bool): void {
  const value = (linear & PAGE_MASK) | load<u64>(cpu, TLB_GENERATION);
  store<u64>(entry, value, TAG_READ);
  store<u64>(entry, (flags & F_WRITE) != 0 && !code ? value : 0, TAG_WRITE);
  store<u64>(entry, (flags & F_EXECUTE) != 0 ? value : 0, TAG_EXECUTE);
}

function isCode(physical: u64): bool {
  return (atomic.load<u32>(metaAddress(physical)) & META_CODE) != 0;
}

/** Whether the physical page is no memory: beyond it, or where the local APIC answers. */
function isMmio(physical: u64): bool {
  if (!inRam(physical & PAGE_MASK, 4096)) return true;
  const apic = load<u64>(cpu, MSR_APIC_BASE);
  return (apic & 0x800) != 0 && ((apic ^ physical) & 0x000000fffffff000) == 0;
}

/**
 * P:100 Nobody walks four tables for each byte. The TLB remembers translations, and it is allowed to be wrong: a
 * processor does not notice that a table has been changed until it is told (by a new CR3, or INVLPG for one page). Half
 * of the subtle bugs of every kernel live in that sentence, and most of those of a hypervisor.
 *
 * Translates one access that lies within a page. `access`: PF_WRITE, PF_FETCH; PF_USER if it is to have user rights.
 * Returns the WebAssembly address of the byte, or 0 when it is no memory, with mmioPhysical set. Raises #PF, or for a
 * non-canonical address #SS(0) if `seg` is SS, else #GP(0).
 */
export function translateAccess(linear: u64, access: u32, seg: u32): u32 {
  const entry = entryOf(linear, (access & PF_USER) != 0 ? TLB_USER : TLB_SUPERVISOR);
  if (holds(entry, linear)) {
    const flags = load<u32>(entry, FLAGS);
    const address = load<u32>(entry, ADDEND) + <u32>linear;
    const need = (access & PF_WRITE) != 0 ? F_WRITE : (access & PF_FETCH) != 0 ? F_EXECUTE : 0;
    if ((flags & need) == need) {
      tag(entry, linear, flags, isCode(address - load<u32>(HEADER, HEADER_RAM_BASE)));
      return address;
    }
  }
  if (!isCanonical(linear)) raise(seg == SEG_SS ? V_SS : V_GP, 0);
  if (isTransient()) return translateTransient(linear, access);
  drop(entry);
  count(COUNT_TLB_MISS);
  const error = walk(linear, access, false);
  if (error != WALK_OK) return denied(linear, access, error);
  if (isMmio(walkPhysical)) {
    mmioPhysical = walkPhysical;
    return 0;
  }
  const address = ramAddress(walkPhysical);
  let flags = load<u32>(cpu, TLB_GLOBAL_GENERATION) << GLOBAL_SHIFT;
  if (walkGlobal) flags |= F_GLOBAL;
  if (walkWritable && walkDirty) flags |= F_WRITE;
  if (walkExecutable) flags |= F_EXECUTE;
  if (walkLarge) {
    flags |= F_LARGE;
    // 1 GiB around the page: at least the whole of the large page that holds it.
    const low = linear & ~(<u64>0x3fffffff);
    const high = linear | 0x3fffffff;
    if (low < load<u64>(cpu, LARGE_LOW)) store<u64>(cpu, low, LARGE_LOW);
    if (high > load<u64>(cpu, LARGE_HIGH)) store<u64>(cpu, high, LARGE_HIGH);
  }
  store<u32>(entry, address - <u32>linear, ADDEND);
  store<u32>(entry, flags, FLAGS);
  tag(entry, linear, flags, isCode(walkPhysical));
  return address;
}
