import { ENTRIES, HUGE_FRAMES, reservedHi } from "./entries.ts"
import {
  BadMmuConfig,
  minimumShadowPages,
  type FrameAllocator,
  type GuestFrames,
  type HostEntries,
  type MmuStats,
  type PhysicalMemory,
  type ShadowMmuConfig,
  type TlbFlusher,
} from "./interface.ts"
import { MAX_VCPUS } from "./roles.ts"
import { newStats } from "./stats.ts"
import { VcpuState } from "./vcpuState.ts"

/*
 * Everything that the shadow MMU of one guest remembers beside the shadow tables themselves, as columns of typed arrays
 * made once. A shadow page is a slot number `sp` below the limit; an spte is `sp * 512 + index`, called `id`.
 *
 * The columns about sptes repeat what the tables in memory say, so that no decision reads a table back: what the
 * processor changes there (accessed, dirty) is a hint for reclaim and nothing else.
 */

/** pageFlags: the slot is in use. */
export const PAGE_LIVE = 1
/** Its guest table may have been written since it was read. Level 1 only; all pages of a frame or none. */
export const PAGE_UNSYNC = 2
/** Zapped while pinned: empty, not to be found, freed when the last pin goes. */
export const PAGE_DEAD = 4
/** Used since the reclaimer looked last. */
export const PAGE_TOUCHED = 8

/** entryInfo: maps a page (4 KiB in level 1, else 2 MiB); entryTarget is its first guest frame. */
export const ENTRY_LEAF = 1
/** Refers to a shadow page; entryTarget is its slot. */
export const ENTRY_TABLE = 2
/** A leaf that allows writing, executing. */
export const ENTRY_W = 4
export const ENTRY_X = 8

const defaultLimit = (frames: number, vcpus: number): number =>
  Math.max(minimumShadowPages(vcpus), Math.min(8192, Math.max(256, frames >>> 4)))

export class ShadowState {
  readonly memory: PhysicalMemory
  readonly frames: GuestFrames
  readonly allocator: FrameAllocator
  readonly flushers: readonly TlbFlusher[]
  readonly host: HostEntries
  readonly stats: MmuStats = newStats()
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
  newest = 0
  oldest = 0

  readonly freeSlots: Int32Array
  freeSlotCount: number
  /** Frames set aside at the start, so that the least number of shadow pages can always be had. */
  readonly reserve: Int32Array
  reserveCount = 0

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
  unsyncCount = 0
  /** Pages of an earlier generation are obsolete: not to be found, zapped when met. */
  generation = 1
  /** Number of the fault being resolved: pages stamped with it are not reclaimed. */
  stamp = 0
  /** The fault being resolved has linked a table: entries were missing above the last one. */
  linked = false
  /** An spte was removed or narrowed: no processor's TLB is right until the flush that ends every call. */
  flushPending = false

  constructor(config: ShadowMmuConfig) {
    const vcpus = config.flushers.length
    const count = config.frames.count
    if (vcpus < 1 || vcpus > MAX_VCPUS) throw new BadMmuConfig(`${vcpus} virtual CPUs: 1 to ${MAX_VCPUS} are possible`)
    if (!(Number.isInteger(count) && count > 0 && count <= 0x40000000))
      throw new BadMmuConfig(`guest memory of ${count} frames: 1 to 2^30 are possible`)
    const limit = config.limit ?? defaultLimit(count, vcpus)
    if (!(Number.isInteger(limit) && limit >= minimumShadowPages(vcpus) && limit <= 0x200000))
      throw new BadMmuConfig(
        `a limit of ${limit} shadow pages: ${vcpus} virtual CPUs need ${minimumShadowPages(vcpus)} to ${0x200000}`,
      )
    const bits = config.physicalBits ?? 40
    if (!(Number.isInteger(bits) && bits >= 32 && bits <= 52))
      throw new BadMmuConfig(`physical addresses of ${bits} bits: 32 to 52 are possible`)

    this.memory = config.memory
    this.frames = config.frames
    this.allocator = config.allocator
    this.flushers = config.flushers
    this.host = config.host
    this.limit = limit
    this.frameCount = count
    this.regionCount = Math.ceil(count / HUGE_FRAMES)
    this.reservedHi = reservedHi(bits)
    for (const slot of config.host.slots) this.hostSlot[slot] = 1
    this.vcpus = config.flushers.map((_, i) => new VcpuState(i))

    this.pageHfn = new Int32Array(limit)
    this.pageGfn = new Int32Array(limit)
    this.pageRole = new Int32Array(limit)
    this.pageFlags = new Uint8Array(limit)
    this.pagePins = new Int32Array(limit)
    this.pageGeneration = new Int32Array(limit)
    this.pageFlood = new Uint8Array(limit)
    this.pageUsed = new Int32Array(limit)
    this.pageStamp = new Float64Array(limit)
    this.pageUnsyncAt = new Int32Array(limit)
    this.hashNext = new Int32Array(limit)
    this.buckets = new Int32Array(2 ** Math.ceil(Math.log2(limit * 2)))
    this.newer = new Int32Array(limit)
    this.older = new Int32Array(limit)
    this.freeSlots = new Int32Array(limit).map((_, i) => limit - 1 - i)
    this.freeSlotCount = limit
    this.entryInfo = new Uint8Array(limit * ENTRIES)
    this.entryTarget = new Int32Array(limit * ENTRIES)
    this.entryNext = new Int32Array(limit * ENTRIES)
    this.entryPrev = new Int32Array(limit * ENTRIES)
    this.listHead = new Int32Array(count + this.regionCount + limit)
    this.tables = new Int32Array(count)
    this.tablesInRegion = new Int32Array(this.regionCount)
    this.contiguity = new Uint8Array(this.regionCount)
    this.unsyncPages = new Int32Array(limit)

    const least = minimumShadowPages(vcpus)
    this.reserve = new Int32Array(least)
    while (this.reserveCount < least) {
      const hfn = config.allocator.alloc()
      if (hfn < 0) {
        while (this.reserveCount > 0) config.allocator.free(this.reserve[--this.reserveCount]!)
        throw new BadMmuConfig(`the host has no ${least} frames for shadow page tables`)
      }
      this.reserve[this.reserveCount++] = hfn
    }
  }

  /** Host frame behind a guest frame; -1: no memory there. */
  hostFrame(gfn: number): number {
    return gfn < this.frameCount ? this.frames.gfnToHfn(gfn) : -1
  }

  /** Host-physical address of a guest-physical one that is known to be memory. */
  hostAddress(gpa: number): number {
    return this.frames.gfnToHfn(Math.floor(gpa / 4096)) * 4096 + (gpa % 4096)
  }

  /** Flushes all processors' TLBs if something was removed or narrowed. */
  flushIfPending(): void {
    if (!this.flushPending) return
    this.flushPending = false
    this.stats.tlbFlushes++
    for (let i = 0; i < this.flushers.length; i++) this.flushers[i]!.flushAll()
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
