import * as Effect from "effect/Effect"
import type { BlockBackend } from "../../devices/index.ts"
import type { MachineState, State } from "../../machine/snapshot.ts"
import { BadImage, type MissingFile, UsageError } from "../errors.ts"
import { Files, packageVersion } from "../files.ts"
import { type BootImage, kernelOf } from "../image.ts"
import { problemOf, type RestoreSpec, type RunOptions } from "../options.ts"
import { digestOfDisk } from "./disks.ts"
import { BadSnapshot, open } from "./format.ts"
import { decodeManifest, type Manifest } from "./manifest.ts"
import { coreDigest } from "./save.ts"

/* From a file to a machine that goes on. */

export interface Snapshot {
  readonly file: string
  readonly manifest: Manifest
  readonly image: BootImage
  readonly state: MachineState
}

const parts = (bytes: Uint8Array, core: Uint8Array) => {
  const file = open(bytes)
  const json = file.manifest as { readonly version?: unknown; readonly core?: unknown } | null
  // Whose it is comes first: another lguest64's manifest may look different.
  if (json?.version !== packageVersion() || json.core !== coreDigest(core))
    throw new BadSnapshot(
      `was made by another build of lguest64 (${String(json?.version).slice(0, 20)}), whose processor core remembers code in another way`,
    )
  const manifest = decodeManifest(json)
  const blobs = file.blobs(manifest.blobs)
  const next = (() => {
    let i = 0
    return (): Uint8Array => {
      const blob = blobs[i++]
      if (blob === undefined) throw new BadSnapshot("lacks a part")
      return blob
    }
  })()
  const source = next()
  const initrd = manifest.initrd ? next() : undefined
  const pages = next()
  if (pages.length % 4 !== 0) throw new BadSnapshot("has no whole list of pages")
  const numbers = new Uint32Array(pages.length / 4)
  new Uint8Array(numbers.buffer).set(pages)
  const heap = Array.from({ length: manifest.heapArrays }, next)
  const chunks = blobs.slice((manifest.initrd ? 3 : 2) + heap.length)
  const state: MachineState = { fields: manifest.fields as State, heap, memory: { numbers, chunks } }
  return { manifest, source, initrd, state }
}

/** Reads and checks a snapshot. `core` is the processor core that is to go on with it. */
export const readSnapshot = (file: string, core: Uint8Array): Effect.Effect<Snapshot, BadImage | MissingFile, Files> =>
  Effect.gen(function* () {
    const bytes = yield* (yield* Files).read(file)
    const { manifest, source, initrd, state } = yield* Effect.try({
      try: () => parts(bytes, core),
      catch: (thrown) => {
        if (!(thrown instanceof BadSnapshot)) throw thrown
        return new BadImage({ file, problem: thrown.message })
      },
    })
    const kernel = yield* kernelOf(file, source, manifest.options)
    return { file, manifest, image: { file: manifest.kernel, source, kernel, initrd }, state }
  })

/** What the command line may say again of the machine, by option: whether it is what the snapshot says. */
const agreements = (o: RunOptions, { options: m, net }: Manifest): Readonly<Record<string, boolean>> => {
  const pins = (of: Iterable<readonly [number, number]>) =>
    [...of].map(([vcpu, processor]) => `${vcpu}:${processor}`).sort()
  return {
    KERNEL: false,
    initrd: false,
    arch: o.arch === m.arch,
    mem: o.memoryBytes === m.memoryBytes,
    append: o.cmdline === m.cmdline,
    native: m.native,
    design: o.design === m.design?.name,
    pae: m.pae,
    "late-checks": m.lateChecks === true,
    deterministic: m.deterministic,
    seed: m.deterministic && o.seed === m.seed,
    smp: m.smp && o.smp.vcpus === m.vcpus,
    pcpus: m.smp && o.smp.processors === m.processors,
    pin: pins(o.smp.pins).join() === pins(m.pins).join(),
    net:
      net !== null &&
      (o.net?.hub === undefined || o.net.hub === net.hub) &&
      (o.net?.mac === undefined || o.net.mac.join() === net.mac.join()),
  }
}

