import { FLAG_TF } from "./interrupts.ts"
import type { VirtualCpu64 } from "./virtualCpu.ts"

/*
 * A store to a page table that its shadows keep write-protected. Others decode the instruction and do in software what it
 * would have done; we have a processor that can do it, so: open a window in this virtual CPU's shadow, let the guest's own
 * instruction run with the trap flag set, close the window, and let the MMU see which entries came out different. That is
 * right for every instruction that there is.
 */
export class GuardedWrite {
  private readonly v: VirtualCpu64
  private trapFlag = 0
  active = false
  /** The page that is open, or was last. */
  vpn = -1

  constructor(v: VirtualCpu64) {
    this.v = v
  }

  /**
   * Opens the page at `vpn`; if it is gone meanwhile, the instruction just faults again. `torn`: with the page that was open
   * before, since the instruction's store lies across both.
   */
  begin(vpn: number, torn: boolean): void {
    const { registers, guest, userView } = this.v
    if (!guest.mmu.openWindow(vpn, userView)) return
    if (torn && this.vpn !== vpn) guest.mmu.openWindow(this.vpn, userView)
    this.active = true
    this.vpn = vpn
    this.trapFlag = registers.flags & FLAG_TF
    registers.setFlags(registers.flags | FLAG_TF)
  }

  /** Closes it again; whether the guest had asked for a single step itself. */
  end(): boolean {
    const { registers, guest } = this.v
    this.active = false
    guest.mmu.closeWindow()
    registers.setFlags((registers.flags & ~FLAG_TF) | this.trapFlag)
    return this.trapFlag !== 0
  }
}
