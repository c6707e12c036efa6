import type { Expectations } from "../designs/file.ts"
import type { Outcome } from "./matrix.ts"

/* What a design's file says of an attack. */

export interface Expected {
  readonly kind: "withstood" | "breached" | "killed"
  /** Of a breach: what leaks, in the words of the design's file. */
  readonly leak?: string
}

export const expectedOf = ({ withstands, breached, killed }: Expectations, attack: string): Expected | undefined => {
  const leak = breached[attack]
  if (leak !== undefined) return { kind: "breached", leak }
  if (withstands.includes(attack)) return { kind: "withstood" }
  return killed.includes(attack) ? { kind: "killed" } : undefined
}

/** An attack that cannot be tried is no surprise, unless something was expected of it. */
export const surprises = (expected: Expected | undefined, outcome: Outcome): boolean =>
  expected !== undefined && expected.kind !== outcome.kind
