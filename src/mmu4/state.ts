import { Mutex } from "../machine/shared.ts"
import type { GuestTables, ShadowColumns } from "./columns.ts"
import { sizesOf } from "./config.ts"
import { ENTRIES, HUGE_FRAMES, LEVELS, reservedHi } from "./entries.ts"
import {
  minimumShadowPages,
  type GuestFrames,
  type HostEntries,
  type MmuStats,
  type PhysicalMemory,
  type ShadowMmuConfig,
  type TlbFlusher,
} from "./interface.ts"
import { FramePool } from "./framePool.ts"
import { MmuScalars } from "./scalars.ts"
import { newStats } from "./stats.ts"
import { VcpuState } from "./vcpuState.ts"
import { type Views, viewsOf } from "./views.ts"

/*
 * Everything that the shadow MMU of one guest remembers beside the shadow tables themselves, as columns of typed arrays
 * made once. A shadow page is a slot number `sp` below the limit; an spte is `sp * 512 + index`, called `id`.
 *
 * The arrays are a SharedHeap's: every thread that runs a virtual CPU of the guest has a ShadowState of its own over the same
 * arrays, and whoever holds `mutex` may look and change. What is not in the heap is configuration, or scratch of one call.
 *
 * The columns about sptes repeat what the tables in memory say, so that no decision reads a table back: what the
 * processor changes there (accessed, dirty) is a hint for reclaim and nothing else.
 */

export class ShadowState extends MmuScalars implements GuestTables, ShadowColumns {
  /** Held in every call from outside (index.ts, vcpu.ts). */
  readonly mutex: Mutex
  readonly memory: PhysicalMemory
  readonly frames: GuestFrames
  readonly flushers: readonly TlbFlusher[]
  readonly host: HostEntries
  readonly views: Views
  readonly stats: MmuStats
  readonly limit: number
  readonly frameCount: number
  /** 2 MiB blocks of guest memory; the last may be partial. */
  readonly regionCount: number
  /** Reserved address bits of a guest entry's high half. */
  readonly reservedHi: number
  /** [slot] = 1: the PML4 slot is the host's. */
  readonly hostSlot = new Uint8Array(ENTRIES)
  readonly vcpus: readonly VcpuState[]

  // Shadow pages, by slot.
  readonly pageHfn: Int32Array
  readonly pageGfn: Int32Array
  readonly pageRole: Int32Array
  readonly pageFlags: Uint8Array
  /** Virtual CPUs that hold it as a root. */
  readonly pagePins: Int32Array
  readonly pageGeneration: Int32Array
  /** Stores into its guest table, since a fault was last resolved through it. */
  readonly pageFlood: Uint8Array
  /** sptes present. */
  readonly pageUsed: Int32Array
  /** Number of the fault that walked through it last. */
  readonly pageStamp: Float64Array
  /** Place in `unsyncPages`. */
  readonly pageUnsyncAt: Int32Array
  /** Next slot + 1 in the hash chain. */
  readonly hashNext: Int32Array
  /** First slot + 1 of each chain; a power of two long. */
  readonly buckets: Int32Array
  /** Age list: neighbours + 1; head newest, tail oldest. */
  readonly newer: Int32Array
  readonly older: Int32Array

  readonly freeSlots: Int32Array
  /** Where the frames come from, and go. */
  readonly pool: FramePool

  // sptes, by id.
  readonly entryInfo: Uint8Array
  readonly entryTarget: Int32Array
  /** Neighbours + 1 in the reverse map or parent list (rmap.ts). */
  readonly entryNext: Int32Array
  readonly entryPrev: Int32Array
  readonly listHead: Int32Array

  // Guest memory, by frame and by region.
  /** Shadow pages of the guest table in this frame (direct pages shadow none). */
  readonly tables: Int32Array
  readonly tablesInRegion: Int32Array
  /** 0 not looked at, 1 host frames are contiguous and aligned, 2 they are not. */
  readonly contiguity: Uint8Array

