import { frameOf, NX_HI, P, RW, US } from "../entries.ts"
import type { DirectState } from "./state.ts"

/*
 * Entries of the guest's own tables. The processor walks them as they stand, so what the host has to add, or to hold back,
 * stands in them too, and three of the bits that the manual leaves to software (SDM vol. 3, table 4-20) say so. They are
 * the host's in every entry below the PML4; a guest that writes back what it has read loses nothing by them.
 */

/** Survives loads of CR3, which nothing of a guest's may. */
export const G = 0x100
/** With P clear: the page is a device's. The guest has stored P; the processor must not see it. Level 1. */
export const DEVICE = 0x200
/** With RW clear: the guest has stored RW, but the frame is a page table. Level 1. */
export const WITHHELD = 0x400
/** The guest has stored U = 0: U is set because its kernel runs at ring 3. */
export const FORCED = 0x800
const OURS = DEVICE | WITHHELD | FORCED

export const ALL = 0xffffffff

/** Whether the guest means an entry's page to be writable. */
export const wantsWrite = (lo: number): boolean => (lo & (RW | WITHHELD)) !== 0
/** Whether the guest means an entry to be its user's. */
export const wantsUser = (lo: number): boolean => (lo & (US | FORCED)) === US
/** Whether the guest means an entry to be present. */
export const wantsPresent = (s: DirectState, lo: number, hi: number): boolean =>
  (lo & P) !== 0 || ((lo & DEVICE) !== 0 && isDevice(s, lo, hi))

/** Frame of the guest's that a machine frame is: 0..count-1 is memory, above devices, below nothing. */
export const guestFrame = (s: DirectState, lo: number, hi: number): number => frameOf(lo, hi) - s.first

export const isDevice = (s: DirectState, lo: number, hi: number): boolean =>
  (hi & s.reservedHi) === 0 && guestFrame(s, lo, hi) >= s.count

/** U as the hardware has to see it: in tables of a kernel at ring 3 (`force`) always set. */
export const forceUser = (lo: number, force: boolean): number => {
  const user = wantsUser(lo)
  const plain = lo & ~(US | FORCED)
  if (user) return plain | US
  return force ? plain | US | FORCED : plain
}

/** The low half of an entry that is no page table's any more: as the guest has stored it. */
export const plainLow = (s: DirectState, lo: number, hi: number): number => {
  if (!wantsPresent(s, lo, hi)) return lo
  const user = wantsUser(lo) ? US : 0
  const write = wantsWrite(lo) ? RW : 0
  return ((lo & ~(OURS | US | RW)) | P | user | write) >>> 0
}

/** Reads the entry at a host-physical address into `lo` and `hi`: as it is meant, also while a window is open in it. */
export const readEntry = (s: DirectState, at: number): void => {
  if (s.openWindows > 0 && s.readSaved(at)) return
  s.lo = s.memory.read32(at)
  s.hi = s.memory.read32(at + 4)
}

/** Changes bits of an entry's low half, atomically: processors set flags in it. */
export const changeLow = (s: DirectState, at: number, clear: number, set: number): void => {
  let expected = s.memory.read32(at)
  for (;;) {
    const seen = s.memory.compareExchange32(at, expected, ((expected & ~clear) | set) >>> 0)
    if (seen === expected) return
    expected = seen
  }
}

/** Writes an entry so that a processor that walks meanwhile sees the old one, the new one, or none. */
export const storeEntry = (s: DirectState, at: number, lo: number, hi: number): void => {
  if (s.memory.read32(at + 4) !== hi >>> 0) {
    if ((s.memory.read32(at) & P) !== 0) changeLow(s, at, ALL, 0)
    s.memory.write32(at + 4, hi >>> 0)
  }
  changeLow(s, at, ALL, lo)
}

/** The same for one in a table of the guest's, in which a window may be open. */
export const writeEntry = (s: DirectState, at: number, lo: number, hi: number): void => {
  if (s.openWindows > 0) s.detachWindow(at)
  storeEntry(s, at, lo, hi)
}

/** What is left of the rights to write and execute below an entry. */
export const allowsFetch = (hi: number): boolean => (hi & NX_HI) === 0
