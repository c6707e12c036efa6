import { beforeEach, describe, expect, it } from "vitest"
import { A, D, NX_HI, P, PS, RW, US } from "../../src/mmu4/entries.ts"
import { DEVICE, FORCED, G, WITHHELD } from "../../src/mmu4/direct/entry.ts"
import { DATA, USER_TABLE, WRITERS } from "../../src/mmu4/direct/state.ts"
import { createDirectMmu } from "../../src/mmu4/direct/index.ts"
import {
  BadMmuConfig,
  EMULATE,
  FIXED,
  GUEST_FAULT,
  KILL,
  MMIO,
  PF_FETCH,
  PF_PRESENT,
  PF_USER,
  PF_WRITE,
} from "../../src/mmu4/interface.ts"
import { at, COUNT, DirectWorld, entry, FIRST, hostEntry, HOST_SLOT, KERNEL_SLOT, kernelVpn } from "./direct.ts"

/* The direct MMU: its invariants, and what it makes of guests that would rather not keep to them (direct-random.test.ts: of any guest). */

let w: DirectWorld
const kernel = () => w.mmu.vcpus[0]!
const typeOf = (gfn: number) => w.mmu.state.type[gfn]
const update = (table: number, index: number, lo: number, hi = 0) => {
  const { kind, reason } = kernel().update!(at(table, index), lo, hi)
  expect(w.check()).toEqual([])
  return kind === FIXED ? "" : reason
}

beforeEach(() => {
  w = new DirectWorld(2)
  w.build()
  expect(kernel().newRoot(4096)).toMatchObject({ kind: FIXED, reason: "" })
  expect(w.check()).toEqual([])
})

describe("TYPES", () => {
  it("a root makes tables of all that hangs below it, in two spaces", () => {
    expect([1, 2, 3, 4, 5, 6, 7, 8, 9].map(typeOf)).toEqual([
      4,
      3,
      2,
      1,
      3 | USER_TABLE,
      2 | USER_TABLE,
      1 | USER_TABLE,
      DATA,
      DATA,
    ])
    expect(w.mmu.stats.alive).toEqual(new Int32Array([0, 2, 2, 2, 1]))
  })

  it("a table has one level, and one space", () => {
    const cannot = /^frame 0x\d is .* and cannot be .*/
    expect(update(3, 1, entry(3, P | RW))).toMatch(cannot) // itself, as a table below itself
    expect(update(3, 1, entry(2, P | RW))).toMatch(cannot) // upwards
    expect(update(2, 1, entry(4, P | RW))).toMatch(cannot) // one level left out
    expect(update(1, 1, entry(1, P | RW))).toMatch(cannot) // a PML4 that maps itself
    expect(update(3, 1, entry(7, P | RW | US))).toMatch(cannot) // a process's table below the kernel's slot
    expect(update(1, 1, entry(2, P | RW | US))).toMatch(cannot) // and the other way round
    expect(update(3, 1, entry(4, P | RW))).toBe("") // twice in the same role is no harm
  })

  it("a PML4's entry changes sides with all below it", () => {
    expect(update(1, 0, entry(5, P | RW))).toBe("")
    expect([5, 6, 7].map(typeOf)).toEqual([3, 2, 1])
    expect(w.access(0, 0, 0, true)).toMatchObject({ kind: GUEST_FAULT, error: PF_USER | PF_PRESENT })
  })

  it("a tree that is refused leaves nothing behind", () => {
    w.link(8, 1, 10, P | RW | US)
    w.link(10, 0, 11, P | RW | US)
    w.link(11, 0, 12, P | RW | US)
    w.link(12, 0, 20, P | RW | US)
    w.poke(at(12, 1), 0x1000 | P | RW | US) // the host's
    expect(kernel().newRoot(8 * 4096)).toMatchObject({ kind: KILL, reason: "machine frame 0x1 is not the guest's" })
    expect([8, 10, 11, 12].map(typeOf)).toEqual([DATA, DATA, DATA, DATA])
    expect(kernel().pgd).toBe(4096)
    expect(w.check()).toEqual([])
  })
})

