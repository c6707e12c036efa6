import { describe, expect, it } from "vitest"
import { openBus } from "../../src/machine/bus.ts"
import * as S from "../../src/machine/core/state.ts"
import {
  CODE,
  FL_IF,
  FL_NT,
  FL_RF,
  FL_TF,
  FL_VM,
  IST1,
  Lab,
  type Mode,
  SEL,
  STACK0,
  STACK1,
  STACK3,
  TABLES,
  TSS,
  gate,
  handler,
} from "./lab.ts"

/* Delivery of exceptions and interrupts and the way back (SDM vol. 3, chapter 6). */

const lab = new Lab()
const HLT = 0xf4
const IRET = 0xcf
const UD2 = [0x0f, 0x0b]
const INT = (n: number) => [0xcd, n]

/** Replaces the handler of `vector`. */
const handle = (vector: number, ...bytes: number[]) => lab.code(handler(vector), bytes)

const modes: ReadonlyArray<readonly [Mode, 0 | 1 | 3]> = [
  ["real", 0],
  ["v86", 3],
  ["prot16", 0],
  ["prot32", 0],
  ["prot32", 1],
  ["prot32", 3],
  ["compat", 0],
  ["compat", 3],
  ["long", 0],
  ["long", 3],
]

describe("a fault and the return from it", () => {
  it.each(modes)("%s at CPL %i: #UD restarts the instruction, registers and stack as before", (mode, cpl) => {
    lab.enter(mode, cpl, [...UD2]).setFlags(FL_IF)
    if (mode === "v86") lab.setIopl(3)
    const rip = lab.cpu.rip
    const before = {
      rsp: lab.cpu.gpr(4),
      flags: lab.cpu.flags,
      selectors: [0, 1, 2, 3, 4, 5].map((s) => lab.selector(s)),
      attributes: [0, 1, 2, 3, 4, 5].map((s) => lab.attr(s)),
    }
    // The handler's IRET, with the operand size of its gate.
    if (mode === "real") handle(6, IRET)
    else if (lab.long) handle(6, 0x48, IRET)
    else handle(6, IRET)
    // The fault counts as one.
    expect(lab.run(2)).toBe(S.EXIT_BUDGET)
    expect(lab.cpu.rip).toBe(rip)
    expect(lab.cpu.gpr(4)).toBe(before.rsp)
    expect(lab.cpu.cpl).toBe(cpl)
    // The frame's RF is set for a fault, so that the restarted instruction meets no breakpoint.
    const resume = mode === "real" ? 0n : BigInt(FL_RF)
    expect(lab.cpu.flags & ~BigInt(FL_RF)).toBe(before.flags & ~BigInt(FL_RF))
    expect(lab.cpu.flags & BigInt(FL_RF)).toBe(resume)
    expect([0, 1, 2, 3, 4, 5].map((s) => lab.selector(s))).toEqual(before.selectors)
    if (mode === "v86" || mode === "real") expect([0, 1, 2, 3, 4, 5].map((s) => lab.attr(s))).toEqual(before.attributes)
  })
})

