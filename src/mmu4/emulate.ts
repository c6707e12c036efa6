import { ENTRY_BYTES } from "./entries.ts"
import { chainNext, chainOf } from "./hash.ts"
import { storeToGuest } from "./guestEntry.ts"
import { refreshEntry, refreshTable } from "./refresh.ts"
import { isDirect, levelOf } from "./roles.ts"
import { zapPage } from "./shadowPage.ts"
import type { ShadowState } from "./state.ts"

/*
 * Stores to guest page tables that do not go through an spte: emulated ones, announced ones, and those of devices and
 * host. (window.ts has another way to the first.) The shadows of the table are refreshed entry by entry.
 *
 * A frame that is stored to again and again without any fault going through its shadow in between, or in a way in which
 * nobody writes page-table entries, has become something else (a guest reuses the frames of a dead process): it is
 * flooded, and its shadows go, so that it need not be protected any more.
 */

const FLOOD_LIMIT = 3

/** Zaps all shadows of the guest table in a frame. */
export const zapTables = (s: ShadowState, gfn: number): void => {
  for (let sp = chainOf(s, gfn); sp >= 0;) {
    const next = chainNext(s, sp)
    if (s.pageGfn[sp] === gfn && !isDirect(s.pageRole[sp]!)) zapPage(s, sp)
    sp = next
  }
}

/** Refreshes what the bytes [offset, offset + size) of a table mean, in all its shadows. */
export const refreshRange = (s: ShadowState, gfn: number, offset: number, size: number, prefetch: boolean): void => {
  const first = Math.floor(offset / ENTRY_BYTES)
  const last = Math.floor((offset + size - 1) / ENTRY_BYTES)
  for (let sp = chainOf(s, gfn); sp >= 0; sp = chainNext(s, sp)) {
    if (s.pageGfn[sp] !== gfn || isDirect(s.pageRole[sp]!)) continue
    for (let i = first; i <= last; i++) refreshEntry(s, sp, i, prefetch)
  }
}

/** Refreshes all shadows of a table. */
export const refreshTables = (s: ShadowState, gfn: number): void => {
  for (let sp = chainOf(s, gfn); sp >= 0; sp = chainNext(s, sp))
    if (s.pageGfn[sp] === gfn && !isDirect(s.pageRole[sp]!)) refreshTable(s, sp)
}

/** Stores of the first byte of an entry happen (a flag cleared); else half entries are the least. */
const isNoEntryStore = (offset: number, size: number): boolean =>
  offset % size !== 0 || (size < 4 && !(size === 1 && offset % ENTRY_BYTES === 0))

/** Counts a store to a table that is not unsync, and says whether it is one too many. */
export const countStore = (s: ShadowState, gfn: number): boolean => {
  let flooded = false
  for (let sp = chainOf(s, gfn); sp >= 0; sp = chainNext(s, sp)) {
    if (s.pageGfn[sp] !== gfn || isDirect(s.pageRole[sp]!) || levelOf(s.pageRole[sp]!) === 1) continue
    if (s.pageFlood[sp]! < FLOOD_LIMIT) s.pageFlood[sp]!++
    if (s.pageFlood[sp] === FLOOD_LIMIT) flooded = true
  }
  return flooded
}

/** See ShadowMmu.guestWrite. */
export const guestWrite = (s: ShadowState, gpa: number, size: number, lo: number, hi: number): boolean => {
  if (!storeToGuest(s, gpa, size, lo, hi)) return false
  const gfn = Math.floor(gpa / 4096)
  const offset = gpa % 4096
  if (s.tables[gfn] === 0) return true
  const flooded = countStore(s, gfn) || isNoEntryStore(offset, size)
  if (flooded && !s.isActiveRoot(gfn)) {
    s.stats.floods++
    zapTables(s, gfn)
  } else {
    refreshRange(s, gfn, offset, size, false)
  }
  s.flushIfPending()
  return true
}

/** See ShadowMmu.entryChanged. */
export const entryChanged = (s: ShadowState, gpa: number): void => {
  const gfn = Math.floor(gpa / 4096)
  if (!(gfn >= 0 && gfn < s.frameCount) || s.tables[gfn] === 0) return
  refreshRange(s, gfn, gpa % 4096, 1, true)
  s.flushIfPending()
}

/** See ShadowMmu.memoryWritten. */
export const memoryWritten = (s: ShadowState, gpa: number, bytes: number): void => {
  const end = Math.min(gpa + bytes, s.frameCount * 4096)
  for (let at = Math.max(gpa, 0); at < end;) {
    const gfn = Math.floor(at / 4096)
    const next = Math.min((gfn + 1) * 4096, end)
    if (s.tables[gfn] !== 0) refreshRange(s, gfn, at % 4096, next - at, false)
    at = next
  }
  s.flushIfPending()
}
