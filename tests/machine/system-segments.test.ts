import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as S from "../../src/machine/core/state.ts"
import { DATA, GDT, LDT, Lab, type Mode, SEL, descriptor } from "./lab.ts"

/* Loads of segment registers, limits and types, and the instructions that ask about selectors. */

const lab = new Lab()
const { cpu, ram } = lab

/** MOV Sreg, AX. */
const MOV_SREG = { ES: 0xc0, SS: 0xd0, DS: 0xd8, FS: 0xe0, GS: 0xe8 } as const
const INDEX = { ES: S.SEG_ES, SS: S.SEG_SS, DS: S.SEG_DS, FS: S.SEG_FS, GS: S.SEG_GS } as const
type Register = keyof typeof MOV_SREG

const loadInto = (register: Register, selector: number, mode: Mode, cpl: 0 | 1 | 3) => {
  lab.enter(mode, cpl, [0x8e, MOV_SREG[register]])
  cpu.setGpr(0, BigInt(selector))
  cpu.run(1)
  if (lab.vector === undefined) return undefined
  return [lab.vector, lab.frame(1, lab.long ? 8 : 4)[0]]
}

/**
 * The rules by the manual (vol. 2, MOV), straight: undefined when the load is fine, else vector and error code. Only for
 * descriptors in the GDT.
 */
const rules = (register: Register, selector: number, value: bigint, outside: boolean, cpl: number, long64: boolean) => {
  const rpl = selector & 3
  const error = selector & 0xfffc
  const access = Number((value >> 40n) & 0xffn)
  const dpl = (access >> 5) & 3
  const isSegment = (access & 0x10) !== 0
  const isCode = isSegment && (access & 8) !== 0
  if (register === "SS") {
    if (error === 0) return long64 && cpl < 3 && rpl === cpl ? undefined : [13, 0]
    if (outside) return [13, error]
    if (rpl !== cpl || !isSegment || isCode || !(access & 2) || dpl !== cpl) return [13, error]
    return access & 0x80 ? undefined : [12, error]
  }
  if (error === 0) return undefined
  if (outside || !isSegment || (isCode && !(access & 2))) return [13, error]
  const conforming = isCode && (access & 4) !== 0
  if (!conforming && (rpl > dpl || cpl > dpl)) return [13, error]
  return access & 0x80 ? undefined : [11, error]
}

