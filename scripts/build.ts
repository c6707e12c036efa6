import { execFileSync } from "node:child_process"
import { chmodSync, existsSync, writeFileSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { JOURNEY_FILE } from "../src/launcher/journey/index.ts"
import { journeyJson } from "../src/launcher/journey/sources.ts"
import { buildCore } from "./build-core.ts"

/**
 * `npm run build`: the processor core to WebAssembly, everything else to JavaScript, both under dist/; and the journey that the
 * comments tell, for a package without sources.
 */
const root = resolve(dirname(fileURLToPath(import.meta.url)), "..")
buildCore()
execFileSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", "tsconfig.build.json"], {
  cwd: root,
  stdio: "inherit",
})
const main = join(root, "dist/launcher/main.js")
if (existsSync(main)) chmodSync(main, 0o755)
writeFileSync(join(root, JOURNEY_FILE), journeyJson(root))
