import { zapTables } from "./emulate.ts"
import { forgetContiguity } from "./hugePages.ts"
import { leafList, listFirst } from "./rmap.ts"
import { dropRoots } from "./root.ts"
import { zapPage } from "./shadowPage.ts"
import { dropEntry } from "./spte.ts"
import { PAGE_DEAD } from "./columns.ts"
import type { ShadowState } from "./state.ts"

/*
 * Large invalidations.
 */

/** See ShadowMmu.zapFrame. */
export const zapFrame = (s: ShadowState, gfn: number): void => {
  if (!(gfn >= 0 && gfn < s.frameCount)) return
  for (let level = 1; level <= 2; level++) {
    const list = leafList(s, gfn, level)
    for (let id = listFirst(s, list); id >= 0; id = listFirst(s, list)) dropEntry(s, id)
  }
  zapTables(s, gfn)
  forgetContiguity(s, gfn)
  s.flushIfPending()
}

const zapPinned = (s: ShadowState, sp: number): void => {
  if (sp >= 0 && (s.pageFlags[sp]! & PAGE_DEAD) === 0) zapPage(s, sp)
}

/**
 * Forgets all shadows in one step: pages of the old generation are not found any more, and with the roots gone nothing
 * leads to them. They are freed as new ones are made.
 */
export const zapAll = (s: ShadowState): void => {
  s.generation++
  s.stats.zapAlls++
  for (const v of s.vcpus) {
    for (const held of [v.current, v.handed, v.retired]) for (const sp of held) zapPinned(s, sp)
  }
  s.flushPending = true
  s.flushIfPending()
}

/** See ShadowMmu.destroy. */
export const destroy = (s: ShadowState): void => {
  for (const v of s.vcpus) dropRoots(s, v)
  while (s.oldest !== 0) zapPage(s, s.oldest - 1)
  s.flushIfPending()
  s.pool.destroy()
}
