import { describe, expect, it } from "vitest"
import { Uart16550 } from "../../src/machine/chipset/index.ts"

const uart = () => {
  const sent: number[] = []
  const line = { level: false }
  const u = new Uart16550(
    (level) => (line.level = level),
    (byte) => sent.push(byte),
  )
  u.write(4, 0x0b) // DTR, RTS, OUT2: the card's interrupt gate
  return { u, sent, line }
}
const bytes = (...b: number[]) => Uint8Array.from(b)

describe("PC16550D", () => {
  it("sends what is written, and is ready for more (8.4 LSR bits 5 and 6)", () => {
    const { u, sent } = uart()
    for (const b of [72, 105]) {
      expect(u.read(5) & 0x60).toBe(0x60)
      u.write(0, b)
    }
    expect(sent).toEqual([72, 105])
  })
  it("registers 0 and 1 are the divisor while LCR bit 7 is set (8.2)", () => {
    const { u, sent } = uart()
    u.write(3, 0x83)
    u.write(0, 0x34)
    u.write(1, 0x12)
    expect([u.read(0), u.read(1)]).toEqual([0x34, 0x12])
    u.write(3, 0x03)
    expect(u.read(1)).toBe(0)
    expect(sent).toEqual([])
  })
  it("without FIFOs brings one character at a time and loses none", () => {
    const { u } = uart()
    u.receive(bytes(1, 2, 3))
    const got = []
    while (u.read(5) & 1) got.push(u.read(0))
    expect(got).toEqual([1, 2, 3])
  })
  it("with FIFOs interrupts at the trigger level, and by timeout below it (8.6)", () => {
    const { u, line } = uart()
    u.write(2, 0x41) // trigger 4
    u.write(1, 0x01)
    u.receive(bytes(1, 2))
    expect([line.level, u.read(2)]).toEqual([true, 0xcc])
    u.receive(bytes(3, 4))
    expect(u.read(2)).toBe(0xc4)
    for (let i = 1; i <= 4; i++) expect(u.read(0)).toBe(i)
    expect([line.level, u.read(2)]).toEqual([false, 0xc1])
  })
  it("raises the transmitter interrupt when enabled and after each byte; reading IIR acknowledges it (table IV)", () => {
    const { u, line } = uart()
    u.write(1, 0x02)
    expect(line.level).toBe(true)
    expect(u.read(2)).toBe(0x02)
    expect([line.level, u.read(2)]).toEqual([false, 0x01])
    u.write(0, 65)
    expect(line.level).toBe(true)
  })
  it("OUT2 gates the interrupt pin", () => {
    const { u, line } = uart()
    u.write(4, 0x03)
    u.write(1, 0x02)
    expect(line.level).toBe(false)
    u.write(4, 0x0b)
    expect(line.level).toBe(true)
  })
  it("loops back what it sends, and its outputs to its inputs (8.7)", () => {
    const { u, sent } = uart()
    u.write(4, 0x1b)
    u.write(0, 0x5a)
    expect([u.read(5) & 1, u.read(0)]).toEqual([1, 0x5a])
    expect(sent).toEqual([])
    expect(u.read(6) & 0xf0).toBe(0xb0) // DTR, RTS, OUT2 seen as DSR, CTS, DCD
    u.write(4, 0x1a)
    expect(u.read(6)).toBe(0x92) // DSR fell, and its delta says so
    expect(u.read(6) & 0x0f).toBe(0)
  })
  it("overrun in loopback is a line status interrupt that reading LSR clears", () => {
    const { u } = uart()
    u.write(4, 0x1b)
    u.write(1, 0x04)
    u.write(0, 1)
    u.write(0, 2)
    expect(u.read(2)).toBe(0x06)
    expect(u.read(5) & 0x02).toBe(0x02)
    expect(u.read(2)).toBe(0x01)
  })
  it("changing FIFO mode clears the data; input beyond it waits with the host", () => {
    const { u } = uart()
    u.write(2, 0x01)
    u.receive(Uint8Array.from({ length: 40 }, (_, i) => i))
    for (let i = 0; i < 40; i++) expect(u.read(0)).toBe(i)
    expect(u.read(5) & 1).toBe(0)
  })
  it("has a scratch register, by which drivers find it", () => {
    const { u } = uart()
    u.write(7, 0xa5)
    expect(u.read(7)).toBe(0xa5)
  })
})
