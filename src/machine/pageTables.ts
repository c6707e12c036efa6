/*
 * Page tables read by people: the walk to one address, entry by entry, and all that is mapped. The three formats of the SDM
 * (vol. 3, 4.3 to 4.5) are one shape with other numbers. Nothing is believed and nothing is changed: tables that lead out of
 * memory, or back into themselves, make a shorter answer.
 */

export interface PagingFormat {
  readonly name: "2-level" | "PAE" | "4-level"
  readonly levels: 2 | 3 | 4
  readonly entryBytes: 4 | 8
  /** log2 of the entries of a table; the top table of PAE has four. */
  readonly indexBits: 9 | 10
  /** The highest level at which an entry can map a (large) page. */
  readonly leafLevel: 1 | 2 | 3
  /** Bits of an address. */
  readonly addressBits: 32 | 48
}

export const PAGING_2_LEVEL: PagingFormat = {
  name: "2-level",
  levels: 2,
  entryBytes: 4,
  indexBits: 10,
  leafLevel: 2,
  addressBits: 32,
}
/** CR4.PSE is off: an entry's bit 7 means nothing. */
export const PAGING_2_LEVEL_SMALL: PagingFormat = { ...PAGING_2_LEVEL, leafLevel: 1 }
export const PAGING_PAE: PagingFormat = {
  name: "PAE",
  levels: 3,
  entryBytes: 8,
  indexBits: 9,
  leafLevel: 2,
  addressBits: 32,
}
export const PAGING_4_LEVEL: PagingFormat = {
  name: "4-level",
  levels: 4,
  entryBytes: 8,
  indexBits: 9,
  leafLevel: 3,
  addressBits: 48,
}

/** Tables and the memory that they lie in. */
export interface PageTables {
  readonly format: PagingFormat
  /** Physical address of the top table. */
  readonly root: number
  /** 32 bits at a physical address, unsigned; undefined: there is no memory. */
  readonly read32: (pa: number) => number | undefined
}

export interface TableEntry {
  /** The hardware's: 1 is the last. */
  readonly level: number
  /** Physical address of the entry, and its two halves; `hi` is 0 where an entry has 32 bits. */
  readonly address: number
  readonly lo: number
  readonly hi: number
}

const P = 1
const W = 2
const U = 4
const PS = 0x80
const NX_HI = 0x8000_0000
const ADDRESS_HI = 0xfffff
const PAGE_BITS = 12

/** CR0.PG, CR4.PSE, CR4.PAE, EFER.LMA. */
const CR0_PG = 1n << 31n
const CR4_PSE = 1n << 4n
const CR4_PAE = 1n << 5n
const EFER_LMA = 1n << 10n

/** What control registers say: the format and the root; undefined: paging is off. */
export const pagingOf = (
  read: (register: "cr0" | "cr3" | "cr4" | "efer") => bigint,
): { readonly format: PagingFormat; readonly root: number } | undefined => {
  if ((read("cr0") & CR0_PG) === 0n) return undefined
  const cr3 = read("cr3")
  const cr4 = read("cr4")
  if ((read("efer") & EFER_LMA) !== 0n) return { format: PAGING_4_LEVEL, root: Number(cr3 & 0x000f_ffff_ffff_f000n) }
  if ((cr4 & CR4_PAE) !== 0n) return { format: PAGING_PAE, root: Number(cr3 & 0xffff_ffe0n) }
  const format = (cr4 & CR4_PSE) !== 0n ? PAGING_2_LEVEL : PAGING_2_LEVEL_SMALL
  return { format, root: Number(cr3 & 0xffff_f000n) }
}

const shiftOf = (format: PagingFormat, level: number): number => PAGE_BITS + (level - 1) * format.indexBits

/** Number of the entry for an address in a table of `level`. */
export const tableIndex = (format: PagingFormat, address: bigint, level: number): number => {
  const within = BigInt.asUintN(format.addressBits, address) >> BigInt(shiftOf(format, level))
  return Number(BigInt.asUintN(format.indexBits, within))
}

/** Entries of a table. */
const entriesOf = (format: PagingFormat, level: number): number =>
  2 ** Math.min(format.indexBits, format.addressBits - shiftOf(format, level))

