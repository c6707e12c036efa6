import { ENTRIES, ENTRY_BYTES } from "../entries.ts"
import { chainNext, chainOf } from "../hash.ts"
import type { SimpleState } from "./state.ts"
import { dropEntry } from "./tree.ts"

/*
 * SET_PTE and its kin: what was made from an entry of the guest's is found by the frame of its table, in all roots of all
 * virtual CPUs. An entry of an upper table takes all below with it.
 */

/** What is done with spte `index` of a page, which was made (if it is there) from the guest's entry at `gpa`. */
export type Announced = (s: SimpleState, sp: number, index: number, gpa: number) => void

export const forget: Announced = (s, sp, index) => {
  const id = sp * ENTRIES + index
  if (s.entryInfo[id] === 0) return
  dropEntry(s, id)
  s.stats.refreshed++
}

/** See ShadowMmu.entryChanged. */
export const announced = (s: SimpleState, gpa: number, act: Announced): void => {
  const gfn = Math.floor(gpa / 4096)
  if (!(gfn >= 0 && gfn < s.frameCount)) return
  const index = Math.floor((gpa % 4096) / ENTRY_BYTES)
  const entry = gfn * 4096 + index * ENTRY_BYTES
  let sp = chainOf(s, gfn)
  while (sp >= 0) {
    const free = s.freeSlotCount
    if (s.pageGfn[sp] === gfn) act(s, sp, index, entry)
    // A table that refers to itself has shadows below its shadows: if pages went, they may have been next in the chain.
    sp = s.freeSlotCount === free ? chainNext(s, sp) : chainOf(s, gfn)
  }
  s.flushEverybody()
}
