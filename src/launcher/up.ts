import { existsSync } from "node:fs"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { EventLog } from "../host/index.ts"
import { BootError } from "../machine/load.ts"
import { createEngine, type Engine } from "./engine.ts"
import { BadConfig, BadImage, type LaunchError, NoMemory, STATUS, UsageError } from "./errors.ts"
import { Files } from "./files.ts"
import { openDevices, Surroundings } from "./guestDevices.ts"
import { type BootImage, loadImages } from "./image.ts"
import type { UpOptions } from "./options.ts"
import { CORE, engineScope, inDesign, openTrace, report, startOf } from "./run.ts"
import { Sampler } from "./sampler.ts"
import { Terminal } from "./terminal.ts"
import { SharedOutput } from "./upConsole.ts"
import { parseUpFile, type UpGuest } from "./upFile.ts"
import { runUp, type UpEnding, type UpMember } from "./upLoop.ts"

/* `lguest64 up`: several guests in one launcher, each on a machine of its own with its own host and module. */

/** Why a host of one architecture does not run guests of the other. */
const HOSTS = {
  i386:
    "an i386 guest needs an i386 host: lguest's Switcher hands traps to ring 1 by 32-bit gates behind segment limits, " +
    "and in long mode gates lead to 64-bit code only",
  x86_64: "an x86_64 guest needs an x86_64 host: without long mode the processor does not execute its code",
} as const

const checkHost = (file: string, guest: UpGuest, { kernel }: BootImage): Effect.Effect<void, BadConfig> =>
  guest.host === undefined || guest.host === kernel.arch
    ? Effect.void
    : Effect.fail(new BadConfig({ file, where: guest.where("host"), problem: HOSTS[kernel.arch] }))

/** Errors of a guest's that would blame the command line are the file's. An option's name is a key's. */
const blame =
  (file: string, { where }: UpGuest) =>
  (error: LaunchError) => {
    if (error._tag !== "UsageError") return error
    const [, key, problem = error.problem] = /^--(\w+) ([^]*)$/.exec(error.problem) ?? []
    return new BadConfig({ file, where: where(key), problem: key === undefined ? problem : `it ${problem}` })
  }

/** Opens a file that is to be this guest's alone. */
const alone = <A, E, R>(path: string, around: Surroundings, open: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const claim = () => around.files.claim(path, "write")
    const twice = new UsageError({
      problem: `${path} is given twice, and what is written to it needs a file of its own`,
    })
    // Before it is emptied.
    const there = existsSync(path)
    const early = there ? claim() : undefined
    if (there && early === undefined) return yield* twice
    const opened = yield* open
    const release = early ?? claim()
    if (release === undefined) return yield* twice
    yield* Effect.addFinalizer(() => Effect.sync(release))
    return opened
  })

/** What is thrown for a machine that cannot be built, as an error; anything else is a defect of ours. */
const asError = (thrown: unknown, image: BootImage, bytes: number): unknown => {
  if (thrown instanceof BootError) return new BadImage({ file: image.file, problem: thrown.message })
  return thrown instanceof RangeError && /WebAssembly\.Memory/.test(thrown.message) ? new NoMemory({ bytes }) : thrown
}

/** A guest that can run. */
interface Opened {
  readonly member: UpMember
  /** Writes what its file asks for about the run, which has taken so many seconds. */
  readonly report: (seconds: number) => Effect.Effect<void, LaunchError, Files | Terminal>
}

/** What all guests of a file have in common. */
interface Common {
  readonly file: string
  readonly core: WebAssembly.Module
  readonly startMs: number
  readonly around: Surroundings
  readonly output: SharedOutput
  /** Sees to it that an engine's threads end with the run. */
  readonly kept: (create: () => Promise<Engine>) => Promise<Engine>
}

const open = (
  { file, core, startMs, around, output, kept }: Common,
  guest: UpGuest,
  index: number,
): Effect.Effect<Opened, LaunchError, Files | Terminal | Scope.Scope> =>
  Effect.gen(function* () {
    const { name, script } = guest
    const { options, design } = yield* inDesign(guest.options)
    const { statsJson } = options
    const terminal = yield* Terminal
    const image = yield* loadImages(options)
    yield* checkHost(file, guest, image)
    const note = (line: string) => terminal.note(line)
    const devices = yield* openDevices({ ...options, startMs, guest: index, note }, around)
    const channel = output.channel(name)
    const { kernel, initrd } = image
    const config = { core, kernel, initrd, options, design, startMs, note, devices, log: EventLog.off }
    const files = yield* Files
    if (statsJson !== undefined) yield* alone(statsJson, around, files.write(statsJson, ""))
    const sampler = statsJson === undefined ? undefined : new Sampler()
    const tracing = openTrace(options, image, terminal)
    const writeTrace = yield* options.trace === undefined ? tracing : alone(options.trace.file, around, tracing)
    let engine: Engine | undefined
    const create = async () => {
      try {
        engine = await kept(() => createEngine({ ...config, output: (bytes) => channel.write(bytes) }))
        return engine
      } catch (thrown) {
        throw asError(thrown, image, options.memoryBytes)
      }
    }
    const reportAfter = (seconds: number) =>
      Effect.gen(function* () {
        if (engine === undefined) return
        yield* report(options, design, image, { engine }, sampler, seconds)
        yield* writeTrace({ engine })
      })
    return { member: { name, channel, create, link: devices.net?.link, script, sampler }, report: reportAfter }
  }).pipe(Effect.mapError(blame(file, guest)))

const statusOf = (ending: UpEnding): number => (ending.kind === "powerOff" ? ending.status : STATUS.killed)

/** The first status that is not 0, in the order of the file. */
export const up = (options: UpOptions): Effect.Effect<number, LaunchError, Files | Terminal | Scope.Scope> =>
  Effect.gen(function* () {
    const started = performance.now()
    const files = yield* Files
    const { file, deterministic, maxInstructions, verbose } = options
    const text = new TextDecoder().decode(yield* files.read(file))
    const guests = yield* parseUpFile(file, text, options)
    const core = new WebAssembly.Module((yield* files.read(files.own(CORE))) as Uint8Array<ArrayBuffer>)
    const terminal = yield* Terminal
    const output = new SharedOutput((bytes) => terminal.write(bytes), terminal.interactive)
    const common: Common = {
      file,
      core,
      startMs: startOf(options),
      around: new Surroundings(),
      output,
      kept: yield* engineScope,
    }
    const opened = yield* Effect.forEach(guests, (guest, i) => open(common, guest, i))
    const outcome = yield* Effect.tryPromise({
      try: () =>
        runUp({
          terminal,
          output,
          members: opened.map(({ member }) => member),
          deterministic,
          maxInstructions,
          ended: (name, ending) => {
            if (ending.kind === "killed") terminal.note(`lguest64: ${name}: the guest was killed: ${ending.reason}`)
            else if (verbose) terminal.note(`lguest64: ${name}: power off, status ${ending.status}`)
          },
        }),
      catch: (thrown) => {
        if (thrown instanceof BadImage || thrown instanceof NoMemory) return thrown
        throw thrown
      },
    })
    const seconds = (performance.now() - started) / 1000
    for (const guest of opened) yield* guest.report(seconds)
    if ("_tag" in outcome) return yield* outcome
    return outcome.map(statusOf).find((status) => status !== 0) ?? 0
  })
