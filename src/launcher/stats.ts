import * as Schema from "effect/Schema"
import { COST_TABLES, CYCLE_PARTS, type CyclePart, modelledCycles, modelledParts } from "./costs.ts"
import type { EngineCounts } from "./engine.ts"
import type { Sample } from "./sampler.ts"

/*
 * What a run did, as --stats-json writes it and `lguest64 report` reads it. docs/stats.md tells what each count means. A file
 * may come from anybody: what is not checked here a reader must not rely on.
 */

export const STATS_VERSION = 2

/** Of something that happened, so from 0, and exact. */
const Count = Schema.Number.check(Schema.isInt(), Schema.isGreaterThanOrEqualTo(0))
const Counts = Schema.Record(Schema.String, Count)
const Seconds = Schema.Number.check(Schema.isFinite(), Schema.isGreaterThanOrEqualTo(0))
const Instructions = Schema.Struct({ total: Count, ring0: Count, ring1: Count, ring2: Count, ring3: Count })
const Tlb = Schema.Struct({ misses: Count, flushes: Count, invlpg: Count, cr3Loads: Count })

const perPart = <A>(value: (part: CyclePart) => A): Record<CyclePart, A> =>
  Object.fromEntries(CYCLE_PARTS.map((part) => [part, value(part)])) as Record<CyclePart, A>

/** More than any run writes (src/launcher/sampler.ts): a plot has no room for them. */
const MOST_SAMPLES = 4096
const rises = (numbers: ReadonlyArray<number>) => numbers.every((n, i) => i === 0 || n >= numbers[i - 1]!)
const Column = Schema.Array(Count).check(Schema.isMaxLength(MOST_SAMPLES))
const RisingColumn = Column.check(Schema.makeFilter((counts) => rises(counts) || "counts that never fall"))

/** One array for each counter, so that a plot takes what it needs: member i of all of them is one moment. */
const Samples = Schema.Struct({
  simulatedSeconds: Schema.Array(Seconds).check(
    Schema.isMaxLength(MOST_SAMPLES),
    Schema.makeFilter((times) => rises(times) || "times that never fall"),
  ),
  instructions: Schema.Struct({ ring0: RisingColumn, ring1: RisingColumn, ring2: RisingColumn, ring3: RisingColumn }),
  worldSwitches: RisingColumn,
  hypercalls: RisingColumn,
  traps: RisingColumn,
  cr3Loads: RisingColumn,
  tlbMisses: RisingColumn,
  interruptsInjected: RisingColumn,
  shadowPagesAlive: Schema.Record(Schema.String, Column),
}).check(
  Schema.makeFilter(({ simulatedSeconds, instructions, shadowPagesAlive, ...columns }) => {
    const all = [columns, instructions, shadowPagesAlive].flatMap((some) => Object.entries(some))
    const wrong = all.find(([, column]) => column.length !== simulatedSeconds.length)?.[0]
    return wrong === undefined || `as many samples of ${wrong} as of simulatedSeconds (${simulatedSeconds.length})`
  }),
)

export const Stats = Schema.Struct({
  version: Schema.Literal(STATS_VERSION),
  versions: Schema.Struct({ lguest64: Schema.String, node: Schema.String }),
  commandLine: Schema.Array(Schema.String),
  arch: Schema.Literals(["i386", "x86_64"]),
  native: Schema.Boolean,
  module: Schema.NullOr(Schema.String),
  design: Schema.NullOr(Schema.String),
  instructions: Instructions,
  worldSwitches: Count,
  contextSwitches: Count,
  traps: Counts,
  guestTraps: Counts,
  reflectedTraps: Count,
  hypercalls: Counts,
  asyncHypercalls: Count,
  syscalls: Schema.Struct({ host: Count, reflected: Count }),
  shadowFaults: Counts,
  shadowPages: Counts,
  shadowPagesAlive: Counts,
  tlb: Tlb,
  interrupts: Schema.Struct({ taken: Count, injected: Count }),
  vcpuChecks: Schema.Struct({ null: Count, taken: Count }),
  deviceAccesses: Count,
  simulatedSeconds: Seconds,
  seconds: Seconds,
  cycles: Schema.Array(
    Schema.Struct({
      modelled: Schema.Literal(true),
      table: Schema.String,
      total: Count,
      parts: Schema.Struct(perPart(() => Count)),
    }),
  ),
  perProcessor: Schema.optionalKey(
    Schema.Array(
      Schema.Struct({
        cpu: Count,
        instructions: Instructions,
        traps: Counts,
        tlb: Tlb,
        interrupts: Schema.Struct({ taken: Count }),
      }),
    ),
  ),
  samples: Samples,
})

