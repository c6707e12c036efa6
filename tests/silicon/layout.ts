import { at, struct } from "../../src/machine/layout.ts"

/*
 * What the native harness (harness.c) and the simulated processor agree on: the records of a case and of its result,
 * the memory map, and the descriptor tables. Both sides read and write the same bytes, so a comparison is one of records.
 */

const PATCHES = 8
const DIFFS = 6

export const HEADER = struct("header", "HEADER", 24, "the start of a batch", {
  magic: at(0, 4, "MAGIC"),
  cases: at(4, 4, "number of cases"),
  regions: at(8, 4, "number of regions"),
  descriptors: at(12, 4, "entries of the LDT"),
  testBytes: at(16, 4, "size of a case"),
  resultBytes: at(20, 4, "size of a result"),
})
export const MAGIC = 0x58363853

/** A case: a whole user-mode state, the instruction's bytes and what is put into memory before. */
export const TEST = struct("test", "TEST", 336, "one case", {
  gpr: at(0, 8, "general registers in encoding order", 16),
  rip: at(128, 8, "offset in CS"),
  rflags: at(136, 8, "TF set: the case ends after one instruction; clear: at the INT3 behind it"),
  fsBase: at(144, 8, "where FS is null"),
  gsBase: at(152, 8, "where GS is null"),
  cs: at(160, 2, "selector"),
  ss: at(162, 2, "selector"),
  ds: at(164, 2, "selector"),
  es: at(166, 2, "selector"),
  fs: at(168, 2, "selector"),
  gs: at(170, 2, "selector"),
  codeBytes: at(172, 2, "length of code"),
  patches: at(174, 2, "how many patches are used"),
  codeAddress: at(176, 8, "linear address of the code"),
  code: at(184, 1, "the instruction", 24),
  patch: at(208, 8, "pairs of address and value", 2 * PATCHES),
})

export const RESULT = struct("result", "RESULT", 296, "what a case did", {
  gpr: at(0, 8, "general registers in encoding order", 16),
  rip: at(128, 8, "where it stopped"),
  rflags: at(136, 8, "as pushed by the exception"),
  fsBase: at(144, 8, "FS base"),
  gsBase: at(152, 8, "GS base"),
  cr2: at(160, 8, "of use for vector 14 only"),
  cs: at(168, 2, "selector"),
  ss: at(170, 2, "selector"),
  ds: at(172, 2, "selector"),
  es: at(174, 2, "selector"),
  fs: at(176, 2, "selector"),
  gs: at(178, 2, "selector"),
  vector: at(180, 2, "the exception that ended it"),
  pad: at(182, 2, "0"),
  error: at(184, 4, "error code, 0 where the vector has none"),
  diffs: at(188, 4, "8-byte words of memory that differ from their initial value"),
  hash: at(192, 8, "FNV over address and value of all of them"),
  diff: at(200, 8, "pairs of address and value, the first ones", 2 * DIFFS),
})
export const MAX_PATCHES = PATCHES
export const MAX_DIFFS = DIFFS

// ------------------------------------------------------------------------------------------------------- memory
/** One page for instructions, writable and executable, filled with INT3; nothing behind it. */
export const CODE = 0x10000000
/** Two pages, readable and writable, not executable, with nothing before and behind. */
export const DATA = 0x10100000
export const DATA_END = DATA + 0x2000
/** One page, readable only. */
export const READ_ONLY = 0x10200000
/** Two pages that 16-bit addresses reach from LOW_BASE; as low as Linux lets anybody map (vm.mmap_min_addr). */
export const LOW = 0x10000
const LOW_BASE = 0x8000
export const LOW_END = LOW + 0x2000
/** The last two pages below 4 GiB. */
export const TOP = 0xffffe000

const PROT_READ = 1
const PROT_WRITE = 2
const PROT_EXEC = 4

export interface Region {
  readonly address: number
  readonly bytes: number
  readonly writable: boolean
  readonly executable: boolean
}

/** In ascending order, as results list them. */
export const REGIONS: ReadonlyArray<Region> = [
  { address: LOW, bytes: 0x2000, writable: true, executable: false },
  { address: CODE, bytes: 0x1000, writable: true, executable: true },
  { address: DATA, bytes: 0x2000, writable: true, executable: false },
  { address: READ_ONLY, bytes: 0x1000, writable: false, executable: false },
  { address: TOP, bytes: 0x2000, writable: true, executable: false },
]

export const protection = (r: Region): number =>
  PROT_READ | (r.writable ? PROT_WRITE : 0) | (r.executable ? PROT_EXEC : 0)

/** Whether `bytes` bytes at `address` are in one writable region. */
export const writable = (address: number, bytes: number): boolean =>
  REGIONS.some((r) => r.writable && address >= r.address && address + bytes <= r.address + r.bytes)

/** Initial bytes of a region: INT3 for code; else random words with runs of zeros and of equal bytes for SCAS and CMPS. */
export const initialBytes = (r: Region): Uint8Array => {
  const bytes = new Uint8Array(r.bytes)
  if (r.executable) return bytes.fill(0xcc)
  let x = r.address | 1
  for (let i = 0; i < bytes.length; i++) {
    x = Math.imul(x, 1664525) + 1013904223
    const zone = (i >>> 8) & 3
    if (zone === 0 || zone === 3) bytes[i] = x >>> 24
    if (zone === 1) bytes[i] = (i & 63) === 63 ? x >>> 24 : 0
    if (zone === 2) bytes[i] = (i & 127) === 100 ? x >>> 24 : (0x80 + (i >>> 10)) & 0xff
  }
  return bytes
}

