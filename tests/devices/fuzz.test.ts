import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { GuestFault } from "../../src/devices/index.ts"
import { BUFFERS, makeConsole, MEMORY, RINGS } from "./driver.ts"

/** Runs hostile work: all that may come out is a GuestFault. */
const tolerate = (work: () => void) => {
  try {
    work()
  } catch (thrown) {
    if (!(thrown instanceof GuestFault)) throw thrown
  }
}

describe("hostile guests", () => {
  it("property: rings of random bytes end in output or a GuestFault, within the queue's bounds", () => {
    const u16 = fc.oneof(fc.nat(9), fc.nat(0xffff))
    const descriptor = fc.record({
      address: fc.oneof(fc.nat(MEMORY), fc.constantFrom(MEMORY - 1, 2 ** 32 - 1, 2 ** 63), fc.nat(0xffffffff)),
      length: fc.oneof(fc.nat(64), fc.constantFrom(0, 16, 32, 0x80000, 0xffffffff)),
      flags: fc.oneof(fc.nat(7), fc.nat(0xffff)),
      next: u16,
    })
    fc.assert(
      fc.property(
        fc.constantFrom(0, 2 ** 28, 2 ** 29, 2 ** 28 + 2 ** 29),
        fc.array(descriptor, { minLength: 8, maxLength: 8 }),
        fc.array(descriptor, { minLength: 4, maxLength: 4 }),
        fc.array(u16, { minLength: 8, maxLength: 8 }),
        u16,
        (features, table, indirect, heads, available) => {
          const t = makeConsole()
          const queues = t.start(features)
          indirect.forEach((d, i) => t.descriptor(BUFFERS, i, d))
          for (const q of queues) {
            // Half of the indirect flags point at a real table.
            table.forEach((d, i) =>
              t.descriptor(q.descriptors, i, d.flags & 4 && d.next & 1 ? { ...d, address: BUFFERS, length: 64 } : d),
            )
            heads.forEach((h, i) => t.ram.write16(q.driver + 4 + 2 * i, h))
            t.ram.write16(q.driver + 2, available)
          }
          for (const q of queues) {
            tolerate(() => t.console.input(new Uint8Array(100)))
            tolerate(() => t.notify(q))
            expect(t.usedIndex(q)).toBeLessThanOrEqual(8)
          }
        },
      ),
      { numRuns: 500 },
    )
  })

  it("property: a driver that does everything in any order breaks nothing", () => {
    const step = fc.tuple(
      fc.constantFrom("common", "notify", "isr", "config", "memory", "input"),
      fc.nat(0x3f),
      fc.constantFrom(1, 2, 4),
      fc.oneof(fc.constantFrom(0, 1, 3, 8, 11, 15, RINGS, RINGS + 0x2000, RINGS + 0x3000), fc.nat(0xffffffff)),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), fc.boolean(), (steps, started) => {
        const t = makeConsole()
        const common = t.at(1)
        const [notify, isr, device] = [t.at(2), t.at(3), t.at(4)]
        if (started) t.start()
        for (const [op, offset, size, value] of steps)
          tolerate(() => {
            if (op === "common") t.bus.mmioWrite(common + offset, size, value)
            else if (op === "notify") t.bus.mmioWrite(notify + offset, size, value)
            else if (op === "isr") t.bus.mmioRead(isr + offset, size)
            else if (op === "config") t.bus.mmioWrite(device + offset, size, value)
            else if (op === "memory") t.ram.write32(RINGS + (offset >> 4) * 0x1000 + (offset & 15) * 4, value)
            else t.console.input(new Uint8Array(offset))
          })
        // Whatever happened, a reset makes it work.
        t.setConfig(4, 2, 6)
        t.ram.fill(RINGS, 0x8000, 0)
        const [, tx] = t.start()
        t.descriptor(tx.descriptors, 0, { address: BUFFERS, length: 2 })
        t.text(BUFFERS, "ok")
        t.offer(tx, 0)
        t.notify(tx)
        expect(t.output().endsWith("ok")).toBe(true)
      }),
      { numRuns: 300 },
    )
  })
})
