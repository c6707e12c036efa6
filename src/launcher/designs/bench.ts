import { createHash } from "node:crypto"
import * as Effect from "effect/Effect"
import type { Arch } from "../../design/dimensions.ts"
import { COST_EVENTS, COST_TABLES } from "../costs.ts"
import type { BadConfig, BadImage, MissingFile, UsageError } from "../errors.ts"
import { Files, packageVersion } from "../files.ts"
import { makeRoom } from "../garbage.ts"
import { type BootImage, loadImages } from "../image.ts"
import { defaultOptions } from "../options.ts"
import { CORE } from "../run.ts"
import { brokenRules } from "./check.ts"
import type { BenchOptions } from "./command.ts"
import { difference, type Totals } from "./counts.ts"
import { type DesignFile, loadDesign, loadDesigns } from "./file.ts"
import { Failed, measure } from "./measure.ts"
import type { Progress } from "./progress.ts"
import { type Bench, BENCH_VERSION, type BenchRow, pairsOf } from "./result.ts"
import { type Workload, WORKLOADS } from "./workloads.ts"

/*
 * `lguest64 designs bench`: the same kernel, programs, lines and seed under each design. What a design's guest does is counted from
 * power-on to power-off, and a run that only boots is subtracted. A design that cannot run, or whose guest dies, is a row that says so.
 */

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

/** Why this pair is not run at all. */
const refusal = (design: DesignFile, workload: Workload): string | undefined => {
  const [broken] = brokenRules(design)
  if (broken !== undefined) return broken.problem
  if (workload.vcpus > 1 && design.choices.smp === "one")
    return `it needs ${workload.vcpus} virtual CPUs, and the design has one`
  return undefined
}

interface Sweep {
  readonly core: WebAssembly.Module
  readonly images: ReadonlyMap<Arch, BootImage>
  readonly seed: number
  readonly scale: number
}

/** The runs of one design. A run that only boots is made once for each number of virtual CPUs. */
class Runs {
  private readonly sweep: Sweep
  private readonly design: DesignFile
  private readonly boots = new Map<number, Promise<Totals>>()

  constructor(sweep: Sweep, design: DesignFile) {
    this.sweep = sweep
    this.design = design
  }

  private totals(vcpus: number, lines: ReadonlyArray<string>): Promise<Totals> {
    const { core, images, seed } = this.sweep
    const { choices } = this.design
    return measure({ core, image: images.get(choices.arch)!, choices, vcpus, seed }, lines)
  }

  private boot(vcpus: number): Promise<Totals> {
    const made = this.boots.get(vcpus) ?? this.totals(vcpus, [])
    this.boots.set(vcpus, made)
    return made
  }

  async row(workload: Workload): Promise<BenchRow> {
    const { vcpus, lines } = workload
    const pair = { design: this.design.name, workload: workload.name }
    const refused = refusal(this.design, workload)
    if (refused !== undefined) return { ...pair, outcome: "refused", reason: refused }
    try {
      const boot = await this.boot(vcpus)
      const counts = difference(await this.totals(vcpus, lines(this.sweep.scale)), boot)
      return { ...pair, outcome: "measured", counts }
    } catch (thrown) {
      // A design that makes the simulator itself stumble is a row too: the others have their say.
      const reason = thrown instanceof Failed ? thrown.message : `the simulator failed: ${String(thrown)}`
      return { ...pair, outcome: "failed", reason: reason.replace(/\s+/g, " ") }
    }
  }
}

const chosenDesigns = (files: Files["Service"], { names, arch }: BenchOptions) =>
  Effect.map(
    names.length === 0 ? loadDesigns(files) : Effect.forEach(names, (name) => loadDesign(files, name)),
    (designs) => designs.filter(({ choices }) => arch === undefined || choices.arch === arch),
  )

export const bench = (
  options: BenchOptions,
  progress: Progress,
): Effect.Effect<Bench, BadConfig | BadImage | MissingFile | UsageError, Files> =>
  Effect.gen(function* () {
    const files = yield* Files
    const { workloads = WORKLOADS, seed, scale, shard } = options
    const designs = yield* chosenDesigns(files, options)
    const coreBytes = yield* files.read(files.own(CORE))
    const archs = [...new Set(designs.map(({ choices }) => choices.arch))]
    const loaded = yield* Effect.forEach(archs, (arch) =>
      Effect.map(loadImages({ ...defaultOptions(), arch }), (image) => [arch, image] as const),
    )
    const sweep: Sweep = {
      core: new WebAssembly.Module(coreBytes as Uint8Array<ArrayBuffer>),
      images: new Map(loaded),
      seed,
      scale,
    }
    const runs = new Map(designs.map((design) => [design, new Runs(sweep, design)]))
    const pairs = pairsOf(designs, workloads).filter((_, i) => shard === undefined || i % shard.of === shard.index - 1)
    const rows: BenchRow[] = []
    for (const [i, [design, workload]] of pairs.entries()) {
      progress.show(i, pairs.length, `${design.name}, ${workload.name}`)
      rows.push(yield* Effect.promise(() => runs.get(design)!.row(workload)))
      makeRoom()
    }
    progress.done()
    return {
      kind: "lguest64 designs bench",
      version: BENCH_VERSION,
      lguest64: packageVersion(),
      core: sha256(coreBytes),
      images: Object.fromEntries(
        loaded.map(([arch, { source, initrd }]) => [
          arch,
          { kernel: sha256(source), initrd: sha256(initrd ?? new Uint8Array()) },
        ]),
      ),
      memoryBytes: defaultOptions().memoryBytes,
      seed,
      scale,
      designs: designs.map(({ name, title, choices }) => ({ name, title, choices })),
      workloads: workloads.map(({ name, text, vcpus, lines }) => ({ name, text, vcpus, lines: lines(scale) })),
      costs: COST_TABLES.map(({ name, processor, sources, ...cycles }) => ({
        name,
        processor,
        figures: COST_EVENTS.map((event) => ({
          event,
          cycles: cycles[event],
          assumption: sources[event].assumption,
          source: sources[event].text,
        })),
      })),
      rows,
    }
  })
