import * as Schema from "effect/Schema"
import type { BadConfig } from "../errors.ts"
import type { KeyPath, YamlFile } from "../yamlFile.ts"

/*
 * What a design expects of itself: what comes of each attack, and which of its counts are lower or higher than another design's. A design
 * that differs from another in few attacks says like which one it is, and names the few; what it then expects of all of them is put
 * together here.
 */

export type Relation = "lower" | "higher" | "same"

/** One count of a workload is expected to be lower or higher than under another design, or the same. */
export interface CountClaim {
  /** A column of `designs bench`. */
  readonly count: string
  readonly workload: string
  readonly relation: Relation
  /** The other design. */
  readonly than: string
  readonly why: string
}

/** What an attack gains, each thing in the harness's words. */
export interface Breach {
  readonly reads: ReadonlyArray<string>
  readonly writes: ReadonlyArray<string>
  /** Other things. */
  readonly does: ReadonlyArray<string>
  readonly why: string
}

/** Attacks by what comes of them; each has one place. */
export interface Outcomes {
  /** They come to nothing. */
  readonly withstands: ReadonlyArray<string>
  /** They succeed. */
  readonly breached: Readonly<Record<string, Breach>>
  /** They cost the guest its life, and nobody anything else. */
  readonly killed: ReadonlyArray<string>
  /** Of virtual CPUs that race each other: nothing or the guest's life, as their turns fall. */
  readonly harmless: ReadonlyArray<string>
}

/** As a file has it. */
export interface AttackClaims extends Outcomes {
  /** A design that differs in no more than what is named. */
  readonly like: string | undefined
}

/** What is expected of all attacks, and how the file says it. */
export interface Expectations extends Outcomes {
  /** undefined: the file says nothing of attacks. */
  readonly own: AttackClaims | undefined
  /** What the design that it is like expects. */
  readonly base: Outcomes | undefined
  readonly counts: ReadonlyArray<CountClaim>
}

/** Many names are easier to read as a text with commas than as a list. */
const Names = Schema.Union([Schema.Array(Schema.NonEmptyString), Schema.NonEmptyString])
type Names = (typeof Names)["Type"]

const list = (names: Names = []): ReadonlyArray<string> =>
  typeof names === "string" ? names.trim().split(/\s*,\s*/) : names

/** The key that has the other design's name. */
export const RELATIONS = { lower: "lower-than", higher: "higher-than", same: "same-as" } as const

const Claim = Schema.Struct({
  count: Schema.NonEmptyString,
  workload: Schema.NonEmptyString,
  "lower-than": Schema.optionalKey(Schema.NonEmptyString),
  "higher-than": Schema.optionalKey(Schema.NonEmptyString),
  "same-as": Schema.optionalKey(Schema.NonEmptyString),
  why: Schema.NonEmptyString,
}).check(
  Schema.makeFilter(
    (claim) =>
      Object.values(RELATIONS).filter((key) => claim[key] !== undefined).length === 1 ||
      "it has one of `lower-than`, `higher-than` and `same-as`, and a design's name there",
  ),
)
const Gains = Schema.Struct({
  reads: Schema.optionalKey(Names),
  writes: Schema.optionalKey(Names),
  does: Schema.optionalKey(Names),
  why: Schema.NonEmptyString,
}).check(
  Schema.makeFilter(
    ({ reads, writes, does }) =>
      list(reads).length + list(writes).length + list(does).length > 0 ||
      "it has `reads`, `writes` or `does`: what the attack gains",
  ),
)
const Attacks = Schema.Struct({
  like: Schema.optionalKey(Schema.NonEmptyString),
  withstands: Schema.optionalKey(Names),
  breached: Schema.optionalKey(Schema.Record(Schema.String, Gains)),
  killed: Schema.optionalKey(Names),
  harmless: Schema.optionalKey(Names),
})
export const Expects = Schema.Struct({
  attacks: Schema.optionalKey(Attacks),
  counts: Schema.optionalKey(Schema.Array(Claim)),
})

