import { describe } from "../describe.ts"
import { storeToGuest } from "../guestEntry.ts"
import { forgetContiguity } from "../hugePages.ts"
import type { Description, MmuStats, ShadowMmu, ShadowMmuConfig, VcpuMmu } from "../interface.ts"
import { findEntry } from "../walk.ts"
import type { Method } from "./method.ts"
import { SimpleState } from "./state.ts"
import { throwAll } from "./tree.ts"
import { SimpleVcpu } from "./vcpu.ts"

/*
 * H:342 What is left of a shadow MMU if it may forget? Here it is: walk the Guest's tables, write the entry, done. No
 * table is protected, no store is watched, nobody asks who maps what. What keeps it honest is the Guest, who has to say
 * what it has changed; if it does not, it hurts only itself.
 *
 * Shadow MMUs that protect and track nothing: what throw-away (../throwAway) and on-demand (../onDemand) shadows share.
 * The invariants, in the words of ../index.ts:
 *
 *  - CONFINEMENT, AGREEMENT, ACCESSED and DIRTY, VIEWS, TLB, BOUND and PROGRESS hold as there.
 *  - TREE: a shadow page hangs below one spte of one root. A root belongs to one virtual CPU, so no other processor walks
 *    what is below, and what only its own calls remove needs no shootdown.
 *  - REMEMBERED, in the place of TRUTH and PROTECTION: what an spte allows, the guest's tables allowed at some time since
 *    the last flush for its address, or announcement of an entry on its path. What counts as a flush is the method's.
 *
 * Threads: as in ../index.ts, with the lock in every call, rights taken away in memory before the flush, and the flush
 * before anything is concluded from it: here, that a frame may get another use.
 */

export class SimpleMmu implements ShadowMmu {
  readonly vcpus: readonly VcpuMmu[]
  readonly stats: MmuStats
  /** For tests and monitors, to be read. */
  readonly state: SimpleState
  private readonly method: Method

  /** Throws BadMmuConfig. */
  constructor(config: ShadowMmuConfig, method: Method) {
    const s = new SimpleState(config, method.spaces)
    this.state = s
    this.stats = s.stats
    this.method = method
    this.vcpus = s.vcpus.map((v) => new SimpleVcpu(s, v, method))
  }

  /** The store alone: a store is no announcement. */
  guestWrite(gpa: number, size: number, lo: number, hi: number): boolean {
    return storeToGuest(this.state, gpa, size, lo, hi)
  }

  entryChanged(gpa: number): void {
    const s = this.state
    s.mutex.lock()
    try {
      this.method.entryChanged(s, gpa)
    } finally {
      s.mutex.unlock()
    }
  }

  /** A device's store is no announcement either; page tables that devices write are flushed for, or not relied on. */
  memoryWritten(): void {}

  entryAddress(pgdGpa: number, vpn: number): number {
    const s = this.state
    s.mutex.lock()
    try {
      const gfn = Math.floor(pgdGpa / 4096)
      return gfn >= 0 ? findEntry(s, gfn, vpn) : -1
    } finally {
      s.mutex.unlock()
    }
  }

  /** Who maps the frame is not known, so nobody may map anything. */
  zapFrame(gfn: number): void {
    const s = this.state
    if (!(gfn >= 0 && gfn < s.frameCount)) return
    s.mutex.lock()
    try {
      throwAll(s)
      forgetContiguity(s, gfn)
    } finally {
      s.mutex.unlock()
    }
  }

  zapAll(): void {
    const s = this.state
    s.mutex.lock()
    try {
      s.stats.zapAlls++
      throwAll(s)
    } finally {
      s.mutex.unlock()
    }
  }

  /** All or nothing. */
  reclaim(pages: number): number {
    const s = this.state
    if (!(pages > 0)) return 0
    s.mutex.lock()
    try {
      return throwAll(s)
    } finally {
      s.mutex.unlock()
    }
  }

  destroy(): void {
    const s = this.state
    s.mutex.lock()
    try {
      throwAll(s)
      for (let root = 0; root < s.rootCount; root++) {
        s.pool.release(s.pageHfn[root]!)
        s.pageFlags[root] = 0
        s.stats.alive[4]!--
      }
      s.pool.settle()
      s.pool.destroy()
    } finally {
      s.mutex.unlock()
    }
  }

  describe(vcpu: number, vpn: number, userView: boolean): Description {
    const s = this.state
    s.mutex.lock()
    try {
      const v = s.vcpus[vcpu]!
      return describe(s, v, s.rootOf(s.spaceOf(v), userView), vpn)
    } finally {
      s.mutex.unlock()
    }
  }
}
