import * as Effect from "effect/Effect"
import { check } from "../../design/rules.ts"
import { BadConfig, type MissingFile } from "../errors.ts"
import type { Files } from "../files.ts"
import { isCount } from "./counts.ts"
import { type DesignFile, designNames } from "./file.ts"
import { WORKLOADS } from "./workloads.ts"

/* What can be wrong with a design whose file is right: its answers contradict each other, or it speaks of what there is not. */

/** The rules that its answers break, a line for each. */
export const brokenRules = ({ file, choices, where }: DesignFile): ReadonlyArray<BadConfig> =>
  check(choices).map(
    ({ rule, reason }) =>
      new BadConfig({ file, where: where([]), problem: `breaks the rule ${rule.name}: ${reason} (${rule.text})` }),
  )

/** Everything that is wrong. */
export const problemsOf = (
  files: Files["Service"],
  design: DesignFile,
): Effect.Effect<ReadonlyArray<BadConfig>, MissingFile> =>
  Effect.gen(function* () {
    const { file, where, expects } = design
    const { arch } = design.choices
    const problems = [...brokenRules(design)]
    const add = (path: ReadonlyArray<PropertyKey>, problem: string) =>
      problems.push(new BadConfig({ file, where: where(["expects", ...path]), problem }))

    // Loaded when asked for: a run has no need of it.
    const { ATTACKS } = yield* Effect.promise(() => import("../attack/registry.ts"))
    const lists = { withstands: expects.withstands, breached: Object.keys(expects.breached), killed: expects.killed }
    for (const [list, names] of Object.entries(lists))
      for (const [i, name] of names.entries())
        if (!ATTACKS.some((attack) => attack.name === name && attack.arch === arch))
          add([list, list === "breached" ? name : i], `there is no attack ${name} on ${arch}`)

    const designs = yield* designNames(files)
    for (const [i, { count, workload, relation, than }] of expects.counts.entries()) {
      const at = (key: string) => ["counts", i, key]
      if (!isCount(count)) add(at("count"), `designs bench has no count ${count}`)
      if (!WORKLOADS.some(({ name }) => name === workload)) add(at("workload"), `there is no workload ${workload}`)
      if (!designs.includes(than)) add(at(`${relation}-than`), `there is no design ${than}`)
      else if (than === design.name) add(at(`${relation}-than`), "a design is no other than itself")
    }
    return problems
  })
