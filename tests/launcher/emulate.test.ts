import fc from "fast-check"
import { Code, Encoder, Instruction, MemoryOperand, Register } from "iced-x86"
import { describe, expect, it } from "vitest"
import type { LguestDevice } from "../../src/host/devLguest.ts"
import { type DeviceBus, emulateMemory, emulatePort } from "../../src/launcher/emulate.ts"

/** Registers of a guest, and how far it was moved on. */
const guest = (values: ReadonlyArray<bigint>) => {
  const registers = [...values]
  let advanced = 0
  const unused = () => {
    throw new Error("not used here")
  }
  const device: LguestDevice = {
    initialize: unused,
    read: unused,
    irq: unused,
    writing: unused,
    written: unused,
    trap: unused,
    kill: unused,
    close: unused,
    serve: unused,
    goOn: unused,
    served: 0,
    registerLo: (i) => Number(registers[i]! & 0xffffffffn),
    registerHi: (i) => Number(registers[i]! >> 32n),
    setRegister: (i, lo, hi) => void (registers[i] = (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)),
    advance: (length) => void (advanced = length),
  }
  return { device, registers, advanced: () => advanced }
}

type Access = readonly ["in" | "out" | "load" | "store", number, number, number]

const bus = (answer: number) => {
  const log: Array<Access> = []
  const low = (size: number) => (size === 4 ? answer : answer & (2 ** (8 * size) - 1)) >>> 0
  const devices: DeviceBus = {
    portRead: (port, size) => (log.push(["in", port, size, 0]), low(size)),
    portWrite: (port, size, value) => void log.push(["out", port, size, value]),
    mmioRead: (address, size) => (log.push(["load", address, size, 0]), low(size)),
    mmioWrite: (address, size, value) => void log.push(["store", address, size, value]),
  }
  return { devices, log }
}

const encode = (instruction: Instruction, bits: 32 | 64): Uint8Array => {
  const encoder = new Encoder(bits)
  encoder.encode(instruction, 0n)
  return encoder.takeBuffer()
}

const value = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const values = fc.array(value, { minLength: 16, maxLength: 16 })
const GPR64 = Array.from({ length: 16 }, (_, i) => Register.RAX + i)
const sized = (size: number, i: number) =>
  [Register.EAX, Register.AX, Register.EAX, Register.RAX][[1, 2, 4, 8].indexOf(size)]! + i
const memory = fc.record({
  base: fc.constantFrom(...GPR64),
  index: fc.constantFrom(Register.None, ...GPR64.filter((r) => r !== Register.RSP)),
  scale: fc.constantFrom(1, 2, 4, 8),
  displacement: fc.constantFrom(0n, 1n, -5n, 0x12345n),
})
const operand = (m: { base: Register; index: Register; scale: number; displacement: bigint }) =>
  new MemoryOperand(m.base, m.index, m.scale, m.displacement, m.displacement === 0n ? 0 : 8, false, Register.None)

const STORE = { 2: Code.Mov_rm16_r16, 4: Code.Mov_rm32_r32, 8: Code.Mov_rm64_r64 } as const
const LOAD = { 2: Code.Mov_r16_rm16, 4: Code.Mov_r32_rm32, 8: Code.Mov_r64_rm64 } as const
const AT = 0xf0001000

