import type { SharedHeap } from "../machine/shared.ts"
import { BadMmuConfig, type FrameAllocator } from "./interface.ts"

/*
 * Host frames for the shadow tables of one guest. Some are set aside at the start, so that the least number of shadow pages
 * can always be had; the others come from the host's allocator and go back there. A frame that is given back may still be
 * walked by a processor: it is kept until `settle`, after the next flush.
 */

const RESERVED = 0
const WAITING = 1

export class FramePool {
  private readonly allocator: FrameAllocator
  private readonly counts: Int32Array
  private readonly reserve: Int32Array
  private readonly released: Int32Array

  /** `least` frames are set aside; no more than `most` are released between two `settle`s. Throws BadMmuConfig. */
  constructor(heap: SharedHeap, allocator: FrameAllocator, least: number, most: number) {
    this.allocator = allocator
    this.counts = heap.i32(2)
    this.reserve = heap.i32(least)
    this.released = heap.i32(most)
    if (!heap.fresh) return
    while (this.reserved < least) {
      const hfn = allocator.alloc()
      if (hfn < 0) {
        this.destroy()
        throw new BadMmuConfig(`the host has no ${least} frames for shadow page tables`)
      }
      this.keep(hfn)
    }
  }

  /** Frames that are set aside and not in use. */
  get reserved(): number {
    return this.counts[RESERVED]!
  }
  /** Frames that wait for a flush. */
  get waiting(): number {
    return this.counts[WAITING]!
  }

  private keep(hfn: number): void {
    this.reserve[this.counts[RESERVED]!++] = hfn
  }

  /** A frame, whatever is in it; -1: none is left. */
  take(): number {
    const hfn = this.allocator.alloc()
    if (hfn >= 0) return hfn
    return this.reserved > 0 ? this.reserve[--this.counts[RESERVED]!]! : -1
  }

  release(hfn: number): void {
    this.released[this.counts[WAITING]!++] = hfn
  }

  /** No processor walks what was released before. */
  settle(): void {
    while (this.waiting > 0) {
      const hfn = this.released[--this.counts[WAITING]!]!
      if (this.reserved < this.reserve.length) this.keep(hfn)
      else this.allocator.free(hfn)
    }
  }

  /** Gives back what was set aside. */
  destroy(): void {
    while (this.reserved > 0) this.allocator.free(this.reserve[--this.counts[RESERVED]!]!)
  }
}
