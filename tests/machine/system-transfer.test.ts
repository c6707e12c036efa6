import { describe, expect, it } from "vitest"
import * as S from "../../src/machine/core/state.ts"
import {
  CODE,
  FL_IF,
  FL_NT,
  FL_RF,
  FL_TF,
  FL_VM,
  GDT,
  Lab,
  type Mode,
  SEL,
  STACK0,
  STACK3,
  TABLES,
  TSS,
  TSS2,
  descriptor,
  gate,
  handler,
} from "./lab.ts"

/* Far jumps, calls and returns, call gates, task switches, and the fast system calls. */

const lab = new Lab()
const { cpu, ram } = lab

const le = (value: number, bytes: number) => Array.from({ length: bytes }, (_, i) => (value >>> (8 * i)) & 0xff)
const jmpf = (selector: number, offset: number) => [0xea, ...le(offset, 4), ...le(selector, 2)]
const callf = (selector: number, offset: number) => [0x9a, ...le(offset, 4), ...le(selector, 2)]
const RETF = 0xcb
const TARGET = CODE + 0x800

/** 64-bit code has far transfers through memory alone: FF /5 and /3 of [RDI]. */
const jmpfMemory = [0xff, 0x2f]
const callfMemory = [0xff, 0x1f]
const pointAt = (selector: number, offset: number, at = 0x40000) => {
  ram.write32(at, offset)
  ram.write16(at + 4, selector)
  cpu.setGpr(7, BigInt(at))
}

const outcome = () => {
  cpu.run(1)
  return lab.vector === undefined ? undefined : [lab.vector, lab.frame(1, lab.long ? 8 : 4)[0]]
}

describe("far JMP to code", () => {
  const jump = (selector: number, offset = TARGET, cpl: 0 | 1 | 3 = 0, mode: Mode = "prot32") => {
    lab.enter(mode, cpl, jmpf(selector, offset))
    return outcome()
  }

  it("sets CS and EIP; the accessed bit is set", () => {
    ram.writeBig(GDT + SEL.code0, 0n)
    expect(jump(SEL.code0)).toBe(undefined)
    expect(cpu.rip).toBe(BigInt(TARGET))
    expect(lab.selector(S.SEG_CS)).toBe(SEL.code0)
    lab.enter("prot32", 0, jmpf(SEL.executeOnly, TARGET))
    ram.writeBig(GDT + SEL.executeOnly, descriptor(0, 0xfffff, 0x98, 0xc))
    expect(outcome()).toBe(undefined)
    expect(ram.read8(GDT + SEL.executeOnly + 5)).toBe(0x99)
  })

  it("checks the selector", () => {
    expect(jump(0)).toEqual([13, 0])
    expect(jump(SEL.outside)).toEqual([13, SEL.outside])
    expect(jump(SEL.data0)).toEqual([13, SEL.data0])
    expect(jump(SEL.absentCode)).toEqual([11, SEL.absentCode])
    expect(jump(SEL.code0, TARGET, 3)).toEqual([13, SEL.code0])
    expect(jump(SEL.code3, TARGET, 0)).toEqual([13, SEL.code3 & 0xfffc])
    expect(jump(SEL.code0 | 3, TARGET, 0)).toEqual([13, SEL.code0])
    expect(jump(SEL.code16, 0x10000)).toEqual([13, 0])
  })

  it("conforming code runs at the caller's privilege", () => {
    expect(jump(SEL.conforming, TARGET, 3)).toBe(undefined)
    expect(cpu.cpl).toBe(3)
    expect(lab.selector(S.SEG_CS)).toBe(SEL.conforming | 3)
  })

  it("real mode multiplies", () => {
    lab.enter("real", 0, [0xea, 0x34, 0x12, 0x00, 0x20])
    cpu.run(1)
    expect(cpu.rip).toBe(0x1234n)
    expect(cpu.long(S.SEG + S.SEG_CS * S.SEG_STRIDE)).toBe(0x20000n)
  })

  it("64-bit code to compatibility code and back", () => {
    lab.enter("long", 0, jmpfMemory)
    pointAt(SEL.code0, TARGET)
    expect(outcome()).toBe(undefined)
    expect(cpu.word(S.MODE)).toBe(S.MODE_32)
    lab.code(TARGET, jmpf(SEL.code64, CODE + 0x900))
    expect(outcome()).toBe(undefined)
    expect(cpu.word(S.MODE)).toBe(S.MODE_64)
    expect(cpu.rip).toBe(BigInt(CODE + 0x900))
  })

  it("a descriptor with L and D is refused in long mode", () => {
    lab.enter("long", 0, jmpfMemory)
    ram.writeBig(GDT + SEL.code16, descriptor(0, 0xfffff, 0x9b, 0xe))
    pointAt(SEL.code16, TARGET)
    expect(outcome()).toEqual([13, SEL.code16])
  })
})

