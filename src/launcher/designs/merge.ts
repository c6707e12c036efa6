import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { BadStats, type MissingFile } from "../errors.ts"
import { Files } from "../files.ts"
import { Bench, BENCH_VERSION, pairsOf } from "./result.ts"

/* `lguest64 designs merge`: shards of one sweep, made here or elsewhere, become the whole. Files may come from anybody. */

const formatIssue = SchemaIssue.makeFormatterStandardSchemaV1()

const decode = (file: string, bytes: Uint8Array): Result.Result<Bench, BadStats> => {
  const bad = (problem: string) => Result.fail(new BadStats({ file, problem }))
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes))
  } catch {
    return bad("is no JSON")
  }
  const { kind, version } = (typeof json === "object" && json !== null ? json : {}) as Record<string, unknown>
  if (kind !== "lguest64 designs bench") return bad("is no result of `designs bench --json`")
  if (version !== BENCH_VERSION)
    return bad(`is a result of version ${String(version)}, and this lguest64 reads version ${BENCH_VERSION}`)
  const decoded = Schema.decodeUnknownResult(Bench)(json)
  if (Result.isSuccess(decoded)) return Result.succeed(decoded.success)
  const [issue] = formatIssue(decoded.failure.issue).issues
  const path = (issue?.path ?? []).map((part) => String(typeof part === "object" ? part.key : part)).join(".")
  return bad(`${path === "" ? "" : `${path.slice(0, 100)}: `}${(issue?.message ?? "is wrong").replace(/\s+/g, " ")}`)
}

/** What shards of one sweep agree in, and what it is called where they do not. */
const AGREED: ReadonlyArray<readonly [keyof Bench, string]> = [
  ["lguest64", "version of lguest64"],
  ["core", "processor core"],
  ["images", "guest images"],
  ["memoryBytes", "guest memory"],
  ["seed", "seed"],
  ["scale", "scale"],
  ["designs", "list of designs"],
  ["workloads", "list of workloads"],
  ["costs", "cost tables"],
]

interface Shard {
  readonly file: string
  readonly bench: Bench
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b)

/** All rows of the shards, in the order of a sweep that was not split. */
export const join = (shards: ReadonlyArray<Shard>): Result.Result<Bench, BadStats> => {
  const { file: firstFile, bench: first } = shards[0]!
  for (const { file, bench } of shards.slice(1))
    for (const [key, what] of AGREED)
      if (!same(bench[key], first[key]))
        return Result.fail(new BadStats({ file, problem: `has another ${what} than ${firstFile}` }))
  const keyOf = (design: string, workload: string) => `${design} ${workload}`
  const found = new Map<string, Bench["rows"][number]>()
  for (const { file, bench } of shards)
    for (const row of bench.rows) {
      const key = keyOf(row.design, row.workload)
      const before = found.get(key)
      if (before !== undefined && !same(before, row))
        return Result.fail(new BadStats({ file, problem: `has other counts for ${key} than a file before it` }))
      found.set(key, row)
    }
  const wanted = pairsOf(first.designs, first.workloads).map(([design, { name }]) => keyOf(design.name, name))
  const missing = wanted.filter((key) => !found.has(key))
  if (missing.length > 0)
    return Result.fail(
      new BadStats({
        file: shards.map(({ file }) => file).join(", "),
        problem: `${missing.length} of ${wanted.length} pairs of design and workload are in no file, such as ${missing[0]}`,
      }),
    )
  return Result.succeed({ ...first, rows: wanted.map((key) => found.get(key)!) })
}

export const merge = (names: ReadonlyArray<string>): Effect.Effect<Bench, BadStats | MissingFile, Files> =>
  Effect.gen(function* () {
    const files = yield* Files
    const shards = yield* Effect.forEach(names, (file) =>
      Effect.flatMap(files.read(file), (bytes) =>
        Effect.map(Effect.fromResult(decode(file, bytes)), (bench) => ({ file, bench })),
      ),
    )
    return yield* Effect.fromResult(join(shards))
  })
