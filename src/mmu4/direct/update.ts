import { ENTRY_BYTES, FRAME_BYTES, P, RW, US } from "../entries.ts"
import { guestFrame, readEntry, writeEntry } from "./entry.ts"
import { rootsFollow } from "./roots.ts"
import { DATA, type DirectState, levelOfType } from "./state.ts"
import { dropEntry, guard, settle, takeEntry, unguard } from "./types.ts"

/*
 * One entry of a page table gets a new value: what it will refer to is taken, then it is stored, then what it referred to is
 * given back. So a value that is refused changes nothing, and no processor ever sees one that has not been looked at.
 */

/** A PML4 entry changes sides: what hangs below has to be given up before it can be taken anew. */
const changesSpace = (level: number, lo: number, hi: number, oldLo: number, oldHi: number): boolean =>
  level === 4 &&
  (lo & oldLo & P) !== 0 &&
  ((lo ^ oldLo) & US) !== 0 &&
  ((lo ^ oldLo) & ~0xfff) === 0 &&
  ((hi ^ oldHi) & 0xfffff) === 0

const replace = (s: DirectState, gfn: number, index: number, lo: number, hi: number): boolean => {
  const type = s.type[gfn]!
  const level = levelOfType(type)
  const at = s.addressOf(gfn) + index * ENTRY_BYTES
  if (!takeEntry(s, type, gfn, index, lo, hi)) return false
  const newLo = s.lo
  const newHi = s.hi
  // Not before: the new one may have taken the old one's place among those that may write.
  readEntry(s, at)
  const oldLo = s.lo
  const oldHi = s.hi
  writeEntry(s, at, newLo, newHi)
  if (level === 4) rootsFollow(s, gfn, index, newLo, newHi)
  // The same page, writable before and after: there is nothing that a processor must forget.
  const same =
    level === 1 &&
    (oldLo & newLo & (P | RW)) === (P | RW) &&
    guestFrame(s, oldLo, oldHi) === guestFrame(s, newLo, newHi)
  const pending = s.flushPending
  dropEntry(s, type, gfn, index, oldLo, oldHi)
  if (same) s.flushPending = pending
  return true
}

/** Stores hi:lo to the entry at a guest-physical address in a page table. False: refused, `reason` says why. */
export const updateEntry = (s: DirectState, gpa: number, lo: number, hi: number): boolean => {
  const gfn = Math.floor(gpa / FRAME_BYTES)
  const index = (gpa % FRAME_BYTES) / ENTRY_BYTES
  guard(s, gfn)
  readEntry(s, s.addressOf(gfn) + index * ENTRY_BYTES)
  const oldLo = s.lo
  const oldHi = s.hi
  const moves = changesSpace(levelOfType(s.type[gfn]!), lo, hi, oldLo, oldHi)
  if (moves) {
    replace(s, gfn, index, 0, 0)
    settle(s)
  }
  const good = replace(s, gfn, index, lo, hi)
  if (moves && !good) {
    const { reason } = s
    replace(s, gfn, index, oldLo, oldHi)
    s.reason = reason
  }
  unguard(s, gfn)
  return good
}

/** The same for an entry wherever it is: in a frame that is no page table it is just stored. */
export const storeAnywhere = (s: DirectState, gpa: number, lo: number, hi: number): boolean => {
  if (s.type[Math.floor(gpa / FRAME_BYTES)] !== DATA) return updateEntry(s, gpa, lo, hi)
  const at = s.first * FRAME_BYTES + gpa
  s.memory.write32(at + 4, hi)
  s.memory.write32(at, lo)
  return true
}