describe("far CALL and RETF", () => {
  it("same privilege: CS and EIP on the stack, and back with parameters released", () => {
    lab.enter("prot32", 0, callf(SEL.code0, TARGET))
    lab.code(TARGET, [0xca, 8, 0])
    cpu.run(1)
    expect(lab.frame(2, 4)).toEqual([CODE + 7, SEL.code0])
    cpu.run(1)
    expect(cpu.rip).toBe(BigInt(CODE + 7))
    expect(cpu.gpr(4)).toBe(BigInt(STACK0 - 0x800 + 8))
  })

  it("64-bit code: through memory, doublewords; RETF and RETFQ", () => {
    lab.enter("long", 0, callfMemory)
    pointAt(SEL.code64, TARGET)
    lab.code(TARGET, [RETF])
    cpu.run(1)
    expect(lab.frame(2, 4)).toEqual([CODE + 2, SEL.code64])
    cpu.run(1)
    expect(cpu.rip).toBe(BigInt(CODE + 2))
    expect(cpu.gpr(4)).toBe(BigInt(STACK0 - 0x800))
    lab.enter("long", 0, [0x48, RETF])
    ram.writeBig(STACK0 - 0x800, 0x20900n)
    ram.writeBig(STACK0 - 0x7f8, BigInt(SEL.code64))
    cpu.run(1)
    expect(cpu.rip).toBe(0x20900n)
  })

  it("RETF to an outer ring pops the stack and drops inner segments", () => {
    lab.enter("prot32", 0, [RETF])
    ;[TARGET, SEL.code3, STACK3, SEL.data3].forEach((v, i) => ram.write32(STACK0 - 0x800 + 4 * i, v))
    cpu.run(1)
    expect(lab.vector).toBe(undefined)
    expect(cpu.cpl).toBe(3)
    expect(cpu.gpr(4)).toBe(BigInt(STACK3))
    expect(lab.attr(S.SEG_DS)).toBe(0)
  })

  it("RETF never goes inwards", () => {
    lab.enter("prot32", 3, [RETF])
    ;[TARGET, SEL.code0, STACK0, SEL.data0].forEach((v, i) => ram.write32(STACK3 + 4 * i, v))
    expect(outcome()).toEqual([13, SEL.code0])
  })
})