describe("CONFINEMENT", () => {
  it("large pages, reserved bits and others' frames are refused at every level", () => {
    for (const table of [2, 3])
      expect(update(table, 5, entry(16, P | RW | PS))).toMatch(/page size in a level-[23] entry/)
    expect(update(1, 5, entry(16, P | RW | PS))).toMatch("page size in a level-4 entry")
    for (const [level, table] of [4, 3, 2, 1].map((l, i) => [l, i + 1] as const)) {
      expect(update(table, 5, entry(16, P | RW), 0x100)).toBe(`reserved bit in a level-${level} entry`)
      expect(update(table, 5, 0x3000 | P)).toMatch("not the guest's")
    }
    for (const table of [1, 2, 3]) expect(update(table, 5, entry(COUNT, P | RW))).toMatch("which is not the guest's")
  })

  it("what stands in the host's slot has no effect", () => {
    expect(update(1, HOST_SLOT, 0x3000 | P | RW | US | PS)).toBe("")
    for (const view of [false, true])
      expect(w.memory.read32(kernel().rootFor(view) + 8 * HOST_SLOT)).toBe(hostEntry(view))
    expect(kernel().pageFault(HOST_SLOT * 2 ** 27, 0, PF_WRITE, false)).toMatchObject({
      kind: GUEST_FAULT,
      error: PF_WRITE,
    })
  })

  it("an entry that is not present may say anything", () => {
    expect(update(3, 5, 0xffff_fffe & ~DEVICE, 0xffff_ffff)).toBe("")
    expect(w.read(at(3, 5))).toEqual([0xffff_fffe & ~DEVICE, 0xffff_ffff].map((n) => n >>> 0))
    expect(update(4, 100, 0x1000 | DEVICE)).toBe("")
    expect(w.access(0, kernelVpn(100), 0)).toMatchObject({ kind: GUEST_FAULT, error: 0 })
  })

  it("a device's entry is not present for the processor, and leads to the device", () => {
    expect(update(4, 100, entry(0x1000, P | RW))).toBe("")
    expect(w.read(at(4, 100))[0] & (P | DEVICE)).toBe(DEVICE)
    expect(w.access(0, kernelVpn(100), PF_WRITE)).toMatchObject({ kind: MMIO, gpa: 0x100_0000 })
    expect(kernel().translate(kernelVpn(100), 8, 0, false)).toMatchObject({ kind: MMIO, gpa: 0x100_0008 })
    expect(update(4, 100, entry(0x1000, P), NX_HI)).toBe("")
    expect(w.access(0, kernelVpn(100), PF_WRITE)).toMatchObject({ kind: GUEST_FAULT, error: PF_WRITE | PF_PRESENT })
    expect(w.access(0, kernelVpn(100), PF_FETCH)).toMatchObject({ kind: GUEST_FAULT, error: PF_FETCH | PF_PRESENT })
  })

  it("nothing is global", () => {
    expect(update(4, 16, entry(16, P | RW | G))).toBe("")
    expect(w.read(at(4, 16))[0] & G).toBe(0)
  })

  it("memory that is not in one piece cannot be had", () => {
    const config = { ...w.config, frames: { count: 4, gfnToHfn: (gfn: number) => gfn * 2 } }
    expect(() => createDirectMmu(config)).toThrow(BadMmuConfig)
  })
})

