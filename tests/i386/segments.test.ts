import fc from "fast-check"
import { describe, expect, it } from "vitest"
import {
  DESC_ACCESSED,
  DESC_EXPAND_DOWN,
  DESC_GRANULARITY,
  DESC_PRESENT,
  DESC_S,
  descriptorBase,
  descriptorDpl,
  descriptorHi,
  descriptorLimit,
  descriptorLo,
} from "../../src/i386/descriptors.ts"
import { endingBelow, GuestGdt, isHostsEntry, noFence, sanitize } from "../../src/i386/segments.ts"
import { GDT_ENTRIES, GUEST_KERNEL_DS, SWITCHER_ADDR } from "../../src/paravirt_ops/lguest.ts"

const FREE = 20
const TLS = 6
const CODE = 0x9b00
const DATA = 0x9300
const BIG = 0x400000
const PAGES = DESC_GRANULARITY
const dpl = (n: number) => n << 13

const descriptor = (base: number, limit: number, attributes: number) =>
  [descriptorLo(base, limit), descriptorHi(base, limit, attributes)] as const

/** Index, base, raw limit, attributes → what the processor gets: base, last offset, DPL; undefined: not present. */
const table: ReadonlyArray<
  readonly [string, number, readonly [number, number, number], readonly [number, number, number] | undefined]
> = [
  [
    "flat code of ring 0 becomes ring 1 and ends below the Switcher",
    FREE,
    [0, 0xfffff, CODE | BIG | PAGES],
    [0, 0xffbfffff, 1],
  ],
  ["flat data of ring 1 is trimmed", FREE, [0, 0xfffff, DATA | BIG | PAGES | dpl(1)], [0, 0xffbfffff, 1]],
  ["flat data of ring 3 is trimmed", FREE, [0, 0xfffff, DATA | BIG | PAGES | dpl(3)], [0, 0xffbfffff, 3]],
  ["ring 2 stays", FREE, [0, 0xf, DATA | dpl(2)], [0, 0xf, 2]],
  ["a small segment stays as it is", FREE, [0x12345678, 0x17, DATA | BIG | dpl(1)], [0x12345678, 0x17, 1]],
  [
    "a based one ends with the last whole page below",
    FREE,
    [0xc1234567, 0xfffff, DATA | BIG | PAGES],
    [0xc1234567, 0x3e9cafff, 1],
  ],
  ["one that ends exactly below stays", FREE, [0xffbff000, 0, DATA | BIG | PAGES], [0xffbff000, 0xfff, 1]],
  ["less than a page below: nothing is left", FREE, [0xffbff001, 0, DATA | BIG | PAGES], undefined],
  ["a byte limit is trimmed to the byte", FREE, [0xffbfff00, 0x1ff, DATA | BIG], [0xffbfff00, 0xff, 1]],
  ["a base in the Switcher's range", FREE, [0xffc00000, 0, DATA | BIG], undefined],
  ["a base above it", FREE, [0xfffff000, 0, CODE | BIG], undefined],
  ["expand-down data", FREE, [0, 0xfffff, DATA | DESC_EXPAND_DOWN | BIG | PAGES | dpl(1)], undefined],
  ["conforming code is no expand-down data", FREE, [0, 0x10, CODE | DESC_EXPAND_DOWN | BIG], [0, 0x10, 1]],
  ["not present", FREE, [0, 0xfffff, (DATA & ~DESC_PRESENT) | BIG], undefined],
  ["a call gate", FREE, [0x50, 0, 0x8c00 | dpl(3)], undefined],
  ["a TSS", FREE, [0, 0x67, 0x8900], undefined],
  ["an LDT", 17, [0, 0x67, 0x8200], undefined],
  ["the TSS's entry", 16, [0, 0xfffff, DATA | BIG | PAGES], undefined],
  ["the Switcher's code", 10, [0, 0xfffff, CODE | BIG | PAGES], undefined],
  ["the Switcher's data", 11, [0, 0xfffff, DATA | BIG | PAGES], undefined],
  ["the double fault's TSS", 31, [0, 0xfffff, DATA | BIG | PAGES], undefined],
  ["the null descriptor", 0, [0, 0xfffff, DATA | BIG | PAGES], undefined],
  ["thread-local storage wraps", TLS, [0xb7f01080, 0xfffff, DATA | BIG | PAGES | dpl(3)], [0xb7f01080, 0xffffffff, 3]],
  [
    "a kernel's segment among the TLS entries does not",
    TLS,
    [0, 0xfffff, DATA | BIG | PAGES | dpl(1)],
    [0, 0xffbfffff, 1],
  ],
]

