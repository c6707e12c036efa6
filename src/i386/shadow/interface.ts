import type { Saved } from "../../machine/snapshot.ts"
import type { DescribedEntry, GuestFrames, PhysicalMemory } from "../../mmu4/interface.ts"

/*
 * What the lguest module asks of an i386 shadow MMU. The words are those of src/mmu4/interface.ts: gva, gpa and hpa;
 * gfn and hfn; an spte is an entry of a shadow table. Addresses have 32 bits here and travel as unsigned numbers.
 */

/** What became of a fault. */
export const FIXED = 0
/** The guest's own tables forbid it: deliver #PF with `faultError` to the guest. */
export const GUEST_FAULT = 1
/** `mmio` is a guest-physical address in the devices' window: the launcher's. */
export const MMIO = 2
/** The guest cannot go on: `reason` says why. */
export const KILL = 3
export type Outcome = typeof FIXED | typeof GUEST_FAULT | typeof MMIO | typeof KILL

/** Access bits of a page fault's error code (SDM vol. 3, 4.7). */
export const PF_PRESENT = 1
export const PF_WRITE = 2
export const PF_USER = 4

export interface Shadow extends Saved {
  /** What pageFault and kernelPage said last. */
  readonly faultError: number
  readonly mmio: number
  readonly reason: string
  /** Exact counts, for the report. */
  readonly counts: ShadowCounts

  /** NEW_PGTABLE. Until the first, the linear view is on: every guest-virtual address is the guest-physical one. */
  newRoot(pgd: number): Outcome
  /** What to load into CR3. */
  root(): number
  /** A #PF that the processor took in the guest. */
  pageFault(gva: number, error: number): Outcome
  /**
   * Host-physical address of a byte, as the guest's kernel would reach it, with accessed and dirty flags; -1 where the
   * kernel would fault, reach a device or die (nothing but -1 comes of it then).
   */
  kernelPage(gva: number, write: boolean): number
  /** For people: guest-physical address of the current tables, -1 in the linear view. */
  readonly directory: number
  /** For people: guest-physical address for `gva` by the guest's own tables, -1 for none. Nothing is changed by asking. */
  lookUp(gva: number): number
  /** For people: the walks through the guest's tables (none in the linear view) and through the shadow. */
  describe(gva: number): {
    readonly guest: ReadonlyArray<DescribedEntry>
    readonly shadow: ReadonlyArray<DescribedEntry>
  }
  /** SET_PTE: the entry for `gva` in the tables at `pgd` has changed. */
  setPte(pgd: number, gva: number): Outcome
  /** SET_PGD: entry `index` of the top table at `pgd` has changed. */
  setPgd(pgd: number, index: number): Outcome
  /** SET_PMD: entry `index` of the middle table at `pmd` has changed; KILL where there is no middle level. */
  setPmd(pmd: number, index: number): Outcome
  /** FLUSH_TLB: the user part of the current tables, or everything. */
  flush(all: boolean): void
  /** Where the kernel's addresses begin: above, all of the guest's tables are the same. */
  setKernelAddress(gva: number): void
  /** True once since entries may have vanished: direct traps need the kernel's stack mapped, see `pinStack`. */
  takeDisturbed(): boolean
  /** True once since an entry may have vanished that a TLB remembers: for who does not load CR3 on each way in. */
  takeStale(): boolean
  destroy(): void
}

/** A directory entry that is the host's, in every root. */
export interface HostEntry {
  /** The first address that it maps. */
  readonly gva: number
  readonly lo: number
}

export interface ShadowCounts {
  /** Faults by what they were. */
  readonly faults: { fill: number; dirty: number; guest: number; mmio: number; kill: number }
  /** Last-level tables now, and ever made. */
  tables: number
  tablesMade: number
  /** Roots that have frames. */
  roots: number
  newRoots: number
  /** Directories that had no root and got one; roots thrown out for one. */
  rootsMade: number
  rootsEvicted: number
  /** All tables given up at once for want of memory. */
  exhausted: number
}

export interface ShadowConfig {
  readonly memory: PhysicalMemory
  readonly frames: GuestFrames
  /** Zeroed host frames. */
  readonly allocator: { alloc(): number; release(hfn: number): void }
  /** Guest-physical addresses [begin, end) at which devices answer. */
  readonly window: { readonly begin: number; readonly end: number }
  /** From this address on, a multiple of 4 MiB, nothing is the guest's, and what is there is `host`. */
  readonly top: number
  readonly host: ReadonlyArray<HostEntry>
  /** Most last-level tables that the guest may have at a time; at least 16. */
  readonly tableLimit: number
}
