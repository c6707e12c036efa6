import { Mutex } from "../../machine/shared.ts"
import { guestSizesOf } from "../config.ts"
import { ENTRIES, FRAME_BYTES, reservedHi } from "../entries.ts"
import {
  BadMmuConfig,
  type FrameAllocator,
  type HostEntries,
  type MmuStats,
  type PhysicalMemory,
  type ShadowMmuConfig,
  type TlbFlusher,
} from "../interface.ts"
import { newStats } from "../stats.ts"
import { putHostEntries } from "../tableEntry.ts"
import { WINDOWS } from "../vcpuState.ts"
import { DirectVcpuState } from "./vcpuState.ts"

/*
 * What the MMU remembers of each frame of a guest that has its own tables walked. As everywhere it lies in a SharedHeap, and
 * who holds `mutex` may look and change.
 */

/** Types of frames: 0, or level 1 to 4, with USER_TABLE where it is a process's (see types.ts). */
export const DATA = 0
export const USER_TABLE = 8
export const levelOfType = (type: number): number => type & 7

/** Entries that may write to the same frame at a time. */
export const WRITERS = 4

/** Tables that are validated or given up until somebody is told: some milliseconds. */
const MUCH = 256

const FLUSH = 0
const DYING = 1
const OPEN = 2
const CELLS = 3

export class DirectState {
  readonly mutex: Mutex
  readonly memory: PhysicalMemory
  readonly allocator: FrameAllocator
  readonly flushers: readonly TlbFlusher[]
  readonly stats: MmuStats
  readonly host: HostEntries
  /** Frames of memory. */
  readonly count: number
  /** Most of them that may be page tables at a time. */
  readonly limit: number
  /** Machine frame of guest frame 0; the others follow. */
  readonly first: number
  readonly reservedHi: number
  /** [slot] = 1: the PML4 slot is the host's. */
  readonly hostSlot = new Uint8Array(ENTRIES)
  /** The user has roots of its own, which lack the kernel's slots. */
  readonly twoViews: boolean
  /** The guest's kernel is at ring 3: for the hardware all of its pages have U. */
  readonly forceUser: boolean
  readonly vcpus: readonly DirectVcpuState[]

  // By guest frame.
  readonly type: Uint8Array
  /** Page tables: entries, virtual CPUs and the pin that refer to it. */
  readonly typeCount: Int32Array
  /** Entries of tables that are present and refer to it, at any level; and what typeCount counts besides. */
  readonly references: Int32Array
  /** Entries of level 1 that allow writing to it; 0 for page tables. */
  readonly writable: Int32Array
  /** How many in the host may be writing to it without asking. Atomic: let go without the lock. */
  readonly holds: Int32Array
  /** PML4s: stays one though no virtual CPU uses it. */
  readonly pinned: Uint8Array
  /** Page tables: an entry that refers or has referred to it, by number (frame of the table * 512 + index) + 1. */
  readonly parent: Float64Array
  /** The entries that may write to it, WRITERS places for each frame; 0: none. */
  readonly writers: Float64Array
  /** Page tables that nothing refers to any more, and whether a frame is among them. */
  readonly dying: Int32Array
  readonly isDying: Uint8Array
  /** linear.ts: host frames + 1 of the tables of the linear view. */
  readonly linearTables: Int32Array
  private readonly cells: Int32Array
  private readonly laboured: () => void
  private labour = 0

  // Scratch of one call.
  /** The entry that was read last, or that was found good. */
  lo = 0
  hi = 0
  /** Why something was refused. */
  reason = ""

