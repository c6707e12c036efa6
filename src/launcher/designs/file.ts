import { readdirSync } from "node:fs"
import { basename } from "node:path"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type Choices, DIMENSIONS } from "../../design/dimensions.ts"
import { BadConfig, MissingFile } from "../errors.ts"
import { Files, problemOf } from "../files.ts"
import { type KeyPath, YamlFile } from "../yamlFile.ts"
import { ANSWER_FIELDS, ANSWERS, ArchName, type Dimension } from "./answers.ts"
import { but, type Expectations, expectationsOf, expectedKeys, Expects, namedTwice } from "./expects.ts"

/*
 * A design's file (docs/designs.md): what it is called, one answer to each question of src/design/dimensions.ts, who argued for it,
 * and what it expects of itself. Read and checked for its form here; whether the answers go together is rules.ts's to say, and
 * whether the expectations come true is the tests' (tests/designs).
 */

export interface DesignFile {
  /** The file's name without its folder and ".yaml". */
  readonly name: string
  readonly file: string
  readonly title: string
  readonly choices: Choices
  readonly argument: string
  readonly expects: Expectations
  /** ":LINE: KEY" in the file. */
  readonly where: (path: KeyPath) => string
}

const ONE_LINE = Schema.NonEmptyString.check(
  Schema.makeFilter((text: string) => !text.includes("\n") || "it has one line"),
)
const Design = Schema.Struct({
  title: ONE_LINE,
  arch: ArchName,
  ...ANSWER_FIELDS,
  argument: Schema.NonEmptyString,
  expects: Expects,
})
const KEYS = Object.keys(Design.fields)

/** Schema's words for what has a clearer name here. */
const reworded = (message: string, path: KeyPath): string => {
  const key = String(path[0])
  if (message === "Expected no excess property")
    return path.length === 1
      ? `there is no such key; a design has ${KEYS.join(", ")}`
      : `there is no such key; expected ${expectedKeys(path).join(", ")}`
  if (message === "Missing key") return "is missing"
  if (path.length === 1 && Object.hasOwn(ANSWERS, key))
    return `there is no such answer; it is one of ${ANSWERS[key as Dimension].join(", ")}`
  if (path.length === 0) return `a design is a list of keys with values: ${KEYS.join(", ")}`
  return message.replace(/^Expected/, "expected")
}

/** "lguest64" of "designs/lguest64.yaml". */
export const nameOf = (file: string): string => basename(file).replace(/\.ya?ml$/, "")

/** Reads a design's text. What it expects is what the file itself names; `loadDesign` adds what it is like. */
export const parseDesign = (file: string, text: string): Effect.Effect<DesignFile, BadConfig> =>
  Effect.gen(function* () {
    const yaml = yield* YamlFile.read(file, text)
    const value = yield* yaml.decode(Design, reworded)
    const { title, argument, arch, expects: given } = value
    const answers = Object.fromEntries(DIMENSIONS.map(({ key }) => [key, value[key as Dimension]]))
    const expects = expectationsOf(given)
    const twice = namedTwice(yaml, expects)
    if (twice !== undefined) return yield* twice
    return {
      name: nameOf(file),
      file,
      title,
      choices: { arch, ...answers } as Choices,
      argument: argument.trim(),
      expects,
      where: (path) => yaml.where(path),
    }
  })

/** Where the designs are that come with the package. */
const FOLDER = "designs"

/** A word is a design's name; anything else a path. */
export const isName = (nameOrFile: string): boolean => /^[\w-]+$/.test(nameOrFile)

const readNames = (folder: string): ReadonlyArray<string> =>
  readdirSync(folder)
    .filter((file) => file.endsWith(".yaml"))
    .map(nameOf)
    .sort()

/** The names of the designs that come with the package, in alphabetical order. */
export const designNames = (files: Files["Service"]): Effect.Effect<ReadonlyArray<string>, MissingFile> =>
  Effect.try({
    try: () => readNames(files.own(FOLDER)),
    catch: (thrown) => new MissingFile({ file: files.own(FOLDER), problem: problemOf(thrown) }),
  })

const read = (files: Files["Service"], nameOrFile: string): Effect.Effect<DesignFile, BadConfig | MissingFile> =>
  Effect.gen(function* () {
    const named = isName(nameOrFile)
    if (named && !(yield* designNames(files)).includes(nameOrFile))
      return yield* new MissingFile({
        file: nameOrFile,
        problem: "no such design; `lguest64 designs list` lists them, and a file's name has a dot or a slash in it",
      })
    const file = named ? files.own(`${FOLDER}/${nameOrFile}.yaml`) : nameOrFile
    return yield* parseDesign(file, new TextDecoder().decode(yield* files.read(file)))
  })

/** With what is expected by the design that it is like, and by the one which that one is like; `chain` led here. */
const resolve = (
  files: Files["Service"],
  design: DesignFile,
  chain: ReadonlyArray<string>,
): Effect.Effect<DesignFile, BadConfig | MissingFile> =>
  Effect.gen(function* () {
    const { file, where, expects } = design
    const like = expects.own?.like
    if (like === undefined) return design
    const bad = (problem: string) => new BadConfig({ file, where: where(["expects", "attacks", "like"]), problem })
    if (!(yield* designNames(files)).includes(like)) return yield* bad(`there is no design ${like}`)
    const base = yield* read(files, like)
    const { arch } = design.choices
    if (base.choices.arch !== arch)
      return yield* bad(`${like} is of ${base.choices.arch}, where the attacks are others than on ${arch}`)
    const led = [...chain, file]
    if (led.includes(base.file)) return yield* bad(`it is like itself: ${[...led, base.file].map(nameOf).join(", ")}`)
    const { expects: rest } = yield* resolve(files, base, led)
    return { ...design, expects: but(expects, rest) }
  })

/** The design of that name, or in that file. */
export const loadDesign = (
  files: Files["Service"],
  nameOrFile: string,
): Effect.Effect<DesignFile, BadConfig | MissingFile> =>
  Effect.flatMap(read(files, nameOrFile), (design) => resolve(files, design, []))

/** The defaults first, x86_64's before i386's. */
const rank = ({ name, choices: { arch } }: DesignFile): number =>
  (arch === "x86_64" ? 0 : 2) + (name === "lguest64" || name === "lguest" ? 0 : 1)

/** All designs that come with the package. */
export const loadDesigns = (
  files: Files["Service"],
): Effect.Effect<ReadonlyArray<DesignFile>, BadConfig | MissingFile> =>
  Effect.map(
    Effect.flatMap(designNames(files), (names) => Effect.forEach(names, (name) => loadDesign(files, name))),
    (designs) => [...designs].sort((a, b) => rank(a) - rank(b)),
  )
