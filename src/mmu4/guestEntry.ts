import type { GuestTables } from "./columns.ts"
import { P } from "./entries.ts"
import type { PhysicalMemory } from "./interface.ts"

/*
 * M:080 With two virtual CPUs the real fun begins: have one change what the other has just had checked. First for the
 * careless reader of 64 bits in two pieces.
 *
 * Guest entries are read as two halves while other virtual CPUs of the guest may be storing to them. A pair of halves
 * that never stood there together would be a translation that the guest never made.
 */

/** A guest that stores faster than that, without end, has to be content with halves of its own entries. */
const ATTEMPTS = 64

/** Reads the guest entry at a host-physical address into `guestLo` and `guestHi`. */
export const readGuestEntry = (s: GuestTables, at: number): void => {
  let lo = s.memory.read32(at)
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    s.guestLo = lo
    s.guestHi = s.memory.read32(at + 4)
    lo = s.memory.read32(at)
    if (lo === s.guestLo) return
  }
}

const put = (m: PhysicalMemory, at: number, size: number, lo: number, hi: number): void => {
  if (size === 1) m.write8(at, lo & 0xff)
  else if (size === 2) m.write16(at, lo & 0xffff)
  else if (size === 4) m.write32(at, lo >>> 0)
  else if ((lo & P) !== 0) {
    // An entry appears with its upper half in place, and disappears before it.
    m.write32(at + 4, hi >>> 0)
    m.write32(at, lo >>> 0)
  } else {
    m.write32(at, lo >>> 0)
    m.write32(at + 4, hi >>> 0)
  }
}

/** A store in the guest's name, of 1, 2, 4 or 8 bytes (hi:lo); false, with nothing done: it is not all in one page of memory. */
export const storeToGuest = (s: GuestTables, gpa: number, size: number, lo: number, hi: number): boolean => {
  const offset = gpa % 4096
  const hfn = gpa >= 0 ? s.hostFrame(Math.floor(gpa / 4096)) : -1
  if (hfn < 0 || offset + size > 4096) return false
  put(s.memory, hfn * 4096 + offset, size, lo, hi)
  return true
}
