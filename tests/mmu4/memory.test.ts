import { describe, expect, it } from "vitest"
import { SharedHeap } from "../../src/machine/shared.ts"
import { BadMmuConfig, createShadowMmu, minimumShadowPages } from "../../src/mmu4/index.ts"
import { at, D, entryOf, Guest, P, PD, PDPT, PML4, PS, PT, U, W } from "./guest.ts"
import { check } from "./invariants.ts"
import { hostEntryLo, TestAllocator, World } from "./world.ts"

const boot = (options = {}) => {
  const g = new Guest(options)
  g.mmu.vcpus[0]!.newRoot(PML4 * 4096)
  return g
}

describe("a large page of the guest", () => {
  it("stays one 2 MiB spte where host memory is contiguous, clean until written", () => {
    const g = boot()
    g.set(PD, 2, entryOf(512, P | W | U | PS))
    expect(g.access(at(0, 0, 2, 5), "r")).toBe(517)
    expect(g.access(at(0, 0, 2, 9), "r")).toBe(521)
    expect(g.faults).toMatchObject({ fill: 1, dirty: 0 })
    expect(g.get(PD, 2) & D).toBe(0n)
    expect(g.access(at(0, 0, 2, 5), "w")).toBe(517)
    expect(g.get(PD, 2) & D).toBe(D)
    expect(g.access(at(0, 0, 2, 500), "w")).toBe(1012)
    expect(g.faults).toMatchObject({ fill: 1, dirty: 1 })
    expect(g.mmu.stats).toMatchObject({ huge: 1, split: 0 })
    check(g.world)
  })

  it("of 1 GiB is 2 MiB sptes, and 4 KiB ones where host memory is scattered", () => {
    const g = boot()
    g.set(PDPT, 2, entryOf(0, P | W | PS))
    expect(g.access(at(0, 2, 1, 5), "w")).toBe(517)
    expect(g.access(at(0, 2, 2, 5), "w")).toBe(1029)
    expect(g.mmu.stats).toMatchObject({ huge: 1, split: 1 })
    check(g.world)
  })

  it("is split where host memory is contiguous, but not aligned", () => {
    const { memory } = new World()
    const heap = SharedHeap.create()
    const mmu = createShadowMmu({
      heap,
      memory,
      frames: { count: 512, gfnToHfn: (gfn) => 1000 + gfn },
      allocator: new TestAllocator(heap, memory, 100),
      flushers: [{ flushAll: () => undefined, flushPage: () => undefined }],
      host: { slots: [], entryLo: () => 0, entryHi: () => 0 },
    })
    mmu.vcpus[0]!.pageFault(5, 0, 2, false)
    expect(mmu.stats).toMatchObject({ huge: 0, split: 1 })
  })

  it("is split while a frame inside is a page table, and whole again afterwards", () => {
    const g = boot()
    g.set(PD, 2, entryOf(512, P | W | PS))
    g.access(at(0, 0, 2, 5), "w")
    // Frame 600, inside, becomes a page table.
    g.set(600, 0, entryOf(30, P | W))
    g.set(PDPT, 1, entryOf(6, P | W))
    g.set(6, 0, entryOf(600, P | W))
    expect(g.access(at(0, 1, 0, 0), "w")).toBe(30)
    check(g.world)
    expect(g.access(at(0, 0, 2, 5), "w")).toBe(517)
    expect(g.mmu.stats.split).toBe(1)
    const { unsync } = g.faults
    expect(g.access(at(0, 0, 2, 600 - 512), "w")).toBe(600)
    expect(g.faults.unsync).toBe(unsync + 1)
    check(g.world)
    g.mmu.guestWrite(600 * 4096 + 2, 2, 0, 0) // no entry is written so: it is no table any more
    expect(g.access(at(0, 0, 2, 6), "w")).toBe(518)
    expect(g.mmu.stats.huge).toBe(2)
    check(g.world)
  })

  it("can hold the tables that map it", () => {
    const g = boot()
    g.set(PD, 2, entryOf(0, P | W | PS)) // block 0 holds all of them
    expect(g.access(at(0, 0, 2, 40), "w")).toBe(40)
    expect(g.access(at(0, 0, 2, PD), "w")).toMatchObject({ gpa: PD * 4096 })
    expect(g.mmu.stats).toMatchObject({ huge: 0, split: 1 })
    check(g.world)
  })

  it("can hold tables that its first access brings into use", () => {
    const g = new Guest()
    g.set(600, 0, entryOf(PDPT, P | W)) // the PML4 lies elsewhere
    g.set(PD, 2, entryOf(0, P | W | PS))
    g.mmu.vcpus[0]!.newRoot(600 * 4096)
    expect(g.access(at(0, 0, 2, 40), "w")).toBe(40)
    expect(g.mmu.stats).toMatchObject({ huge: 0, split: 1 })
    check(g.world)
  })

  it("split and clean, becomes dirty with the first store anywhere in it", () => {
    const g = boot()
    g.set(PD, 2, entryOf(1024, P | W | PS))
    expect(g.access(at(0, 0, 2, 5), "r")).toBe(1029)
    expect(g.get(PD, 2) & D).toBe(0n)
    expect(g.access(at(0, 0, 2, 6), "w")).toBe(1030)
    expect(g.get(PD, 2) & D).toBe(D)
    g.store(PD, 2, entryOf(1024, P | W | PS | 0x20n))
    g.mmu.vcpus[0]!.flushAddress(at(0, 0, 2, 100))
    g.access(at(0, 0, 2, 6), "w")
    expect(g.get(PD, 2) & D).toBe(D)
    check(g.world)
  })
})

