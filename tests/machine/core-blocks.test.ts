import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as S from "../../src/machine/core/state.ts"
import { CODE, DATA, HANDLERS, Lab, SEL, TABLES, gate, handler } from "./lab.ts"

/*
 * Blocks, the jump cache and the counts: what a processor that decodes ahead must not let anybody see.
 */

const bytes32 = (v: number) => [v & 255, (v >>> 8) & 255, (v >>> 16) & 255, (v >>> 24) & 255]
const NOP = 0x90
const HLT = 0xf4
const nops = (n: number) => Array.from({ length: n }, () => NOP)
const leaf = (linear: number) => TABLES + 0x3000 + (linear >>> 12) * 8

describe("budget and counts", () => {
  it("executes exactly as many instructions as asked for, wherever blocks end", () => {
    const lab = new Lab().enter("long", 0, [...nops(300), 0xeb, 0xfe])
    let executed = 0
    for (const n of [1, 2, 63, 64, 65, 1, 100, 3]) {
      expect(lab.run(n)).toBe(S.EXIT_BUDGET)
      executed += n
      expect(lab.cpu.instructions).toBe(executed)
      expect(Number(lab.cpu.rip)).toBe(CODE + executed)
    }
  })

  it("does not depend on how a run is cut into slices", () => {
    // A loop with stores, a call and a string instruction; RCX counts down from 50.
    const loop = [
      0x48, 0x01, 0xc8, // add rax, rcx
      0x48, 0x89, 0x07, // mov [rdi], rax
      0x48, 0x83, 0xc7, 0x08, // add rdi, 8
      0xe8, 0x07, 0x00, 0x00, 0x00, // call f
      0x48, 0xff, 0xc9, // dec rcx
      0x75, 0xec, // jnz loop
      0xeb, 0xfe, // jmp .
      0x48, 0x0f, 0xaf, 0xc2, // f: imul rax, rdx
      0xc3, // ret
    ] // prettier-ignore
    const start = () => {
      const lab = new Lab().enter("long", 3, loop)
      lab.cpu.setGpr(1, 50n)
      lab.cpu.setGpr(2, 0x12345n)
      lab.cpu.setGpr(7, BigInt(DATA))
      return lab
    }
    const state = (lab: Lab) => [
      ...Array.from({ length: 16 }, (_, i) => lab.cpu.gpr(i)),
      lab.cpu.rip,
      lab.cpu.flags,
      BigInt(lab.cpu.instructions),
      lab.ram.readBig(DATA + 8 * 20),
    ]
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 20 }), (slices) => {
        const whole = start()
        whole.run(slices.reduce((a, b) => a + b, 0))
        const cut = start()
        for (const n of slices) cut.run(n)
        expect(state(cut)).toEqual(state(whole))
      }),
      { numRuns: 40 },
    )
  })

  it("counts for the ring that an instruction began in, and not what a fault has kept from executing", () => {
    // Three instructions, then a load from a page that is not there.
    const lab = new Lab().enter("long", 3, [...nops(3), 0x8b, 0x04, 0x25, ...bytes32(DATA), ...nops(10)])
    lab.ram.writeBig(leaf(DATA), 0n)
    lab.run(100)
    expect(lab.vector).toBe(14)
    expect(lab.frame(2, 8)[1]).toBe(CODE + 3)
    const { instructions } = lab.cpu.counters()
    expect(instructions[3]).toBe(3)
    // The handler's HLT.
    expect(instructions[0]).toBe(1)
    expect(lab.cpu.instructions).toBe(4)
  })

  it("lets a guest that does nothing but fault come to an end", () => {
    const lab = new Lab().enter("prot32", 0, [0x0f, 0x0b])
    lab.setIdt(6, gate(SEL.code0, CODE, 14, 0))
    expect(lab.run(1000)).toBe(S.EXIT_BUDGET)
  })
})