describe("EXCLUSION", () => {
  it("tables are mapped read-only, and writable again when they are none any more", () => {
    expect(w.read(at(4, 4))[0] & (RW | WITHHELD)).toBe(WITHHELD)
    expect(w.access(0, kernelVpn(4), PF_WRITE)).toMatchObject({ kind: EMULATE, gpa: 4 * 4096 })
    expect(w.access(0, kernelVpn(4), 0)).toBe(FIRST + 4)
    expect(update(6, 0, 0)).toBe("")
    expect(typeOf(7)).toBe(DATA)
    expect(w.store(0, kernelVpn(7), 0, 1, 2)).toBe(FIXED)
    expect(w.read(at(4, 7))[0] & (RW | WITHHELD)).toBe(RW)
    expect(w.read(7 * 4096)).toEqual([1, 2])
  })

  it("all writable mappings of what becomes a table go, in memory and in what processors remember", () => {
    expect(w.mmu.vcpus[1]!.newRoot(4096).kind).toBe(FIXED)
    for (const vpn of [2, 5]) expect(update(7, vpn, entry(40, P | RW | US))).toBe("")
    for (const vpn of [kernelVpn(40), 2, 5]) expect(w.access(1, vpn, PF_WRITE)).toBe(FIRST + 40)
    expect(update(3, 1, entry(40, P | RW))).toBe("")
    for (const vpn of [kernelVpn(40), 2, 5]) expect(w.access(1, vpn, PF_WRITE)).toMatchObject({ kind: EMULATE })
    expect(w.mmu.state.writable[40]).toBe(0)
  })

  it("however often a frame is mapped writable, a few may write to it at a time, and all in turn", () => {
    const vpns = [0, 1, 2, 3, 4, 5, 6, 7]
    for (const vpn of vpns) expect(update(7, vpn, entry(40, P | RW | US))).toBe("")
    expect(w.mmu.state.writable[40]).toBe(WRITERS)
    for (let turn = 0; turn < 2; turn++)
      for (const vpn of [...vpns, kernelVpn(40)]) {
        w.processors[0]!.flush()
        expect(w.access(0, vpn, PF_WRITE)).toBe(FIRST + 40)
        expect(w.check()).toEqual([])
      }
    for (const vpn of vpns) expect(update(7, vpn, entry(40, P | RW | US | A | D))).toBe("")
    for (const vpn of vpns) expect(update(7, vpn, 0)).toBe("")
    expect(update(3, 1, entry(40, P | RW))).toBe("")
  })

  it("what the host writes to is no table, and the other way round", () => {
    expect(w.mmu.keepData(40 * 4096, 4096)).toBe(true)
    expect(update(3, 1, entry(40, P | RW))).toMatch("frame 0x28, which the host writes to, cannot be")
    w.mmu.releaseData(40 * 4096, 4096)
    expect(update(3, 1, entry(40, P | RW))).toBe("")
    expect(w.mmu.keepData(39 * 4096 + 8, 4096)).toBe(false)
    expect(w.mmu.state.holds.every((n) => n === 0)).toBe(true)
  })

  it("what a device is about to write is no table, and what it has written is not asked for again", () => {
    const before = w.mmu.stats.zapAlls
    expect(w.mmu.keepData(40 * 4096 + 100, 8)).toBe(true)
    w.mmu.memoryWritten(40 * 4096 + 100, 8)
    w.mmu.releaseData(40 * 4096 + 100, 8)
    expect(w.mmu.stats.zapAlls).toBe(before)
    expect(w.mmu.state.holds[40]).toBe(0)
  })

  it("what the host is about to push a frame on stays data until the guest goes on", () => {
    expect(kernel().translate(kernelVpn(40), 8, PF_WRITE, false)).toMatchObject({ kind: FIXED, gpa: 40 * 4096 + 8 })
    expect(update(3, 1, entry(40, P | RW))).toMatch("which the host writes to")
    kernel().rootFor(false)
    expect(update(3, 1, entry(40, P | RW))).toBe("")
    expect(kernel().translate(kernelVpn(40), 8, PF_WRITE, false)).toMatchObject({ kind: GUEST_FAULT })
  })

  it("a table of an address space that nobody uses is given up by writing to it", () => {
    expect(kernel().newRoot(8 * 4096).kind).toBe(FIXED)
    expect([1, 5, 6, 7].map(typeOf)).toEqual([4, 3 | USER_TABLE, 2 | USER_TABLE, 1 | USER_TABLE])
    expect(w.store(0, kernelVpn(7), 0, 0, 0)).toBe(FIXED)
    expect([1, 5, 6, 7, 8, 2].map(typeOf)).toEqual([DATA, DATA, DATA, DATA, 4, 3])
    expect(w.mmu.stats.shadowFaults.emulate).toBe(0)
    expect(w.check()).toEqual([])
  })

  it("and by another use of it", () => {
    expect(kernel().newRoot(8 * 4096).kind).toBe(FIXED)
    expect(update(3, 1, entry(5, P | RW))).toMatch("") // a PML4's table of level 3 becomes one of level 1
    expect([1, 5, 7].map(typeOf)).toEqual([DATA, 1, DATA])
  })

  it("a window shows a copy: what is stored to it is validated before any processor walks it", () => {
    expect(w.mmu.vcpus[1]!.newRoot(4096).kind).toBe(FIXED)
    const v = kernel()
    expect(v.openWindow(kernelVpn(4), false)).toBe(true)
    const copy = w.access(0, kernelVpn(4), PF_WRITE) as number
    expect(copy).not.toBe(FIRST + 4)
    w.memory.write32(copy * 4096 + 8 * 60, 0x3000 | P | RW)
    expect(w.read(at(4, 60))[0]).not.toBe(0x3000 | P | RW)
    // The other one finds it open; and cannot open another, under whatever address.
    expect(w.access(1, kernelVpn(4), PF_WRITE)).toBe(copy)
    expect(w.mmu.vcpus[1]!.openWindow(kernelVpn(4), false)).toBe(false)
    v.closeWindow()
    expect(v.refusal).toBe("machine frame 0x3 is not the guest's")
    expect(w.read(at(4, 60))[0] >>> 12).toBe(FIRST + 60)
    expect(w.access(1, kernelVpn(4), PF_WRITE)).toMatchObject({ kind: EMULATE })
    expect(w.check()).toEqual([])
  })

  it("a change to an entry in which a window is open stays", () => {
    const v = kernel()
    expect(v.openWindow(kernelVpn(7), false)).toBe(true)
    expect(v.update!(at(4, 7), entry(30, P), 0).kind).toBe(FIXED)
    v.closeWindow()
    expect(w.read(at(4, 7))[0] >>> 12).toBe(FIRST + 30)
    expect(w.check()).toEqual([])
  })

  it("a table can be stored to through itself", () => {
    expect(w.store(0, kernelVpn(4), 8 * 4, entry(33, P | RW), 0)).toBe(FIXED)
    expect(w.access(0, kernelVpn(4), PF_WRITE)).toBe(FIRST + 33)
    expect(w.check()).toEqual([])
  })

  it("a page table written behind its back is not trusted any more", () => {
    w.poke(at(7, 3), 0x3000 | P | RW | US)
    w.mmu.memoryWritten(at(7, 3), 8)
    expect(w.check()).toEqual([])
    expect(w.access(0, 0, 0, true)).toMatchObject({ kind: KILL, reason: "machine frame 0x3 is not the guest's" })
    w.poke(at(7, 3), 0)
    expect(w.access(0, 0, PF_WRITE, true)).toBe(FIRST + 16)
    expect(w.check()).toEqual([])
  })
})

