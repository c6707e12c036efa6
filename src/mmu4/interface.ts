import type { SharedHeap } from "../machine/shared.ts"

/*
 * M:160 Nor must the MMU be this one. Whatever keeps these promises may stand in its place, which is how opinions are
 * turned into measurements here.
 *
 * What a shadow MMU needs from its surroundings and what it gives. The KVM-style MMU of this folder is one
 * implementation; throw-away, on-demand and direct MMUs are its siblings behind the same interfaces.
 *
 * Words: gpa and gfn are the guest's physical address and frame; hpa and hfn the host's; vpn is bits 12..47 of a
 * virtual address as a plain number (36 bits: divide, never shift); an spte is an entry of a shadow table.
 */

/** Physical memory as the host kernel sees it; the machine's Ram is one. Addresses are bytes; values are unsigned. */
export interface PhysicalMemory {
  read32(pa: number): number
  write8(pa: number, value: number): void
  write16(pa: number, value: number): void
  write32(pa: number, value: number): void
  /** Atomic; returns what was there. `pa` is 4-byte aligned. */
  compareExchange32(pa: number, expected: number, value: number): number
  fill(pa: number, length: number, value: number): void
}

/** The guest's memory: frames 0..count-1, each backed by a host frame or by nothing. */
export interface GuestFrames {
  readonly count: number
  /** Host frame behind a guest frame; -1: none. The answer may change only after `zapFrame`. */
  gfnToHfn(gfn: number): number
}

/** Host frames for shadow tables. Called with the guest's lock held. */
export interface FrameAllocator {
  /** A host frame, whatever is in it; -1: none left. */
  alloc(): number
  free(hfn: number): void
}

/**
 * The TLB of the processor that runs one virtual CPU. Any thread may call, with the guest's lock held. The call returns when
 * that processor uses nothing any more of what it has read from shadow tables before: if it is in the guest, it has to be
 * made to leave it, and to be waited for; if not, there is nothing to do, since it flushes on its way in. So a processor
 * must answer without asking for the guest's lock. Whether it is in the guest must be read behind a fence (an atomic store):
 * the changes to the shadow are plain stores.
 */
export interface TlbFlusher {
  /** `own`: the virtual CPU itself asks, in a call of its own; no rights have been taken from anybody else. */
  flushAll(own?: boolean): void
  /** The virtual CPU has just faulted there, or may do so: a hint, for what a processor remembers of a page it forgets as it faults. */
  flushPage(vpn: number): void
}

/** The PML4 slots that belong to the host in every root: the guest's own entries there have no effect. */
export interface HostEntries {
  readonly slots: readonly number[]
  /**
   * Low and high half of the entry for a slot in the roots of one virtual CPU. `userView`: in those of a view that is the
   * guest's user's alone.
   */
  entryLo(slot: number, vcpu: number, userView: boolean): number
  entryHi(slot: number, vcpu: number, userView: boolean): number
}

export interface ShadowMmuConfig {
  readonly memory: PhysicalMemory
  readonly frames: GuestFrames
  readonly allocator: FrameAllocator
  /** One for each virtual CPU; their number is the number of virtual CPUs. */
  readonly flushers: readonly TlbFlusher[]
  readonly host: HostEntries
  /** Where all that the MMU remembers lies. In a thread that finds it there already, nothing is initialized. */
  readonly heap: SharedHeap
  /**
   * Most shadow pages (4 KiB each) that this guest may have; at least `minimumShadowPages(vcpus)`. Default 4096. Under direct
   * paging, where there are none: most frames that may be page tables at a time, default all.
   */
  readonly limit?: number
  /** A call has done so much that others should have their turn after it. */
  readonly laboured?: () => void
  /**
   * Address spaces of guest kernel and guest user. 2: the user's view lacks the kernel's pages. 1: one set of shadows
   * serves both, which is safe only with `supervisor`. Default 2.
   */
  readonly views?: 1 | 2
  /** The guest's kernel runs at a ring that paging takes for a supervisor (0 to 2). Default: at ring 3. */
  readonly supervisor?: boolean
  /** Bits of a physical address that the guest's CPUID promises; the bits above, to 51, are reserved. Default 40. */
  readonly physicalBits?: number
}

