import { describe, expect, it } from "vitest"
import { openBus } from "../../src/machine/bus.ts"
import * as S from "../../src/machine/core/state.ts"
import { CODE, DATA, FL_IF, FL_RF, FL_TF, Lab, SEL, gate, handler } from "./lab.ts"

/* Single steps, breakpoints, DR6 and DR7 (SDM vol. 3, chapter 17). */

const lab = new Lab()
const { cpu } = lab

const NOP = 0x90
const DR6 = () => Number(cpu.long(S.DR + 48))
const BS = 0x4000
const setDr = (i: number, value: bigint) => cpu.setLong(S.DR + 8 * i, value)
/** Enables breakpoint `i`: kind 0 execution, 1 write, 2 I/O, 3 access; length code 0 1, 1 2, 2 8, 3 4 bytes. */
const enable = (i: number, address: number, kind: number, length = 0) => {
  setDr(i, BigInt(address))
  cpu.setLong(
    S.DR + 56,
    cpu.long(S.DR + 56) | BigInt(2 << (2 * i)) | (BigInt(kind | (length << 2)) << BigInt(16 + 4 * i)),
  )
  cpu.refresh()
}
const pushed = (n: number) => lab.frame(n, lab.long ? 8 : 4)

describe.each(["prot32", "long"] as const)("single step (%s)", (mode) => {
  it("traps after each instruction that began with TF", () => {
    lab.enter(mode, 0, [NOP, NOP, NOP])
    lab.code(handler(1), mode === "long" ? [0x48, 0xcf] : [0xcf])
    lab.setFlags(FL_TF)
    // The NOP, then the boundary delivers the trap and the IRET is executed.
    cpu.run(1)
    expect(cpu.rip).toBe(BigInt(CODE + 1))
    cpu.run(1)
    expect(cpu.rip).toBe(BigInt(CODE + 1))
    expect(DR6() & BS).toBe(BS)
    expect(cpu.counters().vectors[1]).toBe(1)
    cpu.run(2)
    expect(cpu.rip).toBe(BigInt(CODE + 2))
    expect(cpu.counters().vectors[1]).toBe(2)
  })

  it("the frame holds TF and the next instruction; the handler runs without", () => {
    lab.enter(mode, 0, [NOP, NOP])
    lab.setFlags(FL_TF)
    cpu.run(2)
    expect(lab.vector).toBe(1)
    const [rip, , flags] = pushed(3)
    expect(rip).toBe(CODE + 1)
    expect(flags! & FL_TF).toBe(FL_TF)
    expect(Number(cpu.flags) & FL_TF).toBe(0)
  })

  it("POPF that sets TF traps after the next instruction; one that clears it still traps itself", () => {
    lab.enter(mode, 0, [0x9d, NOP, NOP])
    lab.ram.write32(lab.stackTop, FL_TF | 2)
    cpu.run(1)
    expect(cpu.rip).toBe(BigInt(CODE + 1))
    cpu.run(1)
    expect(cpu.rip).toBe(BigInt(CODE + 2))
    cpu.run(1)
    expect(lab.vector).toBe(1)
    expect(pushed(1)).toEqual([CODE + 2])
    lab.enter(mode, 0, [0x9d, NOP, NOP])
    lab.setFlags(FL_TF)
    lab.ram.write32(lab.stackTop, 2)
    cpu.run(2)
    expect(lab.vector).toBe(1)
    expect(pushed(1)).toEqual([CODE + 1])
  })

  it("INT n clears TF and takes no step", () => {
    lab.enter(mode, 0, [0xcd, 0x40])
    lab.setFlags(FL_TF)
    cpu.run(2)
    expect(lab.vector).toBe(0x40)
    expect(cpu.counters().vectors[1]).toBe(0)
  })

  it("a fault takes the place of the step", () => {
    lab.enter(mode, 0, [0x0f, 0x0b])
    lab.setFlags(FL_TF)
    cpu.run(3)
    expect(lab.vector).toBe(6)
    expect(cpu.counters().vectors[1]).toBe(0)
  })

  it("MOV SS delays it by one instruction", () => {
    lab.enter(mode, 0, [0x8e, 0xd0, NOP, NOP])
    cpu.setGpr(0, BigInt(SEL.data0))
    lab.setFlags(FL_TF)
    cpu.run(3)
    expect(lab.vector).toBe(1)
    expect(pushed(1)).toEqual([CODE + 3])
  })
})

