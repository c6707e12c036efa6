import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { Pit8254 } from "../../src/machine/chipset/index.ts"
import { clocksAt, PitChannel, timeOfClock } from "../../src/machine/chipset/pit8254.ts"

/** A counter with a control word and a count written at clock 0, so that it is loaded at clock 1. */
const counter = (mode: number, count: number, gate = true) => {
  const c = new PitChannel()
  if (!gate) c.setGate(false, 0)
  c.control(0x30 | (mode << 1), 0)
  c.write(count & 0xff, 0)
  c.write(count >> 8, 0)
  return c
}
const outputs = (c: PitChannel, from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => (c.output(from + i) ? "1" : "0")).join("")
const readCount = (c: PitChannel, clock: number) => c.read(clock) | (c.read(clock) << 8)

describe("8254 mode definitions (waveforms of figures 15 to 20)", () => {
  it("mode 0: low until N + 1 clocks after the count is written, then high; counts on through 0xffff", () => {
    const c = counter(0, 4)
    expect(outputs(c, 0, 8)).toBe("00000111")
    expect(readCount(c, 2)).toBe(3)
    expect(readCount(c, 6)).toBe(0xffff)
  })
  it("mode 0: the gate stops the count, and the output with it", () => {
    const c = counter(0, 4)
    c.setGate(false, 3)
    expect(readCount(c, 9)).toBe(2)
    c.setGate(true, 10)
    expect(outputs(c, 10, 14)).toBe("0011")
  })
  it("mode 1: one pulse of N clocks after each rising edge of the gate, retriggerable", () => {
    const c = counter(1, 3, false)
    expect(outputs(c, 0, 4)).toBe("1111")
    c.setGate(true, 4)
    expect(outputs(c, 4, 10)).toBe("100011")
    c.setGate(false, 10)
    c.setGate(true, 11)
    c.setGate(false, 13)
    c.setGate(true, 13)
    expect(outputs(c, 13, 19)).toBe("000011")
  })
  it("mode 2: low for the last clock of each N", () => {
    expect(outputs(counter(2, 4), 1, 13)).toBe("111011101110")
  })
  it("mode 2: a new count takes over at the end of the current cycle", () => {
    const c = counter(2, 5)
    c.write(3, 2)
    c.write(0, 2)
    expect(outputs(c, 2, 14)).toBe("111011011011")
  })
  it("mode 3: a square wave; odd counts are high one clock longer", () => {
    expect(outputs(counter(3, 4), 1, 9)).toBe("11001100")
    expect(outputs(counter(3, 5), 1, 11)).toBe("1110011100")
    const c = counter(3, 5)
    expect([1, 2, 3, 4, 5, 6].map((t) => readCount(c, t))).toEqual([4, 2, 0, 4, 2, 4])
  })
  it("modes 2 and 3: a low gate forces the output high at once, and its rise starts over", () => {
    for (const mode of [2, 3]) {
      const c = counter(mode, 4)
      c.setGate(false, 4)
      expect(c.output(4)).toBe(true)
      expect(c.nextEdge(4)).toBe(Infinity)
      c.setGate(true, 20)
      expect(outputs(c, 21, 25)).toBe(mode === 2 ? "1110" : "1100")
    }
  })
  it("mode 4: low for one clock when the count has run out, once", () => {
    expect(outputs(counter(4, 3), 0, 9)).toBe("111101111")
  })
  it("mode 5: as mode 4, but begun by the gate", () => {
    const c = counter(5, 3, false)
    expect(outputs(c, 0, 8)).toBe("11111111")
    c.setGate(true, 8)
    expect(outputs(c, 8, 15)).toBe("1111011")
  })
  it("a count of 0 means 65536, or 10000 in BCD", () => {
    expect(counter(2, 0).nextEdge(1)).toBe(1 + 65535)
    const c = new PitChannel()
    c.control(0x35, 0)
    c.write(0, 0)
    c.write(0, 0)
    expect(c.nextEdge(1)).toBe(1 + 9999)
    expect(readCount(c, 2)).toBe(0x9999)
  })
})