describe("the limit", () => {
  const busy = (g: Guest, rounds: number) => {
    // 40 page tables, each with one page, and no room for their shadows together.
    for (let i = 0; i < 40; i++) {
      g.set(PD, 10 + i, entryOf(100 + i, P | W))
      g.set(100 + i, 0, entryOf(200 + i, P | W))
    }
    for (let r = 0; r < rounds; r++)
      for (let i = 0; i < 40; i++) expect(g.access(at(0, 0, 10 + i, 0), "w")).toBe(200 + i)
  }

  it("bounds the shadow pages, and everything goes on", () => {
    const g = boot({ limit: minimumShadowPages(1) })
    busy(g, 3)
    const { alive, reclaimed } = g.mmu.stats
    expect(alive.reduce((a, b) => a + b)).toBeLessThanOrEqual(minimumShadowPages(1))
    expect(reclaimed[1]).toBeGreaterThan(40)
    expect(reclaimed[4]).toBe(0)
    check(g.world)
  })

  it("spares what is in use", () => {
    const g = boot({ limit: minimumShadowPages(1) })
    g.set(PT, 0, entryOf(30, P | W))
    for (let i = 0; i < 40; i++) {
      g.set(PD, 10 + i, entryOf(100 + i, P | W))
      g.set(100 + i, 0, entryOf(200 + i, P | W))
      g.access(at(0, 0, 10 + i, 0))
      // The processor uses this page all the time: its A flags show it.
      g.world.hardware[0]!.flushAll()
      expect(g.access(at(0, 0, 0, 0))).toBe(30)
    }
    expect(g.mmu.stats.reclaimed[1]).toBeGreaterThan(10)
    expect(g.faults.fill).toBe(41)
  })

  it("can be the host's: with no frame left beyond the reserve all goes on", () => {
    const g = boot({ limit: 200, shadowFrames: minimumShadowPages(1) })
    busy(g, 2)
    expect(g.mmu.stats.reclaimed[1]).toBeGreaterThan(0)
    check(g.world)
  })

  it("can be pressed on by the host", () => {
    const g = boot()
    busy(g, 1)
    const before = g.world.allocator.out.size
    expect(g.mmu.reclaim(10)).toBe(10)
    expect(g.world.allocator.out.size).toBe(before - 10)
    expect(g.mmu.reclaim(1000)).toBeLessThan(1000)
    check(g.world)
    busy(g, 1)
  })
})

