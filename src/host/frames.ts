import type { Ram } from "../machine/ram.ts"
import { Mutex, type SharedHeap } from "../machine/shared.ts"

/*
 * The host's page allocator: one bit of knowledge for each frame, a stack of free ones. Frames come zeroed, because what
 * one guest left in a page is none of the next one's business.
 */
export class FrameAllocator {
  private readonly ram: Ram
  private readonly free: Int32Array
  private readonly taken: Uint8Array
  /** [0]: frames in `free`. */
  private readonly count: Int32Array
  private readonly first: number
  private readonly lock: Mutex

  /** Hands out the frames [first, end). */
  constructor(ram: Ram, heap: SharedHeap, first: number, end: number) {
    this.ram = ram
    this.first = first
    this.free = heap.i32(end - first)
    this.taken = heap.u8(end - first)
    this.count = heap.i32(1)
    this.lock = new Mutex(heap)
    if (!heap.fresh) return
    for (let hfn = end - 1; hfn >= first; hfn--) this.free[this.count[0]!++] = hfn
  }

  /** Frames that are still free. */
  get available(): number {
    return this.count[0]!
  }

  /** Whether somebody has the frame; those outside of what is handed out always belong to the host. */
  isTaken(hfn: number): boolean {
    const i = hfn - this.first
    return i < 0 || i >= this.taken.length || this.taken[i] === 1
  }

  /** A zeroed frame's number, or -1 when memory is exhausted. */
  alloc(): number {
    this.lock.lock()
    const left = this.count[0]!
    const hfn = left === 0 ? -1 : this.free[left - 1]!
    if (hfn >= 0) {
      this.count[0] = left - 1
      this.taken[hfn - this.first] = 1
    }
    this.lock.unlock()
    if (hfn >= 0) this.ram.fill(hfn * 4096, 4096, 0)
    return hfn
  }

  /** Gives a frame back; a frame that was not handed out is a defect of the caller. */
  release(hfn: number): void {
    this.lock.lock()
    const owned = this.taken[hfn - this.first] === 1
    if (owned) {
      this.taken[hfn - this.first] = 0
      this.free[this.count[0]!++] = hfn
    }
    this.lock.unlock()
    if (!owned) throw new Error(`host frame ${hfn} was released but not allocated`)
  }
}