describe("MOV Sreg", () => {
  const SLOT = 0xc8
  it("obeys the manual for every kind of descriptor", () => {
    fc.assert(
      fc.property(
        fc.constantFrom<Register>("ES", "SS", "DS", "FS", "GS"),
        fc.nat(255),
        fc.nat(3),
        fc.constantFrom<readonly [Mode, 0 | 1 | 3]>(
          ["prot32", 0],
          ["prot32", 1],
          ["prot32", 3],
          ["long", 0],
          ["long", 3],
        ),
        fc.constantFrom("there", "null", "outside"),
        (register, access, rpl, [mode, cpl], where) => {
          lab.enter(mode, cpl, [0x8e, MOV_SREG[register]])
          const value = descriptor(0x12345, 0xfffff, access, 0xc)
          ram.writeBig(GDT + SLOT, value)
          const selector = (where === "null" ? 0 : where === "outside" ? SEL.outside : SLOT) | rpl
          cpu.setGpr(0, BigInt(selector))
          cpu.run(1)
          const expected = rules(register, selector, value, where === "outside", cpl, mode === "long")
          const got = lab.vector === undefined ? undefined : [lab.vector, lab.frame(1, lab.long ? 8 : 4)[0]]
          expect(got).toEqual(expected)
          if (expected !== undefined) return
          expect(lab.selector(INDEX[register])).toBe(selector)
          if (where === "there") {
            // The accessed bit is set in the table and in the register.
            expect(ram.read8(GDT + SLOT + 5)).toBe(access | 1)
            expect(lab.attr(INDEX[register])).toBe(0xc00000 | ((access | 1) << 8))
          } else expect(lab.attr(INDEX[register])).toBe(0)
        },
      ),
      { numRuns: 600 },
    )
  })

  it("reads the LDT, if there is one", () => {
    expect(loadInto("DS", 4, "prot32", 0)).toEqual([13, 4])
    lab.enter("prot32", 0, [0x8e, MOV_SREG.DS])
    cpu.setSegment(S.SEG_LDTR, SEL.ldt, BigInt(LDT), 0x1f, 0x8200)
    ram.writeBig(LDT + 8, descriptor(0x4000, 0xff, 0x93, 4))
    cpu.setGpr(0, 0x0cn)
    cpu.run(1)
    expect(lab.selector(S.SEG_DS)).toBe(0x0c)
    expect(cpu.long(S.SEG + S.SEG_DS * S.SEG_STRIDE)).toBe(0x4000n)
  })

  it("CS cannot be loaded: #UD", () => {
    lab.enter("prot32", 0, [0x8e, 0xc8])
    expect(lab.fault().vector).toBe(6)
  })

  it("real mode keeps the limit that was there", () => {
    lab.enter("real", 0, [0x8e, MOV_SREG.DS])
    cpu.setWord(S.SEG + S.SEG_DS * S.SEG_STRIDE + S.SEG_LIMIT, 0xffffffff)
    cpu.setGpr(0, 0x1234n)
    cpu.run(1)
    expect(cpu.long(S.SEG + S.SEG_DS * S.SEG_STRIDE)).toBe(0x12340n)
    expect(cpu.word(S.SEG + S.SEG_DS * S.SEG_STRIDE + S.SEG_LIMIT)).toBe(0xffffffff)
  })

  it("FS and GS take 32 bits of base in long mode, and a null selector clears it", () => {
    lab.enter("long", 0, [0x8e, MOV_SREG.GS])
    ram.writeBig(GDT + SLOT, descriptor(0x89abcdef, 0xfffff, 0x93, 0xc))
    cpu.setGpr(0, BigInt(SLOT))
    cpu.run(1)
    expect(cpu.long(S.SEG + S.SEG_GS * S.SEG_STRIDE)).toBe(0x89abcdefn)
    lab.enter("long", 0, [0x8e, MOV_SREG.GS])
    cpu.setLong(S.SEG + S.SEG_GS * S.SEG_STRIDE, 0x123456789abcn)
    cpu.setGpr(0, 3n)
    cpu.run(1)
    expect(cpu.long(S.SEG + S.SEG_GS * S.SEG_STRIDE)).toBe(0n)
  })
})

describe("limits", () => {
  /** MOV AL, [EDI] or MOV [EDI], AL through DS, or through SS. */
  const access = (selector: number, offset: number, size: 1 | 4, write = false, stack = false) => {
    const opcode = (write ? 0x88 : 0x8a) + (size === 4 ? 1 : 0)
    lab.enter("prot32", 0, [...(stack ? [0x36] : []), opcode, 0x07])
    lab.load(stack ? S.SEG_SS : S.SEG_DS, selector)
    cpu.refresh()
    cpu.setGpr(7, BigInt(offset >>> 0))
    if (stack) lab.setIdt(12, 0n)
    cpu.run(1)
    return lab.vector
  }

  it("expand-up: the last byte counts", () => {
    expect(access(SEL.small, 0xfff, 1)).toBe(undefined)
    expect(access(SEL.small, 0xffc, 4)).toBe(undefined)
    expect(access(SEL.small, 0xffd, 4)).toBe(13)
    expect(access(SEL.small, 0x1000, 1)).toBe(13)
    expect(access(SEL.small, -1, 1)).toBe(13)
    expect(access(SEL.small, -1, 4)).toBe(13)
  })

  it("expand-down: above the limit", () => {
    expect(access(SEL.expandDown, 0x3ffff, 1)).toBe(13)
    expect(access(SEL.expandDown, 0x40000, 4)).toBe(undefined)
    expect(access(SEL.expandDown, 0x3fffd, 4)).toBe(13)
    expect(access(SEL.expandDown, -2, 4)).toBe(13)
  })

  it("types", () => {
    expect(access(SEL.readOnly, DATA, 1)).toBe(undefined)
    expect(access(SEL.readOnly, DATA, 1, true)).toBe(13)
    expect(access(SEL.executeOnly, DATA, 1)).toBe(13)
    expect(access(SEL.code0, DATA, 1)).toBe(undefined)
    expect(access(SEL.code0, DATA, 1, true)).toBe(13)
  })

  it("a null data segment is #GP(0) when it is used, not in 64-bit mode", () => {
    lab.enter("prot32", 0, [0x8a, 0x07])
    cpu.setSegment(S.SEG_DS, 0, 0n, 0, 0)
    cpu.refresh()
    expect(lab.fault()).toEqual({ vector: 13, error: 0 })
    lab.enter("long", 0, [0x8a, 0x07])
    cpu.setSegment(S.SEG_DS, 0, 0n, 0, 0)
    cpu.refresh()
    cpu.run(1)
    expect(lab.vector).toBe(undefined)
  })

  it("real mode: 64 KiB, #GP, and #SS through SS", () => {
    // MOV AX, [DI] at 0xffff; POP AX at 0xffff.
    lab.enter("real", 0, [0x8b, 0x05])
    cpu.setGpr(7, 0xffffn)
    cpu.run(1)
    expect(lab.vector).toBe(13)
    lab.enter("real", 0, [0x36, 0x8b, 0x05])
    cpu.setGpr(7, 0xffffn)
    cpu.run(1)
    expect(lab.vector).toBe(12)
  })

  it("bases wrap at 4 GiB in legacy modes", () => {
    lab.enter("prot32", 0, [0x8a, 0x07])
    cpu.setSegment(S.SEG_DS, SEL.data0, 0xfffffff0n, 0xffffffff, 0xc09300)
    cpu.refresh()
    ram.write8(DATA, 0x5a)
    cpu.setGpr(7, BigInt(DATA + 16))
    cpu.run(1)
    expect(cpu.gprLo(0) & 0xff).toBe(0x5a)
  })
})

