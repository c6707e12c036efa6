import { ENTRIES } from "./entries.ts"
import { hashRemove } from "./hash.ts"
import { unaccountTable } from "./protect.ts"
import { listFirst, parentList } from "./rmap.ts"
import { isDirect, levelOf } from "./roles.ts"
import { dropEntry } from "./spte.ts"
import { PAGE_DEAD, PAGE_LIVE, PAGE_UNSYNC } from "./columns.ts"
import type { ShadowState } from "./state.ts"

/*
 * The end of shadow pages, and the age list that orders them. (Their beginning is in create.ts.)
 */

/** Puts a page at the newest end. */
export const ageInsert = (s: ShadowState, sp: number): void => {
  s.newer[sp] = 0
  s.older[sp] = s.newest
  if (s.newest !== 0) s.newer[s.newest - 1] = sp + 1
  else s.oldest = sp + 1
  s.newest = sp + 1
}

export const ageRemove = (s: ShadowState, sp: number): void => {
  const newer = s.newer[sp]!
  const older = s.older[sp]!
  if (newer !== 0) s.older[newer - 1] = older
  else s.newest = older
  if (older !== 0) s.newer[older - 1] = newer
  else s.oldest = newer
  s.newer[sp] = 0
  s.older[sp] = 0
}

/** Takes a page off the list of unsync ones. */
export const clearUnsync = (s: ShadowState, sp: number): void => {
  if ((s.pageFlags[sp]! & PAGE_UNSYNC) === 0) return
  s.pageFlags[sp]! &= ~PAGE_UNSYNC
  const at = s.pageUnsyncAt[sp]!
  const last = s.unsyncPages[--s.unsyncCount]!
  s.unsyncPages[at] = last
  s.pageUnsyncAt[last] = at
}

const release = (s: ShadowState, sp: number): void => {
  s.pool.release(s.pageHfn[sp]!)
  s.pageFlags[sp] = 0
  s.freeSlots[s.freeSlotCount++] = sp
  s.stats.alive[levelOf(s.pageRole[sp]!)]!--
}

/**
 * Removes a page: nothing refers to it and it refers to nothing. Its children stay, to be found again. A pinned page
 * stays behind empty, for a processor may have it in CR3; the host's slots in it stay too.
 */
export const zapPage = (s: ShadowState, sp: number): void => {
  const first = sp * ENTRIES
  for (let i = 0; i < ENTRIES && s.pageUsed[sp] !== 0; i++) dropEntry(s, first + i)
  const parents = parentList(s, sp)
  for (let id = listFirst(s, parents); id >= 0; id = listFirst(s, parents)) dropEntry(s, id)
  clearUnsync(s, sp)
  hashRemove(s, sp)
  ageRemove(s, sp)
  if (!isDirect(s.pageRole[sp]!)) unaccountTable(s, s.pageGfn[sp]!)
  s.stats.zaps++
  s.flushPending = true
  if (s.pagePins[sp] !== 0) s.pageFlags[sp] = PAGE_LIVE | PAGE_DEAD
  else release(s, sp)
}

export const pin = (s: ShadowState, sp: number): void => {
  s.pagePins[sp]!++
}

export const unpin = (s: ShadowState, sp: number): void => {
  if (--s.pagePins[sp]! === 0 && (s.pageFlags[sp]! & PAGE_DEAD) !== 0) release(s, sp)
}
