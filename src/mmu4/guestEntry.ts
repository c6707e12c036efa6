import type { ShadowState } from "./state.ts"

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
export const readGuestEntry = (s: ShadowState, at: number): void => {
  let lo = s.memory.read32(at)
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    s.guestLo = lo
    s.guestHi = s.memory.read32(at + 4)
    lo = s.memory.read32(at)
    if (lo === s.guestLo) return
  }
}
