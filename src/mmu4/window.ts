import { D, RW } from "./entries.ts"
import { countStore, refreshTables, zapTables } from "./emulate.ts"
import { leafOf } from "./lookUp.ts"
import { currentRoot } from "./root.ts"
import { addressOf, changeLow, levelOfEntry } from "./tableEntry.ts"
import { ENTRY_LEAF, ENTRY_W } from "./columns.ts"
import type { ShadowState } from "./state.ts"
import { WINDOWS, type VcpuState } from "./vcpuState.ts"

/*
 * M:110 A store to your own page table is let through for one instruction. What can be done in one instruction? Two
 * stores, to two tables. A fault in the middle of it. And meanwhile your other processor finds the window open.
 *
 * The other way to do a store to a write-protected table: not to decode it, but to let the processor do it. The one
 * spte is opened for one instruction; then it is closed, and the table's shadows are refreshed. That is right for every
 * instruction that there is; one that lies across two tables gets two windows.
 *
 * Only the spte in memory is opened; the columns go on to say that it is read-only, so that whatever the MMU does to it
 * meanwhile (the instruction may fault on other pages, and reclaim may take the table that holds the spte) closes it.
 *
 * The spte may be one that other virtual CPUs use too, and they may have windows of their own to the same table, so nothing
 * is concluded from what the table held before: after the window is closed for all processors, every spte made from the
 * table is looked at.
 */

/** A free window of the virtual CPU, or the one that is open for just this; -1: there is none. */
const windowFor = (s: ShadowState, v: VcpuState, id: number): number => {
  for (let i = 0; i < WINDOWS; i++) {
    if (v.windowGfn[i]! < 0 || (v.windowId[i] === id && v.windowGfn[i] === s.entryTarget[id])) return i
  }
  return -1
}

/** See VcpuMmu.openWindow. */
export const openWindow = (s: ShadowState, v: VcpuState, vpn: number, userView: boolean): boolean => {
  const root = currentRoot(s, v, userView)
  if (root < 0) return false
  const id = leafOf(s, root, vpn)
  // A 2 MiB page covers no table (PROTECTION), so there is no store to be let through.
  if (id < 0 || levelOfEntry(s, id) !== 1) return false
  const window = windowFor(s, v, id)
  if (window < 0) return false
  v.windowId[window] = id
  v.windowGfn[window] = s.entryTarget[id]!
  changeLow(s.memory, addressOf(s, id), 0, RW)
  s.flushers[v.index]!.flushPage(vpn)
  return true
}

/** Takes account of a store to a table through a window. */
const account = (s: ShadowState, gfn: number): void => {
  if (s.tables[gfn] === 0) return
  // A store that changes nothing counts as well: a table that is being cleared was mostly empty.
  if (countStore(s, gfn) && !s.isActiveRoot(gfn)) {
    s.stats.floods++
    zapTables(s, gfn)
  } else {
    refreshTables(s, gfn)
  }
}

/** See VcpuMmu.closeWindow. */
export const closeWindow = (s: ShadowState, v: VcpuState): void => {
  let open = false
  for (let i = 0; i < WINDOWS; i++) {
    if (v.windowGfn[i]! < 0) continue
    open = true
    const id = v.windowId[i]!
    // If the slot has become something else, its spte is what the columns say, and clearing RW changes nothing.
    if ((s.entryInfo[id]! & (ENTRY_LEAF | ENTRY_W)) === ENTRY_LEAF) changeLow(s.memory, addressOf(s, id), RW | D, 0)
  }
  if (!open) return
  s.flushPending = true
  s.flushIfPending()
  for (let i = 0; i < WINDOWS; i++) {
    const gfn = v.windowGfn[i]!
    v.windowGfn[i] = -1
    if (gfn >= 0) account(s, gfn)
  }
  s.flushIfPending()
}

/**
 * Takes account of what may have been stored through windows that are still open: before they are closed, other virtual
 * CPUs can read it in the table, and flush.
 */
export const refreshOpenTables = (s: ShadowState): void => {
  for (let i = 0; i < s.vcpus.length; i++) {
    const { windowGfn } = s.vcpus[i]!
    for (let k = 0; k < WINDOWS; k++) if (windowGfn[k]! >= 0) refreshTables(s, windowGfn[k]!)
  }
}