describe("device accesses", () => {
  it("store any register of any size, with any addressing form", () => {
    fc.assert(
      fc.property(values, memory, fc.constantFrom(2, 4, 8), fc.nat(15), (start, m, size, register) => {
        const bytes = encode(Instruction.createMemReg(STORE[size as 2], operand(m), sized(size, register)), 64)
        const g = guest(start)
        const b = bus(0)
        expect(emulateMemory(g.device, b.devices, bytes, 64, AT)).toBe(true)
        expect(g.advanced()).toBe(bytes.length)
        expect(g.registers).toEqual(start)
        const stored = b.log.reduce((sum, [, address, , v]) => sum | (BigInt(v) << BigInt(8 * (address - AT))), 0n)
        expect(stored).toBe(BigInt.asUintN(8 * size, start[register]!))
      }),
    )
  })

  it("load as the processor does: 32 bits clear the upper half, 16 leave the rest", () => {
    fc.assert(
      fc.property(values, memory, fc.constantFrom(2, 4, 8), fc.nat(15), (start, m, size, register) => {
        const bytes = encode(Instruction.createRegMem(LOAD[size as 2], sized(size, register), operand(m)), 64)
        const g = guest(start)
        expect(emulateMemory(g.device, bus(0x89abcdef).devices, bytes, 64, AT)).toBe(true)
        const expected =
          size === 2 ? (start[register]! & ~0xffffn) | 0xcdefn : size === 4 ? 0x89abcdefn : 0x89abcdef89abcdefn
        expect(g.registers).toEqual(start.map((v, i) => (i === register ? expected : v)))
        expect(g.advanced()).toBe(bytes.length)
      }),
    )
  })

  it("know the high byte registers, extension and immediates", () => {
    const run = (bytes: Array<number>, bits: 32 | 64) => {
      const g = guest(Array.from({ length: 16 }, (_, i) => 0x1111_1111_1111_1100n + BigInt(i) + 0xaa00n))
      const b = bus(0x80)
      const done = emulateMemory(g.device, b.devices, Uint8Array.from(bytes), bits, AT)
      return { done, log: b.log, registers: g.registers, length: g.advanced() }
    }
    expect(run([0x88, 0x20], 32).log).toEqual([["store", AT, 1, 0xbb]]) // mov %ah,(%eax)
    expect(run([0x40, 0x88, 0x20], 64).log).toEqual([["store", AT, 1, 0x04]]) // mov %spl,(%rax)
    expect(run([0x0f, 0xb6, 0x00], 64).registers[0]).toBe(0x80n) // movzbl (%rax),%eax
    expect(run([0x48, 0x0f, 0xbe, 0x00], 64).registers[0]).toBe(0xffff_ffff_ffff_ff80n) // movsbq
    expect(run([0xc7, 0x00, 1, 2, 3, 4], 32).log).toEqual([["store", AT, 4, 0x04030201]])
    expect(run([0x48, 0xc7, 0x00, 0, 0, 0, 0x80], 64).log.map(([, , , v]) => v >>> 0)).toEqual([0x80000000, 0xffffffff])
    expect(run([0xa1, 0, 0x10, 0, 0xf0], 32)).toMatchObject({ done: true, length: 5 })
  })

  it("IN and OUT use the port in %dx or the immediate", () => {
    fc.assert(
      fc.property(values, fc.constantFrom(1, 2, 4), fc.boolean(), fc.nat(255), (start, size, immediate, port) => {
        const prefix = size === 2 ? [0x66] : []
        const wide = size === 1 ? 0 : 1
        const form = immediate ? [0xe4 | wide, port] : [0xec | wide]
        const expectedPort = immediate ? port : Number(start[2]! & 0xffffn)
        const input = Uint8Array.from([...prefix, ...form])
        const output = Uint8Array.from([...prefix, form[0]! | 2, ...form.slice(1)])
        const g = guest(start)
        const b = bus(0xfedcba98)
        expect(emulatePort(g.device, b.devices, output, 64)).toBe(true)
        expect(emulatePort(g.device, b.devices, input, 64)).toBe(true)
        expect(g.advanced()).toBe(input.length)
        expect(b.log).toEqual([
          ["out", expectedPort, size, Number(BigInt.asUintN(8 * size, start[0]!))],
          ["in", expectedPort, size, 0],
        ])
      }),
    )
  })

  it("refuse everything else, whole or cut short, and never read past the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 15 }), fc.constantFrom<32 | 64>(32, 64), (bytes, bits) => {
        const g = guest(Array.from({ length: 16 }, () => 0n))
        const b = bus(0)
        const memoryDone = emulateMemory(g.device, b.devices, bytes, bits, AT)
        if (memoryDone) expect(g.advanced()).toBeLessThanOrEqual(bytes.length)
        else expect(b.log).toEqual([])
        for (let cut = 0; memoryDone && cut < g.advanced(); cut++)
          expect(
            emulateMemory(
              guest(Array.from({ length: 16 }, () => 0n)).device,
              bus(0).devices,
              bytes.subarray(0, cut),
              bits,
              AT,
            ),
          ).toBe(false)
        emulatePort(g.device, b.devices, bytes, bits)
      }),
      { numRuns: 1000 },
    )
  })
})
