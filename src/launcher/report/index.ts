import * as Effect from "effect/Effect"
import type { BadStats, CannotWrite, MissingFile } from "../errors.ts"
import { Files } from "../files.ts"
import type { ReportOptions } from "./command.ts"
import { page } from "./page.ts"
import { decode } from "./read.ts"
import { toRuns } from "./runs.ts"

/*
 * `lguest64 report`: files of --stats-json in, one HTML page with plots out. Files may come from anybody: `read.ts` checks them,
 * `html.ts` escapes what they say, and the page asks for nothing from elsewhere and runs no script. Loaded when it is asked for
 * only: the plots' library is larger than the rest of the launcher.
 */

/** What --output takes for standard output. */
const STDOUT = "-"

export const report = ({
  files: names,
  output,
}: ReportOptions): Effect.Effect<void, BadStats | MissingFile | CannotWrite, Files> =>
  Effect.gen(function* () {
    const files = yield* Files
    const read = yield* Effect.forEach(names, (file) =>
      Effect.flatMap(files.read(file), (bytes) =>
        Effect.map(Effect.fromResult(decode(file, bytes)), (stats) => ({ file, stats })),
      ),
    )
    const text = page(toRuns(read))
    if (output !== STDOUT) return yield* files.write(output, text)
    process.stdout.on("error", () => undefined) // whoever reads it has seen enough
    process.stdout.write(text)
  })
