import { readFileSync } from "node:fs"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { coreFile } from "../../scripts/build-core.ts"
import { NativePc, type NativePcConfig, type PcEvent } from "../../src/machine/pc.ts"
import type { Processor } from "../../src/machine/processor.ts"
import { dword } from "./flat.ts"
import * as C from "./smp-code.ts"

const core = new WebAssembly.Module(readFileSync(coreFile))
const MEMORY = 8 << 20
const LOAD = 0x100000
/** What the other processors do, and the handler of the shootdown's vector. */
const OTHERS = LOAD + 0x1000
const HANDLER = LOAD + 0x2000
const VECTOR = 0x50
const DATA = LOAD + 0x10000
const STARTED = DATA
const ANSWERS = DATA + 4
const ROUND = DATA + 8
const COUNTER = DATA + 12
const FINISHED = DATA + 16

const powerOff = [0x66, 0xba, 0x04, 0x06, 0x66, 0xb8, 0x07, 0x20, 0x66, 0xef] // status 7
const block = (parts: ReadonlyArray<readonly [number, ReadonlyArray<number>]>): Uint8Array => {
  const bytes = new Uint8Array(0x3000)
  for (const [at, code] of parts) bytes.set(code, at - LOAD)
  return bytes
}

const boot = (
  first: ReadonlyArray<number>,
  others: ReadonlyArray<number>,
  options: Partial<NativePcConfig> & { readonly processors: number },
) => {
  const bytes = block([
    [LOAD, [...C.bringUp, ...first]],
    [OTHERS, others],
    // lock inc [ANSWERS]; EOI; iret
    [HANDLER, [...C.lockInc(ANSWERS), ...C.put(C.EOI, 0), 0xcf]],
  ])
  const pc = NativePc.create({
    core,
    memoryBytes: MEMORY,
    kernel: { arch: "i386", entry: LOAD, segments: [{ address: LOAD, bytes, memoryBytes: 0x20000 }] },
    cmdline: "",
    consoleOut: () => undefined,
    clock: () => 1.2e12,
    ...options,
  })
  C.layTables(pc.machine.ram, new Map([[VECTOR, HANDLER]]), OTHERS)
  return pc
}

/** Runs to an ending in slices, looking at the processors' times after each. */
const finish = (pc: NativePc, slice = 10_000): PcEvent => {
  for (let i = 0; i < 200_000; i++) {
    const event = pc.run(slice)
    const times = pc.machine.processors.map((cpu) => cpu.now)
    expect(Math.max(...times) - Math.min(...times)).toBeLessThan(16_384)
    if (event.kind === "idle" && event.until < Infinity) pc.skip(event.until)
    else if (event.kind !== "budget") return event
  }
  return { kind: "budget" }
}

const OFF: PcEvent = { kind: "powerOff", status: 7 }
const sti = [C.STI]
/** Halts for ever, but for interrupts; or runs in a circle. */
const halting = [...C.lockInc(STARTED), ...sti, C.HLT, 0xeb, 0xfd]
const circling = [...C.lockInc(STARTED), ...sti, 0xeb, 0xfe]

/** Waits for the others, then has all of them answer an interrupt, `rounds` times. */
const shootdown = (others: number, rounds: number): ReadonlyArray<number> => {
  const round = [
    ...C.put(ANSWERS, 0),
    ...C.put(C.ICR_LOW, 0xc4000 | VECTOR),
    ...C.waitFor(ANSWERS, others),
    ...C.lockInc(ROUND),
    ...[0x83, 0x3d, ...dword(ROUND), rounds], // cmp dword [ROUND], rounds
  ]
  return [...C.waitFor(STARTED, others), ...round, 0x72, -(round.length + 2) & 255, ...powerOff]
}

