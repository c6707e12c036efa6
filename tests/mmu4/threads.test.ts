import { Worker } from "node:worker_threads"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { minimumShadowPages } from "../../src/mmu4/index.ts"
import { at, D, entryOf, Guest, P, PD, PDPT, PML4, PT, U, W } from "./guest.ts"
import { check } from "./invariants.ts"
import type { ProcessorJob, ProcessorReport } from "./processor-worker.ts"
import { steps, tables, vpns } from "./random.ts"
import { Shootdown } from "./shootdown.ts"
import { Simulation } from "./simulation.ts"

/*
 * The MMU of a guest whose virtual CPUs run in different threads: all that it remembers is in the heap, calls exclude each
 * other, and what the processors do meanwhile comes to nothing.
 */

describe.each(["kvm", "throw-away", "on-demand"] as const)("a second MMU over the same heap, %s,", (method) => {
  it("goes on where the first stopped", () =>
    fc.assert(
      fc.property(vpns, tables, steps(60), fc.integer({ min: 1, max: 20 }), (addresses, contents, list, every) => {
        const options = { method, vcpus: 2, limit: minimumShadowPages(2) }
        const alone = new Simulation(options, addresses, contents)
        alone.run(list)
        const { words } = alone.world.memory
        const memory = words.slice()
        const stats = JSON.stringify(alone.world.mmu.stats)
        const several = new Simulation(options, addresses, contents)
        for (let i = 0; i < list.length; i += every) {
          several.run(list.slice(i, i + every))
          several.attach()
        }
        expect(JSON.stringify(several.world.mmu.stats)).toBe(stats)
        expect(words.every((word, i) => word === memory[i])).toBe(true)
        several.world.mmu.destroy()
        expect(several.world.allocator.out.size).toBe(0)
      }),
      { numRuns: 25 },
    ))
})

describe("what another processor does while the MMU works", () => {
  const page = at(0, 0, 0, 0)
  const two = () => {
    const g = new Guest({ vcpus: 2 })
    g.set(PT, 0, entryOf(30, P | W | U))
    for (const cpu of g.mmu.vcpus) cpu.newRoot(PML4 * 4096)
    return g
  }
  /** What the second processor does as its last act before it answers to a flush; once. */
  const lastAct = (g: Guest, act: () => void) => {
    const hw = g.world.hardware[1]!
    hw.flushAll = () => {
      delete (hw as Partial<typeof hw>).flushAll
      act()
      hw.flushAll()
    }
  }

  it("a store to a table between the walk and its protection is not missed", () => {
    for (const [table, changed] of [
      [PT, entryOf(31, P | W)],
      [PD, entryOf(6, P | W)],
    ] as const) {
      const g = two()
      g.set(6, 0, entryOf(31, P | W))
      // The table is data to this processor still, and its TLB lets it write there.
      const vpn = at(1, 0, 0, 0)
      g.set(PML4, 1, entryOf(7, P | W))
      g.set(7, 0, entryOf(8, P | W))
      g.set(8, 0, entryOf(9, P | W))
      g.set(9, 0, entryOf(table, P | W))
      expect(g.access(vpn, "w", false, 1)).toBe(table)
      lastAct(g, () => g.set(table, 0, changed))
      expect(g.mmu.vcpus[0]!.pageFault(page, 0, 4, false).kind).toBe(0)
      check(g.world)
      expect(g.access(page, "r")).toBe(31)
      expect(g.faults.spurious).toBe(1)
    }
  })

  it("an entry that loses its dirty flag there loses the right to write", () => {
    const g = two()
    g.set(PML4, 1, entryOf(7, P | W))
    g.set(7, 0, entryOf(8, P | W))
    g.set(8, 0, entryOf(9, P | W))
    g.set(9, 0, entryOf(PT, P | W))
    g.access(at(1, 0, 0, 0), "w", false, 1)
    lastAct(g, () => g.set(PT, 0, g.get(PT, 0) & ~D))
    g.mmu.vcpus[0]!.pageFault(page, 0, 6, false)
    check(g.world)
    expect(g.access(page, "w")).toBe(30)
    expect(g.get(PT, 0) & D).toBe(D)
  })

  it("a walk through a page that is being freed ends before its frame is", () => {
    const g = two()
    g.access(page)
    const out = [...g.world.allocator.out]
    let asked = 0
    lastAct(g, () => {
      asked++
      expect([...g.world.allocator.out]).toEqual(out)
    })
    expect(g.mmu.reclaim(2)).toBe(2)
    expect(asked).toBe(1)
    expect(g.world.allocator.out.size).toBe(out.length - 2)
    check(g.world)
  })

  it("a store through an open window can be flushed by who sees it first", () => {
    const g = two()
    g.access(page, "r", false, 0)
    g.access(page, "r", false, 1)
    const vpn = at(0, 0, 1, PD)
    g.access(vpn, "w", false, 0)
    expect(g.mmu.vcpus[0]!.openWindow(vpn, false)).toBe(true)
    g.set(PD, 0, entryOf(5, P | W))
    g.mmu.vcpus[1]!.flushAddress(page)
    expect(g.access(page, "r", false, 1)).toBe(0)
    g.mmu.vcpus[0]!.closeWindow()
    check(g.world)
  })

  it("windows of two virtual CPUs to one table: what the one undoes of the other's is seen", () => {
    const g = two()
    for (const vcpu of [0, 1]) g.access(page, "r", false, vcpu)
    const vpn = at(0, 0, 1, PD)
    const before = g.get(PD, 0)
    for (const vcpu of [0, 1]) {
      g.access(vpn, "w", false, vcpu)
      expect(g.mmu.vcpus[vcpu]!.openWindow(vpn, false)).toBe(true)
    }
    g.set(PD, 0, entryOf(5, P | W))
    g.mmu.vcpus[1]!.flush(false)
    expect(g.access(page, "r", false, 1)).toBe(0)
    g.set(PD, 0, before)
    for (const vcpu of [1, 0]) g.mmu.vcpus[vcpu]!.closeWindow()
    check(g.world)
    expect(g.access(page, "r", false, 1)).toBe(30)
  })
})

