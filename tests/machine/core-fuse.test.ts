import fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as S from "../../src/machine/core/state.ts"
import { CODE, FL_TF, Lab, SEL } from "./lab.ts"

/*
 * A comparison of registers and the Jcc behind it are executed as one where nothing is to be seen between them. The oracle
 * is their meaning, and the same two instructions one by one, which is what a budget of 1 makes of them.
 */

const lab = new Lab()
const { cpu } = lab
const STATUS = 0x8d5
const CF = 1
const ZF = 0x40
const SF = 0x80
const OF = 0x800

/** EAX is compared with ECX, or with an immediate byte. */
const COMPARISONS = {
  "CMP r32, r32": { code: [0x39, 0xc8], width: 32, immediate: false, logic: false },
  "CMP r32, imm": { code: [0x83, 0xf8], width: 32, immediate: true, logic: false },
  "TEST r32, r32": { code: [0x85, 0xc8], width: 32, immediate: false, logic: true },
  "CMP r64, r64": { code: [0x48, 0x39, 0xc8], width: 64, immediate: false, logic: false },
  "CMP r64, imm": { code: [0x48, 0x83, 0xf8], width: 64, immediate: true, logic: false },
  "TEST r64, r64": { code: [0x48, 0x85, 0xc8], width: 64, immediate: false, logic: true },
} as const

/** SDM vol. 1, appendix B. */
const holds = (code: number, flags: number): boolean => {
  const has = (flag: number) => (flags & flag) !== 0
  const base = [
    has(OF),
    has(CF),
    has(ZF),
    has(CF) || has(ZF),
    has(SF),
    has(4),
    has(SF) !== has(OF),
    has(ZF) || has(SF) !== has(OF),
  ][code >> 1]!
  return base !== ((code & 1) === 1)
}

/** SF, ZF, CF and OF of the comparison. */
const compared = (a: bigint, b: bigint, width: number, logic: boolean): number => {
  const [ua, ub] = [BigInt.asUintN(width, a), BigInt.asUintN(width, b)]
  const r = BigInt.asIntN(width, logic ? ua & ub : ua - ub)
  const exact = BigInt.asIntN(width, a) - BigInt.asIntN(width, b)
  return (r === 0n ? ZF : 0) | (r < 0n ? SF : 0) | (!logic && ua < ub ? CF : 0) | (!logic && exact !== r ? OF : 0)
}

const edge = fc.oneof(
  fc.constantFrom(0n, 1n, -1n, 0x7fn, -0x80n, 0x7fffffffn, 0x80000000n, 0xffffffffn, 1n << 63n, (1n << 63n) - 1n),
  fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
)

const JUMP = 0x40

describe.each(Object.entries(COMPARISONS))("%s and Jcc", (_name, { code, width, immediate, logic }) => {
  const modes = width === 32 ? (["prot32", "long"] as const) : (["long"] as const)
  it.each(modes)("go where the condition says, with the flags of the comparison (%s)", (mode) => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 15 }), edge, edge, (condition, a, other) => {
        const b = immediate ? BigInt.asIntN(8, other) : other
        const bytes = [...code, ...(immediate ? [Number(BigInt.asUintN(8, other))] : [])]
        const start = () => {
          lab.enter(mode, 0, [...bytes, 0x70 | condition, JUMP])
          cpu.setGpr(0, a)
          cpu.setGpr(1, other)
        }
        const end = CODE + bytes.length + 2
        start()
        const before = cpu.instructions
        cpu.run(2)
        const flags = Number(cpu.flags) & STATUS
        expect(flags & (CF | ZF | SF | OF)).toBe(compared(a, b, width, logic))
        expect(Number(cpu.rip)).toBe(holds(condition, flags) ? end + JUMP : end)
        expect(cpu.instructions).toBe(before + 2)
        const rip = cpu.rip
        start()
        cpu.run(1)
        expect(Number(cpu.rip)).toBe(CODE + bytes.length)
        cpu.run(1)
        expect([cpu.rip, Number(cpu.flags) & STATUS]).toEqual([rip, flags])
      }),
      { numRuns: 150 },
    )
  })
})

describe("between the two", () => {
  // CMP EAX, ECX; JE +40h.
  const PAIR = [0x39, 0xc8, 0x74, JUMP]

  it("a budget ends, in the middle of a loop as well", () => {
    // again: CMP EAX, ECX; JE again.
    for (const budget of [1, 2, 3, 7]) {
      lab.enter("prot32", 0, [0x39, 0xc8, 0x74, 0xfc])
      for (let done = 0; done < 40; done += budget) {
        expect(Number(cpu.rip)).toBe(CODE + (done % 2) * 2)
        cpu.run(budget)
      }
    }
  })

  it("a single step traps", () => {
    lab.enter("prot32", 0, PAIR)
    cpu.run(2)
    lab.enter("prot32", 0, PAIR).setFlags(FL_TF)
    cpu.run(2)
    expect(lab.vector).toBe(1)
    expect(lab.frame(1, 4)).toEqual([CODE + 2])
  })

  it("a breakpoint hits", () => {
    lab.enter("prot32", 0, PAIR)
    cpu.setLong(S.DR, BigInt(CODE + 2))
    cpu.setLong(S.DR + 56, 0x402n)
    cpu.refresh()
    cpu.run(3)
    expect(lab.vector).toBe(1)
    expect(lab.frame(1, 4)).toEqual([CODE + 2])
  })

  it("CS's limit lies", () => {
    lab.enter("prot32", 0, PAIR)
    cpu.setSegment(S.SEG_CS, SEL.code0, 0n, CODE + 2, 0x409b00)
    cpu.refresh()
    expect(lab.fault()).toEqual({ vector: 13, error: 0 })
    expect(lab.frame(2, 4)).toEqual([0, CODE + 2])
  })

  it("a target beyond CS's limit is the jump's fault; the comparison is done", () => {
    lab.enter("prot32", 0, PAIR)
    cpu.setSegment(S.SEG_CS, SEL.code0, 0n, CODE + 0x20, 0x409b00)
    cpu.refresh()
    expect(lab.fault()).toEqual({ vector: 13, error: 0 })
    const [, eip, , flags] = lab.frame(4, 4)
    expect(eip).toBe(CODE + 2)
    expect(flags! & ZF).toBe(ZF)
  })

  it("code is written by the instruction before", () => {
    // MOV byte [CODE + 10], 10h: the displacement of the JE behind; CMP EAX, ECX; JE.
    const at = CODE + 10
    lab.enter("prot32", 0, [0xc6, 0x05, at & 255, (at >> 8) & 255, at >> 16, 0, 0x10, ...PAIR])
    cpu.run(3)
    expect(Number(cpu.rip)).toBe(CODE + 11 + 0x10)
  })
})