/** Adds 1 to COUNTER `times` times on each processor, in `step`s; the first waits for the others and ends it all. */
const adding = (others: number, times: number, step: ReadonlyArray<number>) => {
  const loop = [...step, 0x49] // …; dec ecx
  const add = [0xb9, ...dword(times), ...loop, 0x75, -(loop.length + 2) & 255]
  return {
    first: [...C.waitFor(STARTED, others), ...add, ...C.waitFor(FINISHED, others), ...powerOff],
    others: [...C.lockInc(STARTED), ...C.waitFor(STARTED, others), ...add, ...C.lockInc(FINISHED), C.CLI, C.HLT],
  }
}
const apart = [...C.loadEax(COUNTER), 0x40, ...C.storeEax(COUNTER)]
const atOnce = C.lockInc(COUNTER)

describe("native PC with several processors", () => {
  it.each([2, 4, 16])("brings up all of %i and interrupts them, halted or running", (processors) => {
    for (const others of [halting, circling]) {
      const pc = boot(shootdown(processors - 1, 20), others, { processors })
      expect(finish(pc)).toEqual(OFF)
      expect(pc.machine.ram.read32(ROUND)).toBe(20)
      for (const cpu of pc.machine.processors.slice(1)) expect(cpu.counters().vectors[VECTOR]).toBe(20)
      expect(pc.instructions).toBe(pc.machine.processors.reduce((sum, cpu) => sum + cpu.instructions, 0))
    }
  })

  it("runs the same for the same seed, event for event, however it is sliced; and otherwise for others", () => {
    const log = (seed: number, slice: number): string => {
      const lines: string[] = []
      const watch: NativePcConfig["watch"] = ({ processor, now, vector, rip }) =>
        lines.push(`${processor} ${now} ${vector} ${rip}`)
      const pc = boot(shootdown(3, 20), circling, { processors: 4, seed, watch })
      expect(finish(pc, slice)).toEqual(OFF)
      return lines.join("\n")
    }
    const logs = [1, 2, 3, 4].map((seed) => log(seed, 10_000))
    for (const slice of [10_000, 777, 13]) expect(log(1, slice)).toBe(logs[0])
    expect(new Set(logs).size).toBe(4)
  })

  it("shows races, and that LOCK ends them", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.integer({ min: 2, max: 5 }), (seed, processors) => {
        const total = 5000 * processors
        const run = (step: ReadonlyArray<number>): number => {
          const { first, others } = adding(processors - 1, 5000, step)
          const pc = boot(first, others, { processors, seed })
          expect(finish(pc)).toEqual(OFF)
          return pc.machine.ram.read32(COUNTER)
        }
        expect(run(atOnce)).toBe(total)
        const raced = run(apart)
        expect(raced).toBeGreaterThanOrEqual(5000)
        expect(raced).toBeLessThan(total)
      }),
      { numRuns: 10 },
    )
  })

  it("idles when all halt, until the timer of any of them", () => {
    const timer = [
      ...C.put(C.APIC + 0x3e0, 0xb), // divide by 1
      ...C.put(C.APIC + 0x320, VECTOR),
      ...C.put(C.APIC + 0x380, 5_000_000),
    ]
    // The second processor's timer interrupts it once; then it ends everything.
    const pc = boot([...sti, C.HLT, 0xeb, 0xfd], [...timer, ...sti, C.HLT, ...powerOff], { processors: 2 })
    const event = pc.run(10_000)
    expect(event.kind).toBe("idle")
    expect(event.kind === "idle" && Math.abs(event.until - 5_000_000)).toBeLessThan(1000)
    expect(finish(pc)).toEqual(OFF)
    expect(pc.instructions).toBeLessThan(200)
  })

  it("keeps the board's time with whoever runs while the first one waits", () => {
    const pc = boot([...C.waitFor(STARTED, 1), ...sti, C.HLT, 0xeb, 0xfd], circling, { processors: 2 })
    const [first, second] = pc.machine.processors as [Processor, Processor]
    while (!first.halted) pc.run(1000)
    pc.run(500_000)
    expect(pc.turns.boardTime).toBe(second.now)
    expect(pc.turns.boardTime).toBeGreaterThan(first.now)
  })

  it("is dead when all have halted with interrupts off, and says which processor fell three times", () => {
    const still = finish(boot([C.CLI, C.HLT], [C.CLI, C.HLT], { processors: 3 }))
    expect(still.kind === "dead" && still.reason).toContain("interrupts off")
    // No IDT: lidt with a limit of 0, then an invalid instruction.
    const falling = [0x0f, 0x01, 0x1d, ...dword(DATA + 0x100), 0x0f, 0x0b]
    const fallen = finish(boot([0xeb, 0xfe], falling, { processors: 2 }))
    expect(fallen.kind === "dead" && fallen.reason).toMatch(/^processor 1: triple fault/)
  })

  it("does not wait for ever for an NMI inside the handler of an NMI", () => {
    // NMI to itself; the gate of vector 2 leads to a second NMI and a HLT.
    const self = C.put(C.ICR_LOW, 0x44400)
    const pc = boot([...self, 0xeb, 0xfe], [C.CLI, C.HLT], { processors: 2 })
    C.layTables(pc.machine.ram, new Map([[2, HANDLER]]), OTHERS)
    pc.machine.ram.copyIn(HANDLER, Uint8Array.from([...self, C.HLT]))
    const event = finish(pc)
    expect(event.kind === "dead" && event.reason).toContain("interrupts off")
  })
})

