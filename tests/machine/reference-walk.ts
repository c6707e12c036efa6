/*
 * An architectural page walk written as plainly as possible, with BigInt and without a thought for speed: what tests hold
 * the processor core and the shadow MMU against. SDM vol. 3, chapter 4. Changes nothing: accessed and dirty flags are
 * not set, but `path` tells which entries a successful translation would have marked.
 */

export interface Access {
  readonly write: boolean
  readonly user: boolean
  readonly execute: boolean
}

/** One paging-structure entry that the walk used: physical address, bytes, value. */
export interface PathEntry {
  readonly pa: bigint
  readonly bytes: 4 | 8
  readonly value: bigint
}

export type WalkResult =
  | {
      readonly pa: bigint
      readonly error?: undefined
      /** Bytes of the page: 4 KiB, 2 MiB, 4 MiB, 1 GiB. */
      readonly pageSize: number
      readonly global: boolean
      /** From the root to the leaf; A is set in all, D in the last one on a write. PAE's PDPTEs are not among them. */
      readonly path: ReadonlyArray<PathEntry>
    }
  | { readonly pa?: undefined; readonly error: number }

/** 32 bits at a physical address; outside of memory an open bus reads all ones. */
export type Read32 = (pa: bigint) => number

/** Bits of a physical address that the core implements. */
export const MAXPHYADDR = 40n

const bit = (n: number) => 1n << BigInt(n)
const has = (value: bigint, n: number) => (value & bit(n)) !== 0n
/** Bits high..low, in place. */
const bits = (value: bigint, high: number, low: number) => value & ((1n << BigInt(high + 1)) - (1n << BigInt(low)))

const CR0_WP = 16
const CR0_PG = 31
const CR4_PSE = 4
const CR4_PAE = 5
const CR4_PGE = 7
const EFER_LMA = 10
const EFER_NXE = 11

interface Level {
  /** Lowest bit of the linear address that this level's index uses. */
  readonly shift: number
  /** Whether an entry with PS set maps a page here. */
  readonly large: boolean
  /** Bit 7 must be 0 here. */
  readonly psReserved: boolean
  /** The entry has no R/W, U/S, NX and A. */
  readonly bare: boolean
}

const level = (shift: number, large = false, psReserved = false, bare = false): Level => ({
  shift,
  large,
  psReserved,
  bare,
})

/** Translates a canonical linear address; `error` is the page fault's error code. */
export const walk = (
  read32: Read32,
  cr0: bigint,
  cr3: bigint,
  cr4: bigint,
  efer: bigint,
  linear: bigint,
  access: Access,
  /** PAE's four PDPTEs as loaded by MOV CR3; by default read from memory now. */
  pdptes?: ReadonlyArray<bigint>,
): WalkResult => {
  if (!has(cr0, CR0_PG)) return { pa: linear & 0xffffffffn, pageSize: 4096, global: false, path: [] }

  const long = has(efer, EFER_LMA)
  const pae = has(cr4, CR4_PAE)
  const nxe = has(efer, EFER_NXE)
  const code = (access.write ? 2 : 0) | (access.user ? 4 : 0) | (access.execute && pae && nxe ? 16 : 0)
  const notPresent: WalkResult = { error: code }
  const reserved: WalkResult = { error: code | 1 | 8 }

  const bytes = long || pae ? 8 : 4
  const levels: ReadonlyArray<Level> = long
    ? [level(39, false, true), level(30, true), level(21, true), level(12)]
    : pae
      ? [level(30, false, false, true), level(21, true), level(12)]
      : [level(22, has(cr4, CR4_PSE)), level(12)]
  let table = long ? bits(cr3, Number(MAXPHYADDR) - 1, 12) : pae ? bits(cr3, 31, 5) : bits(cr3, 31, 12)

  const path: Array<PathEntry> = []
  let writable = true
  let user = true
  let executable = true
  for (const { shift, large, psReserved, bare } of levels) {
    const indexBits = bare ? 2n : bytes === 8 ? 9n : 10n
    const index = (linear >> BigInt(shift)) & ((1n << indexBits) - 1n)
    const at = table + index * BigInt(bytes)
    let value = BigInt(read32(at) >>> 0)
    if (bytes === 8) value |= BigInt(read32(at + 4n) >>> 0) << 32n
    if (bare && pdptes !== undefined) value = pdptes[Number(index)]!
    if (!has(value, 0)) return notPresent

    const leaf = shift === 12 || (large && has(value, 7))
    let forbidden = 0n
    if (bytes === 8 && !bare) {
      forbidden |= bits(value, 51, Number(MAXPHYADDR))
      if (!long) forbidden |= bits(value, 62, 52)
      if (!nxe) forbidden |= value & bit(63)
      if (psReserved) forbidden |= value & bit(7)
      if (leaf && shift > 12) forbidden |= bits(value, shift - 1, 13)
    } else if (leaf && shift === 22) {
      // PSE-36: bits 20..13 are address bits 39..32.
      forbidden |= value & bit(21)
    }
    if (forbidden !== 0n) return reserved

    if (!bare) {
      writable &&= has(value, 1)
      user &&= has(value, 2)
      executable &&= bytes === 4 || !has(value, 63)
      path.push({ pa: at, bytes, value })
    }
    if (!leaf) {
      table = bits(value, bytes === 8 ? Number(MAXPHYADDR) - 1 : 31, 12)
      continue
    }

    const allowed =
      (!access.user || user) &&
      (!access.execute || executable) &&
      (!access.write || writable || (!access.user && !has(cr0, CR0_WP)))
    if (!allowed) return { error: code | 1 }
    const within = linear & (bit(shift) - 1n)
    const frame =
      bytes === 4 && shift === 22
        ? bits(value, 31, 22) | (bits(value, 20, 13) << 19n)
        : bits(value, bytes === 8 ? Number(MAXPHYADDR) - 1 : 31, shift)
    return { pa: frame | within, pageSize: 2 ** shift, global: has(value, 8) && has(cr4, CR4_PGE), path }
  }
  throw new Error("unreachable: the last level is always a leaf")
}