describe("execution breakpoints", () => {
  it("are faults before the instruction; RF passes them once", () => {
    lab.enter("prot32", 0, [NOP, NOP, NOP])
    enable(2, CODE + 1, 0)
    cpu.run(3)
    expect(lab.vector).toBe(1)
    expect(DR6() & 0xf).toBe(4)
    const [eip, , flags] = pushed(3)
    expect(eip).toBe(CODE + 1)
    expect(flags! & FL_RF).toBe(0)
    // The handler sets RF in the image and returns.
    lab.enter("prot32", 0, [NOP, NOP, NOP, 0xeb, 0xfb])
    enable(0, CODE + 1, 0)
    lab.code(handler(1), [0x81, 0x4c, 0x24, 0x08, 0, 0, 1, 0, 0xcf])
    cpu.run(4)
    expect(cpu.rip).toBe(BigInt(CODE + 2))
    expect(Number(cpu.flags) & FL_RF).toBe(0)
    cpu.run(1)
    // And RF is gone: the next time round it hits again.
    expect(cpu.counters().vectors[1]).toBe(1)
    cpu.run(10)
    expect(cpu.counters().vectors[1]).toBeGreaterThan(1)
  })

  it("compare the linear address", () => {
    lab.enter("prot32", 0, [NOP, NOP])
    cpu.setSegment(S.SEG_CS, SEL.code0, BigInt(CODE), 0xffff, 0x409b00)
    cpu.rip = 0n
    enable(0, CODE + 1, 0)
    cpu.run(5)
    expect(lab.selector(S.SEG_CS)).toBe(SEL.code0)
    expect(cpu.counters().vectors[1]).toBe(1)
  })

  it("a disabled one does nothing", () => {
    lab.enter("prot32", 0, [NOP, NOP])
    setDr(0, BigInt(CODE + 1))
    cpu.refresh()
    cpu.run(2)
    expect(cpu.rip).toBe(BigInt(CODE + 2))
  })
})

describe("data breakpoints", () => {
  // MOV AL, [EDI]; MOV [EDI], EAX.
  const READ = [0x8a, 0x07, NOP]
  const WRITE = [0x89, 0x07, NOP]
  const hits = (code: ReadonlyArray<number>, edi: number, kind: number, length: number) => {
    lab.enter("prot32", 0, code)
    cpu.setGpr(7, BigInt(edi))
    enable(1, DATA, kind, length)
    cpu.run(2)
    if (lab.vector === undefined) return 0
    expect(lab.vector).toBe(1)
    // A trap: the frame holds the next instruction.
    expect(pushed(1)).toEqual([CODE + 2])
    return DR6() & 0xf
  }

  it("write, or read and write, with lengths", () => {
    expect(hits(WRITE, DATA, 1, 0)).toBe(2)
    expect(hits(READ, DATA, 1, 0)).toBe(0)
    expect(hits(READ, DATA, 3, 0)).toBe(2)
    expect(hits(WRITE, DATA - 3, 1, 0)).toBe(2)
    expect(hits(WRITE, DATA - 4, 1, 0)).toBe(0)
    expect(hits(READ, DATA + 3, 3, 3)).toBe(2)
    expect(hits(READ, DATA + 4, 3, 3)).toBe(0)
    expect(hits(READ, DATA + 7, 3, 2)).toBe(2)
    expect(hits(READ, DATA + 1, 3, 1)).toBe(2)
    expect(hits(READ, DATA + 2, 3, 1)).toBe(0)
  })

  it("hit either half of what CMPXCHG16B accesses", () => {
    for (const [address, hit] of [
      [DATA - 8, 0],
      [DATA, 1],
      [DATA + 8, 1],
      [DATA + 16, 0],
    ] as const) {
      lab.enter("long", 0, [0xf0, 0x48, 0x0f, 0xc7, 0x0f, NOP]) // lock cmpxchg16b [rdi]
      cpu.setGpr(7, BigInt(DATA))
      enable(0, address, 1, 2)
      cpu.run(2)
      expect(cpu.counters().vectors[1]).toBe(hit)
    }
  })

  it("hit frames that the processor pushes", () => {
    lab.enter("prot32", 0, [0xcd, 0x40])
    lab.code(handler(0x40), [NOP, 0xf4])
    enable(0, Number(cpu.gpr(4)) - 4, 1, 3)
    cpu.run(3)
    expect(cpu.counters().vectors[1]).toBe(1)
  })
})