describe("frames", () => {
  it("real mode: FLAGS, CS, IP in words; IF and TF clear", () => {
    lab.enter("real", 0, INT(0x40)).setFlags(FL_IF)
    lab.run()
    expect(lab.vector).toBe(0x40)
    expect(lab.frame(3, 2)).toEqual([2, CODE >> 4, FL_IF | 2])
    expect(Number(lab.cpu.flags) & (FL_IF | FL_TF)).toBe(0)
    expect(lab.cpu.gpr(4)).toBe(0x1000n - 6n)
  })

  it("32-bit gate, same privilege", () => {
    lab.enter("prot32", 0, INT(0x40)).setFlags(FL_IF | FL_NT)
    lab.run()
    expect(lab.vector).toBe(0x40)
    expect(lab.frame(3, 4)).toEqual([CODE + 2, SEL.code0, FL_IF | FL_NT | 2])
    expect(Number(lab.cpu.flags) & (FL_IF | FL_NT)).toBe(0)
  })

  it("a trap gate leaves IF set", () => {
    lab.enter("prot32", 0, INT(0x40)).setFlags(FL_IF)
    lab.setIdt(0x40, gate(SEL.code0, handler(0x40), 15, 0))
    lab.run()
    expect(lab.vector).toBe(0x40)
    expect(Number(lab.cpu.flags) & FL_IF).toBe(FL_IF)
  })

  it("32-bit gate from ring 3: the stack of the TSS, SS and ESP first", () => {
    lab.enter("prot32", 3, INT(0x40))
    lab.setIdt(0x40, gate(SEL.code0, handler(0x40), 14, 3))
    lab.run()
    expect(lab.vector).toBe(0x40)
    expect(lab.cpu.cpl).toBe(0)
    expect(lab.selector(S.SEG_SS)).toBe(SEL.data0)
    expect(lab.cpu.gpr(4)).toBe(BigInt(STACK0 - 20))
    expect(lab.frame(5, 4)).toEqual([CODE + 2, SEL.code3, 2, STACK3, SEL.data3])
  })

  it("32-bit gate from ring 3 to ring 1", () => {
    lab.enter("prot32", 3, INT(0x40))
    lab.setIdt(0x40, gate(SEL.code1, handler(0x40), 14, 3))
    lab.run(1)
    expect(lab.vector).toBe(0x40)
    expect(lab.cpu.cpl).toBe(1)
    expect(lab.selector(S.SEG_CS)).toBe(SEL.code1 | 1)
    expect(lab.selector(S.SEG_SS)).toBe(SEL.data1 | 1)
    expect(lab.cpu.gpr(4)).toBe(BigInt(STACK1 - 20))
  })

  it("16-bit gate pushes words", () => {
    lab.enter("prot32", 3, INT(0x40))
    lab.setIdt(0x40, gate(SEL.code0, handler(0x40), 6, 3))
    lab.run()
    expect(lab.vector).toBe(0x40)
    expect(lab.frame(5, 2)).toEqual([(CODE + 2) & 0xffff, SEL.code3, 2, STACK3 & 0xffff, SEL.data3])
  })

  it("v86: data segments on the stack and then null", () => {
    lab.enter("v86", 3, [...UD2])
    lab.cpu.setSegment(S.SEG_DS, 0x1234, 0x12340n, 0xffff, 0xf300)
    lab.cpu.setSegment(S.SEG_GS, 0x4321, 0x43210n, 0xffff, 0xf300)
    lab.cpu.refresh()
    lab.run()
    expect(lab.vector).toBe(6)
    expect(lab.frame(9, 4)).toEqual([
      0,
      CODE >> 4,
      FL_VM | FL_RF | 2,
      0x1000,
      (STACK3 - 0x1000) >> 4,
      0,
      0x1234,
      0,
      0x4321,
    ])
    expect([S.SEG_DS, S.SEG_ES, S.SEG_FS, S.SEG_GS].map((s) => lab.attr(s))).toEqual([0, 0, 0, 0])
    expect(Number(lab.cpu.flags) & FL_VM).toBe(0)
    expect(lab.cpu.cpl).toBe(0)
  })

  it.each([0, 3] as const)("long mode from CPL %i: five quadwords on an aligned stack", (cpl) => {
    lab.enter("long", cpl, INT(0x40))
    lab.setIdt(0x40, gate(SEL.code64, handler(0x40), 14, 3))
    const rsp = (cpl === 0 ? STACK0 - 0x800 : STACK3) - 5
    lab.cpu.setGpr(4, BigInt(rsp))
    const ss = lab.selector(S.SEG_SS)
    lab.run()
    expect(lab.vector).toBe(0x40)
    const top = cpl === 0 ? (rsp & ~15) - 40 : STACK0 - 40
    expect(lab.cpu.gpr(4)).toBe(BigInt(top))
    expect(lab.frame(5, 8)).toEqual([CODE + 2, cpl === 0 ? SEL.code64 : SEL.code64User, 2, rsp, ss])
    expect(lab.selector(S.SEG_SS)).toBe(cpl === 0 ? ss : 0)
  })

  it.each([1, 4, 7])("long mode with IST %i, same privilege: SS stays", (ist) => {
    lab.enter("long", 0, INT(0x40))
    lab.setIdt(0x40, gate(SEL.code64, handler(0x40), 14, 3, ist))
    lab.run()
    expect(lab.vector).toBe(0x40)
    expect(lab.cpu.gpr(4)).toBe(BigInt(IST1 + (ist - 1) * 0x1000 - 40))
    expect(lab.selector(S.SEG_SS)).toBe(SEL.data0)
  })

  it("compatibility mode goes to 64-bit handlers and comes back", () => {
    lab.enter("compat", 3, [...INT(0x40), 0x90])
    lab.setIdt(0x40, gate(SEL.code64, handler(0x40), 15, 3))
    handle(0x40, 0x48, IRET)
    lab.run(2)
    expect(lab.cpu.rip).toBe(BigInt(CODE + 2))
    expect(lab.cpu.word(S.MODE)).toBe(S.MODE_32)
    expect(lab.cpu.gpr(4)).toBe(BigInt(STACK3))
  })

  it("an error code lies on top", () => {
    // MOV DS, AX with a selector outside of the GDT.
    lab.enter("prot32", 3, [0x8e, 0xd8])
    lab.cpu.setGpr(0, BigInt(SEL.outside | 3))
    lab.run()
    expect(lab.vector).toBe(13)
    expect(lab.frame(6, 4)).toEqual([SEL.outside, CODE, SEL.code3, FL_RF | 2, STACK3, SEL.data3])
  })
})