describe("call gates", () => {
  it("to an inner ring: a new stack with SS, ESP, parameters, CS, EIP; and RETF n back", () => {
    lab.enter("prot32", 3, callf(SEL.callGate | 3, 0xdeadbeef))
    ram.write32(STACK3, 0x11111111)
    ram.write32(STACK3 + 4, 0x22222222)
    lab.code(TARGET, [0xca, 8, 0])
    expect(outcome()).toBe(undefined)
    expect(cpu.cpl).toBe(0)
    expect(cpu.rip).toBe(BigInt(TARGET))
    expect(lab.frame(6, 4)).toEqual([CODE + 7, SEL.code3, 0x11111111, 0x22222222, STACK3, SEL.data3])
    expect(cpu.gpr(4)).toBe(BigInt(STACK0 - 24))
    cpu.run(1)
    expect(cpu.cpl).toBe(3)
    expect(cpu.gpr(4)).toBe(BigInt(STACK3 + 8))
    expect(cpu.rip).toBe(BigInt(CODE + 7))
  })

  it("same privilege: no stack switch, no parameters", () => {
    lab.enter("prot32", 0, callf(SEL.callGate, 0))
    expect(outcome()).toBe(undefined)
    expect(lab.frame(2, 4)).toEqual([CODE + 7, SEL.code0])
  })

  it("16-bit gate: words and a 16-bit offset", () => {
    lab.enter("prot32", 3, callf(SEL.callGate | 3, 0))
    ram.writeBig(GDT + SEL.callGate, gate(SEL.code0, 0x9800, 4, 3, 1))
    ram.write16(STACK3, 0x3333)
    expect(outcome()).toBe(undefined)
    expect(cpu.rip).toBe(0x9800n)
    expect(lab.frame(5, 2)).toEqual([(CODE + 7) & 0xffff, SEL.code3, 0x3333, STACK3 & 0xffff, SEL.data3])
  })

  it("are guarded by DPL, RPL, presence and their target", () => {
    const call = (entry: bigint, selector: number = SEL.callGate | 3, jump = false) => {
      lab.enter("prot32", 3, jump ? jmpf(selector, 0) : callf(selector, 0))
      ram.writeBig(GDT + SEL.callGate, entry)
      return outcome()
    }
    const to = (selector: number, dpl = 3, present = true) => gate(selector, TARGET, 12, dpl, 0, present)
    expect(call(to(SEL.code0, 2))).toEqual([13, SEL.callGate])
    expect(call(to(SEL.code0, 3, false))).toEqual([11, SEL.callGate])
    expect(call(to(0))).toEqual([13, 0])
    expect(call(to(SEL.data0))).toEqual([13, SEL.data0])
    expect(call(to(SEL.absentCode))).toEqual([11, SEL.absentCode])
    expect(call(to(SEL.outside))).toEqual([13, SEL.outside])
    // A jump through a gate changes no privilege.
    expect(call(to(SEL.code0), SEL.callGate | 3, true)).toEqual([13, SEL.code0])
    expect(call(to(SEL.conforming), SEL.callGate | 3, true)).toBe(undefined)
    expect(cpu.cpl).toBe(3)
  })

  it("64-bit gates: SS:RSP and CS:RIP in quadwords, SS null", () => {
    lab.enter("long", 3, callfMemory)
    pointAt(SEL.callGate64 | 3, 0)
    expect(outcome()).toBe(undefined)
    expect(cpu.cpl).toBe(0)
    expect(lab.frame(4, 8)).toEqual([CODE + 2, SEL.code64User, STACK3, SEL.data3])
    expect(lab.selector(S.SEG_SS)).toBe(0)
    lab.code(TARGET, [0x48, RETF])
    cpu.run(1)
    expect(cpu.cpl).toBe(3)
    expect(cpu.gpr(4)).toBe(BigInt(STACK3))
  })

  it("64-bit gates lead to 64-bit code only", () => {
    lab.enter("long", 3, callfMemory)
    ram.writeBig(GDT + SEL.callGate64, gate(SEL.code0, TARGET, 12, 3))
    pointAt(SEL.callGate64 | 3, 0)
    expect(outcome()).toEqual([13, SEL.code0])
  })
})