describe("self-modifying code", () => {
  it("executes what the instruction before has just written, in the same block", () => {
    // mov byte [rip + 1], 0x42; mov al, 0x11 -> 0x42
    const lab = new Lab().enter("long", 0, [0xc6, 0x05, 0x01, 0x00, 0x00, 0x00, 0x42, 0xb0, 0x11, HLT])
    lab.run()
    expect(lab.cpu.gpr(0) & 0xffn).toBe(0x42n)
  })

  it("does so for every kind of store", () => {
    const target = CODE + 0x20
    const write: ReadonlyArray<readonly [string, ReadonlyArray<number>]> = [
      ["mov", [0xc6, 0x04, 0x25, ...bytes32(target + 1), 0x42]],
      ["or", [0x80, 0x0c, 0x25, ...bytes32(target + 1), 0x42]],
      ["lock or", [0xf0, 0x80, 0x0c, 0x25, ...bytes32(target + 1), 0x42]],
      ["xchg", [0xb3, 0x42, 0x86, 0x1c, 0x25, ...bytes32(target + 1)]],
      ["stosb", [0xbf, ...bytes32(target + 1), 0xb0, 0x42, 0xaa]],
      ["rep stosb", [0xbf, ...bytes32(target + 1), 0xb0, 0x42, 0xb9, 1, 0, 0, 0, 0xf3, 0xaa]],
      ["push", [0xbc, ...bytes32(target + 9), 0x48, 0xb8, 0x42, HLT, NOP, NOP, NOP, NOP, NOP, NOP, 0x50]],
    ]
    for (const [name, code] of write) {
      const lab = new Lab().enter("long", 0, [...code, ...nops(0x20 - code.length), 0xb0, 0x00, HLT])
      lab.run()
      expect(lab.cpu.gpr(0) & 0xffn, name).toBe(0x42n)
    }
  })

  it("notices writes from outside between runs", () => {
    const lab = new Lab().enter("prot32", 0, [0xb0, 0x11, 0xeb, 0xfc])
    lab.run(11)
    lab.ram.write8(CODE + 1, 0x22)
    lab.run(11)
    expect(lab.cpu.gpr(0) & 0xffn).toBe(0x22n)
  })

  it("notices that a page table now maps another page there, after a flush and not before", () => {
    const other = 0x90000
    const loop = (value: number) => [0xb0, value, 0xeb, 0xfc]
    const lab = new Lab().enter("long", 3, loop(1))
    lab.code(other, loop(2))
    lab.run(10)
    lab.ram.writeBig(leaf(CODE), BigInt(other) | 7n)
    lab.run(10)
    expect(lab.cpu.gpr(0) & 0xffn).toBe(1n)
    lab.cpu.exports.invalidate(BigInt(CODE))
    lab.run(10)
    expect(lab.cpu.gpr(0) & 0xffn).toBe(2n)
    lab.ram.writeBig(leaf(CODE), BigInt(CODE) | 7n)
    lab.cpu.flushTlb(false)
    lab.run(10)
    expect(lab.cpu.gpr(0) & 0xffn).toBe(1n)
  })
})

describe("an instruction across two pages", () => {
  const at = CODE + 0x1000 - 2
  /** mov eax, 0x44332211 with its last three bytes in the next page, from two instructions before. */
  const crossing = (mode: "long" | "prot32" = "long") => {
    const lab = new Lab().enter(mode, mode === "long" ? 3 : 0)
    lab.code(at - 2, [NOP, NOP, 0xb8, 0x11, 0x22, 0x33, 0x44, 0xeb, 0xf7])
    lab.cpu.rip = BigInt(at - 2)
    return lab
  }

  it("is executed, again and again", () => {
    for (const mode of ["long", "prot32"] as const) {
      const lab = crossing(mode)
      lab.run(4 * 50 + 3)
      expect(lab.cpu.gpr(0), mode).toBe(0x44332211n)
      expect(lab.cpu.instructions).toBe(203)
    }
  })

  it("is decoded anew when either page is written", () => {
    const lab = crossing()
    lab.run(40)
    lab.ram.write8(at + 3, 0x99)
    lab.run(40)
    expect(lab.cpu.gpr(0)).toBe(0x44992211n)
    lab.ram.write8(at + 1, 0x77)
    lab.run(40)
    expect(lab.cpu.gpr(0)).toBe(0x44992277n)
  })

  it("is decoded anew when the second page is another one", () => {
    const lab = crossing()
    lab.run(40)
    lab.code(0x90000, [0xaa, 0xbb, 0xcc, 0xeb, 0xf7])
    lab.ram.writeBig(leaf(CODE + 0x1000), BigInt(0x90000) | 7n)
    lab.cpu.exports.invalidate(BigInt(CODE + 0x1000))
    lab.run(40)
    expect(lab.cpu.gpr(0)).toBe(0xccbbaa11n)
  })

  it("faults for the second page after the instructions before it, with that page's address", () => {
    const lab = crossing()
    lab.ram.writeBig(leaf(CODE + 0x1000), 0n)
    lab.run()
    expect(lab.vector).toBe(14)
    expect(lab.cpu.long(S.CR2)).toBe(BigInt(CODE + 0x1000))
    expect(lab.frame(2, 8)[1]).toBe(at)
    expect(lab.cpu.counters().instructions[3]).toBe(2)
  })
})

