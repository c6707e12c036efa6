import { cpu } from "./cpu";
import {
  CR0,
  CR3,
  CR4,
  HEADER,
  HEADER_META_BASE,
  HEADER_RAM_BASE,
  HEADER_RAM_SIZE,
  META_CODE,
  META_VERSION_STEP,
  MSR_EFER,
  PDPTE,
} from "./state";
import {
  CR0_PG,
  CR0_WP,
  CR4_PAE,
  CR4_PGE,
  CR4_PSE,
  EFER_LMA,
  EFER_NXE,
  PF_FETCH,
  PF_PRESENT,
  PF_RESERVED,
  PF_USER,
  PF_WRITE,
} from "./arch";
import { beginShort, endShort } from "./atomic";

/*
 * Page walks (SDM vol. 3, chapter 4): 32-bit with 4 MB pages and PSE-36, PAE, 4-level with 2 MB and 1 GB pages.
 *
 * A walk looks at every entry first and decides; only a walk that succeeds sets accessed and dirty flags, each with a
 * compare-and-exchange against the entry that was judged, and starts over if another processor changed it meanwhile.
 */

/** Bits of a physical address, as CPUID says. */
export const MAXPHYADDR: u32 = 40;
/** Bits of a page-table entry (8-byte formats) that can hold a physical address. */
const FRAME: u64 = 0x000000fffffff000;
/** Bits 51..MAXPHYADDR. */
const HIGH_RESERVED: u64 = 0x000fff0000000000;
/** Bits 62..52: ignored by 4-level paging, reserved by PAE paging. */
const IGNORED: u64 = 0x7ff0000000000000;
const NX: u64 = 0x8000000000000000;

const P: u64 = 1;
const RW: u64 = 2;
const US: u64 = 4;
const ACCESSED: u64 = 0x20;
const DIRTY: u64 = 0x40;
const PS: u64 = 0x80;
const GLOBAL: u64 = 0x100;

/** Result of walk(): success. Anything else is a page-fault error code. */
export const WALK_OK: u32 = 0xffffffff;

// What a successful walk found (globals are per processor, as instances are).
/** Physical address of the byte. */
export let walkPhysical: u64 = 0;
export let walkWritable: bool = false;
export let walkExecutable: bool = false;
export let walkGlobal: bool = false;
export let walkDirty: bool = false;
/** Mapped by a page larger than 4 KiB. */
export let walkLarge: bool = false;

// The entries that the walk went through, for the accessed and dirty flags.
let path0: u64 = 0;
let path1: u64 = 0;
let path2: u64 = 0;
let path3: u64 = 0;
let seen0: u64 = 0;
let seen1: u64 = 0;
let seen2: u64 = 0;
let seen3: u64 = 0;
let depth: i32 = 0;

/** Whether all of [physical, physical + size) is memory. */
// @ts-ignore: decorator
@inline
export function inRam(physical: u64, size: u64): bool {
  return physical + size <= <u64>load<u32>(HEADER, HEADER_RAM_SIZE) && physical + size >= size;
}

/** WebAssembly address of a physical one that is known to be memory. */
// @ts-ignore: decorator
@inline
export function ramAddress(physical: u64): u32 {
  return load<u32>(HEADER, HEADER_RAM_BASE) + <u32>physical;
}

/** WebAssembly address of the metadata word of the page at `physical`, which is memory. */
// @ts-ignore: decorator
@inline
export function metaAddress(physical: u64): u32 {
  return load<u32>(HEADER, HEADER_META_BASE) + (((<u32>physical) >>> 12) << 2);
}

/** An 8-byte entry; all ones, as on an open bus, outside of memory. */
function entry64(physical: u64): u64 {
  return inRam(physical, 8) ? atomic.load<u64>(ramAddress(physical)) : ~(<u64>0);
}

function entry32(physical: u64): u64 {
  return inRam(physical, 4) ? <u64>atomic.load<u32>(ramAddress(physical)) : 0xffffffff;
}

function remember(physical: u64, seen: u64): void {
  if (depth == 0) {
    path0 = physical;
    seen0 = seen;
  } else if (depth == 1) {
    path1 = physical;
    seen1 = seen;
  } else if (depth == 2) {
    path2 = physical;
    seen2 = seen;
  } else {
    path3 = physical;
    seen3 = seen;
  }
  ++depth;
}

/** Sets flags in an entry if it still is what was seen; false when it is not. */
function setFlagsOf(physical: u64, seen: u64, flags: u64, wide: bool): bool {
  if ((seen & flags) == flags) return true;
  const at = ramAddress(physical);
  beginShort();
  const done = wide
    ? atomic.cmpxchg<u64>(at, seen, seen | flags) == seen
    : atomic.cmpxchg<u32>(at, <u32>seen, <u32>(seen | flags)) == <u32>seen;
  endShort();
  const meta = metaAddress(physical);
  if (atomic.load<u32>(meta) & META_CODE) atomic.add<u32>(meta, META_VERSION_STEP);
  return done;
}