describe("gates are checked", () => {
  const vector = 0x40
  const idt = (vector << 3) | 2
  const cases: ReadonlyArray<readonly [string, Mode, bigint, number, number]> = [
    ["wrong type", "prot32", gate(SEL.code0, 0, 12, 3), 13, idt],
    ["task gate in long mode", "long", gate(SEL.tss, 0, 5, 3), 13, idt],
    ["16-bit gate in long mode", "long", gate(SEL.code64, 0, 6, 3), 13, idt],
    ["DPL below CPL", "prot32", gate(SEL.code0, 0, 14, 0), 13, idt],
    ["DPL below CPL", "long", gate(SEL.code64, 0, 14, 0), 13, idt],
    ["not present", "prot32", gate(SEL.code0, 0, 14, 3, 0, false), 11, idt],
    ["null selector", "prot32", gate(0, 0, 14, 3), 13, 0],
    ["selector outside", "prot32", gate(SEL.outside, 0, 14, 3), 13, SEL.outside],
    ["data segment", "prot32", gate(SEL.data0, 0, 14, 3), 13, SEL.data0],
    ["code segment not present", "prot32", gate(SEL.absentCode, 0, 14, 3), 11, SEL.absentCode],
    ["32-bit code in long mode", "long", gate(SEL.code0, 0, 14, 3), 13, SEL.code0],
    ["task gate to no TSS", "prot32", gate(SEL.data0, 0, 5, 3), 13, SEL.data0],
    ["task gate to a busy TSS", "prot32", gate(SEL.tss, 0, 5, 3), 13, SEL.tss],
    ["task gate to the LDT", "prot32", gate(4, 0, 5, 3), 13, 4],
  ]
  it.each(cases)("%s (%s)", (_name, mode, entry, expected, error) => {
    lab.enter(mode, 3, INT(vector))
    lab.setIdt(vector, entry)
    expect(lab.fault()).toEqual({ vector: expected, error })
  })

  it("beyond the IDT's limit", () => {
    lab.enter("prot32", 0, INT(0x40))
    lab.cpu.setWord(S.IDTR_LIMIT, 0x40 * 8 + 6)
    expect(lab.fault()).toEqual({ vector: 13, error: idt })
  })

  it("a hardware event's error code says EXT", () => {
    const bus = { ...openBus, interruptAcknowledge: () => vector }
    const lab = new Lab(bus)
    lab.enter("prot32", 0, [0x90, 0x90]).setFlags(FL_IF)
    lab.setIdt(vector, gate(SEL.code0, 0, 14, 0, 0, false))
    lab.cpu.setIntr(true)
    expect(lab.fault()).toEqual({ vector: 11, error: idt | 1 })
  })

  it("INT3 minds the gate's DPL, INT1 and hardware do not", () => {
    lab.enter("prot32", 3, [0xcc])
    expect(lab.fault()).toEqual({ vector: 13, error: (3 << 3) | 2 })
    lab.enter("prot32", 3, [0xf1])
    lab.run()
    expect(lab.vector).toBe(1)
  })

  it("a non-canonical handler", () => {
    lab.enter("long", 0, INT(vector))
    lab.setIdt(vector, gate(SEL.code64, 0, 14, 0), 0x8000n)
    expect(lab.fault()).toEqual({ vector: 13, error: 0 })
  })
})

