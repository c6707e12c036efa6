import { describe, expect, it } from "vitest"
import { openBus } from "../../src/machine/bus.ts"
import * as S from "../../src/machine/core/state.ts"
import { CODE, DATA, FL_IF, Lab, RAM_BYTES, SEL, TABLES, attributes } from "./lab.ts"

/* What lies beyond memory, and several processors over one memory. */

describe("memory-mapped devices", () => {
  const log: Array<string> = []
  const lab = new Lab({
    ...openBus,
    mmioRead: (cpu, address, size) => {
      log.push(`${cpu} r ${address.toString(16)} ${size}`)
      return address === 0xf0000004 ? 0x55667788 : 0x11223344
    },
    mmioWrite: (cpu, address, size, value) =>
      void log.push(`${cpu} w ${address.toString(16)} ${size} ${value.toString(16)}`),
  })
  const { cpu, ram } = lab
  const enter = (code: ReadonlyArray<number>, address: bigint) => {
    log.length = 0
    lab.enter("prot32", 0, code)
    cpu.setGpr(7, address)
    cpu.setGpr(0, 0xaabbccddn)
  }

  it("everything above memory is one, in the access's own size", () => {
    enter([0x8a, 0x07, 0x66, 0x8b, 0x07, 0x8b, 0x07, 0x88, 0x0f, 0x89, 0x0f], 0xf0000000n)
    cpu.setGpr(1, 0x01020304n)
    cpu.run(3)
    expect(cpu.gprLo(0)).toBe(0x11223344)
    cpu.run(2)
    expect(log).toEqual([
      "0 r f0000000 1",
      "0 r f0000000 2",
      "0 r f0000000 4",
      "0 w f0000000 1 4",
      "0 w f0000000 4 1020304",
    ])
    enter([0x8b, 0x07], BigInt(RAM_BYTES))
    cpu.run(1)
    expect(log).toEqual([`0 r ${RAM_BYTES.toString(16)} 4`])
  })

  it("eight bytes are two accesses of four", () => {
    log.length = 0
    lab.enter("long", 0, [0x48, 0x8b, 0x07, 0x48, 0x89, 0x07])
    ram.writeBig(TABLES + 0x3000 + 0x50 * 8, 0xf0000007n)
    cpu.setGpr(7, 0x50000n)
    cpu.run(2)
    expect(cpu.gpr(0)).toBe(0x5566778811223344n)
    expect(log).toEqual(["0 r f0000000 4", "0 r f0000004 4", "0 w f0000000 4 11223344", "0 w f0000004 4 55667788"])
  })

  it("an access from memory into a device is split, and faults before it is made", () => {
    log.length = 0
    lab.enter("long", 0, [0x89, 0x07])
    ram.writeBig(TABLES + 0x3000 + 0x50 * 8, 0xf0000007n)
    cpu.setGpr(7, 0x4fffen)
    cpu.setGpr(0, 0x44332211n)
    cpu.run(1)
    expect(ram.read16(0x4fffe)).toBe(0x2211)
    expect(log).toEqual(["0 w f0000000 1 33", "0 w f0000001 1 44"])
    log.length = 0
    lab.enter("long", 0, [0x89, 0x07])
    ram.writeBig(TABLES + 0x3000 + 0x50 * 8, 0xf0000007n)
    ram.writeBig(TABLES + 0x3000 + 0x51 * 8, 0n)
    cpu.setGpr(7, 0x50ffen)
    cpu.run(1)
    expect(lab.vector).toBe(14)
    expect(log).toEqual([])
  })

  it("above 4 GiB nothing answers: all ones, and no bus", () => {
    log.length = 0
    lab.enter("long", 0, [0x48, 0x8b, 0x07, 0x48, 0x89, 0x07])
    ram.writeBig(TABLES + 0x3000 + 0x50 * 8, 0x1_f0000007n)
    cpu.setGpr(7, 0x50000n)
    cpu.run(2)
    expect(cpu.gpr(0)).toBe(0xffffffffffffffffn)
    expect(log).toEqual([])
  })

  it("the local APIC answers in its page even where there is memory", () => {
    enter([0x8b, 0x07], BigInt(DATA + 0x20))
    cpu.setLong(S.MSR_APIC_BASE, BigInt(DATA) | 0x900n)
    cpu.flushTlb(true)
    cpu.run(1)
    expect(log).toEqual([`0 r ${(DATA + 0x20).toString(16)} 4`])
    enter([0x8b, 0x07], BigInt(DATA + 0x20))
    cpu.setLong(S.MSR_APIC_BASE, BigInt(DATA) | 0x100n)
    cpu.flushTlb(true)
    cpu.run(1)
    expect(log).toEqual([])
  })

  it("an interrupt that a store to a device brings about is taken at the next instruction, each time", () => {
    // again: mov [edi], eax; inc ebx; inc ecx; jmp again
    for (const budget of [1000, 3, 1]) {
      const asking: Lab = new Lab({
        ...openBus,
        mmioWrite: () => asking.cpu.setIntr(true),
        interruptAcknowledge: (): number => (asking.cpu.setIntr(false), 0x40),
      })
      asking.enter("prot32", 0, [0x89, 0x07, 0x43, 0x41, 0xeb, 0xfa]).setFlags(FL_IF)
      asking.cpu.setGpr(7, 0xf0000000n)
      for (let round = 0; round < 3; round++) {
        while (!asking.cpu.halted) asking.run(budget)
        expect([asking.vector, asking.cpu.gprLo(3), asking.cpu.gprLo(1)]).toEqual([0x40, round, round])
        // Back from the handler's HLT, as IRET would.
        asking.cpu.setWord(S.HALTED, 0)
        asking.cpu.rip = BigInt(asking.frame(1, 4)[0]!)
        asking.cpu.setGpr(4, asking.cpu.gpr(4) + 12n)
        asking.setFlags(FL_IF)
      }
    }
  })

  it("cannot be executed: #UD", () => {
    enter([0xff, 0xe7], 0xf0000000n)
    cpu.run(2)
    expect(lab.vector).toBe(6)
  })
})

