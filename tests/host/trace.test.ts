import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { A, HostTrace, KIND, RECORD_KIND, RECORD_TASK, RECORD_WORDS, TraceBuffers } from "../../src/host/trace.ts"

/** A kernel of which a test says what it is doing. */
class Kernel {
  cpu = { index: 0 }
  now = 0
  time = 0
  serving = true
  currentPid = 7
}

const word = fc.integer({ min: 0, max: 0xffff_ffff })
const time = fc.integer({ min: 0, max: 2 ** 52 })

describe("trace buffers", () => {
  it("hold what was put into them, each its own", () => {
    const record = fc.record({
      buffer: fc.nat(2),
      now: time,
      kind: fc.integer({ min: 1, max: 20 }),
      words: fc.tuple(word, word, word, word),
    })
    fc.assert(
      fc.property(fc.array(record, { maxLength: 40 }), (records) => {
        const buffers = new TraceBuffers(2, 40)
        for (const { buffer, now, kind, words } of records) buffers.put(buffer, now, kind, 5, ...words)
        for (let buffer = 0; buffer < 3; buffer++) {
          const mine = records.filter((r) => r.buffer === buffer)
          expect(buffers.used[buffer]).toBe(mine.length)
          mine.forEach(({ now, kind, words }, i) => {
            const at = i * RECORD_WORDS
            expect(buffers.times[buffer]![at / 2]).toBe(now)
            const stored = buffers.words[buffer]!
            expect([stored[at + RECORD_KIND], stored[at + RECORD_TASK]]).toEqual([kind, 5])
            expect(Array.from(stored.subarray(at + A, at + A + 4), (w) => w >>> 0)).toEqual(words)
          })
        }
      }),
      { numRuns: 50 },
    )
  })

  it("all stop when one is full", () => {
    const buffers = new TraceBuffers(1, 2)
    const put = (buffer: number) => buffers.put(buffer, 1, KIND.irq, 0, 0, 0, 0, 0)
    put(0)
    put(0)
    expect(buffers.stopped).toBe(false)
    put(0)
    expect(buffers.stopped).toBe(true)
    put(1)
    expect(Array.from(buffers.used)).toEqual([2, 0])
  })

  it("are the same ones in another thread", () => {
    const first = new TraceBuffers(2, 8)
    first.put(1, 3, KIND.irq, 0, 9, 0, 0, 0)
    const other = new TraceBuffers(2, 8, first.share)
    expect([first.fresh, other.fresh]).toEqual([true, false])
    expect(other.words[1]![A]).toBe(9)
    other.put(1, 4, KIND.irq, 0, 10, 0, 0, 0)
    expect(first.used[1]).toBe(2)
    expect(first.words[1]![RECORD_WORDS + A]).toBe(10)
  })
})

describe("a host's trace", () => {
  it("is off without buffers", () => {
    expect(new HostTrace(new Kernel(), 1, undefined).on).toBe(false)
  })

  it("goes to the buffer of the processor that is being served, else to the launcher's", () => {
    const kernel = new Kernel()
    const buffers = new TraceBuffers(2, 8)
    const trace = new HostTrace(kernel, 2, buffers)
    kernel.cpu = { index: 1 }
    trace.kick(0)
    kernel.serving = false
    trace.kick(0)
    expect(Array.from(buffers.used)).toEqual([0, 1, 1])
    // The second kick of the same processor.
    expect(buffers.words[buffers.launcher]![A + 1]).toBe(2)
    // Another thread has no buffer outside of gates.
    new HostTrace(kernel, 2, new TraceBuffers(2, 8, buffers.share)).kick(0)
    expect(Array.from(buffers.used)).toEqual([0, 1, 1])
  })

  it("keeps addresses whole", () => {
    const buffers = new TraceBuffers(1, 8)
    const trace = new HostTrace(new Kernel(), 1, buffers)
    trace.enter(1, 0x8000_0001, 0xffff_ff12, 0x8_9abc_d000)
    const words = buffers.words[0]!
    expect(Array.from(words.subarray(A + 2, A + 6), (w) => w >>> 0)).toEqual([0x8000_0001, 0xffff_ff12, 0x9abc_d000, 8])
  })

  it("says once that a thread drives a processor", () => {
    const buffers = new TraceBuffers(1, 8)
    const trace = new HostTrace(new Kernel(), 1, buffers)
    trace.drives(3)
    trace.drives(3)
    trace.releases()
    trace.releases()
    trace.drives(4)
    const kinds = [0, 1, 2].map((i) => buffers.words[0]![i * RECORD_WORDS + RECORD_KIND])
    expect(buffers.used[0]).toBe(3)
    expect(kinds).toEqual([KIND.drive, KIND.release, KIND.drive])
  })
})
