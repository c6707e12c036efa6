import { type Command, InvalidArgumentError } from "commander"

/* The command line of `lguest64 report`. */

export interface ReportOptions {
  readonly files: ReadonlyArray<string>
  /** Where the page goes; "-" is standard output. */
  readonly output: string
}

/** More runs than that no plot can tell apart. */
export const MOST_FILES = 16

const gather = (file: string, before: ReadonlyArray<string> | undefined): ReadonlyArray<string> => {
  const files = [...(before ?? []), file]
  if (files.length > MOST_FILES) throw new InvalidArgumentError(`A report compares at most ${MOST_FILES} runs.`)
  return files
}

export const addReportCommand = (root: Command, accept: (options: ReportOptions) => void): void => {
  root
    .command("report")
    .description("make one HTML page with plots of what --stats-json wrote")
    .argument("<FILES...>", "files of --stats-json; ratios are to the first", gather)
    .option("--output <FILE>", "the page; - for standard output", "report.html")
    .addHelpText(
      "after",
      "\nExit status: 64 wrong usage; 65 no statistics of this version; 66 missing file; 73 cannot write.",
    )
    .action((files: ReadonlyArray<string>, { output }: { readonly output: string }) => accept({ files, output }))
}
