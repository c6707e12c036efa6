import { dirname, resolve } from "node:path"
import { InvalidArgumentError } from "commander"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { MOST_DISKS } from "../devices/index.ts"
import { CMDLINE_LONGEST } from "../machine/load.ts"
import { isName } from "./designs/file.ts"
import type { BadConfig } from "./errors.ts"
import { parseMac } from "./net.ts"
import {
  type Arch,
  DEFAULT_TRACE,
  defaultOptions,
  parseBlock,
  parseMemory,
  parseTraceLimit,
  type RunOptions,
  type UpOptions,
} from "./options.ts"
import { MOST_CPUS, parsePins, type SmpOptions, smpOptions } from "./smp.ts"
import { type KeyPath, YamlFile } from "./yamlFile.ts"

/*
 * The file of `lguest64 up`: YAML that names guests (docs/up.md). Nothing is opened here but the text itself; what is wrong is
 * said with line and key. Paths are relative to the file's folder.
 */

export interface UpGuest {
  readonly name: string
  readonly options: RunOptions
  /** The architecture of the host that is asked for. */
  readonly host: Arch | undefined
  /** Typed at its console. */
  readonly script: string
  /** Line and key of the guest, or of one of its keys, for errors. */
  readonly where: (key?: string) => string
}

/** Stands before each line of the guest's output and input. */
const NAME = /^[A-Za-z][A-Za-z0-9_-]{0,31}$/
const MOST_GUESTS = 16

/** A filter that says what a function which throws has against a value. */
const refusing = <A>(work: (value: A) => unknown) =>
  Schema.makeFilter((value: A) => {
    try {
      const said = work(value)
      return typeof said === "string" ? said : undefined
    } catch (thrown) {
      if (!(thrown instanceof InvalidArgumentError)) throw thrown
      return thrown.message.replace(/\.$/, "")
    }
  })

const ArchName = Schema.Literals(["i386", "x86_64"])
const Memory = Schema.Union([Schema.String, Schema.Int]).check(refusing((value) => void parseMemory(String(value))))
const Path = Schema.NonEmptyString
const Cpus = Schema.Int.check(
  refusing((count: number) => (count < 1 || count > MOST_CPUS ? `it is a number from 1 to ${MOST_CPUS}` : undefined)),
)
const TraceLimit = Schema.Union([Schema.String, Schema.Int]).check(
  refusing((value) => void parseTraceLimit(String(value))),
)
const Cmdline = Schema.String.check(
  refusing((text: string) =>
    new TextEncoder().encode(text).length > CMDLINE_LONGEST ? `${CMDLINE_LONGEST} bytes are the longest` : undefined,
  ),
)
const Net = Schema.Struct({
  hub: Schema.optionalKey(Schema.NonEmptyString),
  pcap: Schema.optionalKey(Path),
  mac: Schema.optionalKey(Schema.String.check(refusing(parseMac))),
})
const Guest = Schema.Struct({
  arch: Schema.optionalKey(ArchName),
  host: Schema.optionalKey(ArchName),
  kernel: Schema.optionalKey(Path),
  mem: Schema.optionalKey(Memory),
  native: Schema.optionalKey(Schema.Boolean),
  design: Schema.optionalKey(Schema.NonEmptyString),
  pae: Schema.optionalKey(Schema.Boolean),
  "late-checks": Schema.optionalKey(Schema.Boolean),
  append: Schema.optionalKey(Cmdline),
  initrd: Schema.optionalKey(Path),
  block: Schema.optionalKey(
    Schema.Array(Schema.String.check(refusing((text) => void parseBlock(text)))).check(Schema.isMaxLength(MOST_DISKS)),
  ),
  net: Schema.optionalKey(Net),
  script: Schema.optionalKey(Schema.String),
  smp: Schema.optionalKey(Cpus),
  pcpus: Schema.optionalKey(Cpus),
  pin: Schema.optionalKey(Schema.String.check(refusing((text) => void parsePins(text)))),
  "stats-json": Schema.optionalKey(Path),
  trace: Schema.optionalKey(Path),
  "trace-limit": Schema.optionalKey(TraceLimit),
})
const KEYS = Object.keys(Guest.fields)
const UpFile = Schema.Struct({ guests: Schema.Record(Schema.String, Guest) })
type GuestValue = typeof Guest.Type