export type Stats = typeof Stats.Type

/** The counts that are not 0, under their names. */
const named = (counts: ArrayLike<number>, name: (index: number) => string): Record<string, number> =>
  Object.fromEntries(Array.from(counts, (count, i) => [name(i), count] as const).filter(([, count]) => count !== 0))

const happened = (counts: Readonly<Record<string, number>>): Record<string, number> =>
  Object.fromEntries(Object.entries(counts).filter(([, count]) => count !== 0))

export interface StatsContext {
  readonly versions: Stats["versions"]
  /** The arguments that the program was given. */
  readonly commandLine: ReadonlyArray<string>
  readonly arch: "i386" | "x86_64"
  readonly native: boolean
  /** The design's name; undefined: its module's own. */
  readonly design?: string | undefined
  /** Simulated time, ns. */
  readonly now: number
  /** Wall-clock seconds from start to end. */
  readonly seconds: number
  readonly samples: ReadonlyArray<Sample>
}

type Counters = EngineCounts["processor"]

const instructionsOf = ({ instructions: [ring0, ring1, ring2, ring3] }: Counters): Stats["instructions"] => ({
  total: ring0 + ring1 + ring2 + ring3,
  ring0,
  ring1,
  ring2,
  ring3,
})

const tlbOf = ({ tlbMisses, tlbFlushes, invlpg, cr3Loads }: Counters): Stats["tlb"] => ({
  misses: tlbMisses,
  flushes: tlbFlushes,
  invlpg,
  cr3Loads,
})

const columns = (samples: ReadonlyArray<Sample>): Stats["samples"] => {
  const levels = [...new Set(samples.flatMap((sample) => Object.keys(sample.shadowPagesAlive)))].sort()
  const ring = (r: 0 | 1 | 2 | 3) => samples.map((sample) => sample.instructions[r])
  return {
    simulatedSeconds: samples.map((sample) => sample.now / 1e9),
    instructions: { ring0: ring(0), ring1: ring(1), ring2: ring(2), ring3: ring(3) },
    worldSwitches: samples.map((sample) => sample.worldSwitches),
    hypercalls: samples.map((sample) => sample.hypercalls),
    traps: samples.map((sample) => sample.traps),
    cr3Loads: samples.map((sample) => sample.cr3Loads),
    tlbMisses: samples.map((sample) => sample.tlbMisses),
    interruptsInjected: samples.map((sample) => sample.injectedInterrupts),
    shadowPagesAlive: Object.fromEntries(
      levels.map((level) => [level, samples.map((sample) => sample.shadowPagesAlive[level] ?? 0)]),
    ),
  }
}

const cyclesOf = (counts: EngineCounts): Stats["cycles"] =>
  COST_TABLES.map((costs) => {
    const parts = modelledParts(costs, counts)
    return { modelled: true, table: costs.name, total: modelledCycles(costs, counts), parts }
  })

