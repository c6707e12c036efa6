import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { Cmos } from "../../src/machine/chipset/index.ts"

const make = (start = Date.UTC(2007, 1, 28, 23, 59, 58) / 1000, memory = 64 << 20) => {
  const t = { ns: 0 }
  const line = { level: false }
  const c = new Cmos(
    () => t.ns,
    (level) => (line.level = level),
    start,
    memory,
  )
  const get = (register: number) => {
    c.write(0x70, register)
    return c.read(0x71)
  }
  const set = (register: number, value: number) => {
    c.write(0x70, register)
    c.write(0x71, value)
  }
  return { t, line, c, get, set }
}
const DATE = [0x32, 9, 8, 7, 4, 2, 0] // century, year, month, day, hours, minutes, seconds

describe("MC146818A", () => {
  it("shows the injected date in BCD and 24 hours, and moves with simulated time", () => {
    const { t, get } = make()
    expect(DATE.map(get)).toEqual([0x20, 0x07, 0x02, 0x28, 0x23, 0x59, 0x58])
    expect(get(6)).toBe(4) // a Wednesday; Sunday is 1
    t.ns = 2e9
    expect(DATE.map(get)).toEqual([0x20, 0x07, 0x03, 0x01, 0, 0, 0])
  })
  it("counts in binary and in 12 hours as register B says", () => {
    const { get, set } = make()
    set(11, 0x06)
    expect([get(4), get(2)]).toEqual([23, 59])
    set(11, 0x00)
    expect(get(4)).toBe(0x80 | 0x11)
  })
  it("property: any date set is the date read, whatever the format", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4e9 }), fc.constantFrom(0, 2, 4, 6), (seconds, format) => {
        const from = make(seconds)
        from.set(11, format)
        const to = make(0)
        to.set(11, 0x80 | format)
        for (const register of DATE) to.set(register, from.get(register))
        to.set(11, format)
        expect(DATE.map(to.get)).toEqual(DATE.map(from.get))
        expect(to.get(6)).toBe(from.get(6))
      }),
      { numRuns: 100 },
    )
  })
  it("agrees with the calendar", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 7e9 }), (seconds) => {
        const { get, set } = make(seconds)
        set(11, 0x06)
        const d = new Date(seconds * 1000)
        expect(DATE.map(get)).toEqual([
          Math.floor(d.getUTCFullYear() / 100),
          d.getUTCFullYear() % 100,
          d.getUTCMonth() + 1,
          d.getUTCDate(),
          d.getUTCHours(),
          d.getUTCMinutes(),
          d.getUTCSeconds(),
        ])
      }),
    )
  })
  it("announces an update 244 µs before it (register A, UIP)", () => {
    const { t, get } = make()
    t.ns = 999_700_000
    expect(get(10) & 0x80).toBe(0)
    t.ns = 999_800_000
    expect(get(10) & 0x80).toBe(0x80)
    t.ns = 1_000_000_000
    expect(get(10) & 0x80).toBe(0)
  })
  it("periodic interrupts at register A's rate, one until register C is read", () => {
    const { t, line, c, get, set } = make()
    set(11, 0x42)
    expect(c.nextEvent(0)).toBe(976563) // 1024 Hz
    t.ns = c.nextEvent(0)
    c.advance(t.ns)
    expect(line.level).toBe(true)
    expect(c.nextEvent(t.ns)).toBe(Infinity)
    expect(get(12)).toBe(0xc0)
    expect([line.level, get(12)]).toEqual([false, 0])
  })
  it("update-ended and alarm interrupts; an alarm field of 0xC0 and above matches all", () => {
    const { t, line, c, get, set } = make()
    set(1, 0x00)
    set(3, 0xff)
    set(5, 0xff)
    set(11, 0x22)
    t.ns = 1e9
    c.advance(t.ns)
    expect(line.level).toBe(false)
    t.ns = 2e9
    c.advance(t.ns)
    expect(line.level).toBe(true)
    expect(get(12)).toBe(0xf0) // IRQ, alarm, the update it came with, and the periodic flag, enabled or not
  })
  it("SET stops the clock", () => {
    const { t, get, set } = make()
    set(11, 0x82)
    t.ns = 10e9
    expect(get(0)).toBe(0x58)
    set(11, 0x02)
    t.ns = 11e9
    expect(get(0)).toBe(0x59)
  })
  it("tells the memory's size as firmware does, and masks NMI by the index's top bit", () => {
    const { c, get } = make(0, 64 << 20)
    expect(get(0x15) | (get(0x16) << 8)).toBe(640)
    expect(get(0x17) | (get(0x18) << 8)).toBe(0xfc00)
    expect(get(0x34) | (get(0x35) << 8)).toBe(48 * 16)
    c.write(0x70, 0x8f)
    expect(c.nmiMasked).toBe(true)
  })
})
