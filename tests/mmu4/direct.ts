import { SharedHeap } from "../../src/machine/shared.ts"
import { A, D, frameOf, indexAt, P, PS, RW, US } from "../../src/mmu4/entries.ts"
import { createDirectMmu, type DirectMmu } from "../../src/mmu4/direct/index.ts"
import {
  EMULATE,
  type FaultResult,
  FIXED,
  KILL,
  PF_PRESENT,
  PF_USER,
  PF_WRITE,
  type ShadowMmuConfig,
} from "../../src/mmu4/interface.ts"
import { TestAllocator, TestMemory } from "./world.ts"
import { DEVICE, FORCED, WITHHELD } from "../../src/mmu4/direct/entry.ts"
import { DATA, type DirectState, levelOfType, USER_TABLE, WRITERS } from "../../src/mmu4/direct/state.ts"

/* The direct MMU's invariants, counted from scratch: from the tables in memory and nothing else. */

interface Counts {
  readonly type: Map<number, number>
  readonly typeCount: Int32Array
  readonly references: Int32Array
  readonly writable: Int32Array
  /** Numbers of the entries that may write, by frame. */
  readonly writers: Map<number, number[]>
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
    writers: new Map(),
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
        if ((lo & RW) !== 0) {
          counts.writable[target]!++
          counts.writers.set(target, [...(counts.writers.get(target) ?? []), gfn * 512 + i + 1])
        }
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
    const writers = (counts.writers.get(gfn) ?? []).sort((a, b) => a - b).join(" ")
    const known = [...s.writers.subarray(gfn * WRITERS, (gfn + 1) * WRITERS)].filter((n) => n !== 0)
    known.sort((a, b) => a - b)
    if (writers !== known.join(" ")) wrong.push(`frame ${hex(gfn)}: ${writers} may write, not ${known.join(" ")}`)
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

/* ---- A small guest: contiguous memory behind some of the host's own ---- */

export const COUNT = 64
export const FIRST = 512
const HOST_FRAMES = FIRST + COUNT + 16
/** The host's slot, and its entry in every root: present and supervisor's. */
export const HOST_SLOT = 510
/** What the host has there, by view. */
export const hostEntry = (userView: boolean): number => (userView ? 0x4103 : 0x3103)
/** The guest's kernel maps its memory here. */
export const KERNEL_SLOT = 256
export const kernelVpn = (gfn: number): number => KERNEL_SLOT * 2 ** 27 + gfn

/** Guest-physical address of an entry, and its low half for a frame of the guest's. */
export const at = (table: number, index: number): number => table * 4096 + 8 * index
export const entry = (gfn: number, flags: number): number => ((FIRST + gfn) * 4096 + flags) >>> 0

/**
 * A processor on a virtual CPU's tables. It forgets nothing by itself: neither translations, nor which frames it has walked
 * as tables of which level.
 */
class Processor {
  readonly tlb = new Map<string, { readonly hfn: number; readonly write: boolean; readonly user: boolean }>()
  readonly walked = new Map<number, Set<number>>()
  private readonly w: DirectWorld
  constructor(w: DirectWorld) {
    this.w = w
  }

  flush(): void {
    this.tlb.clear()
    this.walked.clear()
  }

  flushPage(vpn: number): void {
    for (const key of this.tlb.keys()) if (key.endsWith(`:${vpn}`)) this.tlb.delete(key)
  }

  /** Host frame, or -1 - error code. */
  access(root: number, vpn: number, bits: number, supervisor: boolean): number {
    const write = (bits & PF_WRITE) !== 0
    const key = `${root}:${vpn}`
    const hit = this.tlb.get(key)
    if (hit !== undefined && (!write || hit.write) && (supervisor || hit.user)) return hit.hfn
    this.tlb.delete(key)
    const { memory } = this.w
    let table = root / 4096
    let writable = true
    let user = true
    const path: number[] = []
    for (let level = 4; ; level--) {
      const at = table * 4096 + 8 * indexAt(vpn, level)
      const lo = memory.read32(at)
      const hi = memory.read32(at + 4)
      if ((lo & P) === 0) return -1 - bits
      if ((hi & 0x7fffff00) !== 0 || (level > 1 && (lo & PS) !== 0)) throw new Error("reserved bit or large page met")
      path.push(at)
      writable &&= (lo & RW) !== 0
      user &&= (lo & US) !== 0
      const frame = frameOf(lo, hi)
      if (level > 1) {
        this.walked.set(frame, (this.walked.get(frame) ?? new Set()).add(level - 1))
        table = frame
        continue
      }
      if ((write && !writable) || (!user && !supervisor)) return -1 - (bits | PF_PRESENT)
      for (const entry of path) {
        const flags = write && entry === at ? A | D : A
        memory.write32(entry, (memory.read32(entry) | flags) >>> 0)
      }
      this.tlb.set(key, { hfn: frame, write: writable && write, user })
      return frame
    }
  }
}

/** The direct MMU of a small guest, and processors for its virtual CPUs. */
export class DirectWorld {
  readonly memory = new TestMemory(new SharedArrayBuffer(HOST_FRAMES * 4096))
  readonly config: ShadowMmuConfig
  readonly mmu: DirectMmu
  readonly processors: Processor[]
  readonly supervisor: boolean
  readonly heap = SharedHeap.create()
  readonly allocator: TestAllocator

