import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { PicPair } from "../../src/machine/chipset/index.ts"

/** A pair set up as every PC kernel does: vectors 0x20 and 0x28, all lines open. */
const pc = (icw4 = 0x01) => {
  const levels: boolean[] = []
  const pic = new PicPair((level) => levels.push(level))
  for (const [port, base, cascade] of [
    [0x20, 0x20, 4],
    [0xa0, 0x28, 2],
  ]) {
    pic.write(port, 0x11)
    pic.write(port + 1, base)
    pic.write(port + 1, cascade)
    pic.write(port + 1, icw4)
    pic.write(port + 1, 0)
  }
  return { pic, levels }
}
const pulse = (pic: PicPair, irq: number) => {
  pic.setLine(irq, true)
  return pic.acknowledge()
}

describe("8259A pair", () => {
  it("is silent until it has been initialised", () => {
    const pic = new PicPair(() => undefined)
    pic.setLine(0, true)
    expect(pic.intr).toBe(false)
  })

  it("gives vector base + input, and the slave's for lines 8..15 (interrupt sequence, 80x86 mode)", () => {
    const { pic, levels } = pc()
    expect(pulse(pic, 1)).toBe(0x21)
    pic.write(0x20, 0x20)
    expect(pulse(pic, 12)).toBe(0x2c)
    expect(pic.slave.isr).toBe(0x10)
    expect(pic.master.isr).toBe(0x04)
    expect(levels).toEqual([true, false, true, false])
  })

  it("serves the lowest number first and holds equal and lower priorities until EOI (fully nested mode)", () => {
    const { pic } = pc()
    pic.setLine(5, true)
    pic.setLine(3, true)
    expect(pic.acknowledge()).toBe(0x23)
    expect(pic.intr).toBe(false)
    pic.setLine(1, true) // higher: interrupts the service of 3
    expect(pic.intr).toBe(true)
    expect(pic.acknowledge()).toBe(0x21)
    pic.write(0x20, 0x20) // ends 1
    expect(pic.intr).toBe(false)
    pic.write(0x20, 0x20) // ends 3
    expect(pic.acknowledge()).toBe(0x25)
  })

  it("takes one request for one edge, and asks on while a level input stays high (ELCR)", () => {
    const { pic } = pc()
    expect(pulse(pic, 5)).toBe(0x25)
    pic.write(0x20, 0x20)
    expect(pic.intr).toBe(false)
    pic.write(0x4d0, 0x20)
    pic.setLine(5, false)
    expect(pulse(pic, 5)).toBe(0x25)
    pic.write(0x20, 0x20)
    expect(pic.intr).toBe(true)
    pic.setLine(5, false)
    expect(pic.intr).toBe(false)
  })

  it("keeps timer, keyboard, cascade, clock and coprocessor edge-triggered whatever is written to ELCR", () => {
    const { pic } = pc()
    pic.write(0x4d0, 0xff)
    pic.write(0x4d1, 0xff)
    expect([pic.read(0x4d0), pic.read(0x4d1)]).toEqual([0xf8, 0xde])
  })

  it("gives the default vector 7 when the request has gone, with nothing in service", () => {
    const { pic } = pc()
    pic.setLine(3, true)
    pic.setLine(3, false)
    expect(pic.acknowledge()).toBe(0x27)
    expect(pic.master.isr).toBe(0)
  })

  it("gives 15 when the slave has changed its mind between the master's freeze and its own", () => {
    const { pic } = pc()
    pic.slave.setLine(2, true)
    pic.master.setLine(2, true) // the cascade, frozen by the first INTA
    pic.slave.setLine(2, false)
    expect(pic.acknowledge()).toBe(0x2f)
    expect(pic.slave.isr).toBe(0)
    expect(pic.master.isr).toBe(0x04) // software has to end the cascade's service
  })

  it("a specific EOI ends the input it names (OCW2 011)", () => {
    const { pic } = pc()
    pulse(pic, 4)
    pulse(pic, 1)
    pic.write(0x20, 0x60 | 4)
    expect(pic.master.isr).toBe(0x02)
  })

  it("rotation on non-specific EOI gives the served input the lowest priority (OCW2 101)", () => {
    const { pic } = pc()
    pulse(pic, 4)
    pic.write(0x20, 0xa0)
    pic.setLine(4, false)
    pic.setLine(4, true)
    pic.setLine(6, true)
    expect(pic.acknowledge()).toBe(0x26)
  })

  it("set priority makes the named input the lowest (OCW2 110)", () => {
    const { pic } = pc()
    pic.write(0x20, 0xc0 | 5)
    pic.setLine(0, true)
    pic.setLine(6, true)
    expect(pic.acknowledge()).toBe(0x26)
  })

  it("the special mask mode lets lower priorities through while a masked input is in service", () => {
    const { pic } = pc()
    pulse(pic, 3)
    pic.write(0x21, 0x08)
    pic.setLine(5, true)
    expect(pic.intr).toBe(false)
    pic.write(0x20, 0x68)
    expect(pic.intr).toBe(true)
    expect(pic.acknowledge()).toBe(0x25)
  })

  it("automatic EOI leaves nothing in service (ICW4 bit 1)", () => {
    const { pic } = pc(0x03)
    expect(pulse(pic, 3)).toBe(0x23)
    expect(pic.master.isr).toBe(0)
  })

  it("reads IRR or ISR as OCW3 chose, and the mask at the odd port", () => {
    const { pic } = pc()
    pulse(pic, 3)
    pic.setLine(6, true)
    pic.write(0x21, 0x80)
    expect(pic.read(0x20)).toBe(0x40)
    pic.write(0x20, 0x0b)
    expect(pic.read(0x20)).toBe(0x08)
    pic.write(0x20, 0x0a)
    expect(pic.read(0x20)).toBe(0x40)
    expect(pic.read(0x21)).toBe(0x80)
  })

  it("a poll acknowledges and names the input (OCW3 bit 2)", () => {
    const { pic } = pc()
    pic.setLine(6, true)
    pic.write(0x20, 0x0c)
    expect(pic.read(0x20)).toBe(0x86)
    expect(pic.master.isr).toBe(0x40)
    pic.write(0x20, 0x0c)
    expect(pic.read(0x20)).toBe(0)
  })

  it("property: what is acknowledged was requested and unmasked, or is a default vector; EOIs drain everything", () => {
    const step = fc.oneof(
      fc.record({ op: fc.constant("line" as const), irq: fc.nat(15), high: fc.boolean() }),
      fc.record({ op: fc.constant("mask" as const), port: fc.constantFrom(0x21, 0xa1), value: fc.nat(255) }),
      fc.record({ op: fc.constant("ack" as const) }),
      fc.record({ op: fc.constant("eoi" as const) }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { pic } = pc()
        for (const s of steps) {
          if (s.op === "line") pic.setLine(s.irq, s.high)
          else if (s.op === "mask") pic.write(s.port, s.value)
          else if (s.op === "eoi") {
            pic.write(0xa0, 0x20)
            pic.write(0x20, 0x20)
          } else if (pic.intr) {
            const before = (pic.master.irr & ~pic.master.imr) | ((pic.slave.irr & ~pic.slave.imr) << 8)
            const irq = pic.acknowledge() - 0x20
            expect(before & (1 << irq)).not.toBe(0)
          }
        }
        pic.write(0x21, 0)
        pic.write(0xa1, 0)
        for (let n = 0; n < 40; n++) {
          if (pic.intr) pic.acknowledge()
          pic.write(0xa0, 0x20)
          pic.write(0x20, 0x20)
        }
        expect([pic.intr, pic.master.isr, pic.slave.isr]).toEqual([false, 0, 0])
      }),
      { numRuns: 200 },
    )
  })
})
