import * as Effect from "effect/Effect"
import { MissingFile } from "../errors.ts"
import { Files } from "../files.ts"
import type { JourneyOptions } from "./command.ts"
import { COLOURED, PLAIN } from "./highlight.ts"
import { pagerOf, show } from "./pager.ts"
import { PARTS, type Step } from "./parts.ts"
import { contentsText, journeyText } from "./print.ts"
import { extractAll, stepsOf } from "./sources.ts"

/*
 * `lguest64 journey`: the documentation that nobody has to look for, since it stands where the code is. In the repository the
 * sources themselves are read; the package, which has none, comes with what the build has found in them.
 */

/** Written by the build; relative to the package. */
export const JOURNEY_FILE = "dist/journey.json"

/** This very file is a source where sources are. */
const fromSources = import.meta.url.endsWith(".ts")

/** The steps, by the sources or by what the build has found in them. */
export const load = (files: Files["Service"], sources: boolean): Effect.Effect<ReadonlyArray<Step>, MissingFile> =>
  sources
    ? Effect.sync(() => stepsOf(extractAll(files.own("."))))
    : Effect.flatMap(files.read(files.own(JOURNEY_FILE)), (bytes) =>
        Effect.try({
          try: () => JSON.parse(new TextDecoder().decode(bytes)) as ReadonlyArray<Step>,
          catch: () => new MissingFile({ file: JOURNEY_FILE, problem: "is damaged; npm run build makes it" }),
        }),
      )

const NO_TERMINAL_COLUMNS = 100

export const journey = ({ part, list }: JourneyOptions): Effect.Effect<void, MissingFile, Files> =>
  Effect.gen(function* () {
    const steps = yield* load(yield* Files, fromSources)
    const { stdout, env } = process
    const columns = stdout.isTTY ? stdout.columns || NO_TERMINAL_COLUMNS : NO_TERMINAL_COLUMNS
    const paint = stdout.isTTY && (env["NO_COLOR"] ?? "") === "" ? COLOURED : PLAIN
    const parts = part === undefined ? PARTS : [part]
    const text = (list ? contentsText : journeyText)(steps, parts, columns, paint)
    yield* Effect.promise(() => show(text, stdout.isTTY ? pagerOf(env) : undefined))
  })