describe("task switches", () => {
  /** A 32-bit task at TSS2. */
  const task = (
    fields: Partial<Record<"cr3" | "eip" | "eflags" | "cs" | "ss" | "ds" | "esp" | "trap", number>> = {},
  ) => {
    const t = {
      cr3: 0,
      eip: TARGET,
      eflags: 2,
      cs: SEL.code0,
      ss: SEL.data0,
      ds: SEL.data0,
      esp: STACK0,
      trap: 0,
      ...fields,
    }
    ram.write32(TSS2 + 0x1c, t.cr3)
    ram.write32(TSS2 + 0x20, t.eip)
    ram.write32(TSS2 + 0x24, t.eflags)
    for (let i = 0; i < 8; i++) ram.write32(TSS2 + 0x28 + 4 * i, 0x1000 + i)
    ram.write32(TSS2 + 0x38, t.esp)
    ;[t.ds, t.cs, t.ss, t.ds, 0, 0].forEach((s, i) => ram.write32(TSS2 + 0x48 + 4 * i, s))
    ram.write32(TSS2 + 0x60, 0)
    ram.write16(TSS2 + 0x64, t.trap)
  }
  const busy = (selector: number) => (ram.read8(GDT + selector + 5) & 2) !== 0

  it("JMP saves the old task, loads the new one, moves the busy flag", () => {
    lab.enter("prot32", 0, jmpf(SEL.tss2, 0))
    task()
    cpu.setGpr(0, 0xcafen)
    cpu.run(1)
    expect(lab.vector).toBe(undefined)
    expect(cpu.rip).toBe(BigInt(TARGET))
    expect([0, 1, 2, 3, 5, 6, 7].map((r) => cpu.gprLo(r))).toEqual([0, 1, 2, 3, 5, 6, 7].map((i) => 0x1000 + i))
    expect(cpu.gprLo(4)).toBe(STACK0)
    expect(ram.read32(TSS + 0x20)).toBe(CODE + 7)
    expect(ram.read32(TSS + 0x28)).toBe(0xcafe)
    expect(ram.read16(TSS + 0x4c)).toBe(SEL.code0)
    expect([busy(SEL.tss), busy(SEL.tss2)]).toEqual([false, true])
    expect(lab.selector(S.SEG_TR)).toBe(SEL.tss2)
    expect(cpu.long(S.CR0) & 8n).toBe(8n)
    expect(cpu.flags & BigInt(FL_NT)).toBe(0n)
  })

  it("CALL nests: link and NT; IRET goes back", () => {
    lab.enter("prot32", 0, [...callf(SEL.taskGate, 0), 0x90])
    task()
    lab.code(TARGET, [0xcf])
    cpu.run(1)
    expect(lab.vector).toBe(undefined)
    expect(ram.read16(TSS2)).toBe(SEL.tss)
    expect(Number(cpu.flags) & FL_NT).toBe(FL_NT)
    expect([busy(SEL.tss), busy(SEL.tss2)]).toEqual([true, true])
    cpu.run(1)
    expect(cpu.rip).toBe(BigInt(CODE + 7))
    expect(Number(cpu.flags) & FL_NT).toBe(0)
    expect([busy(SEL.tss), busy(SEL.tss2)]).toEqual([true, false])
    expect(ram.read32(TSS2 + 0x20)).toBe(TARGET + 1)
    expect(ram.read32(TSS2 + 0x24) & FL_NT).toBe(0)
    expect(cpu.gpr(4)).toBe(BigInt(STACK0 - 0x800))
  })

  it("an exception through a task gate pushes its error code on the new stack", () => {
    lab.enter("prot32", 3, [0x8e, 0xd8])
    task()
    cpu.setGpr(0, BigInt(SEL.outside | 3))
    lab.setIdt(13, gate(SEL.tss2, 0, 5, 0))
    cpu.run(1)
    expect(cpu.rip).toBe(BigInt(TARGET))
    expect(cpu.cpl).toBe(0)
    expect(cpu.gprLo(4)).toBe(STACK0 - 4)
    expect(lab.frame(1, 4)).toEqual([SEL.outside])
    expect(ram.read32(TSS + 0x20)).toBe(CODE)
    expect(ram.read32(TSS + 0x24) & FL_RF).toBe(FL_RF)
  })

  it("loads CR3 when paging is on", () => {
    lab.enter("prot32", 0, jmpf(SEL.tss2, 0))
    // 4 MiB identity page, twice.
    for (const table of [TABLES, TABLES + 0x1000]) ram.write32(table, 0x83)
    cpu.setLong(S.CR4, 0x10n)
    cpu.setLong(S.CR3, BigInt(TABLES))
    cpu.setLong(S.CR0, 0x80000011n)
    cpu.refresh()
    task({ cr3: TABLES + 0x1000 })
    cpu.run(1)
    expect(cpu.rip).toBe(BigInt(TARGET))
    expect(cpu.long(S.CR3)).toBe(BigInt(TABLES + 0x1000))
  })

  it("into virtual-8086 mode", () => {
    lab.enter("prot32", 0, jmpf(SEL.tss2, 0))
    task({ eflags: FL_VM | 2, cs: CODE >> 4, ss: 0x3000, ds: 0x4000, eip: 0x100, esp: 0x800 })
    cpu.run(1)
    expect(cpu.cpl).toBe(3)
    expect(cpu.long(S.SEG + S.SEG_DS * S.SEG_STRIDE)).toBe(0x40000n)
    expect(cpu.long(S.SEG + S.SEG_CS * S.SEG_STRIDE)).toBe(BigInt(CODE))
    expect(cpu.word(S.MODE)).toBe(S.MODE_16)
  })

  it("faults of the incoming task belong to it", () => {
    const into = (fields: Parameters<typeof task>[0]) => {
      lab.enter("prot32", 0, jmpf(SEL.tss2, 0))
      task(fields)
      const result = outcome()
      // The frame was pushed in the new task, before its first instruction.
      return [...(result ?? []), lab.selector(S.SEG_TR), lab.frame(2, 4)[1]]
    }
    expect(into({ ds: SEL.outside })).toEqual([10, SEL.outside, SEL.tss2, TARGET])
    expect(into({ ds: SEL.absent })).toEqual([11, SEL.absent, SEL.tss2, TARGET])
    expect(into({ eip: 0x10000, cs: SEL.code16 })).toEqual([13, 0, SEL.tss2, 0x10000])
  })

  it("a TSS that is too short is #TS in the old task", () => {
    lab.enter("prot32", 0, jmpf(SEL.tss2, 0))
    ram.writeBig(GDT + SEL.tss2, descriptor(TSS2, 0x66, 0x89, 0))
    expect(outcome()).toEqual([10, SEL.tss2])
    expect(lab.selector(S.SEG_TR)).toBe(SEL.tss)
  })

  it("so is one that has no room for the old task's registers", () => {
    lab.enter("prot32", 0, jmpf(SEL.tss2, 0))
    task()
    cpu.setSegment(S.SEG_TR, SEL.tss, BigInt(TSS), 0x66, 0x8b00)
    const before = ram.read32(TSS + 0x20)
    expect(outcome()).toEqual([10, SEL.tss])
    expect(lab.selector(S.SEG_TR)).toBe(SEL.tss)
    expect([ram.read32(TSS + 0x20), busy(SEL.tss2)]).toEqual([before, false])
    // A 16-bit one needs 2Ch bytes.
    lab.enter("prot32", 0, jmpf(SEL.tss2, 0))
    task()
    cpu.setSegment(S.SEG_TR, SEL.tss, BigInt(TSS), 0x2b, 0x8300)
    cpu.run(1)
    expect(lab.selector(S.SEG_TR)).toBe(SEL.tss2)
  })

  it("a busy one is #GP, or #TS as the link of an IRET is when it is not", () => {
    lab.enter("prot32", 0, jmpf(SEL.tss, 0))
    expect(outcome()).toEqual([13, SEL.tss])
    lab.enter("prot32", 0, [0xcf]).setFlags(FL_NT)
    ram.write16(TSS, SEL.tss2)
    expect(outcome()).toEqual([10, SEL.tss2])
  })

  it("the T flag traps before the first instruction", () => {
    lab.enter("prot32", 0, jmpf(SEL.tss2, 0))
    task({ trap: 1 })
    cpu.run(1)
    cpu.run(1)
    expect(lab.vector).toBe(1)
    expect(cpu.long(S.DR + 48) & 0x8000n).toBe(0x8000n)
    expect(lab.frame(1, 4)).toEqual([TARGET])
  })

  it("16-bit TSS", () => {
    lab.enter("prot32", 0, jmpf(SEL.tss2, 0))
    ram.writeBig(GDT + SEL.tss2, descriptor(TSS2, 0x2b, 0x81, 0))
    ram.write16(TSS2 + 0x0e, 0x100)
    ram.write16(TSS2 + 0x10, 2)
    for (let i = 0; i < 8; i++) ram.write16(TSS2 + 0x12 + 2 * i, 0x2000 + i)
    ;[SEL.data16, SEL.code16, SEL.data16, SEL.data16].forEach((s, i) => ram.write16(TSS2 + 0x22 + 2 * i, s))
    cpu.run(1)
    expect(lab.vector).toBe(undefined)
    expect(cpu.rip).toBe(0x100n)
    expect(cpu.gprLo(3) & 0xffff).toBe(0x2003)
    expect(cpu.word(S.MODE)).toBe(S.MODE_16)
    expect(lab.selector(S.SEG_FS)).toBe(0)
  })
})

