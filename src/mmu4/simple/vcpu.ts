import { FIXED, type FaultResult } from "../interface.ts"
import { badTable, translate } from "../judge.ts"
import { LockedVcpu } from "../locked.ts"
import { pageFault } from "./fault.ts"
import { flushAddress } from "./flush.ts"
import type { Method } from "./method.ts"
import type { SimpleState } from "./state.ts"
import type { SimpleVcpuState } from "./vcpuState.ts"

/** One virtual CPU's side of a simple MMU. */
export class SimpleVcpu extends LockedVcpu<SimpleState, SimpleVcpuState> {
  private readonly method: Method

  constructor(state: SimpleState, vcpu: SimpleVcpuState, method: Method) {
    super(state, vcpu)
    this.method = method
  }

  protected newRootLocked(gfn: number, pgdGpa: number): FaultResult {
    const { s, v } = this
    if (!(gfn >= 0) || s.hostFrame(gfn) < 0) return badTable(s, v.result, gfn)
    s.stats.newRoots++
    v.linear = false
    v.pgdGfn = gfn
    this.method.loaded(s, v)
    return v.result.set(FIXED, 0, pgdGpa)
  }

  protected linearLocked(): void {
    const { s, v } = this
    v.linear = true
    v.pgdGfn = 0
    this.method.loaded(s, v)
  }

  /** Good without the lock: a root's frame never changes, and which space is in use only this thread says. */
  rootFor(userView: boolean): number {
    const { s, v } = this
    return s.pageHfn[s.rootOf(s.spaceOf(v), userView)]! * 4096
  }

  protected pageFaultLocked(vpn: number, offset: number, error: number, userView: boolean): FaultResult {
    return pageFault(this.s, this.v, vpn, offset, error, userView)
  }

  protected translateLocked(vpn: number, offset: number, access: number, userView: boolean): FaultResult {
    const { s, v } = this
    return translate(s, v, s.rootOf(s.spaceOf(v), userView), vpn, offset, access, userView)
  }

  /** No page is protected, so no fault is EMULATE, and there is nothing to open. */
  protected openWindowLocked(): boolean {
    return false
  }
  protected closeWindowLocked(): void {}

  protected flushLocked(global: boolean): void {
    this.method.flush(this.s, this.v, global)
  }

  protected flushAddressLocked(vpn: number): void {
    flushAddress(this.s, this.v, vpn)
  }
}
