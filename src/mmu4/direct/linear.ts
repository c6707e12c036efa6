import { ENTRIES, ENTRY_BYTES, FRAME_BYTES, P, RW, US, A, D } from "../entries.ts"
import { changeLow, storeEntry } from "./entry.ts"
import { DATA, type DirectState } from "./state.ts"

/*
 * The linear view, guest-virtual = guest-physical, of virtual CPUs that have no page tables yet: tables of the host's own,
 * one tree for all of them, made as it is needed, and gone when the last has left. What the guest's tables may do, writing
 * to page tables excepted, this view may.
 */

const TABLE = P | RW | US | A

const tableAt = (s: DirectState, slot: number): number => (s.linearTables[slot]! - 1) * FRAME_BYTES

const levelTwo = (gfn: number): number => 1 + Math.floor(gfn / ENTRIES ** 2)
const levelOne = (s: DirectState, gfn: number): number =>
  1 + Math.ceil(s.count / ENTRIES ** 2) + Math.floor(gfn / ENTRIES)

/** Host-physical address of the entry that maps a frame; -1: there is no table for it. */
export const linearEntry = (s: DirectState, gfn: number): number => {
  const slot = levelOne(s, gfn)
  return s.linearTables[slot] === 0 ? -1 : tableAt(s, slot) + (gfn % ENTRIES) * ENTRY_BYTES
}

const make = (s: DirectState, slot: number): boolean => {
  if (s.linearTables[slot] !== 0) return true
  const hfn = s.allocator.alloc()
  if (hfn < 0) return s.refuse("the host has no frame for a page table of the linear view")
  s.memory.fill(hfn * FRAME_BYTES, FRAME_BYTES, 0)
  s.linearTables[slot] = hfn + 1
  return true
}

const link = (s: DirectState, at: number, slot: number): void => {
  const hfn = s.linearTables[slot]! - 1
  if ((s.memory.read32(at) & P) === 0) storeEntry(s, at, (hfn << 12) | TABLE, Math.floor(hfn / 0x100000))
}

/** Maps a frame; false: there is no memory for it. */
export const mapLinear = (s: DirectState, gfn: number): boolean => {
  const [two, one] = [levelTwo(gfn), levelOne(s, gfn)]
  if (!make(s, 0) || !make(s, two) || !make(s, one)) return false
  link(s, tableAt(s, 0) + (two - 1) * ENTRY_BYTES, two)
  link(s, tableAt(s, two) + (Math.floor(gfn / ENTRIES) % ENTRIES) * ENTRY_BYTES, one)
  const hfn = s.first + gfn
  const lo = (hfn << 12) | P | A | D | (s.forceUser ? US : 0) | (s.type[gfn] === DATA ? RW : 0)
  storeEntry(s, linearEntry(s, gfn), lo, Math.floor(hfn / 0x100000))
  return true
}

/** The PML4 entry that leads to the linear view: low half, high half; 0 as long as there is none. */
export const linearRootLo = (s: DirectState): number =>
  s.linearTables[0] === 0 ? 0 : (((s.linearTables[0]! - 1) << 12) | TABLE) >>> 0
export const linearRootHi = (s: DirectState): number =>
  s.linearTables[0] === 0 ? 0 : Math.floor((s.linearTables[0]! - 1) / 0x100000)

/** The frame becomes a page table. */
export const withholdLinear = (s: DirectState, gfn: number): void => {
  const at = linearEntry(s, gfn)
  if (at < 0 || (s.memory.read32(at) & RW) === 0) return
  changeLow(s, at, RW, 0)
  s.flushPending = true
}

/** No virtual CPU's root leads here any more. */
export const freeLinear = (s: DirectState): void => {
  if (s.linearTables[0] === 0) return
  s.flushPending = true
  s.flushIfPending()
  for (let slot = 0; slot < s.linearTables.length; slot++) {
    if (s.linearTables[slot] === 0) continue
    s.allocator.free(s.linearTables[slot]! - 1)
    s.linearTables[slot] = 0
  }
}