/** Schema's words for what has a clearer name here. */
const reworded = (message: string, path: KeyPath): string => {
  if (message === "Expected no excess property")
    return path.length === 1
      ? "there is no such key; the file has `guests` alone"
      : path.length === 3
        ? `there is no such key; a guest has ${KEYS.join(", ")}`
        : "there is no such key"
  if (message === "Missing key") return "is missing"
  return message.replace(/^Expected/, "expected")
}

/** Reads the file's text. */
export const parseUpFile = (
  file: string,
  text: string,
  up: UpOptions,
): Effect.Effect<ReadonlyArray<UpGuest>, BadConfig> =>
  Effect.gen(function* () {
    const yaml = yield* YamlFile.read(file, text)
    const bad = (path: KeyPath, problem: string) => Effect.fail(yaml.bad(path, problem))
    // "a:" alone is a guest like any that says nothing.
    const given = (yaml.value as { guests?: Record<string, unknown> } | null)?.guests
    if (typeof given === "object" && given !== null) for (const name of Object.keys(given)) given[name] ??= {}
    const decoded = yield* yaml.decode(UpFile, reworded)
    const entries = Object.entries(decoded.guests)
    if (entries.length === 0) return yield* bad(["guests"], "there are none")
    if (entries.length > MOST_GUESTS) return yield* bad(["guests"], `${MOST_GUESTS} guests are the most`)
    const guests: UpGuest[] = []
    for (const [name, guest] of entries) {
      const path = ["guests", name]
      if (!NAME.test(name)) return yield* bad(path, "a name is a letter, then up to 31 letters, digits, - and _")
      if (guest.native === true && guest.host !== undefined)
        return yield* bad([...path, "host"], "a native guest has no host")
      if (guest.native === true && guest.design !== undefined)
        return yield* bad([...path, "design"], "it is of a host and its module, and a native guest has none")
      if (guest.native === true && guest.pae === true)
        return yield* bad([...path, "pae"], "it is a choice of the host's, and a native guest has none")
      for (const key of ["pcpus", "pin"] as const)
        if (guest.native === true && guest[key] !== undefined)
          return yield* bad([...path, key], "it is for a host's scheduler, and a native guest has no host")
      if (guest["trace-limit"] !== undefined && guest.trace === undefined)
        return yield* bad([...path, "trace-limit"], "it bounds the file of `trace`, and there is none")
      const smp = smpOptions(guest.smp, guest.pcpus, guest.pin === undefined ? undefined : parsePins(guest.pin))
      if (typeof smp === "string") return yield* bad([...path, "pin"], smp.replace(/^--pin /, "it "))
      const where = (key?: string) => yaml.where(key === undefined ? path : [...path, key])
      const options = optionsOf(guest, dirname(file), smp, up)
      guests.push({ name, options, host: guest.host, script: guest.script ?? "", where })
    }
    return guests
  })

const optionsOf = (guest: GuestValue, folder: string, smp: SmpOptions, up: UpOptions): RunOptions => {
  const defaults = defaultOptions()
  const path = (file: string) => resolve(folder, file)
  const { net, trace, "stats-json": statsJson, "trace-limit": limit } = guest
  const mac = net?.mac === undefined ? undefined : parseMac(net.mac)
  return {
    ...defaults,
    kernel: guest.kernel === undefined ? undefined : path(guest.kernel),
    arch: guest.arch,
    memoryBytes: guest.mem === undefined ? defaults.memoryBytes : parseMemory(String(guest.mem)),
    initrd: guest.initrd === undefined ? undefined : path(guest.initrd),
    cmdline: guest.append ?? "",
    native: guest.native === true,
    // A design's name is a word; a file lies where the others do.
    design: guest.design === undefined || isName(guest.design) ? guest.design : path(guest.design),
    pae: guest.pae === true,
    lateChecks: guest["late-checks"] === true,
    deterministic: up.deterministic,
    seed: up.seed,
    verbose: up.verbose,
    smp,
    statsJson: statsJson === undefined ? undefined : path(statsJson),
    trace:
      trace === undefined ? undefined : { file: path(trace), limit: parseTraceLimit(String(limit ?? DEFAULT_TRACE)) },
    blocks: (guest.block ?? []).flatMap((text) => parseBlock(text)).map((b) => ({ ...b, file: path(b.file) })),
    net: net && {
      hub: net.hub,
      pcap: net.pcap === undefined ? undefined : path(net.pcap),
      mac: typeof mac === "string" ? undefined : mac,
    },
  }
}