describe("a guest's descriptors", () => {
  it.each(table)("%s", (_name, index, [base, limit, attributes], expected) => {
    const [lo, hi] = sanitize(index, ...descriptor(base, limit, attributes))
    if (expected === undefined) {
      expect([lo, hi]).toEqual([0, 0])
      return
    }
    expect([descriptorBase(lo, hi), descriptorLimit(lo, hi), descriptorDpl(hi)]).toEqual(expected)
    expect(hi & DESC_ACCESSED).toBe(DESC_ACCESSED)
  })

  it("never give ring 0, a system descriptor, or a way into the Switcher's range", () => {
    const word = fc.integer({ min: 0, max: 0xffffffff })
    fc.assert(
      fc.property(fc.nat({ max: GDT_ENTRIES - 1 }), word, word, (index, lo, hi) => {
        const [l, h] = sanitize(index, lo, hi)
        if ((h & DESC_PRESENT) === 0) {
          expect([l, h]).toEqual([0, 0])
          return
        }
        expect(isHostsEntry(index)).toBe(false)
        expect(h & DESC_S).not.toBe(0)
        expect(descriptorDpl(h)).toBeGreaterThan(0)
        expect(h & DESC_ACCESSED).not.toBe(0)
        expect(descriptorBase(l, h)).toBe(descriptorBase(lo, hi))
        const tls = index >= TLS && index < TLS + 3 && descriptorDpl(hi) === 3
        if (!tls) expect(descriptorBase(l, h) + descriptorLimit(l, h)).toBeLessThan(SWITCHER_ADDR)
        // Trimmed, never extended.
        expect(descriptorLimit(l, h)).toBeLessThanOrEqual(descriptorLimit(lo, hi))
      }),
      { numRuns: 5000 },
    )
  })

  const word = fc.integer({ min: 0, max: 0xffffffff })

  it("never reach the host's direct map where that is mapped, thread-local storage no more than the others", () => {
    const END = 0xff00_0000
    const fence = endingBelow(END, false)
    fc.assert(
      fc.property(fc.nat({ max: GDT_ENTRIES - 1 }), word, word, (index, lo, hi) => {
        const [l, h] = sanitize(index, lo, hi, fence)
        if ((h & DESC_PRESENT) === 0) return
        expect(descriptorDpl(h)).toBeGreaterThan(0)
        expect(descriptorBase(l, h) + descriptorLimit(l, h)).toBeLessThan(END)
        expect(descriptorLimit(l, h)).toBeLessThanOrEqual(descriptorLimit(lo, hi))
      }),
      { numRuns: 3000 },
    )
    const tls = descriptor(0xb7f0_1080, 0xfffff, DATA | BIG | PAGES | dpl(3))
    const [lo, hi] = sanitize(TLS, ...tls, fence)
    expect(descriptorLimit(lo, hi)).toBe(Math.floor((END - 0xb7f0_1080) / 4096) * 4096 - 1)
  })

  it("keep base, limit and direction where there is no fence, and give ring 0 or a system descriptor to nobody", () => {
    fc.assert(
      fc.property(fc.nat({ max: GDT_ENTRIES - 1 }), word, word, (index, lo, hi) => {
        const [l, h] = sanitize(index, lo, hi, noFence)
        const usable = (hi & DESC_PRESENT) !== 0 && (hi & DESC_S) !== 0 && !isHostsEntry(index)
        expect((h & DESC_PRESENT) !== 0).toBe(usable)
        if (!usable) return
        expect(descriptorDpl(h)).toBe(Math.max(1, descriptorDpl(hi)))
        const dplAndAccessed = dpl(3) | DESC_ACCESSED
        expect([l, (h | dplAndAccessed) >>> 0]).toEqual([lo, (hi | dplAndAccessed) >>> 0])
        expect(h & DESC_ACCESSED).not.toBe(0)
      }),
      { numRuns: 3000 },
    )
    const gdt = new GuestGdt(noFence)
    expect(descriptorLimit(gdt.lo[GUEST_KERNEL_DS >>> 3]!, gdt.hi[GUEST_KERNEL_DS >>> 3]!)).toBe(0xffff_ffff)
  })

  it("begin with the kernel's two", () => {
    const gdt = new GuestGdt()
    expect(gdt.base(GUEST_KERNEL_DS)).toBe(0)
    gdt.load(FREE, ...descriptor(0x1234, 0xff, DATA | BIG))
    expect(gdt.base((FREE << 3) | 1)).toBe(0x1234)
    // An LDT selector and one past the table name nothing.
    expect(gdt.base((FREE << 3) | 5)).toBe(0)
    expect(gdt.base(0xfff9)).toBe(0)
  })
})