/** The keys that there are at `path` of a file, which begins with "expects". */
export const expectedKeys = (path: KeyPath): ReadonlyArray<string> => {
  if (path[1] === "counts") return Object.keys(Claim.fields)
  if (path[1] !== "attacks" || path.length < 3) return Object.keys(Expects.fields)
  return Object.keys(path.length === 3 ? Attacks.fields : Gains.fields)
}

const LISTS = ["withstands", "killed", "harmless"] as const

/** Each attack that is named, and where in a file. */
export const namedIn = (
  outcomes: Outcomes,
): ReadonlyArray<{ readonly name: string; readonly kind: keyof Outcomes; readonly path: KeyPath }> => [
  ...LISTS.flatMap((kind) => outcomes[kind].map((name, i) => ({ name, kind, path: ["expects", "attacks", kind, i] }))),
  ...Object.keys(outcomes.breached).map((name) => ({
    name,
    kind: "breached" as const,
    path: ["expects", "attacks", "breached", name],
  })),
]

/** An attack has one outcome. */
export const namedTwice = (yaml: YamlFile, outcomes: Outcomes): BadConfig | undefined => {
  const seen = new Set<string>()
  for (const { name, path } of namedIn(outcomes)) {
    if (seen.has(name)) return yaml.bad(path, `${name} is named twice`)
    seen.add(name)
  }
  return undefined
}

const NOTHING: Outcomes = { withstands: [], breached: {}, killed: [], harmless: [] }

const breachOf = ({ reads, writes, does, why }: (typeof Gains)["Type"]): Breach => ({
  reads: list(reads),
  writes: list(writes),
  does: list(does),
  why: why.trim(),
})

const claimOf = (claim: (typeof Claim)["Type"]): CountClaim => {
  const relation = (Object.keys(RELATIONS) as ReadonlyArray<Relation>).find(
    (one) => claim[RELATIONS[one]] !== undefined,
  )!
  const { count, workload, why } = claim
  return { count, workload, relation, than: claim[RELATIONS[relation]]!, why: why.trim() }
}

export const expectationsOf = ({ attacks, counts = [] }: (typeof Expects)["Type"]): Expectations => {
  const own: AttackClaims | undefined =
    attacks === undefined
      ? undefined
      : {
          like: attacks.like,
          withstands: list(attacks.withstands),
          breached: Object.fromEntries(
            Object.entries(attacks.breached ?? {}).map(([name, gains]) => [name, breachOf(gains)]),
          ),
          killed: list(attacks.killed),
          harmless: list(attacks.harmless),
        }
  return {
    ...(own ?? NOTHING),
    own,
    base: undefined,
    counts: counts.map(claimOf),
  }
}

/** As `base`, but for what the file itself names. */
export const but = (expects: Expectations, base: Outcomes): Expectations => {
  const own = expects.own ?? NOTHING
  const named = new Set(namedIn(own).map(({ name }) => name))
  const both = (kind: (typeof LISTS)[number]) => [...base[kind].filter((name) => !named.has(name)), ...own[kind]]
  return {
    ...expects,
    base,
    withstands: both("withstands"),
    killed: both("killed"),
    harmless: both("harmless"),
    breached: {
      ...Object.fromEntries(Object.entries(base.breached).filter(([name]) => !named.has(name))),
      ...own.breached,
    },
  }
}

/** What it gains, a line for each thing, as the harness says it. */
export const gainsOf = ({ reads, writes, does }: Breach): ReadonlyArray<string> => [
  ...reads.map((what) => `read ${what}`),
  ...writes.map((what) => `wrote ${what}`),
  ...does,
]

/** Do they expect the same of an attack? */
export const sameOutcome = (name: string, a: Outcomes, b: Outcomes): boolean => {
  const [x, y] = [a.breached[name], b.breached[name]]
  if (x !== undefined && y !== undefined) return gainsOf(x).toSorted().join() === gainsOf(y).toSorted().join()
  return (
    (x === undefined) === (y === undefined) && LISTS.every((kind) => a[kind].includes(name) === b[kind].includes(name))
  )
}
