import { badTable, pageFault, translate } from "./fault.ts"
import { flushAddress, flushTlb } from "./flush.ts"
import { FIXED, type FaultResult, type VcpuMmu } from "./interface.ts"
import { handOut } from "./root.ts"
import type { ShadowState } from "./state.ts"
import { closeWindow, openWindow } from "./window.ts"
import type { VcpuState } from "./vcpuState.ts"

/** One virtual CPU's side of the MMU. */
export class ShadowVcpu implements VcpuMmu {
  private readonly s: ShadowState
  private readonly v: VcpuState

  constructor(state: ShadowState, vcpu: VcpuState) {
    this.s = state
    this.v = vcpu
  }

  get isLinear(): boolean {
    return this.v.linear
  }

  get pgd(): number {
    return this.v.pgdGfn * 4096
  }

  newRoot(pgdGpa: number): FaultResult {
    const gfn = Math.floor(pgdGpa / 4096)
    if (!(gfn >= 0) || this.s.hostFrame(gfn) < 0) return badTable(this.s, this.v.result, gfn)
    this.s.stats.newRoots++
    this.v.linear = false
    this.v.pgdGfn = gfn
    flushTlb(this.s, this.v)
    return this.v.result.set(FIXED, 0, pgdGpa)
  }

  linear(): void {
    this.v.linear = true
    this.v.pgdGfn = 0
    flushTlb(this.s, this.v)
  }

  rootFor(userView: boolean): number {
    return handOut(this.s, this.v, userView)
  }

  pageFault(vpn: number, offset: number, error: number, userView: boolean): FaultResult {
    return pageFault(this.s, this.v, vpn, offset, error, userView)
  }

  translate(vpn: number, offset: number, access: number, userView: boolean): FaultResult {
    return translate(this.s, this.v, vpn, offset, access, userView)
  }

  openWindow(vpn: number, userView: boolean): boolean {
    return openWindow(this.s, this.v, vpn, userView)
  }

  closeWindow(): void {
    closeWindow(this.s, this.v)
  }

  flush(_global: boolean): void {
    this.s.stats.flushes++
    flushTlb(this.s, this.v)
  }

  flushAddress(vpn: number): void {
    this.s.stats.flushAddresses++
    flushAddress(this.s, this.v, vpn)
  }
}