  readonly unsyncPages: Int32Array

  // Scratch.
  /** The fault being resolved has linked a table: entries were missing above the last one. */
  linked = false
  /** What readGuestEntry found. */
  guestLo = 0
  guestHi = 0

  constructor(config: ShadowMmuConfig) {
    const { vcpus, count, limit, physicalBits } = sizesOf(config)
    const { heap } = config
    super(heap)
    this.mutex = new Mutex(heap)
    this.stats = newStats(heap)
    this.memory = config.memory
    this.frames = config.frames
    this.flushers = config.flushers
    this.host = config.host
    this.views = viewsOf(config.views ?? 2, config.supervisor ?? false)
    this.limit = limit
    this.frameCount = count
    this.regionCount = Math.ceil(count / HUGE_FRAMES)
    this.reservedHi = reservedHi(physicalBits)
    for (const slot of config.host.slots) this.hostSlot[slot] = 1
    this.vcpus = config.flushers.map((_, i) => new VcpuState(heap, i))

    this.pageHfn = heap.i32(limit)
    this.pageGfn = heap.i32(limit)
    this.pageRole = heap.i32(limit)
    this.pageFlags = heap.u8(limit)
    this.pagePins = heap.i32(limit)
    this.pageGeneration = heap.i32(limit)
    this.pageFlood = heap.u8(limit)
    this.pageUsed = heap.i32(limit)
    this.pageStamp = heap.f64(limit)
    this.pageUnsyncAt = heap.i32(limit)
    this.hashNext = heap.i32(limit)
    this.buckets = heap.i32(2 ** Math.ceil(Math.log2(limit * 2)))
    this.newer = heap.i32(limit)
    this.older = heap.i32(limit)
    this.freeSlots = heap.i32(limit)
    this.entryInfo = heap.u8(limit * ENTRIES)
    this.entryTarget = heap.i32(limit * ENTRIES)
    this.entryNext = heap.i32(limit * ENTRIES)
    this.entryPrev = heap.i32(limit * ENTRIES)
    this.listHead = heap.i32(count + this.regionCount + limit)
    this.tables = heap.i32(count)
    this.tablesInRegion = heap.i32(this.regionCount)
    this.contiguity = heap.u8(this.regionCount)
    this.unsyncPages = heap.i32(limit)

    // A call makes no more than LEVELS pages; all others can be freed in it.
    this.pool = new FramePool(heap, config.allocator, minimumShadowPages(vcpus), limit + LEVELS)
    if (!heap.fresh) return
    for (let i = 0; i < limit; i++) this.freeSlots[i] = limit - 1 - i
    this.freeSlotCount = limit
  }

  /** Host frame behind a guest frame; -1: no memory there. */
  hostFrame(gfn: number): number {
    return gfn < this.frameCount ? this.frames.gfnToHfn(gfn) : -1
  }

  /** Host-physical address of a guest-physical one that is known to be memory. */
  hostAddress(gpa: number): number {
    return this.frames.gfnToHfn(Math.floor(gpa / 4096)) * 4096 + (gpa % 4096)
  }

  /**
   * Flushes all processors' TLBs if something was removed or narrowed. Only then, when no processor walks them any more, go
   * the frames of freed pages where others may have them.
   */
  flushIfPending(): void {
    if (this.flushPending) {
      this.flushPending = false
      this.stats.tlbFlushes++
      for (let i = 0; i < this.flushers.length; i++) this.flushers[i]!.flushAll()
    }
    this.pool.settle()
  }

  /** Whether some virtual CPU uses this frame as its PML4. */
  isActiveRoot(gfn: number): boolean {
    for (let i = 0; i < this.vcpus.length; i++) {
      const v = this.vcpus[i]!
      if (!v.linear && v.pgdGfn === gfn) return true
    }
    return false
  }
}
