import { GuestMemory, PciBus, VirtioConsole, type VirtioDevice, VirtioPci } from "../../src/devices/index.ts"
import type { Ram } from "../../src/machine/ram.ts"
import { Ram as RealRam } from "../../src/machine/ram.ts"
import { COMMON_CFG, VIRTIO_CAP } from "../../src/devices/virtioPci.ts"
import { VIRTQ_AVAIL, VIRTQ_DESC, VIRTQ_USED, VIRTQ_USED_ELEMENT } from "../../src/devices/virtqueue.ts"

/** Physical memory of its own, without processors. */
export const makeRam = (bytes: number): Ram =>
  new RealRam(new WebAssembly.Memory({ initial: 64, maximum: 64, shared: true }), 0x10000, bytes, 0)

export const MEMORY = 1 << 20
/** Where the test's driver keeps its rings and buffers. */
export const RINGS = 0x10000
export const BUFFERS = 0x40000

/** Address and length of each. */
export type Buffers = ReadonlyArray<readonly [number, number]>

export interface Queue {
  readonly index: number
  readonly size: number
  readonly descriptors: number
  readonly driver: number
  readonly device: number
  available: number
}

/** A console with a driver, and what was written to it. */
export const makeConsole = (memoryBytes = MEMORY) => {
  const written: number[] = []
  const console = new VirtioConsole((bytes) => written.push(...bytes))
  const output = () => new TextDecoder().decode(Uint8Array.from(written))
  return { ...makeDriver(console, memoryBytes), console, output }
}

/** A PC's worth of PCI with one device, and a small driver that follows the virtio specification. */
export const makeDriver = (device: VirtioDevice, memoryBytes = MEMORY) => {
  const ram = makeRam(memoryBytes)
  const irqs: Array<[number, boolean]> = []
  const bus = new PciBus((line, level) => irqs.push([line, level]))
  const fn = new VirtioPci(device, new GuestMemory(ram, 0, memoryBytes))
  bus.plug(fn, 10)

  const config = (register: number, size = 4, slot = 1) => {
    bus.portWrite(0xcf8, 4, (0x80000000 | (slot << 11) | (register & 0xfc)) >>> 0)
    return bus.portRead(0xcfc + (register & 3), size)
  }
  const setConfig = (register: number, size: number, value: number, slot = 1) => {
    bus.portWrite(0xcf8, 4, (0x80000000 | (slot << 11) | (register & 0xfc)) >>> 0)
    bus.portWrite(0xcfc + (register & 3), size, value)
  }
  /** Offsets in the BAR of the capabilities' structures by type, and the capabilities' own offsets. */
  const structures = new Map<number, { cap: number; offset: number; bytes: number }>()
  for (let cap = config(0x34, 1); cap !== 0; cap = config(cap + 1, 1)) {
    const f = VIRTIO_CAP.fields
    structures.set(config(cap + f.type.offset, 1), {
      cap,
      offset: config(cap + f.offset.offset),
      bytes: config(cap + f.bytes.offset),
    })
  }
  const bar = () => (config(0x10) & ~15) >>> 0
  const at = (type: number) => bar() + structures.get(type)!.offset
  const C = COMMON_CFG.fields
  type Name = keyof typeof C
  const get = (name: Name) => bus.mmioRead(at(1) + C[name].offset, C[name].width)
  const set = (name: Name, value: number) => bus.mmioWrite(at(1) + C[name].offset, C[name].width, value)
  const setAddress = (name: Name, value: number) => {
    bus.mmioWrite(at(1) + C[name].offset, 4, value >>> 0)
    bus.mmioWrite(at(1) + C[name].offset + 4, 4, Math.floor(value / 2 ** 32))
  }

  const queue = (index: number, size = 8): Queue => {
    const base = RINGS + index * 0x4000
    return { index, size, descriptors: base, driver: base + 0x2000, device: base + 0x3000, available: 0 }
  }
  const enable = (q: Queue) => {
    set("queueSelect", q.index)
    set("queueSize", q.size)
    setAddress("queueDesc", q.descriptors)
    setAddress("queueDriver", q.driver)
    setAddress("queueDevice", q.device)
    set("queueEnable", 1)
  }
  /** Steps 1 to 8 of section 3.1.1. */
  const start = (low = 0, queues = device.queueSizes.map((_, i) => queue(i))) => {
    set("deviceStatus", 0)
    set("deviceStatus", 1)
    set("deviceStatus", 3)
    set("driverFeatureSelect", 0)
    set("driverFeature", low)
    set("driverFeatureSelect", 1)
    set("driverFeature", 1)
    set("deviceStatus", 11)
    for (const q of queues) enable(q)
    set("deviceStatus", 15)
    return queues
  }
  const descriptor = (
    table: number,
    i: number,
    d: { address: number; length: number; flags?: number; next?: number },
  ) => {
    const f = VIRTQ_DESC.fields
    const to = table + i * VIRTQ_DESC.size
    ram.write32(to + f.address.offset, d.address >>> 0)
    ram.write32(to + f.address.offset + 4, Math.floor(d.address / 2 ** 32))
    ram.write32(to + f.length.offset, d.length)
    ram.write16(to + f.flags.offset, d.flags ?? 0)
    ram.write16(to + f.next.offset, d.next ?? 0)
  }
  /** Writes a chain to descriptors `first`, `first` + 1...: buffers to read, then buffers to write. */
  const chain = (q: Queue, first: number, readable: Buffers, writable: Buffers) => {
    const all = [...readable.map((b) => [...b, 0] as const), ...writable.map((b) => [...b, 2] as const)]
    all.forEach(([address, length, flags], i) => {
      const last = i === all.length - 1
      const next = (first + i + 1) % q.size
      descriptor(q.descriptors, (first + i) % q.size, { address, length, flags: flags | (last ? 0 : 1), next })
    })
  }
  /** Offers the chain that begins at descriptor `head`. */
  const offer = (q: Queue, head: number) => {
    ram.write16(q.driver + VIRTQ_AVAIL.size + 2 * (q.available % q.size), head)
    q.available = (q.available + 1) & 0xffff
    ram.write16(q.driver + VIRTQ_AVAIL.fields.index.offset, q.available)
  }
  const notify = (q: Queue) => bus.mmioWrite(at(2) + 4 * q.index, 2, q.index)
  const usedIndex = (q: Queue) => ram.read16(q.device + VIRTQ_USED.fields.index.offset)
  const used = (q: Queue, i: number) => {
    const element = q.device + VIRTQ_USED.size + (i % q.size) * VIRTQ_USED_ELEMENT.size
    return [ram.read32(element), ram.read32(element + 4)]
  }
  const isr = () => bus.mmioRead(at(3), 1)
  const text = (address: number, s: string) => ram.copyIn(address, new TextEncoder().encode(s))
  const readText = (address: number, length: number) => new TextDecoder().decode(ram.copyOut(address, length))
  return {
    ram, bus, fn, irqs, config, setConfig, structures, bar, at, get, set, setAddress, queue, enable, start,
    descriptor, chain, offer, notify, usedIndex, used, isr, text, readText,
  } // prettier-ignore
}
