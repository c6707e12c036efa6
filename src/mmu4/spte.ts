import { ENTRY_LEAF, ENTRY_TABLE, ENTRY_W } from "./columns.ts"
import { A, D, RW } from "./entries.ts"
import { leafList, listInsert, listRemove, parentList } from "./rmap.ts"
import type { ShadowState } from "./state.ts"
import { addressOf, changeLow, clearEntry, levelOfEntry, pageOf, putLeaf, putTable } from "./tableEntry.ts"

/*
 * H:250 Shadow entries are the crown jewels: whoever could write one has all of memory. So one file writes them, and
 * you may audit it now.
 *
 * The only writer of shadow tables (but for the host's slots in a new root), through tableEntry.ts. Every change goes to memory, to the
 * columns and to the reverse maps together, and everything that takes rights away asks for a TLB flush.
 */

/** Removes whatever is there. */
export const dropEntry = (s: ShadowState, id: number): void => {
  const info = s.entryInfo[id]!
  if (info === 0) return
  const target = s.entryTarget[id]!
  const list = (info & ENTRY_TABLE) !== 0 ? parentList(s, target) : leafList(s, target, levelOfEntry(s, id))
  listRemove(s, list, id)
  clearEntry(s.memory, addressOf(s, id))
  s.entryInfo[id] = 0
  s.pageUsed[pageOf(id)]!--
  s.flushPending = true
}

/** Makes an empty spte refer to a shadow page. */
export const linkTable = (s: ShadowState, id: number, child: number): void => {
  s.entryInfo[id] = ENTRY_TABLE
  s.entryTarget[id] = child
  listInsert(s, parentList(s, child), id)
  s.pageUsed[pageOf(id)]!++
  putTable(s.memory, addressOf(s, id), s.pageHfn[child]!)
}

/**
 * Makes an spte map guest frame `gfn` (the first of 512 in level 2), backed by `hfn`, with the rights ENTRY_W, ENTRY_X,
 * ENTRY_U in `rights`.
 */
export const setLeaf = (s: ShadowState, id: number, gfn: number, hfn: number, rights: number): void => {
  const before = s.entryInfo[id]!
  const info = ENTRY_LEAF | rights
  const level = levelOfEntry(s, id)
  if (before === 0 || (before & ENTRY_TABLE) !== 0 || s.entryTarget[id] !== gfn) {
    dropEntry(s, id)
    s.entryTarget[id] = gfn
    listInsert(s, leafList(s, gfn, level), id)
    s.pageUsed[pageOf(id)]!++
  } else if (before === info) {
    return
  } else if ((before & ~info) !== 0) {
    s.flushPending = true
  }
  s.entryInfo[id] = info
  putLeaf(s.memory, s.views, addressOf(s, id), hfn, rights, level)
}

/** Takes the right to write from a leaf. */
export const denyWrite = (s: ShadowState, id: number): void => {
  if ((s.entryInfo[id]! & ENTRY_W) === 0) return
  s.entryInfo[id]! &= ~ENTRY_W
  changeLow(s.memory, addressOf(s, id), RW | D, 0)
  s.flushPending = true
}

/** Whether the processor has used an spte since the last question. */
export const testAndClearAccessed = (s: ShadowState, id: number): boolean => {
  const at = addressOf(s, id)
  const lo = s.memory.read32(at)
  if ((lo & A) === 0) return false
  s.memory.compareExchange32(at, lo, (lo & ~A) >>> 0)
  return true
}
