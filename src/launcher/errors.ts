import * as Data from "effect/Data"

/*
 * Everything that ends a run but the guest's own power-off. An error carries what was wrong as data; `explain` is the one
 * place that turns it into an exit status (sysexits(3) where there is one) and a line for the person at the terminal.
 */

/** A wrong command line; of which command, if that much is known. */
export class UsageError extends Data.TaggedError("UsageError")<{
  readonly problem: string
  readonly command?: string | undefined
}> {}

/** A file that is not a kernel image or initrd that can be started here. */
export class BadImage extends Data.TaggedError("BadImage")<{ readonly file: string; readonly problem: string }> {}

/** A file that is not there, or cannot be read. */
export class MissingFile extends Data.TaggedError("MissingFile")<{ readonly file: string; readonly problem: string }> {}

/** A file for `lguest64 up` that says something impossible; `where` is its line and key, as far as they are known. */
export class BadConfig extends Data.TaggedError("BadConfig")<{
  readonly file: string
  readonly where: string
  readonly problem: string
}> {}

/** A file for `lguest64 report` that is no statistics. */
export class BadStats extends Data.TaggedError("BadStats")<{ readonly file: string; readonly problem: string }> {}

/** A report or log that cannot be written. */
export class CannotWrite extends Data.TaggedError("CannotWrite")<{ readonly file: string; readonly problem: string }> {}

/** A port on which a debugger was to be awaited. */
export class CannotListen extends Data.TaggedError("CannotListen")<{
  readonly port: number
  readonly problem: string
}> {}

/** This computer does not give the memory that the simulated one is to have. */
export class NoMemory extends Data.TaggedError("NoMemory")<{ readonly bytes: number }> {}

/** The guest did something for which there is no answer. */
export class GuestKilled extends Data.TaggedError("GuestKilled")<{ readonly reason: string }> {}

/** `--max-instructions` is reached. */
export class InstructionLimit extends Data.TaggedError("InstructionLimit")<{ readonly limit: number }> {}

/** A signal, a vanished terminal or Ctrl-A x. */
export class Interrupted extends Data.TaggedError("Interrupted")<{
  readonly by: "SIGINT" | "SIGTERM" | "SIGHUP" | "SIGPIPE" | "Ctrl-A x"
}> {}

export type LaunchError =
  | UsageError
  | BadConfig
  | BadImage
  | BadStats
  | MissingFile
  | CannotWrite
  | CannotListen
  | NoMemory
  | GuestKilled
  | InstructionLimit
  | Interrupted

export const STATUS = {
  usage: 64,
  badImage: 65,
  badStats: 65,
  missingFile: 66,
  cannotListen: 69,
  killed: 70,
  noMemory: 71,
  cannotWrite: 73,
  badConfig: 78,
  instructionLimit: 124,
} as const

/** Exit statuses of shells for a process that a signal ended: 128 + the signal's number. */
const INTERRUPTED: Readonly<Record<Interrupted["by"], { readonly status: number; readonly line: string }>> = {
  SIGHUP: { status: 129, line: "the terminal is gone" },
  SIGINT: { status: 130, line: "interrupted (SIGINT)" },
  SIGPIPE: { status: 141, line: "standard output was closed" },
  SIGTERM: { status: 143, line: "terminated (SIGTERM)" },
  "Ctrl-A x": { status: 0, line: "ended by Ctrl-A x" },
}

/** Exit status and line of an error. */
export const explain = (error: LaunchError): { readonly status: number; readonly line: string } => {
  switch (error._tag) {
    case "UsageError":
      return { status: STATUS.usage, line: `${error.problem} (see lguest64 ${error.command ?? "run"} --help)` }
    case "BadConfig":
      return { status: STATUS.badConfig, line: `${error.file}${error.where}: ${error.problem}` }
    case "BadImage":
      return { status: STATUS.badImage, line: `${error.file}: ${error.problem}` }
    case "BadStats":
      return { status: STATUS.badStats, line: `${error.file}: ${error.problem}` }
    case "MissingFile":
      return { status: STATUS.missingFile, line: `${error.file}: ${error.problem}` }
    case "CannotWrite":
      return { status: STATUS.cannotWrite, line: `${error.file}: ${error.problem}` }
    case "CannotListen":
      return { status: STATUS.cannotListen, line: `--gdb cannot listen on port ${error.port}: ${error.problem}` }
    case "NoMemory":
      return {
        status: STATUS.noMemory,
        line: `this computer does not give ${Math.round(error.bytes / 2 ** 20)} MiB of memory; ask for less with --mem`,
      }
    case "GuestKilled":
      return { status: STATUS.killed, line: `the guest was killed: ${error.reason}` }
    case "InstructionLimit":
      return { status: STATUS.instructionLimit, line: `stopped after ${error.limit} instructions (--max-instructions)` }
    case "Interrupted":
      return INTERRUPTED[error.by]
  }
}
