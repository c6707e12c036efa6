import { ENTRIES, FRAMES_PER_ENTRY, indexAt } from "./entries.ts"
import { PF_FETCH, PF_WRITE } from "./interface.ts"
import { levelOfEntry } from "./tableEntry.ts"
import { ENTRY_LEAF, ENTRY_TABLE, ENTRY_W, ENTRY_X, type ShadowColumns } from "./columns.ts"

/*
 * Reading the shadow instead of the guest's tables. The shadow is the guest's TLB: TRUTH and ACCESSED, DIRTY say that
 * whatever a leaf allows, a processor may do there without looking at the guest's tables or setting a flag in them. So may
 * the host in the guest's name, and nothing new has to be kept, or flushed. It is the columns that are read, so a page
 * whose window is open (window.ts) is as read-only here as without.
 */

/** The spte that maps vpn below a root, which is in level 1 or 2; -1: none does. */
export const leafOf = (s: ShadowColumns, root: number, vpn: number): number => {
  for (let sp = root, level = 4; level >= 1; level--) {
    const id = sp * ENTRIES + indexAt(vpn, level)
    const info = s.entryInfo[id]!
    if ((info & ENTRY_LEAF) !== 0) return id
    if ((info & ENTRY_TABLE) === 0) return -1
    sp = s.entryTarget[id]!
  }
  return -1
}

/** Guest frame that an access reaches by what the shadow of a view (`root`; -1: none) holds already; -1: the guest's tables have to be asked. */
export const lookUp = (s: ShadowColumns, root: number, vpn: number, access: number, userView: boolean): number => {
  if (root < 0) return -1
  const id = leafOf(s, root, vpn)
  if (id < 0) return -1
  const needs =
    ((access & PF_WRITE) !== 0 ? ENTRY_W : 0) |
    ((access & PF_FETCH) !== 0 ? ENTRY_X : 0) |
    (userView ? s.views.userNeeds : 0)
  if ((s.entryInfo[id]! & needs) !== needs) return -1
  return s.entryTarget[id]! + (vpn % FRAMES_PER_ENTRY[levelOfEntry(s, id)]!)
}