describe.each(["prot32", "long"] as const)("RF and repeated string instructions (%s)", (mode) => {
  // REP STOSB; NOP.
  const FILL = [0xf3, 0xaa, NOP]
  const VECTOR = 0x50
  const IRET = mode === "long" ? [0x48, 0xcf] : [0xcf]
  const lab = new Lab({ ...openBus, interruptAcknowledge: () => VECTOR })
  const { cpu } = lab
  const fill = (elements: number) => {
    lab.enter(mode, 0, FILL).setFlags(FL_IF)
    cpu.setGpr(7, BigInt(DATA))
    cpu.setGpr(1, BigInt(elements))
  }
  const image = () => {
    const [rip, , flags] = lab.frame(3, mode === "long" ? 8 : 4)
    return { rip, resume: (flags! & FL_RF) !== 0 }
  }
  const execution = () => {
    cpu.setLong(S.DR, BigInt(CODE))
    cpu.setLong(S.DR + 56, 0x402n)
    cpu.refresh()
  }

  it("is set in the frame of an interrupt between two iterations, not behind the last", () => {
    fill(5000)
    cpu.run(1)
    expect(cpu.rip).toBe(BigInt(CODE))
    expect(Number(cpu.flags) & FL_RF).toBe(0)
    cpu.setIntr(true)
    cpu.run(1)
    expect(lab.vector).toBe(VECTOR)
    expect(image()).toEqual({ rip: CODE, resume: true })
    expect(Number(cpu.flags) & FL_RF).toBe(0)

    fill(10)
    cpu.run(1)
    expect(cpu.rip).toBe(BigInt(CODE + 2))
    cpu.setIntr(true)
    cpu.run(1)
    expect(image()).toEqual({ rip: CODE + 2, resume: false })
  })

  it("is clear in the frame of an interrupt before the first iteration", () => {
    fill(5000)
    cpu.setIntr(true)
    cpu.run(1)
    expect(image()).toEqual({ rip: CODE, resume: false })
  })

  it("is clear in the frame of a trap after an iteration, as AMD's processors have it", () => {
    fill(3)
    lab.setFlags(FL_TF)
    lab.code(handler(1), IRET)
    for (const rcx of [2, 1, 0]) {
      cpu.run(1)
      expect(cpu.gpr(1)).toBe(BigInt(rcx))
      // The trap and its IRET.
      const top = lab.stackTop
      cpu.run(1)
      const size = mode === "long" ? 8 : 4
      const flags = lab.ram.read32(top - (mode === "long" ? 3 : 1) * size)
      expect(flags & (FL_RF | FL_TF)).toBe(FL_TF)
    }
    expect(cpu.rip).toBe(BigInt(CODE + 2))
  })

  it("lasts until the last iteration", () => {
    fill(3)
    execution()
    lab.setFlags(FL_RF)
    cpu.run(2)
    expect(Number(cpu.flags) & FL_RF).toBe(FL_RF)
    cpu.run(1)
    expect(cpu.rip).toBe(BigInt(CODE + 2))
    expect(Number(cpu.flags) & FL_RF).toBe(0)
    expect(cpu.counters().vectors[1]).toBe(0)
  })

  it("a breakpoint on the instruction hits once, whatever interrupts it", () => {
    fill(20)
    execution()
    // The #DB handler steps over it: OR dword [rSP + offset], RF; IRET.
    const offset = mode === "long" ? 16 : 8
    lab.code(handler(1), [0x81, 0x4c, 0x24, offset, 0, 0, 1, 0, ...IRET])
    lab.code(handler(VECTOR), IRET)
    cpu.run(6)
    cpu.setIntr(true)
    cpu.run(1)
    cpu.setIntr(false)
    cpu.run(30)
    expect(cpu.gpr(1)).toBe(0n)
    expect(cpu.counters().vectors[VECTOR]).toBe(1)
    expect(cpu.counters().vectors[1]).toBe(1)
  })
})

