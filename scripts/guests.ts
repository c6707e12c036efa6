import { mkdirSync, statSync, writeFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { fileURLToPath } from "node:url"
import { assembleAll } from "./assemble.ts"
import { headers } from "./guests/headers.ts"
import { buildImages, imageNames, root } from "./guests/images.ts"
import { currentHashes, type Manifest, manifestFile } from "./guests/manifest.ts"
import { gasAvailable, toolchain } from "./guests/toolchain.ts"

export { gasAvailable }

/*
 * `npm run guests`: everything that is machine code and committed. The guests' C headers, the hosts' assembly as TypeScript
 * modules, the kernels, their initramfs, and the manifest by which a test knows that all of it belongs to the sources.
 * Needs gcc and binutils; who only runs guests needs neither. With names of images it builds just those, while working on them.
 */
export const writeHeaders = (): void => {
  for (const { output, text } of headers()) {
    mkdirSync(dirname(join(root, output)), { recursive: true })
    writeFileSync(join(root, output), text)
  }
}

const main = async (): Promise<void> => {
  const tools = toolchain()
  if (tools === undefined) {
    console.error("npm run guests: gcc and ld are needed to build the guests, and are not here")
    process.exitCode = 1
    return
  }
  const folder = join(root, "guests/images")
  const asked = process.argv.slice(2)
  const names = asked.length > 0 ? asked : imageNames
  const unknown = names.find((name) => !imageNames.includes(name))
  if (unknown !== undefined) throw new Error(`npm run guests: ${unknown} is none of ${imageNames.join(", ")}`)
  writeHeaders()
  await buildImages(folder, names)
  for (const name of names) console.log(`${name}: ${statSync(join(folder, name)).size} bytes`)
  if (asked.length > 0) {
    console.log("the manifest is as it was: it is for a build of everything")
    return
  }
  await assembleAll()
  const manifest: Manifest = { toolchain: tools, ...(await currentHashes()) }
  writeFileSync(join(root, manifestFile), JSON.stringify(manifest, null, 2) + "\n")
}

if (process.argv[1] !== undefined && relative(process.argv[1], fileURLToPath(import.meta.url)) === "")
  main().catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  })
