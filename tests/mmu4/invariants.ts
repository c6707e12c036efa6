import { indexAt } from "../../src/mmu4/entries.ts"
import {
  levelOf,
  isDirect,
  ROLE_U,
  ROLE_USER,
  ROLE_W,
  ROLE_X,
  ROLE_VCPU_SHIFT,
  roleName,
} from "../../src/mmu4/roles.ts"
import {
  ENTRY_LEAF,
  ENTRY_TABLE,
  ENTRY_U,
  ENTRY_W,
  ENTRY_X,
  PAGE_DEAD,
  PAGE_LIVE,
  PAGE_UNSYNC,
} from "../../src/mmu4/columns.ts"
import { HOST_SLOT } from "./reference.ts"
import { checkSimple } from "./simpleInvariants.ts"
import { GUEST_FRAMES, hostEntryLo, type World } from "./world.ts"

/*
 * The invariants of src/mmu4/index.ts, checked from scratch: everything that the MMU keeps twice is compared, and what it
 * derived from the guest is derived again. Throws at the first disagreement.
 */

export const must = (ok: boolean, what: () => string): void => {
  if (!ok) throw new Error(what())
}

const same = (a: Int32Array, b: Int32Array): boolean => a.length === b.length && a.every((n, i) => n === b[i])

const P = 1n
const RW = 2n
const US = 4n
const A = 0x20n
const D = 0x40n
const PS = 0x80n
const NX = 1n << 63n
const ADDRESS = 0x000000fffffff000n
const RESERVED = 0x000fff0000000000n

/** All that must be true whenever no call is in progress, of whatever MMU the world has. */
export const check = (world: World): void => (world.method === "kvm" ? checkKvm(world) : checkSimple(world))

const checkKvm = (world: World): void => {
  const s = world.kvm
  const live: number[] = []
  const byFrame = new Map<number, number[]>()
  const { out } = world.allocator
  let used = 0
  for (let sp = 0; sp < s.limit; sp++) {
    const flags = s.pageFlags[sp]!
    if ((flags & PAGE_LIVE) === 0) continue
    used++
    must(out.has(s.pageHfn[sp]!), () => `page ${sp} lives in frame ${s.pageHfn[sp]} that is not ours`)
    if ((flags & PAGE_DEAD) !== 0) {
      must(s.pagePins[sp]! > 0 && s.pageUsed[sp] === 0, () => `dead page ${sp} is not pinned or not empty`)
      continue
    }
    live.push(sp)
    const pages = byFrame.get(s.pageGfn[sp]!) ?? []
    pages.push(sp)
    byFrame.set(s.pageGfn[sp]!, pages)
  }

  // BOUND: slots and frames are accounted for.
  must(used === s.limit - s.freeSlotCount, () => `${used} pages in use, ${s.limit - s.freeSlotCount} counted`)
  const alive = s.stats.alive.reduce((a, b) => a + b, 0)
  must(alive === used, () => `${alive} pages alive by the statistics, ${used} in truth`)
  must(out.size === used + s.pool.reserved, () => "a frame is lost, or used twice")

  // AGREEMENT, CONFINEMENT.
  const lists = new Map<number, Set<number>>()
  const expect: Expect = (kind, target, id) => {
    const list =
      kind === "table" ? s.frameCount + s.regionCount + target : kind === 1 ? target : s.frameCount + target / 512
    const ids = lists.get(list)
    if (ids === undefined) lists.set(list, new Set([id]))
    else ids.add(id)
  }
  for (const sp of live) checkPage(world, sp, expect)
  for (let list = 0; list < s.listHead.length; list++) {
    const ids = lists.get(list)
    if (s.listHead[list] === 0 && ids === undefined) continue
    let prev = 0
    let count = 0
    for (let id1 = s.listHead[list]!; id1 !== 0; id1 = s.entryNext[id1 - 1]!) {
      must(ids?.has(id1 - 1) === true, () => `spte ${id1 - 1} is in list ${list} and should not be`)
      must(s.entryPrev[id1 - 1] === prev, () => `spte ${id1 - 1} has a wrong predecessor in list ${list}`)
      prev = id1
      count++
    }
    must(count === (ids?.size ?? 0), () => `list ${list} has ${count} sptes, not ${ids?.size ?? 0}`)
  }

  checkHash(world, live)
  checkAges(world, live)
  checkTables(world, byFrame)
  checkRoots(world)
  for (const sp of live) if (s.pageGeneration[sp] === s.generation) checkTruth(world, sp)
  checkTlbs(world)
  must(s.pool.waiting === 0, () => "frames wait for a flush after the call")
  must(!s.flushPending, () => "a flush is pending after the call")
}

