import { COST_TABLES, modelledCycles } from "../costs.ts"
import type { EngineCounts } from "../engine.ts"

/*
 * What `designs bench` counts. The names are those of its JSON's members and of the claims in design files. docs/designs.md tells what
 * each one means.
 */

export type Counts = Readonly<Record<string, number>>

const sum = (numbers: ArrayLike<number>): number => {
  let total = 0
  for (let i = 0; i < numbers.length; i++) total += numbers[i]!
  return total
}

const PAGE = 4096
const FAULTS = "shadow-faults"
const CYCLES = "cycles"

/** Those that grow as a run goes on: of a workload one sees the difference to a run that only boots. */
const ADDED = [
  "instructions",
  "host-instructions",
  "world-switches",
  "guest-traps",
  "traps-reflected",
  "system-calls-reflected",
  "hypercalls",
  "hypercalls-asynchronous",
  "interrupts-taken",
  "interrupts-injected",
  "cr3-loads",
  "tlb-flushes",
  "tlb-misses",
  "invlpg",
  FAULTS,
  "shadow-pages",
  ...COST_TABLES.map(({ name }) => `${CYCLES}-${name}`),
] as const

/** The most at any moment that was looked at. */
const PEAK = "shadow-bytes"
/** Instructions of the host for each time that the guest was left. */
const PER_EVENT = "host-instructions-per-event"

/** Is there a count of that name? Kinds of shadow faults depend on the MMU. */
export const isCount = (name: string): boolean =>
  (ADDED as ReadonlyArray<string>).includes(name) ||
  name === PEAK ||
  name === PER_EVENT ||
  /^shadow-faults-[a-z][a-z-]*$/.test(name)

/** The kinds of shadow faults that are among `counts`, with their numbers. */
export const faultKinds = (counts: Counts): ReadonlyArray<readonly [string, number]> =>
  Object.entries(counts)
    .filter(([name, count]) => name.startsWith(`${FAULTS}-`) && count !== 0)
    .map(([name, count]) => [name.slice(FAULTS.length + 1), count])

/** What has grown since power-on. */
export const countsOf = (counts: EngineCounts): Record<string, number> => {
  const { processor, host } = counts
  const s = host?.statistics
  const faults = Object.entries(host?.shadow.faults ?? {})
  return {
    instructions: sum(processor.instructions),
    "host-instructions": processor.instructions[0],
    "world-switches": s?.worldSwitches ?? 0,
    "guest-traps": sum(s?.guestTraps ?? []),
    "traps-reflected": s?.reflectedTraps ?? 0,
    "system-calls-reflected": s?.reflectedSystemCalls ?? 0,
    hypercalls: sum(s?.hypercalls ?? []),
    "hypercalls-asynchronous": s?.asyncHypercalls ?? 0,
    "interrupts-taken": processor.interrupts,
    "interrupts-injected": s?.injectedInterrupts ?? 0,
    "cr3-loads": processor.cr3Loads,
    "tlb-flushes": processor.tlbFlushes,
    "tlb-misses": processor.tlbMisses,
    invlpg: processor.invlpg,
    [FAULTS]: sum(faults.map(([, count]) => count)),
    ...Object.fromEntries(faults.map(([kind, count]) => [`${FAULTS}-${kind}`, count])),
    "shadow-pages": sum(Object.values(host?.shadow.pages ?? {})),
    ...Object.fromEntries(COST_TABLES.map((table) => [`${CYCLES}-${table.name}`, modelledCycles(table, counts)])),
  }
}

/** Bytes of the shadow pages that there are now. */
export const shadowBytes = ({ host }: EngineCounts): number => sum(Object.values(host?.shadow.pagesAlive ?? {})) * PAGE

/** One run's counts, and the most memory that its shadows had. */
export interface Totals {
  readonly counts: Counts
  readonly shadowBytes: number
}

/** What belongs to the workload of `run`, where `boot` only booted. */
export const difference = (run: Totals, boot: Totals): Counts => {
  const added = Object.fromEntries(
    Object.entries(run.counts).map(([name, count]) => [name, count - (boot.counts[name] ?? 0)]),
  )
  const events = added["world-switches"]!
  return {
    ...added,
    [PEAK]: run.shadowBytes,
    [PER_EVENT]: events === 0 ? 0 : Number((added["host-instructions"]! / events).toFixed(3)),
  }
}

export interface Column {
  readonly name: string
  readonly title: string
  /** Modelled, and not counted. */
  readonly modelled: boolean
}

const column = (name: string, title: string, modelled = false): Column => ({ name, title, modelled })

/** What the table and the page show; the rest is in the JSON. */
export const COLUMNS: ReadonlyArray<Column> = [
  column("world-switches", "world switches"),
  column("cr3-loads", "CR3 loads"),
  column("tlb-flushes", "TLB flushes"),
  column("tlb-misses", "TLB misses"),
  column(FAULTS, "shadow faults"),
  column("shadow-pages", "shadow pages made"),
  column(PEAK, "shadow bytes"),
  column("hypercalls", "hypercalls"),
  column("hypercalls-asynchronous", "of them, asynchronous"),
  column("instructions", "instructions"),
  column(PER_EVENT, "host instr. per event"),
  ...COST_TABLES.map(({ name }) => column(`${CYCLES}-${name}`, `cycles, ${name}`, true)),
]