/** The processor's page-fault error code (SDM vol. 3, 4.7). */
export const PF_PRESENT = 1
export const PF_WRITE = 2
export const PF_USER = 4
export const PF_RESERVED = 8
export const PF_FETCH = 16

/** The shadow now allows the access, or another processor was in between: run the instruction again. */
export const FIXED = 0
/** The guest's own page tables forbid it: deliver #PF with `error` to the guest. */
export const GUEST_FAULT = 1
/** `gpa` is not memory: a device, or nothing. */
export const MMIO = 2
/** A store to `gpa` in a shadowed page table: do it by `guestWrite` (decoding it), or by the instruction itself (`openWindow`). */
export const EMULATE = 3
/** The guest cannot go on: `reason` says why. */
export const KILL = 4
export type FaultKind = 0 | 1 | 2 | 3 | 4

/** What became of an access. One object for each virtual CPU, overwritten by the next call. */
export interface FaultResult {
  readonly kind: FaultKind
  /** GUEST_FAULT: the error code that the guest is to see. */
  readonly error: number
  /** FIXED, MMIO, EMULATE: guest-physical address of the byte. */
  readonly gpa: number
  /** KILL: one line for a person. Else empty. */
  readonly reason: string
}

/** One virtual CPU's side of a shadow MMU. Called by one thread at a time: the one that runs the virtual CPU. */
export interface VcpuMmu {
  /** MOV CR3: KILL when the frame is not memory, else FIXED. Until the first, the linear view is on. */
  newRoot(pgdGpa: number): FaultResult
  /** Back to the linear view: guest-virtual = guest-physical, for the guest's kernel alone. */
  linear(): void
  /** Whether the linear view is on. */
  readonly isLinear: boolean
  /** Guest-physical address of the page tables in use; 0 in the linear view. */
  readonly pgd: number
  /**
   * Host-physical address for CR3. Ask before every entry to the guest, after all other calls: the answer is good, and
   * its frame is not used for anything else and keeps the host's entries, until the `rootFor` after the next one: where
   * all of the host is mapped, a processor stays on the old root while the host works, up to the entry code's MOV CR3,
   * which comes after the next `rootFor`. Never fails.
   */
  rootFor(userView: boolean): number
  /**
   * A #PF that the processor took in the guest at vpn:offset with its error code (of which only W and I/D matter:
   * ring 3 and the shadow's own present bits say nothing about the guest). `userView` in this and the following calls:
   * the access is the guest's user's, however many views there are.
   */
  pageFault(vpn: number, offset: number, error: number, userView: boolean): FaultResult
  /**
   * Where an access in the guest's name goes (pushing a frame, reading an instruction): as a processor would find it, in
   * what is translated already or by the architectural walk, with accessed and dirty flags. `access`: PF_WRITE, PF_FETCH
   * or 0. FIXED with gpa, GUEST_FAULT, MMIO or KILL.
   */
  translate(vpn: number, offset: number, access: number, userView: boolean): FaultResult
  /**
   * After EMULATE, for who does not decode: the page at vpn can be written by this processor until `closeWindow`. Run one
   * instruction (single step) and close, also when it faulted. Two pages can be open at once, for a store across both.
   * False: the page is not mapped any more (or two others are open); run the instruction again, it faults again.
   */
  openWindow(vpn: number, userView: boolean): boolean
  /** Closes the windows, if there are any, and takes account of what was written. */
  closeWindow(): void
  /** After closeWindow: why what was written may not stand, which ends the guest; empty: it may. None: nothing is refused. */
  readonly refusal?: string
  /**
   * The guest asks for hi:lo to be stored to the page-table entry at `gpa` (8-byte aligned memory), instead of storing it:
   * FIXED or KILL. None: whoever wants to do it uses `guestWrite`.
   */
  update?(gpa: number, lo: number, hi: number): FaultResult
  /** Flush of the TLB: without (false) or with (true) global entries. */
  flush(global: boolean): void
  /** INVLPG. */
  flushAddress(vpn: number): void
}

