import { HUGE_FRAMES } from "./entries.ts"
import type { ShadowState } from "./state.ts"

/*
 * H:330 Large pages spare a Guest most of its faults, and break every rule above if they cover what they should not. A
 * 2 MiB spte stands for 512 frames at once, so it may exist only where the whole block is guest memory, lies in one
 * aligned piece of host memory, and holds no shadowed page table (whose write protection it would undo). A block that
 * does not qualify is mapped through a direct page of 4 KiB sptes; when it qualifies again, the next fault in it puts
 * the 2 MiB spte back.
 */

const CONTIGUOUS = 1
const SCATTERED = 2

interface Blocks {
  readonly frameCount: number
  /** 0 not looked at, 1 host frames are contiguous and aligned, 2 they are not. */
  readonly contiguity: Uint8Array
  hostFrame(gfn: number): number
}

const examine = (s: Blocks, first: number): number => {
  if (first + HUGE_FRAMES > s.frameCount) return SCATTERED
  const hfn = s.hostFrame(first)
  if (hfn < 0 || hfn % HUGE_FRAMES !== 0) return SCATTERED
  for (let i = 1; i < HUGE_FRAMES; i++) if (s.hostFrame(first + i) !== hfn + i) return SCATTERED
  return CONTIGUOUS
}

/** Whether the block of a frame is whole, and in one aligned piece of host memory. */
export const isContiguous = (s: Blocks, gfn: number): boolean => {
  const region = Math.floor(gfn / HUGE_FRAMES)
  if (s.contiguity[region] === 0) s.contiguity[region] = examine(s, region * HUGE_FRAMES)
  return s.contiguity[region] === CONTIGUOUS
}

/** Whether the block of a frame may be mapped by one spte. */
export const mayBeHuge = (s: ShadowState, gfn: number): boolean =>
  s.tablesInRegion[Math.floor(gfn / HUGE_FRAMES)] === 0 && isContiguous(s, gfn)

/** The host frames of a block are about to change. */
export const forgetContiguity = (s: Blocks, gfn: number): void => {
  s.contiguity[Math.floor(gfn / HUGE_FRAMES)] = 0
}
