import type { Ram } from "../machine/ram.ts"
import { isCanonical, vpnOf } from "./address.ts"

/*
 * Reflecting: making an event look to the guest's kernel as if the hardware had delivered it. That is pushing words on its
 * stack through its own page tables, with the rights that it has itself, and nothing else.
 */

/** A guest's address space as its kernel sees it. */
export interface GuestSpace {
  /** Host-physical address of the page, as a write (or read) by the guest's kernel would reach it; -1 if it may not. */
  kernelPage(vpn: number, write: boolean): number
  /** Host-physical [pa, pa + bytes), in one page of the guest, has been written in the guest's name. */
  wrote(pa: number, bytes: number): void
}

/** Pushes 64-bit words on a guest kernel's stack, downwards from where `begin` was told. */
export class EventFrames {
  private readonly ram: Ram
  private readonly space: GuestSpace
  /** Host-physical address of the page that is written; -1: none, or it may not be written. */
  private page = -1
  /** Offset behind the last byte written in the current page. */
  private top = 0
  /** The stack pointer so far. */
  lo = 0
  hi = 0
  /** Whether some word could not be written; what was pushed after it went nowhere. */
  failed = false

  constructor(ram: Ram, space: GuestSpace) {
    this.ram = ram
    this.space = space
  }

  /** Starts at the stack pointer hi:lo, aligned down to 16 as the processor does (SDM vol. 3, 6.14.2). */
  begin(lo: number, hi: number): void {
    this.lo = (lo & ~15) >>> 0
    this.hi = hi
    this.page = -1
    this.top = 0
    this.failed = false
  }

  push(lo: number, hi: number): void {
    // Words are aligned: one never lies across two pages.
    if (this.top === 0 || (this.lo & 0xfff) === 0) this.nextPage()
    else this.lo -= 8
    if (this.page < 0) this.failed = true
    else this.ram.write64(this.page + (this.lo & 0xfff), lo, hi)
  }

  /** Moves down by one word, into a page that has not been asked for yet. */
  private nextPage(): void {
    this.flush(0)
    if (this.lo === 0) this.hi = (this.hi - 1) >>> 0
    this.lo = (this.lo - 8) >>> 0
    this.top = (this.lo & 0xfff) + 8
    this.page = isCanonical(this.hi) ? this.space.kernelPage(vpnOf(this.lo, this.hi), true) : -1
  }

  /** The frame is complete: whoever watches the guest's memory is told. */
  end(): void {
    this.flush(this.lo & 0xfff)
    this.page = -1
  }

  private flush(bottom: number): void {
    if (this.page >= 0) this.space.wrote(this.page + bottom, this.top - bottom)
  }
}