/** An spte refers to a page, or is a leaf of a level, and it is to be found that way. */
export type Expect = (kind: "table" | 1 | 2, target: number, id: number) => void

/** CONFINEMENT, AGREEMENT: one page's sptes, in memory and in the columns. */
export const checkPage = (world: World, sp: number, expect: Expect): void => {
  const s = world.mmu.state
  const role = s.pageRole[sp]!
  const level = levelOf(role)
  const where = (i: number) => `page ${sp} (gfn ${s.pageGfn[sp]}, ${roleName(role)}) entry ${i}`
  let present = 0
  for (let i = 0; i < 512; i++) {
    const id = sp * 512 + i
    const info = s.entryInfo[id]!
    const target = s.entryTarget[id]!
    const word = s.pageHfn[sp]! * 1024 + i * 2
    const lo = world.memory.words[word]!
    const hi = world.memory.words[word + 1]!
    if (info === 0) {
      if ((lo | hi) === 0 && (level !== 4 || i !== HOST_SLOT)) continue
      const host =
        level === 4 && i === HOST_SLOT ? hostEntryLo((role >> ROLE_VCPU_SHIFT) - 1, (role & ROLE_USER) !== 0) : 0
      // The processor may have set the accessed flag in the host's entry.
      must((lo & ~0x20) === host && hi === 0, () => `${where(i)}: memory ${lo.toString(16)}, should be empty`)
      continue
    }
    present++
    const frame = (hi & 0xfffff) * 0x100000 + (lo >>> 12)
    const user = (info & (ENTRY_TABLE | ENTRY_U)) !== 0 || s.views.leafBits !== 0
    must((lo & 5) === (user ? 5 : 1), () => `${where(i)}: P and U`)
    if ((info & ENTRY_TABLE) !== 0) {
      must(info === ENTRY_TABLE, () => `${where(i)}: info ${info}`)
      must((s.pageFlags[target]! & (PAGE_LIVE | PAGE_DEAD)) === PAGE_LIVE, () => `${where(i)} refers to a dead page`)
      must(frame === s.pageHfn[target] && hi < 0x80000000, () => `${where(i)}: frame of its table`)
      must((lo & 0xf9f) === 7, () => `${where(i)}: bits of a table entry`)
      must(levelOf(s.pageRole[target]!) === level - 1, () => `${where(i)}: level of its table`)
      expect("table", target, id)
      continue
    }
    must((info & ENTRY_LEAF) !== 0 && level <= 2, () => `${where(i)}: leaf in level ${level}`)
    must(target >= 0 && target < GUEST_FRAMES, () => `${where(i)}: gfn ${target}`)
    must(frame === world.gfnToHfn[target] && frame >= 0, () => `${where(i)}: gfn ${target} is not at ${frame}`)
    must(((lo & 2) !== 0) === ((info & ENTRY_W) !== 0), () => `${where(i)}: W`)
    must(((lo & 0x40) !== 0) === ((info & ENTRY_W) !== 0), () => `${where(i)}: D`)
    must(hi >>> 31 === ((info & ENTRY_X) !== 0 ? 0 : 1), () => `${where(i)}: NX`)
    must((lo & 0xf98) === (level === 2 ? 0x80 : 0), () => `${where(i)}: other bits ${lo.toString(16)}`)
    if (level === 2) {
      must(target % 512 === 0 && frame % 512 === 0, () => `${where(i)}: alignment`)
      for (let k = 0; k < 512; k++)
        must(world.gfnToHfn[target + k] === frame + k, () => `${where(i)}: 2 MiB over scattered frames`)
    }
    expect(level === 1 ? 1 : 2, target, id)
    if (isDirect(role) && world.method === "kvm") {
      const base = s.pageGfn[sp]! + i * (level === 2 ? 512 : 1)
      must(target === base, () => `${where(i)}: direct page maps ${target}`)
      const allowed =
        ((role & ROLE_W) !== 0 ? ENTRY_W : 0) |
        ((role & ROLE_X) !== 0 ? ENTRY_X : 0) |
        ((role & ROLE_U) !== 0 ? ENTRY_U : 0)
      must((info & ~(allowed | ENTRY_LEAF)) === 0, () => `${where(i)}: more than the role allows`)
    }
  }
  must(present === s.pageUsed[sp], () => `page ${sp} has ${present} sptes, ${s.pageUsed[sp]} counted`)
}