describe("the stack of the inner ring", () => {
  const enter = () => {
    lab.enter("prot32", 3, INT(0x40))
    lab.setIdt(0x40, gate(SEL.code1, handler(0x40), 14, 3))
  }
  const cases: ReadonlyArray<readonly [string, number, number, number]> = [
    ["null", 0, 10, 0],
    ["outside", SEL.outside | 1, 10, SEL.outside],
    ["wrong RPL", SEL.data1, 10, SEL.data1],
    ["wrong DPL", SEL.data0 | 1, 10, SEL.data0],
    ["code", SEL.code1 | 1, 10, SEL.code1],
  ]
  it.each(cases)("%s is #TS", (_name, selector, vector, error) => {
    enter()
    lab.ram.write32(TSS + 0x10, selector)
    expect(lab.fault()).toEqual({ vector, error })
  })

  it("not in the TSS's limit is #TS of the TSS", () => {
    enter()
    lab.cpu.setSegment(S.SEG_TR, SEL.tss, BigInt(TSS), 0x10, 0x8b00)
    expect(lab.fault()).toEqual({ vector: 10, error: SEL.tss })
  })

  it("without room is #SS of the new selector", () => {
    enter()
    lab.ram.writeBig(0x1000 + SEL.data1, 0x00403300_0000_0fffn | (0xb3n << 40n))
    lab.ram.write32(TSS + 0x0c, 0x2000)
    expect(lab.fault()).toEqual({ vector: 12, error: SEL.data1 })
  })

  it("a non-canonical RSP in the TSS is #SS(0)", () => {
    lab.enter("long", 3, INT(0x40))
    lab.setIdt(0x40, gate(SEL.code64, handler(0x40), 14, 3, 2))
    lab.setIdt(12, gate(SEL.code64, handler(12), 14, 0, 1))
    lab.ram.writeBig(TSS + 0x2c, 0x8000_0000_0000n)
    expect(lab.fault()).toEqual({ vector: 12, error: 0 })
  })

  it("a TSS too short for the IST is #TS", () => {
    lab.enter("long", 0, INT(0x40))
    lab.setIdt(0x40, gate(SEL.code64, handler(0x40), 14, 0, 7))
    lab.cpu.setSegment(S.SEG_TR, SEL.tss, BigInt(TSS), 0x57, 0x8b00)
    expect(lab.fault()).toEqual({ vector: 10, error: SEL.tss })
  })
})

