import { ENTRIES, ENTRY_BYTES, FRAME_BYTES, P, RW } from "../entries.ts"
import { changeLow, DEVICE, forceUser, G, guestFrame, isDevice, wantsWrite, WITHHELD } from "./entry.ts"
import { DATA, type DirectState, WRITERS } from "./state.ts"

/*
 * Entries of level 1, and who may write to what. A frame is a page table or mapped writable, never both. Xen refuses a
 * writable mapping of a page table, and refuses to make a table of what is mapped writable: its guests take the right
 * from their own direct map first. Here the host does that for them: it withholds RW, remembers in the entry that it was
 * asked for (WITHHELD), and grants it at the first store after the frame has ceased to be a table. So a kernel that maps
 * all of its memory writable, as kernels do, needs to know of this only that its stores to tables are refused.
 */

/** Number of an entry, + 1: 0 is none. */
export const entryNumber = (table: number, index: number): number => table * ENTRIES + index + 1

const addressOfNumber = (s: DirectState, number: number): number =>
  s.addressOf(Math.floor((number - 1) / ENTRIES)) + ((number - 1) % ENTRIES) * ENTRY_BYTES

/** An entry that may write to its frame may not any more. */
const withhold = (s: DirectState, number: number): void => {
  changeLow(s, addressOfNumber(s, number), RW, WITHHELD)
  s.flushPending = true
  s.stats.writeProtects++
}

/**
 * M:094 And if you map one frame a million times, writable, and then hang it up as a table? Somebody would have to find
 * all of those, while everybody waits.
 *
 * So few entries may write to a frame at a time, and they are known by number. One more takes the place of another, which
 * gets it back when it is stored through: the guest notices nothing but a fault.
 */
const addWriter = (s: DirectState, gfn: number, number: number): void => {
  const slots = gfn * WRITERS
  for (let i = slots; i < slots + WRITERS; i++)
    if (s.writers[i] === 0) {
      s.writers[i] = number
      s.writable[gfn]!++
      return
    }
  // The first is mostly the guest's direct map.
  const victim = slots + 1 + (number % (WRITERS - 1))
  withhold(s, s.writers[victim]!)
  s.writers[victim] = number
}

const removeWriter = (s: DirectState, gfn: number, number: number): void => {
  const slots = gfn * WRITERS
  for (let i = slots; i < slots + WRITERS; i++)
    if (s.writers[i] === number) {
      s.writers[i] = 0
      s.writable[gfn]!--
      return
    }
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
      addWriter(s, gfn, number)
    } else own |= WITHHELD
  }
  s.references[gfn]!++
  s.lo = own >>> 0
  return true
}

/** Gives back what an entry that stood in a table referred to. */
export const dropLeaf = (s: DirectState, number: number, lo: number, hi: number): void => {
  if ((lo & P) === 0) return
  const gfn = guestFrame(s, lo, hi)
  s.references[gfn]!--
  if ((lo & RW) === 0) return
  removeWriter(s, gfn, number)
  s.flushPending = true
}

/** A frame that was a page table is none: a store to it through the entry at `at` may go on. */
export const grantWrite = (s: DirectState, table: number, at: number, gfn: number): void => {
  addWriter(s, gfn, entryNumber(table, (at % FRAME_BYTES) / ENTRY_BYTES))
  changeLow(s, at, WITHHELD, RW)
}

/** Takes the right to write to a frame from every entry. */
export const withholdAll = (s: DirectState, gfn: number): void => {
  const slots = gfn * WRITERS
  for (let i = slots; i < slots + WRITERS; i++) {
    if (s.writers[i] !== 0) withhold(s, s.writers[i]!)
    s.writers[i] = 0
  }
  s.writable[gfn] = 0
}
