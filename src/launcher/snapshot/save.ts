import { createHash } from "node:crypto"
import { resolve } from "node:path"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { type MachineState, NotNow } from "../../machine/snapshot.ts"
import type { Engine, EngineConfig } from "../engine.ts"
import { CannotWrite } from "../errors.ts"
import { packageVersion } from "../files.ts"
import type { BootImage } from "../image.ts"
import { type LoopState, NO_LOOP } from "../loop.ts"
import type { Sampler } from "../sampler.ts"
import { digestOfDisk } from "./disks.ts"
import { encode, writeWhole } from "./format.ts"
import type { Manifest } from "./manifest.ts"

/* From a machine between two slices to a file. */

/** The run that a snapshot is made of. */
export interface SnapshotSource {
  readonly config: Pick<EngineConfig, "options" | "design" | "startMs" | "devices">
  readonly image: BootImage
  /** The processor core's bytes. */
  readonly core: Uint8Array
  readonly loop?: LoopState
  readonly sampler?: Sampler | undefined
}

export const coreDigest = (core: Uint8Array): string => createHash("sha256").update(core).digest("hex")

const machineOptions = (
  { options, design, startMs }: SnapshotSource["config"],
  image: BootImage,
): Manifest["options"] => ({
  arch: image.kernel.arch,
  native: options.native,
  pae: options.pae,
  ...(options.lateChecks ? { lateChecks: true } : {}),
  ...(design === undefined ? {} : { design: { name: design.name, choices: design.choices } }),
  memoryBytes: options.memoryBytes,
  cmdline: options.cmdline,
  deterministic: options.deterministic,
  seed: options.seed,
  vcpus: options.smp.vcpus,
  processors: options.smp.processors,
  pins: [...options.smp.pins],
  smp: options.smp.given,
  startMs,
})

/** A disk of which bytes cannot be read cannot be recognized later. */
const disksOf = ({ config: { options, devices } }: SnapshotSource): Manifest["disks"] =>
  devices.disks.map((disk, i) => {
    const { file } = options.blocks[i]!
    const sha256 = digestOfDisk(disk)
    if (sha256 === undefined) throw new NotNow(`disk ${file} cannot be read`)
    return { file: resolve(file), readOnly: disk.readOnly, sectors: disk.sectors, sha256 }
  })

/** The bytes of a snapshot of the engine, in pieces. Throws NotNow. */
export const snapshotOf = (engine: Engine, source: SnapshotSource): ReadonlyArray<Uint8Array> => {
  const { config, image, core, loop = NO_LOOP, sampler } = source
  const { options, devices } = config
  if (engine.snapshot === undefined) throw new NotNow("the machine's processors are in threads of their own")
  const state: MachineState = engine.snapshot.save()
  const manifest: Omit<Manifest, "blobs"> = {
    version: packageVersion(),
    core: coreDigest(core),
    now: engine.now,
    instructions: engine.instructions,
    options: machineOptions(config, image),
    kernel: image.file,
    initrd: image.initrd !== undefined,
    disks: disksOf(source),
    net: devices.net === undefined ? null : { hub: options.net?.hub ?? null, mac: [...devices.net.mac] },
    loop,
    samples: sampler?.state ?? null,
    fields: state.fields,
    heapArrays: state.heap.length,
  }
  const { numbers, chunks } = state.memory
  const pages = new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength)
  const initrd = image.initrd === undefined ? [] : [image.initrd]
  return encode(
    (blobs): Manifest => ({ ...manifest, blobs }),
    [image.source, ...initrd, pages, ...state.heap, ...chunks],
  )
}

/** The same for a person who waits for the answer. */
export const saveNow =
  (source: SnapshotSource) =>
  (engine: Engine, file: string): string => {
    const result = Effect.runSync(Effect.result(saveSnapshot(file, engine, source)))
    if (Result.isFailure(result)) return `${file}: ${result.failure.problem}`
    const disks = engine.snapshot !== undefined && source.config.devices.disks.some(({ readOnly }) => !readOnly)
    const note = disks ? "; it needs the disks as they are now, and the guest goes on writing: copy them" : ""
    return `saved after ${engine.instructions} instructions${note}`
  }

/** Writes a snapshot of an engine that is between two slices. */
export const saveSnapshot = (file: string, engine: Engine, source: SnapshotSource): Effect.Effect<void, CannotWrite> =>
  Effect.flatMap(
    Effect.try({
      try: () => snapshotOf(engine, source),
      catch: (thrown) => {
        if (!(thrown instanceof NotNow)) throw thrown
        return new CannotWrite({ file, problem: thrown.message })
      },
    }),
    (pieces) => writeWhole(file, pieces),
  )
