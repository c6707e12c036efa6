import { ENTRIES, ENTRY_BYTES, P, PS } from "../entries.ts"
import { forceUser, guestFrame, plainLow, readEntry, storeEntry, wantsUser } from "./entry.ts"
import { dropLeaf, entryNumber, takeLeaf, withholdAll } from "./leaf.ts"
import { withholdLinear } from "./linear.ts"
import { DATA, type DirectState, levelOfType, USER_TABLE } from "./state.ts"

/*
 * Types. A frame is data, or a page table of one level in one of two spaces: what hangs below a PML4 entry without U is the
 * kernel's, what hangs below one with U is a process's. A kernel at ring 3 needs U in all entries below its own slots, so
 * the two must not share a table.
 *
 * A frame becomes a table with the first reference to it as one, and stays that until the last is gone. First its
 * writable mappings go, in memory and in all TLBs; then nobody can change it any more, and its entries are looked at. What
 * hangs below becomes a table in the same way, so the recursion ends: a table's level is fixed before its entries are
 * looked at, and each is one lower.
 */

const nameOf = (type: number): string =>
  type === 4
    ? "a PML4"
    : `a ${(type & USER_TABLE) !== 0 ? "process's" : "kernel's"} table of level ${levelOfType(type)}`

/** Takes what an entry of a table of `level` refers to; see takeLeaf. */
export const takeEntry = (
  s: DirectState,
  type: number,
  table: number,
  index: number,
  lo: number,
  hi: number,
): boolean => {
  const level = levelOfType(type)
  const force = s.forceUser && (type & USER_TABLE) === 0
  if (level === 1) return takeLeaf(s, entryNumber(table, index), lo, hi, force)
  s.lo = lo
  s.hi = hi
  // What a guest has in the host's slots has no effect.
  if ((lo & P) === 0 || (level === 4 && s.hostSlot[index] !== 0)) return true
  if ((lo & PS) !== 0) return s.refuse(`page size in a level-${level} entry`)
  if ((hi & s.reservedHi) !== 0) return s.refuse(`reserved bit in a level-${level} entry`)
  const gfn = guestFrame(s, lo, hi)
  if (!(gfn >= 0 && gfn < s.count))
    return s.refuse(`page table in machine frame 0x${(gfn + s.first).toString(16)}, which is not the guest's`)
  const below = level === 4 ? (wantsUser(lo) ? USER_TABLE : 0) : type & USER_TABLE
  if (!takeTable(s, gfn, (level - 1) | below, entryNumber(table, index))) return false
  // The PML4 is never walked by a processor (roots.ts), so there its U stays what it is.
  s.lo = forceUser(lo, force && level !== 4) >>> 0
  s.hi = hi
  return true
}

/** Gives back what an entry of a table referred to. */
export const dropEntry = (s: DirectState, type: number, table: number, index: number, lo: number, hi: number): void => {
  const level = levelOfType(type)
  if (level === 1) dropLeaf(s, entryNumber(table, index), lo, hi)
  else if ((lo & P) !== 0 && !(level === 4 && s.hostSlot[index] !== 0)) putTable(s, guestFrame(s, lo, hi))
}

/** Gives back the entries [0, end) of a table; they stand there as the guest has stored them. */
const release = (s: DirectState, gfn: number, end: number): void => {
  const type = s.type[gfn]!
  const base = s.addressOf(gfn)
  for (let index = 0; index < end; index++) {
    const at = base + index * ENTRY_BYTES
    const lo = s.memory.read32(at)
    const hi = s.memory.read32(at + 4)
    if (lo === 0) continue
    dropEntry(s, type, gfn, index, lo, hi)
    const plain = levelOfType(type) === 4 ? lo : plainLow(s, lo, hi)
    if (plain !== lo) s.memory.write32(at, plain)
  }
  s.stats.alive[levelOfType(type)]!--
  s.type[gfn] = DATA
  s.toil()
}

/** Nobody can write to the table, or walks it. */
const validate = (s: DirectState, gfn: number): boolean => {
  s.toil()
  const type = s.type[gfn]!
  const base = s.addressOf(gfn)
  for (let index = 0; index < ENTRIES; index++) {
    const at = base + index * ENTRY_BYTES
    const lo = s.memory.read32(at)
    if (lo === 0) continue
    const hi = s.memory.read32(at + 4)
    if (!takeEntry(s, type, gfn, index, lo, hi)) {
      release(s, gfn, index)
      return false
    }
    if (s.lo !== lo) storeEntry(s, at, s.lo, s.hi)
  }
  return true
}