describe("SYSCALL and SYSRET", () => {
  const SYSCALL = [0x0f, 0x05]
  const SYSRET = [0x0f, 0x07]
  const setUp = (mode: Mode, cpl: 0 | 3, code: ReadonlyArray<number>) => {
    lab.enter(mode, cpl, code)
    cpu.setLong(S.MSR_EFER, 0x501n)
    // SYSCALL CS 0x18 (so SS 0x20); SYSRET base 0x23: CS 0x23+16 = 0x33, SS 0x2b.
    cpu.setLong(S.MSR_STAR, (0x0023n << 48n) | (0x0018n << 32n))
    cpu.setLong(S.MSR_LSTAR, BigInt(TARGET))
    cpu.setLong(S.MSR_SFMASK, BigInt(FL_IF | FL_TF))
    cpu.refresh()
  }

  it("SYSCALL: RCX, R11, flat segments, masked flags", () => {
    setUp("long", 3, SYSCALL)
    lab.setFlags(FL_IF | 1)
    cpu.run(1)
    expect(cpu.rip).toBe(BigInt(TARGET))
    expect(cpu.gpr(1)).toBe(BigInt(CODE + 2))
    expect(cpu.gpr(11)).toBe(BigInt(FL_IF | 3))
    expect(cpu.flags).toBe(3n)
    expect(cpu.cpl).toBe(0)
    expect([lab.selector(S.SEG_CS), lab.selector(S.SEG_SS)]).toEqual([0x18, 0x20])
    expect(cpu.gpr(4)).toBe(BigInt(STACK3))
    expect(cpu.counters().syscalls).toBe(1)
  })

  it("SYSRETQ undoes it", () => {
    setUp("long", 0, [0x48, ...SYSRET])
    cpu.setGpr(1, BigInt(TARGET))
    cpu.setGpr(11, BigInt(FL_IF | FL_VM | FL_RF | 0x41))
    cpu.run(1)
    expect(cpu.rip).toBe(BigInt(TARGET))
    expect(cpu.flags).toBe(BigInt(FL_IF | 0x43))
    expect([lab.selector(S.SEG_CS), lab.selector(S.SEG_SS), cpu.cpl]).toEqual([0x33, 0x2b, 3])
    expect(cpu.word(S.MODE)).toBe(S.MODE_64)
  })

  it("SYSRETL goes to compatibility mode", () => {
    setUp("long", 0, SYSRET)
    cpu.setGpr(1, 0x7_0000_0000n + BigInt(TARGET))
    cpu.run(1)
    expect(cpu.rip).toBe(BigInt(TARGET))
    expect(cpu.word(S.MODE)).toBe(S.MODE_32)
    expect(lab.selector(S.SEG_CS)).toBe(0x23)
  })

  it("a non-canonical RCX is #GP(0) in ring 0, as on Intel's processors", () => {
    setUp("long", 0, [0x48, ...SYSRET])
    cpu.setGpr(1, 0x8000_0000_0000n)
    expect(outcome()).toEqual([13, 0])
    expect(lab.frame(3, 8)[2]).toBe(SEL.code64)
  })

  it("without EFER.SCE, and outside of 64-bit mode, there is none", () => {
    setUp("long", 3, SYSCALL)
    cpu.setLong(S.MSR_EFER, 0x500n)
    expect(outcome()![0]).toBe(6)
    for (const mode of ["compat", "prot32"] as const) {
      setUp(mode, 3, SYSCALL)
      if (mode === "prot32") cpu.setLong(S.MSR_EFER, 1n)
      expect(outcome()![0]).toBe(6)
    }
    setUp("long", 3, [0x48, ...SYSRET])
    expect(outcome()).toEqual([13, 0])
  })
})

