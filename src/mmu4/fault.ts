import { unchanged } from "./accessedDirty.ts"
import { blockBase, ENTRIES, FRAMES_PER_ENTRY, indexAt } from "./entries.ts"
import { markUsed, obtainPage } from "./create.ts"
import { mayBeHuge } from "./hugePages.ts"
import { EMULATE, type FaultKind, FIXED, PF_WRITE } from "./interface.ts"
import { judge } from "./judge.ts"
import { mayWrite } from "./protect.ts"
import { directAccess, leafRights } from "./refresh.ts"
import { directRole, isDirect, tableRole } from "./roles.ts"
import { ensureRoot } from "./root.ts"
import { dropEntry, linkTable, setLeaf } from "./spte.ts"
import { pageOf } from "./tableEntry.ts"
import { ENTRY_LEAF, ENTRY_TABLE, ENTRY_W } from "./columns.ts"
import type { ShadowState } from "./state.ts"
import { makeUnsync } from "./unsync.ts"
import type { GuestWalk, Result, VcpuState } from "./vcpuState.ts"

/*
 * H:240 If the Guest's tables allow the access, the fault was only the shadow's ignorance, and is cured here: go down
 * both trees side by side and mend what is missing. The Guest never hears of it.
 *
 * A page fault, from the guest walk to the spte: walk the guest's tables; follow or make the shadow pages along the
 * same path; set the last spte.
 */

/** Level of the spte that is to map the walk's page: 2 where a large page may stay large. */
const targetLevel = (s: ShadowState, w: GuestWalk): number => (w.leafLevel >= 2 && mayBeHuge(s, w.gfn) ? 2 : 1)

/** The guest's tables are not any more what the walk saw. */
const CHANGED = -1

/** Whether a page of `level` shadows what the walk saw. */
const agrees = (s: ShadowState, w: GuestWalk, sp: number, level: number): boolean =>
  isDirect(s.pageRole[sp]!) || unchanged(s, w, level)

/**
 * The shadow page that the spte `id` of `level` ought to refer to for this walk; made and linked if it does not. Or
 * CHANGED.
 */
const descend = (s: ShadowState, w: GuestWalk, id: number, level: number, userView: boolean): number => {
  const direct = level <= w.leafLevel
  const below = level - 1
  const gfn = direct ? blockBase(w.gfn, below) : w.table[below]!
  const role = direct
    ? directRole(below, directAccess(w.access, w.dirty))
    : tableRole(below, w.accessAt[level]!, userView ? s.views.userRole : 0)
  if ((s.entryInfo[id]! & ENTRY_TABLE) !== 0) {
    const child = s.entryTarget[id]!
    if (s.pageGfn[child] === gfn && s.pageRole[child] === role) {
      markUsed(s, child)
      return child
    }
  }
  if (!agrees(s, w, pageOf(id), level)) return CHANGED
  dropEntry(s, id)
  const child = obtainPage(s, gfn, role)
  if (direct && below === 1) s.stats.split++
  linkTable(s, id, child)
  s.linked = true
  return child
}

/** Sets the last spte and counts the fault by what it was. */
const setLast = (s: ShadowState, w: GuestWalk, id: number, level: number, write: boolean): FaultKind => {
  const gfn = level === 1 ? w.gfn : w.gfn - (w.gfn % FRAMES_PER_ENTRY[level]!)
  const faults = s.stats.shadowFaults
  let rights = leafRights(w.access, w.dirty)
  let unsync = false
  if ((rights & ENTRY_W) !== 0 && level === 1 && !mayWrite(s, gfn)) {
    unsync = write && makeUnsync(s, gfn)
    if (!unsync) rights &= ~ENTRY_W
  }
  const before = s.entryInfo[id]!
  const same = (before & ENTRY_LEAF) !== 0 && s.entryTarget[id] === gfn
  setLeaf(s, id, gfn, s.hostFrame(gfn), rights)
  if (level === 2 && !same) s.stats.huge++
  if (write && (rights & ENTRY_W) === 0) {
    faults.emulate++
    return EMULATE
  }
  if (unsync) faults.unsync++
  else if (same && !s.linked && s.entryInfo[id] === before) faults.spurious++
  else if (same && !s.linked && write) faults.dirty++
  else faults.fill++
  return FIXED
}

/** The instruction runs once more, and faults once more. */
const again = (s: ShadowState): FaultKind => {
  s.stats.shadowFaults.spurious++
  return FIXED
}

/** Makes the shadow map what the walk found. EMULATE: but for the store, which has to be emulated. */
const fill = (s: ShadowState, v: VcpuState, vpn: number, write: boolean, userView: boolean): FaultKind => {
  const w = v.walk
  s.stamp++
  s.linked = false
  let sp = ensureRoot(s, v, userView)
  markUsed(s, sp)
  let level = 4
  // The tables made on the way may lie in the very block that is to be mapped: ask again at each level.
  while (level > targetLevel(s, w)) {
    sp = descend(s, w, sp * ENTRIES + indexAt(vpn, level), level, userView)
    if (sp === CHANGED) return again(s)
    level--
  }
  if (!agrees(s, w, sp, level)) return again(s)
  return setLast(s, w, sp * ENTRIES + indexAt(vpn, level), level, write)
}

/**
 * H:245 The whole of it, seen from above. A page fault has one of five causes, and this is where they part: the shadow
 * did not know; the Guest's own tables forbid it; there is no memory there, so it is a device; it is a store to a page
 * table; the Guest has gone mad.
 *
 * See VcpuMmu.pageFault.
 */
export const pageFault = (
  s: ShadowState,
  v: VcpuState,
  vpn: number,
  offset: number,
  error: number,
  userView: boolean,
): Result => {
  if (!judge(s, v, vpn, offset, error, userView)) return v.result
  const kind = fill(s, v, vpn, (error & PF_WRITE) !== 0, userView)
  s.flushIfPending()
  // What this processor's TLB holds for the page may be older and narrower.
  s.flushers[v.index]!.flushPage(vpn)
  return v.result.set(kind, 0, v.walk.gfn * 4096 + offset)
}
