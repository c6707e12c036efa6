import { ENTRY_LEAF, ENTRY_TABLE, PAGE_LIVE } from "../columns.ts"
import { ENTRIES, FRAME_BYTES, FRAMES_PER_ENTRY } from "../entries.ts"
import { hashInsert, hashRemove } from "../hash.ts"
import { isDirect, levelOf, rootRole } from "../roles.ts"
import { addressOf, clearEntry, levelOfEntry, pageOf, putLeaf, putTable } from "../tableEntry.ts"
import { KEY_LINEAR, KEY_NONE, type SimpleState } from "./state.ts"

/*
 * The only writer of a simple MMU's shadows. They are trees: a page goes with the entry that refers to it. Its frame is
 * kept until all processors that may walk it have been told (FramePool), and is not even cleared before.
 */

/** Frees a page and all below it. */
const freeTree = (s: SimpleState, sp: number): void => {
  const role = s.pageRole[sp]!
  const level = levelOf(role)
  if (level > 1)
    for (let id = sp * ENTRIES, left = s.pageUsed[sp]!; left > 0; id++) {
      if (s.entryInfo[id] === 0) continue
      left--
      if (s.entryInfo[id] === ENTRY_TABLE) freeTree(s, s.entryTarget[id]!)
    }
  if (!isDirect(role)) hashRemove(s, sp)
  s.pageFlags[sp] = 0
  s.pool.release(s.pageHfn[sp]!)
  s.freeSlot(sp)
  s.stats.alive[level]!--
  s.stats.zaps++
}

/** Removes whatever is there. */
export const dropEntry = (s: SimpleState, id: number): void => {
  const info = s.entryInfo[id]!
  if (info === 0) return
  clearEntry(s.memory, addressOf(s, id))
  s.entryInfo[id] = 0
  s.pageUsed[pageOf(id)]!--
  s.removed = true
  if (info === ENTRY_TABLE) freeTree(s, s.entryTarget[id]!)
}

/** Makes a page and an empty spte that refers to it. -1: there is no memory for it. */
export const addTable = (s: SimpleState, id: number, gfn: number, role: number): number => {
  const sp = s.takeSlot()
  const hfn = sp < 0 ? -1 : s.pool.take()
  if (hfn < 0) {
    if (sp >= 0) s.freeSlot(sp)
    return -1
  }
  const parent = pageOf(id)
  s.memory.fill(hfn * FRAME_BYTES, FRAME_BYTES, 0)
  s.entryInfo.fill(0, sp * ENTRIES, (sp + 1) * ENTRIES)
  s.pageHfn[sp] = hfn
  s.pageGfn[sp] = gfn
  s.pageRole[sp] = role
  s.pageFlags[sp] = PAGE_LIVE
  s.pageUsed[sp] = 0
  s.pageRoot[sp] = s.pageRoot[parent]!
  s.pageFirst[sp] = firstPage(s, id)
  if (!isDirect(role)) hashInsert(s, sp)
  const level = levelOf(role)
  s.stats.alive[level]!++
  s.stats.allocated[level]!++
  s.entryInfo[id] = ENTRY_TABLE
  s.entryTarget[id] = sp
  s.pageUsed[parent]!++
  putTable(s.memory, addressOf(s, id), hfn)
  return sp
}

/** First virtual page that an spte is for. */
export const firstPage = (s: SimpleState, id: number): number =>
  s.pageFirst[pageOf(id)]! + (id % ENTRIES) * FRAMES_PER_ENTRY[levelOfEntry(s, id)]!

/** Makes an spte map guest frame `gfn` (the first of 512 in level 2) with `rights`: ENTRY_W, ENTRY_X, ENTRY_U. */
export const setLeaf = (s: SimpleState, id: number, gfn: number, rights: number): void => {
  const before = s.entryInfo[id]!
  const info = ENTRY_LEAF | rights
  if ((before & ENTRY_LEAF) === 0 || s.entryTarget[id] !== gfn) {
    dropEntry(s, id)
    s.pageUsed[pageOf(id)]!++
  } else if (before === info) return
  else if ((before & ~info) !== 0) s.removed = true
  s.entryInfo[id] = info
  s.entryTarget[id] = gfn
  putLeaf(s.memory, s.views, addressOf(s, id), s.hostFrame(gfn), rights, levelOfEntry(s, id))
}

const emptyRoot = (s: SimpleState, root: number): void => {
  for (let id = root * ENTRIES; s.pageUsed[root]! > 0; id++) dropEntry(s, id)
}

/** Throws away the shadows of a space, and says whose tables (a PML4's frame, or KEY_) it is for from now on. */
export const resetSpace = (s: SimpleState, space: number, key: number): void => {
  for (let view = 0; view < s.views.count; view++) {
    const root = space * s.views.count + view
    emptyRoot(s, root)
    if (!isDirect(s.pageRole[root]!)) hashRemove(s, root)
    s.pageGfn[root] = Math.max(key, 0)
    s.pageRole[root] = rootRole(key < 0, s.views.access, view !== 0 ? s.views.userRole : 0, s.vcpuOfRoot(root))
    if (key >= 0) hashInsert(s, root)
  }
  s.spaceKey[space] = key
}

/** Throws away the shadows of a space that is nobody's from now on, and the first to be taken. */
const forgetSpace = (s: SimpleState, space: number): void => {
  resetSpace(s, space, KEY_NONE)
  s.spaceStamp[space] = 0
}

/** Throws away everything but the roots, which are empty then; returns how many pages that were. */
export const throwAll = (s: SimpleState): number => {
  const before = s.freeSlotCount
  for (let i = 0; i < s.vcpus.length; i++) {
    const current = s.spaceOf(s.vcpus[i]!)
    for (let space = i * s.spaces; space < (i + 1) * s.spaces; space++) {
      if (space === current) resetSpace(s, space, s.spaceKey[space]!)
      else forgetSpace(s, space)
    }
  }
  s.flushEverybody()
  return s.freeSlotCount - before
}

/** The key of what a virtual CPU has in CR3. */
export const keyOf = (v: { readonly linear: boolean; readonly pgdGfn: number }): number =>
  v.linear ? KEY_LINEAR : v.pgdGfn
