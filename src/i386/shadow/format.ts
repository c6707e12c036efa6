import type { PhysicalMemory } from "../../mmu4/interface.ts"

/*
 * The two formats that i386 page tables come in (SDM vol. 3, 4.3 and 4.4), reduced to what the shadow MMU needs of them:
 * where the last directory entry for an address lies, in a guest's tables and in a shadow root. Below that entry both
 * are the same: one table of small entries.
 */

export const PTE_P = 1
export const PTE_W = 2
export const PTE_U = 4
export const PTE_A = 0x20
export const PTE_D = 0x40
export const PTE_PS = 0x80

/** guestDirectory found no entry: an upper one is not present. */
export const ABSENT = -1
/** guestDirectory met an upper entry that leads out of the guest's memory or has reserved bits set. */
export const BROKEN = -2

/** Reads a guest's tables by guest-physical address. */
export interface GuestTables {
  /** Host-physical address of a guest-physical one; -1 outside of the guest's memory. */
  hostAddress(gpa: number): number
}

export interface TableFormat {
  readonly name: "2-level" | "PAE"
  readonly entryBytes: 4 | 8
  /** log2 of the bytes that one last-level table maps: 22 or 21. */
  readonly directoryShift: 22 | 21
  /** Frames that a root consists of. */
  readonly rootFrames: number
  /** Entries of the guest's top table, and the bytes that each maps. */
  readonly topEntries: number
  readonly topShift: number
  /** Bits of a guest's CR3 that are address. */
  readonly rootMask: number
  /** Bits of an entry's high word that no entry of a guest may have set: reserved, or NX, which is not offered. */
  readonly reservedHigh: number
  /** Bits of a large page's low word that must be 0. */
  readonly reservedLarge: number

  /** Links fresh frames into an empty root; returns the value for CR3. */
  linkRoot(memory: PhysicalMemory, frames: ReadonlyArray<number>): number
  /** Host-physical address of the shadow directory entry for `gva`. */
  shadowDirectory(frames: ReadonlyArray<number>, gva: number): number
  /** Host-physical address of the guest's directory entry for `gva`, or ABSENT or BROKEN. */
  guestDirectory(memory: PhysicalMemory, guest: GuestTables, pgd: number, gva: number): number
}

/** Two levels, 32-bit entries: the page directory is the top. */
export const twoLevel: TableFormat = {
  name: "2-level",
  entryBytes: 4,
  directoryShift: 22,
  rootFrames: 1,
  topEntries: 1024,
  topShift: 22,
  rootMask: 0xfffff000,
  reservedHigh: 0,
  // PSE-36's address bits: nobody's memory reaches above 4 GiB here.
  reservedLarge: 0x003fe000,
  linkRoot: (_memory, frames) => frames[0]! * 4096,
  shadowDirectory: (frames, gva) => frames[0]! * 4096 + (gva >>> 22) * 4,
  guestDirectory: (_memory, guest, pgd, gva) => {
    const hpa = guest.hostAddress(pgd + (gva >>> 22) * 4)
    return hpa < 0 ? BROKEN : hpa
  },
}

/** PDPTEs have no flags but P, PWT and PCD; these bits are reserved, as is all that is above 40 bits of address. */
const PDPTE_RESERVED_LOW = 0x1e6
const ADDRESS_RESERVED_HIGH = 0xffffff00

/** Three levels, 64-bit entries: a table of four entries, each with a directory for 1 GiB. */
export const pae: TableFormat = {
  name: "PAE",
  entryBytes: 8,
  directoryShift: 21,
  rootFrames: 5,
  topEntries: 4,
  topShift: 30,
  rootMask: 0xffffffe0,
  reservedHigh: ADDRESS_RESERVED_HIGH,
  reservedLarge: 0x001fe000,
  // The processor reads the four top entries only when CR3 is loaded, so all four directories are there from the start.
  linkRoot: (memory, frames) => {
    const top = frames[4]! * 4096
    for (let i = 0; i < 4; i++) {
      memory.write32(top + 8 * i, frames[i]! * 4096 + PTE_P)
      memory.write32(top + 8 * i + 4, 0)
    }
    return top
  },
  shadowDirectory: (frames, gva) => frames[gva >>> 30]! * 4096 + ((gva >>> 21) & 0x1ff) * 8,
  guestDirectory: (memory, guest, pgd, gva) => {
    const top = guest.hostAddress(pgd + (gva >>> 30) * 8)
    if (top < 0) return BROKEN
    const lo = memory.read32(top)
    if ((lo & PTE_P) === 0) return ABSENT
    if ((lo & PDPTE_RESERVED_LOW) !== 0 || memory.read32(top + 4) !== 0) return BROKEN
    const hpa = guest.hostAddress(((lo & 0xfffff000) >>> 0) + ((gva >>> 21) & 0x1ff) * 8)
    return hpa < 0 ? BROKEN : hpa
  },
}
