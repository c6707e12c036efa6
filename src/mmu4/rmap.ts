import { HUGE_FRAMES } from "./entries.ts"
import type { ShadowState } from "./state.ts"

/*
 * H:260 Soon we shall have to ask backwards: which entries map this frame? Walking everything to find out would be the
 * end of all speed.
 *
 * Reverse maps: from what is referred to, to the sptes that refer to it. An spte refers to one thing at a time, so all
 * lists run through the same two columns (entryNext, entryPrev) and no list ever needs memory. A list is a number:
 *
 *   gfn                             4 KiB leaves of that frame
 *   frameCount + region             2 MiB leaves of that block of 512 frames
 *   frameCount + regionCount + sp   parents of that shadow page
 */

export const leafList = (s: ShadowState, gfn: number, level: number): number =>
  level === 1 ? gfn : s.frameCount + Math.floor(gfn / HUGE_FRAMES)

export const parentList = (s: ShadowState, sp: number): number => s.frameCount + s.regionCount + sp

/** First spte of a list; -1: empty. */
export const listFirst = (s: ShadowState, list: number): number => s.listHead[list]! - 1

/** The spte after `id`; -1: end. */
export const listNext = (s: ShadowState, id: number): number => s.entryNext[id]! - 1

export const listInsert = (s: ShadowState, list: number, id: number): void => {
  const head = s.listHead[list]!
  s.entryNext[id] = head
  s.entryPrev[id] = 0
  if (head !== 0) s.entryPrev[head - 1] = id + 1
  s.listHead[list] = id + 1
}

export const listRemove = (s: ShadowState, list: number, id: number): void => {
  const next = s.entryNext[id]!
  const prev = s.entryPrev[id]!
  if (next !== 0) s.entryPrev[next - 1] = prev
  if (prev !== 0) s.entryNext[prev - 1] = next
  else s.listHead[list] = next
  s.entryNext[id] = 0
  s.entryPrev[id] = 0
}
