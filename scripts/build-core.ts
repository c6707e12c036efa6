import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, renameSync, statSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..")
const sources = join(root, "src/machine/core")
/** Where the compiled core lies; the launcher and the tests read it from here. */
export const coreFile = join(root, "dist/machine/core.wasm")

const newest = (): number =>
  Math.max(
    statSync(join(root, "asconfig.json")).mtimeMs,
    ...readdirSync(sources).map((f) => statSync(join(sources, f)).mtimeMs),
  )

/** Compiles src/machine/core to dist/machine/core.wasm, unless that is newer than every source. */
export const buildCore = (force = false): void => {
  if (!force && existsSync(coreFile) && statSync(coreFile).mtimeMs > newest()) return
  mkdirSync(dirname(coreFile), { recursive: true })

  const fresh = `${coreFile}.${process.pid}`
  execFileSync(
    process.execPath,
    [join(root, "node_modules/assemblyscript/bin/asc.js"), "--config", "asconfig.json", "-o", fresh],
    { cwd: root, stdio: ["ignore", "inherit", "inherit"] },
  )
  renameSync(fresh, coreFile)
}