describe("I/O breakpoints", () => {
  const IN = [0xe4, 0x60, NOP]
  it("exist with CR4.DE", () => {
    for (const de of [0n, 8n]) {
      lab.enter("prot32", 0, IN)
      cpu.setLong(S.CR4, de)
      enable(3, 0x60, 2)
      cpu.run(2)
      expect(lab.vector).toBe(de ? 1 : undefined)
      if (de) expect(DR6() & 0xf).toBe(8)
    }
  })
})

describe("debug registers", () => {
  /** MOV DRn, EAX and MOV EAX, DRn. */
  const to = (n: number) => [0x0f, 0x23, 0xc0 | (n << 3)]
  const from = (n: number) => [0x0f, 0x21, 0xc0 | (n << 3)]

  it("fixed bits", () => {
    lab.enter("prot32", 0, [...to(6), ...to(7), ...from(6), 0x89, 0xc3, ...from(7)])
    cpu.setGpr(0, 0xffffffffn)
    // DR7 with everything enabled would include GD: write 0 there.
    cpu.run(1)
    expect(DR6()).toBe(0xffffeff0 + 0xf)
    cpu.setGpr(0, 0n)
    cpu.run(1)
    expect(cpu.long(S.DR + 56)).toBe(0x400n)
    cpu.run(3)
    expect(cpu.gprLo(3)).toBe(0xffffefff)
    expect(cpu.gprLo(0)).toBe(0x400)
  })

  it("DR4 and DR5 are DR6 and DR7, or #UD with CR4.DE", () => {
    lab.enter("prot32", 0, from(4))
    cpu.run(1)
    expect(cpu.gprLo(0)).toBe(0xffff0ff0)
    lab.enter("prot32", 0, from(5))
    cpu.setLong(S.CR4, 8n)
    cpu.run(1)
    expect(lab.vector).toBe(6)
  })

  it("ring 3 may not", () => {
    lab.enter("prot32", 3, from(0))
    expect(lab.fault()).toEqual({ vector: 13, error: 0 })
  })

  it("general detection traps the access, tells BD, and is off in the handler", () => {
    lab.enter("prot32", 0, from(0))
    cpu.setLong(S.DR + 56, 0x2400n)
    cpu.run(1)
    expect(lab.vector).toBe(1)
    expect(DR6() & 0x2000).toBe(0x2000)
    expect(cpu.long(S.DR + 56) & 0x2000n).toBe(0n)
    expect(pushed(1)).toEqual([CODE])
  })

  it("upper halves of DR6 and DR7 are #GP(0) in 64-bit mode", () => {
    lab.enter("long", 0, to(7))
    cpu.setGpr(0, 1n << 32n)
    expect(lab.fault()).toEqual({ vector: 13, error: 0 })
  })
})

describe("priority at a boundary", () => {
  it("a trap goes before an interrupt", () => {
    const lab = new Lab({
      portIn: () => 0,
      portOut: () => undefined,
      mmioRead: () => 0,
      mmioWrite: () => undefined,
      interruptAcknowledge: () => 0x50,
    })
    lab.enter("prot32", 0, [NOP, NOP])
    lab.setIdt(1, gate(SEL.code0, handler(1), 14, 0))
    lab.setFlags(FL_TF | FL_IF)
    lab.cpu.run(1)
    // The interrupt is taken at the first boundary; its handler starts with TF clear.
    lab.cpu.setIntr(true)
    lab.cpu.run(1)
    expect(lab.vector).toBe(1)
    expect(lab.cpu.counters().vectors[0x50]).toBe(0)
  })
})