/** One more reference to a frame as a page table of a type; it becomes one if it is not. False: refused. */
export const takeTable = (s: DirectState, gfn: number, type: number, by: number): boolean => {
  if (s.type[gfn] !== type) {
    if (!vacate(s, gfn)) {
      const [is, wanted] = [nameOf(s.type[gfn]!), nameOf(type)]
      return s.refuse(`frame 0x${gfn.toString(16)} is ${is} and cannot be ${wanted}`)
    }
    if (Atomics.load(s.holds, gfn) !== 0)
      return s.refuse(`frame 0x${gfn.toString(16)}, which the host writes to, cannot be ${nameOf(type)}`)
    if (s.tables >= s.limit) forgetIdle(s)
    if (s.tables >= s.limit) return s.refuse(`more than ${s.limit} page tables at a time`)
    s.type[gfn] = type
    s.typeCount[gfn] = 0
    s.stats.alive[levelOfType(type)]!++
    s.stats.allocated[levelOfType(type)]!++
    // As long as it is validated it must not be taken for one that nothing refers to.
    s.typeCount[gfn]!++
    withholdAll(s, gfn)
    withholdLinear(s, gfn)
    s.flushIfPending()
    const good = validate(s, gfn)
    s.typeCount[gfn]!--
    if (!good) return false
  }
  s.parent[gfn] = by
  s.typeCount[gfn]!++
  s.references[gfn]!++
  return true
}

const dies = (s: DirectState, gfn: number): void => {
  s.flushPending = true
  if (s.isDying[gfn] !== 0) return
  s.isDying[gfn] = 1
  s.dying[s.dyingCount++] = gfn
}

/** One reference less. */
export const putTable = (s: DirectState, gfn: number): void => {
  s.references[gfn]!--
  unguard(s, gfn)
}

/** Keeps a table what it is until `unguard`. */
export const guard = (s: DirectState, gfn: number): void => {
  s.typeCount[gfn]!++
}

export const unguard = (s: DirectState, gfn: number): void => {
  if (--s.typeCount[gfn]! === 0) dies(s, gfn)
}

/**
 * M:092 Take a table out of the tree, and write to it: it is only memory now. Is it? A processor remembers upper entries
 * too, and the other one may walk down a path that is gone, into the table that is a table no more.
 *
 * Tables that nothing refers to become data: first no processor may remember them. One flush does for all, since what hung
 * below them could be reached through them alone.
 */
export const settle = (s: DirectState): void => {
  if (s.dyingCount === 0) return
  s.flushIfPending()
  while (s.dyingCount > 0) {
    const gfn = s.dying[--s.dyingCount]!
    s.isDying[gfn] = 0
    if (s.typeCount[gfn] !== 0) continue
    s.stats.zaps++
    release(s, gfn, ENTRIES)
  }
  s.flushPending = false
}

/** The table that the hint says refers to this one, if it still does; -1. */
const parentOf = (s: DirectState, gfn: number): number => {
  const number = s.parent[gfn]! - 1
  if (number < 0) return -1
  const table = Math.floor(number / ENTRIES)
  if (levelOfType(s.type[table]!) !== levelOfType(s.type[gfn]!) + 1) return -1
  readEntry(s, s.addressOf(table) + (number % ENTRIES) * ENTRY_BYTES)
  return (s.lo & P) !== 0 && guestFrame(s, s.lo, s.hi) === gfn ? table : -1
}

/** A PML4 that is kept only for the next time that it is used. */
const isIdle = (s: DirectState, gfn: number): boolean => s.pinned[gfn] !== 0 && s.typeCount[gfn] === 1

const unpin = (s: DirectState, gfn: number): void => {
  s.pinned[gfn] = 0
  putTable(s, gfn)
}

/**
 * If a table hangs only below a PML4 that no virtual CPU uses, that one is forgotten, and all below it is data again. So
 * nobody needs to say that he will use an address space no more: he just writes to it.
 */
export const letGo = (s: DirectState, gfn: number): boolean => {
  settle(s)
  for (let table = gfn; table >= 0 && s.type[table] !== DATA; table = parentOf(s, table)) {
    if (levelOfType(s.type[table]!) === 4) {
      if (!isIdle(s, table)) return false
      unpin(s, table)
      settle(s)
      break
    }
    if (s.typeCount[table] !== 1) return false
  }
  return s.type[gfn] === DATA
}

/** All that is only kept goes. */
const forgetIdle = (s: DirectState): void => {
  for (let root = 0; root < s.count; root++) if (isIdle(s, root)) unpin(s, root)
  settle(s)
}

/** The same as `letGo` for whoever needs the frame as something else. */
const vacate = (s: DirectState, gfn: number): boolean => {
  if (s.type[gfn] === DATA || letGo(s, gfn)) return true
  forgetIdle(s)
  return s.type[gfn] === DATA
}
