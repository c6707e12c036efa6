import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { PCI_WINDOW_BEGIN, PCI_WINDOW_END } from "../../src/devices/index.ts"
import { makeConsole } from "./driver.ts"

describe("PCI configuration mechanism #1 (PCI 3.0, 3.2.2.3.2)", () => {
  it("finds the host bridge and the devices, and all ones where there is none", () => {
    const { config } = makeConsole()
    expect(config(0, 4, 0)).toBe(0x12378086)
    expect(config(0)).toBe(0x10431af4)
    expect(config(0, 4, 2)).toBe(0xffffffff)
  })
  it("answers on bus 0, function 0 and with the enable bit only", () => {
    const { bus } = makeConsole()
    for (const address of [0x80010800, 0x80000900, 0x00000800]) {
      bus.portWrite(0xcf8, 4, address)
      expect(bus.portRead(0xcfc, 4)).toBe(0xffffffff)
    }
    bus.portWrite(0xcf8, 4, 0x80000800)
    bus.portWrite(0xcf8, 1, 0xff) // bytes are no configuration address
    expect(bus.portRead(0xcf8, 4)).toBe(0x80000800)
  })
  it("reads bytes and words of a register", () => {
    const { config } = makeConsole()
    expect([config(0, 2), config(2, 2), config(1, 1), config(0x0b, 1)]).toEqual([0x1af4, 0x1043, 0x1a, 0x07])
  })
  it("sizes a base address register (6.2.5.1), keeps identity read-only", () => {
    const { config, setConfig, bar } = makeConsole()
    const base = bar()
    expect(base).toBeGreaterThanOrEqual(PCI_WINDOW_BEGIN)
    expect(base).toBeLessThan(PCI_WINDOW_END)
    setConfig(0x10, 4, 0xffffffff)
    expect(config(0x10)).toBe(-0x4000 >>> 0)
    setConfig(0x14, 4, 0xffffffff)
    expect(config(0x14)).toBe(0)
    setConfig(0, 4, 0)
    expect(config(0)).toBe(0x10431af4)
  })
  it("moves a device's memory, and turns decoding off with the command register", () => {
    const { bus, setConfig, config } = makeConsole()
    setConfig(0x10, 4, 0xf0800000)
    expect(bus.mmioRead(0xf0800012, 2)).toBe(2) // number of queues
    setConfig(4, 2, config(4, 2) & ~2)
    expect(bus.mmioRead(0xf0800012, 2)).toBe(0xffff)
  })
  it("notes the interrupt line and pin", () => {
    const { config, setConfig } = makeConsole()
    expect([config(0x3c, 1), config(0x3d, 1)]).toEqual([10, 1])
    setConfig(0x3c, 2, 0x0505)
    expect([config(0x3c, 1), config(0x3d, 1)]).toEqual([5, 1])
  })
  it("property: no traffic makes it throw, and reads are as wide as asked", () => {
    const size = fc.constantFrom(1, 2, 4)
    const step = fc.tuple(
      fc.constantFrom("in", "out", "read", "write"),
      fc.oneof(fc.nat(7), fc.constantFrom(0, 4)),
      size,
      fc.oneof(
        fc.nat(0xffffffff),
        fc.nat(0x3ff).map((r) => (0x80000800 | r) >>> 0),
        fc.nat(255),
      ),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        const { bus } = makeConsole()
        for (const [op, lane, n, value] of steps) {
          const address = PCI_WINDOW_BEGIN + (value % 0x8000)
          if (op === "in") expect(bus.portRead(0xcf8 + lane, n)).toBeLessThan(2 ** (8 * n))
          else if (op === "out") bus.portWrite(0xcf8 + lane, n, value)
          else if (op === "read") expect(bus.mmioRead(address, n) >>> 0).toBeLessThan(2 ** (8 * n))
          else bus.mmioWrite(address, n, n === 4 ? value : value % 2 ** (8 * n))
        }
      }),
      { numRuns: 300 },
    )
  })
})
