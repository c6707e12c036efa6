import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { MOST_DISKS } from "../../devices/index.ts"
import { check } from "../../design/rules.ts"
import { ChoicesData } from "../designs/answers.ts"
import { MOST_CPUS } from "../smp.ts"
import { BadSnapshot } from "./format.ts"

/*
 * What a snapshot says of itself: by whom and of what it was made. The state of devices is checked by the devices, which alone know
 * their fields (src/machine/snapshot.ts).
 */

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const Digest = Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/))
const Cpus = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: MOST_CPUS }))
const Counts = Schema.Record(Schema.String, Count)

/** The options that make a machine the one it is. */
const MachineOptions = Schema.Struct({
  arch: Schema.Literals(["i386", "x86_64"]),
  native: Schema.Boolean,
  pae: Schema.Boolean,
  /** Not there: no. */
  lateChecks: Schema.optionalKey(Schema.Boolean),
  /** Its host's; not there: the module's own. */
  design: Schema.optionalKey(
    Schema.Struct({
      name: Schema.String,
      choices: ChoicesData.check(
        Schema.makeFilter((choices) => check(choices).length === 0 || "answers that can be a design's"),
      ),
    }),
  ),
  memoryBytes: Count,
  cmdline: Schema.String,
  deterministic: Schema.Boolean,
  seed: Count,
  vcpus: Cpus,
  processors: Cpus,
  pins: Schema.Array(Schema.Tuple([Count, Count])),
  /** --smp was given. */
  smp: Schema.Boolean,
  startMs: Count,
})

const Disk = Schema.Struct({
  file: Schema.NonEmptyString,
  readOnly: Schema.Boolean,
  sectors: Count,
  /** Of its bytes when the snapshot was made. */
  sha256: Digest,
})

const Net = Schema.Struct({
  hub: Schema.NullOr(Schema.String),
  mac: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 }))).check(
    Schema.isMinLength(6),
    Schema.isMaxLength(6),
  ),
})

/** Where the launcher's loop was (loop.ts). */
const Loop = Schema.Struct({
  before: Count,
  fedAt: Count,
  fed: Count,
  endAt: Count,
  endPause: Count,
  spokeAt: Count,
  /** Nothing has been said since then. */
  quiet: Schema.Boolean,
  /** What is left of a slice. */
  rest: Count,
})

const Sample = Schema.Struct({
  now: Count,
  instructions: Schema.Tuple([Count, Count, Count, Count]),
  worldSwitches: Count,
  hypercalls: Count,
  traps: Count,
  cr3Loads: Count,
  tlbMisses: Count,
  injectedInterrupts: Count,
  shadowPagesAlive: Counts,
})

/** The samples so far, for a run that keeps statistics. */
const Samples = Schema.Struct({ samples: Schema.Array(Sample), interval: Count, next: Count })

export const Manifest = Schema.Struct({
  /** lguest64's version, and the SHA-256 of the processor core: the memory holds decoded code, which is that core's own. */
  version: Schema.String,
  core: Digest,
  /** Simulated nanoseconds and instructions of the machine. */
  now: Count,
  instructions: Count,
  options: MachineOptions,
  /** The kernel's file, for messages: its bytes are here. */
  kernel: Schema.String,
  /** Whether there is one. */
  initrd: Schema.Boolean,
  disks: Schema.Array(Disk).check(Schema.isMaxLength(MOST_DISKS)),
  net: Schema.NullOr(Net),
  loop: Loop,
  samples: Schema.NullOr(Samples),
  fields: Schema.Unknown,
  heapArrays: Count,
  /** In the order kernel, initrd, numbers of the pages, arrays of the heap, pages. */
  blobs: Schema.Array(Schema.Struct({ packed: Count, bytes: Count })),
})
export type Manifest = typeof Manifest.Type
export type LoopState = Manifest["loop"]
export type SamplerState = NonNullable<Manifest["samples"]>

const formatIssue = SchemaIssue.makeFormatterStandardSchemaV1()

/** Throws BadSnapshot. */
export const decodeManifest = (json: unknown): Manifest => {
  const decoded = Schema.decodeUnknownResult(Manifest)(json)
  if (Result.isSuccess(decoded)) return decoded.success
  const [first] = formatIssue(decoded.failure.issue).issues
  const path = (first?.path ?? []).map((key) => String(typeof key === "object" ? key.key : key)).join(".")
  throw new BadSnapshot(`is no snapshot of a machine: ${path} is wrong`)
}
