import { A, D, ENTRIES, ENTRY_BYTES, FRAME_BYTES, NX_HI, P, PS, RW, US } from "./entries.ts"
import { leafList, listInsert, listRemove, parentList } from "./rmap.ts"
import { levelOf } from "./roles.ts"
import { ENTRY_LEAF, ENTRY_TABLE, ENTRY_U, ENTRY_W, ENTRY_X } from "./columns.ts"
import type { ShadowState } from "./state.ts"

/*
 * H:250 Shadow entries are the crown jewels: whoever could write one has all of memory. So one file writes them, and
 * you may audit it now.
 *
 * The only writer of shadow tables (but for the host's slots in a new root). Every change goes to memory, to the
 * columns and to the reverse maps together, and everything that takes rights away asks for a TLB flush.
 *
 * An entry in memory is written so that a processor that walks meanwhile never sees half of it: P is cleared first and set
 * last, each by an atomic operation, which also keeps the order of the stores around it. The walk reads 64 bits at once, and
 * sets A or D by an exchange of 64 bits, which fails if the entry is not any more what the walk saw: so it neither
 * brings a dropped entry back nor gets lost.
 */

/** Bits of an spte that refers to a table: everything is allowed, the leaf decides. A is for the processor to set. */
const TABLE_BITS = P | RW | US

export const pageOf = (id: number): number => Math.floor(id / ENTRIES)
export const levelOfEntry = (s: ShadowState, id: number): number => levelOf(s.pageRole[pageOf(id)]!)

/** Host-physical address of an spte. */
export const addressOf = (s: ShadowState, id: number): number =>
  s.pageHfn[pageOf(id)]! * FRAME_BYTES + (id % ENTRIES) * ENTRY_BYTES

/** Changes bits of an entry's low half, atomically: the processors may be setting flags in it. */
export const changeLow = (s: ShadowState, at: number, clear: number, set: number): void => {
  let expected = s.memory.read32(at)
  for (;;) {
    const seen = s.memory.compareExchange32(at, expected, ((expected & ~clear) | set) >>> 0)
    if (seen === expected) return
    expected = seen
  }
}

const ALL = 0xffffffff

const store = (s: ShadowState, id: number, hfn: number, lo: number, hi: number): void => {
  const at = addressOf(s, id)
  if (s.memory.read32(at) !== 0) changeLow(s, at, ALL, 0)
  s.memory.write32(at + 4, (Math.floor(hfn / 0x100000) | hi) >>> 0)
  changeLow(s, at, ALL, (hfn << 12) | lo)
}

/** Removes whatever is there. */
export const dropEntry = (s: ShadowState, id: number): void => {
  const info = s.entryInfo[id]!
  if (info === 0) return
  const target = s.entryTarget[id]!
  const list = (info & ENTRY_TABLE) !== 0 ? parentList(s, target) : leafList(s, target, levelOfEntry(s, id))
  listRemove(s, list, id)
  const at = addressOf(s, id)
  changeLow(s, at, ALL, 0)
  s.memory.write32(at + 4, 0)
  s.entryInfo[id] = 0
  s.pageUsed[pageOf(id)]!--
  s.flushPending = true
}

/** Makes an empty spte refer to a shadow page. */
export const linkTable = (s: ShadowState, id: number, child: number): void => {
  s.entryInfo[id] = ENTRY_TABLE
  s.entryTarget[id] = child
  listInsert(s, parentList(s, child), id)
  s.pageUsed[pageOf(id)]!++
  store(s, id, s.pageHfn[child]!, TABLE_BITS, 0)
}

/**
 * Makes an spte map guest frame `gfn` (the first of 512 in level 2), backed by `hfn`, with the rights ENTRY_W, ENTRY_X,
 * ENTRY_U in `rights`. A writable leaf is a dirty one already, in the guest's table, so D is set too.
 */
export const setLeaf = (s: ShadowState, id: number, gfn: number, hfn: number, rights: number): void => {
  const before = s.entryInfo[id]!
  const info = ENTRY_LEAF | rights
  const level = levelOfEntry(s, id)
  if (before === 0 || (before & ENTRY_TABLE) !== 0 || s.entryTarget[id] !== gfn) {
    dropEntry(s, id)
    s.entryTarget[id] = gfn
    listInsert(s, leafList(s, gfn, level), id)
    s.pageUsed[pageOf(id)]!++
  } else if (before === info) {
    return
  } else if ((before & ~info) !== 0) {
    s.flushPending = true
  }
  s.entryInfo[id] = info
  const user = (rights & ENTRY_U) !== 0 ? US : s.views.leafBits
  const lo = P | A | user | ((rights & ENTRY_W) !== 0 ? RW | D : 0) | (level === 2 ? PS : 0)
  store(s, id, hfn, lo, (rights & ENTRY_X) !== 0 ? 0 : NX_HI)
}

/** Takes the right to write from a leaf. */
export const denyWrite = (s: ShadowState, id: number): void => {
  if ((s.entryInfo[id]! & ENTRY_W) === 0) return
  s.entryInfo[id]! &= ~ENTRY_W
  changeLow(s, addressOf(s, id), RW | D, 0)
  s.flushPending = true
}

/** Whether the processor has used an spte since the last question. */
export const testAndClearAccessed = (s: ShadowState, id: number): boolean => {
  const at = addressOf(s, id)
  const lo = s.memory.read32(at)
  if ((lo & A) === 0) return false
  s.memory.compareExchange32(at, lo, (lo & ~A) >>> 0)
  return true
}