describe("LAR, LSL, VERR, VERW, ARPL", () => {
  const ask = (code: ReadonlyArray<number>, selector: number, cpl: 0 | 3 = 0, mode: Mode = "prot32") => {
    lab.enter(mode, cpl, code)
    cpu.setGpr(0, BigInt(selector))
    cpu.setGpr(3, 0xdeadbeefn)
    cpu.run(1)
    expect(lab.vector).toBe(undefined)
    return { zf: (cpu.flags & 0x40n) !== 0n, value: cpu.gprLo(3) }
  }
  // LAR EBX, EAX; LSL EBX, EAX; VERR AX; VERW AX.
  const LAR = [0x0f, 0x02, 0xd8]
  const LSL = [0x0f, 0x03, 0xd8]
  const VERR = [0x0f, 0x00, 0xe0]
  const VERW = [0x0f, 0x00, 0xe8]
  const refused = { zf: false, value: 0xdeadbeef }

  it("LAR (with the limit's bits in the middle, which Intel leaves undefined) and LSL", () => {
    expect(ask(LAR, SEL.code0)).toEqual({ zf: true, value: 0xcf9b00 })
    expect(ask(LSL, SEL.code0)).toEqual({ zf: true, value: 0xffffffff })
    expect(ask(LSL, SEL.small)).toEqual({ zf: true, value: 0xfff })
    expect(ask(LAR, SEL.tss)).toEqual({ zf: true, value: 0x8b00 })
    expect(ask(LSL, SEL.ldt)).toEqual({ zf: true, value: 0x1f })
    expect(ask(LAR, SEL.callGate)).toEqual({ zf: true, value: 0x00ec00 | (CODE_HIGH & 0xff0000) })
    expect(ask(LSL, SEL.callGate)).toEqual(refused)
    expect(ask(LAR, 0)).toEqual(refused)
    expect(ask(LAR, SEL.outside)).toEqual(refused)
    expect(ask(LAR, SEL.code0, 3)).toEqual(refused)
    expect(ask(LAR, SEL.code3, 3)).toEqual({ zf: true, value: 0xcffb00 })
    expect(ask(LAR, SEL.conforming | 3, 3)).toEqual({ zf: true, value: 0xcf9f00 })
    expect(ask(LAR, SEL.data0 | 3)).toEqual(refused)
  })

  it("16-bit system types do not exist in long mode", () => {
    lab.enter("long", 0, LAR)
    expect(ask(LAR, SEL.taskGate, 0, "long")).toEqual(refused)
    expect(ask(LAR, SEL.callGate64, 0, "long").zf).toBe(true)
  })

  it("VERR and VERW", () => {
    expect(ask(VERR, SEL.code0).zf).toBe(true)
    expect(ask(VERR, SEL.executeOnly).zf).toBe(false)
    expect(ask(VERR, SEL.readOnly).zf).toBe(true)
    expect(ask(VERW, SEL.readOnly).zf).toBe(false)
    expect(ask(VERW, SEL.data0).zf).toBe(true)
    expect(ask(VERW, SEL.data0, 3).zf).toBe(false)
    expect(ask(VERW, SEL.data3, 3).zf).toBe(true)
    expect(ask(VERR, SEL.tss).zf).toBe(false)
  })

  it("ARPL raises RPL", () => {
    // ARPL AX, BX.
    for (const [dst, src] of [
      [0x10, 3],
      [0x13, 1],
      [0x11, 1],
    ] as const) {
      lab.enter("prot32", 3, [0x63, 0xd8])
      cpu.setGpr(0, BigInt(dst))
      cpu.setGpr(3, BigInt(src))
      cpu.run(1)
      const raised = (dst & 3) < src
      expect(cpu.gprLo(0)).toBe(raised ? (dst & ~3) | src : dst)
      expect((cpu.flags & 0x40n) !== 0n).toBe(raised)
    }
  })

  it.each(["real", "v86"] as const)("are #UD in %s mode", (mode) => {
    for (const code of [LAR, LSL, VERR, VERW, [0x63, 0xd8], [0x0f, 0x00, 0xc0], [0x0f, 0x00, 0xc8]]) {
      lab.enter(mode, undefined, code)
      cpu.run(1)
      expect(lab.vector).toBe(6)
    }
  })
})

