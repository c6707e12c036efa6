import { readFileSync } from "node:fs"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { coreFile } from "../../scripts/build-core.ts"
import { openBus } from "../../src/machine/bus.ts"
import * as S from "../../src/machine/core/state.ts"
import { Machine } from "../../src/machine/machine.ts"
import type { Processor } from "../../src/machine/processor.ts"

/*
 * The data cache of a processor that checks late: 2 MiB in 2048 sets of 16 lines, the least recently used goes.
 */

const RAM_BYTES = 8 << 20
const LINE = 1 << S.CACHE_LINE_SHIFT
const CODE = 0x1000
const LOAD = [0x67, 0x8a, 0x06] // mov al, [esi]
const STORE = [0x67, 0x88, 0x06]
const CLFLUSH = [0x67, 0x0f, 0xae, 0x3e]
const WBINVD = [0x0f, 0x09]
const LOAD_WIDE = [0x66, 0x67, 0x8b, 0x06] // mov eax, [esi]

const machine = Machine.create({
  core: new WebAssembly.Module(readFileSync(coreFile)),
  ramBytes: RAM_BYTES,
  processors: 2,
  bus: openBus,
  traits: { lateChecks: true },
})
const [cpu, other] = machine.processors as unknown as [Processor, Processor]

/** Real mode, with data segments that reach everywhere; empty caches. */
const reset = (): void => {
  for (const processor of [cpu, other]) {
    processor.exports.reset()
    for (const segment of [S.SEG_DS, S.SEG_CS]) processor.setSegment(segment, 0, 0n, 0xffff_ffff, 0x9300)
    processor.setWord(S.WAIT_SIPI, 0)
    processor.setWord(S.ATTENTION, 0)
    processor.refresh()
  }
}

/** Executes one instruction about an address; returns what it took in time and in misses. */
const execute = (bytes: ReadonlyArray<number>, address: number, on = cpu) => {
  machine.ram.copyIn(CODE, Uint8Array.from(bytes))
  on.rip = BigInt(CODE)
  on.setGpr(6, BigInt(address))
  const before = { now: on.now, misses: on.counters().cacheMisses }
  on.run(1)
  expect(on.rip).toBe(BigInt(CODE + bytes.length))
  return { ticks: on.now - before.now, misses: on.counters().cacheMisses - before.misses }
}

const HIT = { ticks: 1, misses: 0 }
const MISS = { ticks: 1 + S.CACHE_MISS_TICKS, misses: 1 }

describe("the cache", () => {
  it("makes the second load of a line short", () => {
    reset()
    expect(execute(LOAD, 0x5000)).toEqual(MISS)
    expect(execute(LOAD, 0x5000 + LINE - 1)).toEqual(HIT)
    expect(execute(LOAD, 0x5000 + LINE)).toEqual(MISS)
    expect(execute(LOAD, 0x5000 - 1)).toEqual(MISS)
  })

  it("takes both lines of an access that crosses from one to the next", () => {
    reset()
    expect(execute(LOAD_WIDE, 0x5000 - 2)).toEqual({ ticks: 1 + 2 * S.CACHE_MISS_TICKS, misses: 2 })
    expect(execute(LOAD, 0x5000)).toEqual(HIT)
    expect(execute(LOAD, 0x4fff)).toEqual(HIT)
  })

  it("is filled by stores, which do not wait", () => {
    reset()
    expect(execute(STORE, 0x5000)).toEqual({ ticks: 1, misses: 1 })
    expect(execute(LOAD, 0x5000)).toEqual(HIT)
  })

  it("loses a line to CLFLUSH on any processor, and all of them to WBINVD on its own", () => {
    reset()
    execute(LOAD, 0x5000)
    execute(LOAD, 0x6000)
    execute(LOAD, 0x6000, other)
    execute(CLFLUSH, 0x5020)
    expect(execute(LOAD, 0x5000)).toEqual(MISS)
    expect(execute(LOAD, 0x6000)).toEqual(HIT)
    execute(CLFLUSH, 0x6000, other)
    expect(execute(LOAD, 0x6000)).toEqual(MISS)
    execute(LOAD, 0x6000, other)
    execute(WBINVD, 0)
    expect(execute(LOAD, 0x5000)).toEqual(MISS)
    expect(execute(LOAD, 0x6000, other)).toEqual(HIT)
  })

  it("keeps what was used last", () => {
    const model = new Map<number, number[]>()
    const touch = (line: number): boolean => {
      const ways = model.get(line % S.CACHE_SETS) ?? []
      const held = ways.includes(line)
      model.set(line % S.CACHE_SETS, [line, ...ways.filter((way) => way !== line)].slice(0, S.CACHE_WAYS))
      return held
    }
    const drop = (line: number) => {
      // An empty way keeps its place among the others.
      const ways = model.get(line % S.CACHE_SETS) ?? []
      model.set(
        line % S.CACHE_SETS,
        ways.map((way) => (way === line ? -1 : way)),
      )
    }
    // Few sets, more lines in each than there are ways.
    const address = fc
      .tuple(fc.nat(1), fc.nat(RAM_BYTES / (S.CACHE_SETS * LINE) - 1))
      .map(([set, tag]) => (tag * S.CACHE_SETS + 0x200 + set) * LINE)
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(9), address), { minLength: 50, maxLength: 200 }), (accesses) => {
        reset()
        model.clear()
        for (const [kind, at] of accesses) {
          if (kind === 0) {
            execute(CLFLUSH, at)
            drop(at / LINE)
          } else expect(execute(LOAD, at)).toEqual(touch(at / LINE) ? HIT : MISS)
        }
      }),
      { numRuns: 40 },
    )
  })
})
