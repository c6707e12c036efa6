import { describe, expect, it } from "vitest"
import { LocalApics } from "../../src/machine/chipset/index.ts"
import { SharedHeap } from "../../src/machine/shared.ts"

const make = (processors = 1) => {
  const t = { ns: 0 }
  const intr = new Array<boolean>(processors).fill(false)
  const log: string[] = []
  const apics = new LocalApics(SharedHeap.create(), processors, () => t.ns, {
    setIntr: (cpu, level) => (intr[cpu] = level),
    nmi: (cpu) => log.push(`nmi ${cpu}`),
    init: (cpu) => log.push(`init ${cpu}`),
    startUp: (cpu, vector) => log.push(`sipi ${cpu} ${vector}`),
  })
  const get = (offset: number, cpu = 0) => apics.read(cpu, offset, 4)
  const set = (offset: number, value: number, cpu = 0) => apics.write(cpu, offset, 4, value)
  for (let cpu = 0; cpu < processors; cpu++) set(0xf0, 0x1ff, cpu)
  return { t, intr, log, apics, get, set }
}
const SELF = 0x4_0000

describe("local APIC (SDM vol. 3, chapter 11)", () => {
  it("has its number and version", () => {
    const { get } = make(3)
    expect([0, 1, 2].map((cpu) => get(0x20, cpu) >>> 24)).toEqual([0, 1, 2])
    expect(get(0x30)).toBe(0x50014)
  })
  it("delivers by priority class and nests only a higher one (11.8.3)", () => {
    const { intr, apics, get, set } = make()
    set(0x300, SELF | 0x45)
    set(0x300, SELF | 0x41)
    set(0x300, SELF | 0x31)
    expect(intr[0]).toBe(true)
    expect(apics.of(0).acknowledge()).toBe(0x45)
    expect(get(0xa0)).toBe(0x40) // PPR
    expect(intr[0]).toBe(false) // 0x41 is of the same class
    set(0x300, SELF | 0x51)
    expect(apics.of(0).acknowledge()).toBe(0x51)
    set(0xb0, 0)
    set(0xb0, 0)
    expect(apics.of(0).acknowledge()).toBe(0x41)
    set(0xb0, 0)
    expect(apics.of(0).acknowledge()).toBe(0x31)
    set(0xb0, 0)
    expect(get(0x100 + 0x10) | get(0x200 + 0x10)).toBe(0)
  })
  it("the task priority holds back its class and below", () => {
    const { intr, set } = make()
    set(0x80, 0x40)
    set(0x300, SELF | 0x4f)
    expect(intr[0]).toBe(false)
    set(0x80, 0x30)
    expect(intr[0]).toBe(true)
  })
  it("one-shot timer (11.5.4): counts initial x divide nanoseconds, fires once", () => {
    const { t, apics, get, set } = make()
    set(0x3e0, 0x3) // divide by 16
    set(0x320, 0x60)
    set(0x380, 1000)
    t.ns = 8000
    expect(get(0x390)).toBe(500)
    expect(apics.of(0).nextEvent()).toBe(16000)
    t.ns = 16000
    apics.of(0).advance(t.ns)
    expect(apics.of(0).acknowledge()).toBe(0x60)
    expect([get(0x390), apics.of(0).nextEvent()]).toEqual([0, Infinity])
  })
  it("periodic timer: goes on from the period's end, however late it is served", () => {
    const { t, apics, get, set } = make()
    set(0x3e0, 0xb) // divide by 1
    set(0x320, 0x2_0060)
    set(0x380, 1000)
    t.ns = 3700
    apics.of(0).advance(t.ns)
    expect(get(0x390)).toBe(300)
    expect(apics.of(0).nextEvent()).toBe(Infinity) // one waits already
    expect(apics.of(0).acknowledge()).toBe(0x60)
    set(0xb0, 0)
    expect(apics.of(0).nextEvent()).toBe(4000)
    set(0x320, 0x3_0060) // masked
    expect(apics.of(0).nextEvent()).toBe(Infinity)
  })
  it("divides by 2, 4, ... 128 and 1", () => {
    const { t, get, set } = make()
    const counts = [0, 1, 2, 3, 8, 9, 10, 11].map((code) => {
      t.ns = 0
      set(0x3e0, code)
      set(0x380, 10000)
      t.ns = 1280
      return 10000 - get(0x390)
    })
    expect(counts).toEqual([640, 320, 160, 80, 40, 20, 10, 1280])
  })
  it("sends fixed interrupts by physical, flat and cluster destinations and by shorthand (11.6)", () => {
    const { intr, set, apics } = make(4)
    const hit = () => {
      const result = intr.map((on, cpu) => (on ? cpu : -1)).filter((cpu) => cpu >= 0)
      for (const cpu of result) {
        apics.of(cpu).acknowledge()
        set(0xb0, 0, cpu)
      }
      return result
    }
    set(0x310, 2 << 24)
    set(0x300, 0x4050)
    expect(hit()).toEqual([2])
    set(0x310, 0xff << 24)
    set(0x300, 0x4050)
    expect(hit()).toEqual([0, 1, 2, 3])
    set(0x300, 0xc_4050)
    expect(hit()).toEqual([1, 2, 3])
    set(0x300, 0x8_4050)
    expect(hit()).toEqual([0, 1, 2, 3])
    set(0x300, SELF | 0x4050)
    expect(hit()).toEqual([0])
    for (let cpu = 0; cpu < 4; cpu++) set(0xd0, (1 << cpu) << 24, cpu)
    set(0x310, 0b1010 << 24)
    set(0x300, 0x4850)
    expect(hit()).toEqual([1, 3])
    for (let cpu = 0; cpu < 4; cpu++) {
      set(0xe0, 0x0fffffff, cpu) // cluster model: two clusters of two
      set(0xd0, (((cpu >> 1) << 4) | (1 << (cpu & 1))) << 24, cpu)
    }
    set(0x310, 0x12 << 24)
    set(0x300, 0x4850)
    expect(hit()).toEqual([3])
    set(0x300, 0x4950) // lowest priority: exactly one
    expect(hit()).toEqual([3])
  })
  it("brings up other processors: INIT, its de-assertion that does nothing, SIPI; and NMI", () => {
    const { log, set } = make(2)
    set(0x310, 1 << 24)
    set(0x300, 0xc500)
    set(0x300, 0x8500)
    set(0x300, 0x4609)
    set(0x300, 0x4400)
    expect(log).toEqual(["init 1", "sipi 1 9", "nmi 1"])
  })
  it("reports illegal vectors and registers through the error register (11.5.3)", () => {
    const { intr, apics, get, set } = make()
    set(0x370, 0xfe)
    set(0x300, SELF | 0x05)
    set(0x280, 0)
    expect(get(0x280)).toBe(0x20)
    expect(intr[0]).toBe(true)
    expect(apics.of(0).acknowledge()).toBe(0xfe)
    get(0x2f0 - 0x200)
    get(0x3b0)
    set(0x280, 0)
    expect(get(0x280)).toBe(0x80)
  })
  it("software disable masks the local vectors and takes no more interrupts (11.4.7.2)", () => {
    const { intr, get, set } = make()
    set(0x320, 0x60)
    set(0xf0, 0xff)
    expect(get(0x320)).toBe(0x10060)
    set(0x300, SELF | 0x45)
    expect(intr[0]).toBe(false)
  })
  it("passes the 8259 through LINT0 on the first processor (virtual wire)", () => {
    const { intr, apics, get } = make(2)
    expect(get(0x350)).toBe(0x700)
    apics.of(0).setLint0(true)
    expect(intr).toEqual([true, false])
    expect([apics.of(0).acknowledge(), apics.of(0).takesExternal]).toEqual([-1, true])
    apics.of(0).setLint0(false)
    expect(intr[0]).toBe(false)
  })
})