describe("SYSENTER and SYSEXIT", () => {
  const setUp = (mode: Mode, cpl: 0 | 3, code: ReadonlyArray<number>, cs = mode === "prot32" ? 0x08 : 0x18) => {
    lab.enter(mode, cpl, code)
    cpu.setLong(S.MSR_SYSENTER_CS, BigInt(cs))
    cpu.setLong(S.MSR_SYSENTER_EIP, BigInt(TARGET))
    cpu.setLong(S.MSR_SYSENTER_ESP, BigInt(STACK0))
  }

  it.each(["prot32", "compat", "long"] as const)("%s", (mode) => {
    setUp(mode, 3, [0x0f, 0x34])
    lab.setFlags(FL_IF)
    cpu.run(1)
    expect([cpu.rip, cpu.gpr(4), cpu.cpl]).toEqual([BigInt(TARGET), BigInt(STACK0), 0])
    expect(cpu.word(S.MODE)).toBe(mode === "prot32" ? S.MODE_32 : S.MODE_64)
    expect(Number(cpu.flags) & FL_IF).toBe(0)
    expect(cpu.counters().sysenters).toBe(1)

    lab.code(TARGET, mode === "prot32" ? [0x0f, 0x35] : [0x48, 0x0f, 0x35])
    cpu.setGpr(1, BigInt(STACK3))
    cpu.setGpr(2, BigInt(CODE + 0x40))
    cpu.run(1)
    expect([cpu.rip, cpu.gpr(4), cpu.cpl]).toEqual([BigInt(CODE + 0x40), BigInt(STACK3), 3])
    expect(cpu.word(S.MODE)).toBe(mode === "prot32" ? S.MODE_32 : S.MODE_64)
  })

  it("without SYSENTER_CS are #GP(0), and so is SYSEXIT outside of ring 0", () => {
    setUp("prot32", 3, [0x0f, 0x34], 3)
    expect(outcome()).toEqual([13, 0])
    setUp("prot32", 0, [0x0f, 0x35], 0)
    expect(outcome()).toEqual([13, 0])
    setUp("prot32", 3, [0x0f, 0x35])
    expect(outcome()).toEqual([13, 0])
  })
})

describe("where a far transfer ends", () => {
  it("the stopped handler tells its own vector", () => {
    lab.enter("prot32", 0, jmpf(SEL.code0, handler(77)))
    cpu.run(2)
    expect(lab.vector).toBe(77)
  })
})