describe("faults while a fault is delivered", () => {
  it("contributory twice is a double fault with error code 0", () => {
    lab.enter("prot32", 0, [0x8e, 0xd8])
    lab.cpu.setGpr(0, BigInt(SEL.outside))
    lab.setIdt(13, gate(SEL.code0, 0, 14, 0, 0, false))
    expect(lab.fault()).toEqual({ vector: 8, error: 0 })
    expect(lab.frame(2, 4)[1]).toBe(CODE)
  })

  it("benign then contributory is delivered as the second, with EXT", () => {
    lab.enter("prot32", 0, UD2)
    lab.setIdt(6, gate(SEL.code0, 0, 14, 0, 0, false))
    expect(lab.fault()).toEqual({ vector: 11, error: (6 << 3) | 2 | 1 })
  })

  it("INT n to a gate that is not there is no double fault", () => {
    lab.enter("prot32", 0, INT(0x40))
    lab.setIdt(0x40, 0n)
    expect(lab.fault()).toEqual({ vector: 13, error: (0x40 << 3) | 2 })
  })

  it("page fault then contributory is a double fault; contributory then page fault is a page fault", () => {
    // Long mode: MOV RAX, [1 MiB - unmapped].
    const load = [0x48, 0x8b, 0x04, 0x25, 0x00, 0x00, 0x10, 0x00]
    const unmap = (page: number) => lab.ram.writeBig(TABLES + 0x3000 + page * 8, 0n)
    lab.enter("long", 0, load)
    unmap(0x100)
    lab.setIdt(14, 0n)
    expect(lab.fault()).toEqual({ vector: 8, error: 0 })
    expect(lab.cpu.long(S.CR2)).toBe(0x100000n)

    // #GP whose gate leads to a stack that is not mapped: #PF is delivered.
    lab.enter("long", 0, [0x8e, 0xd8])
    lab.cpu.setGpr(0, BigInt(SEL.outside))
    lab.setIdt(13, gate(SEL.code64, handler(13), 14, 0, 1))
    unmap((IST1 - 0x1000) >> 12)
    const result = lab.fault()
    expect(result.vector).toBe(14)
    expect(result.error).toBe(2)
    expect(lab.cpu.long(S.CR2)).toBe(BigInt(IST1 - 8))
  })

  it("a third fault shuts the processor down", () => {
    lab.enter("prot32", 0, UD2)
    lab.cpu.setWord(S.IDTR_LIMIT, 0)
    expect(lab.run()).toBe(S.EXIT_SHUTDOWN)
    expect(lab.cpu.rip).toBe(BigInt(CODE))
    // And it stays so.
    expect(lab.run()).toBe(S.EXIT_SHUTDOWN)
  })

  it("a page fault while a double fault is delivered shuts down too", () => {
    lab.enter("long", 0, [0x8e, 0xd8])
    lab.cpu.setGpr(0, BigInt(SEL.outside))
    lab.setIdt(13, 0n)
    lab.setIdt(8, gate(SEL.code64, handler(8), 14, 0, 1))
    lab.ram.writeBig(TABLES + 0x3000 + ((IST1 - 0x1000) >> 12) * 8, 0n)
    expect(lab.run()).toBe(S.EXIT_SHUTDOWN)
  })
})