const checkHash = (world: World, live: number[]): void => {
  const s = world.kvm
  const seen = new Set<number>()
  for (const head of s.buckets)
    for (let sp1 = head; sp1 !== 0; sp1 = s.hashNext[sp1 - 1]!) {
      must(!seen.has(sp1 - 1), () => `page ${sp1 - 1} is twice in the hash`)
      seen.add(sp1 - 1)
    }
  must(seen.size === live.length && live.every((sp) => seen.has(sp)), () => "hash and live pages differ")
  const keys = new Set(live.map((sp) => `${s.pageGfn[sp]}:${s.pageRole[sp]}:${s.pageGeneration[sp]}`))
  must(keys.size === live.length, () => "two pages of one frame, role and generation")
}

const checkAges = (world: World, live: number[]): void => {
  const s = world.kvm
  const seen: number[] = []
  for (let sp1 = s.oldest; sp1 !== 0; sp1 = s.newer[sp1 - 1]!) seen.push(sp1 - 1)
  must(seen.length === live.length && new Set(seen).size === live.length, () => "age list and live pages differ")
  const back: number[] = []
  for (let sp1 = s.newest; sp1 !== 0; sp1 = s.older[sp1 - 1]!) back.push(sp1 - 1)
  must(back.reverse().join() === seen.join(), () => "age list differs from its reverse")
  const obsolete = seen.map((sp) => s.pageGeneration[sp] !== s.generation)
  must(obsolete.lastIndexOf(true) === obsolete.filter(Boolean).length - 1, () => "obsolete pages are not the oldest")
}

/** PROTECTION. */
const checkTables = (world: World, byFrame: Map<number, number[]>): void => {
  const s = world.kvm
  const regions = new Int32Array(s.regionCount)
  let unsyncs = 0
  for (let gfn = 0; gfn < GUEST_FRAMES; gfn++) {
    const shadows = byFrame.get(gfn)
    if (shadows === undefined && s.tables[gfn] === 0) continue
    const tables = (shadows ?? []).filter((sp) => !isDirect(s.pageRole[sp]!))
    must(tables.length === s.tables[gfn], () => `gfn ${gfn}: ${tables.length} tables, ${s.tables[gfn]} counted`)
    if (tables.length === 0) continue
    const region = Math.floor(gfn / 512)
    regions[region]! += tables.length
    must(s.listHead[s.frameCount + region] === 0, () => `a 2 MiB spte covers the table in gfn ${gfn}`)
    const present = tables.filter((sp) => s.pageGeneration[sp] === s.generation)
    const unsync = tables.filter((sp) => (s.pageFlags[sp]! & PAGE_UNSYNC) !== 0)
    unsyncs += unsync.length
    const presentUnsync = present.filter((sp) => unsync.includes(sp))
    must(
      presentUnsync.length === 0 || presentUnsync.length === present.length,
      () => `some shadows of gfn ${gfn} are unsync, others are not`,
    )
    must(
      unsync.every((sp) => levelOf(s.pageRole[sp]!) === 1),
      () => `gfn ${gfn} is unsync at an upper level`,
    )
    if (present.length === presentUnsync.length) continue
    for (let id1 = s.listHead[gfn]!; id1 !== 0; id1 = s.entryNext[id1 - 1]!)
      must((s.entryInfo[id1 - 1]! & ENTRY_W) === 0, () => `spte ${id1 - 1} maps the table in gfn ${gfn} writable`)
  }
  must(same(regions, s.tablesInRegion), () => "tables in regions are miscounted")
  must(unsyncs === s.unsyncCount, () => `${unsyncs} pages unsync, ${s.unsyncCount} listed`)
  for (let i = 0; i < s.unsyncCount; i++)
    must(s.pageUnsyncAt[s.unsyncPages[i]!] === i, () => `unsync list is wrong at ${i}`)
}

