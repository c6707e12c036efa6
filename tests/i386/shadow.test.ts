import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { FIXED, GUEST_FAULT, KILL, MMIO, pae, ROOTS, type TableFormat, twoLevel } from "../../src/i386/shadow/index.ts"
import {
  type Access,
  architecturalWalk,
  GUEST_BASE,
  GUEST_FRAMES,
  type MmuName,
  MMUS,
  WINDOW,
  World,
} from "./shadowWorld.ts"

/*
 * The guest of these tests has four directories (pages 1..4, or with PAE top tables there and middle tables in pages
 * 8..23), page tables in pages 32..47, and data in pages 48..63. Its addresses are few, so that they meet.
 */
const page = (gfn: number) => gfn * 4096
const PGDS = [1, 2, 3, 4, 5, 6].map(page)
const KERNEL = 0xc000_0000
const TABLES = 4
const FIRST_TABLE = 32
const FIRST_DATA = 48
const FLAGS = 0x67

/** Directory slots (of the last directory level) in use: two of users', two of the kernel's. */
const spanOf = (format: TableFormat) => 2 ** format.directoryShift
const slots = (format: TableFormat) => [0, 5 * spanOf(format), KERNEL, KERNEL + 3 * spanOf(format)]

/** Page tables: the kernel's are the same in all directories, users' slots have some of their own to choose from. */
const tableOf = (slot: number, choice: number, kernel: boolean): number =>
  page(FIRST_TABLE + (kernel ? 12 + 2 * (slot & 1) + (choice & 1) : (choice % TABLES) + 4 * (slot & 1)))

class Guest extends World {
  pgd = 0
  constructor(format: TableFormat, limit = 64, mmu: MmuName = "throw-away") {
    super(format, limit, 200, mmu)
    if (format === pae)
      for (const [n, pgd] of PGDS.entries()) for (let i = 0; i < 4; i++) this.setEntry(pgd, i, this.middle(n, i) | 1)
    this.shadow.setKernelAddress(KERNEL)
  }

  /** Kernel middle tables are shared by all directories, as kernels do it. */
  private middle(n: number, top: number): number {
    return page(top === 3 ? 31 : 7 + 4 * n + top)
  }

  /** Table and index of the directory entry of slot `slot` in directory `n`. */
  directoryEntry(n: number, slot: number): { table: number; index: number } {
    const gva = slots(this.format)[slot]!
    if (this.format === pae) return { table: this.middle(n, gva >>> 30), index: (gva >>> 21) & 511 }
    return { table: PGDS[n]!, index: gva >>> 22 }
  }

  /** Directories and tables all full, so that random steps hit something. */
  populate(): void {
    for (const n of PGDS.keys())
      for (const slot of [0, 1, 2, 3]) {
        const { table, index } = this.directoryEntry(n, slot)
        const kernel = slots(this.format)[slot]! >= KERNEL
        this.setEntry(table, index, tableOf(slot, kernel ? 0 : n, kernel) | 7)
      }
    for (let t = FIRST_TABLE; t < FIRST_DATA; t++)
      for (let i = 0; i < 512; i++) this.setEntry(page(t), i, page(FIRST_DATA + ((t * 5 + i) & 15)) | 7)
  }

  load(n: number): number {
    this.pgd = PGDS[n]!
    return this.shadow.newRoot(this.pgd)
  }

  announceDirectory(n: number, slot: number): void {
    const { table, index } = this.directoryEntry(n, slot)
    const outcome = this.format === pae ? this.shadow.setPmd(table, index) : this.shadow.setPgd(PGDS[n]!, index)
    if (outcome !== FIXED) throw new Error(this.shadow.reason)
  }
}

const slotArbitrary = fc.nat({ max: 3 })
const flagsArbitrary = fc.record({
  // Mostly present and permissive: what is absent is soon tested.
  present: fc.nat({ max: 7 }).map((n) => n > 0),
  write: fc.nat({ max: 3 }).map((n) => n > 0),
  user: fc.nat({ max: 3 }).map((n) => n > 0),
  accessed: fc.boolean(),
  dirty: fc.boolean(),
})
const word = (f: { present: boolean; write: boolean; user: boolean; accessed: boolean; dirty: boolean }): number =>
  (f.present ? 1 : 0) | (f.write ? 2 : 0) | (f.user ? 4 : 0) | (f.accessed ? 0x20 : 0) | (f.dirty ? 0x40 : 0)

