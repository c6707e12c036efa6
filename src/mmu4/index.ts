import { describe } from "./describe.ts"
import { entryChanged, guestWrite, memoryWritten } from "./emulate.ts"
import type { Description, ShadowMmuConfig, VcpuMmu } from "./interface.ts"
import { LockedMmu } from "./locked.ts"
import { reclaimPages } from "./reclaim.ts"
import { currentRoot } from "./root.ts"
import { ShadowState } from "./state.ts"
import { ShadowVcpu } from "./vcpu.ts"
import { findEntry } from "./walk.ts"
import { destroy, zapAll, zapFrame } from "./zap.ts"

/*
 * H:200 Here begins the Bit of Despair, as Rusty called it. Breathe.
 *
 * The Guest's tables lead from gva to gpa. The processor would take a gpa for a real address, that is for somebody
 * else's memory; so it never gets to see those tables. It runs on others, the shadows, which lead from gva straight to
 * hpa, and which we make, entry by entry, as the Guest stumbles over what is missing. The rest is one long answer to
 * one question: the Guest has changed its table; how do we notice?
 *
 * The 4-level shadow MMU. The guest keeps page tables from its virtual to its "physical" addresses; the processor needs
 * tables from virtual to real ones. This room makes the second from the first, a piece at a time, as the guest's
 * accesses fault, and keeps them true. It trusts nothing in guest memory: entries are read, checked, and may change the
 * next moment. It never gives the guest a host frame that is not behind one of its own.
 *
 * Invariants, whenever no call is in progress (tests/mmu4 is named after them):
 *
 *  1. CONFINEMENT. A leaf maps the host frame that gfnToHfn gives for a guest frame; any other spte refers to a live
 *     shadow page. Only the host's slots of roots hold anything else.
 *  2. AGREEMENT. An spte, its columns, and its place in the reverse map (leaves) or parent list (tables) say the same.
 *  3. TRUTH. An spte in a page that is not unsync allows nothing that its guest entry and role do not allow now. In an
 *     unsync page it allows nothing that they did not allow at some time since the last flush for its address.
 *  4. PROTECTION. A frame with a shadow page that is not unsync is mapped writable by no spte, and no 2 MiB spte covers a
 *     frame with any. Shadows of one frame are all unsync, and then of level 1, or none is.
 *  5. ACCESSED, DIRTY. An spte exists only if the guest's A flags were set on the path, and is writable only if D was.
 *  6. VIEWS (views.ts). The user view, if it is one of its own, maps only pages whose guest entries all have U set; the
 *     other view maps them all. If the guest's kernel is a supervisor to paging, a leaf has U only if they all have;
 *     else kernel and user both run at ring 3, and all sptes have U set.
 *  7. TLB. No processor's TLB holds more than the shadow does: every removal or narrowing is flushed before the call ends
 *     (and before a frame gets another use).
 *  8. BOUND. There are never more shadow pages than the limit, and never too few to resolve a fault.
 *  9. PROGRESS. When a fault is FIXED, the access succeeds.
 *
 * Threads. Each thread that runs a virtual CPU has its own Mmu4 over the same heap (state.ts), and every call holds the
 * guest's lock (locked.ts): one call sees nothing of another. But the processors go on all the while, walking the shadow and storing to
 * tables that they may write. Hence three orders that are kept everywhere:
 *   - rights are taken away in memory first, then all TLBs are flushed (TlbFlusher answers when that is done), and only then
 *     is concluded from it: a table read that should not change, a frame given away (flushIfPending);
 *   - what a walk saw is looked at again after its table has been protected, before an spte is made of it (`unchanged`);
 *   - an spte in memory changes by atomic operations, never half of it visible (spte.ts).
 *
 * Mechanisms, in the order in which an access meets them: walk.ts and accessedDirty.ts (the guest's walk), fault.ts (walk
 * to spte), hugePages.ts, create.ts with hash.ts, roles.ts and views.ts (find or make shadow pages), reclaim.ts (the limit),
 * spte.ts with rmap.ts (the only writer of sptes), protect.ts (write protection), unsync.ts and emulate.ts with window.ts
 * (the ways in which a guest's stores to its tables reach the shadow), refresh.ts (one spte follows its guest entry), flush.ts,
 * root.ts, zap.ts, describe.ts. What the host does in the guest's name begins in lookUp.ts.
 */

export class Mmu4 extends LockedMmu<ShadowState> {
  readonly vcpus: readonly VcpuMmu[]

  constructor(config: ShadowMmuConfig) {
    super(new ShadowState(config))
    this.vcpus = this.state.vcpus.map((v) => new ShadowVcpu(this.state, v))
  }

  protected guestWriteLocked(gpa: number, size: number, lo: number, hi: number): boolean {
    return guestWrite(this.state, gpa, size, lo, hi)
  }

  protected entryChangedLocked(gpa: number): void {
    entryChanged(this.state, gpa)
  }

  protected minds(): boolean {
    return true
  }

  protected memoryWrittenLocked(gpa: number, bytes: number): void {
    memoryWritten(this.state, gpa, bytes)
  }

  protected entryAddressLocked(pgdGfn: number, vpn: number): number {
    return findEntry(this.state, pgdGfn, vpn)
  }

  protected zapFrameLocked(gfn: number): void {
    zapFrame(this.state, gfn)
  }

  protected zapAllLocked(): void {
    zapAll(this.state)
  }

  protected reclaimLocked(pages: number): number {
    this.state.stamp++
    return reclaimPages(this.state, pages)
  }

  protected destroyLocked(): void {
    destroy(this.state)
  }

  protected describeLocked(vcpu: number, vpn: number, userView: boolean): Description {
    const s = this.state
    const v = s.vcpus[vcpu]!
    return describe(s, v, currentRoot(s, v, userView), vpn)
  }
}

/** A KVM-style shadow MMU; throws BadMmuConfig. */
export const createShadowMmu = (config: ShadowMmuConfig): Mmu4 => new Mmu4(config)

export { createOnDemandMmu } from "./onDemand/index.ts"
export { createThrowAwayMmu } from "./throwAway/index.ts"
export * from "./interface.ts"
