import { D, ENTRY_BYTES, FRAME_BYTES, RW } from "./entries.ts"
import { countStore, refreshRange, zapTables } from "./emulate.ts"
import { leafOf } from "./lookUp.ts"
import { currentRoot } from "./root.ts"
import { addressOf, levelOfEntry } from "./spte.ts"
import { ENTRY_LEAF, ENTRY_W, type ShadowState } from "./state.ts"
import type { VcpuState } from "./vcpuState.ts"

/*
 * The other way to do a store to a write-protected table: not to decode it, but to let the processor do it. The one spte
 * is opened for one instruction; then it is closed, and what the instruction has changed in the table is looked for. That
 * is right for every instruction that there is.
 *
 * Only the spte in memory is opened; the columns go on to say that it is read-only, so that whatever the MMU does to it
 * meanwhile (the instruction may fault on other pages, and reclaim may take the table that holds the spte) closes it.
 */

const WORDS_PER_ENTRY = ENTRY_BYTES / 4

const copyTable = (s: ShadowState, gfn: number, to: Uint32Array): void =>
  s.memory.readWords(s.frames.gfnToHfn(gfn) * FRAME_BYTES, to)

/** See VcpuMmu.openWindow. */
export const openWindow = (s: ShadowState, v: VcpuState, vpn: number, userView: boolean): boolean => {
  const root = currentRoot(s, v, userView)
  if (root < 0 || v.windowGfn >= 0) return false
  const id = leafOf(s, root, vpn)
  // A 2 MiB page covers no table (PROTECTION), so there is no store to be let through.
  if (id < 0 || levelOfEntry(s, id) !== 1) return false
  v.windowId = id
  v.windowGfn = s.entryTarget[id]!
  copyTable(s, v.windowGfn, v.windowBefore)
  const at = addressOf(s, id)
  s.memory.write32(at, (s.memory.read32(at) | RW) >>> 0)
  s.flushers[v.index]!.flushPage(vpn)
  return true
}

/** The first entry at or after `index` that differs between the copies; -1: none. */
const nextChange = (before: Uint32Array, after: Uint32Array, index: number): number => {
  for (let i = index * WORDS_PER_ENTRY; i < before.length; i++)
    if (after[i] !== before[i]) return Math.floor(i / WORDS_PER_ENTRY)
  return -1
}

const refreshChanged = (s: ShadowState, v: VcpuState): void => {
  const { windowBefore: before, windowAfter: after } = v
  copyTable(s, v.windowGfn, after)
  for (let index = nextChange(before, after, 0); index >= 0; index = nextChange(before, after, index + 1))
    refreshRange(s, v.windowGfn, index * ENTRY_BYTES, ENTRY_BYTES, false)
}

/** See VcpuMmu.closeWindow. */
export const closeWindow = (s: ShadowState, v: VcpuState): void => {
  const gfn = v.windowGfn
  if (gfn < 0) return
  const id = v.windowId
  // If the slot has become something else, its spte is what the columns say, and clearing RW changes nothing.
  if ((s.entryInfo[id]! & (ENTRY_LEAF | ENTRY_W)) === ENTRY_LEAF) {
    const at = addressOf(s, id)
    s.memory.write32(at, (s.memory.read32(at) & ~(RW | D)) >>> 0)
  }
  s.flushPending = true
  s.flushIfPending()
  if (s.tables[gfn] !== 0) {
    // A store that changes nothing counts as well: a table that is being cleared was mostly empty.
    if (countStore(s, gfn) && !s.isActiveRoot(gfn)) {
      s.stats.floods++
      zapTables(s, gfn)
    } else {
      refreshChanged(s, v)
    }
  }
  v.windowGfn = -1
  s.flushIfPending()
}
