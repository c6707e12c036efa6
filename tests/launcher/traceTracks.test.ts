import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { Flows, gaps, inOrder, joined, type Slice } from "../../src/launcher/traceTracks.ts"

const slice: fc.Arbitrary<Slice> = fc
  .record({ start: fc.nat(1000), length: fc.integer({ min: 1, max: 200 }), name: fc.constantFrom("a", "b") })
  .map(({ start, length, name }) => ({ start, end: start + length, name, cat: "guest", then: "asleep" }))

const isInOrder = (slices: ReadonlyArray<Slice>): boolean =>
  slices.every((s, i) => s.start < s.end && (i === 0 || slices[i - 1]!.end <= s.start))

describe("slices", () => {
  it("of several processors become one track, in order and without overlap, that covers the same time", () => {
    fc.assert(
      fc.property(fc.array(slice, { maxLength: 20 }), (slices) => {
        const ordered = inOrder(slices)
        expect(isInOrder(ordered)).toBe(true)
        const covered = (list: ReadonlyArray<Slice>, t: number) => list.some((s) => s.start <= t && t < s.end)
        for (let t = 0; t < 1200; t += 7) expect(covered(ordered, t)).toBe(covered(slices, t))
      }),
      { numRuns: 100 },
    )
  })

  it("and the gaps between them fill a track", () => {
    fc.assert(
      fc.property(fc.array(slice, { minLength: 1, maxLength: 20 }), (slices) => {
        const busy = inOrder(slices)
        const all = [...busy, ...gaps(busy, 2000)].sort((a, b) => a.start - b.start)
        expect(isInOrder(all)).toBe(true)
        const length = all.reduce((sum, { start, end }) => sum + end - start, 0)
        expect(length).toBe(2000 - busy[0]!.start)
      }),
      { numRuns: 100 },
    )
  })

  it("of one name that touch are one", () => {
    const of = (start: number, end: number, name: string): Slice => ({ start, end, name, cat: "thread" })
    expect(joined([of(0, 1, "a"), of(1, 2, "a"), of(2, 3, "b"), of(4, 5, "b")])).toEqual([
      of(0, 2, "a"),
      of(2, 3, "b"),
      of(4, 5, "b"),
    ])
  })
})

describe("flows", () => {
  const end = (tid: number, ts: number) => ({ pid: 1, tid, ts })

  it("lead from each that was sent to the first who has seen it", () => {
    const flows = new Flows("IPI")
    flows.send(5, 1, end(0, 10))
    flows.send(5, 2, end(1, 20))
    flows.send(5, 3, end(0, 90))
    flows.send(6, 1, end(0, 15))
    flows.take(5, 2, end(2, 30))
    flows.take(5, 2, end(2, 40)) // nothing new
    expect(flows.events(1).map(({ ph, tid, ts, id }) => [ph, tid, ts, id])).toEqual([
      ["s", 0, 10, 1],
      ["f", 2, 30, 1],
      ["s", 1, 20, 2],
      ["f", 2, 30, 2],
    ])
  })

  it("do not lead back in time", () => {
    const flows = new Flows("IPI")
    flows.send(5, 1, end(0, 10))
    flows.take(5, 1, end(2, 9))
    expect(flows.events(1)).toEqual([])
  })
})