describe("VIEWS", () => {
  it("the user's root lacks what has no U in the PML4, and entries without U below it are for nobody at ring 3", () => {
    expect(w.access(0, 1, PF_WRITE, true)).toBe(FIRST + 17)
    expect(w.access(0, kernelVpn(17), 0, true)).toMatchObject({ kind: GUEST_FAULT, error: PF_USER | PF_PRESENT })
    expect(update(7, 1, entry(17, P | RW))).toBe("")
    for (const userView of [true, false])
      expect(w.access(0, 1, 0, userView)).toMatchObject({
        kind: GUEST_FAULT,
        error: PF_PRESENT | (userView ? PF_USER : 0),
      })
  })

  it("U is forced on the kernel's entries, and forgotten with the table", () => {
    expect(w.read(at(4, 9))[0] & (US | FORCED)).toBe(US | FORCED)
    expect(update(1, KERNEL_SLOT, 0)).toBe("")
    expect(w.read(at(4, 9))[0]).toBe(entry(9, P | RW))
  })

  it("where the kernel has a ring of its own, U is the guest's, and one root serves both", () => {
    w = new DirectWorld(1, { views: 1, supervisor: true })
    w.build()
    expect(kernel().newRoot(4096).kind).toBe(FIXED)
    expect(kernel().rootFor(true)).toBe(kernel().rootFor(false))
    expect(w.read(at(4, 9))[0] & (US | FORCED)).toBe(0)
    expect(w.access(0, kernelVpn(9), PF_WRITE)).toBe(FIRST + 9)
    expect(w.access(0, kernelVpn(9), 0, true)).toMatchObject({ kind: GUEST_FAULT })
    expect(w.check()).toEqual([])
  })

  it("two virtual CPUs have roots of their own, which follow the same PML4", () => {
    expect(w.mmu.vcpus[1]!.newRoot(4096).kind).toBe(FIXED)
    expect(w.access(1, 3, 0, true)).toBe(FIRST + 19)
    expect(update(1, 0, 0)).toBe("")
    w.processors[1]!.flush()
    expect(w.access(1, 3, 0, true)).toMatchObject({ kind: GUEST_FAULT, error: PF_USER })
    expect(new Set(w.mmu.vcpus.flatMap((v) => [v.rootFor(false), v.rootFor(true)])).size).toBe(4)
  })
})

describe("the linear view", () => {
  it("maps memory as it is, page tables read-only, and its own tables are gone with it", () => {
    const before = w.allocator.out.size
    expect(w.access(1, 40, PF_WRITE)).toBe(FIRST + 40)
    expect(w.access(1, 4, 0)).toBe(FIRST + 4)
    expect(w.access(1, 4, PF_WRITE)).toMatchObject({ kind: EMULATE })
    expect(w.store(1, 4, 8 * 50, entry(51, P | RW), 0)).toBe(FIXED)
    expect(w.access(0, kernelVpn(50), 0)).toBe(FIRST + 51)
    expect(update(3, 1, entry(40, P | RW))).toBe("")
    expect(w.access(1, 40, PF_WRITE)).toMatchObject({ kind: EMULATE })
    expect(w.access(1, COUNT, 0)).toMatchObject({ kind: MMIO, gpa: COUNT * 4096 })
    expect(w.access(1, 40, 0, true)).toMatchObject({ kind: GUEST_FAULT })
    expect(w.allocator.out.size).toBeGreaterThan(before)
    expect(w.mmu.vcpus[1]!.newRoot(4096).kind).toBe(FIXED)
    expect(w.allocator.out.size).toBe(before)
    w.mmu.vcpus[1]!.linear()
    expect(w.access(1, 41, PF_WRITE)).toBe(FIRST + 41)
    expect(w.check()).toEqual([])
    w.mmu.destroy()
    expect(w.allocator.out.size).toBe(0)
  })
})
