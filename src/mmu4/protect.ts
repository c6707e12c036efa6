import { chainNext, chainOf } from "./hash.ts"
import { HUGE_FRAMES } from "./entries.ts"
import { leafList, listFirst, listNext } from "./rmap.ts"
import { isDirect } from "./roles.ts"
import { denyWrite, dropEntry } from "./spte.ts"
import { PAGE_UNSYNC } from "./columns.ts"
import type { ShadowState } from "./state.ts"

/*
 * H:270 How do we notice that the Guest changes a table? Like any parent: by taking the pen away. A frame that is a
 * page table is mapped read-only, everywhere; the store faults, and we know.
 *
 * Write protection: while a frame is shadowed as a page table and in sync, no spte maps it writable, in any view, by
 * any alias. 2 MiB sptes that cover such a frame do not exist at all.
 */

const regionOf = (gfn: number): number => Math.floor(gfn / HUGE_FRAMES)

/** A shadow page of the guest table in `gfn` appears. */
export const accountTable = (s: ShadowState, gfn: number): void => {
  s.tables[gfn]!++
  const region = regionOf(gfn)
  if (s.tablesInRegion[region]!++ !== 0) return
  const huge = leafList(s, gfn, 2)
  for (let id = listFirst(s, huge); id >= 0; id = listFirst(s, huge)) dropEntry(s, id)
}

export const unaccountTable = (s: ShadowState, gfn: number): void => {
  s.tables[gfn]!--
  s.tablesInRegion[regionOf(gfn)]!--
}

/** Takes the right to write a frame from all sptes. */
export const writeProtect = (s: ShadowState, gfn: number): void => {
  s.stats.writeProtects++
  for (let id = listFirst(s, leafList(s, gfn, 1)); id >= 0; id = listNext(s, id)) denyWrite(s, id)
}

/** Whether an spte may map the frame writable as things stand: it is no table, or an unsync one. */
export const mayWrite = (s: ShadowState, gfn: number): boolean => {
  if (s.tables[gfn] === 0) return true
  if (s.unsyncCount === 0) return false
  for (let sp = chainOf(s, gfn); sp >= 0; sp = chainNext(s, sp)) {
    if (s.pageGfn[sp] === gfn && !isDirect(s.pageRole[sp]!)) return (s.pageFlags[sp]! & PAGE_UNSYNC) !== 0
  }
  return true
}
