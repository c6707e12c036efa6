import { ENTRIES, ENTRY_BYTES, FRAME_BYTES } from "./entries.ts"
import { findPage, hashInsert } from "./hash.ts"
import { accountTable, writeProtect } from "./protect.ts"
import { obtainFrame } from "./reclaim.ts"
import { isDirect, levelOf, ROLE_USER, ROLE_VCPU_SHIFT } from "./roles.ts"
import { ageInsert } from "./shadowPage.ts"
import { PAGE_LIVE, PAGE_TOUCHED } from "./columns.ts"
import type { ShadowState } from "./state.ts"
import { putHostEntries } from "./tableEntry.ts"
import { syncAll, syncFrame } from "./unsync.ts"

/*
 * The beginning of shadow pages. A new page is empty, hence in sync; sptes come one by one as they are faulted in.
 */

const createPage = (s: ShadowState, gfn: number, role: number): number => {
  const hfn = obtainFrame(s)
  const sp = s.freeSlots[--s.freeSlotCount]!
  s.memory.fill(hfn * FRAME_BYTES, ENTRIES * ENTRY_BYTES, 0)
  if (levelOf(role) === 4)
    putHostEntries(s.memory, s.host, hfn, (role >> ROLE_VCPU_SHIFT) - 1, (role & ROLE_USER) !== 0)
  s.pageHfn[sp] = hfn
  s.pageGfn[sp] = gfn
  s.pageRole[sp] = role
  s.pageFlags[sp] = PAGE_LIVE
  s.pageGeneration[sp] = s.generation
  s.pageFlood[sp] = 0
  s.pageUsed[sp] = 0
  if (!isDirect(role)) {
    syncFrame(s, gfn)
    accountTable(s, gfn)
    writeProtect(s, gfn)
    // From here on no processor stores to the table, and what is read there stays true.
    s.flushIfPending()
  }
  hashInsert(s, sp)
  ageInsert(s, sp)
  const level = levelOf(role)
  s.stats.alive[level]!++
  s.stats.allocated[level]!++
  return sp
}

/**
 * The page for a frame and role, to be referred to from where it was not: unsync shadows that would become reachable with
 * it are brought in sync.
 */
export const obtainPage = (s: ShadowState, gfn: number, role: number): number => {
  let sp = findPage(s, gfn, role)
  if (sp < 0) sp = createPage(s, gfn, role)
  else if (!isDirect(role)) syncAll(s)
  markUsed(s, sp)
  return sp
}

/** The fault at hand goes through the page. */
export const markUsed = (s: ShadowState, sp: number): void => {
  s.pageStamp[sp] = s.stamp
  s.pageFlags[sp]! |= PAGE_TOUCHED
  s.pageFlood[sp] = 0
}
