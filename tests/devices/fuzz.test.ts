import fc from "fast-check"
import { describe, expect, it } from "vitest"
import {
  GuestFault,
  Hub,
  seededEntropy,
  VirtioBlock,
  VirtioConsole,
  type VirtioDevice,
  VirtioEntropy,
  VirtioNet,
} from "../../src/devices/index.ts"
import { BUFFERS, makeConsole, makeDriver, MEMORY, RINGS } from "./driver.ts"

/** Runs hostile work: all that may come out is a GuestFault. */
const tolerate = (work: () => void) => {
  try {
    work()
  } catch (thrown) {
    if (!(thrown instanceof GuestFault)) throw thrown
  }
}

interface Subject {
  readonly device: VirtioDevice
  /** Something comes from outside. */
  readonly arrive: () => void
}

const SECTORS = 16
const subjects: Readonly<Record<string, () => Subject>> = {
  console: () => {
    const device = new VirtioConsole(() => undefined)
    return { device, arrive: () => device.input(new Uint8Array(100)) }
  },
  disk: () => {
    const disk = {
      sectors: SECTORS,
      readOnly: false,
      read: (sector: number, bytes: Uint8Array) => within(sector, bytes),
      write: (sector: number, bytes: Uint8Array) => within(sector, bytes),
      flush: () => true,
    }
    const within = (sector: number, bytes: Uint8Array) => {
      if (bytes.length % 512 || sector + bytes.length / 512 > SECTORS) throw new Error("the medium was asked nonsense")
      return true
    }
    return { device: new VirtioBlock(disk, "disk"), arrive: () => undefined }
  },
  network: () => {
    const hub = new Hub()
    const device = new VirtioNet(new Uint8Array(6), hub.attach())
    const other = hub.attach()
    const arrive = () => {
      other.send(new Uint8Array(60))
      device.poll()
    }
    return { device, arrive }
  },
  entropy: () => ({ device: new VirtioEntropy(seededEntropy(1)), arrive: () => undefined }),
}

describe.each(Object.entries(subjects))("a hostile guest's %s", (_name, subject) => {
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
          const { device, arrive } = subject()
          const t = makeDriver(device)
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
            tolerate(arrive)
            tolerate(() => t.notify(q))
            tolerate(() => t.fn.poll())
            expect(t.usedIndex(q)).toBeLessThanOrEqual(8)
          }
        },
      ),
      { numRuns: 300 },
    )
  })

  it("property: requests that are nearly right, with random headers and buffers, are answered or a GuestFault", () => {
    const buffer = fc.record({
      at: fc.nat(15),
      length: fc.oneof(fc.constantFrom(1, 12, 16, 512, 1024), fc.nat(2000)),
      writable: fc.boolean(),
    })
    const chain = fc.array(buffer, { minLength: 1, maxLength: 5 })
    fc.assert(
      fc.property(
        fc.array(fc.tuple(chain, fc.boolean()), { minLength: 1, maxLength: 8 }),
        fc.tuple(fc.oneof(fc.constantFrom(0, 1, 4, 8), fc.nat()), fc.nat(2 * SECTORS), fc.nat(1)),
        (chains, [type, sector, high]) => {
          const { device, arrive } = subject()
          const t = makeDriver(device)
          const queues = t.start(device.features)
          for (let i = 0; i < 16; i++) {
            t.ram.write32(BUFFERS + i * 0x1000, type)
            t.ram.write32(BUFFERS + i * 0x1000 + 8, sector)
            t.ram.write32(BUFFERS + i * 0x1000 + 12, high)
          }
          for (const q of queues) {
            let done = 0
            for (const [buffers, sorted] of chains) {
              const all = sorted ? [...buffers].sort((a, b) => Number(a.writable) - Number(b.writable)) : buffers
              all.forEach((b, i) =>
                t.descriptor(q.descriptors, i, {
                  address: BUFFERS + b.at * 0x1000,
                  length: b.length,
                  flags: (b.writable ? 2 : 0) | (i < all.length - 1 ? 1 : 0),
                  next: i + 1,
                }),
              )
              t.offer(q, 0)
              let fault = false
              try {
                t.notify(q)
                arrive()
              } catch (thrown) {
                expect(thrown).toBeInstanceOf(GuestFault)
                fault = true
              }
              if (fault) return
              const room = all.reduce((sum, b) => sum + (b.writable ? b.length : 0), 0)
              for (; done < t.usedIndex(q); done++) expect(t.used(q, done)[1]).toBeLessThanOrEqual(room)
              // What was not taken would be answered when other buffers lie there.
              if (done < q.available) return
            }
          }
        },
      ),
      { numRuns: 300 },
    )
  })
})

describe("hostile guests", () => {
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
