import { commitFlags } from "./accessedDirty.ts"
import type { GuestTables } from "./columns.ts"
import { ENTRY_BYTES, FRAMES_PER_ENTRY, frameOf, indexAt, mapsPage, P, reservedLo, US } from "./entries.ts"
import { readGuestEntry } from "./guestEntry.ts"
import {
  FIXED,
  GUEST_FAULT,
  KILL,
  PF_FETCH,
  PF_PRESENT,
  PF_RESERVED,
  PF_USER,
  PF_WRITE,
  type FaultKind,
} from "./interface.ts"
import { accessBelow, ROLE_W, ROLE_X } from "./roles.ts"
import type { AddressSpace, GuestWalk } from "./vcpuState.ts"

/*
 * H:220 A page fault has come. First question: what do the Guest's own tables say? We walk them as the hardware would
 * have, with the difference that the hardware need not fear that a table's address is a lie.
 *
 * The guest's page tables as the architecture reads them (SDM vol. 3, 4.5 to 4.8), at the privilege that the guest
 * believes in: CR0.WP = 1, EFER.NXE = 1, no SMEP, SMAP or protection keys. Every table is looked at only after its
 * frame has been checked: a guest may put any number into an entry.
 */

/** The linear view: identity for this many frames (4 GiB, as the native boot tables have it), nothing above. */
export const LINEAR_FRAMES = 0x100000
/** A guest's other processors may change entries under a walk; after so many times the instruction just runs again. */
const ATTEMPTS = 8

const fault = (w: GuestWalk, error: number): FaultKind => {
  w.error = error
  return GUEST_FAULT
}

const linearWalk = (w: GuestWalk, vpn: number, bits: number): FaultKind => {
  if (vpn >= LINEAR_FRAMES) return fault(w, bits)
  if ((bits & PF_USER) !== 0) return fault(w, bits | PF_PRESENT)
  w.leafLevel = 4
  w.gfn = vpn
  w.access = ROLE_W | ROLE_X // the kernel's alone
  w.dirty = true
  return FIXED
}

/** Reads the entry for vpn in the table of a level into the walk; false when the table is no memory. */
const readEntry = (s: GuestTables, w: GuestWalk, table: number, vpn: number, level: number): boolean => {
  const hfn = s.hostFrame(table)
  if (hfn < 0) {
    w.badFrame = table
    return false
  }
  const offset = indexAt(vpn, level) * ENTRY_BYTES
  w.table[level] = table
  w.gpa[level] = table * 4096 + offset
  readGuestEntry(s, hfn * 4096 + offset)
  w.lo[level] = s.guestLo
  w.hi[level] = s.guestHi
  return true
}

/** Walks for an access (PF_WRITE, PF_FETCH, PF_USER), and changes nothing but the walk: no flag is set. */
export const tableWalk = (s: GuestTables, w: GuestWalk, pgdGfn: number, vpn: number, bits: number): FaultKind => {
  let table = pgdGfn
  let access = s.views.access
  let user = US
  for (let level = 4; ; level--) {
    if (!readEntry(s, w, table, vpn, level)) return KILL
    const lo = w.lo[level]!
    const hi = w.hi[level]!
    if ((lo & P) === 0) return fault(w, bits)
    if ((lo & reservedLo(lo, level)) !== 0 || (hi & s.reservedHi) !== 0)
      return fault(w, bits | PF_PRESENT | PF_RESERVED)
    access = accessBelow(access, lo, hi)
    user &= lo
    w.accessAt[level] = access
    if (!mapsPage(lo, level)) {
      table = frameOf(lo, hi)
      continue
    }
    const size = FRAMES_PER_ENTRY[level]!
    const frame = frameOf(lo, hi)
    w.leafLevel = level
    // In a large page bit 12 of the entry is PAT and no address.
    w.gfn = frame - (frame % size) + (vpn % size)
    w.access = access
    const forbidden =
      ((bits & PF_USER) !== 0 && user === 0) ||
      ((bits & PF_WRITE) !== 0 && (access & ROLE_W) === 0) ||
      ((bits & PF_FETCH) !== 0 && (access & ROLE_X) === 0)
    return forbidden ? fault(w, bits | PF_PRESENT) : FIXED
  }
}

/**
 * Walks for an access (PF_WRITE, PF_FETCH or 0) into `v.walk`, and sets accessed and dirty flags when it is allowed.
 * False: the guest's entries kept changing; let it run the instruction again.
 */
export const walkGuest = (s: GuestTables, v: AddressSpace, vpn: number, access: number, userView: boolean): boolean => {
  const w = v.walk
  const bits = (access & (PF_WRITE | PF_FETCH)) | (userView ? PF_USER : 0)
  // What lies in the host's slots is nothing to the guest, whatever its tables say.
  if (s.hostSlot[indexAt(vpn, 4)] !== 0) w.outcome = fault(w, bits)
  else if (v.linear) w.outcome = linearWalk(w, vpn, bits)
  else {
    for (let attempt = 0; ; attempt++) {
      if (attempt === ATTEMPTS) return false
      w.outcome = tableWalk(s, w, v.pgdGfn, vpn, bits)
      if (w.outcome !== FIXED || commitFlags(s, w, (bits & PF_WRITE) !== 0)) return true
    }
  }
  return true
}

/** Guest-physical address of the entry that maps vpn, or would if it were present; -1: an entry above is missing. */
export const findEntry = (s: GuestTables, pgdGfn: number, vpn: number): number => {
  let table = pgdGfn
  for (let level = 4; ; level--) {
    const hfn = s.hostFrame(table)
    if (hfn < 0 || (level === 4 && s.hostSlot[indexAt(vpn, 4)] !== 0)) return -1
    const offset = indexAt(vpn, level) * ENTRY_BYTES
    if (level === 1) return table * 4096 + offset
    readGuestEntry(s, hfn * 4096 + offset)
    const lo = s.guestLo
    const hi = s.guestHi
    if ((lo & P) === 0 || (lo & reservedLo(lo, level)) !== 0 || (hi & s.reservedHi) !== 0) return -1
    if (mapsPage(lo, level)) return table * 4096 + offset
    table = frameOf(lo, hi)
  }
}
