import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as S from "../../src/machine/core/state.ts"
import { CODE, DATA, Lab, TABLES } from "./lab.ts"

/*
 * The TLB is architectural: what it holds stays until it is flushed, global entries outlive a load of CR3, and a fault is
 * raised only when the tables forbid the access now (SDM vol. 3, 4.10).
 */

const lab = new Lab()
const { ram, cpu } = lab

const PTE = (linear: number) => TABLES + 0x3000 + (linear >> 12) * 8
const P = 1n
const W = 2n
const U = 4n
const A = 0x20n
const D = 0x40n
const G = 0x100n

/** MOV AL, [RDI]; MOV [RDI], AL; INVLPG [RDI]; MOV CR3, RCX; MOV CR4, RDX; 3 bytes each. */
const PROGRAM = {
  read: [0x90, 0x8a, 0x07],
  write: [0x90, 0x88, 0x07],
  invlpg: [0x0f, 0x01, 0x3f],
  cr3: [0x0f, 0x22, 0xd9],
  cr4: [0x0f, 0x22, 0xe2],
} as const

type Operation = keyof typeof PROGRAM

/** Executes one of the above; undefined, or the page fault's error code. */
const act = (operation: Operation, linear = DATA): number | undefined => {
  const at = CODE + 16 * Object.keys(PROGRAM).indexOf(operation)
  lab.code(at, PROGRAM[operation])
  cpu.rip = BigInt(at)
  cpu.setGpr(7, BigInt(linear))
  const nops = PROGRAM[operation][0] === 0x90 ? 2 : 1
  cpu.run(nops)
  if (lab.vector === undefined && cpu.rip === BigInt(at + nops - 1)) cpu.run(1)
  if (lab.vector === undefined) return undefined
  expect(lab.vector).toBe(14)
  const error = lab.frame(1, 8)[0]!
  // Back to the program, as if the handler had dropped the frame.
  cpu.setGpr(4, cpu.gpr(4) + 48n)
  return error
}
const read = (linear = DATA): number => {
  expect(act("read", linear)).toBe(undefined)
  return cpu.gprLo(0) & 0xff
}

const enter = (extra = 0n): void => {
  lab.enter("long", 0)
  // Two frames to tell apart.
  ram.fill(0x60000, 0x1000, 1)
  ram.fill(0x61000, 0x1000, 2)
  ram.fill(0x62000, 0x1000, 3)
  ram.writeBig(PTE(DATA), 0x60000n | P | W | U | extra)
  cpu.setGpr(1, BigInt(TABLES))
  cpu.setLong(S.CR4, 0xa0n)
  cpu.flushTlb(true)
  cpu.refresh()
}
const remap = (flags: bigint, frame = 0x61000n) => ram.writeBig(PTE(DATA), frame | flags)

describe("entries stay until they are flushed", () => {
  it("by INVLPG", () => {
    enter()
    expect(read()).toBe(1)
    remap(P | W | U)
    expect(read()).toBe(1)
    act("invlpg", DATA + 0x1000)
    expect(read()).toBe(1)
    act("invlpg")
    expect(read()).toBe(2)
  })

  it("by a load of CR3", () => {
    enter()
    expect(read()).toBe(1)
    ram.writeBig(PTE(DATA), 0n)
    expect(read()).toBe(1)
    act("cr3")
    expect(act("read")).toBe(0)
  })

  it("a global one outlives CR3, not INVLPG", () => {
    enter(G)
    expect(read()).toBe(1)
    remap(P | W | U | G)
    for (let i = 0; i < 3; i++) {
      act("cr3")
      expect(read()).toBe(1)
    }
    act("invlpg")
    expect(read()).toBe(2)
  })

  it("a global one does not outlive a change of CR4.PGE", () => {
    enter(G)
    expect(read()).toBe(1)
    remap(P | W | U | G)
    cpu.setGpr(2, 0x20n)
    act("cr4")
    expect(read()).toBe(2)
    remap(P | W | U | G, 0x62000n)
    cpu.setGpr(2, 0xa0n)
    act("cr4")
    expect(read()).toBe(3)
  })

  it("G means nothing without CR4.PGE", () => {
    enter(G)
    cpu.setLong(S.CR4, 0x20n)
    cpu.flushTlb(true)
    expect(read()).toBe(1)
    remap(P | W | U | G)
    act("cr3")
    expect(read()).toBe(2)
  })

  it("global entries survive thousands of CR3 loads or are walked again, and never turn into another's", () => {
    enter(G)
    expect(read()).toBe(1)
    const pte = ram.readBig(PTE(DATA))
    for (let i = 0; i < 9000; i++) {
      act("cr3")
      if (i % 1000 === 0) {
        expect(read()).toBe(1)
        expect(ram.readBig(PTE(DATA))).toBe(pte | A)
      }
    }
  })
})