export const isPresent = ({ lo }: { readonly lo: number }): boolean => (lo & P) !== 0

/** Whether an entry, present, maps a page: at level 1, or a large one. */
export const isLeaf = (format: PagingFormat, { level, lo }: Pick<TableEntry, "level" | "lo">): boolean =>
  level === 1 || (level <= format.leafLevel && (lo & PS) !== 0)

/** Number of the frame that an entry refers to: a table's, or a page's first. */
export const entryFrame = (format: PagingFormat, entry: Pick<TableEntry, "level" | "lo" | "hi">): number => {
  const frame = (entry.hi & ADDRESS_HI) * 2 ** 20 + (entry.lo >>> 12)
  // The low bits of a large page's frame are PAT and reserved ones.
  return isLeaf(format, entry) ? frame - (frame % 2 ** ((entry.level - 1) * format.indexBits)) : frame
}

/** PAE's top entries have no rights of their own. */
const hasRights = (format: PagingFormat, level: number): boolean => format.name !== "PAE" || level < 3

const readEntry = (tables: PageTables, level: number, address: number): TableEntry | undefined => {
  const lo = tables.read32(address)
  const hi = tables.format.entryBytes === 8 ? tables.read32(address + 4) : 0
  return lo === undefined || hi === undefined ? undefined : { level, address, lo, hi }
}

/** The walk to an address as far as it goes, from the top; nothing where even the root is no memory. */
export const walkTables = (tables: PageTables, address: bigint): ReadonlyArray<TableEntry> => {
  const { format } = tables
  const entries: TableEntry[] = []
  let table = tables.root
  for (let level: number = format.levels; level >= 1; level--) {
    const entry = readEntry(tables, level, table + tableIndex(format, address, level) * format.entryBytes)
    if (entry === undefined) break
    entries.push(entry)
    if (!isPresent(entry) || isLeaf(format, entry)) break
    table = entryFrame(format, entry) * 4096
  }
  return entries
}

/** What all levels together allow. */
export interface Rights {
  readonly write: boolean
  readonly user: boolean
  readonly execute: boolean
}

export interface MappedRange extends Rights {
  /** First address, sign-extended as the processor wants it, and bytes. */
  readonly begin: bigint
  readonly bytes: bigint
}

export interface Mapped {
  readonly ranges: ReadonlyArray<MappedRange>
  /** Tables may refer to each other without end: only so many entries were read. */
  readonly cut: boolean
}

/** All that is mapped, neighbours of equal rights together; at most `most` entries are read. */
export const mappedRanges = (tables: PageTables, most: number): Mapped => {
  const { format } = tables
  const ranges: Array<{ begin: bigint; bytes: bigint } & Rights> = []
  let left = most
  const add = (begin: bigint, bytes: bigint, rights: Rights): void => {
    const last = ranges.at(-1)
    const same = last !== undefined && last.begin + last.bytes === begin
    if (same && last.write === rights.write && last.user === rights.user && last.execute === rights.execute)
      last.bytes += bytes
    else ranges.push({ begin, bytes, ...rights })
  }
  const visit = (table: number, level: number, at: bigint, above: Rights): void => {
    const bytes = 1n << BigInt(shiftOf(format, level))
    for (let i = 0; i < entriesOf(format, level); i++) {
      if (left-- <= 0) return
      const entry = readEntry(tables, level, table + i * format.entryBytes)
      if (entry === undefined) return
      if (!isPresent(entry)) continue
      const rights = hasRights(format, level)
        ? {
            write: above.write && (entry.lo & W) !== 0,
            user: above.user && (entry.lo & U) !== 0,
            execute: above.execute && (entry.hi & NX_HI) === 0,
          }
        : above
      const begin = at + bytes * BigInt(i)
      if (isLeaf(format, entry)) add(begin, bytes, rights)
      else visit(entryFrame(format, entry) * 4096, level - 1, begin, rights)
    }
  }
  visit(tables.root, format.levels, 0n, { write: true, user: true, execute: true })
  const canonical = (address: bigint): bigint =>
    format.addressBits === 48 ? BigInt.asUintN(64, BigInt.asIntN(48, address)) : address
  return { ranges: ranges.map((range) => ({ ...range, begin: canonical(range.begin) })), cut: left < 0 }
}
