import { Mutex } from "../../machine/shared.ts"
import { PAGE_LIVE, type GuestTables, type ShadowColumns } from "../columns.ts"
import { sizesOf } from "../config.ts"
import { ENTRIES, FRAME_BYTES, HUGE_FRAMES, LEVELS, reservedHi } from "../entries.ts"
import { FramePool } from "../framePool.ts"
import {
  minimumShadowPages,
  type GuestFrames,
  type HostEntries,
  type MmuStats,
  type PhysicalMemory,
  type ShadowMmuConfig,
  type TlbFlusher,
} from "../interface.ts"
import { rootRole } from "../roles.ts"
import { newStats } from "../stats.ts"
import { putHostEntries } from "../tableEntry.ts"
import { GuestWalk } from "../vcpuState.ts"
import { type Views, viewsOf } from "../views.ts"
import { SimpleVcpuState } from "./vcpuState.ts"

/*
 * Everything that a simple shadow MMU remembers, in the SharedHeap, as that of state.ts one folder up. There is less of it:
 * a shadow is a tree, each page hangs in one place, and nothing leads back from a guest frame to who maps it.
 *
 * Roots have the first slots for good, and their frames too, so what was handed out for CR3 never becomes anything else. An
 * address space that a virtual CPU keeps shadows of is called a space: it has one root for each view.
 */

/** Root keys that are no frame's number. */
export const KEY_LINEAR = -1
export const KEY_NONE = -2

const FREE = 0
const CELLS = 1

export class SimpleState implements GuestTables, ShadowColumns {
  /** Held in every call from outside. */
  readonly mutex: Mutex
  readonly memory: PhysicalMemory
  readonly frames: GuestFrames
  readonly flushers: readonly TlbFlusher[]
  readonly host: HostEntries
  readonly views: Views
  readonly stats: MmuStats
  readonly pool: FramePool
  readonly limit: number
  readonly frameCount: number
  readonly reservedHi: number
  readonly hostSlot = new Uint8Array(ENTRIES)
  readonly vcpus: readonly SimpleVcpuState[]
  /** Spaces of each virtual CPU. */
  readonly spaces: number

  // Spaces, by vcpu * spaces + space.
  /** Frame of the guest's PML4, or KEY_. */
  readonly spaceKey: Int32Array
  /** Number of the load that made it current last. */
  readonly spaceStamp: Float64Array
  private readonly stamps: Float64Array

  // Shadow pages, by slot.
  readonly pageHfn: Int32Array
  readonly pageGfn: Int32Array
  readonly pageRole: Int32Array
  readonly pageFlags: Uint8Array
  /** sptes present. */
  readonly pageUsed: Int32Array
  /** Slot of the root that it hangs below. */
  readonly pageRoot: Int32Array
  /** First virtual page that it maps. */
  readonly pageFirst: Float64Array
  readonly hashNext: Int32Array
  readonly buckets: Int32Array
  private readonly freeSlots: Int32Array
  private readonly cells: Int32Array

  // sptes, by id.
  readonly entryInfo: Uint8Array
  readonly entryTarget: Int32Array

  readonly contiguity: Uint8Array

  // Scratch of one call.
  guestLo = 0
  guestHi = 0
  /** For walks that are no virtual CPU's. */
  readonly walk = new GuestWalk()
  /** An spte was removed or narrowed, and processors may remember it. */
  removed = false