describe("IRET", () => {
  it("to an outer ring drops segments that it must not keep", () => {
    lab.enter("prot32", 0, [IRET])
    const esp = STACK0 - 0x800
    ;[CODE + 0x100, SEL.code3, 2, STACK3, SEL.data3].forEach((v, i) => lab.ram.write32(esp + 4 * i, v))
    lab.load(S.SEG_ES, SEL.data3)
    lab.load(S.SEG_FS, SEL.conforming)
    lab.cpu.refresh()
    lab.run(1)
    expect(lab.cpu.cpl).toBe(3)
    expect(lab.cpu.gpr(4)).toBe(BigInt(STACK3))
    expect(lab.selector(S.SEG_DS)).toBe(0)
    expect(lab.attr(S.SEG_DS)).toBe(0)
    expect(lab.selector(S.SEG_ES)).toBe(SEL.data3)
    expect(lab.selector(S.SEG_FS)).toBe(SEL.conforming)
    expect(lab.selector(S.SEG_GS)).toBe(0)
  })

  const bad: ReadonlyArray<readonly [string, ReadonlyArray<number>, number, number]> = [
    ["null CS", [CODE, 0, 2, 0, 0], 13, 0],
    ["CS outside", [CODE, SEL.outside, 2, 0, 0], 13, SEL.outside],
    ["CS is data", [CODE, SEL.data0, 2, 0, 0], 13, SEL.data0],
    ["DPL is not RPL", [CODE, SEL.code0 | 3, 2, 0, 0], 13, SEL.code0],
    ["CS not present", [CODE, SEL.absentCode, 2, 0, 0], 11, SEL.absentCode],
    ["SS null", [CODE, SEL.code3, 2, STACK3, 0], 13, 0],
    ["SS of the wrong ring", [CODE, SEL.code3, 2, STACK3, SEL.data0 | 3], 13, SEL.data0],
  ]
  it.each(bad)("%s", (_name, frame, vector, error) => {
    lab.enter("prot32", 0, [IRET])
    frame.forEach((v, i) => lab.ram.write32(STACK0 - 0x800 + 4 * i, v))
    expect(lab.fault()).toEqual({ vector, error })
    // The stack pointer has not moved but for the fault's frame.
    expect(lab.cpu.gpr(4)).toBe(BigInt(STACK0 - 0x800 - 16))
  })

  it("IRETQ always pops SS:RSP, and a null SS is good enough for ring 0", () => {
    lab.enter("long", 0, [0x48, IRET])
    ;[CODE + 0x100, SEL.code64, 2, 0x12345, 0].forEach((v, i) => lab.ram.writeBig(STACK0 - 0x800 + 8 * i, BigInt(v)))
    lab.run(1)
    expect(lab.cpu.rip).toBe(BigInt(CODE + 0x100))
    expect(lab.cpu.gpr(4)).toBe(0x12345n)
    expect(lab.attr(S.SEG_SS)).toBe(0)
  })

  it("IRETQ to a non-canonical address is #GP(0) in the frame's own context", () => {
    lab.enter("long", 0, [0x48, IRET])
    lab.ram.writeBig(STACK0 - 0x800, 0x8000_0000_0000n)
    lab.ram.writeBig(STACK0 - 0x800 + 8, BigInt(SEL.code64))
    expect(lab.fault()).toEqual({ vector: 13, error: 0 })
    expect(lab.frame(2, 8)[1]).toBe(CODE)
  })

  it("IRETQ from ring 0 to ring 3 and compatibility mode", () => {
    lab.enter("long", 0, [0x48, IRET])
    ;[CODE + 0x100, SEL.code3, 2, STACK3, SEL.data3].forEach((v, i) =>
      lab.ram.writeBig(STACK0 - 0x800 + 8 * i, BigInt(v)),
    )
    lab.run(1)
    expect(lab.cpu.word(S.MODE)).toBe(S.MODE_32)
    expect(lab.cpu.cpl).toBe(3)
  })

  it("with NT in long mode is #GP(0)", () => {
    lab.enter("long", 0, [0x48, IRET]).setFlags(FL_NT)
    expect(lab.fault()).toEqual({ vector: 13, error: 0 })
  })

  it("ring 3 changes neither IF nor IOPL", () => {
    lab.enter("prot32", 3, [IRET])
    ;[CODE + 0x100, SEL.code3, 0x3202].forEach((v, i) => lab.ram.write32(STACK3 + 4 * i, v))
    lab.run(1)
    expect(lab.cpu.flags).toBe(2n)
  })
})

