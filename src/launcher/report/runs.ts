import { CYCLE_PARTS, type CyclePart } from "../costs.ts"
import { type Stats, vectorName } from "../stats.ts"
import { clip } from "./html.ts"

/* What the plots show, taken from statistics. */

export interface Run {
  /** Short, and no other run's. */
  readonly name: string
  readonly stats: Stats
}

const LONGEST_NAME = 28

/** Runs are called by their files' names, with a number where two are the same. */
export const toRuns = (read: ReadonlyArray<{ readonly file: string; readonly stats: Stats }>): ReadonlyArray<Run> => {
  const names = read.map(({ file }) => clip(file.replace(/^.*\//s, "").replace(/(?<=.)\.json$/i, ""), LONGEST_NAME))
  return read.map(({ stats }, i) => ({
    name: names.filter((name) => name === names[i]).length > 1 ? `${names[i]} (${i + 1})` : names[i]!,
    stats,
  }))
}

export const PART_NAMES: Readonly<Record<CyclePart, string>> = {
  ring0: "instructions, ring 0",
  ring1: "instructions, ring 1",
  ring2: "instructions, ring 2",
  ring3: "instructions, ring 3",
  systemCalls: "SYSCALL, SYSENTER",
  pageFaults: "page faults",
  exceptions: "other exceptions",
  interrupts: "interrupts and INT n",
  tlbMisses: "TLB misses",
  cr3Loads: "CR3 loads",
  invlpg: "INVLPG",
}

/** Instructions from the outer rings in, then events: the order of a bar. */
const INSTRUCTIONS: ReadonlyArray<CyclePart> = ["ring3", "ring2", "ring1", "ring0"]
export const PARTS: ReadonlyArray<CyclePart> = [
  ...INSTRUCTIONS,
  ...CYCLE_PARTS.filter((part) => !INSTRUCTIONS.includes(part)),
]

/** The cost tables that any of the runs was priced with. */
export const costTables = (runs: ReadonlyArray<Run>): ReadonlyArray<string> => [
  ...new Set(runs.flatMap(({ stats }) => stats.cycles.map(({ table }) => table))),
]

export const cyclesWith = ({ stats }: Run, table: string): Stats["cycles"][number] | undefined =>
  stats.cycles.find((cycles) => cycles.table === table)

const sum = (counts: Readonly<Record<string, number>>): number => Object.values(counts).reduce((a, b) => a + b, 0)

/** lguest's hypercall is INT 0x1f, which leaves the guest as an exception does. */
const LGUEST_HYPERCALL = "31"

/** Why the guest was left, for each world switch; what is not counted by itself is the rest. */
export const exits = ({ stats }: Run): Readonly<Record<string, number>> => {
  const reasons = new Map<string, number>()
  for (const [vector, count] of Object.entries(stats.guestTraps))
    reasons.set(stats.arch === "i386" && vector === LGUEST_HYPERCALL ? "hypercalls" : vectorName(vector), count)
  if (stats.arch === "x86_64") {
    reasons.set("hypercalls", sum(stats.hypercalls) - stats.asyncHypercalls)
    reasons.set("system calls", stats.syscalls.reflected)
  }
  const counted = sum(Object.fromEntries(reasons))
  reasons.set("other: interrupts, steps", Math.max(0, stats.worldSwitches - counted))
  return Object.fromEntries([...reasons].filter(([, count]) => count > 0))
}

/** One figure of a run that can be set beside another run's. */
export interface Metric {
  readonly name: string
  readonly of: (stats: Stats) => number | undefined
  readonly time?: true
  /** Said in words only: it is not the machine's. */
  readonly plotted: boolean
}

const count = (name: string, of: Metric["of"]): Metric => ({ name, of, plotted: true })

export const metrics = (runs: ReadonlyArray<Run>): ReadonlyArray<Metric> =>
  [
    ...costTables(runs).map((table) =>
      count(`cycles, modelled (${clip(table, 20)})`, ({ cycles }) => cycles.find((c) => c.table === table)?.total),
    ),
    count("instructions", (s) => s.instructions.total),
    count("traps delivered", (s) => sum(s.traps)),
    count("CR3 loads", (s) => s.tlb.cr3Loads),
    count("TLB misses", (s) => s.tlb.misses),
    count("INVLPG", (s) => s.tlb.invlpg),
    count("world switches", (s) => s.worldSwitches),
    count("hypercalls", (s) => sum(s.hypercalls)),
    count("traps reflected", (s) => s.reflectedTraps),
    count("system calls reflected", (s) => s.syscalls.reflected),
    count("shadow faults", (s) => sum(s.shadowFaults)),
    count("shadow pages made", (s) => sum(s.shadowPages)),
    count("interrupts injected", (s) => s.interrupts.injected),
    count("device accesses", (s) => s.deviceAccesses),
    { name: "simulated time", of: (s: Stats) => s.simulatedSeconds, time: true, plotted: true } as const,
    { name: "time on the wall", of: (s: Stats) => s.seconds, time: true, plotted: false } as const,
  ].filter(({ of }) => runs.some(({ stats }) => (of(stats) ?? 0) > 0))
