import * as Schema from "effect/Schema"
import { ChoicesData } from "./answers.ts"

/*
 * What `designs bench --json` writes and `designs merge` reads. Nothing in it depends on the computer, the time or the way that the
 * work was split: the same command gives the same bytes.
 */

export const BENCH_VERSION = 1

const Digest = Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/))
const Name = Schema.NonEmptyString
const Whole = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

const Design = Schema.Struct({
  name: Name,
  title: Schema.String,
  choices: ChoicesData,
})

const Workload = Schema.Struct({ name: Name, text: Schema.String, vcpus: Whole, lines: Schema.Array(Schema.String) })

const Row = Schema.Union([
  Schema.Struct({
    design: Name,
    workload: Name,
    outcome: Schema.Literal("measured"),
    counts: Schema.Record(Schema.String, Schema.Number.check(Schema.isFinite())),
  }),
  Schema.Struct({
    design: Name,
    workload: Name,
    /** The design does not do that at all, or something went wrong. */
    outcome: Schema.Literals(["refused", "failed"]),
    reason: Schema.String,
  }),
])

const Costs = Schema.Struct({
  name: Name,
  processor: Schema.String,
  figures: Schema.Array(
    Schema.Struct({ event: Name, cycles: Schema.Number, assumption: Schema.Boolean, source: Schema.String }),
  ),
})

export const Bench = Schema.Struct({
  kind: Schema.Literal("lguest64 designs bench"),
  version: Schema.Literal(BENCH_VERSION),
  lguest64: Schema.String,
  /** SHA-256 of the processor core, and of each architecture's kernel and initrd. */
  core: Digest,
  images: Schema.Record(Schema.String, Schema.Struct({ kernel: Digest, initrd: Digest })),
  memoryBytes: Whole,
  seed: Whole,
  scale: Schema.Number.check(Schema.isGreaterThan(0)),
  designs: Schema.Array(Design),
  workloads: Schema.Array(Workload),
  costs: Schema.Array(Costs),
  /** A row for each design and workload, in that order; a shard has some of them. */
  rows: Schema.Array(Row),
})
export type Bench = typeof Bench.Type
export type BenchRow = Bench["rows"][number]
export type BenchDesign = Bench["designs"][number]

export const toJson = (bench: Bench): string => JSON.stringify(Schema.encodeSync(Bench)(bench), null, 2) + "\n"

/** All pairs of a design and a workload, in the order of the rows. */
export const pairsOf = <D, W>(designs: ReadonlyArray<D>, workloads: ReadonlyArray<W>): ReadonlyArray<readonly [D, W]> =>
  designs.flatMap((design) => workloads.map((workload) => [design, workload] as const))
