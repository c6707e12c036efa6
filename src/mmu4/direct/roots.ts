import { ENTRIES, ENTRY_BYTES, FRAME_BYTES, P, US } from "../entries.ts"
import { changeLow, storeEntry } from "./entry.ts"
import { freeLinear, linearRootHi, linearRootLo } from "./linear.ts"
import type { DirectState } from "./state.ts"
import { putTable, takeTable } from "./types.ts"
import type { DirectVcpuState } from "./vcpuState.ts"

/*
 * Roots. The host's slots differ from one virtual CPU to the next, and a process must not have the kernel's. So the PML4 is
 * the one table of the guest's that no processor walks: each virtual CPU has two roots of the host's own, and they are
 * copies of the guest's PML4, entry by entry; in the user's those without U are missing. Xen has had two roots for a
 * kernel at ring 3 from the start, and a copy for each processor since 2018.
 */

const setRootEntry = (s: DirectState, hfn: number, slot: number, lo: number, hi: number): void => {
  const at = hfn * FRAME_BYTES + slot * ENTRY_BYTES
  const seen = s.memory.read32(at)
  if (lo === 0) {
    if (seen === 0) return
    changeLow(s, at, 0xffffffff, 0)
    s.flushPending = true
  } else if (((seen ^ lo) & ~0x20) !== 0 || s.memory.read32(at + 4) !== hi) {
    if (seen !== 0) s.flushPending = true
    storeEntry(s, at, lo, hi)
  }
}

/** Brings one slot of a virtual CPU's roots up to date with an entry. */
const copySlot = (s: DirectState, v: DirectVcpuState, slot: number, lo: number, hi: number): void => {
  if (s.hostSlot[slot] !== 0) return
  const present = (lo & P) !== 0
  const kernel = present ? (s.forceUser ? lo | US : lo) >>> 0 : 0
  const user = present && (lo & US) !== 0 ? lo : 0
  setRootEntry(s, v.roots[0]!, slot, kernel, hi)
  setRootEntry(s, v.roots[1]!, slot, user, hi)
}

/** An entry of a PML4 has changed. */
export const rootsFollow = (s: DirectState, gfn: number, slot: number, lo: number, hi: number): void => {
  for (const v of s.vcpus) if (v.valid && v.pgdGfn === gfn) copySlot(s, v, slot, lo, hi)
}

/** Makes the roots what they should be. */
const fillRoots = (s: DirectState, v: DirectVcpuState): void => {
  const base = v.valid ? s.addressOf(v.pgdGfn) : -1
  for (let slot = 0; slot < ENTRIES; slot++) {
    const lo = base < 0 ? 0 : s.memory.read32(base + slot * ENTRY_BYTES)
    copySlot(s, v, slot, lo, (lo & P) === 0 ? 0 : s.memory.read32(base + slot * ENTRY_BYTES + 4))
  }
}

/** The linear view has got its first table, or this virtual CPU comes to it. */
export const linkLinear = (s: DirectState, v: DirectVcpuState): void =>
  setRootEntry(s, v.roots[0]!, 0, linearRootLo(s), linearRootHi(s))

const leave = (s: DirectState, v: DirectVcpuState): void => {
  if (v.valid) putTable(s, v.pgdGfn)
  v.valid = false
}

/** Takes the PML4 in a frame into use: it is validated if it is not a PML4 yet, and pinned. False: refused. */
export const useRoot = (s: DirectState, v: DirectVcpuState, gfn: number): boolean => {
  if (!takeTable(s, gfn, 4, 0)) return false
  if (s.pinned[gfn] === 0) {
    s.pinned[gfn] = 1
    s.typeCount[gfn]!++
    s.references[gfn]!++
  }
  leave(s, v)
  v.pgdGfn = gfn
  v.valid = true
  fillRoots(s, v)
  if (v.linear) {
    v.linear = false
    if (!s.vcpus.some((other) => other.linear)) freeLinear(s)
  }
  return true
}

/** The linear view. */
export const useLinear = (s: DirectState, v: DirectVcpuState): void => {
  leave(s, v)
  v.linear = true
  v.pgdGfn = 0
  fillRoots(s, v)
  linkLinear(s, v)
}

/** Everything is forgotten: the virtual CPU has no tables until it asks for some, or faults. */
export const forgetRoot = (s: DirectState, v: DirectVcpuState): void => {
  v.valid = false
  fillRoots(s, v)
  if (v.linear) linkLinear(s, v)
}
