import { pageFault } from "./fault.ts"
import { flushAddress, flushTlb } from "./flush.ts"
import { FIXED, type FaultResult, type VcpuMmu } from "./interface.ts"
import { badTable, translate } from "./judge.ts"
import { currentRoot, handedOut, handOut } from "./root.ts"
import type { ShadowState } from "./state.ts"
import { closeWindow, openWindow } from "./window.ts"
import type { VcpuState } from "./vcpuState.ts"

/** One virtual CPU's side of the MMU: each call is made with the guest's lock held. */
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
    const { s, v } = this
    s.mutex.lock()
    try {
      const gfn = Math.floor(pgdGpa / 4096)
      if (!(gfn >= 0) || s.hostFrame(gfn) < 0) return badTable(s, v.result, gfn)
      s.stats.newRoots++
      v.linear = false
      v.pgdGfn = gfn
      flushTlb(s, v)
      return v.result.set(FIXED, 0, pgdGpa)
    } finally {
      s.mutex.unlock()
    }
  }

  linear(): void {
    const { s, v } = this
    s.mutex.lock()
    try {
      v.linear = true
      v.pgdGfn = 0
      flushTlb(s, v)
    } finally {
      s.mutex.unlock()
    }
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

  pageFault(vpn: number, offset: number, error: number, userView: boolean): FaultResult {
    const { s, v } = this
    s.mutex.lock()
    try {
      return pageFault(s, v, vpn, offset, error, userView)
    } finally {
      s.mutex.unlock()
    }
  }

  translate(vpn: number, offset: number, access: number, userView: boolean): FaultResult {
    const { s, v } = this
    s.mutex.lock()
    try {
      return translate(s, v, currentRoot(s, v, userView), vpn, offset, access, userView)
    } finally {
      s.mutex.unlock()
    }
  }

  openWindow(vpn: number, userView: boolean): boolean {
    const { s, v } = this
    s.mutex.lock()
    try {
      return openWindow(s, v, vpn, userView)
    } finally {
      s.mutex.unlock()
    }
  }

  closeWindow(): void {
    const { s, v } = this
    s.mutex.lock()
    try {
      closeWindow(s, v)
    } finally {
      s.mutex.unlock()
    }
  }

  flush(_global: boolean): void {
    const { s, v } = this
    s.mutex.lock()
    try {
      s.stats.flushes++
      flushTlb(s, v)
    } finally {
      s.mutex.unlock()
    }
  }

  flushAddress(vpn: number): void {
    const { s, v } = this
    s.mutex.lock()
    try {
      s.stats.flushAddresses++
      flushAddress(s, v, vpn)
    } finally {
      s.mutex.unlock()
    }
  }
}
