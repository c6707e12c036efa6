import { FLAG_TF } from "./interrupts.ts"
import type { VirtualCpu64 } from "./virtualCpu.ts"

/*
 * A store to a page table that its shadows keep write-protected. Others decode the instruction and do in software what it
 * would have done; we have a processor that can do it, so: open the page for writing in this virtual CPU's shadow alone,
 * let the guest's own instruction run with the trap flag set, close the page, and tell the MMU which entries came out
 * different. That is right for every instruction that there is.
 */
const PRESENT = 1
const WRITABLE = 2
const LARGE = 0x80
const WORDS = 1024

export class GuardedWrite {
  private readonly v: VirtualCpu64
  private readonly before = new Uint32Array(WORDS)
  private spte = -1
  private gpa = 0
  private trapFlag = 0
  active = false

  constructor(v: VirtualCpu64) {
    this.v = v
  }

  /** Opens the page at `vpn`, which holds the guest-physical address `gpa`. */
  begin(vpn: number, gpa: number): void {
    const { v } = this
    const { ram } = v.host.kernel
    // The entry may be missing so far: a read fills it, read-only.
    v.guest.mmu.pageFault(vpn, 0, 0, v.userView)
    this.spte = this.leaf(v.guest.mmu.rootFor(v.userView), vpn)
    if (this.spte < 0) return // reclaimed meanwhile: the instruction faults again
    this.gpa = gpa - (gpa % 4096)
    for (let i = 0; i < WORDS; i++) this.before[i] = ram.read32(v.guest.base + this.gpa + 4 * i)
    ram.write32(this.spte, ram.read32(this.spte) | WRITABLE)
    this.trapFlag = v.registers.flags & FLAG_TF
    v.registers.setFlags(v.registers.flags | FLAG_TF)
    this.active = true
  }

  /** Closes it again; whether the guest had asked for a single step itself. */
  end(): boolean {
    const { v } = this
    const { ram } = v.host.kernel
    this.active = false
    ram.write32(this.spte, ram.read32(this.spte) & ~WRITABLE)
    v.registers.setFlags((v.registers.flags & ~FLAG_TF) | this.trapFlag)
    for (let i = 0; i < WORDS; i += 2) {
      const at = v.guest.base + this.gpa + 4 * i
      if (this.before[i] !== ram.read32(at) || this.before[i + 1] !== ram.read32(at + 4))
        v.guest.shadow.memoryWritten(this.gpa + 4 * i, 8)
    }
    return this.trapFlag !== 0
  }

  /** Host-physical address of the shadow's 4 KiB entry for `vpn`, or -1. */
  private leaf(root: number, vpn: number): number {
    const { ram } = this.v.host.kernel
    let table = root
    for (let level = 4; ; level--) {
      const at = table + 8 * (Math.floor(vpn / 512 ** (level - 1)) % 512)
      const entry = ram.read32(at)
      if ((entry & PRESENT) === 0) return -1
      if (level === 1) return at
      if ((entry & LARGE) !== 0) return -1
      table = ((entry & ~0xfff) >>> 0) + (ram.read32(at + 4) & 0xf) * 0x1_0000_0000
    }
  }
}