/** Bits 55..48 of the call gate's descriptor are part of its offset: CODE + 0x800. */
const CODE_HIGH = 0x20800 & 0xffff0000

describe("LLDT and LTR", () => {
  const LLDT = [0x0f, 0x00, 0xd0]
  const LTR = [0x0f, 0x00, 0xd8]
  const load = (code: ReadonlyArray<number>, selector: number, mode: Mode = "prot32", cpl: 0 | 3 = 0) => {
    lab.enter(mode, cpl, code)
    cpu.setGpr(0, BigInt(selector))
    cpu.run(1)
    return lab.vector === undefined ? undefined : [lab.vector, lab.frame(1, lab.long ? 8 : 4)[0]]
  }

  it("check type, place and privilege", () => {
    expect(load(LLDT, SEL.ldt)).toBe(undefined)
    expect(cpu.long(S.SEG + S.SEG_LDTR * S.SEG_STRIDE)).toBe(BigInt(LDT))
    expect(load(LLDT, 0)).toBe(undefined)
    expect(load(LLDT, SEL.tss2)).toEqual([13, SEL.tss2])
    expect(load(LLDT, SEL.ldt | 4)).toEqual([13, SEL.ldt | 4])
    expect(load(LLDT, SEL.outside)).toEqual([13, SEL.outside])
    expect(load(LLDT, SEL.ldt, "prot32", 3)).toEqual([13, 0])
    expect(load(LTR, SEL.tss2)).toBe(undefined)
    expect(ram.read8(GDT + SEL.tss2 + 5)).toBe(0x8b)
    expect(load(LTR, SEL.tss)).toEqual([13, SEL.tss])
    expect(load(LTR, 0)).toEqual([13, 0])
    expect(load(LTR, SEL.data0)).toEqual([13, SEL.data0])
  })

  it("long mode: 16 bytes, with a zero type in the second half", () => {
    expect(load(LLDT, SEL.ldt, "long")).toBe(undefined)
    lab.enter("long", 0, LLDT)
    ram.writeBig(GDT + SEL.ldt + 8, 0x00001f00_00000000n)
    cpu.setGpr(0, BigInt(SEL.ldt))
    expect(lab.fault()).toEqual({ vector: 13, error: SEL.ldt })
    lab.enter("long", 0, LLDT)
    ram.writeBig(GDT + SEL.ldt + 8, 0xffff8000n)
    cpu.setGpr(0, BigInt(SEL.ldt))
    cpu.run(1)
    expect(cpu.long(S.SEG + S.SEG_LDTR * S.SEG_STRIDE)).toBe(0xffff8000_00007000n)
  })
})