describe("several processors", () => {
  const HLT = 0xf4

  /** The second processor, brought into flat 32-bit code at `rip` behind the back of INIT. */
  const flat = (lab: Lab, rip: number) => {
    const second = lab.machine.processors[1]!
    second.setWord(S.WAIT_SIPI, 0)
    second.setWord(S.ATTENTION, 0)
    for (let seg = 0; seg < 6; seg++) {
      const selector = seg === S.SEG_CS ? SEL.code0 : SEL.data0
      second.setSegment(seg, selector, 0n, 0xffffffff, attributes(lab.ram.readBig(0x1000 + selector)))
    }
    second.setLong(S.CR0, 0x11n)
    second.flushTlb(true)
    second.refresh()
    second.rip = BigInt(rip)
    return second
  }

  it("others wait for INIT and the start-up IPI", () => {
    const lab = new Lab(openBus, 2)
    lab.enter("real")
    const second = lab.machine.processors[1]!
    expect(second.run(10)).toBe(S.EXIT_HALT)
    lab.code(0x9000, [0xb0, 0x42, HLT])
    second.attend(S.ATT_INIT)
    expect(second.run(10)).toBe(S.EXIT_HALT)
    second.setWord(S.SIPI_VECTOR, 9)
    second.attend(S.ATT_SIPI)
    expect(second.run(10)).toBe(S.EXIT_HALT)
    expect(second.gprLo(0) & 0xff).toBe(0x42)
    expect(second.long(S.SEG + S.SEG_CS * S.SEG_STRIDE)).toBe(0x9000n)
    expect(second.rip).toBe(3n)
    // A second start-up IPI is ignored.
    second.attend(S.ATT_SIPI)
    expect(second.run(10)).toBe(S.EXIT_HALT)
    expect(second.rip).toBe(3n)
  })

  it("INIT brings a running one back to real mode, counters and time kept", () => {
    const lab = new Lab()
    lab.enter("prot32", 0, [0x90, 0x90, 0x90])
    lab.cpu.run(2)
    lab.cpu.attend(S.ATT_INIT | S.ATT_STOP)
    lab.cpu.run(1)
    expect(lab.cpu.long(S.CR0)).toBe(0x60000010n)
    expect(lab.cpu.rip).toBe(0xfff0n)
    expect(lab.cpu.instructions).toBe(2)
  })

  it("INIT ends a shutdown", () => {
    const lab = new Lab()
    lab.enter("prot32", 0, [0x0f, 0x0b])
    lab.cpu.setWord(S.IDTR_LIMIT, 0)
    expect(lab.cpu.run(10)).toBe(S.EXIT_SHUTDOWN)
    lab.cpu.attend(S.ATT_INIT | S.ATT_STOP)
    expect(lab.cpu.run(10)).toBe(S.EXIT_STOP)
    expect(lab.cpu.halted).toBe(false)
  })

  it("code that one processor has decoded and the other writes is decoded again", () => {
    const lab = new Lab(openBus, 2)
    // First: MOV AL, 1; HLT. Second: MOV [EDI], DL; HLT with its code on another page.
    lab.enter("prot32", 0, [0xb0, 1, HLT])
    lab.code(CODE + 0x1000, [0x88, 0x17, HLT])
    const second = flat(lab, CODE + 0x1000)
    const write = (value: number) => {
      second.rip = BigInt(CODE + 0x1000)
      second.setWord(S.HALTED, 0)
      second.setGpr(7, BigInt(CODE + 1))
      second.setGpr(2, BigInt(value))
      second.run(5)
    }
    const execute = () => {
      lab.cpu.setWord(S.HALTED, 0)
      lab.cpu.rip = BigInt(CODE)
      lab.cpu.run(5)
      return lab.cpu.gprLo(0) & 0xff
    }
    // The second has a fast write entry for the page before it turns into code.
    write(2)
    expect(execute()).toBe(2)
    for (const value of [3, 4, 5]) {
      write(value)
      expect(execute()).toBe(value)
    }
  })
})
