import type { GuestTables, ShadowColumns } from "./columns.ts"
import { FIXED, GUEST_FAULT, KILL, MMIO, type MmuStats } from "./interface.ts"
import { lookUp } from "./lookUp.ts"
import type { AddressSpace, Result } from "./vcpuState.ts"
import { walkGuest } from "./walk.ts"

/*
 * What can be said of an access before any shadow is made: what the guest's own tables say, in the words of FaultResult.
 */

type Counted = GuestTables & { readonly stats: MmuStats }

const killed = (s: Counted, r: Result, reason: string): Result => {
  s.stats.shadowFaults.kill++
  r.set(KILL, 0, 0)
  r.reason = reason
  return r
}

/** The answer for a guest whose tables lead out of its memory. */
export const badTable = (s: Counted, r: Result, frame: number): Result =>
  killed(s, r, `page table frame 0x${frame.toString(16)} is out of its memory (0x${s.frameCount.toString(16)} frames)`)

/** Walks for the host are not run again by the guest; one that fails so often is made to fail by the guest. */
const TRANSLATE_ATTEMPTS = 64

/** See VcpuMmu.translate. `root` is that of the view, -1 if there is none. */
export const translate = (
  s: Counted & ShadowColumns,
  v: AddressSpace,
  root: number,
  vpn: number,
  offset: number,
  access: number,
  userView: boolean,
): Result => {
  const w = v.walk
  const r = v.result
  const gfn = lookUp(s, root, vpn, access, userView)
  if (gfn >= 0) return r.set(FIXED, 0, gfn * 4096 + offset)
  for (let attempt = 1; !walkGuest(s, v, vpn, access, userView); attempt++)
    if (attempt === TRANSLATE_ATTEMPTS) return killed(s, r, "page tables keep changing under a walk")
  if (w.outcome === GUEST_FAULT) return r.set(GUEST_FAULT, w.error, 0)
  if (w.outcome === KILL) return badTable(s, r, w.badFrame)
  return r.set(s.hostFrame(w.gfn) < 0 ? MMIO : FIXED, 0, w.gfn * 4096 + offset)
}

/** Whether a page fault is the shadow's alone, to be cured by filling it; if not, `v.result` says what it is. */
export const judge = (
  s: Counted,
  v: AddressSpace,
  vpn: number,
  offset: number,
  error: number,
  userView: boolean,
): boolean => {
  const w = v.walk
  const r = v.result
  const faults = s.stats.shadowFaults
  if (!walkGuest(s, v, vpn, error, userView)) {
    faults.spurious++
    r.set(FIXED, 0, 0)
    return false
  }
  if (w.outcome === GUEST_FAULT) {
    faults.guest++
    r.set(GUEST_FAULT, w.error, 0)
    return false
  }
  if (w.outcome === KILL) {
    badTable(s, r, w.badFrame)
    return false
  }
  if (s.hostFrame(w.gfn) >= 0) return true
  faults.mmio++
  r.set(MMIO, 0, w.gfn * 4096 + offset)
  return false
}
