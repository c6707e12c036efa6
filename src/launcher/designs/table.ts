import { ratio, short } from "../report/numbers.ts"
import { COLUMNS, type Counts, faultKinds } from "./counts.ts"
import type { Bench, BenchDesign, BenchRow } from "./result.ts"
import { align, wrap } from "./text.ts"

/* The result of `designs bench` for people: a table for each workload and architecture, a row for each design. */

/** A count, and what it is to the first design's. */
const cells = (name: string, counts: Counts, first: Counts | undefined): readonly [string, string] => {
  const count = counts[name] ?? 0
  return [short(count), first === undefined || first === counts ? "" : ratio(count, first[name] ?? 0)]
}

const faults = (counts: Counts): string =>
  faultKinds(counts)
    .map(([kind, count]) => `${kind} ${short(count)}`)
    .join(", ")

/** The rows of one workload under designs of one architecture. */
export interface Group {
  readonly arch: string
  readonly workload: Bench["workloads"][number]
  readonly rows: ReadonlyArray<BenchRow>
  /** What ratios are to: the first design's counts, if there are any. */
  readonly first: Counts | undefined
}

export const groupsOf = ({ designs, workloads, rows }: Bench): ReadonlyArray<Group> => {
  const byName = new Map<string, BenchDesign>(designs.map((design) => [design.name, design]))
  const archs = [...new Set(designs.map(({ choices }) => choices.arch))]
  return archs.flatMap((arch) => {
    const first = designs.find(({ choices }) => choices.arch === arch)?.name
    return workloads.flatMap((workload) => {
      const here = rows.filter((row) => row.workload === workload.name && byName.get(row.design)?.choices.arch === arch)
      const reference = here.find((row) => row.design === first)
      return here.length === 0
        ? []
        : [{ arch, workload, rows: here, first: reference?.outcome === "measured" ? reference.counts : undefined }]
    })
  })
}

/** Titles in as many lines as the longest needs, down to the same one. */
const stacked = (titles: ReadonlyArray<string>): ReadonlyArray<ReadonlyArray<string>> => {
  const wrapped = titles.map((title) => wrap(title, TITLE_WIDTH))
  const height = Math.max(...wrapped.map((lines) => lines.length))
  return Array.from({ length: height }, (_, i) => wrapped.map((lines) => lines[i - height + lines.length] ?? ""))
}
const TITLE_WIDTH = 12
const HEADS = stacked(["design", ...COLUMNS.flatMap(({ title }) => [title, ""]), "faults by kind"])

const groupText = ({ arch, workload, rows, first }: Group): string => {
  const measured = rows.filter((row) => row.outcome === "measured")
  const table = align(
    [
      ...(measured.length === 0 ? [] : HEADS),
      ...measured.map(({ design, counts }) => [
        design,
        ...COLUMNS.flatMap(({ name }) => cells(name, counts, first)),
        faults(counts),
      ]),
    ],
    // Numbers to the right, ratios to the left.
    (column) => column % 2 === 1 && column < 2 * COLUMNS.length,
  )
  const others = rows
    .filter((row) => row.outcome !== "measured")
    .map(({ design, outcome, reason }) => `${design}: ${outcome}: ${reason}`)
  const { lines } = workload
  const typed = `${lines[0]}${lines.length > 1 ? ` … (${lines.length} lines)` : ""}`
  return [`${workload.name} on ${arch}: ${typed}`, ...table, ...others].join("\n")
}

const NOTE =
  "Counts are exact: a run with the workload minus one that only boots; ratios are to the first row. Shadow bytes are the most at any " +
  "moment that was looked at. Cycles are a model; the host's C code has no price in it (docs/designs.md)."

export const benchText = (bench: Bench): string => [...groupsOf(bench).map(groupText), NOTE].join("\n\n")