/** Sets A on the path and D on its last entry if asked; false when an entry has changed under the walk. */
function commit(write: bool, wide: bool): bool {
  const leaf = write ? ACCESSED | DIRTY : ACCESSED;
  if (depth > 0 && !setFlagsOf(path0, seen0, depth == 1 ? leaf : ACCESSED, wide)) return false;
  if (depth > 1 && !setFlagsOf(path1, seen1, depth == 2 ? leaf : ACCESSED, wide)) return false;
  if (depth > 2 && !setFlagsOf(path2, seen2, depth == 3 ? leaf : ACCESSED, wide)) return false;
  if (depth > 3 && !setFlagsOf(path3, seen3, leaf, wide)) return false;
  return true;
}

/** The bits of the error code that say what the access was. I/D is reported only where NX can exist. */
function errorBits(access: u32): u32 {
  const fetchCounts = (load<u64>(cpu, CR4) & CR4_PAE) != 0 && (load<u64>(cpu, MSR_EFER) & EFER_NXE) != 0 ? PF_FETCH : 0;
  return access & (PF_WRITE | PF_USER | fetchCounts);
}

/** Whether the rights gathered on the path allow the access (SDM vol. 3, 4.6). */
function permitted(access: u32, rights: u64, executable: bool): bool {
  if ((access & PF_USER) != 0 && (rights & US) == 0) return false;
  if ((access & PF_FETCH) != 0) return executable;
  if ((access & PF_WRITE) == 0 || (rights & RW) != 0) return true;
  return (access & PF_USER) == 0 && (load<u64>(cpu, CR0) & CR0_WP) == 0;
}

/** Judges and records a leaf; the common end of all walks. */
function finish(access: u32, physical: u64, rights: u64, executable: bool, leaf: u64): u32 {
  if (!permitted(access, rights, executable)) return PF_PRESENT | errorBits(access);
  walkPhysical = physical;
  walkWritable = permitted((access & PF_USER) | PF_WRITE, rights, executable);
  walkExecutable = executable;
  walkGlobal = (leaf & GLOBAL) != 0 && (load<u64>(cpu, CR4) & CR4_PGE) != 0;
  walkDirty = (leaf & DIRTY) != 0 || (access & PF_WRITE) != 0;
  return WALK_OK;
}

function walk32(linear: u32, access: u32): u32 {
  const directory = (load<u64>(cpu, CR3) & 0xfffff000) + ((linear >>> 22) << 2);
  const pde = entry32(directory);
  if ((pde & P) == 0) return errorBits(access);
  remember(directory, pde);
  if ((pde & PS) != 0 && (load<u64>(cpu, CR4) & CR4_PSE) != 0) {
    // PSE-36: bits 20..13 hold address bits 39..32; with MAXPHYADDR 40 only bit 21 is reserved.
    if (pde & 0x00200000) return PF_PRESENT | PF_RESERVED | errorBits(access);
    walkLarge = true;
    const frame = (pde & 0xffc00000) | (((pde >> 13) & 0xff) << 32);
    return finish(access, frame | (linear & 0x003fffff), pde, true, pde);
  }
  const table = (pde & 0xfffff000) + (((linear >>> 12) & 0x3ff) << 2);
  const pte = entry32(table);
  if ((pte & P) == 0) return errorBits(access);
  remember(table, pte);
  return finish(access, (pte & 0xfffff000) | (linear & 0xfff), pde & pte, true, pte);
}

/** The last two levels of PAE and 4-level paging, from the table that holds the directory entry. */
function walkDirectory(linear: u64, access: u32, table: u64, rights: u64, executable: bool, reserved: u64): u32 {
  const directory = table + (((linear >> 21) & 0x1ff) << 3);
  const pde = entry64(directory);
  if ((pde & P) == 0) return errorBits(access);
  const large = (pde & PS) != 0;
  if ((pde & (large ? reserved | 0x001fe000 : reserved)) != 0) return PF_PRESENT | PF_RESERVED | errorBits(access);
  remember(directory, pde);
  rights &= pde;
  executable = executable && (pde & NX) == 0;
  if (large) {
    walkLarge = true;
    return finish(access, (pde & FRAME & ~(<u64>0x1fffff)) | (linear & 0x1fffff), rights, executable, pde);
  }
  const at = (pde & FRAME) + (((linear >> 12) & 0x1ff) << 3);
  const pte = entry64(at);
  if ((pte & P) == 0) return errorBits(access);
  if ((pte & reserved) != 0) return PF_PRESENT | PF_RESERVED | errorBits(access);
  remember(at, pte);
  return finish(access, (pte & FRAME) | (linear & 0xfff), rights & pte, executable && (pte & NX) == 0, pte);
}