export const collect = (counts: EngineCounts, context: StatsContext): Stats => {
  const { processor, host, perProcessor } = counts
  const { versions, commandLine, arch, native, design, now, seconds, samples } = context
  const s = host?.statistics
  // A module's own design has the module's name (designs/).
  const module = native ? null : arch === "x86_64" ? "lguest64" : "lguest"
  return {
    version: STATS_VERSION,
    versions,
    commandLine,
    arch,
    native,
    module,
    design: native ? null : (design ?? module),
    instructions: instructionsOf(processor),
    worldSwitches: s?.worldSwitches ?? 0,
    contextSwitches: s?.contextSwitches ?? 0,
    traps: named(processor.vectors, String),
    guestTraps: named(s?.guestTraps ?? [], String),
    reflectedTraps: s?.reflectedTraps ?? 0,
    hypercalls: named(s?.hypercalls ?? [], (number) => host?.hypercallNames[number] ?? `unknown ${number}`),
    asyncHypercalls: s?.asyncHypercalls ?? 0,
    syscalls: { host: s?.hostSystemCalls ?? 0, reflected: s?.reflectedSystemCalls ?? 0 },
    shadowFaults: happened(host?.shadow.faults ?? {}),
    shadowPages: happened(host?.shadow.pages ?? {}),
    shadowPagesAlive: happened(host?.shadow.pagesAlive ?? {}),
    tlb: tlbOf(processor),
    interrupts: { taken: processor.interrupts, injected: s?.injectedInterrupts ?? 0 },
    vcpuChecks: { null: s?.vcpuNull ?? 0, taken: s?.vcpuTaken ?? 0 },
    deviceAccesses: s?.forwarded ?? 0,
    simulatedSeconds: now / 1e9,
    seconds,
    cycles: cyclesOf(counts),
    ...(perProcessor === undefined
      ? {}
      : {
          perProcessor: perProcessor.map((counters, cpu) => ({
            cpu,
            instructions: instructionsOf(counters),
            traps: named(counters.vectors, String),
            tlb: tlbOf(counters),
            interrupts: { taken: counters.interrupts },
          })),
        }),
    samples: columns(samples),
  }
}

/** An array of numbers is one line: there are hundreds in a column. (No string of JSON has a line end in it.) */
export const toJson = (stats: Stats): string =>
  JSON.stringify(Schema.encodeSync(Stats)(stats), null, 2).replace(/\[\n[\s\d.,e+-]*\]/g, (numbers) =>
    numbers.replace(/\n\s*/g, " "),
  ) + "\n"

const VECTORS: Readonly<Record<string, string>> = {
  0: "#DE", 1: "#DB", 2: "NMI", 3: "#BP", 4: "#OF", 5: "#BR", 6: "#UD", 7: "#NM", 8: "#DF", 10: "#TS", 11: "#NP",
  12: "#SS", 13: "#GP", 14: "#PF", 16: "#MF", 17: "#AC", 18: "#MC", 19: "#XM",
} // prettier-ignore

/** "14 #PF" for a vector's number. */
export const vectorName = (key: string): string => (Object.hasOwn(VECTORS, key) ? `${key} ${VECTORS[key]}` : key)

/** The table of --stats. */
export const table = (stats: Stats): string => {
  const rows: Array<readonly [string, number | string]> = []
  const record = (title: string, counts: Readonly<Record<string, number>>, name = (key: string) => key) => {
    for (const [key, count] of Object.entries(counts)) if (count !== 0) rows.push([`${title} ${name(key)}`, count])
  }
  const { total, ...rings } = stats.instructions
  rows.push(["instructions", total])
  record("instructions", rings, (key) => key.replace("ring", "ring "))
  record("traps", stats.traps, vectorName)
  if (!stats.native) {
    rows.push(["world switches", stats.worldSwitches], ["context switches", stats.contextSwitches])
    record("traps of the guest", stats.guestTraps, vectorName)
    rows.push(["traps reflected", stats.reflectedTraps])
    record("hypercalls", stats.hypercalls)
    rows.push(["hypercalls, asynchronous", stats.asyncHypercalls])
    rows.push(["system calls of the host", stats.syscalls.host], ["system calls reflected", stats.syscalls.reflected])
    record("shadow faults", stats.shadowFaults)
    record("shadow pages, level", stats.shadowPages)
    rows.push(["VCPU checks, NULL", stats.vcpuChecks.null], ["VCPU checks, taken", stats.vcpuChecks.taken])
    rows.push(["interrupts injected", stats.interrupts.injected], ["device accesses", stats.deviceAccesses])
  }
  rows.push(["interrupts taken", stats.interrupts.taken])
  rows.push(["TLB misses", stats.tlb.misses], ["TLB flushes", stats.tlb.flushes], ["INVLPG", stats.tlb.invlpg])
  rows.push(["CR3 loads", stats.tlb.cr3Loads])
  for (const { table, total } of stats.cycles) rows.push([`cycles (modelled, ${table})`, total])
  rows.push(["simulated seconds", stats.simulatedSeconds.toFixed(3)], ["seconds", stats.seconds.toFixed(3)])
  const left = Math.max(...rows.map(([name]) => name.length))
  const right = Math.max(...rows.map(([, value]) => String(value).length))
  return rows.map(([name, value]) => `${name.padEnd(left)}  ${String(value).padStart(right)}`).join("\n")
}
