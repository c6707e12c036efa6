import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { EventLog } from "../host/index.ts"
import { BootError } from "../machine/load.ts"
import { createEngine } from "./engine.ts"
import { BadConfig, BadImage, type LaunchError, NoMemory, STATUS } from "./errors.ts"
import { Files } from "./files.ts"
import { openDevices, Surroundings } from "./guestDevices.ts"
import { type BootImage, loadImages } from "./image.ts"
import type { UpOptions } from "./options.ts"
import { CORE, startOf } from "./run.ts"
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
    : Effect.fail(new BadConfig({ file, where: `${guest.where}.host`, problem: HOSTS[kernel.arch] }))

/** Errors of a guest's that would blame the command line are the file's. */
const blame =
  (file: string, { where }: UpGuest) =>
  (error: LaunchError) =>
    error._tag === "UsageError" ? new BadConfig({ file, where, problem: error.problem }) : error

/** What is thrown for a machine that cannot be built, as an error; anything else is a defect of ours. */
const asError = (thrown: unknown, image: BootImage, bytes: number): unknown => {
  if (thrown instanceof BootError) return new BadImage({ file: image.file, problem: thrown.message })
  return thrown instanceof RangeError && /WebAssembly\.Memory/.test(thrown.message) ? new NoMemory({ bytes }) : thrown
}

const open = (
  file: string,
  guest: UpGuest,
  index: number,
  core: WebAssembly.Module,
  startMs: number,
  around: Surroundings,
  output: SharedOutput,
): Effect.Effect<
  { readonly member: UpMember; readonly image: BootImage },
  LaunchError,
  Files | Terminal | Scope.Scope
> =>
  Effect.gen(function* () {
    const { name, options, script } = guest
    const terminal = yield* Terminal
    const image = yield* loadImages(options)
    yield* checkHost(file, guest, image)
    const note = (line: string) => terminal.note(line)
    const devices = yield* openDevices({ ...options, startMs, guest: index, note }, around)
    const channel = output.channel(name)
    const { kernel, initrd } = image
    const config = { core, kernel, initrd, options, startMs, note, devices, log: EventLog.off }
    const create = async () => {
      try {
        return await createEngine({ ...config, output: (bytes) => channel.write(bytes) })
      } catch (thrown) {
        throw asError(thrown, image, options.memoryBytes)
      }
    }
    return { member: { name, channel, create, link: devices.net?.link, script }, image }
  }).pipe(Effect.mapError(blame(file, guest)))

const statusOf = (ending: UpEnding): number => (ending.kind === "powerOff" ? ending.status : STATUS.killed)

/** The first status that is not 0, in the order of the file. */
export const up = (options: UpOptions): Effect.Effect<number, LaunchError, Files | Terminal | Scope.Scope> =>
  Effect.gen(function* () {
    const files = yield* Files
    const { file, deterministic, maxInstructions, verbose } = options
    const text = new TextDecoder().decode(yield* files.read(file))
    const guests = yield* parseUpFile(file, text, options)
    const core = new WebAssembly.Module((yield* files.read(files.own(CORE))) as Uint8Array<ArrayBuffer>)
    const terminal = yield* Terminal
    const output = new SharedOutput((bytes) => terminal.write(bytes), terminal.interactive)
    const around = new Surroundings()
    const startMs = startOf(options)
    const opened = yield* Effect.forEach(guests, (guest, i) => open(file, guest, i, core, startMs, around, output))
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
    if ("_tag" in outcome) return yield* outcome
    return outcome.map(statusOf).find((status) => status !== 0) ?? 0
  })
