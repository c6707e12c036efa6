import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { Ram } from "../../src/machine/ram.ts"
import { EventFrames, vpnOf } from "../../src/syscall/index.ts"

/*
 * A stack of three pages in the middle of nothing, whose pages lie anywhere in memory.
 */
const META = 0x100
const BASE = 0x1000
const FRAMES = 8

const make = (first: number, pages: ReadonlyArray<number>) => {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true })
  const ram = new Ram(memory, BASE, FRAMES * 4096, META)
  const asked: number[] = []
  const written = new Set<number>()
  const frames = new EventFrames(ram, {
    kernelPage: (vpn, write) => {
      expect(write).toBe(true)
      asked.push(vpn)
      return (pages[vpn - first] ?? -1) * 4096
    },
    wrote: (pa, bytes) => {
      expect(Math.floor(pa / 4096)).toBe(Math.floor((pa + bytes - 1) / 4096))
      for (let i = 0; i < bytes; i++) written.add(pa + i)
    },
  })
  return { ram, frames, asked, written }
}

const stacks = fc.record({
  // Where the low half of the address borrows from the high one, and elsewhere.
  top: fc.constantFrom([0, 1], [0x3000, 1], [0x3000, 0], [0, 0xffff_8001], [0x3000, 0xffff_8000]),
  below: fc.integer({ min: 0, max: 0x1000 }),
  pages: fc.shuffledSubarray([1, 2, 3, 4, 5, 6, 7], { minLength: 3, maxLength: 3 }),
  words: fc.array(fc.tuple(fc.nat(0xffff_ffff), fc.nat(0xffff_ffff)), { minLength: 1, maxLength: 1000 }),
})

describe("a frame on a guest kernel's stack", () => {
  it("lies where the guest's tables say, its words downwards from the aligned top, and is told of byte for byte", () => {
    fc.assert(
      fc.property(stacks, ({ top, below, pages, words }) => {
        const end = (BigInt(top[1]!) << 32n) | BigInt(top[0]!)
        const first = vpnOf(Number((end - 0x3000n) & 0xffff_ffffn), Number((end - 0x3000n) >> 32n))
        const { ram, frames, asked, written } = make(first, pages)
        const start = end - BigInt(below)
        frames.begin(Number(start & 0xffff_ffffn), Number(start >> 32n))
        for (const [lo, hi] of words) frames.push(lo, hi)
        expect(frames.failed).toBe(false)
        frames.end()
        let at = start & ~15n
        const expected = new Set<number>()
        const vpns = new Set<number>()
        for (const [lo, hi] of words) {
          at -= 8n
          const vpn = vpnOf(Number(at & 0xffff_ffffn), Number(at >> 32n))
          vpns.add(vpn)
          const pa = pages[vpn - first]! * 4096 + Number(at & 0xfffn)
          expect([ram.read32(pa), ram.read32(pa + 4)]).toEqual([lo, hi])
          for (let i = 0; i < 8; i++) expected.add(pa + i)
        }
        expect((BigInt(frames.hi) << 32n) | BigInt(frames.lo)).toBe(at)
        expect(written).toEqual(expected)
        expect(asked).toEqual([...vpns])
      }),
      { numRuns: 60 },
    )
  })

  it("fails where a page may not be written, and writes nothing there", () => {
    const { frames, written } = make(5, [1])
    frames.begin(0x5010, 0)
    for (let i = 0; i < 4; i++) frames.push(i, 0)
    expect(frames.failed).toBe(true)
    frames.end()
    expect([...written].every((pa) => pa >= 0x1000 && pa < 0x1010)).toBe(true)
    expect(written.size).toBe(16)
  })

  it("fails below the lowest address of the upper half, and at no canonical address at all", () => {
    for (const [lo, hi] of [
      [0x10, 0xffff_8000],
      [0x5010, 0x1234_0000],
    ] as const) {
      const { frames } = make(vpnOf(lo, hi), [1])
      frames.begin(lo, hi)
      for (let i = 0; i < 4; i++) frames.push(i, 0)
      expect(frames.failed).toBe(true)
    }
  })
})
