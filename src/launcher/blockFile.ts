import { closeSync, fdatasyncSync, fstatSync, openSync, readSync, statSync, writeSync } from "node:fs"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type BlockBackend, SECTOR } from "../devices/index.ts"
import { BadImage, type LaunchError, MissingFile, UsageError } from "./errors.ts"
import { problemOf } from "./files.ts"
import type { OpenFiles } from "./openFiles.ts"

/*
 * A file as a guest's disk. The file is never made longer, and a request that it cannot answer whole is an I/O error of the
 * guest's with a word on standard error: silence here would be somebody's lost data.
 */

/** `--block FILE` or `--block FILE,ro`. */
export interface BlockSpec {
  readonly file: string
  readonly readOnly: boolean
}

export class FileDisk implements BlockBackend {
  readonly sectors: number
  readonly readOnly: boolean
  private readonly file: string
  private readonly descriptor: number
  private readonly note: (line: string) => void
  private noted = false
  /** A flush has failed. The system may have dropped what it could not write, and would call the next flush a success. */
  private lost = false

  /** @param note told once, with a line, of the first request that the file could not answer. */
  constructor(file: string, descriptor: number, sectors: number, readOnly: boolean, note: (line: string) => void) {
    this.file = file
    this.descriptor = descriptor
    this.sectors = sectors
    this.readOnly = readOnly
    this.note = note
  }

  read(sector: number, bytes: Uint8Array): boolean {
    return this.attempt("read", sector, () => {
      for (let done = 0; done < bytes.length;) {
        const n = readSync(this.descriptor, bytes, done, bytes.length - done, sector * SECTOR + done)
        if (n === 0) throw new Error("the file has become shorter")
        done += n
      }
    })
  }

  write(sector: number, bytes: Uint8Array): boolean {
    return this.attempt("written", sector, () => {
      // Writing behind the end would make the file longer, and leave a hole of zeros where data was.
      if (fstatSync(this.descriptor).size < sector * SECTOR + bytes.length)
        throw new Error("the file has become shorter")
      for (let done = 0; done < bytes.length;)
        done += writeSync(this.descriptor, bytes, done, bytes.length - done, sector * SECTOR + done)
    })
  }

  flush(): boolean {
    if (this.lost) return false
    const done = this.attempt("flushed", -1, () => {
      if (!this.readOnly) fdatasyncSync(this.descriptor)
    })
    this.lost = !done
    return done
  }

  private attempt(what: string, sector: number, work: () => void): boolean {
    try {
      work()
      return true
    } catch (thrown) {
      if (!this.noted) {
        const where = sector < 0 ? "" : `sector ${sector} `
        this.note(`lguest64: ${this.file}: ${where}could not be ${what}: ${problemOf(thrown)}`)
      }
      this.noted = true
      return false
    }
  }
}

/** How many sectors an image of `bytes` bytes has, or why it is none. */
const measure = (file: string, bytes: number): Effect.Effect<number, BadImage> => {
  if (bytes === 0) return Effect.fail(new BadImage({ file, problem: "is empty, and a disk has at least one sector" }))
  if (bytes % SECTOR !== 0)
    return Effect.fail(
      new BadImage({
        file,
        problem: `is torn: its ${bytes} bytes are not a whole number of sectors of ${SECTOR}`,
      }),
    )
  return Effect.succeed(bytes / SECTOR)
}

/** Opens a disk until the scope closes. */
export const openBlockFile = (
  { file, readOnly }: BlockSpec,
  open: OpenFiles,
  note: (line: string) => void,
): Effect.Effect<FileDisk, LaunchError, Scope.Scope> =>
  Effect.gen(function* () {
    const missing = (thrown: unknown) => new MissingFile({ file, problem: problemOf(thrown) })
    // Before it is opened: opening a pipe would wait for somebody at its other end.
    const status = yield* Effect.try({ try: () => statSync(file), catch: missing })
    if (status.isDirectory()) return yield* new MissingFile({ file, problem: "is a directory" })
    if (!status.isFile()) return yield* new MissingFile({ file, problem: "is no ordinary file" })
    const release = yield* Effect.try({ try: () => open.claim(file, readOnly ? "read" : "write"), catch: missing })
    if (release === undefined)
      return yield* new UsageError({
        problem: `${file} is given twice, and a file that is written can be one disk only (FILE,ro reads it)`,
      })
    yield* Effect.addFinalizer(() => Effect.sync(release))
    const descriptor = yield* Effect.acquireRelease(
      Effect.try({ try: () => openSync(file, readOnly ? "r" : "r+"), catch: missing }),
      (fd) => Effect.sync(() => closeSync(fd)),
    )
    const { size } = yield* Effect.try({ try: () => fstatSync(descriptor), catch: missing })
    return new FileDisk(file, descriptor, yield* measure(file, size), readOnly, note)
  })
