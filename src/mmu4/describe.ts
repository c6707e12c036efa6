import { ENTRIES, ENTRY_BYTES, frameOf, indexAt, mapsPage, P, reservedLo } from "./entries.ts"
import type { DescribedEntry, Description } from "./interface.ts"
import { roleName } from "./roles.ts"
import { addressOf } from "./tableEntry.ts"
import type { AddressSpace } from "./vcpuState.ts"
import { ENTRY_LEAF, ENTRY_U, ENTRY_W, ENTRY_X, PAGE_UNSYNC, type GuestTables, type ShadowColumns } from "./columns.ts"

/*
 * Walks for people: the guest's tables and the shadow side by side. Nothing is changed.
 */

const hex = (n: number): string => `0x${n.toString(16)}`

const describeGuest = (s: GuestTables, pgdGfn: number, vpn: number): DescribedEntry[] => {
  const entries: DescribedEntry[] = []
  let table = pgdGfn
  for (let level = 4; level >= 1; level--) {
    const hfn = s.hostFrame(table)
    if (hfn < 0) return entries
    const offset = indexAt(vpn, level) * ENTRY_BYTES
    const lo = s.memory.read32(hfn * 4096 + offset)
    const hi = s.memory.read32(hfn * 4096 + offset + 4)
    const reserved = (lo & reservedLo(lo, level)) !== 0 || (hi & s.reservedHi) !== 0
    const present = (lo & P) !== 0
    const leaf = mapsPage(lo, level)
    const what = leaf ? "gfn" : "table of gfn"
    const note = !present ? "not present" : reserved ? "reserved bit set" : `${what} ${hex(frameOf(lo, hi))}`
    entries.push({ level, address: table * 4096 + offset, lo, hi, note })
    if (!present || reserved || leaf) return entries
    table = frameOf(lo, hi)
  }
  return entries
}

const describeShadow = (s: ShadowColumns, root: number, vpn: number): DescribedEntry[] => {
  const entries: DescribedEntry[] = []
  let sp = root
  for (let level = 4; level >= 1; level--) {
    const id = sp * ENTRIES + indexAt(vpn, level)
    const address = addressOf(s, id)
    const lo = s.memory.read32(address)
    const hi = s.memory.read32(address + 4)
    const info = s.entryInfo[id]!
    const target = s.entryTarget[id]!
    if (info === 0) {
      entries.push({ level, address, lo, hi, note: lo === 0 ? "empty" : "the host's" })
      return entries
    }
    if ((info & ENTRY_LEAF) !== 0) {
      const rights = `${(info & ENTRY_W) !== 0 ? " W" : ""}${(info & ENTRY_X) !== 0 ? " X" : ""}`
      const user = (info & ENTRY_U) !== 0 ? " U" : ""
      entries.push({ level, address, lo, hi, note: `gfn ${hex(target)}${rights}${user}` })
      return entries
    }
    const unsync = (s.pageFlags[target]! & PAGE_UNSYNC) !== 0 ? " unsync" : ""
    const note = `table of gfn ${hex(s.pageGfn[target]!)} {${roleName(s.pageRole[target]!)}${unsync}}`
    entries.push({ level, address, lo, hi, note })
    sp = target
  }
  return entries
}

/** See ShadowMmu.describe. `root` is that of the view; -1: it has none. */
export const describe = (
  s: GuestTables & ShadowColumns,
  space: AddressSpace,
  root: number,
  vpn: number,
): Description => ({
  vpn,
  guest: space.linear ? [] : describeGuest(s, space.pgdGfn, vpn),
  shadow: root < 0 ? [] : describeShadow(s, root, vpn),
})
