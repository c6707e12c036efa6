import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import { bench } from "../../src/launcher/designs/bench.ts"
import type { Counts } from "../../src/launcher/designs/counts.ts"
import { type CountClaim, RELATIONS } from "../../src/launcher/designs/expects.ts"
import { WORKLOADS } from "../../src/launcher/designs/workloads.ts"
import { Files } from "../../src/launcher/files.ts"
import { designs } from "./claims.ts"

/*
 * What designs say of their counts, and of which other design's they are lower, higher or the same: both are run on the workload, by what
 * `designs bench` runs them by, and counted. A tenth of the usual work is enough, as the same run gives the same counts.
 */

const SCALE = 0.1
const quiet = { show: () => undefined, done: () => undefined }

/** Workloads of the claims that a design is in, on either side. */
const wanted = (name: string) =>
  WORKLOADS.filter((workload) =>
    designs.some((design) =>
      design.expects.counts.some((c) => c.workload === workload.name && (design.name === name || c.than === name)),
    ),
  )

const measured = new Map<string, Promise<ReadonlyMap<string, Counts>>>()

/** A design's counts by workload; each design is measured once. */
const countsOf = (name: string): Promise<ReadonlyMap<string, Counts>> => {
  const before = measured.get(name)
  if (before !== undefined) return before
  const run = async () => {
    const options = { names: [name], workloads: wanted(name), arch: undefined, shard: undefined, html: undefined }
    const { rows } = await Effect.runPromise(
      Effect.provide(bench({ ...options, seed: 0, scale: SCALE, json: true }, quiet), Files.layer),
    )
    return new Map(
      rows.map((row) => {
        if (row.outcome !== "measured") throw new Error(`${name}, ${row.workload}: ${row.reason}`)
        return [row.workload, row.counts]
      }),
    )
  }
  const promise = run()
  measured.set(name, promise)
  return promise
}

/** A kind of faults that an MMU does not have has not happened. */
const countOf = async (design: string, { workload, count }: CountClaim): Promise<number> => {
  const counts = (await countsOf(design)).get(workload)!
  const value = counts[count]
  if (value === undefined && !count.startsWith("shadow-faults-")) throw new Error(`nothing is counted as ${count}`)
  return value ?? 0
}

describe.each(designs.map(({ name, expects }) => [name, expects.counts] as const))("%s", (name, claims) => {
  it.each(claims.map((c) => [c.workload, c.count, RELATIONS[c.relation], c.than, c.why, c] as const))(
    "%s: %s %s %s: %s",
    async (_workload, _count, _relation, _than, _why, claim) => {
      const own = await countOf(name, claim)
      const other = await countOf(claim.than, claim)
      if (claim.relation === "lower") expect(own).toBeLessThan(other)
      else if (claim.relation === "higher") expect(own).toBeGreaterThan(other)
      else {
        expect(own).toBe(other)
        expect(own).toBeGreaterThan(0)
      }
    },
  )
})
