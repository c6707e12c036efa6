import { describe, expect, it } from "vitest"
import { GuestFault, Hub, VirtioNet } from "../../src/devices/index.ts"
import { LONGEST_FRAME, NET_CONFIG, NET_HEADER, SHORTEST_FRAME } from "../../src/devices/virtioNet.ts"
import { BUFFERS, makeDriver } from "./driver.ts"

/* Virtio 1.0, section 5.1. */

const MAC = Uint8Array.of(0x52, 0x54, 0, 1, 2, 3)
const RX = BUFFERS
const TX = BUFFERS + 0x8000

const frameOf = (length: number, seed = 1) => Uint8Array.from({ length }, (_, i) => i * 3 + seed)

const make = (hub = new Hub(), features = 0) => {
  const watched: Uint8Array[] = []
  const link = hub.attach()
  const net = new VirtioNet(MAC, link, (frame) => watched.push(frame))
  const t = makeDriver(net)
  const [rx, tx] = t.start(features)
  const transmit = (frame: Uint8Array, flags = 0) => {
    t.ram.fill(TX, NET_HEADER.size, 0)
    t.ram.write8(TX, flags)
    t.ram.copyIn(TX + NET_HEADER.size, frame)
    t.chain(tx!, 0, [[TX, NET_HEADER.size], [TX + NET_HEADER.size, frame.length]], []) // prettier-ignore
    t.offer(tx!, 0)
    t.notify(tx!)
  }
  /** Offers a receive buffer of so many bytes as descriptor `i`. */
  const buffer = (i: number, bytes = 2048) => {
    t.chain(rx!, i, [], [[RX + i * 2048, bytes]])
    t.offer(rx!, i)
  }
  return { ...t, net, link, rx: rx!, tx: tx!, watched, transmit, buffer }
}

describe("a network device", () => {
  it("says what it is", () => {
    const t = make()
    expect(t.config(0, 4)).toBe(0x10411af4)
    const mac = Array.from({ length: 6 }, (_, i) => t.bus.mmioRead(t.at(4) + NET_CONFIG.fields.mac.offset + i, 1))
    expect(mac).toEqual([...MAC])
    expect(t.bus.mmioRead(t.at(4) + NET_CONFIG.fields.status.offset, 2)).toBe(1)
  })

  it.each([SHORTEST_FRAME, 60, LONGEST_FRAME])("carries a frame of %i bytes to every other port", (length) => {
    const hub = new Hub()
    const [a, b, c] = [make(hub), make(hub), make(hub)]
    for (const t of [a, b, c]) t.buffer(0)
    const frame = frameOf(length)
    a.transmit(frame)
    expect(a.used(a.tx, 0)).toEqual([0, 0])
    for (const t of [a, b, c]) t.net.poll()
    for (const t of [b, c]) {
      expect(t.usedIndex(t.rx)).toBe(1)
      expect(t.used(t.rx, 0)).toEqual([0, NET_HEADER.size + length])
      const received = t.ram.copyOut(RX, NET_HEADER.size + length)
      expect([...received.subarray(0, NET_HEADER.size)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0])
      expect(received.slice(NET_HEADER.size)).toEqual(frame)
      expect(t.irqs).toContainEqual([10, true])
      expect(t.watched).toEqual([frame])
    }
    expect(a.usedIndex(a.rx)).toBe(0)
    expect(a.watched).toEqual([frame])
  })

  it.each([0, 1, SHORTEST_FRAME - 1, LONGEST_FRAME + 1, 9000])("drops a frame of %i bytes", (length) => {
    const hub = new Hub()
    const [a, b] = [make(hub), make(hub)]
    a.transmit(frameOf(length))
    expect(a.usedIndex(a.tx)).toBe(1)
    expect(a.net.counters).toMatchObject({ sent: 0, malformed: 1 })
    expect(b.link.pending).toBe(0)
    a.transmit(frameOf(60))
    expect(b.link.pending).toBe(1)
  })

  it("drops a frame that asks for an offload", () => {
    const hub = new Hub()
    const [a, b] = [make(hub), make(hub)]
    a.transmit(frameOf(60), 1)
    expect(a.net.counters.malformed).toBe(1)
    expect(b.link.pending).toBe(0)
  })

  it("drops what the guest has no buffer for", () => {
    const t = make()
    const hub = new Hub()
    const [a, b] = [make(hub), make(hub)]
    for (let i = 0; i < 3; i++) a.transmit(frameOf(60, i))
    b.buffer(0)
    b.net.poll()
    expect(b.net.counters).toMatchObject({ received: 1, dropped: 2 })
    expect(b.ram.read8(RX + NET_HEADER.size)).toBe(0)
    // Nothing was kept for later.
    b.buffer(1)
    b.net.poll()
    expect(b.usedIndex(b.rx)).toBe(1)
    expect(t.link.pending).toBe(0)
  })

  it("drops frames for a guest whose driver is not there yet", () => {
    const hub = new Hub()
    const a = make(hub)
    const link = hub.attach()
    const net = new VirtioNet(MAC, link)
    makeDriver(net)
    a.transmit(frameOf(60))
    net.poll()
    expect(net.counters.dropped).toBe(1)
    expect(link.pending).toBe(0)
  })

  it("gives a buffer that is too small back empty", () => {
    const hub = new Hub()
    const [a, b] = [make(hub), make(hub)]
    b.buffer(0, 20)
    a.transmit(frameOf(60))
    b.net.poll()
    expect(b.used(b.rx, 0)).toEqual([0, 0])
    expect(b.net.counters).toMatchObject({ received: 0, dropped: 1 })
  })

  it("fills a chain of small buffers", () => {
    const hub = new Hub()
    const [a, b] = [make(hub), make(hub)]
    b.chain(b.rx, 0, [], [[RX, 5], [RX + 100, 17], [RX + 200, 1000]]) // prettier-ignore
    b.offer(b.rx, 0)
    const frame = frameOf(60)
    a.transmit(frame)
    b.net.poll()
    const bytes = Buffer.concat([b.ram.copyOut(RX, 5), b.ram.copyOut(RX + 100, 17), b.ram.copyOut(RX + 200, 50)])
    expect(new Uint8Array(bytes.subarray(NET_HEADER.size))).toEqual(frame)
  })

  it("ends a guest with an impossible receive ring, and no other", () => {
    const hub = new Hub()
    const [a, b, c] = [make(hub), make(hub), make(hub)]
    b.descriptor(b.rx.descriptors, 0, { address: 2 ** 40, length: 2048, flags: 2 })
    b.offer(b.rx, 0)
    c.buffer(0)
    a.transmit(frameOf(60))
    expect(() => b.net.poll()).toThrow(GuestFault)
    c.net.poll()
    expect(c.net.counters.received).toBe(1)
  })

  it("loses frames when a port is not served", () => {
    const hub = new Hub()
    const a = make(hub)
    const link = hub.attach()
    for (let i = 0; i < 1000; i++) a.transmit(frameOf(60))
    expect(link.pending + link.lost).toBe(1000)
    expect(link.lost).toBeGreaterThan(0)
  })
})
