import { A, D, ENTRIES } from "../entries.ts"
import { FIXED, PF_USER } from "../interface.ts"
import { leafRights } from "../refresh.ts"
import { levelOf } from "../roles.ts"
import { type Announced, forget } from "../simple/announced.ts"
import type { SimpleState } from "../simple/state.ts"
import { setLeaf } from "../simple/tree.ts"
import { tableWalk } from "../walk.ts"

/*
 * What lguest does with an announced entry of the last level: it makes the spte anew at once if the guest has set A, which
 * says that it expects the page to be used. That saves it the fault.
 */

/** Whether what the guest's tables say now for an spte of level 1 allows one without an access; then it is in `s.walk`. */
const isReady = (s: SimpleState, sp: number, index: number, gpa: number): boolean => {
  const w = s.walk
  const root = s.pageRoot[sp]!
  const pgd = s.spaceKey[s.spaceOfRoot(root)]!
  if (tableWalk(s, w, pgd, s.pageFirst[sp]! + index, s.isUserRoot(root) ? PF_USER : 0) !== FIXED) return false
  if (w.leafLevel !== 1 || w.gpa[1] !== gpa || s.hostFrame(w.gfn) < 0) return false
  return (w.lo[1]! & w.lo[2]! & w.lo[3]! & w.lo[4]! & A) !== 0
}

export const remake: Announced = (s, sp, index, gpa) => {
  if (levelOf(s.pageRole[sp]!) !== 1 || !isReady(s, sp, index, gpa)) {
    forget(s, sp, index, gpa)
    return
  }
  const id = sp * ENTRIES + index
  const info = s.entryInfo[id]!
  const target = s.entryTarget[id]!
  setLeaf(s, id, s.walk.gfn, leafRights(s.walk.access, (s.walk.lo[1]! & D) !== 0))
  if (s.entryInfo[id] !== info || s.entryTarget[id] !== target) s.stats.refreshed++
}