const counted = (n: number, what: string): string => `${n} ${what}${n === 1 ? "" : "s"}`

const inSnapshot = (name: string, { options: m, net, disks }: Manifest): string => {
  switch (name) {
    case "KERNEL":
    case "initrd":
      return "the kernel and its initrd are in it"
    case "arch":
      return `it is of ${m.arch}`
    case "mem":
      return `its guest has ${m.memoryBytes / 2 ** 20} MiB`
    case "append":
      return `its kernel was given "${m.cmdline}"`
    case "native":
      return "its guest is under a module"
    case "design":
      return m.design === undefined
        ? "its host is in no other design than its module's"
        : `its design is ${m.design.name}`
    case "pae":
      return "its page tables have no third level"
    case "late-checks":
      return "its processor checks in time"
    case "deterministic":
      return "its run is not deterministic"
    case "seed":
      return m.deterministic ? `its seed is ${m.seed}` : "its run is not deterministic"
    case "block":
      return `it has ${counted(disks.length, "disk")}`
    case "net":
      return net === null ? "it has no network device" : "its network device is another"
    default:
      return `it has ${counted(m.vcpus, "virtual CPU")} on ${counted(m.processors, "processor")}`
  }
}

/** The options of the run that goes on: the machine's from the snapshot, all others from the command line. */
export const optionsOf = (
  { file, manifest }: Snapshot,
  options: RunOptions,
  { given }: RestoreSpec,
): Effect.Effect<RunOptions, UsageError> => {
  const agreed: Readonly<Record<string, boolean>> = {
    ...agreements(options, manifest),
    block: options.blocks.length === manifest.disks.length,
  }
  const wrong = [...given].find((name) => agreed[name] === false)
  if (wrong !== undefined) {
    const name = wrong === "KERNEL" ? wrong : `--${wrong}`
    return Effect.fail(new UsageError({ problem: `${name} contradicts ${file}: ${inSnapshot(wrong, manifest)}` }))
  }
  const { options: m, disks, net } = manifest
  const merged: RunOptions = {
    ...options,
    kernel: manifest.kernel,
    arch: m.arch,
    memoryBytes: m.memoryBytes,
    initrd: undefined,
    cmdline: m.cmdline,
    native: m.native,
    design: m.design?.name,
    pae: m.pae,
    lateChecks: m.lateChecks === true,
    deterministic: m.deterministic,
    seed: m.seed,
    blocks: options.blocks.length > 0 ? options.blocks : disks,
    net:
      net === null ? undefined : { hub: net.hub ?? undefined, pcap: options.net?.pcap, mac: Uint8Array.from(net.mac) },
    // A run under gdb is in one thread without being deterministic; it stays in one.
    smp: { vcpus: m.vcpus, processors: m.processors, pins: new Map(m.pins), given: m.smp && m.deterministic },
  }
  const problem = problemOf(merged)
  return problem === undefined ? Effect.succeed(merged) : Effect.fail(new UsageError({ problem }))
}

/** A guest remembers what is on its disks: with others it would go on and ruin them. */
export const checkDisks = (
  { file, manifest }: Snapshot,
  options: RunOptions,
  disks: ReadonlyArray<BlockBackend>,
): Effect.Effect<void, BadImage> =>
  Effect.forEach(
    manifest.disks,
    (saved, i) => {
      const disk = disks[i]!
      const wrong =
        disk.sectors !== saved.sectors
          ? `has ${disk.sectors} sectors, and the disk of ${file} has ${saved.sectors}`
          : disk.readOnly !== saved.readOnly
            ? `is ${saved.readOnly ? "only read" : "also written"} in ${file}`
            : digestOfDisk(disk) !== saved.sha256
              ? `is not what it was when ${file} was made`
              : undefined
      return wrong === undefined
        ? Effect.void
        : Effect.fail(new BadImage({ file: options.blocks[i]!.file, problem: wrong }))
    },
    { discard: true },
  )
