import {
  entryFrame,
  isLeaf,
  isPresent,
  type PageTables,
  type TableEntry,
  walkTables,
} from "../../machine/pageTables.ts"
import type { DescribedEntry } from "../../mmu4/interface.ts"

/*
 * Walks for people: the guest's tables and the shadow side by side, as mmu4's `describe` gives them. Nothing is changed.
 */

/** Guest-physical and host-physical frames that are the same memory. */
export interface FrameMap {
  readonly count: number
  /** Host frame of guest frame 0. */
  readonly first: number
  /** From here on addresses are the host's. */
  readonly top: number
}

const NX_HI = 0x8000_0000
const hex = (n: number): string => `0x${n.toString(16)}`

const guestNote = (tables: PageTables, entry: TableEntry): string => {
  if (!isPresent(entry)) return "not present"
  return `${isLeaf(tables.format, entry) ? "gfn" : "table of gfn"} ${hex(entryFrame(tables.format, entry))}`
}

const shadowNote = (tables: PageTables, entry: TableEntry, gva: number, { count, first, top }: FrameMap): string => {
  if (gva >= top && isLeaf(tables.format, entry)) return "the host's"
  if (!isPresent(entry)) return "empty"
  const hfn = entryFrame(tables.format, entry)
  if (!isLeaf(tables.format, entry)) return `table in hfn ${hex(hfn)}`
  const gfn = hfn - first
  return gfn >= 0 && gfn < count ? `gfn ${hex(gfn)}${(entry.hi & NX_HI) === 0 ? "" : " NX"}` : "the host's"
}

const described = (
  tables: PageTables | undefined,
  gva: number,
  note: (tables: PageTables, entry: TableEntry) => string,
): ReadonlyArray<DescribedEntry> =>
  tables === undefined ? [] : walkTables(tables, BigInt(gva)).map((entry) => ({ ...entry, note: note(tables, entry) }))

/** `guest`: undefined in the linear view. */
export const describeWalks = (
  guest: PageTables | undefined,
  shadow: PageTables,
  gva: number,
  frames: FrameMap,
): { readonly guest: ReadonlyArray<DescribedEntry>; readonly shadow: ReadonlyArray<DescribedEntry> } => ({
  guest: described(guest, gva, guestNote),
  shadow: described(shadow, gva, (tables, entry) => shadowNote(tables, entry, gva, frames)),
})
