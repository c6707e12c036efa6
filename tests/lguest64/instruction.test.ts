import { describe, expect, it } from "vitest"
import { isPortAccess, softwareInterrupt } from "../../src/modules/lguest64/instruction.ts"
import { SharedHeap } from "../../src/machine/shared.ts"
import { GuestIdt } from "../../src/modules/lguest64/idt.ts"
import { sanitizedFlags } from "../../src/modules/lguest64/interrupts.ts"

const bytes = (...b: Array<number>) => Uint8Array.from(b)

describe("what the module reads of a refused instruction", () => {
  it("knows port accesses by their opcodes, behind any prefixes", () => {
    for (const opcode of [0xe4, 0xe5, 0xe6, 0xe7, 0xec, 0xed, 0xee, 0xef, 0x6c, 0x6d, 0x6e, 0x6f]) {
      expect(isPortAccess(bytes(opcode, 0))).toBe(true)
      expect(isPortAccess(bytes(0x66, 0xf3, 0x48, opcode))).toBe(true)
    }
    for (const opcode of [0xe3, 0xe8, 0xeb, 0xf4, 0xfa, 0x0f, 0x6b, 0x70])
      expect(isPortAccess(bytes(opcode))).toBe(false)
    expect(isPortAccess(bytes())).toBe(false)
    expect(isPortAccess(bytes(0x66, 0x66))).toBe(false)
  })

  it("knows INT n, and only with the vector of the error code", () => {
    expect(softwareInterrupt(bytes(0xcd, 0x80), 0x80)).toBe(2)
    expect(softwareInterrupt(bytes(0x48, 0xcd, 0x80), 0x80)).toBe(3)
    expect(softwareInterrupt(bytes(0xcd, 0x80), 0x81)).toBe(0)
    expect(softwareInterrupt(bytes(0xcd), 0x80)).toBe(0)
  })
})

describe("a guest's handlers", () => {
  it("may be for no vector of the host's", () => {
    const allowed = Array.from({ length: 256 }, (_, v) => v).filter((v) => GuestIdt.allows(v))
    const own = Array.from({ length: 64 }, (_, v) => v).filter((v) => v !== 2 && v !== 8 && v !== 18)
    expect(allowed).toEqual([...own, 128])
  })

  it("keep address, gate type and privilege", () => {
    const idt = new GuestIdt(SharedHeap.create())
    expect(idt.present(3)).toBe(false)
    idt.load(3, 0x12345678, 0xffffffff, 0x103)
    expect([idt.present(3), idt.isUser(3)]).toEqual([true, true])
    expect(idt.find(3)).toEqual({ lo: 0x12345678, hi: 0xffffffff, trap: true })
    idt.load(3, 0, 0, 0)
    expect([idt.present(3), idt.isUser(3)]).toEqual([true, false])
    expect(idt.find(3)).toEqual({ lo: 0, hi: 0, trap: false })
  })
})

describe("the flags that a guest runs with", () => {
  it("always have interrupts on and never IOPL, NT, VM or the virtual interrupt flags", () => {
    for (const asked of [0, 0xffffffff, 0x3000, 0x4000, 0x20000, 0x180000]) {
      const flags = sanitizedFlags(asked)
      expect(flags & 0x202).toBe(0x202)
      expect(flags & 0x1b7000).toBe(0)
    }
    expect(sanitizedFlags(0x240dd5)).toBe(0x240fd7)
  })
})
