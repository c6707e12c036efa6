import type { Ram } from "../machine/ram.ts"

/*
 * The host's page allocator: one bit of knowledge for each frame, a stack of free ones. Frames come zeroed, because what
 * one guest left in a page is none of the next one's business.
 */
export class FrameAllocator {
  private readonly ram: Ram
  private readonly free: Int32Array
  private readonly taken: Uint8Array
  private readonly first: number
  private count = 0

  /** Hands out the frames [first, end). */
  constructor(ram: Ram, first: number, end: number) {
    this.ram = ram
    this.first = first
    this.free = new Int32Array(end - first)
    this.taken = new Uint8Array(end - first)
    for (let hfn = end - 1; hfn >= first; hfn--) this.free[this.count++] = hfn
  }

  /** Frames that are still free. */
  get available(): number {
    return this.count
  }

  /** Whether somebody has the frame; those outside of what is handed out always belong to the host. */
  isTaken(hfn: number): boolean {
    const i = hfn - this.first
    return i < 0 || i >= this.taken.length || this.taken[i] === 1
  }

  /** A zeroed frame's number, or -1 when memory is exhausted. */
  alloc(): number {
    if (this.count === 0) return -1
    const hfn = this.free[--this.count]!
    this.taken[hfn - this.first] = 1
    this.ram.fill(hfn * 4096, 4096, 0)
    return hfn
  }

  /** Gives a frame back; a frame that was not handed out is a defect of the caller. */
  release(hfn: number): void {
    if (this.taken[hfn - this.first] !== 1) throw new Error(`host frame ${hfn} was released but not allocated`)
    this.taken[hfn - this.first] = 0
    this.free[this.count++] = hfn
  }
}
