import { closeSync, openSync, readFileSync, statSync, writeFileSync, writeSync } from "node:fs"
import { fileURLToPath } from "node:url"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { CannotWrite, MissingFile } from "./errors.ts"

/* The files that a run reads and writes. */

/** Both src/launcher and dist/launcher lie two folders below the package's root. */
const packageFile = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url))

export const packageVersion = (): string =>
  (JSON.parse(readFileSync(packageFile("package.json"), "utf8")) as { version: string }).version

/** Larger than any machine's memory here: such a file is a mistake (a disk image, /dev/zero), and is not even read. */
export const LARGEST_FILE = 2 ** 30

const PROBLEMS: Readonly<Record<string, string>> = {
  ENOENT: "no such file",
  EACCES: "permission denied",
  EISDIR: "is a directory",
  ENOTDIR: "a part of its path is no directory",
  ELOOP: "too many symbolic links",
  ENOSPC: "no space left on the device",
  EROFS: "read-only file system",
}

/** Node's code for what the system said, in words. */
export const problemOf = (thrown: unknown): string => {
  const { code, message } = thrown as NodeJS.ErrnoException
  return PROBLEMS[code ?? ""] ?? code ?? message
}

export class Files extends Context.Service<
  Files,
  {
    readonly read: (file: string) => Effect.Effect<Uint8Array, MissingFile>
    readonly write: (file: string, text: string) => Effect.Effect<void, CannotWrite>
    /** A file that lines are appended to, closed with the scope. Empty at first. `failed` is told once if it cannot go on. */
    readonly lines: (
      file: string,
      failed: (line: string) => void,
    ) => Effect.Effect<(line: string) => void, CannotWrite, Scope.Scope>
    /** Path of a file that comes with the package. */
    readonly own: (path: string) => string
  }
>()("lguest64/launcher/Files") {
  static readonly layer = Layer.succeed(Files, {
    own: packageFile,

    read: (file) =>
      Effect.try({
        try: () => {
          const status = statSync(file)
          if (status.isDirectory()) throw Object.assign(new Error(), { code: "EISDIR" })
          if (status.size > LARGEST_FILE) throw new Error(`is too large, ${Math.round(status.size / 2 ** 20)} MiB`)
          if (!status.isFile()) throw new Error("is no ordinary file")
          return readFileSync(file)
        },
        catch: (thrown) => new MissingFile({ file, problem: problemOf(thrown) }),
      }),

    write: (file, text) =>
      Effect.try({
        try: () => writeFileSync(file, text),
        catch: (thrown) => new CannotWrite({ file, problem: problemOf(thrown) }),
      }),

    lines: (file, failed) =>
      Effect.map(
        Effect.acquireRelease(
          Effect.try({
            try: () => new LineFile(openSync(file, "w"), (thrown) => failed(`${file} ends here: ${problemOf(thrown)}`)),
            catch: (thrown) => new CannotWrite({ file, problem: problemOf(thrown) }),
          }),
          (open) => Effect.sync(() => open.close()),
        ),
        (open) => (line: string) => open.add(line),
      ),
  })
}

/** Lines gathered into large writes: a log has millions. A disk that fills up ends the log, with a word, not the run. */
class LineFile {
  private static readonly flushAt = 1 << 16
  private readonly descriptor: number
  private text = ""
  private broken = false
  private readonly failed: (thrown: unknown) => void

  constructor(descriptor: number, failed: (thrown: unknown) => void) {
    this.descriptor = descriptor
    this.failed = failed
  }

  add(line: string): void {
    this.text += line + "\n"
    if (this.text.length >= LineFile.flushAt) this.flush()
  }

  private flush(): void {
    try {
      if (!this.broken) writeSync(this.descriptor, this.text)
    } catch (thrown) {
      this.broken = true
      this.failed(thrown)
    }
    this.text = ""
  }

  close(): void {
    this.flush()
    closeSync(this.descriptor)
  }
}
