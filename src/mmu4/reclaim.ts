import { listFirst, listNext, parentList } from "./rmap.ts"
import { levelOf } from "./roles.ts"
import { ageInsert, ageRemove, zapPage } from "./shadowPage.ts"
import { testAndClearAccessed } from "./spte.ts"
import { PAGE_TOUCHED } from "./columns.ts"
import type { ShadowState } from "./state.ts"

/*
 * H:320 A hostile Guest can have more page tables than we have memory. It does not get it: a shadow can be made again,
 * so any can be thrown away.
 *
 * Shadow pages are a cache: any of them can go at any time, but for pinned roots and the tables that the fault at hand
 * is walking through. Which one goes is decided by a second chance: the oldest page that was not used since it was
 * looked at last, where "used" is a fault that went through it or an A flag that the processor has set in a parent
 * entry.
 */

/** Pages freed at a time, since each time costs a flush of all TLBs. */
const BATCH = 8
/** Obsolete pages zapped with each new page. */
const OBSOLETE_BATCH = 4

const isObsolete = (s: ShadowState, sp: number): boolean => s.pageGeneration[sp] !== s.generation

const wasUsed = (s: ShadowState, sp: number): boolean => {
  let used = (s.pageFlags[sp]! & PAGE_TOUCHED) !== 0
  s.pageFlags[sp]! &= ~PAGE_TOUCHED
  for (let id = listFirst(s, parentList(s, sp)); id >= 0; id = listNext(s, id))
    if (testAndClearAccessed(s, id)) used = true
  return used
}

/** Zaps the page that can best be done without; false: all are pinned. */
const reclaimOne = (s: ShadowState): boolean => {
  // After one round no page counts as used any more, so the second round finds one.
  for (let left = 2 * (s.limit - s.freeSlotCount); left > 0; left--) {
    const sp = s.oldest - 1
    if (sp < 0) return false
    if (isObsolete(s, sp)) {
      zapPage(s, sp)
      return true
    }
    if (s.pagePins[sp] === 0 && s.pageStamp[sp] !== s.stamp && !wasUsed(s, sp)) {
      s.stats.reclaimed[levelOf(s.pageRole[sp]!)]!++
      zapPage(s, sp)
      return true
    }
    ageRemove(s, sp)
    ageInsert(s, sp)
  }
  return false
}

/** Frees up to `pages` pages and lets all TLBs forget them, so that their frames can get other uses. */
export const reclaimPages = (s: ShadowState, pages: number): number => {
  let freed = 0
  while (freed < pages && reclaimOne(s)) freed++
  s.flushIfPending()
  return freed
}

/** Zaps some pages that a `zapAll` left behind. They are at the old end, all of them older than any other. */
export const zapSomeObsolete = (s: ShadowState): void => {
  for (let i = 0; i < OBSOLETE_BATCH && s.oldest !== 0 && isObsolete(s, s.oldest - 1); i++) zapPage(s, s.oldest - 1)
}

/** A host frame for a new shadow page, with a free slot assured. The reserve and the pins' bound see to it that there is one. */
export const obtainFrame = (s: ShadowState): number => {
  zapSomeObsolete(s)
  if (s.freeSlotCount === 0) reclaimPages(s, Math.min(BATCH, Math.ceil(s.limit / 32)))
  let hfn = s.pool.take()
  if (hfn < 0) {
    reclaimPages(s, BATCH)
    hfn = s.pool.take()
  }
  return hfn
}
