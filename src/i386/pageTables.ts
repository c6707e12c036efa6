import type { FrameAllocator } from "../host/frames.ts"
import type { Ram } from "../machine/ram.ts"
import type { HostEntry, TableFormat } from "./shadow/index.ts"
import { PTE_A, PTE_D, PTE_P, PTE_PS, PTE_U, PTE_W } from "./shadow/format.ts"

/*
 * The host's own page tables, in the format that it was built for. A and D are set from the start: nobody reads them, and
 * the processor need not write them.
 */

/** A frame for something that the host cannot do without. */
export const takeFrame = (frames: FrameAllocator): number => {
  const hfn = frames.alloc()
  if (hfn < 0) throw new RangeError("the host has no memory left for its own page tables")
  return hfn * 4096
}

export const writeEntry = (ram: Ram, format: TableFormat, at: number, lo: number): void => {
  ram.write32(at, lo)
  if (format.entryBytes === 8) ram.write32(at + 4, 0)
}

/** Address of the entry for `va` in a last-level table. */
export const entryAddress = (format: TableFormat, table: number, va: number): number =>
  table + ((va >>> 12) & ((1 << (format.directoryShift - 12)) - 1)) * format.entryBytes

export class HostPageTables {
  /** Value for CR3. */
  readonly cr3: number
  private readonly ram: Ram
  private readonly frames: FrameAllocator
  private readonly format: TableFormat
  private readonly root: Array<number>
  private readonly pageOffset: number

  /** Empty tables, or with `kernel` given tables that share it from `pageOffset` on. */
  constructor(ram: Ram, frames: FrameAllocator, format: TableFormat, pageOffset: number, kernel?: HostPageTables) {
    this.pageOffset = pageOffset
    this.ram = ram
    this.frames = frames
    this.format = format
    this.root = Array.from({ length: format.rootFrames }, () => takeFrame(frames) >>> 12)
    this.cr3 = format.linkRoot(ram, this.root)
    if (kernel === undefined) return
    for (const { gva, lo } of kernel.entries(2 ** 32)) writeEntry(ram, format, this.directory(gva), lo)
  }

  /** The directory entries from `pageOffset` up to `end`. */
  entries(end: number): ReadonlyArray<HostEntry> {
    const span = 2 ** this.format.directoryShift
    return Array.from({ length: (end - this.pageOffset) / span }, (_, i) => {
      const gva = this.pageOffset + i * span
      return { gva, lo: this.ram.read32(this.directory(gva)) }
    })
  }

  private directory(va: number): number {
    return this.format.shadowDirectory(this.root, va)
  }

  /** Maps one 4 KiB page. */
  map(va: number, pa: number, flags: number): void {
    const at = this.directory(va)
    if ((this.ram.read32(at) & PTE_P) === 0)
      writeEntry(this.ram, this.format, at, takeFrame(this.frames) | PTE_P | PTE_W | PTE_U | PTE_A)
    const table = (this.ram.read32(at) & ~0xfff) >>> 0
    writeEntry(this.ram, this.format, entryAddress(this.format, table, va), pa | flags | PTE_P | PTE_A | PTE_D)
  }

  /** Maps [0, bytes) of physical memory at `pageOffset` with large pages, supervisor and writable. */
  mapDirect(bytes: number): void {
    const span = 2 ** this.format.directoryShift
    for (let pa = 0; pa < bytes; pa += span)
      writeEntry(
        this.ram,
        this.format,
        this.directory(this.pageOffset + pa),
        pa | PTE_P | PTE_W | PTE_A | PTE_D | PTE_PS,
      )
  }
}
