import { pageFault } from "./fault.ts"
import { flushAddress, flushTlb } from "./flush.ts"
import { FIXED, type FaultResult } from "./interface.ts"
import { badTable, translate } from "./judge.ts"
import { LockedVcpu } from "./locked.ts"
import { currentRoot, handedOut, handOut } from "./root.ts"
import type { ShadowState } from "./state.ts"
import { closeWindow, openWindow } from "./window.ts"
import type { VcpuState } from "./vcpuState.ts"

/** One virtual CPU's side of the KVM-style shadow MMU. */
export class ShadowVcpu extends LockedVcpu<ShadowState, VcpuState> {
  protected newRootLocked(gfn: number, pgdGpa: number): FaultResult {
    const { s, v } = this
    if (!(gfn >= 0) || s.hostFrame(gfn) < 0) return badTable(s, v.result, gfn)
    s.stats.newRoots++
    v.linear = false
    v.pgdGfn = gfn
    flushTlb(s, v)
    return v.result.set(FIXED, 0, pgdGpa)
  }

  protected linearLocked(): void {
    const { s, v } = this
    v.linear = true
    v.pgdGfn = 0
    flushTlb(s, v)
  }

  rootFor(userView: boolean): number {
    const { s, v } = this
    const root = handedOut(s, v, userView)
    if (root >= 0) return root
    s.mutex.lock()
    try {
      return handOut(s, v, userView)
    } finally {
      s.mutex.unlock()
    }
  }

  protected pageFaultLocked(vpn: number, offset: number, error: number, userView: boolean): FaultResult {
    return pageFault(this.s, this.v, vpn, offset, error, userView)
  }

  protected translateLocked(vpn: number, offset: number, access: number, userView: boolean): FaultResult {
    const { s, v } = this
    return translate(s, v, currentRoot(s, v, userView), vpn, offset, access, userView)
  }

  protected openWindowLocked(vpn: number, userView: boolean): boolean {
    return openWindow(this.s, this.v, vpn, userView)
  }

  protected closeWindowLocked(): void {
    closeWindow(this.s, this.v)
  }

  protected flushLocked(): void {
    flushTlb(this.s, this.v)
  }

  protected flushAddressLocked(vpn: number): void {
    flushAddress(this.s, this.v, vpn)
  }
}
