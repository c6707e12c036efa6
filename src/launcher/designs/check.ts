import * as Effect from "effect/Effect"
import type { Choices } from "../../design/dimensions.ts"
import { check } from "../../design/rules.ts"
import type { Attack } from "../attack/registry.ts"
import { BadConfig, type MissingFile } from "../errors.ts"
import type { Files } from "../files.ts"
import { isCount } from "./counts.ts"
import { namedIn, RELATIONS, sameOutcome } from "./expects.ts"
import { type DesignFile, designNames } from "./file.ts"
import { WORKLOADS } from "./workloads.ts"

/* What can be wrong with a design whose file is right: its answers contradict each other, or it speaks of what there is not. */

/** The rules that its answers break, a line for each. */
export const brokenRules = ({ file, choices, where }: DesignFile): ReadonlyArray<BadConfig> =>
  check(choices).map(
    ({ rule, reason }) =>
      new BadConfig({ file, where: where([]), problem: `breaks the rule ${rule.name}: ${reason} (${rule.text})` }),
  )

const applies = ({ smp }: Choices, { vcpus = 1 }: Attack): boolean => vcpus === 1 || smp === "threads"

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
    const { attacksOn } = yield* Effect.promise(() => import("../attack/registry.ts"))
    const { own, base } = expects
    const attacks = attacksOn(arch)
    for (const { name, kind, path } of own === undefined ? [] : namedIn(own)) {
      const attack = attacks.find((some) => some.name === name)
      const wrong = (problem: string) => problems.push(new BadConfig({ file, where: where(path), problem }))
      if (attack === undefined) wrong(`there is no attack ${name} on ${arch}`)
      else if (!applies(design.choices, attack)) wrong(`${name} takes two virtual CPUs, and the design has one`)
      else if (kind === "harmless" && (attack.vcpus ?? 1) === 1)
        wrong(`${name} is no race of virtual CPUs: it is withstood, or the guest is killed`)
      else if (base !== undefined && sameOutcome(name, own!, base))
        wrong(`nothing else is expected of ${name} than by ${own!.like}`)
    }
    if (own !== undefined) {
      const named = new Set(namedIn(expects).map(({ name }) => name))
      const left = attacks.filter((attack) => applies(design.choices, attack) && !named.has(attack.name))
      if (left.length > 0) add(["attacks"], `it leaves out ${left.map(({ name }) => name).join(", ")}`)
    }

    const designs = yield* designNames(files)
    for (const [i, { count, workload, relation, than }] of expects.counts.entries()) {
      const at = (key: string) => ["counts", i, key]
      if (!isCount(count)) add(at("count"), `designs bench has no count ${count}`)
      if (!WORKLOADS.some(({ name }) => name === workload)) add(at("workload"), `there is no workload ${workload}`)
      if (!designs.includes(than)) add(at(RELATIONS[relation]), `there is no design ${than}`)
      else if (than === design.name) add(at(RELATIONS[relation]), "a design is no other than itself")
    }
    return problems
  })
