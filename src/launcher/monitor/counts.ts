import { STATISTIC_NAMES } from "../../host/index.ts"
import type { Counters } from "../../machine/processor.ts"
import { vectorName } from "./descriptors.ts"
import type { Subject } from "./subject.ts"
import { columns } from "./text.ts"

/* `info switches`: exact counts so far, the host's and the processors'. */

type Row = readonly [string, string]

const nonzero = (rows: ReadonlyArray<Row>): ReadonlyArray<Row> => rows.filter(([, n]) => n !== "0")

const section = (title: string, rows: ReadonlyArray<Row>): ReadonlyArray<string> =>
  rows.length === 0 ? [] : ["", title, columns([["  what", "count"], ...rows.map(([what, n]) => [`  ${what}`, n])])]

/** worldSwitches: "world switches". */
const words = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)

const processorRows = (counters: Counters): ReadonlyArray<Row> => {
  const { instructions, vectors } = counters
  const rings = instructions.map((n, ring): Row => [`instructions in ring ${ring}`, String(n)])
  return [
    ...rings,
    ["TLB misses", String(counters.tlbMisses)],
    ["TLB flushes", String(counters.tlbFlushes)],
    ["INVLPG", String(counters.invlpg)],
    ["loads of CR3", String(counters.cr3Loads)],
    ["interrupts", String(counters.interrupts)],
    ["SYSCALL", String(counters.syscalls)],
    ["SYSENTER", String(counters.sysenters)],
    ...vectors.map((n, vector): Row => [`vector ${vectorName(vector)}`, String(n)]),
  ]
}

export const infoSwitches = (subject: Subject): string => {
  const { host, processor, perProcessor } = subject.counts
  const out = [`${subject.engine.now} ns of simulated time, ${subject.engine.instructions} instructions`]
  if (host !== undefined) {
    const { statistics, shadow, hypercallNames } = host
    out.push(
      ...section(
        "the host and its module",
        STATISTIC_NAMES.map((name): Row => [words(name), String(statistics[name])]),
      ),
    )
    const traps = Array.from(statistics.guestTraps, (n, vector): Row => [vectorName(vector), String(n)])
    out.push(...section("exceptions that left a guest", nonzero(traps)))
    const calls = Array.from(statistics.hypercalls, (n, i): Row => [hypercallNames[i] ?? `hypercall ${i}`, String(n)])
    out.push(...section("hypercalls", nonzero(calls)))
    const faults = Object.entries(shadow.faults).map(([what, n]): Row => [what, String(n)])
    out.push(...section("faults that came to the shadow MMU, by what became of them", faults))
    const pages = Object.entries(shadow.pages).map(([level, made]): Row => [
      `level ${level}: ${shadow.pagesAlive[level] ?? 0} now, made so far`,
      String(made),
    ])
    out.push(...section("shadow pages", pages))
  }
  const each = perProcessor ?? [processor]
  each.forEach((counters, i) => out.push(...section(`processor ${i}`, nonzero(processorRows(counters)))))
  return out.join("\n")
}
