import { FIXED, type FaultResult, type VcpuMmu } from "../interface.ts"
import { badTable, translate } from "../judge.ts"
import { pageFault } from "./fault.ts"
import { flushAddress } from "./flush.ts"
import type { Method } from "./method.ts"
import type { SimpleState } from "./state.ts"
import type { SimpleVcpuState } from "./vcpuState.ts"

/** One virtual CPU's side of a simple MMU: each call that looks at shadows is made with the guest's lock held. */
export class SimpleVcpu implements VcpuMmu {
  private readonly s: SimpleState
  private readonly v: SimpleVcpuState
  private readonly method: Method

  constructor(state: SimpleState, vcpu: SimpleVcpuState, method: Method) {
    this.s = state
    this.v = vcpu
    this.method = method
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
      this.method.loaded(s, v)
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
      this.method.loaded(s, v)
    } finally {
      s.mutex.unlock()
    }
  }

  /** Good without the lock: a root's frame never changes, and which space is in use only this thread says. */
  rootFor(userView: boolean): number {
    const { s, v } = this
    return s.pageHfn[s.rootOf(s.spaceOf(v), userView)]! * 4096
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
      return translate(s, v, s.rootOf(s.spaceOf(v), userView), vpn, offset, access, userView)
    } finally {
      s.mutex.unlock()
    }
  }

  /** No page is protected, so no fault is EMULATE, and there is nothing to open. */
  openWindow(): boolean {
    return false
  }
  closeWindow(): void {}

  flush(global: boolean): void {
    const { s, v } = this
    s.mutex.lock()
    try {
      s.stats.flushes++
      this.method.flush(s, v, global)
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