describe("a store across two tables", () => {
  it("has both open, and both are closed", () => {
    const g = new Guest()
    const cpu = g.mmu.vcpus[0]!
    const hw = g.world.hardware[0]!
    cpu.newRoot(PML4 * 4096)
    g.set(PT, 0, entryOf(30, P | W))
    g.access(at(0, 0, 0, 0))
    const open = [PDPT, PD].map((table) => at(0, 0, 1, table))
    for (const vpn of open) expect(g.access(vpn, "w")).toMatchObject({ kind: 3 })
    for (const vpn of open) expect(cpu.openWindow(vpn, false)).toBe(true)
    // One that is open can be opened again, a third cannot.
    expect(cpu.openWindow(open[0]!, false)).toBe(true)
    expect(g.access(at(0, 0, 1, PML4), "w")).toMatchObject({ kind: 3 })
    expect(cpu.openWindow(at(0, 0, 1, PML4), false)).toBe(false)
    hw.root = cpu.rootFor(false)
    expect(open.map((vpn) => hw.access(vpn, true, false))).toEqual([PDPT, PD].map((table) => g.world.gfnToHfn[table]))
    g.set(PDPT, 511, entryOf(PD, P | W))
    g.set(PD, 0, 0n)
    cpu.closeWindow()
    check(g.world)
    expect(g.access(at(0, 0, 0, 0))).toMatchObject({ error: 0 })
    for (const vpn of open) expect(hw.access(vpn, true, false)).toBeLessThan(0)
  })
})

describe.each([
  { method: "kvm", views: 2, supervisor: false, rounds: 40 },
  { method: "kvm", views: 1, supervisor: true, rounds: 15 },
  { method: "throw-away", views: 2, supervisor: false, rounds: 25 },
  { method: "on-demand", views: 1, supervisor: true, rounds: 15 },
] as const)("three virtual CPUs in three threads: $method, $views views,", ({ rounds, ...kind }) => {
  const VCPUS = 3
  const OPERATIONS = 250
  const addresses = [0, 1, 511].flatMap((a) =>
    [0, 1, 511].flatMap((b) => [at(0, a, b, 0), at(1, b, a, 1), at(0, 0, a, b)]),
  )
  const program = new URL("./processor-worker.ts", import.meta.url).href
  // Workers know no TypeScript by themselves.
  const start = `import("tsx/esm/api").then(({ register }) => (register(), import(${JSON.stringify(program)})))`

  const answer = (worker: Worker) =>
    new Promise<ProcessorReport>((done, failed) => {
      worker.removeAllListeners()
      worker.once("message", done)
      worker.once("error", failed)
    })

  it("keep all invariants, and never reach what is not the guest's", { timeout: 60_000 }, async () => {
    const options = { ...kind, vcpus: VCPUS, limit: minimumShadowPages(VCPUS) }
    const simulation = new Simulation(options, addresses, [])
    const { world } = simulation
    const { mmu } = world
    const shootdown = Shootdown.buffer(VCPUS)
    const workers = Array.from({ length: VCPUS }, (_, vcpu) => {
      const workerData: ProcessorJob = {
        options,
        share: world.share,
        shootdown,
        vcpu,
        vpns: simulation.vpns,
        operations: OPERATIONS,
      }
      return new Worker(start, { eval: true, workerData })
    })
    const total: ProcessorReport = { accesses: 0, stores: 0, windows: 0 }
    try {
      for (const cpu of mmu.vcpus) cpu.newRoot(0)
      for (let round = 1; round <= rounds; round++) {
        // A page-table tree to begin with, which they then take apart.
        for (let i = 0; i < 9; i++)
          for (const index of [0, 1, 511]) world.poke(i * 4096 + index * 8, entryOf(Math.min(i + 2, 9), P | W | U))
        mmu.memoryWritten(0, 10 * 4096)
        const reports = workers.map(answer)
        workers.forEach((worker, i) => worker.postMessage(round * 1000 + i))
        for (const report of await Promise.all(reports)) {
          total.accesses += report.accesses
          total.stores += report.stores
          total.windows += report.windows
        }
        check(world)
        mmu.vcpus[0]!.flush(true)
        if (kind.method === "kvm") expect(world.kvm.unsyncCount).toBe(0)
        check(world)
      }
    } finally {
      await Promise.all(workers.map((worker) => worker.terminate()))
    }
    // They have done something, by every way that there is.
    const { shadowFaults, reclaimed, floods, refreshed, newRoots, flushAddresses } = mmu.stats
    const { fill, dirty, unsync, emulate, guest, mmio } = shadowFaults
    const watched = [total.windows, floods, unsync, emulate]
    const everybody = [refreshed, total.accesses, total.stores, fill, dirty, guest, mmio, newRoots, flushAddresses]
    expect(everybody).not.toContain(0)
    // What is thrown away at each CR3 load hardly ever meets its limit.
    if (kind.method !== "on-demand") expect(reclaimed[1]).toBeGreaterThan(0)
    if (kind.method === "kvm") expect(watched).not.toContain(0)
    else expect(new Set(watched)).toEqual(new Set([0]))
    mmu.destroy()
    expect(world.allocator.out.size).toBe(0)
  })
})
