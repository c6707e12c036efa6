import { describe, expect, it } from "vitest"
import { FIXED, minimumShadowPages } from "../../src/mmu4/index.ts"
import { A, at, D, entryOf, Guest, P, PD, PDPT, PML4, PS, PT, U, W } from "./guest.ts"
import { check } from "./invariants.ts"
import type { WorldOptions } from "./world.ts"

/*
 * The MMUs that track nothing, in stories: what they keep, for how long, and what makes them forget.
 */

const page = at(0, 0, 0, 0)
const missing = { error: 0 }

const boot = (options: WorldOptions) => {
  const g = new Guest(options)
  g.set(PT, 0, entryOf(30, P | W | U))
  for (const cpu of g.mmu.vcpus) expect(cpu.newRoot(PML4 * 4096).kind).toBe(FIXED)
  return g
}

/** PML4s of their own in frames 40, 41, ...; what hangs below is the same. */
const otherSpace = (g: Guest, i: number): number => {
  g.set(40 + i, 0, entryOf(PDPT, P | W | U))
  return (40 + i) * 4096
}

describe.each(["throw-away", "on-demand"] as const)("%s shadows", (method) => {
  it("let the guest write to its tables, and see the change after INVLPG", () => {
    const g = boot({ method })
    expect(g.access(page)).toBe(30)
    expect(g.store(PT, 0, entryOf(31, P | W | U))).toBe("free")
    expect(g.store(PD, 7, entryOf(PT, P | W | U))).toBe("free")
    expect(g.access(page)).toBe(30) // as in a TLB
    expect(g.access(at(0, 0, 7, 0))).toBe(31)
    g.mmu.vcpus[0]!.flushAddress(page)
    expect(g.access(page)).toBe(31)
    expect(g.mmu.vcpus[0]!.openWindow(page, false)).toBe(false)
    g.mmu.vcpus[0]!.closeWindow()
    expect(g.faults).toMatchObject({ unsync: 0, emulate: 0 })
    check(g.world)
  })

  it("forget a large page whole, in however many pieces it is", () => {
    const g = boot({ method })
    g.set(PD, 2, entryOf(1024, P | W | PS)) // scattered: 4 KiB sptes
    for (const i of [5, 6]) expect(g.access(at(0, 0, 2, i))).toBe(1024 + i)
    g.set(PD, 2, entryOf(512, P | W | PS))
    g.mmu.vcpus[0]!.flushAddress(at(0, 0, 2, 5))
    for (const i of [5, 6]) expect(g.access(at(0, 0, 2, i))).toBe(512 + i)
    expect(g.mmu.stats).toMatchObject({ huge: 1, split: 1 })
    check(g.world)
  })

  it("set accessed and dirty flags before they let through", () => {
    const g = boot({ method })
    g.access(page, "r")
    expect([PML4, PDPT, PD].map((t) => g.get(t, 0) & A)).toEqual([A, A, A])
    expect(g.get(PT, 0) & (A | D)).toBe(A)
    g.access(page, "w")
    expect(g.get(PT, 0) & (A | D)).toBe(A | D)
    expect(g.faults).toMatchObject({ fill: 1, dirty: 1 })
    g.set(PT, 0, entryOf(30, P | W | U))
    g.mmu.vcpus[0]!.flushAddress(page)
    g.access(page, "r")
    expect(g.get(PT, 0) & (A | D)).toBe(A)
    check(g.world)
  })

  it("go all at once when memory runs out, and the fault at hand is served", () => {
    const g = boot({ method, limit: minimumShadowPages(1), shadowFrames: minimumShadowPages(1) })
    for (let i = 0; i < 40; i++) {
      g.set(PD, 10 + i, entryOf(100 + i, P | W))
      g.set(100 + i, 0, entryOf(200 + i, P | W))
    }
    for (let round = 0; round < 2; round++)
      for (let i = 0; i < 40; i++) {
        expect(g.access(at(0, 0, 10 + i, 0), "w")).toBe(200 + i)
        check(g.world)
      }
    expect(g.mmu.stats.reclaimed[1]).toBeGreaterThan(0)
    expect(g.mmu.reclaim(1)).toBeGreaterThan(0)
    expect(g.mmu.reclaim(1)).toBe(0)
    g.mmu.destroy()
    expect(g.world.allocator.out.size).toBe(0)
  })

  it("leave nothing of a frame that gets another use, on any processor", () => {
    const g = boot({ method, vcpus: 2 })
    for (const vcpu of [0, 1]) g.access(page, "w", false, vcpu)
    g.mmu.zapFrame(30)
    for (const hw of g.world.hardware) expect(hw.tlb.size).toBe(0)
    for (const vcpu of [0, 1]) expect(g.mmu.describe(vcpu, page, false).shadow.at(-1)!.note).toBe("empty")
    check(g.world)
  })

  it("have their roots for good", () => {
    const g = boot({ method })
    const roots = new Set<number>()
    for (let i = 0; i < 20; i++) {
      g.mmu.vcpus[0]!.newRoot(otherSpace(g, i % 7))
      g.access(page)
      roots.add(g.mmu.vcpus[0]!.rootFor(false))
    }
    g.mmu.zapAll()
    for (const root of roots) {
      expect(g.world.allocator.out.has(root / 4096)).toBe(true)
      expect(g.world.memory.read64(root + 510 * 8) & ~0x20n).toBe(0x3103n)
    }
    expect(roots.size).toBe(method === "throw-away" ? 4 : 1)
  })
})