describe("limits of the code segment", () => {
  it("#GP at the first byte beyond, when execution runs into it", () => {
    const lab = new Lab().enter("prot32", 0, nops(100))
    lab.cpu.setSegment(S.SEG_CS, SEL.code0, 0n, CODE + 9, 0xc09b00 & ~0x800000)
    expect(lab.fault()).toEqual({ vector: 13, error: 0 })
    expect(lab.frame(2, 4)[1]).toBe(CODE + 10)
  })

  it("#GP in the instruction that lies across it", () => {
    const lab = new Lab().enter("prot32", 0, [...nops(8), 0xb8, 1, 2, 3, 4])
    lab.cpu.setSegment(S.SEG_CS, SEL.code0, 0n, CODE + 9, 0x409b00)
    expect(lab.fault()).toEqual({ vector: 13, error: 0 })
    expect(lab.frame(2, 4)[1]).toBe(CODE + 8)
  })

  it("#GP in the branch whose target is beyond, with the stack as it was", () => {
    const far = bytes32(0x1000)
    for (const branch of [
      [0xe9, ...far],
      [0xe8, ...far],
      [0x0f, 0x84, ...far],
      [0xff, 0xe0],
      [0xff, 0xd0],
    ]) {
      const lab = new Lab().enter("prot32", 0, [NOP, ...branch])
      lab.setFlags(0x40)
      lab.cpu.setGpr(0, BigInt(CODE + 0x1000))
      lab.cpu.setSegment(S.SEG_CS, SEL.code0, 0n, CODE + 0xfff, 0x409b00)
      const before = lab.stackTop
      expect(lab.fault(), `${branch}`).toEqual({ vector: 13, error: 0 })
      expect(lab.frame(2, 4)[1]).toBe(CODE + 1)
      expect(lab.stackTop + 16).toBe(before)
    }
  })
})

describe("gates", () => {
  const GATE = CODE + 0x800
  const withGate = (cpl: 0 | 3) => {
    // call GATE; hlt, and at the gate: ret
    const lab = new Lab().enter("long", cpl, [0xe8, ...bytes32(0x800 - 5), 0x90, 0xeb, 0xfe])
    lab.code(GATE, [0xc3])
    lab.machine.setGates(GATE, GATE + 0x100)
    return lab
  }

  it("leave run at ring 0 before the instruction; the next run executes it", () => {
    const lab = withGate(0)
    expect(lab.run()).toBe(S.EXIT_GATE)
    expect(lab.cpu.rip).toBe(BigInt(GATE))
    expect(lab.cpu.word(S.EXIT_DETAIL)).toBe(GATE)
    expect(lab.cpu.instructions).toBe(1)
    expect(lab.run(2)).toBe(S.EXIT_BUDGET)
    expect(Number(lab.cpu.rip)).toBe(CODE + 6)
  })

  it("are met again each time they are called", () => {
    const lab = withGate(0)
    lab.code(CODE + 5, [0xeb, 0xf9])
    for (let i = 0; i < 3; i++) expect(lab.run()).toBe(S.EXIT_GATE)
  })

  it("mean nothing at other rings", () => {
    const lab = withGate(3)
    expect(lab.run(20)).toBe(S.EXIT_BUDGET)
    expect(Number(lab.cpu.rip)).toBe(CODE + 6)
  })

  it("stop a block that runs into them", () => {
    const lab = new Lab().enter("long", 0, nops(0x40))
    lab.machine.setGates(CODE + 0x10, CODE + 0x20)
    expect(lab.run()).toBe(S.EXIT_GATE)
    expect(lab.cpu.instructions).toBe(0x10)
  })
})

describe("interrupts between instructions", () => {
  it("come at the next block at the latest, and find the state exact", () => {
    let line = true
    const lab = new Lab({
      portIn: () => 0,
      portOut: () => undefined,
      mmioRead: () => 0,
      mmioWrite: () => undefined,
      interruptAcknowledge: () => {
        const vector = line ? 0x30 : -1
        line = false
        return vector
      },
    }).enter("long", 3, [...nops(20), 0xeb, 0xea])
    lab.setFlags(0x200)
    lab.run(30)
    const rip = lab.cpu.rip
    lab.cpu.setWord(S.ATTENTION, S.ATT_INTR)
    lab.run(1)
    expect(Number(lab.cpu.rip)).toBe(handler(0x30) + 1)
    expect(lab.frame(1, 8)[0]).toBe(Number(rip))
    expect(HANDLERS).toBeLessThan(handler(0x30))
  })
})