type Step =
  | { kind: "access"; slot: number; page: number; write: boolean; user: boolean }
  | { kind: "pte"; slot: number; page: number; gfn: number; flags: number; announce: "setPte" | "flush" }
  | { kind: "directory"; n: number; slot: number; table: number; flags: number; large: boolean }
  | { kind: "load"; n: number }
  | { kind: "flush"; all: boolean }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("access" as const),
      slot: slotArbitrary,
      page: fc.nat({ max: 1 }),
      write: fc.boolean(),
      user: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("pte" as const),
      slot: slotArbitrary,
      page: fc.nat({ max: 1 }),
      gfn: fc.integer({ min: FIRST_DATA, max: GUEST_FRAMES - 1 }),
      flags: flagsArbitrary.map(word),
      announce: fc.constantFrom("setPte" as const, "flush" as const),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("directory" as const),
      // -1: the one in use.
      n: fc.integer({ min: -4, max: PGDS.length - 1 }).map((n) => Math.max(n, -1)),
      slot: slotArbitrary,
      table: fc.nat({ max: TABLES - 1 }),
      flags: flagsArbitrary.map(word),
      large: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("load" as const),
      // Two of them most of the time, so that what one remembers of the other shows; all six now and then.
      n: fc.oneof(fc.nat({ max: 1 }), fc.nat({ max: PGDS.length - 1 })),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("flush" as const), all: fc.boolean() }) },
)

const entrySize = (format: TableFormat) => (format === pae ? 8 : 4)

/** Carries one step out, on the guest's tables and by the hypercalls that go with it; compares at accesses. */
const perform = (guest: Guest, s: Step): void => {
  const bases = slots(guest.format)
  switch (s.kind) {
    case "load":
      expect(guest.load(s.n)).toBe(FIXED)
      return
    case "flush":
      guest.shadow.flush(s.all)
      return
    case "directory": {
      // Kernel entries are the same in all directories, so all of them change; each user slot has tables of its own.
      const kernel = bases[s.slot]! >= KERNEL
      const table = tableOf(s.slot, s.table, kernel)
      const value = s.large ? s.flags | 0x80 : table | s.flags
      const own = s.n < 0 ? PGDS.indexOf(guest.pgd) : s.n
      for (const n of kernel ? PGDS.keys() : [own]) {
        const at = guest.directoryEntry(n, s.slot)
        guest.setEntry(at.table, at.index, value)
        guest.announceDirectory(n, s.slot)
      }
      return
    }
    case "pte": {
      // Through the tables in use, as a kernel does it; a table that several directories share is flushed everywhere.
      const gva = bases[s.slot]!
      const n = PGDS.indexOf(guest.pgd)
      const { table, index } = guest.directoryEntry(n, s.slot)
      const entry = guest.guestRead(table + index * entrySize(guest.format))!
      if ((entry & 0x81) !== 1) return
      const at = (entry & ~0xfff) >>> 0
      const pte = ((s.gfn << 12) | s.flags) >>> 0
      guest.setEntry(at, ((gva >>> 12) & 0x1ff) + s.page, pte)
      const shared = gva < KERNEL
      if (s.announce === "flush" || shared) guest.shadow.flush(true)
      if (s.announce === "setPte") expect(guest.shadow.setPte(guest.pgd, gva + page(s.page))).toBe(FIXED)
      return
    }
    case "access": {
      const access: Access = { gva: bases[s.slot]! + page(s.page) + 0x123, write: s.write, user: s.user }
      const expected = guest.expected(guest.pgd, access)
      const actual = guest.actual(access)
      if ("frame" in expected && expected.frame >= GUEST_FRAMES) expect(actual).toEqual({ bad: true, outcome: KILL })
      else if ("bad" in expected) expect(actual).toMatchObject({ bad: true })
      else expect(actual).toEqual(expected)
      // Accessed and dirty flags are where the processor would have left them.
      if ("frame" in expected && expected.frame < GUEST_FRAMES) {
        const changes: Array<[was: number, value: number]> = []
        architecturalWalk(
          guest.format,
          guest.pgd,
          access,
          (gpa) => guest.guestRead(gpa),
          (gpa, value) => changes.push([guest.guestRead(gpa)!, value]),
        )
        // A kernel mapping that was found through one directory serves the others too, whose own entry in the directory stays as it was.
        for (const [was, value] of access.gva >= KERNEL ? changes.slice(1) : changes) expect(was).toBe(value)
      }
      return
    }
  }
}

