import { A, D, ENTRY_BYTES, indexAt, NX_HI, P, RW } from "../entries.ts"
import {
  EMULATE,
  type FaultKind,
  FIXED,
  GUEST_FAULT,
  KILL,
  MMIO,
  PF_FETCH,
  PF_PRESENT,
  PF_USER,
  PF_WRITE,
} from "../interface.ts"
import { LINEAR_FRAMES } from "../walk.ts"
import { changeLow, guestFrame, readEntry, wantsPresent, wantsUser, wantsWrite, WITHHELD } from "./entry.ts"
import { grantWrite } from "./leaf.ts"
import { mapLinear } from "./linear.ts"
import { linkLinear, useRoot } from "./roots.ts"
import { DATA, type DirectState } from "./state.ts"
import { letGo } from "./types.ts"
import type { DirectVcpuState, DirectWalk } from "./vcpuState.ts"

/*
 * Faults. The processor has walked the guest's own tables, so most of them are the guest's own. Three are not: a store
 * to a page table; a store to a page that was one; a device.
 */

/** Walks the tables in use, which are all validated; says in the walk what the guest means by them. */
const walk = (s: DirectState, v: DirectVcpuState, vpn: number): void => {
  const w = v.walk
  let table = v.pgdGfn
  w.missing = 0
  w.write = true
  w.fetch = true
  w.user = true
  for (let level = 4; ; level--) {
    const at = s.addressOf(table) + indexAt(vpn, level) * ENTRY_BYTES
    readEntry(s, at)
    const lo = s.lo
    const hi = s.hi
    w.missing = level
    if (level > 1 && (lo & P) === 0) return
    w.write &&= level === 1 ? wantsWrite(lo) : (lo & RW) !== 0
    w.fetch &&= (hi & NX_HI) === 0
    w.user &&= wantsUser(lo)
    if (level === 4) w.process = w.user
    if (level > 1) {
      table = guestFrame(s, lo, hi)
      continue
    }
    if (!wantsPresent(s, lo, hi)) return
    w.missing = 0
    w.at = at
    w.lo = lo
    w.hi = hi
    w.table = table
    w.gfn = guestFrame(s, lo, hi)
    return
  }
}

/** Whether the guest's tables allow an access, FIXED, or not; then its error code is in the result. */
const judge = (s: DirectState, v: DirectVcpuState, bits: number): FaultKind => {
  const w = v.walk
  let error = -1
  if (w.missing !== 0) error = bits
  else if (
    ((bits & PF_WRITE) !== 0 && !w.write) ||
    ((bits & PF_FETCH) !== 0 && !w.fetch) ||
    // A kernel at ring 3 cannot reach what its processes cannot, in what is theirs.
    (!w.user && ((bits & PF_USER) !== 0 || (s.forceUser && w.process)))
  )
    error = bits | PF_PRESENT
  if (error < 0) return FIXED
  v.result.set(GUEST_FAULT, error, 0)
  return GUEST_FAULT
}

const killed = (s: DirectState, v: DirectVcpuState): FaultKind => {
  v.result.set(KILL, 0, 0)
  v.result.reason = s.reason
  return KILL
}

/** The same for the linear view. */
const judgeLinear = (s: DirectState, v: DirectVcpuState, vpn: number, bits: number): FaultKind => {
  const w = v.walk
  w.gfn = vpn
  w.missing = 0
  w.at = -1
  w.table = -1
  if (vpn < LINEAR_FRAMES && (bits & PF_USER) === 0) return FIXED
  v.result.set(GUEST_FAULT, vpn < LINEAR_FRAMES ? bits | PF_PRESENT : bits, 0)
  return GUEST_FAULT
}

/**
 * Walks for an access (PF_WRITE, PF_FETCH or 0). FIXED: the guest's tables allow it, and the walk says where it goes; else
 * the result is set.
 */
export const reach = (
  s: DirectState,
  v: DirectVcpuState,
  vpn: number,
  access: number,
  userView: boolean,
): FaultKind => {
  const bits = (access & (PF_WRITE | PF_FETCH)) | (userView ? PF_USER : 0)
  if (s.hostSlot[indexAt(vpn, 4)] !== 0) {
    v.result.set(GUEST_FAULT, bits, 0)
    return GUEST_FAULT
  }
  if (v.linear) return judgeLinear(s, v, vpn, bits)
  if (!v.valid && !useRoot(s, v, v.pgdGfn)) return killed(s, v)
  walk(s, v, vpn)
  return judge(s, v, bits)
}

