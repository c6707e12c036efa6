import { obtainPage } from "./create.ts"
import { rootRole } from "./roles.ts"
import { pin, unpin } from "./shadowPage.ts"
import { PAGE_DEAD, type ShadowState } from "./state.ts"
import type { VcpuState } from "./vcpuState.ts"

/*
 * Roots. A virtual CPU pins, for each view, the root that its faults are resolved in and the one that was handed out for
 * CR3, so that a processor never runs on a frame that has become something else.
 */

/** The root of a view for the page tables in use, if it has one already; -1: none. */
export const currentRoot = (s: ShadowState, v: VcpuState, userView: boolean): number => {
  const sp = v.current[userView ? 1 : 0]!
  return sp >= 0 &&
    (s.pageFlags[sp]! & PAGE_DEAD) === 0 &&
    s.pageGfn[sp] === v.pgdGfn &&
    s.pageRole[sp] === rootRole(v.linear, userView, v.index)
    ? sp
    : -1
}

/** The same, made if need be. */
export const ensureRoot = (s: ShadowState, v: VcpuState, userView: boolean): number => {
  const found = currentRoot(s, v, userView)
  if (found >= 0) return found
  const view = userView ? 1 : 0
  const old = v.current[view]!
  const sp = obtainPage(s, v.pgdGfn, rootRole(v.linear, userView, v.index))
  pin(s, sp)
  v.current[view] = sp
  if (old >= 0) unpin(s, old)
  return sp
}

/**
 * The root that was handed out last, if it still is the one; -1: `handOut` has to look. Good without the lock: only this
 * virtual CPU's thread changes what is asked here, but for PAGE_DEAD, and a root that dies now might as well have died
 * after the answer: it is pinned, and empty.
 */
export const handedOut = (s: ShadowState, v: VcpuState, userView: boolean): number => {
  const sp = currentRoot(s, v, userView)
  return sp >= 0 && v.handed[userView ? 1 : 0] === sp ? s.pageHfn[sp]! * 4096 : -1
}

/** See VcpuMmu.rootFor. */
export const handOut = (s: ShadowState, v: VcpuState, userView: boolean): number => {
  const view = userView ? 1 : 0
  s.stamp++
  const sp = ensureRoot(s, v, userView)
  const old = v.handed[view]!
  if (old !== sp) {
    pin(s, sp)
    v.handed[view] = sp
    if (old >= 0) unpin(s, old)
  }
  s.flushIfPending()
  return s.pageHfn[sp]! * 4096
}

/** Lets go of all roots of a virtual CPU. */
export const dropRoots = (s: ShadowState, v: VcpuState): void => {
  for (let view = 0; view < 2; view++) {
    if (v.current[view]! >= 0) unpin(s, v.current[view]!)
    if (v.handed[view]! >= 0) unpin(s, v.handed[view]!)
    v.current[view] = -1
    v.handed[view] = -1
  }
}