const both = (Object.keys(MMUS) as Array<MmuName>).flatMap((mmu) =>
  [twoLevel, pae].map((format) => ({ mmu, format, name: format.name })),
)

describe.each(both)("$mmu shadow of $name tables", ({ mmu, format }) => {
  it("sees what the architecture promises, whatever the guest announces", () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 200 }), (steps) => {
        const guest = new Guest(format, 64, mmu)
        guest.populate()
        expect(guest.load(0)).toBe(FIXED)
        for (const s of steps) perform(guest, s)
      }),
      { numRuns: 150 },
    )
  })

  it("reaches no frame but the guest's, and takes no more memory than it was given", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat({ max: GUEST_FRAMES * 1024 - 1 }), fc.integer({ min: 0, max: 0xffffffff })), {
          minLength: 50,
          maxLength: 300,
        }),
        fc.array(fc.record({ gva: fc.integer({ min: 0, max: 0xffffffff }), write: fc.boolean(), user: fc.boolean() }), {
          minLength: 20,
          maxLength: 80,
        }),
        fc.array(fc.integer({ min: 0, max: 0xffffffff }), { minLength: 1, maxLength: 12 }),
        (words, accesses, pgds) => {
          const limit = 16
          const guest = new World(format, limit, 200, mmu)
          for (const [at, value] of words) guest.guestWrite(at * 4, value)
          // Small addresses make hits likely, wild ones make them hostile.
          for (const [i, pgd] of pgds.entries()) {
            const outcome = guest.shadow.newRoot(i % 3 === 2 ? pgd : page(pgd % GUEST_FRAMES))
            expect([FIXED, KILL]).toContain(outcome)
            for (const access of accesses) guest.actual(access)
            guest.shadow.setPte(pgd, accesses[0]!.gva)
            guest.shadow.setPgd(page(pgd % GUEST_FRAMES), pgd % 1100)
            guest.shadow.setPmd(page(pgd % GUEST_FRAMES), pgd % 600)
            for (const hfn of guest.reachable()) {
              expect(hfn).toBeGreaterThanOrEqual(GUEST_BASE)
              expect(hfn).toBeLessThan(GUEST_BASE + GUEST_FRAMES)
            }
            expect(guest.frames.taken.size).toBeLessThanOrEqual(1 + ROOTS * format.rootFrames + limit)
          }
          guest.shadow.destroy()
          expect(guest.frames.taken.size).toBe(0)
        },
      ),
      { numRuns: 50 },
    )
  })

  it("starts with the linear view, which the first NEW_PGTABLE ends", () => {
    const guest = new Guest(format, 64, mmu)
    const at = (gva: number, write = false, user = false) => guest.actual({ gva, write, user })
    expect(at(page(9) + 4, true)).toEqual({ frame: 9 })
    expect(at(page(63))).toEqual({ frame: 63 })
    expect(at(page(9), false, true)).toEqual({ fault: 5 })
    expect(at(page(GUEST_FRAMES))).toEqual({ bad: true, outcome: KILL })
    expect(guest.shadow.reason).toContain("before NEW_PGTABLE")
    expect(at(WINDOW.begin + 8)).toEqual({ bad: true, outcome: MMIO })
    expect(guest.shadow.mmio).toBe(WINDOW.begin + 8)
    guest.load(0)
    expect(at(page(9))).toEqual({ fault: 0 })
  })

  it("gives the guest nothing in the Switcher's range, whatever its tables say", () => {
    const guest = new Guest(format, 64, mmu)
    guest.load(0)
    if (format === twoLevel) guest.setEntry(PGDS[0]!, 1023, page(FIRST_TABLE) | FLAGS)
    else guest.setEntry(page(31), 510, page(FIRST_TABLE) | FLAGS)
    for (let i = 0; i < 512; i++) guest.setEntry(page(FIRST_TABLE), i, page(FIRST_DATA) | FLAGS)
    for (const gva of [0xffc0_0000, 0xffff_f000, 0xffff_ffff]) {
      expect(guest.shadow.pageFault(gva, 7)).toBe(GUEST_FAULT)
      expect(guest.shadow.faultError).toBe(6)
      expect(guest.shadow.kernelPage(gva, false)).toBe(-1)
    }
    expect(guest.reachable()).toEqual([])
  })

  it("splits large pages", () => {
    const guest = new Guest(format, 64, mmu)
    const { table, index } = guest.directoryEntry(0, 0)
    guest.setEntry(table, index, 0x80 | 7)
    guest.load(0)
    expect(guest.actual({ gva: page(50) + 1, write: false, user: true })).toEqual({ frame: 50 })
    expect(guest.guestRead(table + index * entrySize(format))! & 0x60).toBe(0x20)
    expect(guest.actual({ gva: page(51), write: true, user: true })).toEqual({ frame: 51 })
    expect(guest.guestRead(table + index * entrySize(format))! & 0x60).toBe(0x60)
    expect(guest.actual({ gva: page(GUEST_FRAMES), write: false, user: true })).toEqual({ bad: true, outcome: KILL })
    expect(guest.shadow.reason).toContain("page frame 0x40")
    // Bit 12 chooses a memory type and is no part of the address.
    guest.setEntry(table, index, 0x1080 | 7)
    guest.shadow.flush(true)
    expect(guest.actual({ gva: page(50), write: false, user: true })).toEqual({ frame: 50 })
  })

  it("kills for frames that the guest does not have and for reserved bits", () => {
    const guest = new Guest(format, 64, mmu)
    guest.load(0)
    const { table, index } = guest.directoryEntry(0, 0)
    const access = { gva: 0x3000, write: false, user: false }
    guest.setEntry(table, index, page(GUEST_FRAMES) | FLAGS)
    expect(guest.actual(access)).toEqual({ bad: true, outcome: KILL })
    expect(guest.shadow.reason).toMatch(/bad page directory entry 0x40067 for 0x3000/)
    guest.setEntry(table, index, 0x2080 | FLAGS)
    expect(guest.actual(access)).toEqual({ bad: true, outcome: KILL })
    guest.setEntry(table, index, page(FIRST_TABLE) | FLAGS)
    guest.setEntry(page(FIRST_TABLE), 3, 0x12345000 | FLAGS)
    expect(guest.actual(access)).toEqual({ bad: true, outcome: KILL })
    expect(guest.shadow.reason).toMatch(/page frame 0x12345, mapped at 0x3000/)
    guest.setEntry(page(FIRST_TABLE), 3, WINDOW.begin | FLAGS)
    expect(guest.actual(access)).toEqual({ bad: true, outcome: MMIO })
    expect(guest.shadow.mmio).toBe(WINDOW.begin)
    expect(guest.shadow.newRoot(0xffff_f000)).toBe(KILL)
    if (format === pae) {
      guest.setEntry(page(FIRST_TABLE), 3, page(FIRST_DATA) | FLAGS, 0x8000_0000)
      expect(guest.actual(access)).toEqual({ bad: true, outcome: KILL })
      expect(guest.shadow.reason).toMatch(/bad page table entry 0x8000000000030067/)
    }
  })

  it("says when something has vanished that a TLB may remember, for who does not load CR3 each time", () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 120 }), (steps) => {
        const guest = new Guest(format, 64, mmu)
        guest.populate()
        guest.load(0)
        /** What a TLB would hold: pages, and the words of the shadow's entries for them. */
        const tlb = new Map<number, number>()
        let root = -1
        for (const s of steps) {
          perform(guest, s)
          if (guest.shadow.takeStale() || guest.shadow.root() !== root) tlb.clear()
          root = guest.shadow.root()
          for (const [gva, frame] of tlb) expect(guest.shadowFrame(gva)).toBe(frame)
          if (s.kind !== "access") continue
          const gva = slots(format)[s.slot]! + page(s.page)
          const frame = guest.shadowFrame(gva)
          if (frame !== undefined) tlb.set(gva, frame)
        }
      }),
      { numRuns: 100 },
    )
  })

  it("goes on with less when memory is out, and kills when there is none", () => {
    const scarce = new Guest(format, 16, mmu)
    const span = spanOf(format)
    scarce.load(0)
    for (let i = 0; i < 40; i++) {
      const gva = i * span
      const n = { table: format === pae ? page(7 + (gva >>> 30)) : PGDS[0]!, index: format === pae ? i : i }
      scarce.setEntry(n.table, n.index, page(FIRST_TABLE) | FLAGS)
      scarce.setEntry(page(FIRST_TABLE), 0, page(FIRST_DATA) | FLAGS)
      expect(scarce.actual({ gva, write: false, user: false })).toEqual({ frame: FIRST_DATA })
      expect(scarce.shadow.counts.tables).toBeLessThanOrEqual(16)
    }
    expect(scarce.shadow.counts.exhausted).toBe(2)
    const none = new World(format, 16, format.rootFrames, mmu)
    expect(none.actual({ gva: 0, write: false, user: false })).toEqual({ bad: true, outcome: KILL })
    expect(none.shadow.reason).toContain("no memory left")
    for (const frames of [0, format.rootFrames - 1])
      expect(() => new World(format, 16, frames, mmu)).toThrow(RangeError)
  })
})

