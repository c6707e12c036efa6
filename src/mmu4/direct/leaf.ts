import { ENTRIES, ENTRY_BYTES, P, RW } from "../entries.ts"
import { changeLow, DEVICE, forceUser, G, guestFrame, isDevice, readEntry, wantsWrite, WITHHELD } from "./entry.ts"
import { DATA, type DirectState, levelOfType } from "./state.ts"

/*
 * Entries of level 1, and who may write to what. A frame is a page table or mapped writable, never both. Xen refuses a
 * writable mapping of a page table, and refuses to make a table of what is mapped writable: its guests take the right
 * from their own direct map first. Here the host does that for them: it withholds RW, remembers in the entry that it was
 * asked for (WITHHELD), and grants it at the first store after the frame has ceased to be a table. So a kernel that maps
 * all of its memory writable, as kernels do, needs to know of this only that its stores to tables are refused.
 */

/** Number of an entry, + 1: what the hints hold. */
export const entryNumber = (table: number, index: number): number => table * ENTRIES + index + 1

const noteWriter = (s: DirectState, gfn: number, number: number): void => {
  if (s.writable[gfn]!++ === 0 || s.firstWriter[gfn] === 0) s.firstWriter[gfn] = number
  else s.lastWriter[gfn] = number
}

/**
 * Takes what a level-1 entry refers to, for an entry that says hi:lo; `lo` and `hi` of the state are then what may stand
 * there. False: refused.
 */
export const takeLeaf = (s: DirectState, number: number, lo: number, hi: number, force: boolean): boolean => {
  s.lo = lo
  s.hi = hi
  if ((lo & P) === 0 && !((lo & DEVICE) !== 0 && isDevice(s, lo, hi))) return true
  if ((hi & s.reservedHi) !== 0) return s.refuse("reserved bit in a level-1 entry")
  const gfn = guestFrame(s, lo, hi)
  if (gfn < 0) return s.refuse(`machine frame 0x${(gfn + s.first).toString(16)} is not the guest's`)
  const user = forceUser(lo & ~G, force)
  if (gfn >= s.count) {
    s.lo = ((user & ~(P | WITHHELD)) | DEVICE | (wantsWrite(lo) ? RW : 0)) >>> 0
    return true
  }
  let own = user & ~(DEVICE | WITHHELD | RW)
  if (wantsWrite(lo)) {
    if (s.type[gfn] === DATA) {
      own |= RW
      noteWriter(s, gfn, number)
    } else own |= WITHHELD
  }
  s.references[gfn]!++
  s.lo = own >>> 0
  return true
}

/** Gives back what an entry that stood in a table referred to. */
export const dropLeaf = (s: DirectState, lo: number, hi: number): void => {
  if ((lo & P) === 0) return
  const gfn = guestFrame(s, lo, hi)
  s.references[gfn]!--
  if ((lo & RW) === 0) return
  s.writable[gfn]!--
  s.flushPending = true
}

/** A frame that was a page table is none: a store to it through the entry at `at` may go on. */
export const grantWrite = (s: DirectState, table: number, at: number, gfn: number): void => {
  changeLow(s, at, WITHHELD, RW)
  noteWriter(s, gfn, entryNumber(table, (at % 4096) / ENTRY_BYTES))
}

const withhold = (s: DirectState, gfn: number, table: number, index: number): void => {
  if (levelOfType(s.type[table]!) !== 1) return
  const at = s.addressOf(table) + index * ENTRY_BYTES
  readEntry(s, at)
  if ((s.lo & (P | RW)) !== (P | RW) || guestFrame(s, s.lo, s.hi) !== gfn) return
  changeLow(s, at, RW, WITHHELD)
  s.writable[gfn]!--
  s.flushPending = true
  s.stats.writeProtects++
}

const withholdHinted = (s: DirectState, gfn: number, number: number): void => {
  if (number > 0 && s.writable[gfn]! > 0) withhold(s, gfn, Math.floor((number - 1) / ENTRIES), (number - 1) % ENTRIES)
}

/**
 * Takes the right to write to a frame from every entry. Most frames are mapped by the guest's direct map alone, so two
 * hints nearly always do; what they do not find is looked for in all tables.
 */
export const withholdAll = (s: DirectState, gfn: number): void => {
  withholdHinted(s, gfn, s.firstWriter[gfn]!)
  withholdHinted(s, gfn, s.lastWriter[gfn]!)
  s.lastWriter[gfn] = 0
  for (let table = 0; s.writable[gfn]! > 0 && table < s.count; table++) {
    if (levelOfType(s.type[table]!) !== 1) continue
    for (let index = 0; index < ENTRIES; index++) withhold(s, gfn, table, index)
  }
}
