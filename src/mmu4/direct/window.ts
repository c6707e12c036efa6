import { A, D, ENTRY_BYTES, FRAME_BYTES, P, RW, US } from "../entries.ts"
import { FIXED, PF_WRITE } from "../interface.ts"
import { readEntry, storeEntry } from "./entry.ts"
import { linearEntry } from "./linear.ts"
import { DATA, type DirectState } from "./state.ts"
import { guard, unguard } from "./types.ts"
import { updateEntry } from "./update.ts"
import type { DirectVcpuState } from "./vcpuState.ts"
import { WINDOWS } from "../vcpuState.ts"
import { reach } from "./walk.ts"

/*
 * M:112 Here the processor walks the very table that your one instruction writes. If it could be let through, even for
 * one instruction, your other processor would be half a microsecond away from all of memory.
 *
 * So it is not: what the window shows is a copy. The guest's instruction stores to the copy, the window is closed for all
 * processors, and then whatever is different in the copy is done to the table like any other change, entry by entry,
 * validated. Who else finds the window open in the meantime stores to the same copy, and is validated with the rest. A
 * table has one copy at a time: who wants another has to run his instruction again.
 */

/** Whose window is open on a table, if any is. */
const opener = (s: DirectState, table: number): DirectVcpuState | undefined => {
  if (s.openWindows > 0)
    for (const v of s.vcpus) for (let i = 0; i < WINDOWS; i++) if (v.windowTable[i] === table) return v
  return undefined
}

const WORDS = FRAME_BYTES / 4

const copyTable = (s: DirectState, v: DirectVcpuState, table: number, scratch: number): void => {
  const from = s.addressOf(table)
  const to = v.scratch[scratch]! * FRAME_BYTES
  for (let i = 0; i < WORDS; i += 2) {
    // As it is meant: the table may be the one in which somebody's window is.
    readEntry(s, from + 4 * i)
    v.before[scratch * WORDS + i] = s.lo
    v.before[scratch * WORDS + i + 1] = s.hi
    s.memory.write32(to + 4 * i, s.lo)
    s.memory.write32(to + 4 * i + 4, s.hi)
  }
}

/** See VcpuMmu.openWindow. */
export const openWindow = (s: DirectState, v: DirectVcpuState, vpn: number, userView: boolean): boolean => {
  if (reach(s, v, vpn, PF_WRITE, userView) !== FIXED) return false
  const w = v.walk
  if (w.gfn >= s.count || s.type[w.gfn] === DATA) return false
  const at = v.linear ? linearEntry(s, w.gfn) : w.at
  if (at < 0 || s.readSaved(at)) return false
  const other = opener(s, w.gfn)
  if (other !== undefined && other !== v) return false
  const window = v.windowTable[0]! < 0 ? 0 : v.windowTable[1]! < 0 ? 1 : -1
  if (window < 0) return false
  // A store across two pages that are the same table has one copy.
  const shared = v.windowTable[1 - window] === w.gfn
  const scratch = shared ? v.windowScratch[1 - window]! : window
  if (!shared) copyTable(s, v, w.gfn, scratch)
  readEntry(s, at)
  v.savedLo[window] = s.lo
  v.savedHi[window] = s.hi
  v.windowTable[window] = w.gfn
  v.windowIn[window] = w.table
  v.windowScratch[window] = scratch
  v.windowAt[window] = at
  s.openWindows++
  guard(s, w.gfn)
  if (w.table >= 0) guard(s, w.table)
  const hfn = v.scratch[scratch]!
  const hi = (v.savedHi[window]! & ~0xfffff) | Math.floor(hfn / 0x100000)
  storeEntry(s, at, (hfn << 12) | P | RW | A | D | (v.savedLo[window]! & US), hi)
  s.flushers[v.index]!.flushPage(vpn)
  return true
}

/** Puts the entries back; false: no window was open. */
const shut = (s: DirectState, v: DirectVcpuState): boolean => {
  let open = false
  for (let i = 0; i < WINDOWS; i++) {
    if (v.windowTable[i]! < 0) continue
    open = true
    if (v.windowAt[i]! >= 0) storeEntry(s, v.windowAt[i]!, v.savedLo[i]!, v.savedHi[i]!)
    v.windowAt[i] = -1
    s.openWindows--
  }
  return open
}

/** What has been stored to the copy is done to the table. */
const carryOver = (s: DirectState, v: DirectVcpuState, table: number, scratch: number): boolean => {
  const copy = v.scratch[scratch]! * FRAME_BYTES
  const before = scratch * WORDS
  for (let i = 0; i < WORDS; i += 2) {
    const lo = s.memory.read32(copy + 4 * i)
    const hi = s.memory.read32(copy + 4 * i + 4)
    if (lo === v.before[before + i] && hi === v.before[before + i + 1]) continue
    if (!updateEntry(s, table * FRAME_BYTES + (i / 2) * ENTRY_BYTES, lo, hi)) return false
  }
  return true
}

/** See VcpuMmu.closeWindow. False: refused. */
export const closeWindow = (s: DirectState, v: DirectVcpuState): boolean => {
  if (!shut(s, v)) return true
  s.flushPending = true
  s.flushIfPending()
  let good = true
  for (let i = 0; i < WINDOWS; i++) {
    const table = v.windowTable[i]!
    if (table < 0) continue
    // The other window may show the same copy.
    const done = i > 0 && v.windowTable[0] === table
    good = good && (done || carryOver(s, v, table, v.windowScratch[i]!))
  }
  for (let i = 0; i < WINDOWS; i++) {
    if (v.windowTable[i]! < 0) continue
    unguard(s, v.windowTable[i]!)
    if (v.windowIn[i]! >= 0) unguard(s, v.windowIn[i]!)
    v.windowTable[i] = -1
  }
  return good
}

/** Closes all windows without asking what was stored: nothing counts as a page table any more. */
export const abandonWindows = (s: DirectState): void => {
  for (const v of s.vcpus) {
    shut(s, v)
    v.windowTable.fill(-1)
  }
}