describe("throw-away shadows", () => {
  const method = "throw-away" as const

  it("are kept for four address spaces; the fifth takes the place of the one left longest ago", () => {
    const g = boot({ method })
    const cpu = g.mmu.vcpus[0]!
    const spaces = [0, 1, 2, 3, 4].map((i) => otherSpace(g, i))
    const fills = (space: number) => {
      const { fill } = g.faults
      cpu.newRoot(spaces[space]!)
      expect(g.access(page)).toBe(30)
      return g.faults.fill - fill
    }
    expect([0, 1, 2, 3].map(fills)).toEqual([1, 1, 1, 1])
    expect([0, 1, 2, 3].map(fills)).toEqual([0, 0, 0, 0])
    expect([1, 0, 4].map(fills)).toEqual([0, 0, 1])
    expect([0, 1, 3, 2].map(fills)).toEqual([0, 0, 0, 1])
    check(g.world)
  })

  it("follow an announcement in all address spaces, on all virtual CPUs", () => {
    const g = boot({ method, vcpus: 2 })
    for (const vcpu of [0, 1])
      for (const i of [0, 1]) {
        g.mmu.vcpus[vcpu]!.newRoot(otherSpace(g, i))
        expect(g.access(page, "w", false, vcpu)).toBe(30)
      }
    g.set(PT, 0, entryOf(31, P | W | U | A | D))
    g.mmu.entryChanged(PT * 4096)
    check(g.world)
    const { fill } = g.faults
    for (const vcpu of [0, 1])
      for (const i of [0, 1]) {
        g.mmu.vcpus[vcpu]!.newRoot(otherSpace(g, i))
        expect(g.access(page, "w", false, vcpu)).toBe(31)
      }
    expect(g.faults.fill).toBe(fill) // it said A: ready made
    g.set(PT, 0, 0n)
    g.mmu.entryChanged(PT * 4096)
    for (const vcpu of [0, 1]) expect(g.access(page, "r", false, vcpu)).toMatchObject(missing)
    check(g.world)
  })

  it("make nothing of an announced entry that has no A yet, or is not writable without D", () => {
    const g = boot({ method })
    g.access(page, "w")
    g.set(PT, 0, entryOf(31, P | W | U))
    g.mmu.entryChanged(PT * 4096)
    expect(g.mmu.describe(0, page, false).shadow.at(-1)!.note).toBe("empty")
    g.set(PT, 0, entryOf(31, P | W | U | A))
    g.mmu.entryChanged(PT * 4096)
    expect(g.mmu.describe(0, page, false).shadow.at(-1)!.note).toBe("gfn 0x1f X")
    g.access(page, "w")
    expect(g.get(PT, 0) & D).toBe(D)
    check(g.world)
  })

  it("forget all below an announced upper entry", () => {
    const g = boot({ method })
    g.access(page)
    g.set(PML4, 0, 0n)
    expect(g.access(page)).toBe(30) // not announced: its own fault
    g.mmu.entryChanged(PML4 * 4096)
    expect(g.access(page)).toMatchObject(missing)
    check(g.world)
  })

  it("know which table an spte came from, also where another table was before", () => {
    const g = boot({ method })
    g.set(PT, 1, entryOf(31, P | W | U))
    g.access(page)
    g.set(6, 0, entryOf(32, P | W | U))
    g.set(6, 1, entryOf(33, P | W | U))
    g.set(PD, 0, entryOf(6, P | W | U))
    expect(g.access(at(0, 0, 0, 1))).toBe(33)
    g.set(6, 1, entryOf(34, P | W | U))
    g.mmu.entryChanged(6 * 4096 + 8)
    expect(g.access(at(0, 0, 0, 1))).toBe(34)
    check(g.world)
  })

  it("survive the announcement of an entry that is its own table", () => {
    const g = boot({ method })
    g.set(PML4, 1, entryOf(PML4, P | W))
    expect(g.access(at(1, 1, 1, 1))).toBe(PML4)
    expect(g.access(at(1, 1, 1, 0))).toBe(PDPT)
    expect(g.access(at(1, 1, 0, 0))).toBe(PD)
    g.set(PML4, 1, entryOf(PML4, P | W | A))
    g.mmu.entryChanged(PML4 * 4096 + 8)
    check(g.world)
    expect(g.access(at(1, 1, 1, 0))).toBe(PDPT)
  })

  it("go with a flush: those of the address space in use, or with global entries all", () => {
    const g = boot({ method })
    const cpu = g.mmu.vcpus[0]!
    const [one, two] = [otherSpace(g, 0), otherSpace(g, 1)]
    const visit = (space: number) => {
      cpu.newRoot(space)
      return g.access(page)
    }
    expect([visit(one), visit(two)]).toEqual([30, 30])
    g.set(PT, 0, entryOf(31, P | W | U))
    cpu.flush(false)
    expect([visit(two), visit(one)]).toEqual([31, 30])
    cpu.flush(true)
    g.set(PT, 0, entryOf(32, P | W | U))
    expect([visit(one), visit(two)]).toEqual([32, 32])
    check(g.world)
  })
})

