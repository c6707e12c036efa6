import { kill } from "../death.ts"
import { FLAG_TF } from "./flags.ts"
import type { VirtualCpu64 } from "./virtualCpu.ts"

/*
 * H:290 And for the tables that may not lag behind (the upper ones, for they hide others) the store has to be made in
 * some way.
 *
 * A store to a page table that its shadows keep write-protected. Others decode the instruction and do in software what
 * it would have done; we have a processor that can do it, so: open a window in this virtual CPU's shadow, let the
 * guest's own instruction run with the trap flag set, close the window, and let the MMU see which entries came out
 * different. That is right for every instruction that there is.
 */
export class GuardedWrite {
  private readonly v: VirtualCpu64

  constructor(v: VirtualCpu64) {
    this.v = v
  }

  get active(): boolean {
    return this.v.words.guarding
  }

  /**
   * Opens the page at `vpn`; if it is gone meanwhile, the instruction just faults again. `torn`: with the page that was open
   * before, since the instruction's store lies across both.
   */
  begin(vpn: number, torn: boolean): void {
    const { registers, mmu, words } = this.v
    const { userView } = words
    if (!mmu.openWindow(vpn, userView)) return
    if (torn && words.openVpn !== vpn) mmu.openWindow(words.openVpn, userView)
    words.guarding = true
    words.openVpn = vpn
    words.openFlags = registers.flags & FLAG_TF
    registers.setFlags(registers.flags | FLAG_TF)
  }

  /** Closes it again; whether the guest had asked for a single step itself. */
  end(): boolean {
    const { registers, mmu, words } = this.v
    words.guarding = false
    mmu.closeWindow()
    registers.setFlags((registers.flags & ~FLAG_TF) | words.openFlags)
    if (mmu.refusal) kill(mmu.refusal)
    return words.openFlags !== 0
  }
}
