import { FRAME_BYTES } from "../entries.ts"
import { freeLinear } from "./linear.ts"
import { forgetRoot } from "./roots.ts"
import { DATA, type DirectState } from "./state.ts"
import { abandonWindows } from "./window.ts"

/*
 * Forgetting everything: all frames are data, no virtual CPU has tables until it faults and they are validated anew. For
 * when the counts are worth nothing: a page table was changed behind the MMU's back, or memory is to be another.
 */

export const forgetAll = (s: DirectState): void => {
  s.stats.zapAlls++
  abandonWindows(s)
  for (const v of s.vcpus) forgetRoot(s, v)
  s.flushPending = true
  s.flushIfPending()
  for (const column of [s.type, s.typeCount, s.references, s.writable, s.pinned, s.isDying]) column.fill(0)
  for (const column of [s.parent, s.writers]) column.fill(0)
  s.dyingCount = 0
  s.stats.alive.fill(0)
}

/** Whether there is a page table in [gpa, gpa + bytes). */
export const touchesTable = (s: DirectState, gpa: number, bytes: number): boolean => {
  const end = Math.min(s.count, Math.ceil((gpa + bytes) / FRAME_BYTES))
  for (let gfn = Math.floor(gpa / FRAME_BYTES); gfn < end; gfn++) if (s.type[gfn] !== DATA) return true
  return false
}

export const destroy = (s: DirectState): void => {
  forgetAll(s)
  freeLinear(s)
  for (const v of s.vcpus) for (const frames of [v.roots, v.scratch]) for (const hfn of frames) s.allocator.free(hfn)
}
