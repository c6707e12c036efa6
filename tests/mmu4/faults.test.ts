import { beforeEach, describe, expect, it } from "vitest"
import { EMULATE, FIXED, GUEST_FAULT, KILL, MMIO } from "../../src/mmu4/index.ts"
import { A, at, D, entryOf, Guest, NX, P, PD, PDPT, PML4, PS, PT, U, W } from "./guest.ts"
import { check } from "./invariants.ts"
import { HOLE } from "./world.ts"

let g: Guest
beforeEach(() => {
  g = new Guest()
  expect(g.mmu.vcpus[0]!.newRoot(PML4 * 4096).kind).toBe(FIXED)
})

const fault = (error: number) => ({ kind: GUEST_FAULT, error, gpa: 0 })

describe("a guest's page fault", () => {
  it("has the error code of the guest's own mode, not of ring 3", () => {
    expect(g.access(at(0, 0, 0, 7), "r")).toEqual(fault(0))
    expect(g.access(at(0, 0, 0, 7), "w")).toEqual(fault(2))
    expect(g.access(at(0, 0, 0, 7), "x")).toEqual(fault(16))
    expect(g.access(at(0, 0, 0, 7), "w", true)).toEqual(fault(6))
  })

  it("comes for a user at a supervisor page, for writes to read-only pages (WP = 1) and for NX", () => {
    g.set(PT, 0, entryOf(30, P | W))
    g.set(PT, 1, entryOf(30, P | U))
    g.set(PT, 2, entryOf(30, P | U | NX))
    expect(g.access(at(0, 0, 0, 0), "r", true)).toEqual(fault(5))
    expect(g.access(at(0, 0, 0, 0), "w", false)).toBe(30)
    expect(g.access(at(0, 0, 0, 1), "w", false)).toEqual(fault(3))
    expect(g.access(at(0, 0, 0, 1), "w", true)).toEqual(fault(7))
    expect(g.access(at(0, 0, 0, 2), "x", false)).toEqual(fault(17))
    expect(g.access(at(0, 0, 0, 2), "r", true)).toBe(30)
    check(g.world)
  })

  it("says RSVD for address bits beyond the guest's width, misaligned large pages and PS in a PML4 entry", () => {
    g.set(PT, 0, entryOf(0, P) | (1n << 40n))
    expect(g.access(at(0, 0, 0, 0))).toEqual(fault(9))
    g.set(PD, 2, entryOf(0x201, P | PS | W) | 0x2000n)
    expect(g.access(at(0, 0, 2, 0))).toEqual(fault(9))
    g.set(PDPT, 2, entryOf(512, P | PS))
    expect(g.access(at(0, 2, 0, 0))).toEqual(fault(9))
    g.set(PML4, 2, entryOf(PDPT, P | PS))
    expect(g.access(at(2, 0, 0, 0), "w", true)).toEqual(fault(15))
  })

  it("is counted, and leaves accessed and dirty flags alone", () => {
    g.set(PT, 0, entryOf(30, P))
    g.access(at(0, 0, 0, 0), "w")
    expect(g.get(PT, 0) & (A | D)).toBe(0n)
    expect(g.get(PML4, 0) & A).toBe(0n)
    expect(g.faults).toMatchObject({ guest: 1, fill: 0 })
  })

  it("is not-present in the host's slot, whatever the guest has there", () => {
    g.set(PML4, 510, entryOf(PDPT, P | W | U))
    expect(g.access(at(510, 0, 0, 0), "r")).toEqual(fault(0))
    expect(g.access(at(510, 0, 0, 0), "w", true)).toEqual(fault(6))
    check(g.world)
  })
})

describe("beyond the guest's memory", () => {
  it("a page is a device's: mmio with its address, and flags set as for memory", () => {
    g.set(PT, 0, entryOf(0xf0000, P | W))
    expect(g.access(at(0, 0, 0, 0), "w")).toEqual({ kind: MMIO, error: 0, gpa: 0xf0000000 })
    expect(g.get(PT, 0) & (A | D)).toBe(A | D)
    g.set(PT, 1, entryOf(HOLE, P | W))
    expect(g.access(at(0, 0, 0, 1), "r")).toMatchObject({ kind: MMIO, gpa: HOLE * 4096 })
  })

  it("a page table kills the guest, by name", () => {
    g.set(PD, 2, entryOf(0x7fffff, P | W))
    const r = g.mmu.vcpus[0]!.pageFault(at(0, 0, 2, 0), 0, 4, false)
    expect(r.kind).toBe(KILL)
    expect(r.reason).toBe("page table frame 0x7fffff is out of its memory (0x500 frames)")
    expect(g.mmu.vcpus[0]!.newRoot(HOLE * 4096).kind).toBe(KILL)
    expect(g.mmu.vcpus[0]!.newRoot(2 ** 45).kind).toBe(KILL)
    expect(g.mmu.vcpus[0]!.newRoot(-4096).kind).toBe(KILL)
    expect(g.mmu.vcpus[0]!.pgd).toBe(PML4 * 4096)
  })
})

