import { describe, expect, it } from "vitest"
import { GuestFault } from "../../src/devices/index.ts"
import { BUFFERS, makeConsole } from "./driver.ts"

const NEXT = 1
const WRITE = 2
const INDIRECT = 4
const EVENT_INDEX = 2 ** 29
const INDIRECT_FEATURE = 2 ** 28
const bytes = (s: string) => new TextEncoder().encode(s)

describe("virtio 1.0 over PCI", () => {
  it("has the five capabilities of section 4.1.4, each within the base address register", () => {
    const { structures } = makeConsole()
    expect([...structures.keys()].sort()).toEqual([1, 2, 3, 4, 5])
    for (const { offset, bytes } of structures.values()) expect(offset + bytes).toBeLessThanOrEqual(0x4000)
  })
  it("negotiates features: VERSION_1 is a must, what was not offered is refused (2.2, 6.2)", () => {
    const { get, set } = makeConsole()
    set("deviceFeatureSelect", 0)
    expect(get("deviceFeature")).toBe(EVENT_INDEX + INDIRECT_FEATURE + 0b101)
    set("deviceFeatureSelect", 1)
    expect(get("deviceFeature")).toBe(1)
    set("deviceFeatureSelect", 2)
    expect(get("deviceFeature")).toBe(0)
    const ok = (low: number, high: number) => {
      set("deviceStatus", 0)
      set("driverFeatureSelect", 0)
      set("driverFeature", low)
      set("driverFeatureSelect", 1)
      set("driverFeature", high)
      set("deviceStatus", 11)
      return (get("deviceStatus") & 8) !== 0
    }
    expect([ok(0, 0), ok(2, 1), ok(0, 3), ok(0, 1), ok(0b101, 1)]).toEqual([false, false, false, true, true])
    set("driverFeatureSelect", 0)
    set("driverFeature", 0) // too late
    expect(get("driverFeature")).toBe(0b101)
  })
  it("resets to its initial state (2.1.1)", () => {
    const { get, set, start } = makeConsole()
    start()
    set("deviceStatus", 0)
    set("queueSelect", 1)
    expect([get("deviceStatus"), get("queueSize"), get("queueEnable"), get("queueDesc")]).toEqual([0, 256, 0, 0])
  })
  it("shows queue 2 as absent (4.1.4.3.1)", () => {
    const { get, set } = makeConsole()
    set("queueSelect", 2)
    expect([get("numQueues"), get("queueSize"), get("queueEnable")]).toEqual([2, 0, 0])
  })
  it("needs a reset after a queue that cannot be, and after DRIVER_OK without FEATURES_OK (2.1.2)", () => {
    const { get, set, setAddress, start, queue } = makeConsole()
    const broken = (work: () => void) => {
      set("deviceStatus", 0)
      work()
      return (get("deviceStatus") & 64) !== 0
    }
    const at = (descriptors: number) => () => {
      setAddress("queueDesc", descriptors)
      set("queueEnable", 1)
    }
    expect(broken(() => set("queueSize", 3))).toBe(true)
    expect(broken(() => set("queueSize", 512))).toBe(true)
    expect(broken(at(8))).toBe(true)
    expect(broken(at(0x100000))).toBe(true)
    expect(broken(at(2 ** 60))).toBe(true)
    expect(broken(() => set("deviceStatus", 7))).toBe(true)
    expect(broken(() => start(0, [queue(0), queue(1)]))).toBe(false)
  })
  it("reaches its memory through the configuration access capability (4.1.4.7)", () => {
    const { config, setConfig, structures, get } = makeConsole()
    const cap = structures.get(5)!.cap
    setConfig(cap + 4, 1, 0)
    setConfig(cap + 8, 4, 0x14)
    setConfig(cap + 12, 4, 1)
    setConfig(cap + 16, 4, 1)
    expect(get("deviceStatus")).toBe(1)
    expect(config(cap + 16, 4)).toBe(1)
    setConfig(cap + 8, 4, 0x12)
    setConfig(cap + 12, 4, 2)
    expect(config(cap + 16, 4)).toBe(2)
    setConfig(cap + 12, 4, 3)
    expect(() => config(cap + 16, 4)).not.toThrow()
  })
})

