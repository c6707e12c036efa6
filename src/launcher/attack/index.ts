import * as Effect from "effect/Effect"
import type { Arch } from "../../design/dimensions.ts"
import { brokenRules } from "../designs/check.ts"
import { type DesignFile, loadDesign, loadDesigns } from "../designs/file.ts"
import { progressOn } from "../designs/progress.ts"
import { type LaunchError, UsageError } from "../errors.ts"
import { Files } from "../files.ts"
import { CORE } from "../run.ts"
import { expectedOf, surprises } from "./expected.ts"
import { type Cell, matrixJson, matrixText, type Outcome, type Row } from "./matrix.ts"
import { ATTACKS, type Attack, attacksOn } from "./registry.ts"
import { notApplicable, runAttack } from "./run.ts"

/*
 * `lguest64 designs attack`: every program of guests/attacks against every design, and what came of it. The programs are real
 * guests; the verdicts are the harness's, which has hidden secrets and looks afterwards (world.ts).
 */
export { ATTACKS, type Attack, attacksOn } from "./registry.ts"
export { notApplicable, runAttack, type RunAttackOptions } from "./run.ts"
export type { Verdict } from "./verdict.ts"

export interface AttackOptions {
  /** Designs, by name or file; none: all. */
  readonly names: ReadonlyArray<string>
  /** Some of the attacks; undefined: all. */
  readonly attacks: ReadonlyArray<string> | undefined
  readonly arch: Arch | undefined
  readonly json: boolean
  /** Of the secrets, and of the turns of several processors. */
  readonly seed: number
}

const NO_TERMINAL_COLUMNS = 120

const outcome = (core: WebAssembly.Module, { choices }: DesignFile, attack: Attack, seed: number): Outcome => {
  const reason = notApplicable(choices, attack)
  return reason === undefined ? runAttack(core, choices, attack, { seed }) : { kind: "not-applicable", reason }
}

/** The exit status: 0 if no design's expectation is disappointed. */
export const attackDesigns = (options: AttackOptions): Effect.Effect<number, LaunchError, Files> =>
  Effect.gen(function* () {
    const files = yield* Files
    const { names, attacks, arch, json, seed } = options
    const unknown = attacks?.find((name) => !ATTACKS.some((attack) => attack.name === name))
    if (unknown !== undefined)
      return yield* new UsageError({
        problem: `there is no attack ${unknown}; \`lguest64 designs attack\` lists them all`,
        command: "designs attack",
      })
    const named = yield* names.length === 0
      ? loadDesigns(files)
      : Effect.forEach(names, (name) => loadDesign(files, name))
    const designs = named.filter(({ choices }) => arch === undefined || choices.arch === arch)
    for (const design of designs) {
      const [broken] = brokenRules(design)
      if (broken !== undefined) return yield* broken
    }
    const core = new WebAssembly.Module((yield* files.read(files.own(CORE))) as Uint8Array<ArrayBuffer>)
    const progress = progressOn(process.stderr)
    const total = designs.reduce((sum, { choices }) => sum + attacksOn(choices.arch, attacks).length, 0)
    let done = 0
    const rows: Row[] = []
    for (const design of designs) {
      const cells: Cell[] = []
      for (const attack of attacksOn(design.choices.arch, attacks)) {
        progress.show(done++, total, `${design.name}, ${attack.name}`)
        const result = yield* Effect.sync(() => outcome(core, design, attack, seed))
        const expected = expectedOf(design.expects, attack.name)
        cells.push({ attack, outcome: result, expected, surprising: surprises(expected, result) })
      }
      if (cells.length > 0) rows.push({ design: design.name, title: design.title, arch: design.choices.arch, cells })
    }
    progress.done()
    const width = process.stdout.isTTY === true ? process.stdout.columns || 80 : NO_TERMINAL_COLUMNS
    process.stdout.write(`${json ? matrixJson(rows, seed) : matrixText(rows, width)}\n`)
    return rows.some(({ cells }) => cells.some(({ surprising }) => surprising)) ? 1 : 0
  })
