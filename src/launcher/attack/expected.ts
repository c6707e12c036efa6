import { type Breach, gainsOf, type Outcomes } from "../designs/expects.ts"
import type { Outcome } from "./matrix.ts"

/* What a design's file says of an attack, and whether it came true. */

export type Expected =
  | { readonly kind: "withstood" | "killed" }
  /** Either of the two. */
  | { readonly kind: "harmless" }
  /** A line for each thing that leaks, as `leaked` has it. */
  | { readonly kind: "breached"; readonly gains: ReadonlyArray<string>; readonly why: string }

const breach = (expected: Breach): Expected => ({
  kind: "breached",
  gains: gainsOf(expected).toSorted(),
  why: expected.why,
})

export const expectedOf = (
  { withstands, breached, killed, harmless }: Outcomes,
  attack: string,
): Expected | undefined => {
  const leak = Object.hasOwn(breached, attack) ? breached[attack] : undefined
  if (leak !== undefined) return breach(leak)
  if (withstands.includes(attack)) return { kind: "withstood" }
  if (killed.includes(attack)) return { kind: "killed" }
  return harmless.includes(attack) ? { kind: "harmless" } : undefined
}

/** Where it was, which value, and on which processor: "(at offset 0x838)", "at 0xffc1009a", "of processor 0", ": EFLAGS 0x3202". */
const CHANCE = / \(at offset 0x[0-9a-f]+\)| at 0x[0-9a-f]+| of processor \d+|(:|, with)( EFLAGS)? 0x[0-9a-f]+$/g

/** What an attack gained, without what is chance. */
export const leaked = (gains: ReadonlyArray<string>): ReadonlyArray<string> =>
  [...new Set(gains.map((line) => line.replace(CHANCE, "")))].sort()

/** Is it not what was expected? An attack that cannot be tried is no surprise, nor is one of which nothing was expected. */
export const surprises = (expected: Expected | undefined, outcome: Outcome): boolean => {
  if (expected === undefined || outcome.kind === "not-applicable") return false
  if (expected.kind === "harmless") return outcome.kind === "breached"
  if (expected.kind !== "breached" || outcome.kind !== "breached") return expected.kind !== outcome.kind
  return expected.gains.join() !== leaked(outcome.gains).join()
}