describe("large invalidations", () => {
  it("zapAll forgets everything at once and frees it bit by bit", () => {
    const g = boot()
    g.set(PT, 0, entryOf(30, P | W))
    g.access(at(0, 0, 0, 0))
    const before = g.mmu.stats.alive.reduce((a, b) => a + b)
    g.mmu.zapAll()
    check(g.world)
    expect(g.mmu.stats.alive.reduce((a, b) => a + b)).toBe(before) // the root, held by its processor, and the rest
    expect(g.access(at(0, 0, 0, 0))).toBe(30)
    expect(g.faults.fill).toBe(2)
    expect([...g.mmu.stats.allocated]).toEqual([0, 2, 2, 2, 2])
    // The old root is empty, and waits for its processor to leave it.
    expect(g.mmu.stats.alive.reduce((a, b) => a + b)).toBe(before + 1)
    check(g.world)
  })

  it("zapAll takes the protection from what is no table any more, at the first store", () => {
    const g = boot()
    g.set(PT, 0, entryOf(30, P | W))
    g.access(at(0, 0, 0, 0))
    g.set(PDPT, 3, entryOf(PT, P | W)) // the page table is a page directory here
    g.set(PT, 5, entryOf(6, P | W))
    g.set(6, 0, entryOf(40, P | W))
    expect(g.access(at(0, 3, 5, 0))).toBe(40)
    expect(g.store(PT, 1, 0n)).toBe("emulated")
    g.mmu.zapAll()
    expect(g.access(at(0, 0, 0, 0))).toBe(30)
    expect(g.store(PT, 1, 0n)).toBe("free")
    check(g.world)
  })

  it("zapFrame leaves nothing that refers to a frame", () => {
    const g = boot()
    g.set(PT, 0, entryOf(30, P | W))
    g.set(PT, 1, entryOf(30, P))
    g.set(PD, 2, entryOf(512, P | W | PS))
    for (const vpn of [at(0, 0, 0, 0), at(0, 0, 0, 1), at(0, 0, 2, 0)]) g.access(vpn)
    g.mmu.zapFrame(30)
    g.mmu.zapFrame(700)
    g.mmu.zapFrame(-1)
    g.mmu.zapFrame(1e9)
    expect(g.world.hardware[0]!.tlb.size).toBe(0)
    for (const vpn of [at(0, 0, 0, 0), at(0, 0, 0, 1), at(0, 0, 2, 0)])
      expect(g.mmu.describe(0, vpn, false).shadow.at(-1)!.note).toBe("empty")
    g.mmu.zapFrame(PML4) // its root is in use: the processor gets another
    const old = g.world.hardware[0]!.root
    expect(g.access(at(0, 0, 0, 0))).toBe(30)
    expect(g.world.hardware[0]!.root).not.toBe(old)
    check(g.world)
  })

  it("destroy gives every frame back", () => {
    const g = boot({ vcpus: 2 })
    g.access(at(0, 0, 1, 0))
    g.mmu.vcpus[1]!.rootFor(true)
    g.mmu.destroy()
    expect(g.world.allocator.out.size).toBe(0)
  })
})