describe("accessed and dirty flags", () => {
  it("A comes with the first access on all levels, D with the first store", () => {
    g.set(PT, 0, entryOf(30, P | W))
    g.access(at(0, 0, 0, 0), "r")
    for (const table of [PML4, PDPT, PD, PT]) expect(g.get(table, 0) & (A | D)).toBe(A)
    g.access(at(0, 0, 0, 0), "w")
    expect(g.get(PT, 0) & (A | D)).toBe(A | D)
    expect(g.faults).toMatchObject({ fill: 1, dirty: 1 })
    g.access(at(0, 0, 0, 0), "w")
    expect(g.faults).toMatchObject({ fill: 1, dirty: 1, spurious: 0 })
  })

  it("come again after the guest has cleared them and flushed", () => {
    g.set(PT, 0, entryOf(30, P | W))
    g.access(at(0, 0, 0, 0), "w")
    g.store(PT, 0, entryOf(30, P | W | A))
    g.mmu.vcpus[0]!.flushAddress(at(0, 0, 0, 0))
    g.access(at(0, 0, 0, 0), "r")
    expect(g.get(PT, 0) & (A | D)).toBe(A)
    g.access(at(0, 0, 0, 0), "w")
    expect(g.get(PT, 0) & (A | D)).toBe(A | D)
    g.store(PT, 0, entryOf(30, P | W))
    g.mmu.vcpus[0]!.flush(false)
    g.access(at(0, 0, 0, 0), "r")
    expect(g.get(PT, 0) & (A | D)).toBe(A)
    check(g.world)
  })

  it("of an upper entry too", () => {
    g.set(PT, 0, entryOf(30, P | W))
    g.access(at(0, 0, 0, 0), "r")
    expect(g.store(PD, 0, entryOf(PT, P | W | U))).toBe("emulated")
    g.mmu.vcpus[0]!.flushAddress(at(0, 0, 0, 0))
    g.access(at(0, 0, 0, 0), "r")
    expect(g.get(PD, 0) & A).toBe(A)
  })

  it("of an entry that is its own table at all four levels", () => {
    g.set(PML4, 1, entryOf(PML4, P | W))
    expect(g.access(at(1, 1, 1, 1), "r")).toBe(PML4)
    expect(g.get(PML4, 1) & (A | D)).toBe(A)
    expect(g.access(at(1, 1, 1, 1), "w")).toMatchObject({ kind: EMULATE, gpa: PML4 * 4096 })
    check(g.world)
  })
})

