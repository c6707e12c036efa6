import { describe } from "../describe.ts"
import { storeToGuest } from "../guestEntry.ts"
import { forgetContiguity } from "../hugePages.ts"
import type { Description, ShadowMmuConfig, VcpuMmu } from "../interface.ts"
import { LockedMmu } from "../locked.ts"
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

export class SimpleMmu extends LockedMmu<SimpleState> {
  readonly vcpus: readonly VcpuMmu[]
  private readonly method: Method

  /** Throws BadMmuConfig. */
  constructor(config: ShadowMmuConfig, method: Method) {
    super(new SimpleState(config, method.spaces))
    this.method = method
    this.vcpus = this.state.vcpus.map((v) => new SimpleVcpu(this.state, v, method))
  }

  /** The store alone: a store is no announcement. */
  protected guestWriteLocked(gpa: number, size: number, lo: number, hi: number): boolean {
    return storeToGuest(this.state, gpa, size, lo, hi)
  }

  protected entryChangedLocked(gpa: number): void {
    this.method.entryChanged(this.state, gpa)
  }

  /** A device's store is no announcement either; page tables that devices write are flushed for, or not relied on. */
  protected minds(): boolean {
    return false
  }
  protected memoryWrittenLocked(): void {}

  protected entryAddressLocked(pgdGfn: number, vpn: number): number {
    return findEntry(this.state, pgdGfn, vpn)
  }

  /** Who maps the frame is not known, so nobody may map anything. */
  protected zapFrameLocked(gfn: number): void {
    const s = this.state
    if (!(gfn >= 0 && gfn < s.frameCount)) return
    throwAll(s)
    forgetContiguity(s, gfn)
  }

  protected zapAllLocked(): void {
    this.state.stats.zapAlls++
    throwAll(this.state)
  }

  /** All or nothing. */
  protected reclaimLocked(pages: number): number {
    return pages > 0 ? throwAll(this.state) : 0
  }

  protected destroyLocked(): void {
    const s = this.state
    throwAll(s)
    for (let root = 0; root < s.rootCount; root++) {
      s.pool.release(s.pageHfn[root]!)
      s.pageFlags[root] = 0
      s.stats.alive[4]!--
    }
    s.pool.settle()
    s.pool.destroy()
  }

  protected describeLocked(vcpu: number, vpn: number, userView: boolean): Description {
    const s = this.state
    const v = s.vcpus[vcpu]!
    return describe(s, v, s.rootOf(s.spaceOf(v), userView), vpn)
  }
}