describe("interrupts", () => {
  const withVector = (vector: number) => new Lab({ ...openBus, interruptAcknowledge: () => vector })

  it("wait for IF", () => {
    const lab = withVector(0x50)
    lab.enter("prot32", 0, [0x90, 0x90, 0xfb, 0x90, 0x90])
    lab.cpu.setIntr(true)
    lab.run(2)
    expect(lab.cpu.rip).toBe(BigInt(CODE + 2))
    // STI, and one instruction in its shadow.
    lab.run(1)
    expect(lab.cpu.rip).toBe(BigInt(CODE + 3))
    lab.run(1)
    expect(lab.cpu.rip).toBe(BigInt(CODE + 4))
    lab.run(1)
    expect(lab.vector).toBe(0x50)
    expect(lab.frame(1, 4)).toEqual([CODE + 4])
  })

  it("STI; HLT sleeps and is woken behind the HLT", () => {
    const lab = withVector(0x50)
    lab.enter("prot32", 0, [0xfb, HLT, 0x90])
    expect(lab.run(10)).toBe(S.EXIT_HALT)
    expect(lab.cpu.rip).toBe(BigInt(CODE + 2))
    expect(lab.cpu.halted).toBe(true)
    lab.cpu.setIntr(true)
    lab.run(1)
    expect(lab.vector).toBe(0x50)
    expect(lab.frame(1, 4)).toEqual([CODE + 2])
  })

  it("STI; HLT with a request that already waits is woken at once", () => {
    const lab = withVector(0x50)
    lab.enter("prot32", 0, [0xfb, HLT, 0x90])
    lab.cpu.setIntr(true)
    lab.run(3)
    expect(lab.vector).toBe(0x50)
    expect(lab.frame(1, 4)).toEqual([CODE + 2])
  })

  it("MOV SS shadows one instruction", () => {
    const lab = withVector(0x50)
    lab.enter("prot32", 0, [0x8e, 0xd0, 0x90, 0x90]).setFlags(FL_IF)
    lab.cpu.setGpr(0, BigInt(SEL.data0))
    lab.run(1)
    lab.cpu.setIntr(true)
    lab.run(1)
    expect(lab.cpu.rip).toBe(BigInt(CODE + 3))
    lab.run(1)
    expect(lab.vector).toBe(0x50)
  })

  it("a spurious request is dropped", () => {
    const lab = new Lab()
    lab.enter("prot32", 0, [0x90, 0x90]).setFlags(FL_IF)
    lab.cpu.setIntr(true)
    lab.run(2)
    expect(lab.cpu.rip).toBe(BigInt(CODE + 2))
  })

  it("NMI goes before INTR, once until IRET, and comes again after it", () => {
    const lab = withVector(0x50)
    lab.enter("prot32", 0, [0x90, 0x90])
    lab.code(handler(2), [0x90, 0x90, IRET])
    lab.cpu.attend(S.ATT_NMI)
    lab.run(1)
    expect(lab.cpu.rip).toBe(BigInt(handler(2) + 1))
    lab.cpu.attend(S.ATT_NMI)
    lab.run(1)
    expect(lab.cpu.rip).toBe(BigInt(handler(2) + 2))
    // IRET, and the next boundary takes the second one.
    lab.run(2)
    expect(lab.cpu.rip).toBe(BigInt(handler(2) + 1))
  })

  it("STOP leaves at the next boundary and loses nothing", () => {
    const lab = withVector(0x50)
    lab.enter("prot32", 0, [0x90, 0x90]).setFlags(FL_IF)
    lab.cpu.setIntr(true)
    lab.cpu.attend(S.ATT_STOP)
    expect(lab.run(5)).toBe(S.EXIT_STOP)
    expect(lab.cpu.rip).toBe(BigInt(CODE))
    lab.run(1)
    expect(lab.vector).toBe(0x50)
  })

  it("are counted by vector", () => {
    const lab = withVector(0x50)
    lab.enter("prot32", 0, [0x90]).setFlags(FL_IF)
    lab.cpu.setIntr(true)
    lab.run(1)
    expect(lab.cpu.counters().vectors[0x50]).toBe(1)
    expect(lab.cpu.counters().interrupts).toBe(1)
  })
})
