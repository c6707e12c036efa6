import { META_CODE, META_VERSION_STEP } from "./core/state.ts"

/*
 * M:120 Even the hardware's own walk can be raced, if the Host is not careful how it writes: a processor that reads an
 * entry between two stores must find nothing there rather than half of something.
 *
 * Physical memory as the TypeScript side sees it: host kernel code, devices, loaders and tests. The processors see the
 * same bytes through their TLBs. A write from here must tell them when it hits a page of which they hold decoded
 * instructions, which is what the page metadata is for (core/state.ts, PAGE_META).
 *
 * Aligned accesses of 1, 2 and 4 bytes are single steps to processors in other threads. An aligned write64 is two: the
 * half with bit 0 comes last when it is set and first when it is clear, so that a page-table entry that comes or goes is
 * present only while both halves are its own. (One that changes its frame while present has to go away in between.)
 */

/** An access outside physical memory: always a bug of the caller, who has to check what comes from a guest. */
export class BadPhysicalAddress extends Error {
  override readonly name = "BadPhysicalAddress"
  readonly address: number
  constructor(address: number, size: number) {
    super(`physical address 0x${address.toString(16)} (${size} bytes) is outside of memory`)
    this.address = address
  }
}

export class Ram {
  /** Bytes of physical memory. */
  readonly size: number
  private readonly base: number
  private readonly u8: Uint8Array
  private readonly u16: Uint16Array
  private readonly u32: Int32Array
  private readonly meta: Int32Array

  constructor(memory: WebAssembly.Memory, base: number, size: number, metaBase: number) {
    this.size = size
    this.base = base
    this.u8 = new Uint8Array(memory.buffer, base, size)
    this.u16 = new Uint16Array(memory.buffer, base, size >>> 1)
    this.u32 = new Int32Array(memory.buffer, base, size >>> 2)
    this.meta = new Int32Array(memory.buffer, metaBase, size >>> 12)
  }

  private check(pa: number, bytes: number): void {
    if (!(pa >= 0 && pa + bytes <= this.size)) throw new BadPhysicalAddress(pa, bytes)
  }

  /** The page at `pa` was written: whoever holds decoded instructions from it must decode them again. */
  private touch(pa: number): void {
    const page = pa >>> 12
    if ((this.meta[page]! & META_CODE) !== 0) Atomics.add(this.meta, page, META_VERSION_STEP)
  }

  read8(pa: number): number {
    this.check(pa, 1)
    return this.u8[pa]!
  }

  read16(pa: number): number {
    this.check(pa, 2)
    if ((pa & 1) === 0) return this.u16[pa >>> 1]!
    return this.u8[pa]! | (this.u8[pa + 1]! << 8)
  }

  /** Unsigned; any alignment. */
  read32(pa: number): number {
    this.check(pa, 4)
    if ((pa & 3) === 0) return this.u32[pa >>> 2]! >>> 0
    const b = this.u8
    return (b[pa]! | (b[pa + 1]! << 8) | (b[pa + 2]! << 16) | (b[pa + 3]! << 24)) >>> 0
  }

  /** As many 32-bit words as `to` has room for. `pa` is 4-byte aligned. */
  readWords(pa: number, to: Uint32Array): void {
    this.check(pa, 4 * to.length)
    for (let i = 0, from = pa >>> 2; i < to.length; i++, from++) to[i] = this.u32[from]!
  }

  write8(pa: number, value: number): void {
    this.check(pa, 1)
    this.u8[pa] = value
    this.touch(pa)
  }

  write16(pa: number, value: number): void {
    this.check(pa, 2)
    if ((pa & 1) === 0) this.u16[pa >>> 1] = value
    else {
      this.u8[pa] = value
      this.u8[pa + 1] = value >>> 8
    }
    this.touch(pa)
    if ((pa & 0xfff) === 0xfff) this.touch(pa + 1)
  }

  write32(pa: number, value: number): void {
    this.check(pa, 4)
    if ((pa & 3) === 0) {
      this.u32[pa >>> 2] = value
      this.touch(pa)
      return
    }
    const b = this.u8
    b[pa] = value
    b[pa + 1] = value >>> 8
    b[pa + 2] = value >>> 16
    b[pa + 3] = value >>> 24
    this.touch(pa)
    this.touch(pa + 3)
  }

  /** Writes the 64-bit value hi:lo at `pa`. */
  write64(pa: number, lo: number, hi: number): void {
    this.check(pa, 8)
    if ((pa & 7) === 0) {
      const at = pa >>> 2
      if ((lo & 1) === 0) this.u32[at] = lo
      this.u32[at + 1] = hi
      if ((lo & 1) !== 0) this.u32[at] = lo
      this.touch(pa)
      return
    }
    this.write32(pa, lo)
    this.write32(pa + 4, hi)
  }

  /** For set-up, tests and reports. */
  readBig(pa: number): bigint {
    return BigInt(this.read32(pa)) | (BigInt(this.read32(pa + 4)) << 32n)
  }

  /** For set-up, tests and reports. */
  writeBig(pa: number, value: bigint): void {
    this.write32(pa, Number(value & 0xffffffffn) | 0)
    this.write32(pa + 4, Number((value >> 32n) & 0xffffffffn) | 0)
  }

  /** Atomic, as a processor's own A/D update; returns what was there. `pa` is 4-byte aligned. */
  compareExchange32(pa: number, expected: number, value: number): number {
    this.check(pa, 4)
    const old = Atomics.compareExchange(this.u32, pa >>> 2, expected | 0, value | 0) >>> 0
    this.touch(pa)
    return old
  }

  /** In one step, and in order with all other atomic accesses: for rings that running code fills. `pa` is 2-byte aligned. */
  atomicRead16(pa: number): number {
    this.check(pa, 2)
    return Atomics.load(this.u16, pa >>> 1)
  }

  /** As `atomicRead16`: whoever sees this sees all that was written before. */
  atomicWrite16(pa: number, value: number): void {
    this.check(pa, 2)
    Atomics.store(this.u16, pa >>> 1, value & 0xffff)
    this.touch(pa)
  }

  /** Copies bytes into memory. */
  copyIn(pa: number, bytes: Uint8Array): void {
    this.check(pa, bytes.length)
    this.u8.set(bytes, pa)
    this.touchRange(pa, bytes.length)
  }

  /** A copy of `length` bytes at `pa`. */
  copyOut(pa: number, length: number): Uint8Array {
    this.check(pa, length)
    return this.u8.slice(pa, pa + length)
  }

  fill(pa: number, length: number, value: number): void {
    this.check(pa, length)
    // Four bytes at a time where that is possible: whole pages are cleared all the time.
    if (((pa | length) & 3) === 0) this.u32.fill((value & 0xff) * 0x01010101, pa >>> 2, (pa + length) >>> 2)
    else this.u8.fill(value, pa, pa + length)
    this.touchRange(pa, length)
  }

  private touchRange(pa: number, length: number): void {
    for (let page = pa >>> 12; page <= (pa + length - 1) >>> 12 && length > 0; page++) this.touch(page * 4096)
  }

  /** The shared memory's address of a physical one: for whoever hands views to the outside. */
  wasmAddress(pa: number): number {
    return this.base + pa
  }
}
