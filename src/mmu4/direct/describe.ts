import { ENTRIES, ENTRY_BYTES, FRAME_BYTES, frameOf, indexAt, P } from "../entries.ts"
import type { DescribedEntry, Description } from "../interface.ts"
import { DEVICE, FORCED, guestFrame, plainLow, readEntry, wantsPresent, WITHHELD } from "./entry.ts"
import { DATA, type DirectState, levelOfType } from "./state.ts"
import type { DirectVcpuState } from "./vcpuState.ts"

/*
 * Walks for people: what the guest means, with its own frames in the place of the machine's; and what the processor
 * walks, which is the same tables below another root.
 */

const hex = (n: number): string => `0x${n.toString(16)}`

const describeGuest = (s: DirectState, v: DirectVcpuState, vpn: number): DescribedEntry[] => {
  const entries: DescribedEntry[] = []
  let table = v.pgdGfn
  for (let level = 4; level >= 1; level--) {
    if (!(table >= 0 && table < s.count)) return entries
    const address = table * FRAME_BYTES + indexAt(vpn, level) * ENTRY_BYTES
    readEntry(s, s.first * FRAME_BYTES + address)
    const { lo, hi } = s
    const present = level === 1 ? wantsPresent(s, lo, hi) : (lo & P) !== 0
    const gfn = guestFrame(s, lo, hi)
    if (!present || gfn < 0) {
      entries.push({ level, address, lo, hi, note: present ? "not its frame" : "not present" })
      return entries
    }
    const own = ((gfn << 12) | (plainLow(s, lo, hi) & 0xfff)) >>> 0
    const note = `${level === 1 ? "gfn" : "table of gfn"} ${hex(gfn)}`
    entries.push({ level, address, lo: own, hi: ((hi & ~0xfffff) | Math.floor(gfn / 0x100000)) >>> 0, note })
    table = gfn
  }
  return entries
}

/** What is special about an entry that the processor walks. */
const remarks = (s: DirectState, lo: number, gfn: number): string => {
  const words: string[] = []
  if (gfn >= 0 && gfn < s.count && s.type[gfn] !== DATA)
    words.push(`is a page table of level ${levelOfType(s.type[gfn]!)}`)
  if ((lo & WITHHELD) !== 0) words.push("W withheld")
  if ((lo & FORCED) !== 0) words.push("U forced")
  return words.map((word) => `, ${word}`).join("")
}

const describeHardware = (s: DirectState, root: number, vpn: number): DescribedEntry[] => {
  const entries: DescribedEntry[] = []
  let table = root
  for (let level = 4; level >= 1; level--) {
    const address = table * FRAME_BYTES + (indexAt(vpn, level) % ENTRIES) * ENTRY_BYTES
    const lo = s.memory.read32(address)
    const hi = s.memory.read32(address + 4)
    const gfn = frameOf(lo, hi) - s.first
    const there = (lo & P) !== 0
    const hosts = level === 4 && s.hostSlot[indexAt(vpn, 4)] !== 0
    const what = hosts ? "the host's" : (lo & DEVICE) !== 0 ? `device at gfn ${hex(gfn)}` : "empty"
    if (!there || hosts) {
      entries.push({ level, address, lo, hi, note: what })
      return entries
    }
    entries.push({ level, address, lo, hi, note: `gfn ${hex(gfn)}${remarks(s, lo, gfn)}` })
    table = frameOf(lo, hi)
  }
  return entries
}

/** See ShadowMmu.describe. */
export const describe = (s: DirectState, vcpu: number, vpn: number, userView: boolean): Description => {
  const v = s.vcpus[vcpu]!
  return {
    vpn,
    guest: v.linear ? [] : describeGuest(s, v, vpn),
    shadow: describeHardware(s, v.roots[userView && s.twoViews ? 1 : 0]!, vpn),
  }
}
