import { chainNext, chainOf } from "./hash.ts"
import { writeProtect } from "./protect.ts"
import { refreshTable } from "./refresh.ts"
import { isDirect, levelOf } from "./roles.ts"
import { clearUnsync, zapPage } from "./shadowPage.ts"
import { PAGE_UNSYNC } from "./columns.ts"
import type { ShadowState } from "./state.ts"

/*
 * H:280 But a fault for each entry of a fork is dear. Now remember that a TLB may be wrong until it is told (P:100).
 * Then so may a shadow! We give the pen back, and look at what was written when the Guest flushes. This is the best
 * trick in the whole room, and it is KVM's.
 *
 * Unsync pages. A guest that fills a page table stores many times; instead of emulating each store, the table is made
 * writable and its shadow may lag behind, as a TLB may: until the guest flushes (a CR3 load, a flush, INVLPG for that
 * address). Only last-level tables can lag: an upper entry that lags would hide tables that must be write-protected.
 *
 * A frame is unsync with all its shadow pages, or with none. It is brought back in sync also before its shadows become
 * reachable at addresses where they were not (another parent, another role, another level): a TLB could hold nothing
 * there.
 */

/** The write-protected table `gfn` is stored to: makes it unsync if that may be. */
export const makeUnsync = (s: ShadowState, gfn: number): boolean => {
  for (let sp = chainOf(s, gfn); sp >= 0;) {
    const next = chainNext(s, sp)
    if (s.pageGfn[sp] === gfn && !isDirect(s.pageRole[sp]!)) {
      if (s.pageGeneration[sp] !== s.generation) zapPage(s, sp)
      else if (levelOf(s.pageRole[sp]!) !== 1) return false
    }
    sp = next
  }
  for (let sp = chainOf(s, gfn); sp >= 0; sp = chainNext(s, sp)) {
    if (s.pageGfn[sp] !== gfn || isDirect(s.pageRole[sp]!) || (s.pageFlags[sp]! & PAGE_UNSYNC) !== 0) continue
    s.pageFlags[sp]! |= PAGE_UNSYNC
    s.pageUnsyncAt[sp] = s.unsyncCount
    s.unsyncPages[s.unsyncCount++] = sp
  }
  return true
}

const resync = (s: ShadowState, sp: number): void => {
  s.stats.resyncs++
  refreshTable(s, sp)
}

/**
 * H:285 Brings all unsync pages in sync. Protection comes first for all of them, and reaches all TLBs before the first
 * entry is read: a store by another processor is then either seen or faults.
 *
 * Take the pen away first, wait until no processor holds one any more, and only then read what was written. The other
 * order looks just as good, and now and then loses a store.
 */
export const syncAll = (s: ShadowState): void => {
  const count = s.unsyncCount
  if (count === 0) return
  for (let i = 0; i < count; i++) {
    const sp = s.unsyncPages[i]!
    s.pageFlags[sp]! &= ~PAGE_UNSYNC
    writeProtect(s, s.pageGfn[sp]!)
  }
  s.unsyncCount = 0
  s.flushIfPending()
  for (let i = 0; i < count; i++) resync(s, s.unsyncPages[i]!)
}

/** Brings the pages of one frame in sync. */
export const syncFrame = (s: ShadowState, gfn: number): void => {
  if (s.unsyncCount === 0) return
  let any = false
  for (let sp = chainOf(s, gfn); sp >= 0; sp = chainNext(s, sp)) {
    if (s.pageGfn[sp] !== gfn || (s.pageFlags[sp]! & PAGE_UNSYNC) === 0) continue
    clearUnsync(s, sp)
    any = true
  }
  if (!any) return
  writeProtect(s, gfn)
  s.flushIfPending()
  for (let sp = chainOf(s, gfn); sp >= 0; sp = chainNext(s, sp))
    if (s.pageGfn[sp] === gfn && !isDirect(s.pageRole[sp]!)) resync(s, sp)
}