// --------------------------------------------------------------------------------------------------- descriptors
const descriptor = (
  base: number,
  limit: number,
  type: number,
  options: { big?: boolean; pages?: boolean; present?: boolean },
) =>
  BigInt(limit & 0xffff) |
  (BigInt(base & 0xffffff) << 16n) |
  // Accessed, S = 1, DPL 3: Linux gives every LDT entry these.
  (BigInt(type | 0x01 | 0x10 | 0x60 | (options.present === false ? 0 : 0x80)) << 40n) |
  (BigInt((limit >>> 16) & 15) << 48n) |
  (BigInt((options.big === false ? 0 : 4) | (options.pages ? 8 : 0)) << 52n) |
  (BigInt(base >>> 24) << 56n)

const READ_WRITE = 2
const EXPAND_DOWN = 4
const EXECUTE = 8
const FLAT = 0xfffff

/** The LDT; index 0 is unused. */
export const LDT: ReadonlyArray<bigint> = [
  0n,
  descriptor(0, FLAT, READ_WRITE, { pages: true }),
  descriptor(DATA, 0x1fff, READ_WRITE, {}),
  descriptor(DATA + 0x10, 0x7f, READ_WRITE, {}),
  descriptor(DATA, 0x1fff, 0, {}),
  descriptor(DATA, 0xfff, READ_WRITE | EXPAND_DOWN, {}),
  descriptor(LOW_BASE, 0x8fff, READ_WRITE | EXPAND_DOWN, { big: false }),
  descriptor(0, FLAT, EXECUTE, { pages: true }),
  descriptor(CODE, 0xfff, EXECUTE | READ_WRITE, {}),
  descriptor(0, FLAT, READ_WRITE, { pages: true, present: false }),
  descriptor(CODE, 0xfff, EXECUTE | READ_WRITE, { big: false }),
  descriptor(LOW_BASE, 0xffff, READ_WRITE, { big: false }),
  descriptor(0, FLAT, EXECUTE, { pages: true, present: false }),
  descriptor(DATA, 0x1fff, READ_WRITE, { big: false }),
  descriptor(0, FLAT, READ_WRITE | EXPAND_DOWN, { pages: true }),
]
/** Selector of an LDT entry at RPL 3. */
export const ldt = (index: number): number => index * 8 + 7
export const LDT_FLAT = ldt(1)
export const LDT_CODE_32 = ldt(8)
export const LDT_CODE_16 = ldt(10)
export const LDT_LOW_16 = ldt(11)

/** Linux's selectors for user code and data. */
export const USER32_CS = 0x23
export const USER_DS = 0x2b
export const USER_CS = 0x33

/** Linux's GDT as far as user code can tell: 16 entries. */
export const GDT: ReadonlyArray<bigint> = [
  0n,
  0x00cf9b000000ffffn,
  0x00af9b000000ffffn,
  0x00cf93000000ffffn,
  0x00cffb000000ffffn,
  0x00cff3000000ffffn,
  0x00affb000000ffffn,
  ...Array.from({ length: 8 }, () => 0n),
  // Its limit is the number of the processor, which is 0: the harness stays on that one.
  0x0040f50000000000n,
]
export const GDT_ENTRIES = 16
/** The GDT index of the TSS descriptor and of the LDT's, two entries each. */
export const GDT_TSS = 8
export const GDT_LDT = 10

/** Selectors worth loading. */
export const SELECTORS: ReadonlyArray<number> = [
  0,
  1,
  2,
  3,
  USER32_CS,
  USER_DS,
  USER_CS,
  0x20,
  0x28,
  0x2a,
  0x29,
  0x30,
  0x10,
  0x18,
  0x08,
  0x40,
  0x43,
  0x48,
  0x50,
  0x63,
  0x78,
  0x7b,
  0x7f,
  0x80,
  0x83,
  0xfff8,
  0xffff,
  ...LDT.map((_, i) => ldt(i)),
  ...LDT.map((_, i) => ldt(i) - 2),
  LDT.length * 8 + 7,
]

export const descriptorOf = (selector: number): bigint =>
  (selector & 4 ? LDT[selector >>> 3] : GDT[selector >>> 3]) ?? 0n
export const baseOf = (selector: number): number => {
  const d = descriptorOf(selector)
  return Number(((d >> 16n) & 0xffffffn) | ((d >> 32n) & 0xff000000n))
}
/** Bytes, granularity applied. */
export const limitOf = (selector: number): number => {
  const d = descriptorOf(selector)
  const limit = Number((d & 0xffffn) | ((d >> 32n) & 0xf0000n))
  return (d >> 55n) & 1n ? limit * 0x1000 + 0xfff : limit
}
/** Bits 8..15 and 20..23 of the descriptor's upper half. */
export const attributesOf = (selector: number): number => Number((descriptorOf(selector) >> 32n) & 0x00f0ff00n)
/** Whether the selector is of 64-bit code. */
export const isLong = (selector: number): boolean => ((descriptorOf(selector) >> 53n) & 1n) === 1n