/** Whether the frame that the walk found is data, or becomes data by forgetting what nobody uses. */
const isData = (s: DirectState, w: DirectWalk): boolean => {
  if (s.type[w.gfn] === DATA) return true
  if (!letGo(s, w.gfn)) return false
  if (w.at >= 0) readEntry(s, w.at)
  w.lo = s.lo
  return true
}

const fixed = (s: DirectState, v: DirectVcpuState, vpn: number, gpa: number): void => {
  s.flushers[v.index]!.flushPage(vpn)
  v.result.set(FIXED, 0, gpa)
}

/** Maps a frame in the linear view, which may be its first. */
const enterLinear = (s: DirectState, v: DirectVcpuState, gfn: number): boolean => {
  const good = mapLinear(s, gfn)
  linkLinear(s, v)
  return good
}

/** See VcpuMmu.pageFault. */
export const pageFault = (
  s: DirectState,
  v: DirectVcpuState,
  vpn: number,
  offset: number,
  error: number,
  userView: boolean,
): void => {
  const w = v.walk
  const faults = s.stats.shadowFaults
  const kind = reach(s, v, vpn, error, userView)
  if (kind === GUEST_FAULT) faults.guest++
  if (kind === KILL) faults.kill++
  if (kind !== FIXED) return
  const write = (error & PF_WRITE) !== 0
  const gpa = w.gfn * 4096 + offset
  if (w.gfn >= s.count) {
    faults.mmio++
    v.result.set(MMIO, 0, gpa)
  } else if (write && !isData(s, w)) {
    faults.emulate++
    if (v.linear && !enterLinear(s, v, w.gfn)) killed(s, v)
    else v.result.set(EMULATE, 0, gpa)
  } else if (v.linear) {
    faults.fill++
    if (enterLinear(s, v, w.gfn)) fixed(s, v, vpn, gpa)
    else killed(s, v)
  } else {
    if (write && (w.lo & WITHHELD) !== 0) {
      faults.dirty++
      grantWrite(s, w.table, w.at, w.gfn)
    } else faults.spurious++
    fixed(s, v, vpn, gpa)
  }
}

/** Accessed and dirty flags, as the processor would have set them. */
const setFlags = (s: DirectState, v: DirectVcpuState, write: boolean): void => {
  const { at, lo } = v.walk
  const flags = write ? A | D : A
  if (at >= 0 && (lo & flags) !== flags) changeLow(s, at, 0, flags)
}

/** See VcpuMmu.translate. What is found for writing stays data until the virtual CPU is entered. */
export const translate = (
  s: DirectState,
  v: DirectVcpuState,
  vpn: number,
  offset: number,
  access: number,
  userView: boolean,
): void => {
  const w = v.walk
  if (reach(s, v, vpn, access, userView) !== FIXED) return
  const write = (access & PF_WRITE) !== 0
  const gpa = w.gfn * 4096 + offset
  if (w.gfn >= s.count) {
    v.result.set(MMIO, 0, gpa)
    return
  }
  if (write && !(isData(s, w) && v.hold(s.holds, w.gfn))) {
    v.result.set(GUEST_FAULT, PF_PRESENT | PF_WRITE | (userView ? PF_USER : 0), 0)
    return
  }
  if (write && !v.linear && (w.lo & WITHHELD) !== 0) grantWrite(s, w.table, w.at, w.gfn)
  setFlags(s, v, write)
  v.result.set(FIXED, 0, gpa)
}

/** Guest-physical address of the level-1 entry for vpn under a PML4 that need not be one; -1: there is none. */
export const findEntry = (s: DirectState, pgdGfn: number, vpn: number): number => {
  let table = pgdGfn
  for (let level = 4; ; level--) {
    if (!(table >= 0 && table < s.count) || (level === 4 && s.hostSlot[indexAt(vpn, 4)] !== 0)) return -1
    const gpa = table * 4096 + indexAt(vpn, level) * ENTRY_BYTES
    if (level === 1) return gpa
    readEntry(s, s.first * 4096 + gpa)
    if ((s.lo & P) === 0) return -1
    table = guestFrame(s, s.lo, s.hi)
  }
}
