import { beforeEach, describe, expect, it } from "vitest"
import { EMULATE } from "../../src/mmu4/index.ts"
import { A, at, D, entryOf, Guest, P, PD, PDPT, PML4, PS, PT, U, W } from "./guest.ts"
import { check } from "./invariants.ts"

let g: Guest
beforeEach(() => {
  g = new Guest()
  g.mmu.vcpus[0]!.newRoot(PML4 * 4096)
  g.set(PT, 0, entryOf(30, P | W | U))
  g.set(PT, 1, entryOf(31, P | W | U))
})
const page = at(0, 0, 0, 0)

describe("a store to a last-level table", () => {
  it("faults once, then goes ahead until the next flush", () => {
    g.access(page)
    expect(g.store(PT, 2, entryOf(32, P))).toBe("free")
    expect(g.store(PT, 3, entryOf(33, P))).toBe("free")
    expect(g.faults).toMatchObject({ unsync: 1, emulate: 0 })
    g.mmu.vcpus[0]!.flush(false)
    expect(g.mmu.stats.resyncs).toBe(1)
    expect(g.store(PT, 4, entryOf(34, P))).toBe("free")
    expect(g.faults).toMatchObject({ unsync: 2, emulate: 0 })
    check(g.world)
  })

  it("needs no flush where an entry appears, one where it changes", () => {
    g.access(page)
    g.store(PT, 2, entryOf(32, P))
    expect(g.access(at(0, 0, 0, 2))).toBe(32)
    g.store(PT, 0, entryOf(33, P | A))
    expect([30, 33]).toContain(g.access(page))
    g.mmu.vcpus[0]!.flushAddress(page)
    expect(g.access(page)).toBe(33)
    check(g.world)
  })

  it("reaches both views with one INVLPG, and makes the new entry ready if the guest has set A", () => {
    g.access(page, "r", false)
    g.access(page, "r", true)
    g.store(PT, 0, entryOf(33, P | W | U | A | D))
    const { fill } = g.faults
    g.mmu.vcpus[0]!.flushAddress(page)
    expect(g.access(page, "w", true)).toBe(33)
    expect(g.access(page, "w", false)).toBe(33)
    expect(g.faults.fill).toBe(fill)
    check(g.world)
  })

  it("stays write-protected by emulation while the table serves at two levels", () => {
    g.set(PML4, 3, entryOf(PDPT, P | W))
    g.set(PDPT, 3, entryOf(PT, P | W)) // the page table is a page directory here
    g.set(PT, 5, entryOf(6, P | W))
    g.set(6, 0, entryOf(40, P | W))
    g.access(page)
    expect(g.access(at(0, 0, 0, 5))).toBe(6)
    expect(g.store(PT, 2, entryOf(32, P))).toBe("free")
    // Shadowed at another level: what was unsync is not any more.
    expect(g.access(at(3, 3, 5, 0))).toBe(40)
    expect(g.world.kvm.unsyncCount).toBe(0)
    expect(g.store(PT, 2, entryOf(35, P))).toBe("emulated")
    expect(g.access(at(0, 0, 0, 2))).toBe(35)
    check(g.world)
  })

  it("is seen after a CR3 load, also of the same tables", () => {
    g.access(page)
    g.store(PT, 0, entryOf(33, P))
    g.mmu.vcpus[0]!.newRoot(PML4 * 4096)
    expect(g.access(page)).toBe(33)
    g.store(PT, 0, entryOf(34, P))
    g.mmu.vcpus[0]!.linear()
    g.mmu.vcpus[0]!.newRoot(PML4 * 4096)
    expect(g.access(page)).toBe(34)
  })

  it("that takes a right away is flushed from the other processors' TLBs too", () => {
    g = new Guest({ vcpus: 2 })
    g.set(PT, 0, entryOf(30, P | W))
    for (const vcpu of [0, 1]) {
      g.mmu.vcpus[vcpu]!.newRoot(PML4 * 4096)
      g.access(page, "w", false, vcpu)
    }
    g.store(PT, 0, entryOf(30, P | W | A))
    g.access(page, "w", false, 1)
    g.mmu.vcpus[0]!.flushAddress(page)
    check(g.world)
    g.access(page, "w", false, 1)
    expect(g.get(PT, 0) & D).toBe(D)
  })

  it("is not seen at an address where the table was not, before", () => {
    g.access(page)
    g.store(PT, 0, entryOf(33, P | A))
    g.store(PD, 7, entryOf(PT, P | W | U)) // the same table at another place
    expect(g.access(at(0, 0, 7, 1))).toBe(31)
    expect(g.access(at(0, 0, 7, 0))).toBe(33)
    check(g.world)
  })
})

