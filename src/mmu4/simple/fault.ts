import { ENTRY_LEAF, ENTRY_TABLE } from "../columns.ts"
import { blockBase, ENTRIES, FRAMES_PER_ENTRY, indexAt } from "../entries.ts"
import { isContiguous } from "../hugePages.ts"
import { FIXED, PF_WRITE } from "../interface.ts"
import { judge } from "../judge.ts"
import { leafRights } from "../refresh.ts"
import { directRole, isDirect, tableRole } from "../roles.ts"
import type { GuestWalk, Result } from "../vcpuState.ts"
import type { SimpleState } from "./state.ts"
import { addTable, dropEntry, setLeaf, throwAll } from "./tree.ts"
import type { SimpleVcpuState } from "./vcpuState.ts"

/*
 * A fault goes down the shadow beside the guest's walk, as in fault.ts one folder up, but here it may believe the walk: what
 * a guest's tables have said once, a TLB may remember until it is flushed. That another processor has changed them since
 * is for the guest to tell.
 */

const NO_MEMORY = -1

/** The page that the spte `id` of `level` ought to refer to for this walk; made if it does not. Or NO_MEMORY. */
const descend = (s: SimpleState, w: GuestWalk, id: number, level: number, viewRole: number): number => {
  const direct = level <= w.leafLevel
  const below = level - 1
  const gfn = direct ? blockBase(w.gfn, below) : w.table[below]!
  if (s.entryInfo[id] === ENTRY_TABLE) {
    const child = s.entryTarget[id]!
    // Rights of the tables above are in each leaf: a page that was made by other rights serves as well.
    if (s.pageGfn[child] === gfn && isDirect(s.pageRole[child]!) === direct) return child
  }
  dropEntry(s, id)
  if (direct && below === 1) s.stats.split++
  return addTable(s, id, gfn, direct ? directRole(below, 0) : tableRole(below, 0, viewRole))
}

/** Makes the shadow map what the walk found; false: there is no memory for the tables. */
const fill = (s: SimpleState, v: SimpleVcpuState, vpn: number, write: boolean, userView: boolean): boolean => {
  const w = v.walk
  const { shadowFaults: faults, allocated } = s.stats
  const target = w.leafLevel >= 2 && isContiguous(s, w.gfn) ? 2 : 1
  const tables = allocated[1]! + allocated[2]! + allocated[3]!
  let sp = s.rootOf(s.spaceOf(v), userView)
  for (let level = 4; level > target; level--) {
    sp = descend(s, w, sp * ENTRIES + indexAt(vpn, level), level, userView ? s.views.userRole : 0)
    if (sp === NO_MEMORY) return false
  }
  const id = sp * ENTRIES + indexAt(vpn, target)
  const gfn = w.gfn - (target === 2 ? w.gfn % FRAMES_PER_ENTRY[2] : 0)
  const before = s.entryInfo[id]!
  const same =
    (before & ENTRY_LEAF) !== 0 && s.entryTarget[id] === gfn && allocated[1]! + allocated[2]! + allocated[3]! === tables
  setLeaf(s, id, gfn, leafRights(w.access, w.dirty))
  if (target === 2 && !same) s.stats.huge++
  if (same && s.entryInfo[id] === before) faults.spurious++
  else if (same && write) faults.dirty++
  else faults.fill++
  return true
}

/** All is thrown away: the limit is reached, or the host has no more frames. */
const exhausted = (s: SimpleState): void => {
  const { alive, reclaimed } = s.stats
  for (let level = 1; level < 4; level++) reclaimed[level]! += alive[level]!
  throwAll(s)
}

/** See VcpuMmu.pageFault. */
export const pageFault = (
  s: SimpleState,
  v: SimpleVcpuState,
  vpn: number,
  offset: number,
  error: number,
  userView: boolean,
): Result => {
  if (!judge(s, v, vpn, offset, error, userView)) return v.result
  while (!fill(s, v, vpn, (error & PF_WRITE) !== 0, userView)) exhausted(s)
  s.flushOwn(v)
  s.flushers[v.index]!.flushPage(vpn)
  return v.result.set(FIXED, 0, v.walk.gfn * 4096 + offset)
}
