import { obtainPage } from "./create.ts"
import { rootRole } from "./roles.ts"
import { pin, unpin } from "./shadowPage.ts"
import { PAGE_DEAD } from "./columns.ts"
import type { ShadowState } from "./state.ts"
import type { VcpuState } from "./vcpuState.ts"

/*
 * Roots. A virtual CPU pins, for each view, the root that its faults are resolved in, the one that was handed out for
 * CR3, and the one that was handed out before it: where all of the host is mapped, the host itself runs on that one,
 * until the entry code has loaded the new one. So a processor never is on a frame that has become something else.
 */

const roleOfRoot = (s: ShadowState, v: VcpuState, userView: boolean): number =>
  rootRole(v.linear, s.views.access, userView ? s.views.userRole : 0, v.index)

/** The root of a view for the page tables in use, if it has one already; -1: none. */
export const currentRoot = (s: ShadowState, v: VcpuState, userView: boolean): number => {
  const sp = v.current[userView ? s.views.user : 0]!
  return sp >= 0 &&
    (s.pageFlags[sp]! & PAGE_DEAD) === 0 &&
    s.pageGfn[sp] === v.pgdGfn &&
    s.pageRole[sp] === roleOfRoot(s, v, userView)
    ? sp
    : -1
}

/** The same, made if need be. */
export const ensureRoot = (s: ShadowState, v: VcpuState, userView: boolean): number => {
  const found = currentRoot(s, v, userView)
  if (found >= 0) return found
  const view = userView ? s.views.user : 0
  const old = v.current[view]!
  const sp = obtainPage(s, v.pgdGfn, roleOfRoot(s, v, userView))
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
  return sp >= 0 && v.handed[userView ? s.views.user : 0] === sp ? s.pageHfn[sp]! * 4096 : -1
}

/** See VcpuMmu.rootFor. */
export const handOut = (s: ShadowState, v: VcpuState, userView: boolean): number => {
  const view = userView ? s.views.user : 0
  s.stamp++
  const sp = ensureRoot(s, v, userView)
  if (v.handed[view] !== sp) {
    const gone = v.retired[view]!
    pin(s, sp)
    v.retired[view] = v.handed[view]!
    v.handed[view] = sp
    if (gone >= 0) unpin(s, gone)
  }
  s.flushIfPending()
  return s.pageHfn[sp]! * 4096
}

/** Lets go of all roots of a virtual CPU. */
export const dropRoots = (s: ShadowState, v: VcpuState): void => {
  for (const held of [v.current, v.handed, v.retired]) {
    for (const sp of held) if (sp >= 0) unpin(s, sp)
    held.fill(-1)
  }
}