  constructor(config: ShadowMmuConfig) {
    const { count, physicalBits } = guestSizesOf(config)
    const { heap, frames, host } = config
    const first = frames.gfnToHfn(0)
    for (let gfn = 0; gfn < count; gfn++)
      if (frames.gfnToHfn(gfn) !== first + gfn || first < 0)
        throw new BadMmuConfig("direct paging needs a guest's memory in one piece: its tables hold machine frames")
    this.mutex = new Mutex(heap)
    this.stats = newStats(heap)
    this.memory = config.memory
    this.allocator = config.allocator
    this.flushers = config.flushers
    this.host = host
    this.count = count
    this.limit = config.limit ?? count
    this.first = first
    this.reservedHi = reservedHi(physicalBits)
    for (const slot of host.slots) this.hostSlot[slot] = 1
    this.twoViews = (config.views ?? 2) === 2
    this.forceUser = config.supervisor !== true
    this.vcpus = config.flushers.map((_, i) => new DirectVcpuState(heap, i))
    this.type = heap.u8(count)
    this.typeCount = heap.i32(count)
    this.references = heap.i32(count)
    this.writable = heap.i32(count)
    this.holds = heap.i32(count)
    this.pinned = heap.u8(count)
    this.parent = heap.f64(count)
    this.writers = heap.f64(count * WRITERS)
    this.dying = heap.i32(count)
    this.isDying = heap.u8(count)
    this.linearTables = heap.i32(1 + Math.ceil(count / ENTRIES ** 2) + Math.ceil(count / ENTRIES))
    this.cells = heap.i32(CELLS)
    this.laboured = config.laboured ?? (() => undefined)
    if (heap.fresh) this.initialize()
  }

  private initialize(): void {
    for (const v of this.vcpus) {
      for (let view = 0; view < 2; view++) {
        const hfn = this.frame()
        putHostEntries(this.memory, this.host, hfn, v.index, view === 1)
        v.roots[view] = hfn
      }
      for (let i = 0; i < WINDOWS; i++) v.scratch[i] = this.frame()
    }
  }

  private frame(): number {
    const hfn = this.allocator.alloc()
    if (hfn < 0) throw new BadMmuConfig("the host has no frames for a guest's roots")
    this.memory.fill(hfn * FRAME_BYTES, FRAME_BYTES, 0)
    return hfn
  }

  /** Rights were taken away that some processor may remember. To be seen to before anything is concluded from it. */
  get flushPending(): boolean {
    return this.cells[FLUSH] !== 0
  }
  set flushPending(pending: boolean) {
    this.cells[FLUSH] = pending ? 1 : 0
  }
  get dyingCount(): number {
    return this.cells[DYING]!
  }
  set dyingCount(n: number) {
    this.cells[DYING] = n
  }
  /** Windows that are open on any virtual CPU. */
  get openWindows(): number {
    return this.cells[OPEN]!
  }
  set openWindows(n: number) {
    this.cells[OPEN] = n
  }

  flushIfPending(): void {
    if (!this.flushPending) return
    this.flushPending = false
    this.stats.tlbFlushes++
    for (let i = 0; i < this.flushers.length; i++) this.flushers[i]!.flushAll()
  }

  /** Frames that are page tables. */
  get tables(): number {
    const { alive } = this.stats
    return alive[1]! + alive[2]! + alive[3]! + alive[4]!
  }

  /** Host-physical address of a frame of the guest's. */
  addressOf(gfn: number): number {
    return (this.first + gfn) * FRAME_BYTES
  }

  /** All entries of a table have been looked at: a hypercall may ask for that by the thousand. */
  toil(): void {
    if (++this.labour < MUCH) return
    this.labour = 0
    this.laboured()
  }

  refuse(reason: string): false {
    this.reason = reason
    return false
  }

  /** If a window is open in the entry at `at`: what the entry is without it, into `lo` and `hi`. */
  readSaved(at: number): boolean {
    for (const v of this.vcpus)
      for (let i = 0; i < WINDOWS; i++)
        if (v.windowTable[i]! >= 0 && v.windowAt[i] === at) {
          this.lo = v.savedLo[i]!
          this.hi = v.savedHi[i]!
          return true
        }
    return false
  }

  /** The entry at `at` is about to be overwritten: a window in it has nothing to put back. */
  detachWindow(at: number): void {
    for (const v of this.vcpus)
      for (let i = 0; i < WINDOWS; i++) if (v.windowTable[i]! >= 0 && v.windowAt[i] === at) v.windowAt[i] = -1
  }
}