describe("MP table (MultiProcessor Specification 1.4, chapter 4)", () => {
  /** As a kernel does it: looks for the floating pointer, and adds up the bytes. */
  const find = (pc: NativePc) => {
    const { ram } = pc.machine
    const sum = (at: number, length: number) => ram.copyOut(at, length).reduce((total, byte) => (total + byte) & 255, 0)
    const text = (at: number, length: number) => new TextDecoder().decode(ram.copyOut(at, length))
    for (let at = 0xf0000; at < 0x100000; at += 16) {
      if (text(at, 4) !== "_MP_" || sum(at, 16 * ram.read8(at + 8)) !== 0) continue
      const table = ram.read32(at + 4)
      expect([text(table, 4), sum(table, ram.read16(table + 4))]).toEqual(["PCMP", 0])
      return { ram, table, features: [ram.read8(at + 11), ram.read8(at + 12)] }
    }
    return undefined
  }

  it.each([2, 16])("names all %i processors, the buses and the local interrupts", (processors) => {
    const found = find(boot([C.HLT], [], { processors }))!
    const { ram, table } = found
    expect(found.features).toEqual([0, 0])
    expect(ram.read32(table + 36)).toBe(0xfee00000)
    const sizes = [20, 8, 8, 8, 8]
    const kinds = [0, 0, 0, 0, 0]
    let at = table + 44
    for (let i = 0; i < ram.read16(table + 34); i++) {
      const type = ram.read8(at)
      if (type === 0) {
        expect(ram.read8(at + 1)).toBe(kinds[0])
        expect(ram.read8(at + 3)).toBe(kinds[0] === 0 ? 3 : 1)
      }
      kinds[type]!++
      at += sizes[type]!
    }
    expect(at).toBe(table + ram.read16(table + 4))
    expect(kinds).toEqual([processors, 2, 0, 0, 2])
  })

  it("lies in memory that the kernel is told to leave alone, and is refused where it has no room", () => {
    const pc = boot([C.HLT], [], { processors: 2 })
    const { ram } = pc.machine
    const params = pc.processor.gprLo(6)
    const map = Array.from({ length: ram.read8(params + 0x1e8) }, (_, i) =>
      [0, 8, 16].map((field) => ram.read32(params + 0x2d0 + 20 * i + field)),
    )
    expect(map).toEqual([
      [0, 0xf0000, 1],
      [0xf0000, 0x10000, 2],
      [0x100000, MEMORY - 0x100000, 1],
    ])
    const kernel = (address: number) => ({
      arch: "i386" as const,
      entry: address,
      segments: [{ address, bytes: Uint8Array.of(C.HLT), memoryBytes: 0x1000 }],
    })
    expect(() => boot([], [], { processors: 2, kernel: kernel(0xef800) })).toThrow(/firmware/)
    expect(() => boot([], [], { processors: 2, memoryBytes: 0x80000, kernel: kernel(0x20000) })).toThrow(/too few/)
  })

  it("is not there for one processor", () => {
    expect(find(boot([C.HLT], [], { processors: 1 }))).toBeUndefined()
  })
})