describe("roots", () => {
  it("hold the host's entry of their own virtual CPU, and in the user's view that which is for the user", () => {
    const g = boot({ vcpus: 2 })
    g.mmu.vcpus[1]!.newRoot(PML4 * 4096)
    const entries = [0, 1].flatMap((i) =>
      [false, true].map((user) => g.world.memory.read64(g.mmu.vcpus[i]!.rootFor(user) + 510 * 8)),
    )
    const host = [0, 1].flatMap((i) => [false, true].map((user) => BigInt(hostEntryLo(i, user))))
    expect(new Set(host).size).toBe(4)
    expect(entries).toEqual(host)
    expect(new Set([0, 1].map((i) => g.mmu.vcpus[i]!.rootFor(false))).size).toBe(2)
  })

  it("that were handed out stay as they are until the next is asked for", () => {
    const g = boot({ limit: minimumShadowPages(1) })
    const root = g.mmu.vcpus[0]!.rootFor(false)
    const host = () => g.world.memory.read64(root + 510 * 8)
    for (let i = 10; i < 60; i++) {
      g.mmu.vcpus[0]!.newRoot(i * 4096)
      g.mmu.vcpus[0]!.rootFor(true)
      g.mmu.vcpus[0]!.pageFault(0, 0, 4, false)
    }
    g.mmu.zapAll()
    g.mmu.reclaim(1000)
    expect(host()).toBe(0x3103n)
    check(g.world)
  })

  it("are what they were until the question after the next: the processor may not have left them before", () => {
    const g = boot()
    const cpu = g.mmu.vcpus[0]!
    const change = [
      () => cpu.newRoot(40 * 4096),
      () => g.mmu.zapAll(),
      () => g.mmu.zapFrame(41),
      () => cpu.linear(),
      () => cpu.newRoot(41 * 4096),
      () => g.mmu.reclaim(1000),
    ]
    const handed: Array<{ root: number; user: boolean }> = []
    for (let i = 0; i < 60; i++) {
      change[i % change.length]!()
      const user = i % 7 === 0
      handed.push({ root: cpu.rootFor(user), user })
      for (const { root, user } of handed.slice(-2)) {
        expect(g.world.allocator.out.has(root / 4096)).toBe(true)
        expect(g.world.memory.read64(root + 510 * 8)).toBe(BigInt(hostEntryLo(0, user)))
      }
      check(g.world)
    }
    expect(new Set(handed.map(({ root }) => root)).size).toBeGreaterThan(3)
  })

  it("are found again when the guest comes back to its tables", () => {
    const g = boot()
    g.set(PT, 0, entryOf(30, P | W))
    g.access(at(0, 0, 0, 0))
    g.mmu.vcpus[0]!.newRoot(40 * 4096)
    g.access(at(0, 0, 0, 0))
    g.mmu.vcpus[0]!.newRoot(PML4 * 4096)
    expect(g.access(at(0, 0, 0, 0))).toBe(30)
    expect(g.faults).toMatchObject({ fill: 1, guest: 1 })
  })
})

describe("configuration", () => {
  const config = (over: object) => {
    const { memory } = new World()
    const heap = SharedHeap.create()
    return () =>
      createShadowMmu({
        heap,
        memory,
        frames: { count: 16, gfnToHfn: () => -1 },
        allocator: new TestAllocator(heap, memory, 100),
        flushers: [{ flushAll: () => undefined, flushPage: () => undefined }],
        host: { slots: [], entryLo: () => 0, entryHi: () => 0 },
        ...over,
      })
  }
  it("that cannot work is refused with the reason", () => {
    expect(config({ flushers: [] })).toThrow(new BadMmuConfig("0 virtual CPUs: 1 to 255 are possible"))
    expect(config({ limit: 3 })).toThrow(/^a limit of 3 shadow pages: 1 virtual CPUs need 32 to/)
    expect(config({ physicalBits: 60 })).toThrow(/60 bits/)
    expect(config({ frames: { count: 0, gfnToHfn: () => -1 } })).toThrow(/memory of 0 frames/)
    const allocator = new TestAllocator(SharedHeap.create(), new World().memory, 5)
    expect(config({ allocator })).toThrow("the host has no 32 frames for shadow page tables")
    expect(allocator.out.size).toBe(0)
    expect(config({})).not.toThrow()
  })
})
