import { A, D, ENTRIES, ENTRY_BYTES } from "../entries.ts"
import { chainNext, chainOf } from "../hash.ts"
import { FIXED, PF_USER } from "../interface.ts"
import { leafRights } from "../refresh.ts"
import { levelOf } from "../roles.ts"
import { tableWalk } from "../walk.ts"
import type { SimpleState } from "../simple/state.ts"
import { dropEntry, setLeaf } from "../simple/tree.ts"

/*
 * SET_PTE and its kin: what was made from an entry of the guest's is found by the frame of its table, in all roots of all
 * virtual CPUs. An entry of an upper table takes all below with it. One of the last level is made anew if the guest has
 * set A, which says that it expects the page to be used: that saves it the fault.
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

const announcedIn = (s: SimpleState, sp: number, index: number, gpa: number): void => {
  const id = sp * ENTRIES + index
  const info = s.entryInfo[id]!
  const target = s.entryTarget[id]!
  if (levelOf(s.pageRole[sp]!) === 1 && isReady(s, sp, index, gpa)) {
    setLeaf(s, id, s.walk.gfn, leafRights(s.walk.access, (s.walk.lo[1]! & D) !== 0))
  } else {
    dropEntry(s, id)
  }
  if (s.entryInfo[id] !== info || s.entryTarget[id] !== target) s.stats.refreshed++
}

/** See ShadowMmu.entryChanged. */
export const announced = (s: SimpleState, gpa: number): void => {
  const gfn = Math.floor(gpa / 4096)
  if (!(gfn >= 0 && gfn < s.frameCount)) return
  const index = Math.floor((gpa % 4096) / ENTRY_BYTES)
  const entry = gfn * 4096 + index * ENTRY_BYTES
  let sp = chainOf(s, gfn)
  while (sp >= 0) {
    const free = s.freeSlotCount
    if (s.pageGfn[sp] === gfn) announcedIn(s, sp, index, entry)
    // A table that refers to itself has shadows below its shadows: if pages went, they may have been next in the chain.
    sp = s.freeSlotCount === free ? chainNext(s, sp) : chainOf(s, gfn)
  }
  s.flushEverybody()
}