const checkRoots = (world: World): void => {
  const s = world.kvm
  const pins = new Int32Array(s.limit)
  for (const v of s.vcpus)
    for (const sp of [...v.current, ...v.handed, ...v.retired])
      if (sp >= 0) {
        pins[sp]!++
        must((s.pageFlags[sp]! & PAGE_LIVE) !== 0, () => `vcpu ${v.index} holds page ${sp}, which is free`)
        must(s.pageRole[sp]! >> ROLE_VCPU_SHIFT === v.index + 1, () => `vcpu ${v.index} holds another's root`)
      }
  must(same(pins, s.pagePins), () => "pins are miscounted")
}

/** TRUTH, ACCESSED and DIRTY, VIEWS: of pages that are not unsync. */
const checkTruth = (world: World, sp: number): void => {
  const s = world.kvm
  const role = s.pageRole[sp]!
  if (isDirect(role) || (s.pageFlags[sp]! & PAGE_UNSYNC) !== 0) return
  const level = levelOf(role)
  for (let i = 0; i < 512; i++) {
    const id = sp * 512 + i
    const info = s.entryInfo[id]!
    if (info === 0) continue
    const entry = world.read64(s.pageGfn[sp]! * 4096 + i * 8)!
    const where = () => `page ${sp} (gfn ${s.pageGfn[sp]}, ${roleName(role)}) entry ${i}, guest ${entry.toString(16)}`
    must((entry & (P | A)) === (P | A) && (entry & RESERVED) === 0n, () => `${where()}: not usable`)
    must((role & ROLE_USER) === 0 || (entry & US) !== 0n, () => `${where()}: not the user's`)
    const writable = (role & ROLE_W) !== 0 && (entry & RW) !== 0n
    const executable = (role & ROLE_X) !== 0 && (entry & NX) === 0n
    const users = (role & ROLE_U) !== 0 && (entry & US) !== 0n
    const large = level > 1 && (entry & PS) !== 0n
    const gfn = Number((entry & ADDRESS) >> 12n)
    const target = s.entryTarget[id]!
    if ((info & ENTRY_LEAF) !== 0) {
      must(level === 1 || large, () => `${where()}: a leaf for a table`)
      must(target === (large ? gfn - (gfn % 512) : gfn), () => `${where()}: maps gfn ${target}`)
      must((info & ENTRY_W) === 0 || (writable && (entry & D) !== 0n), () => `${where()}: writable`)
      must((info & ENTRY_X) === 0 || executable, () => `${where()}: executable`)
      must((info & ENTRY_U) === 0 || users, () => `${where()}: the user's`)
      continue
    }
    const childRole = s.pageRole[target]!
    must(isDirect(childRole) === large, () => `${where()}: kind of table`)
    must((childRole & ROLE_X) === 0 || executable, () => `${where()}: executable below`)
    must((childRole & ROLE_U) === 0 || users, () => `${where()}: the user's below`)
    const below = large ? writable && (entry & D) !== 0n : writable
    must((childRole & ROLE_W) === 0 || below, () => `${where()}: writable below`)
    if (large) {
      const first = level === 2 ? gfn - (gfn % 512) : gfn - (gfn % 0x40000)
      must(s.pageGfn[target] === first, () => `${where()}: direct page of gfn ${s.pageGfn[target]}`)
    } else {
      must(s.pageGfn[target] === gfn, () => `${where()}: table of gfn ${s.pageGfn[target]}`)
      must((childRole & ROLE_USER) === (role & ROLE_USER), () => `${where()}: views mixed`)
    }
  }
}

/** TLB: nothing that the shadow does not have, under a root that somebody holds. */
export const checkTlbs = (world: World): void => {
  const s = world.mmu.state
  for (const hw of world.hardware)
    for (const e of hw.tlb.values()) {
      const where = () => `TLB entry for ${e.vpn.toString(16)} under ${e.root.toString(16)}`
      if (indexAt(e.vpn, 4) === HOST_SLOT) throw new Error(`${where()} is the host's`)
      const owner = s.pageHfn.findIndex((hfn, sp) => hfn * 4096 === e.root && (s.pageFlags[sp]! & PAGE_LIVE) !== 0)
      must(owner >= 0, () => `${where()}: no such root`)
      const now = hw.peek(e.root, e.vpn)
      must(now?.hfn === e.hfn, () => `${where()}: frame ${e.hfn} is stale`)
      must(!e.writable || now!.writable, () => `${where()}: stale W`)
      must(!e.executable || now!.executable, () => `${where()}: stale X`)
      must(!e.user || now!.user, () => `${where()}: stale U`)
    }
}
