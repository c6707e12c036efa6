import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { allUnits } from "../assemble.ts"
import { headers } from "./headers.ts"
import { filesUnder, imageNames, root } from "./images.ts"

/** Which sources the committed machine code was made from. Paths are relative to the repository, hashes are SHA-256. */
export interface Manifest {
  /** What built the images; another compiler makes other bytes. */
  readonly toolchain: string
  readonly sources: Readonly<Record<string, string>>
  readonly outputs: Readonly<Record<string, string>>
}

export const manifestFile = "guests/images/manifest.json"
const imagesFolder = "guests/images"

const hash = (file: string): string =>
  createHash("sha256")
    .update(readFileSync(join(root, file)))
    .digest("hex")

const hashes = (files: Iterable<string>): Readonly<Record<string, string>> =>
  Object.fromEntries([...new Set(files)].sort().map((file) => [file, hash(file)]))

/** The hashes of the sources and outputs as they are now. */
export const currentHashes = async (): Promise<Pick<Manifest, "sources" | "outputs">> => {
  const units = await allUnits()
  return {
    sources: hashes([
      ...filesUnder("guests/puppy"),
      ...filesUnder("guests/user"),
      ...filesUnder("guests/examples"),
      ...filesUnder("scripts/guests"),
      ...["src/paravirt_ops/lguest.ts", "src/paravirt_ops/lguest64.ts", "src/machine/layout.ts"],
      ...units.flatMap((unit) => unit.sources),
    ]),
    outputs: hashes([
      ...imageNames.map((name) => join(imagesFolder, name)),
      ...headers().map((header) => header.output),
      ...units.map((unit) => unit.output),
    ]),
  }
}

export const readManifest = (): Manifest => JSON.parse(readFileSync(join(root, manifestFile), "utf8")) as Manifest

/** Files whose hash is not the manifest's, or that only one side has. */
export const differences = (
  recorded: Readonly<Record<string, string>>,
  current: Readonly<Record<string, string>>,
): ReadonlyArray<string> =>
  [...new Set([...Object.keys(recorded), ...Object.keys(current)])]
    .filter((file) => recorded[file] !== current[file])
    .sort()
