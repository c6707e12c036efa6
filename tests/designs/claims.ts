import { readFileSync } from "node:fs"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import type { Choices } from "../../src/design/dimensions.ts"
import { type Expected, expectedOf, leaked } from "../../src/launcher/attack/expected.ts"
import { type Attack, attacksOn } from "../../src/launcher/attack/registry.ts"
import { notApplicable, runAttack } from "../../src/launcher/attack/run.ts"
import type { Verdict } from "../../src/launcher/attack/verdict.ts"
import { type DesignFile, loadDesigns } from "../../src/launcher/designs/file.ts"
import { Files } from "../../src/launcher/files.ts"

/*
 * Each design's file says of every attack what comes of it. Here the attacks are made, by what `designs attack` makes them by, and a design
 * that does better than it says fails as well as one that does worse.
 */

const core = new WebAssembly.Module(readFileSync(new URL("../../dist/machine/core.wasm", import.meta.url)))

export const designs: ReadonlyArray<DesignFile> = Effect.runSync(
  Effect.provide(
    Effect.gen(function* () {
      return yield* loadDesigns(yield* Files)
    }),
    Files.layer,
  ),
)

const claim = (expected: Expected): string => {
  switch (expected.kind) {
    case "withstood":
      return "comes to nothing"
    case "killed":
      return "costs the guest its life, and nobody else anything"
    case "harmless":
      return "gains nothing, as far as the guest lives"
    case "breached":
      return `succeeds: ${expected.gains.join("; ")}`
  }
}

/** What a verdict says that a claim speaks of; the reasons for deaths are not its subject. */
const told = (verdict: Verdict, expected: Expected) => {
  if (verdict.kind === "breached") return { kind: verdict.kind, gains: leaked(verdict.gains) }
  return { kind: expected.kind === "harmless" ? expected.kind : verdict.kind }
}

/** Throws unless the attack does what is expected of it. */
export const holds = (choices: Choices, attack: Attack, expected: Expected): void => {
  const { kind } = expected
  const wanted = kind === "breached" ? { kind, gains: expected.gains } : { kind }
  expect(told(runAttack(core, choices, attack), expected)).toEqual(wanted)
}

/** The claims of these designs, one test for each attack. */
export const holdToClaims = (some: ReadonlyArray<DesignFile>): void =>
  describe.each(some.map((design) => [design.name, design] as const))("%s", (_name, { choices, expects }) => {
    for (const attack of attacksOn(choices.arch)) {
      if (notApplicable(choices, attack) !== undefined) continue
      const expected = expectedOf(expects, attack.name)
      it(`${attack.name} ${expected === undefined ? "is spoken of" : claim(expected)}`, () => {
        if (expected === undefined) throw new Error("the file does not say what comes of it")
        holds(choices, attack, expected)
      })
    }
  })

export const ofArch = (arch: DesignFile["choices"]["arch"]): ReadonlyArray<DesignFile> =>
  designs.filter(({ choices }) => choices.arch === arch)