describe.each([twoLevel, pae])("shadow of $name tables", (format) => {
  it("keeps the shadows of four directories, and throws one away for a fifth", () => {
    const guest = new Guest(format)
    for (let n = 0; n < PGDS.length; n++) {
      const { table, index } = guest.directoryEntry(n, 0)
      guest.setEntry(table, index, page(FIRST_TABLE) | FLAGS)
    }
    guest.setEntry(page(FIRST_TABLE), 1, page(FIRST_DATA) | FLAGS)
    const touch = () => guest.actual({ gva: 0x1000, write: true, user: true })
    for (let n = 0; n < ROOTS; n++) {
      guest.load(n)
      expect(touch()).toEqual({ frame: FIRST_DATA })
    }
    const faults = guest.shadow.counts.faults.fill
    for (let n = 0; n < ROOTS; n++) {
      guest.load(n)
      touch()
    }
    expect(guest.shadow.counts.faults.fill).toBe(faults)
    guest.load(ROOTS)
    touch()
    expect(guest.shadow.counts.faults.fill).toBe(faults + 1)
    expect(guest.shadow.counts.rootsEvicted).toBe(1)
  })

  it("says when a mapping may have vanished, for whoever needs the stack mapped", () => {
    const guest = new Guest(format)
    const { table, index } = guest.directoryEntry(0, 2)
    guest.setEntry(table, index, page(FIRST_TABLE) | FLAGS)
    guest.setEntry(page(FIRST_TABLE), 1, page(FIRST_DATA) | FLAGS)
    guest.load(0)
    expect(guest.shadow.takeDisturbed()).toBe(true)
    expect(guest.shadow.kernelPage(KERNEL + 0x1004, true)).toBe(page(GUEST_BASE + FIRST_DATA) + 4)
    expect(guest.shadow.takeDisturbed()).toBe(false)
    guest.shadow.setPte(PGDS[0]!, KERNEL + 0x1000)
    expect(guest.shadow.takeDisturbed()).toBe(true)
    guest.shadow.flush(true)
    expect(guest.shadow.takeDisturbed()).toBe(true)
    guest.shadow.flush(true)
    expect(guest.shadow.takeDisturbed()).toBe(false)
  })
})
