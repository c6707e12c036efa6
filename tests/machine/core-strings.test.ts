import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as S from "../../src/machine/core/state.ts"
import { CODE, DATA, Lab, TABLES } from "./lab.ts"

/*
 * REP string instructions take short cuts over whole pages; a model that goes byte by byte must not see a difference.
 */

const RCX = 1
const RSI = 6
const RDI = 7
const HLT = 0xf4

/** The 16 KiB around DATA, filled so that every byte tells where it came from. */
const SIZE = 0x4000
const pattern = (i: number) => (i * 7 + (i >> 8) * 13) & 0xff

const filled = (lab: Lab) => {
  for (let i = 0; i < SIZE; i++) lab.ram.write8(DATA + i, pattern(i))
}

const contents = (lab: Lab) => Array.from({ length: SIZE }, (_, i) => lab.ram.read8(DATA + i))

interface Case {
  readonly size: 1 | 2 | 4 | 8
  readonly from: number
  readonly to: number
  readonly count: number
  readonly down: boolean
  /** Instructions for each run. */
  readonly slice: number
}

const cases: fc.Arbitrary<Case> = fc.record({
  size: fc.constantFrom(1, 2, 4, 8),
  from: fc.integer({ min: 0x1000, max: 0x2fff }),
  to: fc.oneof(
    fc.integer({ min: 0x1000, max: 0x2fff }),
    fc.integer({ min: -9, max: 9 }).map((d) => 0x1800 + d),
  ),
  count: fc.integer({ min: 0, max: 0x180 }),
  down: fc.boolean(),
  slice: fc.constantFrom(1, 2, 1000),
})

const opcode = (operation: number, size: number) =>
  size === 1
    ? [0xf3, operation]
    : size === 2
      ? [0x66, 0xf3, operation + 1]
      : size === 4
        ? [0xf3, operation + 1]
        : [0xf3, 0x48, operation + 1]

const prepared = (code: ReadonlyArray<number>, c: Case) => {
  const lab = new Lab().enter("long", 0, [...code, HLT])
  filled(lab)
  lab.cpu.setGpr(RCX, BigInt(c.count))
  lab.cpu.setGpr(RSI, BigInt(DATA + c.from))
  lab.cpu.setGpr(RDI, BigInt(DATA + c.to))
  lab.cpu.setGpr(0, 0x1122334455667788n)
  if (c.down) lab.setFlags(0x400)
  return lab
}

/** Runs to the HLT in slices; how often that took. */
const finish = (lab: Lab, slice: number) => {
  let runs = 0
  while (lab.run(slice) !== S.EXIT_HALT) if (++runs > 10_000) throw new Error("does not end")
  return runs
}

describe("REP MOVS", () => {
  it("copies as byte by byte in its direction, overlapping or not", () => {
    fc.assert(
      fc.property(cases, (c) => {
        const lab = prepared(opcode(0xa4, c.size), c)
        finish(lab, c.slice)
        const expected = Array.from({ length: SIZE }, (_, i) => pattern(i))
        const by = c.down ? -c.size : c.size
        for (let n = 0; n < c.count; n++) {
          const element = expected.slice(c.from + n * by, c.from + n * by + c.size)
          element.forEach((byte, i) => (expected[c.to + n * by + i] = byte))
        }
        expect(contents(lab)).toEqual(expected)
        expect(lab.cpu.gpr(RCX)).toBe(0n)
        expect(Number(lab.cpu.gpr(RSI))).toBe(DATA + c.from + c.count * by)
        expect(Number(lab.cpu.gpr(RDI))).toBe(DATA + c.to + c.count * by)
      }),
      { numRuns: 60 },
    )
  })

  it("stops at a page that is not there, with registers that tell how far it came", () => {
    const lab = prepared([0xf3, 0xa4], { size: 1, from: 0x1000, to: 0x2f80, count: 0x200, down: false, slice: 1 })
    lab.ram.writeBig(TABLES + 0x3000 + ((DATA + 0x3000) >>> 12) * 8, 0n)
    lab.run()
    expect(lab.vector).toBe(14)
    expect(lab.cpu.long(S.CR2)).toBe(BigInt(DATA + 0x3000))
    expect(lab.cpu.gpr(RCX)).toBe(BigInt(0x200 - 0x80))
    expect(Number(lab.cpu.gpr(RDI))).toBe(DATA + 0x3000)
    // The saved RIP is the instruction's own.
    expect(lab.frame(2, 8)[1]).toBe(CODE)
  })
})

describe("REP STOS", () => {
  it("fills as element by element in its direction", () => {
    fc.assert(
      fc.property(cases, (c) => {
        const lab = prepared(opcode(0xaa, c.size), c)
        finish(lab, c.slice)
        const expected = Array.from({ length: SIZE }, (_, i) => pattern(i))
        const value = [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]
        for (let n = 0; n < c.count; n++)
          for (let i = 0; i < c.size; i++) expected[c.to + (c.down ? -n : n) * c.size + i] = value[i]!
        expect(contents(lab)).toEqual(expected)
        expect(lab.cpu.gpr(RCX)).toBe(0n)
      }),
      { numRuns: 40 },
    )
  })
})

describe("REPNE SCASB", () => {
  it("finds the first match, or runs out", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 1, max: 600 }), (wanted, count) => {
        const lab = prepared([0xf2, 0xae], { size: 1, from: 0, to: 0x1000, count, down: false, slice: 1 })
        lab.cpu.setGpr(0, BigInt(wanted))
        finish(lab, 7)
        let n = 0
        let found = false
        while (n < count && !found) found = pattern(0x1000 + n++) === wanted
        expect(Number(lab.cpu.gpr(RCX))).toBe(count - n)
        expect((lab.cpu.flags & 0x40n) !== 0n).toBe(found)
      }),
      { numRuns: 40 },
    )
  })
})

describe("a long REP", () => {
  it("never outlives its budget, and makes progress with each of it", () => {
    const lab = prepared([0xf3, 0xaa], { size: 1, from: 0, to: 0x10, count: 0x3800, down: false, slice: 1 })
    let left = lab.cpu.gpr(RCX)
    while (lab.run(1) === S.EXIT_BUDGET && lab.cpu.gpr(RCX) !== 0n) {
      expect(lab.cpu.gpr(RCX)).toBeLessThan(left)
      expect(Number(lab.cpu.rip)).toBe(CODE)
      left = lab.cpu.gpr(RCX)
    }
    expect(lab.cpu.gpr(RCX)).toBe(0n)
  })

  it("is interrupted after one element when something waits", () => {
    const lab = prepared([0xf3, 0xaa], { size: 1, from: 0, to: 0x10, count: 0x3800, down: false, slice: 1 })
    // Single steps trap after each iteration.
    lab.setFlags(0x100)
    lab.run(1)
    lab.run(1)
    expect(lab.vector).toBe(1)
    expect(lab.cpu.gpr(RCX)).toBe(0x37ffn)
  })
})
