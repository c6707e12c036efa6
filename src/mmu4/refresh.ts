import { A, D, ENTRIES, ENTRY_BYTES, frameOf, FRAMES_PER_ENTRY, mapsPage, P, reservedLo } from "./entries.ts"
import { mayWrite } from "./protect.ts"
import { readGuestEntry } from "./guestEntry.ts"
import {
  ACCESS_ALL,
  accessBelow,
  directRole,
  levelOf,
  ROLE_U,
  ROLE_USER,
  ROLE_W,
  ROLE_X,
  tableRole,
  visible,
} from "./roles.ts"
import { dropEntry, setLeaf } from "./spte.ts"
import { ENTRY_LEAF, ENTRY_TABLE, ENTRY_U, ENTRY_W, ENTRY_X } from "./columns.ts"
import type { ShadowState } from "./state.ts"

/*
 * Brings one spte in line with the guest entry that it was made from. It is kept where the guest entry still says the
 * same, narrowed or moved where that is enough, and else removed: the next access will walk and fault it in.
 */

/** Rights of a leaf whose path allows `access`, for a page that is clean or dirty. */
export const leafRights = (access: number, dirty: boolean): number =>
  ((access & ROLE_W) !== 0 && dirty ? ENTRY_W : 0) |
  ((access & ROLE_X) !== 0 ? ENTRY_X : 0) |
  ((access & ROLE_U) !== 0 ? ENTRY_U : 0)

/** Access of a direct page: clean large pages are read-only in all their parts. */
export const directAccess = (access: number, dirty: boolean): number => (dirty ? access : access & ~ROLE_W)

const refreshPage = (s: ShadowState, id: number, gfn: number, access: number, dirty: boolean): void => {
  const hfn = s.hostFrame(gfn)
  if (hfn < 0) {
    dropEntry(s, id)
    return
  }
  const rights = leafRights(access, dirty)
  setLeaf(s, id, gfn, hfn, mayWrite(s, gfn) ? rights : rights & ~ENTRY_W)
}

/** A large page in the guest's table of `level`: its spte maps it too, or refers to a direct page. */
const refreshLarge = (s: ShadowState, id: number, level: number, gfn: number, access: number, dirty: boolean): void => {
  const info = s.entryInfo[id]!
  const target = s.entryTarget[id]!
  if ((info & ENTRY_TABLE) !== 0) {
    const same = s.pageRole[target] === directRole(level - 1, directAccess(access, dirty))
    if (!same || s.pageGfn[target] !== gfn) dropEntry(s, id)
  } else if (target !== gfn) {
    dropEntry(s, id)
  } else {
    setLeaf(s, id, gfn, s.hostFrame(gfn), leafRights(access, dirty))
  }
}

/**
 * Refreshes spte `index` of a page that shadows a guest table. With `prefetch`, an absent last-level spte is made if the
 * guest's A flag (set by guests that expect the page to be used) allows one without an access.
 */
export const refreshEntry = (s: ShadowState, sp: number, index: number, prefetch: boolean): void => {
  const id = sp * ENTRIES + index
  const info = s.entryInfo[id]!
  const role = s.pageRole[sp]!
  const level = levelOf(role)
  if (info === 0 && !(prefetch && level === 1)) return
  const at = s.hostFrame(s.pageGfn[sp]!) * 4096 + index * ENTRY_BYTES
  readGuestEntry(s, at)
  const lo = s.guestLo
  const hi = s.guestHi
  const targetBefore = s.entryTarget[id]!
  const viewRole = role & ROLE_USER
  const usable =
    (lo & (P | A)) === (P | A) &&
    (lo & reservedLo(lo, level)) === 0 &&
    (hi & s.reservedHi) === 0 &&
    visible(viewRole, lo)
  const access = accessBelow(role, lo, hi) & ACCESS_ALL
  const frame = frameOf(lo, hi)
  if (!usable) {
    dropEntry(s, id)
  } else if (level === 1) {
    refreshPage(s, id, frame, access, (lo & D) !== 0)
  } else if (mapsPage(lo, level)) {
    const size = FRAMES_PER_ENTRY[level]!
    refreshLarge(s, id, level, frame - (frame % size), access, (lo & D) !== 0)
  } else if (
    (info & ENTRY_LEAF) !== 0 ||
    s.pageGfn[targetBefore] !== frame ||
    s.pageRole[targetBefore] !== tableRole(level - 1, access, viewRole)
  ) {
    dropEntry(s, id)
  }
  if (s.entryInfo[id] !== info || s.entryTarget[id] !== targetBefore) s.stats.refreshed++
}

/** Refreshes all sptes of a page that shadows a guest table. */
export const refreshTable = (s: ShadowState, sp: number): void => {
  for (let i = 0, seen = 0, used = s.pageUsed[sp]!; seen < used && i < ENTRIES; i++) {
    if (s.entryInfo[sp * ENTRIES + i] === 0) continue
    seen++
    refreshEntry(s, sp, i, false)
  }
}