describe("a store to an upper table", () => {
  it("is emulated and takes effect at once", () => {
    g.access(page)
    expect(g.store(PD, 0, entryOf(5, P | W | A))).toBe("emulated")
    expect(g.access(at(0, 0, 0, 3))).toBe(3)
    expect(g.faults.emulate).toBe(1)
    check(g.world)
  })

  it("can be done by the instruction itself", () => {
    g.access(page)
    const vpn = at(0, 0, 1, PD)
    const hw = g.world.hardware[0]!
    const cpu = g.mmu.vcpus[0]!
    expect(cpu.openWindow(vpn, false)).toBe(false) // nothing there yet
    expect(g.access(vpn, "w")).toMatchObject({ kind: EMULATE, gpa: PD * 4096 })
    expect(cpu.openWindow(vpn, false)).toBe(true)
    hw.root = cpu.rootFor(false)
    expect(hw.access(vpn, true, false)).toBe(g.world.gfnToHfn[PD])
    g.set(PD, 0, 0n)
    cpu.closeWindow()
    check(g.world)
    expect(g.access(page)).toMatchObject({ error: 0 })
    expect(g.access(vpn, "w")).toMatchObject({ kind: EMULATE })
    cpu.closeWindow() // none: nothing happens
  })

  it("again and again with no use between frees the frame", () => {
    g.access(at(0, 0, 0, 0))
    g.set(PDPT, 5, entryOf(6, P | W))
    g.set(6, 0, entryOf(PT, P | W))
    g.access(at(0, 5, 0, 0))
    for (let i = 0; i < 3; i++) expect(g.store(6, 8 + i, 0x1234n)).toBe("emulated")
    expect(g.mmu.stats.floods).toBe(1)
    expect(g.store(6, 12, 0x1234n)).toBe("free")
    check(g.world)
  })

  it("again and again, each used in between, is a page table's life", () => {
    for (let i = 0; i < 8; i++) {
      g.store(PD, 8 + i, entryOf(PT, P | W))
      expect(g.access(at(0, 0, 8 + i, 0))).toBe(30)
    }
    expect(g.mmu.stats.floods).toBe(0)
  })

  it("never frees the PML4 in use", () => {
    g.access(page)
    for (let i = 0; i < 8; i++) expect(g.store(PML4, 16 + i, 0n)).toBe("emulated")
    g.mmu.guestWrite(PML4 * 4096 + 16 * 8 + 2, 2, 0, 0)
    expect(g.mmu.stats.floods).toBe(0)
    check(g.world)
  })

  it("in a way in which nobody writes entries frees the frame at once", () => {
    g.access(page)
    g.mmu.guestWrite(PD * 4096 + 12, 8, 1, 2)
    expect(g.mmu.stats.floods).toBe(1)
    expect(g.world.kvm.tables[PD]).toBe(0)
    g.access(page)
    g.mmu.guestWrite(PD * 4096 + 0, 1, 0x67, 0) // one byte of flags is a kernel's clear_bit
    expect(g.mmu.stats.floods).toBe(1)
    g.mmu.guestWrite(PD * 4096 + 2, 2, 0, 0)
    expect(g.mmu.stats.floods).toBe(2)
    check(g.world)
  })
})

describe("a large page's entry", () => {
  it("that comes to map a block with tables in it is split from then on", () => {
    g.set(PD, 2, entryOf(512, P | W | PS | A | D))
    expect(g.access(at(0, 0, 2, 7), "w")).toBe(519)
    g.store(PD, 2, entryOf(0, P | W | PS | A | D))
    check(g.world)
    expect(g.access(at(0, 0, 2, 7), "w")).toBe(7)
    expect(g.access(at(0, 0, 2, PD), "w")).toMatchObject({ kind: EMULATE })
    check(g.world)
  })
})

