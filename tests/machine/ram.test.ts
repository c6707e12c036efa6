import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { META_CODE, META_VERSION_STEP } from "../../src/machine/core/state.ts"
import { BadPhysicalAddress, Ram } from "../../src/machine/ram.ts"

const PAGES = 4
const SIZE = PAGES * 4096
const META = 0x100
const BASE = 0x1000

const make = () => {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true })
  const meta = new Int32Array(memory.buffer, META, PAGES)
  return { ram: new Ram(memory, BASE, SIZE, META), meta, bytes: new Uint8Array(memory.buffer, BASE, SIZE) }
}

/** A write, its bytes little-endian, and how to do it. */
interface Write {
  readonly pa: number
  readonly bytes: number[]
  readonly run: (ram: Ram) => void
}

// Around the ends of pages and words, where the ways of writing differ.
const address = fc
  .tuple(fc.integer({ min: 0, max: PAGES }), fc.integer({ min: -9, max: 9 }))
  .map(([p, d]) => p * 4096 + d)
const word = fc.integer({ min: 0, max: 0xffff_ffff })
const split = (value: number, size: number) => Array.from({ length: size }, (_, i) => (value >>> (8 * i)) & 0xff)
const write: fc.Arbitrary<Write> = fc.oneof(
  fc.record({ pa: address, value: word }).map(({ pa, value }) => ({
    pa,
    bytes: split(value, 1),
    run: (ram: Ram) => ram.write8(pa, value),
  })),
  fc.record({ pa: address, value: word }).map(({ pa, value }) => ({
    pa,
    bytes: split(value, 2),
    run: (ram: Ram) => ram.write16(pa, value),
  })),
  fc.record({ pa: address, value: word }).map(({ pa, value }) => ({
    pa,
    bytes: split(value, 4),
    run: (ram: Ram) => ram.write32(pa, value),
  })),
  fc.record({ pa: address, lo: word, hi: word }).map(({ pa, lo, hi }) => ({
    pa,
    bytes: [...split(lo, 4), ...split(hi, 4)],
    run: (ram: Ram) => ram.write64(pa, lo, hi),
  })),
  fc
    .record({ pa: address, value: fc.integer({ min: 0, max: 255 }), length: fc.integer({ min: 0, max: 4100 }) })
    .map(({ pa, value, length }) => ({
      pa,
      bytes: new Array<number>(length).fill(value),
      run: (ram: Ram) => ram.fill(pa, length, value),
    })),
)

describe("physical memory", () => {
  it("holds what was written, byte for byte, and bumps the version of pages of code, and of no others", () => {
    fc.assert(
      fc.property(fc.array(write, { maxLength: 20 }), fc.integer({ min: 0, max: 2 ** PAGES - 1 }), (writes, code) => {
        const { ram, meta, bytes } = make()
        for (let page = 0; page < PAGES; page++) meta[page] = (code >>> page) & 1 ? META_CODE : 0
        const model = new Uint8Array(SIZE)
        for (const { pa, bytes: written, run } of writes) {
          const before = [...meta]
          if (pa < 0 || pa + written.length > SIZE) {
            expect(() => run(ram)).toThrow(BadPhysicalAddress)
            continue
          }
          run(ram)
          model.set(written, pa)
          for (let page = 0; page < PAGES; page++) {
            const hit = written.length > 0 && pa < (page + 1) * 4096 && pa + written.length > page * 4096
            const bumped = hit && (before[page]! & META_CODE) !== 0
            expect(meta[page]! - before[page]! >= META_VERSION_STEP).toBe(bumped)
          }
        }
        expect(Buffer.compare(Buffer.from(bytes), model)).toBe(0)
      }),
      { numRuns: 200 },
    )
  })

  it("reads words of any alignment, and many at once", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 64, maxLength: 64 }), fc.integer({ min: 0, max: 60 }), (data, pa) => {
        const { ram } = make()
        ram.copyIn(0, data)
        const view = new DataView(data.buffer)
        expect(ram.read32(pa)).toBe(view.getUint32(pa, true))
        const words = new Uint32Array(16 - (pa >>> 2))
        ram.readWords(pa & ~3, words)
        expect([...words]).toEqual([...words].map((_, i) => view.getUint32((pa & ~3) + 4 * i, true)))
      }),
      { numRuns: 100 },
    )
    expect(() => make().ram.readWords(SIZE - 4, new Uint32Array(2))).toThrow(BadPhysicalAddress)
  })
})