  constructor(vcpus = 1, options: Pick<ShadowMmuConfig, "views" | "supervisor" | "limit" | "laboured"> = {}) {
    this.supervisor = options.supervisor ?? false
    this.allocator = new TestAllocator(this.heap, this.memory, 64)
    this.processors = Array.from({ length: vcpus }, () => new Processor(this))
    this.config = {
      memory: this.memory,
      frames: { count: COUNT, gfnToHfn: (gfn) => (gfn < COUNT ? FIRST + gfn : -1) },
      allocator: this.allocator,
      flushers: this.processors.map((p) => ({
        flushAll: () => p.flush(),
        flushPage: (vpn: number) => p.flushPage(vpn),
      })),
      host: { slots: [HOST_SLOT], entryLo: (_slot, _vcpu, userView) => hostEntry(userView), entryHi: () => 0 },
      heap: this.heap,
      ...options,
    }
    this.mmu = createDirectMmu(this.config)
  }

  /** What the guest's memory holds. */
  read(gpa: number): readonly [lo: number, hi: number] {
    const at = FIRST * 4096 + gpa
    return [this.memory.read32(at), this.memory.read32(at + 4)]
  }

  /** Straight into memory, as before there are any tables. */
  poke(gpa: number, lo: number, hi = 0): void {
    this.memory.write32(FIRST * 4096 + gpa, lo)
    this.memory.write32(FIRST * 4096 + gpa + 4, hi)
  }

  /** Makes an entry of a table refer to one of the guest's frames. */
  link(table: number, index: number, gfn: number, flags: number): void {
    this.poke(table * 4096 + 8 * index, ((FIRST + gfn) * 4096 + flags) >>> 0)
  }

  /**
   * Tables in frames 1 to 8: PML4 1; below slot 256 the kernel's 2, 3, 4, which maps all memory writable; below slot 0 a
   * process's 5, 6, 7, which maps frames 16 to 31. Frame 8 is a second PML4 with the same kernel.
   */
  build(): void {
    for (const pgd of [1, 8]) this.link(pgd, KERNEL_SLOT, 2, P | RW)
    this.link(2, 0, 3, P | RW)
    this.link(3, 0, 4, P | RW)
    for (let gfn = 0; gfn < COUNT; gfn++) this.link(4, gfn, gfn, P | RW)
    this.link(1, 0, 5, P | RW | US)
    this.link(5, 0, 6, P | RW | US)
    this.link(6, 0, 7, P | RW | US)
    for (let i = 0; i < 16; i++) this.link(7, i, 16 + i, P | RW | US)
  }

  /** An access at ring 3 or, with a kernel that has a ring of its own, at that; faults go to the MMU. Host frame or what came of it. */
  access(vcpu: number, vpn: number, bits: number, userView = false): number | FaultResult {
    const v = this.mmu.vcpus[vcpu]!
    const error = bits | (userView ? PF_USER : 0)
    for (let i = 0; i < 4; i++) {
      const found = this.processors[vcpu]!.access(v.rootFor(userView), vpn, error, this.supervisor && !userView)
      if (found >= 0) return found
      const result = v.pageFault(vpn, 0, -1 - found, userView)
      if (result.kind !== FIXED) return { ...result }
    }
    throw new Error(`vcpu ${vcpu} faults without end at ${vpn.toString(16)}`)
  }

  /** The guest stores 64 bits at an offset of a page; what came of it, FIXED if it was done. */
  store(vcpu: number, vpn: number, offset: number, lo: number, hi: number, userView = false): number {
    const v = this.mmu.vcpus[vcpu]!
    const put = (hfn: number) => {
      this.memory.write32(hfn * 4096 + offset, lo)
      this.memory.write32(hfn * 4096 + offset + 4, hi)
    }
    const found = this.access(vcpu, vpn, PF_WRITE, userView)
    if (typeof found === "number") put(found)
    else if (found.kind !== EMULATE) return found.kind
    else {
      if (!v.openWindow(vpn, userView)) return EMULATE
      const open = this.access(vcpu, vpn, PF_WRITE, userView)
      if (typeof open !== "number") throw new Error("a window that is not open")
      put(open)
      v.closeWindow()
      return v.refusal === "" ? FIXED : KILL
    }
    return FIXED
  }

  /** All that is wrong: the counts, and what processors remember. */
  check(): string[] {
    const s = this.mmu.state
    const wrong = recount(s)
    this.processors.forEach((p, vcpu) => {
      for (const [key, e] of p.tlb) {
        const gfn = e.hfn - FIRST
        if (!(gfn >= 0 && gfn < COUNT)) wrong.push(`vcpu ${vcpu} remembers host frame ${hex(e.hfn)} at ${key}`)
        else if (e.write && s.type[gfn] !== DATA)
          wrong.push(`vcpu ${vcpu} may write to page table ${hex(gfn)} at ${key}`)
      }
      for (const [hfn, levels] of p.walked) {
        const gfn = hfn - FIRST
        for (const level of levels)
          if (gfn >= 0 && gfn < COUNT && levelOfType(s.type[gfn]!) !== level)
            wrong.push(`vcpu ${vcpu} may walk ${hex(gfn)}, of type ${s.type[gfn]}, at level ${level}`)
      }
    })
    return wrong
  }
}
