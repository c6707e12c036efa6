import * as Schema from "effect/Schema"
import { type Choices, DIMENSIONS } from "../../design/dimensions.ts"

/* The answers of a design as data that comes from outside: src/design knows what they mean, this what they look like. */

export type Dimension = Exclude<keyof Choices, "arch">

/** What may be said to each question. */
export const ANSWERS = Object.fromEntries(
  DIMENSIONS.map(({ key, alternatives }) => [key, alternatives.map(({ name }) => name)]),
) as unknown as Readonly<Record<Dimension, ReadonlyArray<string>>>

/** The ring is a number, as people write it. */
const answer = (key: Dimension) =>
  key === "ring" ? Schema.Literals(ANSWERS.ring.map(Number)) : Schema.Literals(ANSWERS[key])

export const ArchName = Schema.Literals(["x86_64", "i386"])

/** A field for each question. */
export const ANSWER_FIELDS = Object.fromEntries(
  DIMENSIONS.map(({ key }) => [key, answer(key as Dimension)]),
) as unknown as { readonly [K in Dimension]: Schema.Literals<ReadonlyArray<Choices[K]>> }

export const ChoicesData = Schema.Struct({ arch: ArchName, ...ANSWER_FIELDS })
