import * as Effect from "effect/Effect"
import { type BadConfig, explain, type LaunchError, STATUS } from "../errors.ts"
import { Files } from "../files.ts"
import { problemsOf } from "./check.ts"
import type { DesignsRequest, ResultOptions } from "./command.ts"
import { loadDesign, loadDesigns } from "./file.ts"
import { listText, showText } from "./print.ts"
import type { Bench } from "./result.ts"

/*
 * `lguest64 designs`: the designs of designs/ as people meet them. What a design is made of is src/design's; here they are read,
 * checked, printed, run and compared.
 */

const NO_TERMINAL_COLUMNS = 120

const columns = (): number => (process.stdout.isTTY === true ? process.stdout.columns || 80 : NO_TERMINAL_COLUMNS)

const print = (text: string): Effect.Effect<void> =>
  Effect.sync(() => void process.stdout.write(text.endsWith("\n") ? text : `${text}\n`))

/** A line for each problem, or OK; 0 if there is none. */
const checkAll = (names: ReadonlyArray<string>): Effect.Effect<number, never, Files> =>
  Effect.gen(function* () {
    const files = yield* Files
    const bad: ReadonlyArray<boolean> = yield* Effect.forEach(names, (name) =>
      Effect.gen(function* () {
        const design = yield* loadDesign(files, name)
        const problems = yield* problemsOf(files, design)
        const lines = problems.map((problem: BadConfig) => explain(problem).line)
        yield* print(lines.length === 0 ? `${name}: OK` : lines.join("\n"))
        return lines.length > 0
      }).pipe(Effect.catch((error) => Effect.as(print(explain(error).line), true))),
    )
    return bad.includes(true) ? STATUS.badConfig : 0
  })

const tell = (bench: Bench, { json, html }: ResultOptions) =>
  Effect.gen(function* () {
    if (html !== undefined) {
      // The plots' library is larger than the rest of the launcher.
      const { page } = yield* Effect.promise(() => import("./page.ts"))
      yield* (yield* Files).write(html, page(bench))
    }
    const { toJson } = yield* Effect.promise(() => import("./result.ts"))
    const { benchText } = yield* Effect.promise(() => import("./table.ts"))
    yield* print(json ? toJson(bench) : benchText(bench))
  })

/** The exit status. */
export const designs = (request: DesignsRequest): Effect.Effect<number, LaunchError, Files> =>
  Effect.gen(function* () {
    const files = yield* Files
    process.stdout.on("error", () => undefined) // whoever reads it has seen enough
    switch (request.do) {
      case "list":
        yield* print(listText(yield* loadDesigns(files), columns()))
        return 0
      case "show":
        yield* print(showText(yield* loadDesign(files, request.name), Math.min(columns(), NO_TERMINAL_COLUMNS)))
        return 0
      case "check":
        return yield* checkAll(request.designs)
      case "bench": {
        const { options } = request
        // Now, and not after minutes of simulation, is the time to learn that it cannot be written.
        if (options.html !== undefined) yield* files.write(options.html, "")
        const { bench } = yield* Effect.promise(() => import("./bench.ts"))
        const { progressOn } = yield* Effect.promise(() => import("./progress.ts"))
        yield* tell(yield* bench(options, progressOn(process.stderr)), options)
        return 0
      }
      case "attack": {
        const { attackDesigns } = yield* Effect.promise(() => import("../attack/index.ts"))
        return yield* attackDesigns(request.options)
      }
      case "merge": {
        const { merge } = yield* Effect.promise(() => import("./merge.ts"))
        yield* tell(yield* merge(request.files), request.options)
        return 0
      }
    }
  })
