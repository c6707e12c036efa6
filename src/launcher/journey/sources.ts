import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { type Extract, extract } from "./extract.ts"
import { inOrder, type Step } from "./parts.ts"

/* The sources that may tell a part of the journey, in the repository. The package has what was found in them instead. */

const FOLDERS = ["src", "guests", "designs"]
/** This folder speaks of marks without having any. */
const NOT = new Set(["src/launcher/journey", "guests/images", "guests/include"])
const isSource = (name: string): boolean => /\.(?:ts|c|h|S)$/.test(name) && !name.endsWith(".gen.ts")

const filesUnder = (root: string, folder: string): ReadonlyArray<string> =>
  NOT.has(folder)
    ? []
    : readdirSync(join(root, folder), { withFileTypes: true })
        .sort((a, b) => (a.name < b.name ? -1 : 1))
        .flatMap((entry) => {
          const path = `${folder}/${entry.name}`
          return entry.isDirectory() ? filesUnder(root, path) : isSource(entry.name) ? [path] : []
        })

/** What every source file has, by the repository's folder. */
export const extractAll = (root: string): ReadonlyArray<Extract> =>
  FOLDERS.flatMap((folder) => filesUnder(root, folder)).map((file) =>
    extract(file, readFileSync(join(root, file), "utf8")),
  )

/** The whole journey, in order. */
export const stepsOf = (extracts: ReadonlyArray<Extract>): ReadonlyArray<Step> =>
  inOrder(extracts.flatMap(({ steps }) => steps))

/** What the build leaves in the package. */
export const journeyJson = (root: string): string => JSON.stringify(stepsOf(extractAll(root)))