describe("translate", () => {
  it("answers as a walk would, and fills nothing", () => {
    g.set(PT, 0, entryOf(30, P | W))
    const cpu = g.mmu.vcpus[0]!
    expect(cpu.translate(at(0, 0, 0, 0), 0x123, 2, false)).toMatchObject({ kind: FIXED, gpa: 30 * 4096 + 0x123 })
    expect(g.get(PT, 0) & (A | D)).toBe(A | D)
    expect(cpu.translate(at(0, 0, 0, 0), 0, 0, true)).toMatchObject({ kind: GUEST_FAULT, error: 5 })
    g.set(PT, 1, entryOf(0xf0000, P))
    expect(cpu.translate(at(0, 0, 0, 1), 8, 0, false)).toMatchObject({ kind: MMIO, gpa: 0xf0000008 })
    expect(g.mmu.stats.alive.every((n) => n === 0)).toBe(true)
  })

  it("answers by the shadow, as long as a TLB might", () => {
    g.set(PT, 0, entryOf(30, P | W))
    const cpu = g.mmu.vcpus[0]!
    g.access(at(0, 0, 0, 0), "w")
    expect(g.store(PT, 0, entryOf(31, P | W))).toBe("free") // the table is unsync: its shadow lags behind
    expect(cpu.translate(at(0, 0, 0, 0), 0, 2, false)).toMatchObject({ kind: FIXED, gpa: 30 * 4096 })
    cpu.flushAddress(at(0, 0, 0, 0))
    expect(cpu.translate(at(0, 0, 0, 0), 0, 2, false)).toMatchObject({ kind: FIXED, gpa: 31 * 4096 })
  })

  it("asks the guest's tables for what the shadow does not allow", () => {
    const cpu = g.mmu.vcpus[0]!
    g.set(PT, 0, entryOf(30, P | W | NX))
    g.access(at(0, 0, 0, 0), "r")
    expect(g.get(PT, 0) & D).toBe(0n)
    expect(cpu.translate(at(0, 0, 0, 0), 0, 2, false).kind).toBe(FIXED)
    expect(g.get(PT, 0) & D).toBe(D)
    expect(cpu.translate(at(0, 0, 0, 0), 0, 16, false)).toMatchObject({ kind: GUEST_FAULT, error: 17 })
    expect(cpu.translate(at(0, 0, 0, 0), 0, 0, true)).toMatchObject({ kind: GUEST_FAULT, error: 5 })
    g.set(PD, 2, entryOf(512, P | W | PS))
    g.access(at(0, 0, 2, 0), "w")
    expect(cpu.translate(at(0, 0, 2, 5), 8, 2, false)).toMatchObject({ kind: FIXED, gpa: 517 * 4096 + 8 })
  })
})

describe("an entry that another processor changes under the walk", () => {
  it("is read again", () => {
    g.set(PT, 0, entryOf(30, P | W))
    g.world.memory.beforeExchange = (pa) => {
      if (pa === g.world.hpa(PT * 4096)) g.set(PT, 0, entryOf(31, P | W | A))
    }
    expect(g.access(at(0, 0, 0, 0), "r")).toBe(31)
    g.world.memory.beforeExchange = () => undefined
    check(g.world)
  })

  it("without end makes the instruction run again, and ends what the host does in the guest's name", () => {
    g.set(PT, 0, entryOf(30, P | W))
    let frame = 30
    g.world.memory.beforeExchange = (pa) => {
      if (pa === g.world.hpa(PT * 4096)) g.set(PT, 0, entryOf(30 + (frame++ % 2), P | W))
    }
    g.set(PT, 0, entryOf(31, P | W))
    const cpu = g.mmu.vcpus[0]!
    expect(cpu.pageFault(at(0, 0, 0, 0), 0, 4, false).kind).toBe(FIXED)
    expect(g.faults).toMatchObject({ spurious: 1, fill: 0 })
    expect(cpu.translate(at(0, 0, 0, 0), 0, 0, false)).toMatchObject({
      kind: KILL,
      reason: "page tables keep changing under a walk",
    })
    g.world.memory.beforeExchange = () => undefined
    check(g.world)
  })
})

describe("the linear view", () => {
  it("maps the kernel's address to itself, and nothing for a user", () => {
    g = new Guest()
    const cpu = g.mmu.vcpus[0]!
    expect([cpu.isLinear, cpu.pgd]).toEqual([true, 0])
    expect(g.access(30, "w")).toBe(30)
    expect(g.access(31, "x")).toBe(31)
    expect(g.faults).toMatchObject({ fill: 1 }) // one 2 MiB page
    expect(g.access(1030, "r")).toBe(1030)
    expect(g.access(HOLE, "r")).toMatchObject({ kind: MMIO, gpa: HOLE * 4096 })
    expect(g.access(0xf0000, "r")).toMatchObject({ kind: MMIO, gpa: 0xf0000000 })
    expect(g.access(2 ** 20, "r")).toEqual(fault(0))
    expect(g.access(2 ** 35, "w")).toEqual(fault(2))
    expect(g.access(30, "r", true)).toEqual(fault(5))
    check(g.world)
  })

  it("ends with the first CR3 load", () => {
    g = new Guest()
    g.access(30, "w")
    g.mmu.vcpus[0]!.newRoot(PML4 * 4096)
    expect(g.mmu.vcpus[0]!.isLinear).toBe(false)
    expect(g.access(2000, "w")).toEqual(fault(2))
    g.mmu.vcpus[0]!.linear()
    expect(g.access(30, "w")).toBe(30)
  })
})