function walkPae(linear: u32, access: u32): u32 {
  // The four PDPTEs are registers, checked when CR3 was loaded (SDM vol. 3, 4.4.1); they have no rights and no A flag.
  const pdpte = load<u64>(cpu + ((linear >>> 30) << 3), PDPTE);
  if ((pdpte & P) == 0) return errorBits(access);
  const reserved = HIGH_RESERVED | IGNORED | ((load<u64>(cpu, MSR_EFER) & EFER_NXE) != 0 ? 0 : NX);
  return walkDirectory(linear, access, pdpte & FRAME, RW | US, true, reserved);
}

function walk4(linear: u64, access: u32): u32 {
  const reserved = HIGH_RESERVED | ((load<u64>(cpu, MSR_EFER) & EFER_NXE) != 0 ? 0 : NX);
  const top = (load<u64>(cpu, CR3) & FRAME) + (((linear >> 39) & 0x1ff) << 3);
  const pml4e = entry64(top);
  if ((pml4e & P) == 0) return errorBits(access);
  if ((pml4e & (reserved | PS)) != 0) return PF_PRESENT | PF_RESERVED | errorBits(access);
  remember(top, pml4e);
  const at = (pml4e & FRAME) + (((linear >> 30) & 0x1ff) << 3);
  const pdpte = entry64(at);
  if ((pdpte & P) == 0) return errorBits(access);
  const huge = (pdpte & PS) != 0;
  if ((pdpte & (huge ? reserved | 0x3fffe000 : reserved)) != 0) return PF_PRESENT | PF_RESERVED | errorBits(access);
  remember(at, pdpte);
  const rights = pml4e & pdpte;
  const executable = ((pml4e | pdpte) & NX) == 0;
  if (huge) {
    walkLarge = true;
    return finish(access, (pdpte & FRAME & ~(<u64>0x3fffffff)) | (linear & 0x3fffffff), rights, executable, pdpte);
  }
  return walkDirectory(linear, access, pdpte & FRAME, rights, executable, reserved);
}

/**
 * P:090 The second fence is paging, and it is the one that counts. Every address that a program uses is looked up, page
 * by page of 4 KiB, in a tree of tables whose root is in register CR3: four levels on x86_64, each entry with a frame's
 * number and with what may be done there. Present, writable, for the user too, not to be executed. Change CR3 and you
 * are in another world. An access that the tables forbid is a page fault, exception 14, and CR2 says where.
 *
 * Translates a canonical linear address. `access` is PF_WRITE, PF_USER, PF_FETCH as they would be in the error code.
 * Returns WALK_OK with the walk* globals set, or the page fault's error code. With `quiet` nothing is changed in
 * memory.
 */
export function walk(linear: u64, access: u32, quiet: bool): u32 {
  const cr0 = load<u64>(cpu, CR0);
  if ((cr0 & CR0_PG) == 0) {
    walkPhysical = linear & 0xffffffff;
    walkWritable = true;
    walkExecutable = true;
    walkGlobal = false;
    walkDirty = true;
    walkLarge = false;
    return WALK_OK;
  }
  for (;;) {
    depth = 0;
    walkLarge = false;
    let wide = true;
    let result: u32;
    if ((load<u64>(cpu, MSR_EFER) & EFER_LMA) != 0) result = walk4(linear, access);
    else if ((load<u64>(cpu, CR4) & CR4_PAE) != 0) result = walkPae(<u32>linear, access);
    else {
      wide = false;
      result = walk32(<u32>linear, access);
    }
    if (result != WALK_OK || quiet || commit((access & PF_WRITE) != 0, wide)) return result;
  }
  // @ts-ignore: not reached
  return WALK_OK;
}

/** Reserved bits of a PAE PDPTE: 2..1, 8..5 and everything above the address. */
const PDPTE_RESERVED: u64 = ~(FRAME | 0xe19);

/**
 * Loads the four PDPTEs as MOV CR3 does under PAE (SDM vol. 3, 4.4.1). Returns false, with nothing changed, when a
 * present one has a reserved bit set.
 */
export function loadPdptes(cr3: u64): bool {
  const table = cr3 & 0xffffffe0;
  for (let i: u32 = 0; i < 4; ++i) {
    const entry = entry64(table + (i << 3));
    if ((entry & P) != 0 && (entry & PDPTE_RESERVED) != 0) return false;
  }
  for (let i: u32 = 0; i < 4; ++i) store<u64>(cpu + (i << 3), entry64(table + (i << 3)), PDPTE);
  return true;
}
