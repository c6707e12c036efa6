import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { Chipset } from "../../src/machine/chipset/index.ts"
import { SharedHeap } from "../../src/machine/shared.ts"

const make = () => {
  const t = { ns: 0 }
  const log: string[] = []
  let intr = false
  const chipset = new Chipset({
    heap: SharedHeap.create(),
    processors: 2,
    now: () => t.ns,
    pins: {
      setIntr: (cpu, level) => (intr = cpu === 0 ? level : intr),
      nmi: () => undefined,
      init: () => undefined,
      startUp: () => undefined,
    },
    power: { powerOff: (status) => log.push(`off ${status}`), reset: () => log.push("reset") },
    serial: (byte) => log.push(String.fromCharCode(byte)),
    startSeconds: 1e9,
    memoryBytes: 1 << 26,
  })
  return { t, log, chipset, intr: () => intr, out: (p: number, v: number, n = 1) => chipset.portOut(0, p, n, v) }
}

describe("chipset", () => {
  it("an unknown port or address reads all ones of its width", () => {
    const { chipset } = make()
    expect([1, 2, 4].map((n) => chipset.portIn(0, 0x1234, n))).toEqual([0xff, 0xffff, 0xffffffff])
    expect([1, 2, 4].map((n) => chipset.mmioRead(0, 0xe0000000, n))).toEqual([0xff, 0xffff, 0xffffffff])
  })
  it("powers off with the low byte as status, only with bit 13 in a 16-bit write", () => {
    const { log, out } = make()
    out(0x604, 0x20, 1)
    out(0x604, 0x0005, 2)
    out(0x604, 0x2007, 2)
    expect(log).toEqual(["off 7"])
  })
  it("resets by port 0xCF9, by the keyboard controller's pulse and by port 0x92", () => {
    const { log, out } = make()
    out(0xcf9, 0x02)
    expect(log).toEqual([])
    out(0xcf9, 0x06)
    out(0x64, 0xfe)
    out(0x92, 0x01)
    out(0x64, 0xff) // pulses nothing
    expect(log).toEqual(["reset", "reset", "reset"])
  })
  it("the keyboard controller answers its self test and is never busy", () => {
    const { chipset, out } = make()
    expect(chipset.portIn(0, 0x64, 1)).toBe(0)
    out(0x64, 0xaa)
    expect([chipset.portIn(0, 0x64, 1), chipset.portIn(0, 0x60, 1), chipset.portIn(0, 0x64, 1)]).toEqual([1, 0x55, 0])
    expect(chipset.portIn(0, 0x92, 1)).toBe(2)
  })
  it("wide port accesses are consecutive byte accesses", () => {
    const { log, chipset, out } = make()
    out(0x3f8, 0x0041, 2)
    expect(log).toEqual(["A"])
    out(0x4d0, 0x0c18, 2)
    expect(chipset.portIn(0, 0x4d0, 2)).toBe(0x0c18)
  })
  it("a timer tick goes from the 8254 through the 8259 and LINT0 to the processor", () => {
    const { t, chipset, intr, out } = make()
    for (const [port, value] of [
      [0x20, 0x11],
      [0x21, 0x20],
      [0x21, 4],
      [0x21, 1],
      [0x21, 0xff],
      [0x43, 0x34],
      [0x40, 0xa9],
      [0x40, 0x04], // 1193: about a millisecond
    ])
      out(port, value)
    expect(chipset.nextEvent(0)).toBe(Infinity) // masked: nothing to wake for
    out(0x21, 0xfe)
    for (let ticks = 1; ticks <= 3; ticks++) {
      while (!intr()) chipset.advance((t.ns = chipset.nextEvent(t.ns)))
      expect(Math.abs(t.ns - ticks * 999_847)).toBeLessThan(1000)
      expect(chipset.interruptAcknowledge(0)).toBe(0x20)
      expect(intr()).toBe(false)
      out(0x20, 0x20)
    }
    expect(chipset.interruptAcknowledge(1)).toBe(-1)
  })
  it("property: no traffic makes it throw, and its next event is never in the past", () => {
    const port = fc.oneof(
      fc.constantFrom(0x20, 0x21, 0xa0, 0xa1, 0x40, 0x41, 0x42, 0x43, 0x61, 0x70, 0x71, 0x60, 0x64, 0x92, 0x80),
      fc.integer({ min: 0x3f8, max: 0x3ff }),
      fc.constantFrom(0x4d0, 0x4d1, 0xcf8, 0xcf9, 0xcfc, 0x604),
      fc.nat(0xffff),
    )
    const size = fc.constantFrom(1, 2, 4)
    const value = fc.oneof(fc.nat(255), fc.nat(0xffffffff))
    const step = fc.oneof(
      fc.tuple(fc.constant("in" as const), port, size, value),
      fc.tuple(fc.constant("out" as const), port, size, value),
      fc.tuple(
        fc.constant("read" as const),
        fc.nat(0xfff).map((o) => 0xfee00000 + o),
        size,
        value,
      ),
      fc.tuple(
        fc.constant("write" as const),
        fc.nat(0xff).map((o) => 0xfee00000 + o * 16),
        size,
        value,
      ),
      fc.tuple(fc.constant("ack" as const), fc.nat(1), size, value),
      fc.tuple(fc.constant("time" as const), fc.nat(5_000_000), size, value),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const { t, chipset } = make()
        for (const [op, a, n, v] of steps) {
          const masked = n === 4 ? v : v % 2 ** (8 * n)
          if (op === "in") expect(chipset.portIn(0, a, n) >>> 0).toBeLessThan(2 ** (8 * n))
          else if (op === "out") chipset.portOut(0, a, n, masked)
          else if (op === "read") expect(chipset.mmioRead(0, a, n) >>> 0).toBeLessThan(2 ** (8 * n))
          else if (op === "write") chipset.mmioWrite(0, a, n, masked)
          else if (op === "ack") expect(chipset.interruptAcknowledge(a)).toBeLessThan(256)
          else chipset.advance((t.ns += a))
          chipset.advance(t.ns)
          expect(chipset.nextEvent(t.ns)).toBeGreaterThan(t.ns)
        }
      }),
      { numRuns: 300 },
    )
  })
})