describe("8254 reading (counter latch and read-back commands)", () => {
  const pit = () => {
    const state = { ns: 0 }
    return {
      state,
      pit: new Pit8254(
        () => state.ns,
        () => undefined,
      ),
    }
  }
  it("a latched count stays until it is read, whatever is latched after", () => {
    const { state, pit: p } = pit()
    p.write(0x43, 0x34)
    p.write(0x40, 0x00)
    p.write(0x40, 0x10)
    state.ns = timeOfClock(0x101)
    p.write(0x43, 0x00)
    state.ns = timeOfClock(0x201)
    p.write(0x43, 0x00)
    expect(p.read(0x40) | (p.read(0x40) << 8)).toBe(0x1000 - 0x100)
    expect(p.read(0x40) | (p.read(0x40) << 8)).toBe(0x1000 - 0x200)
  })
  it("read-back gives status, then count; the null flag falls when the count is loaded", () => {
    const { state, pit: p } = pit()
    p.write(0x43, 0x34)
    p.write(0x40, 0x10)
    p.write(0x40, 0x00)
    p.write(0x43, 0xe2)
    expect(p.read(0x40)).toBe(0x80 | 0x40 | 0x34)
    state.ns = timeOfClock(3)
    p.write(0x43, 0xc2)
    expect(p.read(0x40)).toBe(0x80 | 0x34)
    expect(p.read(0x40) | (p.read(0x40) << 8)).toBe(0x10 - 2)
  })
  it("port 0x61: counter 2's gate and output, and a refresh bit that moves", () => {
    const { state, pit: p } = pit()
    p.write(0x43, 0xb0) // counter 2, mode 0: how kernels measure the TSC
    p.write(0x42, 0x10)
    p.write(0x42, 0x00)
    expect(p.read(0x61) & 0x20).toBe(0)
    state.ns = 1e6
    expect(p.read(0x61) & 0x20).toBe(0) // the gate is low: it does not count
    p.write(0x61, 0x01)
    state.ns += timeOfClock(0x12)
    expect(p.read(0x61) & 0x23).toBe(0x21)
    const seen = new Set<number>()
    for (let i = 0; i < 4; i++, state.ns += 15_085) seen.add(p.read(0x61) & 0x10)
    expect([...seen].sort()).toEqual([0, 0x10])
  })
})

describe("8254 and time", () => {
  it("property: timeOfClock is the first nanosecond of a clock", () => {
    fc.assert(
      fc.property(fc.nat({ max: 2 ** 40 }), (clock) => {
        const ns = timeOfClock(clock)
        return clocksAt(ns) >= clock && (ns === 0 || clocksAt(ns - 1) < clock)
      }),
      { numRuns: 2000 },
    )
  })

  it("property: nextEdge is where a clock-by-clock look at the output sees it change", () => {
    const write = fc.record({ at: fc.nat(40), value: fc.integer({ min: 2, max: 20 }) })
    const gate = fc.record({ at: fc.nat(40), gate: fc.boolean() })
    fc.assert(
      fc.property(
        fc.nat(5),
        fc.integer({ min: 2, max: 20 }),
        fc.array(fc.oneof(write, gate), { maxLength: 4 }),
        (mode, count, actions) => {
          const c = counter(mode, count)
          let last = 0
          for (const action of actions.sort((a, b) => a.at - b.at)) {
            last = action.at
            if ("gate" in action) c.setGate(action.gate, last)
            else {
              c.write(action.value, last)
              c.write(0, last)
            }
          }
          for (let clock = last; clock < last + 60;) {
            const edge = c.nextEdge(clock)
            const level = c.output(clock)
            const end = Math.min(edge, last + 61)
            for (let t = clock; t < end; t++) expect(c.output(t)).toBe(level)
            if (edge < last + 61) expect(c.output(edge)).toBe(!level)
            clock = end
          }
        },
      ),
      { numRuns: 300 },
    )
  })

  it("a periodic timer gives its rate in interrupts, whether advanced by events or in leaps", () => {
    let ns = 0
    let rises = 0
    const pit = new Pit8254(
      () => ns,
      (level) => (rises += level ? 1 : 0),
    )
    pit.write(0x43, 0x34)
    pit.write(0x40, 11932 & 0xff)
    pit.write(0x40, 11932 >> 8)
    rises = 0
    while (ns < 1e9) {
      ns = pit.nextEvent()
      pit.advance(ns)
    }
    expect(rises).toBe(99)
    const before = rises
    ns += 3600e9
    pit.advance(ns) // an hour asleep: one interrupt is pending, not 360,000
    expect(rises - before).toBe(1)
  })
})
