import type { SharedHeap } from "../machine/shared.ts"

/*
 * The single numbers that the shadow MMU of one guest remembers. Names for cells of shared arrays, no more: all threads
 * that have the same heap see the same numbers.
 */

const NEWEST = 0
const OLDEST = 1
const FREE_SLOTS = 2
const UNSYNC = 3
const GENERATION = 4
const FLUSH_PENDING = 5
const CELLS = 6

export class MmuScalars {
  private readonly cells: Int32Array
  /** Faults are too many for 32 bits. */
  private readonly stamps: Float64Array

  constructor(heap: SharedHeap) {
    this.cells = heap.i32(CELLS)
    this.stamps = heap.f64(1)
    if (heap.fresh) this.generation = 1
  }

  /** Ends of the age list: slot + 1; 0: no page. */
  get newest(): number {
    return this.cells[NEWEST]!
  }
  set newest(slot: number) {
    this.cells[NEWEST] = slot
  }
  get oldest(): number {
    return this.cells[OLDEST]!
  }
  set oldest(slot: number) {
    this.cells[OLDEST] = slot
  }

  get freeSlotCount(): number {
    return this.cells[FREE_SLOTS]!
  }
  set freeSlotCount(n: number) {
    this.cells[FREE_SLOTS] = n
  }
  get unsyncCount(): number {
    return this.cells[UNSYNC]!
  }
  set unsyncCount(n: number) {
    this.cells[UNSYNC] = n
  }

  /** Pages of an earlier generation are obsolete: not to be found, zapped when met. */
  get generation(): number {
    return this.cells[GENERATION]!
  }
  set generation(n: number) {
    this.cells[GENERATION] = n
  }

  /** An spte was removed or narrowed: no processor's TLB is right until the flush that ends every call. */
  get flushPending(): boolean {
    return this.cells[FLUSH_PENDING] !== 0
  }
  set flushPending(pending: boolean) {
    this.cells[FLUSH_PENDING] = pending ? 1 : 0
  }

  /** Number of the fault being resolved: pages stamped with it are not reclaimed. */
  get stamp(): number {
    return this.stamps[0]!
  }
  set stamp(n: number) {
    this.stamps[0] = n
  }
}
