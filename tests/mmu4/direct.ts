import { frameOf, P, PS, RW, US } from "../../src/mmu4/entries.ts"
import { DEVICE, FORCED, WITHHELD } from "../../src/mmu4/direct/entry.ts"
import { DATA, type DirectState, levelOfType, USER_TABLE } from "../../src/mmu4/direct/state.ts"

/* The direct MMU's invariants, counted from scratch: from the tables in memory and nothing else. */

interface Counts {
  readonly type: Map<number, number>
  readonly typeCount: Int32Array
  readonly references: Int32Array
  readonly writable: Int32Array
}

const hex = (n: number): string => `0x${n.toString(16)}`

/** What is wrong with a guest's tables and what the MMU says of them; empty: nothing. No call may be in progress. */
export const recount = (s: DirectState): string[] => {
  const wrong: string[] = []
  const counts: Counts = {
    type: new Map(),
    typeCount: new Int32Array(s.count),
    references: new Int32Array(s.count),
    writable: new Int32Array(s.count),
  }
  const refer = (gfn: number) => {
    counts.typeCount[gfn]!++
    counts.references[gfn]!++
  }
  const visit = (gfn: number, type: number): void => {
    const before = counts.type.get(gfn)
    if (before !== undefined) {
      if (before !== type) wrong.push(`frame ${hex(gfn)} is of types ${before} and ${type}`)
      return
    }
    counts.type.set(gfn, type)
    const level = levelOfType(type)
    for (let i = 0; i < 512; i++) {
      if (level === 4 && s.hostSlot[i] !== 0) continue
      const lo = s.memory.read32(s.addressOf(gfn) + 8 * i)
      const hi = s.memory.read32(s.addressOf(gfn) + 8 * i + 4)
      if ((lo & P) === 0) continue
      const name = `entry ${i} of level-${level} table ${hex(gfn)}`
      const target = frameOf(lo, hi) - s.first
      if (!(target >= 0 && target < s.count)) {
        wrong.push(`${name} leads to machine frame ${hex(target + s.first)}`)
        continue
      }
      if (level !== 1 && (lo & PS) !== 0) wrong.push(`${name} maps a large page`)
      if (level !== 4 && (hi & s.reservedHi) !== 0) wrong.push(`${name} has reserved bits`)
      if (level !== 4 && s.forceUser && (type & USER_TABLE) === 0 && (lo & US) === 0) wrong.push(`${name} has no U`)
      if (level < 4 && (!s.forceUser || (type & USER_TABLE) !== 0) && (lo & FORCED) !== 0)
        wrong.push(`${name} has U forced`)
      if (level === 1) {
        counts.references[target]!++
        if ((lo & DEVICE) !== 0) wrong.push(`${name} is a device's and present`)
        if ((lo & (RW | WITHHELD)) === (RW | WITHHELD)) wrong.push(`${name} is writable and not`)
        if ((lo & RW) !== 0) counts.writable[target]!++
      } else {
        refer(target)
        visit(target, (level - 1) | (level === 4 ? ((lo & US) !== 0 ? USER_TABLE : 0) : type & USER_TABLE))
      }
    }
  }
  for (const v of s.vcpus)
    if (v.valid) {
      refer(v.pgdGfn)
      visit(v.pgdGfn, 4)
    }
  for (let gfn = 0; gfn < s.count; gfn++)
    if (s.pinned[gfn] !== 0) {
      refer(gfn)
      visit(gfn, 4)
    }
  for (let gfn = 0; gfn < s.count; gfn++) {
    const type = counts.type.get(gfn) ?? DATA
    const say = (what: string, found: number, said: number) => {
      if (found !== said) wrong.push(`frame ${hex(gfn)}: ${what} is ${found}, not ${said}`)
    }
    say("type", type, s.type[gfn]!)
    say("typeCount", counts.typeCount[gfn]!, s.typeCount[gfn]!)
    say("references", counts.references[gfn]!, s.references[gfn]!)
    say("writable", counts.writable[gfn]!, s.writable[gfn]!)
    if (type !== DATA && counts.writable[gfn]! > 0) wrong.push(`page table ${hex(gfn)} is mapped writable`)
    if (type !== DATA && s.holds[gfn] !== 0) wrong.push(`page table ${hex(gfn)} may be written to by the host`)
  }
  for (const v of s.vcpus) wrong.push(...rootsOf(s, v.index))
  return wrong.slice(0, 10)
}

/** The roots of a virtual CPU, against its PML4; and what a processor reaches from them. */
const rootsOf = (s: DirectState, vcpu: number): string[] => {
  const wrong: string[] = []
  const v = s.vcpus[vcpu]!
  const walk = (table: number, level: number, write: boolean, path: string): void => {
    for (let i = 0; i < 512; i++) {
      if (level === 4 && s.hostSlot[i] !== 0) continue
      const lo = s.memory.read32(table * 4096 + 8 * i)
      const hi = s.memory.read32(table * 4096 + 8 * i + 4)
      if ((lo & P) === 0) continue
      const frame = frameOf(lo, hi)
      const gfn = frame - s.first
      const own = gfn >= 0 && gfn < s.count
      const writable = write && (lo & RW) !== 0
      if (level > 1) {
        if (!v.linear && !(own && levelOfType(s.type[gfn]!) === level - 1)) wrong.push(`${path}/${i} leads to no table`)
        else walk(frame, level - 1, writable, `${path}/${i}`)
      } else if (!own) wrong.push(`${path}/${i} reaches machine frame ${hex(frame)}`)
      else if (writable && s.type[gfn] !== DATA) wrong.push(`${path}/${i} may write to page table ${hex(gfn)}`)
    }
  }
  v.roots.forEach((root, view) => {
    for (let i = 0; i < 512 && !v.linear && v.valid; i++) {
      if (s.hostSlot[i] !== 0) continue
      const lo = s.memory.read32(s.addressOf(v.pgdGfn) + 8 * i)
      const there = (lo & P) !== 0 && (view === 0 || (lo & US) !== 0)
      if (there !== ((s.memory.read32(root * 4096 + 8 * i) & P) !== 0)) wrong.push(`slot ${i} of root ${view} is wrong`)
    }
    walk(root, 4, true, `vcpu ${vcpu} view ${view} `)
  })
  return wrong
}