describe("virtio console (5.3)", () => {
  it("outputs what the transmit queue brings and interrupts", () => {
    const t = makeConsole()
    const [, tx] = t.start()
    t.text(BUFFERS, "hello, ")
    t.text(BUFFERS + 64, "world")
    t.descriptor(tx.descriptors, 0, { address: BUFFERS, length: 7, flags: NEXT, next: 3 })
    t.descriptor(tx.descriptors, 3, { address: BUFFERS + 64, length: 5 })
    t.offer(tx, 0)
    t.notify(tx)
    expect(t.output()).toBe("hello, world")
    expect([t.usedIndex(tx), t.used(tx, 0)]).toEqual([1, [0, 0]])
    expect(t.irqs).toEqual([[10, true]])
    expect([t.isr(), t.isr()]).toEqual([1, 0])
    expect(t.irqs.at(-1)).toEqual([10, false])
  })
  it("keeps input until the guest gives buffers, and fills them in order", () => {
    const t = makeConsole()
    t.console.input(bytes("early "))
    const [rx] = t.start()
    t.console.input(bytes("late"))
    expect(t.console.pendingInput).toBe(10)
    t.descriptor(rx.descriptors, 0, { address: BUFFERS, length: 4, flags: WRITE | NEXT, next: 1 })
    t.descriptor(rx.descriptors, 1, { address: BUFFERS + 0x100, length: 4, flags: WRITE })
    t.descriptor(rx.descriptors, 2, { address: BUFFERS + 0x200, length: 16, flags: WRITE })
    t.offer(rx, 0)
    t.offer(rx, 2)
    t.notify(rx)
    expect([t.readText(BUFFERS, 4), t.readText(BUFFERS + 0x100, 4), t.readText(BUFFERS + 0x200, 2)]).toEqual([
      "earl",
      "y la",
      "te",
    ])
    expect([t.used(rx, 0), t.used(rx, 1)]).toEqual([
      [0, 8],
      [2, 2],
    ])
    expect(t.isr()).toBe(1)
  })
  it("an interrupt is asked for again at each event, though none has been acknowledged", () => {
    const t = makeConsole()
    const [rx] = t.start()
    for (let i = 0; i < 2; i++) {
      t.descriptor(rx.descriptors, i, { address: BUFFERS + i * 64, length: 4, flags: WRITE })
      t.offer(rx, i)
    }
    t.notify(rx)
    t.console.input(bytes("a"))
    t.console.input(bytes("b"))
    expect(t.irqs).toEqual([
      [10, true],
      [10, true],
    ])
  })
  it("does not interrupt a driver that asked not to be (2.4.7), nor over a disabled INTx", () => {
    const t = makeConsole()
    const [, tx] = t.start()
    t.ram.write16(tx.driver, 1)
    t.descriptor(tx.descriptors, 0, { address: BUFFERS, length: 1 })
    t.offer(tx, 0)
    t.notify(tx)
    expect([t.isr(), t.irqs.some(([, level]) => level)]).toEqual([0, false])
    t.ram.write16(tx.driver, 0)
    t.setConfig(4, 2, 0x406)
    t.offer(tx, 0)
    t.notify(tx)
    expect([t.isr(), t.irqs.some(([, level]) => level)]).toEqual([1, false])
  })
  it("with event indices interrupts at used_event and asks for notification by avail_event (2.4.7.1, 2.4.8)", () => {
    const t = makeConsole()
    const [, tx] = t.start(EVENT_INDEX)
    const usedEvent = tx.driver + 4 + 2 * tx.size
    const availEvent = tx.device + 4 + 8 * tx.size
    t.descriptor(tx.descriptors, 0, { address: BUFFERS, length: 1 })
    t.ram.write16(usedEvent, 1)
    t.offer(tx, 0)
    t.notify(tx)
    expect([t.isr(), t.ram.read16(availEvent)]).toEqual([0, 1])
    t.offer(tx, 0)
    t.notify(tx)
    expect([t.isr(), t.ram.read16(availEvent)]).toEqual([1, 2])
  })
  it("follows an indirect table (2.4.5.3)", () => {
    const t = makeConsole()
    const [, tx] = t.start(INDIRECT_FEATURE)
    t.text(BUFFERS, "indirect")
    t.descriptor(BUFFERS + 0x1000, 0, { address: BUFFERS, length: 2, flags: NEXT, next: 1 })
    t.descriptor(BUFFERS + 0x1000, 1, { address: BUFFERS + 2, length: 6 })
    t.descriptor(tx.descriptors, 5, { address: BUFFERS + 0x1000, length: 32, flags: INDIRECT })
    t.offer(tx, 5)
    t.notify(tx)
    expect([t.output(), t.used(tx, 0)]).toEqual(["indirect", [5, 0]])
  })
  it("does nothing before DRIVER_OK or without bus mastering, then catches up", () => {
    const t = makeConsole()
    const [, tx] = t.start()
    t.text(BUFFERS, "x")
    t.descriptor(tx.descriptors, 0, { address: BUFFERS, length: 1 })
    t.offer(tx, 0)
    t.setConfig(4, 2, 2)
    t.notify(tx)
    expect(t.output()).toBe("")
    t.setConfig(4, 2, 6)
    t.notify(tx)
    expect(t.output()).toBe("x")
  })
  it("tells its size, and changes of it by a configuration interrupt and generation", () => {
    const t = makeConsole()
    t.start(1)
    const size = () => [t.bus.mmioRead(t.at(4), 2), t.bus.mmioRead(t.at(4) + 2, 2)]
    expect(size()).toEqual([80, 25])
    const generation = t.get("configGeneration")
    t.console.resize(132, 50)
    expect(size()).toEqual([132, 50])
    expect(t.isr()).toBe(2)
    expect(t.get("configGeneration")).not.toBe(generation)
  })
  it("outputs emergency writes in any state", () => {
    const t = makeConsole()
    t.bus.mmioWrite(t.at(4) + 8, 4, 0x21)
    expect(t.output()).toBe("!")
  })

  const hostile: Array<[string, (t: ReturnType<typeof makeConsole>, d: number) => void]> = [
    ["a buffer outside of memory", (t, d) => t.descriptor(d, 0, { address: 0xfffff000, length: 16 })],
    ["a buffer that ends outside", (t, d) => t.descriptor(d, 0, { address: 0xffff0, length: 17 })],
    ["a 64-bit address", (t, d) => t.descriptor(d, 0, { address: 2 ** 63, length: 1 })],
    ["a chain in circles", (t, d) => t.descriptor(d, 0, { address: 0, length: 1, flags: NEXT, next: 0 })],
    ["a next that does not exist", (t, d) => t.descriptor(d, 0, { address: 0, length: 1, flags: NEXT, next: 8 })],
    ["an indirect table not negotiated", (t, d) => t.descriptor(d, 0, { address: 0, length: 16, flags: INDIRECT })],
    [
      "a readable buffer after a writable one",
      (t, d) => {
        t.descriptor(d, 0, { address: 0, length: 1, flags: NEXT | WRITE, next: 1 })
        t.descriptor(d, 1, { address: 0, length: 1 })
      },
    ],
  ]
  it.each(hostile)("%s is a guest's fault and breaks the device", (_name, spoil) => {
    const t = makeConsole()
    const [, tx] = t.start()
    spoil(t, tx.descriptors)
    t.offer(tx, 0)
    expect(() => t.notify(tx)).toThrow(GuestFault)
    expect(t.get("deviceStatus") & 64).toBe(64)
    expect(() => t.notify(tx)).not.toThrow() // it does nothing any more
  })
  it("so are a head that does not exist, more chains than entries, an absurd length and no room for input", () => {
    const cases: Array<(t: ReturnType<typeof makeConsole>) => void> = [
      (t) => {
        const [, tx] = t.start()
        t.offer(tx, 8)
        t.notify(tx)
      },
      (t) => {
        const [, tx] = t.start()
        t.ram.write16(tx.driver + 2, 9)
        t.notify(tx)
      },
      (t) => {
        const [, tx] = t.start()
        for (let i = 0; i < 3; i++)
          t.descriptor(tx.descriptors, i, { address: 0, length: 0x80000, flags: i < 2 ? NEXT : 0, next: i + 1 })
        t.offer(tx, 0)
        t.notify(tx)
      },
      (t) => {
        const [rx] = t.start()
        t.descriptor(rx.descriptors, 0, { address: 0, length: 1 })
        t.offer(rx, 0)
        t.console.input(bytes("x"))
      },
    ]
    for (const run of cases) expect(() => run(makeConsole())).toThrow(GuestFault)
  })
})
