import type { Ram } from "../../machine/ram.ts"
import type { FrameAllocator } from "../frames.ts"

/*
 * The host's own page tables. A and D are set from the start: nobody reads them, and the processor need not write them.
 */
export const PTE_P = 1
export const PTE_W = 2
export const PTE_U = 4
export const PTE_A = 0x20
export const PTE_D = 0x40
export const PTE_PS = 0x80
export const PTE_G = 0x100
/** Bit 63, in the entry's upper half. */
export const PTE_NX_HI = 0x8000_0000

const TABLE = PTE_P | PTE_W | PTE_U | PTE_A

const take = (frames: FrameAllocator): number => {
  const hfn = frames.alloc()
  if (hfn < 0) throw new RangeError("the host has no memory left for its own page tables")
  return hfn * 4096
}

/** Bits 39..47, 30..38, 21..29, 12..20 of an address. */
const slot = (address: bigint, level: number): number => Number((address >> BigInt(3 + 9 * level)) & 0x1ffn)

/** The table below entry `index` of the table at `table`, made if there is none. */
const below = (ram: Ram, frames: FrameAllocator, table: number, index: number): number => {
  const at = table + 8 * index
  if ((ram.read32(at) & PTE_P) === 0) {
    const fresh = take(frames)
    ram.write64(at, fresh | TABLE, 0)
  }
  return (ram.read32(at) & ~0xfff) >>> 0
}

/** Maps one 4 KiB page. */
export const mapPage = (
  ram: Ram,
  frames: FrameAllocator,
  root: number,
  address: bigint,
  pa: number,
  flags: number,
  noExecute: boolean,
): void => {
  let table = root
  for (let level = 4; level > 1; level--) table = below(ram, frames, table, slot(address, level))
  ram.write64(table + 8 * slot(address, 1), pa | flags | PTE_P | PTE_A | PTE_D, noExecute ? PTE_NX_HI : 0)
}

/** Makes the tables for `address`, with nothing in the last of them. Returns where its directory's entry lies. */
export const makeTables = (ram: Ram, frames: FrameAllocator, root: number, address: bigint): number => {
  let table = root
  for (let level = 4; level > 2; level--) table = below(ram, frames, table, slot(address, level))
  below(ram, frames, table, slot(address, 2))
  return table + 8 * slot(address, 2)
}

/** Maps [0, bytes) of physical memory at `address` with 2 MiB pages, supervisor, writable, not executable. */
export const mapDirect = (ram: Ram, frames: FrameAllocator, root: number, address: bigint, bytes: number): void => {
  const step = 0x200000
  for (let pa = 0; pa < bytes; pa += step) {
    const va = address + BigInt(pa)
    let table = root
    for (let level = 4; level > 2; level--) table = below(ram, frames, table, slot(va, level))
    ram.write64(table + 8 * slot(va, 2), pa | PTE_P | PTE_W | PTE_A | PTE_D | PTE_PS, PTE_NX_HI)
  }
}

/** Unmaps one 4 KiB page that `mapPage` mapped; the tables stay. */
export const unmapPage = (ram: Ram, root: number, address: bigint): void => {
  let table = root
  for (let level = 4; level > 1; level--) table = (ram.read32(table + 8 * slot(address, level)) & ~0xfff) >>> 0
  ram.write64(table + 8 * slot(address, 1), 0, 0)
}

/** Gives back the tables (not the pages) of a tree that only `mapPage` has built, root included. */
export const freeTables = (ram: Ram, frames: FrameAllocator, table: number, level = 4): void => {
  for (let at = table; level > 1 && at < table + 4096; at += 8) {
    const entry = ram.read32(at)
    if ((entry & PTE_P) !== 0) freeTables(ram, frames, (entry & ~0xfff) >>> 0, level - 1)
  }
  frames.release(table / 4096)
}

/** A fresh root. */
export const newRoot = take
