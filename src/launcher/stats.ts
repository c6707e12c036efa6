import * as Schema from "effect/Schema"
import { modelledCycles, NETBURST } from "./costs.ts"
import type { EngineCounts } from "./engine.ts"

/* What a run did, as --stats-json writes it. docs/stats.md tells what each count means. */

const Count = Schema.Number
const Counts = Schema.Record(Schema.String, Count)

export const Stats = Schema.Struct({
  version: Schema.Literal(1),
  arch: Schema.Literals(["i386", "x86_64"]),
  native: Schema.Boolean,
  instructions: Schema.Struct({ total: Count, ring0: Count, ring1: Count, ring2: Count, ring3: Count }),
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
  tlb: Schema.Struct({ misses: Count, flushes: Count, invlpg: Count, cr3Loads: Count }),
  interrupts: Schema.Struct({ taken: Count, injected: Count }),
  vcpuChecks: Schema.Struct({ null: Count, taken: Count }),
  deviceAccesses: Count,
  simulatedSeconds: Schema.Number,
  seconds: Schema.Number,
  cycles: Schema.Struct({ modelled: Schema.Literal(true), table: Schema.String, total: Count }),
})

export type Stats = typeof Stats.Type

/** The counts that are not 0, under their names. */
const named = (counts: ArrayLike<number>, name: (index: number) => string): Record<string, number> =>
  Object.fromEntries(Array.from(counts, (count, i) => [name(i), count] as const).filter(([, count]) => count !== 0))

const happened = (counts: Readonly<Record<string, number>>): Record<string, number> =>
  Object.fromEntries(Object.entries(counts).filter(([, count]) => count !== 0))

export interface StatsContext {
  readonly arch: "i386" | "x86_64"
  readonly native: boolean
  /** Simulated time, ns. */
  readonly now: number
  /** Wall-clock seconds from start to end. */
  readonly seconds: number
}

export const collect = (counts: EngineCounts, { arch, native, now, seconds }: StatsContext): Stats => {
  const { processor, host } = counts
  const [ring0, ring1, ring2, ring3] = processor.instructions
  const s = host?.statistics
  return {
    version: 1,
    arch,
    native,
    instructions: { total: ring0 + ring1 + ring2 + ring3, ring0, ring1, ring2, ring3 },
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
    tlb: {
      misses: processor.tlbMisses,
      flushes: processor.tlbFlushes,
      invlpg: processor.invlpg,
      cr3Loads: processor.cr3Loads,
    },
    interrupts: { taken: processor.interrupts, injected: s?.injectedInterrupts ?? 0 },
    vcpuChecks: { null: s?.vcpuNull ?? 0, taken: s?.vcpuTaken ?? 0 },
    deviceAccesses: s?.forwarded ?? 0,
    simulatedSeconds: now / 1e9,
    seconds,
    cycles: { modelled: true, table: NETBURST.name, total: modelledCycles(NETBURST, counts) },
  }
}

export const toJson = (stats: Stats): string => JSON.stringify(Schema.encodeSync(Stats)(stats), null, 2) + "\n"

const VECTORS: Readonly<Record<string, string>> = {
  0: "#DE", 1: "#DB", 2: "NMI", 3: "#BP", 4: "#OF", 5: "#BR", 6: "#UD", 7: "#NM", 8: "#DF", 10: "#TS", 11: "#NP",
  12: "#SS", 13: "#GP", 14: "#PF", 16: "#MF", 17: "#AC", 18: "#MC", 19: "#XM",
} // prettier-ignore

/** The table of --stats. */
export const table = (stats: Stats): string => {
  const rows: Array<readonly [string, number | string]> = []
  const record = (title: string, counts: Readonly<Record<string, number>>, name = (key: string) => key) => {
    for (const [key, count] of Object.entries(counts)) if (count !== 0) rows.push([`${title} ${name(key)}`, count])
  }
  const vector = (key: string) => (VECTORS[key] === undefined ? key : `${key} ${VECTORS[key]}`)
  const { total, ...rings } = stats.instructions
  rows.push(["instructions", total])
  record("instructions", rings, (key) => key.replace("ring", "ring "))
  record("traps", stats.traps, vector)
  if (!stats.native) {
    rows.push(["world switches", stats.worldSwitches], ["context switches", stats.contextSwitches])
    record("traps of the guest", stats.guestTraps, vector)
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
  rows.push(["CR3 loads", stats.tlb.cr3Loads], [`cycles (modelled, ${stats.cycles.table})`, stats.cycles.total])
  rows.push(["simulated seconds", stats.simulatedSeconds.toFixed(3)], ["seconds", stats.seconds.toFixed(3)])
  const left = Math.max(...rows.map(([name]) => name.length))
  const right = Math.max(...rows.map(([, value]) => String(value).length))
  return rows.map(([name, value]) => `${name.padEnd(left)}  ${String(value).padStart(right)}`).join("\n")
}
