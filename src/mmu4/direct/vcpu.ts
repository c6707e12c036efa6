import { FRAME_BYTES } from "../entries.ts"
import { FIXED, type FaultResult, KILL } from "../interface.ts"
import { LockedVcpu } from "../locked.ts"
import { useLinear, useRoot } from "./roots.ts"
import type { DirectState } from "./state.ts"
import { settle } from "./types.ts"
import { storeAnywhere } from "./update.ts"
import type { DirectVcpuState } from "./vcpuState.ts"
import { pageFault, translate } from "./walk.ts"
import { closeWindow, openWindow } from "./window.ts"

/** One virtual CPU's side: no call leaves a table that nothing refers to. */
export class DirectVcpu extends LockedVcpu<DirectState, DirectVcpuState> {
  private readonly userRoot: number
  /** See VcpuMmu.refusal. */
  refusal = ""

  constructor(state: DirectState, vcpu: DirectVcpuState) {
    super(state, vcpu)
    this.userRoot = state.twoViews ? 1 : 0
  }

  /** The result for a change that was made, or refused. */
  private done(good: boolean, gpa: number): FaultResult {
    const { s, v } = this
    settle(s)
    s.flushers[v.index]!.flushAll(true)
    if (good) return v.result.set(FIXED, 0, gpa)
    s.stats.shadowFaults.kill++
    v.result.set(KILL, 0, 0)
    v.result.reason = s.reason
    return v.result
  }

  protected newRootLocked(gfn: number, pgdGpa: number): FaultResult {
    const { s, v } = this
    if (!(gfn >= 0 && gfn < s.count))
      return this.done(s.refuse(`page table frame 0x${gfn.toString(16)} is out of its memory`), 0)
    s.stats.newRoots++
    return this.done(useRoot(s, v, gfn), pgdGpa)
  }

  protected linearLocked(): void {
    useLinear(this.s, this.v)
    this.done(true, 0)
  }

  /** Roots are always the same frames, so there is nothing to ask. */
  rootFor(userView: boolean): number {
    const { s, v } = this
    v.letGo(s.holds)
    return v.roots[userView ? this.userRoot : 0]! * FRAME_BYTES
  }

  protected pageFaultLocked(vpn: number, offset: number, error: number, userView: boolean): FaultResult {
    const { s, v } = this
    pageFault(s, v, vpn, offset, error, userView)
    settle(s)
    return v.result
  }

  protected translateLocked(vpn: number, offset: number, access: number, userView: boolean): FaultResult {
    const { s, v } = this
    translate(s, v, vpn, offset, access, userView)
    settle(s)
    return v.result
  }

  protected openWindowLocked(vpn: number, userView: boolean): boolean {
    return openWindow(this.s, this.v, vpn, userView)
  }

  protected closeWindowLocked(): void {
    const { s, v } = this
    const good = closeWindow(s, v)
    this.refusal = good ? "" : s.reason
    this.done(good, 0)
  }

  /** See VcpuMmu.update. */
  update(gpa: number, lo: number, hi: number): FaultResult {
    const { s } = this
    s.mutex.lock()
    try {
      return this.done(storeAnywhere(s, gpa, lo, hi), gpa)
    } finally {
      s.mutex.unlock()
    }
  }

  protected flushLocked(): void {
    this.s.flushers[this.v.index]!.flushAll(true)
  }

  /** INVLPG. There is no shadow of an older entry that could tell whether a TLB holds it, and flushPage is no more than a hint. */
  protected flushAddressLocked(): void {
    this.s.flushers[this.v.index]!.flushAll(true)
  }
}