  constructor(config: ShadowMmuConfig, spaces: number) {
    const { vcpus, count, limit, physicalBits } = sizesOf(config)
    const { heap } = config
    this.mutex = new Mutex(heap)
    this.stats = newStats(heap)
    this.memory = config.memory
    this.frames = config.frames
    this.flushers = config.flushers
    this.host = config.host
    this.views = viewsOf(config.views ?? 2, config.supervisor ?? false)
    this.limit = limit
    this.frameCount = count
    this.reservedHi = reservedHi(physicalBits)
    for (const slot of config.host.slots) this.hostSlot[slot] = 1
    this.spaces = spaces
    this.vcpus = config.flushers.map((_, i) => new SimpleVcpuState(heap, i))

    this.spaceKey = heap.i32(vcpus * spaces)
    this.spaceStamp = heap.f64(vcpus * spaces)
    this.stamps = heap.f64(1)
    this.pageHfn = heap.i32(limit)
    this.pageGfn = heap.i32(limit)
    this.pageRole = heap.i32(limit)
    this.pageFlags = heap.u8(limit)
    this.pageUsed = heap.i32(limit)
    this.pageRoot = heap.i32(limit)
    this.pageFirst = heap.f64(limit)
    this.hashNext = heap.i32(limit)
    this.buckets = heap.i32(2 ** Math.ceil(Math.log2(limit * 2)))
    this.freeSlots = heap.i32(limit)
    this.cells = heap.i32(CELLS)
    this.entryInfo = heap.u8(limit * ENTRIES)
    this.entryTarget = heap.i32(limit * ENTRIES)
    this.contiguity = heap.u8(Math.ceil(count / HUGE_FRAMES))
    // A call makes no more than LEVELS pages that it does not keep; all others can be freed in it.
    this.pool = new FramePool(heap, config.allocator, minimumShadowPages(vcpus), limit + LEVELS)
    if (heap.fresh) this.initialize()
  }

  /** Once for a guest: later threads find all this in the heap. */
  private initialize(): void {
    this.spaceKey.fill(KEY_NONE)
    for (let sp = this.limit - 1; sp >= this.rootCount; sp--) this.freeSlot(sp)
    for (let root = 0; root < this.rootCount; root++) {
      const hfn = this.pool.take()
      const vcpu = this.vcpuOfRoot(root)
      this.memory.fill(hfn * FRAME_BYTES, FRAME_BYTES, 0)
      putHostEntries(this.memory, this.host, hfn, vcpu, this.isUserRoot(root))
      this.pageHfn[root] = hfn
      this.pageRole[root] = rootRole(true, this.views.access, this.isUserRoot(root) ? this.views.userRole : 0, vcpu)
      this.pageFlags[root] = PAGE_LIVE
      this.pageRoot[root] = root
      this.stats.alive[4]!++
      this.stats.allocated[4]!++
    }
    for (const v of this.vcpus) this.spaceKey[this.spaceOf(v)] = KEY_LINEAR
  }

  /** Roots of all virtual CPUs, which have the first slots. */
  get rootCount(): number {
    return this.vcpus.length * this.spaces * this.views.count
  }
  spaceOf(v: SimpleVcpuState): number {
    return v.index * this.spaces + v.space
  }
  rootOf(space: number, userView: boolean): number {
    return space * this.views.count + (userView ? this.views.user : 0)
  }
  spaceOfRoot(root: number): number {
    return Math.floor(root / this.views.count)
  }
  vcpuOfRoot(root: number): number {
    return Math.floor(root / (this.views.count * this.spaces))
  }
  /** Whether a root is one of the user's own view. */
  isUserRoot(root: number): boolean {
    return this.views.count === 2 && root % 2 === 1
  }

  /** A number greater than all before it. */
  nextStamp(): number {
    return ++this.stamps[0]!
  }

  /** A free slot; -1: none. */
  takeSlot(): number {
    return this.cells[FREE]! > 0 ? this.freeSlots[--this.cells[FREE]!]! : -1
  }
  freeSlot(sp: number): void {
    this.freeSlots[this.cells[FREE]!++] = sp
  }
  get freeSlotCount(): number {
    return this.cells[FREE]!
  }

  hostFrame(gfn: number): number {
    return gfn < this.frameCount ? this.frames.gfnToHfn(gfn) : -1
  }
  hostAddress(gpa: number): number {
    return this.frames.gfnToHfn(Math.floor(gpa / 4096)) * 4096 + (gpa % 4096)
  }

  /** Ends a call of a virtual CPU that has changed nobody's shadows but its own: no other processor walks those. */
  flushOwn(v: SimpleVcpuState): void {
    if (this.removed) this.flushers[v.index]!.flushAll(true)
    this.removed = false
    this.pool.settle()
  }

  /** Ends a call that may have changed everybody's. */
  flushEverybody(): void {
    if (this.removed) {
      this.stats.tlbFlushes++
      for (let i = 0; i < this.flushers.length; i++) this.flushers[i]!.flushAll()
    }
    this.removed = false
    this.pool.settle()
  }
}