describe("on-demand shadows", () => {
  const method = "on-demand" as const

  it("begin anew with each CR3 load and flush, also of the same tables", () => {
    const g = boot({ method })
    const cpu = g.mmu.vcpus[0]!
    for (const [i, begin] of [
      () => cpu.newRoot(PML4 * 4096),
      () => cpu.flush(false),
      () => cpu.flush(true),
      () => (cpu.linear(), cpu.newRoot(PML4 * 4096)),
    ].entries()) {
      expect(g.access(page)).toBe(30 + i)
      g.set(PT, 0, entryOf(31 + i, P | W | U))
      begin()
      expect([...g.mmu.stats.alive]).toEqual([0, 0, 0, 0, 2])
      expect(g.access(page)).toBe(31 + i)
      check(g.world)
    }
  })

  it("are each virtual CPU's own: what the one forgets, the other need not be interrupted for", () => {
    const g = boot({ method, vcpus: 2 })
    for (const vcpu of [0, 1]) g.access(page, "r", false, vcpu)
    const tlb = g.world.hardware[1]!.tlb.size
    g.mmu.vcpus[0]!.newRoot(PML4 * 4096)
    g.mmu.vcpus[0]!.flush(true)
    g.mmu.vcpus[0]!.flushAddress(page)
    expect(g.world.hardware[1]!.tlb.size).toBe(tlb)
    expect(g.mmu.stats.tlbFlushes).toBe(0)
    check(g.world)
  })

  it("take an announcement for an INVLPG on all virtual CPUs", () => {
    const g = boot({ method, vcpus: 2 })
    for (const vcpu of [0, 1]) g.access(page, "r", false, vcpu)
    g.set(PT, 0, entryOf(31, P | W | U | A | D))
    g.mmu.entryChanged(PT * 4096)
    expect(g.mmu.describe(0, page, false).shadow.at(-1)!.note).toBe("empty")
    for (const vcpu of [0, 1]) expect(g.access(page, "r", false, vcpu)).toBe(31)
    check(g.world)
  })
})
