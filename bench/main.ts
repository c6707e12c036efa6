import { Command, Option } from "commander"
import { existsSync, readFileSync } from "node:fs"
import { cpus } from "node:os"
import { fileURLToPath } from "node:url"
import { buildCore, coreFile } from "../scripts/build-core.ts"
import { type Arch, ARCHES, type Kernel, KERNELS } from "./kernels.ts"
import { runNative } from "./native.ts"
import { guestRates, timeToPrompt, traceCost } from "./puppy.ts"
import { smpRates } from "./smp.ts"
import { loadV86 } from "./v86.ts"

/*
 * npm run bench: how fast the simulator is. Bare kernels on a native PC first; then puppy through the command line.
 * `--vs v86` runs the i386 kernels in v86 too, in the same process, and checks that both computed the same.
 */

interface Row {
  readonly name: string
  readonly arch: Arch
  readonly unit: string
  /** Millions of instructions a second, or events a second, or seconds, or bytes: as the unit says. */
  readonly value: number
  readonly v86?: number
  /** Ours by v86's. */
  readonly ratio?: number
}

interface Options {
  readonly vs?: "v86"
  readonly json?: boolean
  readonly arch?: Arch
  readonly rounds: string
  readonly scale: string
}

/** The best of some rounds: what disturbs a measurement makes it slower, never faster. */
const best = <A extends { readonly seconds: number }>(runs: ReadonlyArray<A>): A =>
  runs.reduce((a, b) => (b.seconds < a.seconds ? b : a))

const format = (row: Row): string => {
  const number = (value: number) => {
    if (row.unit === "MIPS") return value.toFixed(1)
    if (value >= 1e6) return `${(value / 1e6).toFixed(2)} M`
    return value >= 1000 ? `${(value / 1000).toFixed(1)} k` : value.toFixed(value < 10 ? 3 : 1)
  }
  const plain = row.unit === "MIPS" || row.unit === "s" || row.unit === "MiB" || row.unit.startsWith("x ")
  const unit = plain ? row.unit : `${row.unit}/s`
  const line = `${row.arch.padEnd(7)} ${row.name.padEnd(9)} ${number(row.value).padStart(10)} ${unit.padEnd(26)}`
  return row.v86 === undefined
    ? line.trimEnd()
    : `${line} v86 ${number(row.v86).padStart(10)}   x ${row.ratio?.toFixed(3)}`
}

const program = new Command("bench")
  .description("Measures the simulator. FILTER chooses measurements by a part of their names.")
  .argument("[filter]", "such as integer, fault or prompt", "")
  .addOption(new Option("--vs <simulator>", "compare the i386 kernels with another simulator").choices(["v86"]))
  .addOption(new Option("--arch <arch>", "one architecture only").choices([...ARCHES]))
  .option("--json", "print one JSON object and nothing else")
  .option("--rounds <n>", "runs of each kernel; the best counts", "3")
  .option("--scale <x>", "multiplies the kernels' repeat counts", "1")

const positive = (value: string, name: string): number => {
  const n = Number(value)
  if (!(n > 0)) program.error(`error: --${name} takes a positive number, not '${value}'`)
  return n
}

const main = async (): Promise<void> => {
  program.parse()
  const options = program.opts<Options>()
  const filter = program.args[0] ?? ""
  const wanted = (name: string) => name.includes(filter)
  const rounds = Math.ceil(positive(options.rounds, "rounds"))
  const scale = positive(options.scale, "scale")
  const arches = options.arch ? [options.arch] : ARCHES
  const rows: Row[] = []
  const add = (row: Row) => {
    rows.push(row)
    if (!options.json) console.log(format(row))
  }

  buildCore()
  const core = new WebAssembly.Module(readFileSync(coreFile))
  const v86 = options.vs === "v86" ? await loadV86() : undefined
  if (options.vs && !v86) program.error("error: the v86 package is not installed; npm ci installs it")

  const kernel = async (arch: Arch, k: Kernel): Promise<void> => {
    const repeats = Math.ceil(k.repeats * scale)
    const ours = best(Array.from({ length: rounds }, () => runNative(core, arch, k, repeats)))
    const millions = k.unit === "MIPS"
    const work = millions ? ours.instructions / 1e6 : repeats
    const row = { name: k.name, arch, unit: k.unit, value: work / ours.seconds }
    if (!v86 || arch !== "i386") return add(row)
    const runs = []
    for (let i = 0; i < rounds; i++) runs.push(await v86(k, repeats))
    const theirs = best(runs)
    if (theirs.checksum !== ours.checksum)
      throw new Error(`${k.name}: we computed ${ours.checksum}, v86 ${theirs.checksum}`)
    add({ ...row, v86: work / theirs.seconds, ratio: theirs.seconds / ours.seconds })
  }

  for (const arch of arches) for (const k of KERNELS) if (wanted(k.name)) await kernel(arch, k)

  if (existsSync(fileURLToPath(new URL("../dist/launcher/main.js", import.meta.url))))
    for (const arch of arches) {
      for (const rate of await guestRates(arch, wanted))
        add({ name: rate.name, arch, unit: rate.unit, value: rate.rate })
      if (arch === "x86_64")
        await smpRates(wanted, (rate) => add({ name: rate.name, arch, unit: rate.unit, value: rate.rate }))
      if (wanted("trace")) add({ name: "trace", arch, unit: "x without --trace", value: await traceCost(arch) })
      if (!wanted("prompt")) continue
      const prompt = await timeToPrompt(arch)
      add({ name: "prompt", arch, unit: "s", value: prompt.seconds })
      add({ name: "resident", arch, unit: "MiB", value: prompt.residentBytes / 2 ** 20 })
    }
  else console.error("puppy was not measured: the command line is not built (npm run build)")

  if (options.json)
    console.log(JSON.stringify({ node: process.version, processor: cpus()[0]?.model, results: rows }, null, 2))
}

await main().catch((cause: unknown) => {
  console.error(`bench: ${cause instanceof Error ? cause.message : String(cause)}`)
  process.exitCode = 1
})
// v86 leaves timers of its own behind.
process.exit()