describe("permissions", () => {
  it("more rights are seen without a flush: a fault walks again first", () => {
    enter()
    remap(P | U, 0x60000n)
    expect(read()).toBe(1)
    expect(act("write")).toBe(3)
    expect(read()).toBe(1)
    remap(P | W | U)
    expect(act("write")).toBe(undefined)
    // And with the walk the new frame came too.
    expect(read()).toBe(ram.read8(0x61000))
  })

  it("a fault drops the entry", () => {
    enter()
    remap(P | U, 0x60000n)
    expect(read()).toBe(1)
    remap(P | U)
    expect(read()).toBe(1)
    expect(act("write")).toBe(3)
    expect(read()).toBe(2)
  })

  it("D is set by the first write after a read, even though the entry is cached", () => {
    enter()
    expect(read()).toBe(1)
    expect(ram.readBig(PTE(DATA)) & (A | D)).toBe(A)
    act("write")
    expect(ram.readBig(PTE(DATA)) & (A | D)).toBe(A | D)
    // Cached as dirty: clearing D without a flush is not noticed.
    ram.writeBig(PTE(DATA), ram.readBig(PTE(DATA)) & ~D)
    act("write")
    expect(ram.readBig(PTE(DATA)) & D).toBe(0n)
    act("invlpg")
    act("write")
    expect(ram.readBig(PTE(DATA)) & D).toBe(D)
  })

  it("CR0.WP", () => {
    enter()
    remap(P | U, 0x60000n)
    cpu.setLong(S.CR0, cpu.long(S.CR0) & ~0x10000n)
    cpu.refresh()
    expect(act("write")).toBe(undefined)
    // MOV CR0 with WP takes effect at once.
    cpu.setGpr(0, cpu.long(S.CR0) | 0x10000n)
    lab.code(CODE + 0x100, [0x0f, 0x22, 0xc0])
    cpu.rip = BigInt(CODE + 0x100)
    cpu.run(1)
    expect(act("write")).toBe(3)
  })
})

describe("large pages", () => {
  const PDE1 = TABLES + 0x2000 + 8

  it("INVLPG of any address drops the whole page", () => {
    enter()
    // 2 MiB at 0x200000 onto physical 0.
    ram.writeBig(PDE1, 0x83n)
    const first = 0x200000 + 0x60000
    const second = 0x200000 + 0x61000
    expect(read(first)).toBe(1)
    expect(read(second)).toBe(2)
    ram.writeBig(PDE1, 0n)
    expect(read(first)).toBe(1)
    act("invlpg", 0x3ff000)
    expect(act("read", first)).toBe(0)
    expect(act("read", second)).toBe(0)
  })

  it("a global large page too", () => {
    enter()
    ram.writeBig(PDE1, 0x183n)
    const first = 0x200000 + 0x60000
    expect(read(first)).toBe(1)
    act("cr3")
    ram.writeBig(PDE1, 0n)
    expect(read(first)).toBe(1)
    act("invlpg", 0x200000)
    expect(act("read", first)).toBe(0)
  })

  it("INVLPG of a small page far from the large ones leaves them", () => {
    enter()
    const top = TABLES + 0x1000 + 8
    ram.writeBig(top, BigInt(TABLES + 0x4000) | 7n)
    ram.writeBig(TABLES + 0x4000, 0x87n)
    expect(read(0x40000000 + 0x60000)).toBe(1)
    ram.writeBig(TABLES + 0x4000, 0n)
    act("invlpg", DATA)
    expect(read(0x40000000 + 0x60000)).toBe(1)
  })
})

/*
 * The law: with any order of table writes, accesses and flushes, an access sees either what the tables say now or what
 * they said at some moment since the last flush that covers it; and right after a covering flush, what they say now.
 */
describe("staleness", () => {
  const FRAMES = [0x60000, 0x61000, 0x62000]
  const step = fc.oneof(
    fc.record({ kind: fc.constant("map" as const), page: fc.nat(2), frame: fc.nat(2), global: fc.boolean() }),
    fc.record({ kind: fc.constant("read" as const), page: fc.nat(2) }),
    fc.record({ kind: fc.constant("invlpg" as const), page: fc.nat(2) }),
    fc.record({ kind: fc.constant("cr3" as const) }),
  )

  it("is bounded by flushes", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        enter()
        // What each page may still show: frames since its last flush, and whether any of them was global.
        const pages = [0, 1, 2].map(() => ({ now: 0, seen: new Set([0]), global: false }))
        const pte = (page: number) => PTE(DATA + page * 0x1000)
        for (const page of [0, 1, 2]) ram.writeBig(pte(page), BigInt(FRAMES[0]!) | P | W | U)
        for (const s of steps) {
          if (s.kind === "map") {
            const page = pages[s.page]!
            ram.writeBig(pte(s.page), BigInt(FRAMES[s.frame]!) | P | W | U | (s.global ? G : 0n))
            page.now = s.frame
            page.seen.add(s.frame)
            page.global ||= s.global
          } else if (s.kind === "read") {
            const value = read(DATA + s.page * 0x1000)
            expect([...pages[s.page]!.seen].map((f) => f + 1)).toContain(value)
          } else {
            if (s.kind === "invlpg") act("invlpg", DATA + s.page * 0x1000)
            else act("cr3")
            for (const [i, page] of pages.entries()) {
              if (s.kind === "invlpg" ? i !== s.page : page.global) continue
              page.seen = new Set([page.now])
              page.global = (ram.readBig(pte(i)) & G) !== 0n
            }
          }
        }
      }),
      { numRuns: 60 },
    )
  })
})

describe("counters", () => {
  it("misses, flushes, INVLPG and CR3 loads are exact", () => {
    enter()
    read()
    const before = cpu.counters()
    read()
    read()
    expect(cpu.counters().tlbMisses).toBe(before.tlbMisses)
    act("invlpg")
    read()
    expect(cpu.counters().tlbMisses).toBe(before.tlbMisses + 1)
    act("cr3")
    const after = cpu.counters()
    expect(after.invlpg - before.invlpg).toBe(1)
    expect(after.cr3Loads - before.cr3Loads).toBe(1)
    expect(after.tlbFlushes - before.tlbFlushes).toBe(1)
  })
})
