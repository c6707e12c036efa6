import * as Effect from "effect/Effect"
import { type BadConfig, type MissingFile, UsageError } from "../errors.ts"
import type { Files } from "../files.ts"
import type { RunOptions } from "../options.ts"
import { brokenRules } from "./check.ts"
import { type DesignFile, loadDesign } from "./file.ts"

/* The design that a run is to be in: `--design`. */

export interface Chosen {
  /** With the design's architecture, where nothing else says which it is. */
  readonly options: RunOptions
  readonly design: DesignFile
}

/** Loads the design that the options name, and sees to it that it can be run so. */
export const chooseDesign = (
  files: Files["Service"],
  options: RunOptions,
  name: string,
): Effect.Effect<Chosen, BadConfig | MissingFile | UsageError> =>
  Effect.gen(function* () {
    const design = yield* loadDesign(files, name)
    const [broken] = brokenRules(design)
    if (broken !== undefined) return yield* broken
    const { arch, smp } = design.choices
    if (options.arch !== undefined && options.arch !== arch)
      return yield* new UsageError({ problem: `--design ${name} is of ${arch}, and --arch asks for ${options.arch}` })
    if (smp === "one" && options.smp.vcpus > 1)
      return yield* new UsageError({
        problem: `--smp asks for ${options.smp.vcpus} virtual CPUs, and design ${name} has one`,
      })
    // An image is then refused that is not of the design's architecture.
    return { options: { ...options, arch }, design }
  })
