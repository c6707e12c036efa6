import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { BadStats } from "../errors.ts"
import { Stats, STATS_VERSION } from "../stats.ts"
import { breaksAt } from "./json.ts"

/* From a file's bytes to checked statistics, or to one line that names the place where they are none. */

const formatIssue = SchemaIssue.makeFormatterStandardSchemaV1()

const LONGEST_PROBLEM = 200

/** One line of bounded length, whatever the file had in it: no control characters, which a terminal would obey. */
const oneLine = (text: string): string => {
  const line = text.replace(/\s+/g, " ").replace(/[\p{Cc}\p{Cf}]/gu, "?")
  return line.length > LONGEST_PROBLEM ? `${line.slice(0, LONGEST_PROBLEM)}…` : line
}

/** "tlb.misses" or `hypercalls["a b"]`. */
const pathOf = (path: ReadonlyArray<PropertyKey>): string =>
  path
    .map((key, i) =>
      typeof key === "string" && /^[A-Za-z_]\w*$/.test(key)
        ? (i === 0 ? "" : ".") + key
        : `[${typeof key === "number" ? key : JSON.stringify(String(key))}]`,
    )
    .join("")

const parse = (file: string, bytes: Uint8Array): Result.Result<unknown, BadStats> => {
  const bad = (problem: string) => Result.fail(new BadStats({ file, problem: oneLine(problem) }))
  let text: string
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes)
  } catch {
    return bad("is no JSON: it is not text in UTF-8")
  }
  try {
    return Result.succeed(JSON.parse(text))
  } catch {
    const at = breaksAt(text)
    const before = text.slice(0, at).split("\n")
    const place = `line ${before.length}, column ${before.at(-1)!.length + 1}`
    return bad(at >= text.length ? `is no JSON: it ends too early (${place})` : `is no JSON: wrong at ${place}`)
  }
}

/** The statistics in a file's bytes. */
export const decode = (file: string, bytes: Uint8Array): Result.Result<Stats, BadStats> =>
  Result.flatMap(parse(file, bytes), (json) => {
    const bad = (problem: string) => Result.fail(new BadStats({ file, problem: oneLine(problem) }))
    const version = typeof json === "object" && json !== null && "version" in json ? json.version : undefined
    if (version === undefined) return bad("has no statistics: there is no member `version`")
    if (typeof version === "number" && version !== STATS_VERSION)
      return bad(`version: statistics of version ${version}, and this lguest64 reads version ${STATS_VERSION}`)
    const decoded = Schema.decodeUnknownResult(Stats)(json)
    if (Result.isSuccess(decoded)) return Result.succeed(decoded.success)
    const [first] = formatIssue(decoded.failure.issue).issues
    const path = pathOf((first?.path ?? []).map((key) => (typeof key === "object" ? key.key : key)))
    return bad(`${path === "" ? "the file" : path}: ${first?.message ?? "is wrong"}`)
  })
