import { FRAME_BYTES } from "../entries.ts"
import { FIXED, type FaultResult, KILL, type VcpuMmu } from "../interface.ts"
import { useLinear, useRoot } from "./roots.ts"
import type { DirectState } from "./state.ts"
import { settle } from "./types.ts"
import { storeAnywhere } from "./update.ts"
import type { DirectVcpuState } from "./vcpuState.ts"
import { pageFault, translate } from "./walk.ts"
import { closeWindow, openWindow } from "./window.ts"

/** One virtual CPU's side: each call is made with the guest's lock held, and leaves no table that nothing refers to. */
export class DirectVcpu implements VcpuMmu {
  private readonly s: DirectState
  private readonly v: DirectVcpuState
  private readonly userRoot: number
  /** See VcpuMmu.refusal. */
  refusal = ""

  constructor(state: DirectState, vcpu: DirectVcpuState) {
    this.s = state
    this.v = vcpu
    this.userRoot = state.twoViews ? 1 : 0
  }

  get isLinear(): boolean {
    return this.v.linear
  }

  get pgd(): number {
    return this.v.pgdGfn * FRAME_BYTES
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

  newRoot(pgdGpa: number): FaultResult {
    const { s, v } = this
    s.mutex.lock()
    try {
      const gfn = Math.floor(pgdGpa / FRAME_BYTES)
      if (!(gfn >= 0 && gfn < s.count))
        return this.done(s.refuse(`page table frame 0x${gfn.toString(16)} is out of its memory`), 0)
      s.stats.newRoots++
      return this.done(useRoot(s, v, gfn), pgdGpa)
    } finally {
      s.mutex.unlock()
    }
  }

  linear(): void {
    const { s, v } = this
    s.mutex.lock()
    try {
      useLinear(s, v)
      this.done(true, 0)
    } finally {
      s.mutex.unlock()
    }
  }

  /** Roots are always the same frames, so there is nothing to ask. */
  rootFor(userView: boolean): number {
    const { s, v } = this
    v.letGo(s.holds)
    return v.roots[userView ? this.userRoot : 0]! * FRAME_BYTES
  }

  pageFault(vpn: number, offset: number, error: number, userView: boolean): FaultResult {
    const { s, v } = this
    s.mutex.lock()
    try {
      pageFault(s, v, vpn, offset, error, userView)
      settle(s)
      return v.result
    } finally {
      s.mutex.unlock()
    }
  }

  translate(vpn: number, offset: number, access: number, userView: boolean): FaultResult {
    const { s, v } = this
    s.mutex.lock()
    try {
      translate(s, v, vpn, offset, access, userView)
      settle(s)
      return v.result
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
      const good = closeWindow(s, v)
      this.refusal = good ? "" : s.reason
      this.done(good, 0)
    } finally {
      s.mutex.unlock()
    }
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

  flush(_global: boolean): void {
    const { s, v } = this
    s.mutex.lock()
    try {
      s.stats.flushes++
      s.flushers[v.index]!.flushAll(true)
    } finally {
      s.mutex.unlock()
    }
  }

  flushAddress(vpn: number): void {
    const { s, v } = this
    s.mutex.lock()
    try {
      s.stats.flushAddresses++
      s.flushers[v.index]!.flushPage(vpn)
    } finally {
      s.mutex.unlock()
    }
  }
}
