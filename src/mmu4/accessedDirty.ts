import type { GuestTables } from "./columns.ts"
import { A, D } from "./entries.ts"
import { readGuestEntry } from "./guestEntry.ts"
import type { GuestWalk } from "./vcpuState.ts"

/*
 * H:230 Hardware leaves footprints in page tables, A for "used" and D for "written", and kernels live by them. The
 * hardware leaves them in the shadow now, where the Guest does not look. Carrying them back later would be a race
 * against the Guest, so none is ever late: the first access faults, and so does the first store.
 *
 * Accessed and dirty flags of the guest's entries (SDM vol. 3, 4.8). The shadow's own flags never flow back: instead no
 * spte exists before the guest's A flags are set, and none is writable before the guest's D flag is. A guest that
 * clears a flag and flushes loses the spte, or its right to write, at the resync; the next access comes here again.
 */

/** Sets flags in one entry of the walk; false when the guest has changed the entry under it. */
const setFlags = (s: GuestTables, w: GuestWalk, level: number, flags: number): boolean => {
  const seen = w.lo[level]!
  if ((seen & flags) === flags) return true
  const at = s.hostAddress(w.gpa[level]!)
  let expected = seen
  for (;;) {
    const found = s.memory.compareExchange32(at, expected, (expected | flags) >>> 0)
    if (found === expected) {
      w.lo[level] = (expected | flags) >>> 0
      return s.memory.read32(at + 4) === w.hi[level]
    }
    // The same entry may serve several levels (a table that maps itself): then it was this walk that set A.
    if (((found ^ seen) & ~(A | D)) !== 0) return false
    expected = found
  }
}

/** Sets A on the path and, for a store, D on the mapping entry. False: walk again. */
export const commitFlags = (s: GuestTables, w: GuestWalk, write: boolean): boolean => {
  for (let level = 4; level > w.leafLevel; level--) if (!setFlags(s, w, level, A)) return false
  if (!setFlags(s, w, w.leafLevel, write ? A | D : A)) return false
  w.dirty = (w.lo[w.leafLevel]! & D) !== 0
  return true
}

/**
 * M:090 The classic, check and use: let the Host walk a good table, and put a bad entry in before it draws its
 * conclusion. Whoever writes the shadow has to look twice, and the second time when nobody can write any more.
 *
 * Whether the entry that a walk went through is still there, with its flags (or more: another level may be the same
 * entry). Other processors can store to a guest table until its shadow page is made; an spte may be made only from an
 * entry that was looked at again afterwards.
 */
export const unchanged = (s: GuestTables, w: GuestWalk, level: number): boolean => {
  readGuestEntry(s, s.hostAddress(w.gpa[level]!))
  const seen = w.lo[level]!
  return s.guestHi === w.hi[level] && ((s.guestLo ^ seen) & ~(A | D)) === 0 && (seen & ~s.guestLo) === 0
}