/** The whole of a guest's shadow MMU. Any thread may call. */
export interface ShadowMmu {
  readonly vcpus: readonly VcpuMmu[]
  readonly stats: MmuStats
  /**
   * A store of 1, 2, 4 or 8 bytes (hi:lo) to guest memory in the guest's name. False, with nothing done, when it is not
   * all memory or crosses a page (split it: the next page may be elsewhere).
   */
  guestWrite(gpa: number, size: number, lo: number, hi: number): boolean
  /** The guest says that it has changed the page-table entry at `gpa` (8-byte aligned): SET_PTE and its kin. */
  entryChanged(gpa: number): void
  /** Somebody else (a device, the host) has written guest memory. */
  memoryWritten(gpa: number, bytes: number): void
  /**
   * Somebody else is going to write to [gpa, gpa + bytes), in memory, without further asking, until `releaseData`: false if
   * there is a page table there; true: none of it becomes one. None: anybody may write to page tables.
   */
  keepData?(gpa: number, bytes: number): boolean
  releaseData?(gpa: number, bytes: number): void
  /** Guest-physical address of the last-level entry for vpn under a PML4 (no flags set); -1 when there is none. */
  entryAddress(pgdGpa: number, vpn: number): number
  /** The frame is about to be backed by something else: nothing refers to it when this returns. */
  zapFrame(gfn: number): void
  /** Everything is forgotten at once; freed bit by bit. */
  zapAll(): void
  /** Gives back up to `pages` shadow pages; returns how many. */
  reclaim(pages: number): number
  /** Gives all frames back. Nothing else may be called afterwards. */
  destroy(): void
  describe(vcpu: number, vpn: number, userView: boolean): Description
}

/** Exact counts since the start. Arrays are indexed by level, 1 (page table) to 4 (PML4); [0] is unused. */
export interface MmuStats {
  readonly shadowFaults: {
    /** An entry was missing. */
    fill: number
    /** First store to a clean page. */
    dirty: number
    /** A store to a last-level page table, which became unsync. */
    unsync: number
    /** A store to a page table that has to stay write-protected. */
    emulate: number
    guest: number
    mmio: number
    /** The shadow allowed it already (a stale TLB entry, or another processor was first). */
    spurious: number
    kill: number
  }
  readonly alive: Int32Array
  readonly allocated: Int32Array
  /** Of those freed, how many because of the limit. */
  readonly reclaimed: Int32Array
  /** Shadow pages brought up to date with their guest table. */
  resyncs: number
  /** sptes that a resync, a store or an announcement removed or changed. */
  refreshed: number
  /** Shadow pages freed for any reason. */
  zaps: number
  /** Frames that ceased to be page tables because they were written like data. */
  floods: number
  zapAlls: number
  writeProtects: number
  /** 2 MiB sptes made; 2 MiB or larger guest mappings that had to be split. */
  huge: number
  split: number
  newRoots: number
  flushes: number
  flushAddresses: number
  /** Times that all processors' TLBs were flushed by the MMU. */
  tlbFlushes: number
}

/** One step of a walk, for people. */
export interface DescribedEntry {
  readonly level: number
  /** Physical address of the entry: guest-physical or host-physical. */
  readonly address: number
  readonly lo: number
  readonly hi: number
  /** Shadow entries: what it refers to, such as `gfn 0x123` or `table of gfn 0x5 {L1 W X user unsync}`. */
  readonly note: string
}

export interface Description {
  readonly vpn: number
  readonly guest: readonly DescribedEntry[]
  readonly shadow: readonly DescribedEntry[]
}

/**
 * Roots that a virtual CPU may hold: in both views the one in use and the two that were handed out last, or four of each
 * (throwAway/).
 */
export const MAX_ROOTS = 8

/** The least limit: for each virtual CPU its roots, and the tables of eight distinct addresses (an instruction can need that many). */
export const minimumShadowPages = (vcpus: number): number => vcpus * (MAX_ROOTS + 8 * 3)

/** Bad configuration; the message says what. */
export class BadMmuConfig extends Error {
  override readonly name = "BadMmuConfig"
}
