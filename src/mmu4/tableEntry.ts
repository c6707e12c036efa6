import { ENTRY_U, ENTRY_W, ENTRY_X, type ShadowColumns } from "./columns.ts"
import { A, D, ENTRIES, ENTRY_BYTES, FRAME_BYTES, NX_HI, P, PS, RW, US } from "./entries.ts"
import type { HostEntries, PhysicalMemory } from "./interface.ts"
import { levelOf } from "./roles.ts"
import type { Views } from "./views.ts"

/*
 * Shadow entries as they stand in memory. An entry is written so that a processor that walks meanwhile never sees half of
 * it: P is cleared first and set last, each by an atomic operation, which also keeps the order of the stores around it.
 * The walk reads 64 bits at once, and sets A or D by an exchange of 64 bits, which fails if the entry is not any more what
 * the walk saw: so it neither brings a dropped entry back nor gets lost.
 */

export const pageOf = (id: number): number => Math.floor(id / ENTRIES)
export const levelOfEntry = (s: ShadowColumns, id: number): number => levelOf(s.pageRole[pageOf(id)]!)

/** Host-physical address of an spte. */
export const addressOf = (s: ShadowColumns, id: number): number =>
  s.pageHfn[pageOf(id)]! * FRAME_BYTES + (id % ENTRIES) * ENTRY_BYTES

/** Changes bits of an entry's low half, atomically: the processors may be setting flags in it. */
export const changeLow = (memory: PhysicalMemory, at: number, clear: number, set: number): void => {
  let expected = memory.read32(at)
  for (;;) {
    const seen = memory.compareExchange32(at, expected, ((expected & ~clear) | set) >>> 0)
    if (seen === expected) return
    expected = seen
  }
}

const ALL = 0xffffffff

/** Replaces an entry, whatever is there. */
const putEntry = (memory: PhysicalMemory, at: number, hfn: number, lo: number, hi: number): void => {
  if (memory.read32(at) !== 0) changeLow(memory, at, ALL, 0)
  memory.write32(at + 4, (Math.floor(hfn / 0x100000) | hi) >>> 0)
  changeLow(memory, at, ALL, (hfn << 12) | lo)
}

export const clearEntry = (memory: PhysicalMemory, at: number): void => {
  changeLow(memory, at, ALL, 0)
  memory.write32(at + 4, 0)
}

/** An entry that refers to a shadow table: everything is allowed, the leaf decides. A is for the processor to set. */
export const putTable = (memory: PhysicalMemory, at: number, hfn: number): void =>
  putEntry(memory, at, hfn, P | RW | US, 0)

/**
 * A leaf of level 1 or 2 with `rights`: ENTRY_W, ENTRY_X, ENTRY_U. A writable one is dirty already, in the guest's table,
 * so D is set too.
 */
export const putLeaf = (
  memory: PhysicalMemory,
  views: Views,
  at: number,
  hfn: number,
  rights: number,
  level: number,
): void => {
  const user = (rights & ENTRY_U) !== 0 ? US : views.leafBits
  const lo = P | A | user | ((rights & ENTRY_W) !== 0 ? RW | D : 0) | (level === 2 ? PS : 0)
  putEntry(memory, at, hfn, lo, (rights & ENTRY_X) !== 0 ? 0 : NX_HI)
}

/** The host's slots in a new root. `userView`: it belongs to a view that is the guest's user's alone. */
export const putHostEntries = (
  memory: PhysicalMemory,
  host: HostEntries,
  hfn: number,
  vcpu: number,
  userView: boolean,
): void => {
  for (const slot of host.slots) {
    const at = hfn * FRAME_BYTES + slot * ENTRY_BYTES
    memory.write32(at + 4, host.entryHi(slot, vcpu, userView))
    memory.write32(at, host.entryLo(slot, vcpu, userView))
  }
}