describe("guestWrite", () => {
  it("stores each size, refuses what is no memory or crosses a page", () => {
    const word = 50 * 4096
    expect(g.mmu.guestWrite(word, 8, 0x11223344, 0x55667788)).toBe(true)
    expect(g.mmu.guestWrite(word + 1, 1, 0xaa, 0)).toBe(true)
    expect(g.mmu.guestWrite(word + 4, 2, 0xbbcc, 0)).toBe(true)
    expect(g.world.read64(word)).toBe(0x5566bbcc1122aa44n)
    expect(g.mmu.guestWrite(word, 4, 0xffffffff, 0)).toBe(true)
    expect(g.world.read64(word)).toBe(0x5566bbccffffffffn)
    expect(g.mmu.guestWrite(word + 4092, 8, 0, 0)).toBe(false)
    expect(g.mmu.guestWrite(0xf0000000, 4, 0, 0)).toBe(false)
    expect(g.mmu.guestWrite(-8, 8, 0, 0)).toBe(false)
  })
})

describe("an announcement", () => {
  it("of a changed entry takes effect, and saves the fault if A is set", () => {
    g.access(page)
    g.set(PT, 2, entryOf(32, P | W | A))
    g.mmu.entryChanged(PT * 4096 + 16)
    const { fill } = g.faults
    expect(g.access(at(0, 0, 0, 2))).toBe(32)
    expect(g.faults.fill).toBe(fill)
    g.set(PT, 0, 0n)
    g.mmu.entryChanged(PT * 4096)
    expect(g.access(page)).toMatchObject({ error: 0 })
    g.mmu.entryChanged(2 ** 45)
    g.mmu.entryChanged(-8)
    check(g.world)
  })

  it("of memory written by a device takes effect in all tables of the range", () => {
    g.access(page)
    g.access(at(0, 0, 0, 1))
    g.access(at(0, 0, 1, 0))
    g.set(PT, 0, entryOf(33, P))
    g.set(PT, 1, entryOf(34, P))
    g.set(5, 0, 0n)
    g.mmu.memoryWritten(PT * 4096, 8192)
    expect(g.access(page)).toBe(33)
    expect(g.access(at(0, 0, 0, 1))).toBe(34)
    expect(g.access(at(0, 0, 1, 0))).toMatchObject({ error: 0 })
    g.mmu.memoryWritten(-100, 2 ** 50)
    check(g.world)
  })

  it("finds the entry's address by walking", () => {
    expect(g.mmu.entryAddress(PML4 * 4096, at(0, 0, 0, 9))).toBe(PT * 4096 + 72)
    expect(g.mmu.entryAddress(PML4 * 4096, at(0, 0, 9, 9))).toBe(-1)
    expect(g.mmu.entryAddress(PML4 * 4096, at(510, 0, 0, 0))).toBe(-1)
    g.set(PD, 2, entryOf(512, P | PS))
    expect(g.mmu.entryAddress(PML4 * 4096, at(0, 0, 2, 9))).toBe(PD * 4096 + 16)
    expect(g.mmu.entryAddress(2 ** 45, 0)).toBe(-1)
  })
})

describe("kernel and user views", () => {
  it("of one table have two shadows, and INVLPG and protection reach both", () => {
    g.set(PT, 2, entryOf(34, P | W))
    expect(g.access(at(0, 0, 0, 2), "w", true)).toMatchObject({ error: 7 })
    expect(g.access(at(0, 0, 0, 2), "w", false)).toBe(34)
    g.access(page, "w", true)
    g.access(page, "w", false)
    expect(g.world.kvm.tables[PT]).toBe(2)
    const shadows = [false, true].map((user) => g.mmu.describe(0, page, user).shadow.at(-1)!)
    expect(shadows.map((e) => e.note)).toEqual(["gfn 0x1e W X", "gfn 0x1e W X"])
    expect(shadows[0]!.address).not.toBe(shadows[1]!.address)
    expect(g.mmu.describe(0, at(0, 0, 0, 2), true).shadow.at(-1)!.note).toBe("empty")
    expect(g.mmu.describe(0, at(510, 0, 0, 0), true).shadow.at(-1)!.note).toBe("the host's")
    expect(g.mmu.describe(0, page, false).guest.map((e) => e.note)).toEqual([
      "table of gfn 0x2",
      "table of gfn 0x3",
      "table of gfn 0x4",
      "gfn 0x1e",
    ])
  })
})
