import type { GuestFrames, PhysicalMemory } from "../../mmu4/interface.ts"
import { ABSENT, BROKEN, type GuestTables, PTE_P, PTE_PS, type TableFormat } from "./format.ts"

/*
 * The walk through a guest's own tables, in either format. Nothing in them is believed: every address on the way is looked
 * up in the guest's memory, and an entry that could not be the hardware's ends the walk with a reason.
 */

export const NOT_PRESENT = 0
export const PRESENT = 1
export const BAD = 2
export type Found = typeof NOT_PRESENT | typeof PRESENT | typeof BAD

const hex = (n: number) => `0x${n.toString(16)}`

export class GuestWalk implements GuestTables {
  /** After PRESENT: host-physical addresses of the directory entry and of the leaf (the same for a large page). */
  directoryAt = 0
  leafAt = 0
  /** The leaf's low word. */
  leafLo = 0
  /** R/W and U/S as both entries allow them. */
  rights = 0
  /** The guest frame that is mapped; anything up to 2^28. */
  gfn = 0
  /** After BAD: why, in words. */
  reason = ""
  private readonly memory: PhysicalMemory
  private readonly frames: GuestFrames
  private readonly format: TableFormat

  constructor(format: TableFormat, memory: PhysicalMemory, frames: GuestFrames) {
    this.format = format
    this.memory = memory
    this.frames = frames
  }

  hostAddress(gpa: number): number {
    const gfn = Math.floor(gpa / 4096)
    if (gfn >= this.frames.count) return -1
    const hfn = this.frames.gfnToHfn(gfn)
    return hfn < 0 ? -1 : hfn * 4096 + (gpa % 4096)
  }

  /** The guest's own tables for `gva`, without touching anything; BAD leaves `reason`. */
  walk(pgd: number, gva: number): Found {
    const { memory, format } = this
    const at = format.guestDirectory(memory, this, pgd, gva)
    if (at === ABSENT) return NOT_PRESENT
    if (at === BROKEN) return this.bad(`bad page table: ${hex(gva)} is looked up outside of memory`)
    const wide = format.entryBytes === 8
    const lo = memory.read32(at)
    if ((lo & PTE_P) === 0) return NOT_PRESENT
    const hi = wide ? memory.read32(at + 4) : 0
    if ((hi & format.reservedHigh) !== 0) return this.badEntry("directory", gva, hi, lo)
    this.directoryAt = at
    this.rights = lo
    if ((lo & PTE_PS) !== 0) {
      // A large page: shadowed by small ones, each with the frame that lies at its place.
      if ((lo & format.reservedLarge) !== 0) return this.badEntry("directory", gva, hi, lo)
      this.leafAt = at
      this.leafLo = lo
      // Bit 12 is no address but PAT, which nobody looks at here (SDM vol. 3, table 4-4).
      const within = (1 << (format.directoryShift - 12)) - 1
      this.gfn = hi * 0x10_0000 + ((lo >>> 12) & ~within) + ((gva >>> 12) & within)
      return PRESENT
    }
    const table = this.hostAddress(hi * 0x1_0000_0000 + ((lo & 0xfffff000) >>> 0))
    if (table < 0) return this.badEntry("directory", gva, hi, lo)
    const entry = table + ((gva >>> 12) & ((1 << (format.directoryShift - 12)) - 1)) * format.entryBytes
    const pteLo = memory.read32(entry)
    if ((pteLo & PTE_P) === 0) return NOT_PRESENT
    const pteHi = wide ? memory.read32(entry + 4) : 0
    if ((pteHi & format.reservedHigh) !== 0) return this.badEntry("table", gva, pteHi, pteLo)
    this.leafAt = entry
    this.leafLo = pteLo
    this.rights = lo & pteLo
    this.gfn = pteHi * 0x10_0000 + (pteLo >>> 12)
    return PRESENT
  }

  private bad(reason: string): typeof BAD {
    this.reason = reason
    return BAD
  }

  private badEntry(kind: "directory" | "table", gva: number, hi: number, lo: number): typeof BAD {
    const value = hi === 0 ? hex(lo) : `${hex(hi)}${lo.toString(16).padStart(8, "0")}`
    return this.bad(`bad page ${kind} entry ${value} for ${hex(gva)}`)
  }
}
