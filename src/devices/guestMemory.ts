import type { Ram } from "../machine/ram.ts"

/**
 * D:150 What to do with a Guest that tries? Nothing subtle. A device that guesses what was meant is one more thing to
 * attack.
 *
 * A guest handed a device something impossible. It ends that guest, with the reason, and nothing else: devices throw it
 * and whoever runs the guest catches it.
 */
export class GuestFault extends Error {
  override readonly name = "GuestFault"
}

const hex = (n: number) => `0x${n.toString(16)}`

/**
 * A guest's memory as its devices see it: guest-physical addresses 0..size-1, which lie together in physical memory.
 * Every address comes from the guest and is checked. Writes go through Ram, so code that was decoded never goes stale.
 */
export class GuestMemory {
  readonly size: number
  private readonly ram: Ram
  private readonly base: number
  private readonly written: (gpa: number, bytes: number) => void
  private readonly writing: (gpa: number, bytes: number) => boolean

  /**
   * @param base host-physical address of guest-physical 0; @param size bytes; @param written who wants to know of each write
   * (a shadow MMU: what a device writes may be a page table); @param writing who is asked before each (where the processor walks
   * the guest's own page tables no device may write them: a network card is as good a way to all of memory as any).
   */
  constructor(
    ram: Ram,
    base: number,
    size: number,
    written: (gpa: number, bytes: number) => void = () => undefined,
    writing: (gpa: number, bytes: number) => boolean = () => true,
  ) {
    if (base & 3) throw new RangeError("a guest's memory must begin at a multiple of 4")
    if (base + size > ram.size) throw new RangeError("a guest's memory must lie within the machine's")
    this.ram = ram
    this.base = base
    this.size = size
    this.written = written
    this.writing = writing
  }

  /** Refuses to write to [gpa, gpa + bytes). */
  private checkWrite(gpa: number, bytes: number): void {
    this.check(gpa, bytes)
    if (!this.writing(gpa, bytes)) throw new GuestFault(`a device was sent to write to a page table at ${hex(gpa)}`)
  }

  /** Refuses a range that is not wholly in the guest's memory. `gpa` may be anything up to 2^64. */
  check(gpa: number, bytes: number): void {
    if (!(gpa >= 0 && bytes >= 0 && gpa + bytes <= this.size))
      throw new GuestFault(`a device was sent to guest-physical ${hex(gpa)} (${bytes} bytes), outside of memory`)
  }

  read16(gpa: number): number {
    this.check(gpa, 2)
    return this.ram.read16(this.base + gpa)
  }

  /** Unsigned. */
  read32(gpa: number): number {
    this.check(gpa, 4)
    return this.ram.read32(this.base + gpa)
  }

  write16(gpa: number, value: number): void {
    this.checkWrite(gpa, 2)
    this.ram.write16(this.base + gpa, value)
    this.written(gpa, 2)
  }

  write32(gpa: number, value: number): void {
    this.checkWrite(gpa, 4)
    this.ram.write32(this.base + gpa, value)
    this.written(gpa, 4)
  }

  /** Ordered with the accesses of virtual CPUs on other threads; `gpa` is even. */
  atomicRead16(gpa: number): number {
    this.check(gpa, 2)
    return this.ram.atomicRead16(this.base + gpa)
  }

  /** Whoever reads this sees what was written before it. */
  atomicWrite16(gpa: number, value: number): void {
    this.checkWrite(gpa, 2)
    this.ram.atomicWrite16(this.base + gpa, value)
    this.written(gpa, 2)
  }

  /** A copy of the guest's bytes. */
  copyOut(gpa: number, length: number): Uint8Array {
    this.check(gpa, length)
    return this.ram.copyOut(this.base + gpa, length)
  }

  copyIn(gpa: number, bytes: Uint8Array): void {
    this.checkWrite(gpa, bytes.length)
    this.ram.copyIn(this.base + gpa, bytes)
    this.written(gpa, bytes.length)
  }
}
