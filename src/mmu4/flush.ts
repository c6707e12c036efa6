import { ENTRIES, indexAt } from "./entries.ts"
import { refreshEntry } from "./refresh.ts"
import { currentRoot } from "./root.ts"
import { ENTRY_TABLE, PAGE_UNSYNC } from "./columns.ts"
import type { ShadowState } from "./state.ts"
import { syncAll } from "./unsync.ts"
import type { VcpuState } from "./vcpuState.ts"
import { refreshOpenTables } from "./window.ts"

/*
 * H:300 Pay-day: the Guest has said the word, and everything that was allowed to lag is brought up to date. What the
 * guest asks of its TLB. The shadow is the guest's TLB: only unsync pages can hold what the guest has changed, so these
 * are what a flush looks at. Entries of upper levels follow every store at once, or when its window is closed, or
 * another virtual CPU flushes.
 */

/** A flush of everything: CR3 load, CR4.PGE toggled. Global entries are not kept: no TLB promises to keep them. */
export const flushTlb = (s: ShadowState, v: VcpuState): void => {
  syncAll(s)
  refreshOpenTables(s)
  s.flushIfPending()
  s.flushers[v.index]!.flushAll(true)
}

/** Refreshes the unsync last-level spte of one address in one view. */
const refreshAddress = (s: ShadowState, root: number, vpn: number): void => {
  let sp = root
  for (let level = 4; level > 1; level--) {
    const id = sp * ENTRIES + indexAt(vpn, level)
    if ((s.entryInfo[id]! & ENTRY_TABLE) === 0) return
    sp = s.entryTarget[id]!
  }
  if ((s.pageFlags[sp]! & PAGE_UNSYNC) !== 0) refreshEntry(s, sp, indexAt(vpn, 1), true)
}

/** INVLPG, for all views: they are one address space to the guest. */
export const flushAddress = (s: ShadowState, v: VcpuState, vpn: number): void => {
  for (let view = 0; view < s.views.count; view++) {
    const root = currentRoot(s, v, view !== 0)
    if (root >= 0) refreshAddress(s, root, vpn)
  }
  refreshOpenTables(s)
  s.flushIfPending()
  s.flushers[v.index]!.flushPage(vpn)
}
