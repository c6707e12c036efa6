import { basename } from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { seededEntropy } from "../devices/index.ts"
import { EventLog } from "../host/index.ts"
import { BootError } from "../machine/load.ts"
import { BadState } from "../machine/snapshot.ts"
import { createEngine, type Engine, type EngineConfig } from "./engine.ts"
import { BadImage, type CannotWrite, type LaunchError, NoMemory } from "./errors.ts"
import { Files, packageVersion } from "./files.ts"
import { openDevices, Surroundings } from "./guestDevices.ts"
import { type BootImage, loadImages } from "./image.ts"
import { type Ending, type LoopState, runLoop } from "./loop.ts"
import { MonitorConsole } from "./monitor/console.ts"
import type { RunOptions, SaveSpec } from "./options.ts"
import { Sampler } from "./sampler.ts"
import type { Snapshot, SnapshotSource } from "./snapshot/index.ts"
import { Terminal, type TerminalSession } from "./terminal.ts"

/* `lguest64 run`: from options to the guest's exit status. */

/** With --deterministic the machine's clock starts here: 12 February 2007, plus one second for each of the seed. */
const EPOCH_MS = Date.UTC(2007, 1, 12)

/** Milliseconds since 1970 at simulated time 0. */
export const startOf = ({ deterministic, seed }: { readonly deterministic: boolean; readonly seed: number }): number =>
  deterministic ? EPOCH_MS + seed * 1000 : Date.now()

export const CORE = "dist/machine/core.wasm"

const openLog = (
  options: RunOptions,
  terminal: TerminalSession,
): Effect.Effect<EventLog, CannotWrite, Files | Scope.Scope> =>
  Effect.gen(function* () {
    if (options.log.size === 0) return EventLog.off
    const files = yield* Files
    const note = (line: string) => terminal.note(line)
    const sink = options.logFile === undefined ? note : yield* files.lines(options.logFile, note)
    if (!options.log.has("int")) return new EventLog(options.log, sink)
    // The disassembler is large; only this category shows instructions.
    const { disassemble } = yield* Effect.promise(() => import("./disassemble.ts"))
    return new EventLog(options.log, sink, (bytes, bits, address) => disassemble({ bytes, bits, address }))
  })

/** Runs the loop; what it throws that is no defect of ours becomes an error. */
const drive = (
  image: BootImage,
  config: EngineConfig,
  create: () => Promise<Engine>,
  terminal: TerminalSession,
  sampler: Sampler | undefined,
  resume: LoopState | undefined,
): Effect.Effect<Ending, BadImage | NoMemory> =>
  Effect.tryPromise({
    try: () =>
      runLoop({
        terminal,
        create,
        deterministic: config.options.deterministic,
        maxInstructions: config.options.maxInstructions,
        sampler,
        saveAt: config.options.save?.at ?? Infinity,
        processors: config.options.smp.processors,
        resume,
        restarted: () => {
          if (config.options.verbose) terminal.note("lguest64: the guest restarts")
        },
      }),
    catch: (thrown) => {
      if (thrown instanceof BootError) return new BadImage({ file: image.file, problem: thrown.message })
      if (thrown instanceof BadState)
        return new BadImage({ file: config.options.restore?.file ?? image.file, problem: thrown.message })
      // What WebAssembly says when the system gives no such memory.
      if (thrown instanceof RangeError && /WebAssembly\.Memory/.test(thrown.message))
        return new NoMemory({ bytes: config.options.memoryBytes })
      throw thrown
    },
  })

/** The machine that ran last. */
type Last = Pick<Ending, "engine">

export const report = (
  options: RunOptions,
  design: EngineConfig["design"],
  image: BootImage,
  ending: Last,
  sampler: Sampler | undefined,
  seconds: number,
) =>
  Effect.gen(function* () {
    if (sampler === undefined) return
    // Schemas take longer to load than the rest of the launcher.
    const { collect, table, toJson } = yield* Effect.promise(() => import("./stats.ts"))
    const stats = collect(ending.engine.counts(), {
      versions: { lguest64: packageVersion(), node: process.version },
      commandLine: process.argv.slice(2),
      arch: image.kernel.arch,
      native: options.native,
      design: design?.name,
      now: ending.engine.now,
      seconds,
      samples: sampler.finish(ending.engine),
    })
    if (options.stats) (yield* Terminal).note(table(stats))
    if (options.statsJson !== undefined) yield* (yield* Files).write(options.statsJson, toJson(stats))
  })

/** Opens the file of --trace, now; what is returned writes to it, once the run is over. */
export const openTrace = (options: RunOptions, image: BootImage, terminal: TerminalSession) =>
  Effect.gen(function* () {
    const { trace, native } = options
    if (trace === undefined) return () => Effect.void
    const { file, limit } = trace
    const line = yield* (yield* Files).lines(file, (problem) => terminal.note(`lguest64: ${problem}`))
    return ({ engine }: Last) =>
      Effect.gen(function* () {
        const run = engine.trace?.()
        if (run === undefined) return
        const { endNote, writeTrace } = yield* Effect.promise(() => import("./traceFile.ts"))
        const guest = basename(image.file)
        const about = { lguest64: packageVersion(), arch: image.kernel.arch, native, guest }
        const note = endNote(file, limit, run, writeTrace(run, about, limit, line))
        if (note !== undefined) terminal.note(note)
      })
  })

/** Large, and for few runs. */
const snapshots = Effect.promise(() => import("./snapshot/index.ts"))

/** Why a run cannot be repeated from its start, if it cannot. */
const forwardOnly = ({ deterministic, blocks, net, restore }: RunOptions): string | undefined => {
  if (restore !== undefined) return "a run that goes on from a snapshot has no past"
  if (!deterministic) return "it needs a run with --deterministic"
  if (blocks.length > 0 || net !== undefined) return "disks and networks are not what they were"
  return undefined
}

/** With --gdb: a guest that waits for gdb, which is told where. */
const awaitGdb = (
  source: SnapshotSource,
  config: EngineConfig,
  build: Create,
  terminal: TerminalSession,
  port: number,
) =>
  Effect.gen(function* () {
    // A good part of the launcher, for few runs.
    const { DebugSession, serveGdb } = yield* Effect.promise(() => import("./gdb/index.ts"))
    const oneWay = forwardOnly(config.options)
    const { seed } = config.options
    const session = new DebugSession({
      config,
      // A machine that is run again gets the same randomness again.
      create: (c) =>
        build(oneWay === undefined ? { ...c, devices: { ...c.devices, entropy: seededEntropy(seed) } } : c),
      patience: terminal,
      forwardOnly: oneWay,
    })
    const { Monitor } = yield* Effect.promise(() => import("./monitor/commands.ts"))
    const { saveNow } = yield* snapshots
    const monitor = new Monitor(() => session.current, undefined, saveNow(source))
    const bound = yield* serveGdb(session, port, (line) => monitor.execute(line))
    terminal.note(`lguest64: the guest waits for gdb: target remote 127.0.0.1:${bound}`)
    return session
  })

const announce = (
  options: RunOptions,
  design: EngineConfig["design"],
  { file, kernel, initrd }: BootImage,
  terminal: TerminalSession,
): void => {
  const module = options.native ? "no hypervisor" : kernel.arch === "x86_64" ? "module lguest64" : "module lguest"
  const bytes = kernel.segments.reduce((sum, segment) => sum + segment.memoryBytes, 0)
  terminal.note(
    `lguest64: ${file}: ${kernel.arch}, entry 0x${kernel.entry.toString(16)}, ${bytes >> 10} KiB; ${module}`,
  )
  if (design !== undefined) terminal.note(`lguest64: design ${design.name}`)
  terminal.note(`lguest64: memory ${options.memoryBytes / 2 ** 20} MiB, initrd ${initrd?.length ?? 0} bytes`)
}

/** Whatever ends the run, the threads of the engines that were made through this end with it. */
export const engineScope = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => new Set<Engine>()),
    (made) => Effect.promise(() => Promise.all([...made].map((engine) => engine.close?.()))),
  ),
  (made) => async (create: () => Promise<Engine>) => {
    const engine = await create()
    made.add(engine)
    return engine
  },
)

/** The options with the design that they name, if they name one. */
export const inDesign = (options: RunOptions) =>
  Effect.gen(function* () {
    if (options.design === undefined) return { options, design: undefined }
    // YAML and schemas, for few runs.
    const { chooseDesign } = yield* Effect.promise(() => import("./designs/choose.ts"))
    return yield* chooseDesign(yield* Files, options, options.design)
  })

/** The run that the command line asks for, or that goes on from a snapshot. */
const beginning = (asked: RunOptions, core: Uint8Array) =>
  Effect.gen(function* () {
    if (asked.restore === undefined) {
      const { options, design } = yield* inDesign(asked)
      return { options, design, image: yield* loadImages(options), snapshot: undefined }
    }
    const { optionsOf, readSnapshot } = yield* snapshots
    const snapshot = yield* readSnapshot(asked.restore.file, core)
    const options = yield* optionsOf(snapshot, asked, asked.restore)
    return { options, design: snapshot.manifest.options.design, image: snapshot.image, snapshot }
  })

/** The snapshot that the run was to end with. */
const keep = (
  { file, at }: SaveSpec,
  { engine, outcome }: Ending,
  source: SnapshotSource,
  note: (line: string) => void,
): Effect.Effect<void, CannotWrite> =>
  Effect.gen(function* () {
    if ("_tag" in outcome || outcome.kind !== "save") {
      note(`lguest64: ${file}: there is no snapshot, as the run ended before ${at} instructions`)
      return
    }
    yield* (yield* snapshots).saveSnapshot(file, engine, { ...source, loop: outcome.loop })
    if (source.config.options.verbose) {
      const { instructions, now } = engine
      const { fed } = outcome.loop
      note(`lguest64: ${file}: after ${instructions} instructions, at ${now} ns, with ${fed} bytes of the input taken`)
    }
  })

type Create = (config: EngineConfig) => Promise<Engine>

/** The first machine goes on from the snapshot; one after a restart begins. */
const restoring = (snapshot: Snapshot | undefined, sampler: Sampler | undefined): Create => {
  let left = snapshot
  return async (config) => {
    const engine = await createEngine(config)
    if (left !== undefined) {
      engine.snapshot!.restore(left.state)
      if (left.manifest.samples !== null) sampler?.resume(engine, left.manifest.samples)
    }
    left = undefined
    return engine
  }
}

/**
 * L:010 Part 4, Launcher: we trace a Guest back to whoever made it. You have typed `lguest64 run`; here is what
 * happens, from the options to the exit status. lguest's launcher was one C program of a thousand lines or so, and its
 * own best documentation. Ours is a folder, but the plot is the same: lay out memory, open /dev/lguest, and read from
 * it in a loop until the Guest is dead or done.
 *
 * The guest's own exit status; everything else is an error.
 */
export const run = (asked: RunOptions): Effect.Effect<number, LaunchError, Files | Terminal | Scope.Scope> =>
  Effect.gen(function* () {
    const started = performance.now()
    const files = yield* Files
    const coreBytes = yield* files.read(files.own(CORE))
    const { options, design, image, snapshot } = yield* beginning(asked, coreBytes)
    const core = new WebAssembly.Module(coreBytes as Uint8Array<ArrayBuffer>)
    if (options.save !== undefined) yield* (yield* snapshots).checkPlace(options.save.file)
    // Now, and not after an hour of simulation, is the time to learn that the report cannot be written.
    if (options.statsJson !== undefined) yield* files.write(options.statsJson, "")
    const terminal = yield* Terminal
    const log = yield* openLog(options, terminal)
    const writeTrace = yield* openTrace(options, image, terminal)
    if (options.verbose) announce(options, design, image, terminal)
    const monitor = terminal.interactive ? new MonitorConsole(terminal, options.gdb !== undefined) : undefined
    terminal.monitor = monitor
    const sampler = options.stats || options.statsJson !== undefined ? new Sampler() : undefined
    const startMs = snapshot?.manifest.options.startMs ?? startOf(options)
    const note = (line: string) => terminal.note(line)
    const devices = yield* openDevices({ ...options, startMs, guest: 0, note }, new Surroundings())
    if (snapshot !== undefined) yield* (yield* snapshots).checkDisks(snapshot, options, devices.disks)
    const config: EngineConfig = {
      core,
      kernel: image.kernel,
      initrd: image.initrd,
      options,
      design,
      startMs,
      output: (bytes) => terminal.write(bytes),
      note,
      devices,
      log,
    }
    const source: SnapshotSource = { config, image, core: coreBytes, sampler }
    if (monitor !== undefined) monitor.saver = async () => (await import("./snapshot/index.ts")).saveNow(source)
    const build = restoring(snapshot, sampler)
    const session =
      options.gdb === undefined ? undefined : yield* awaitGdb(source, config, build, terminal, options.gdb)
    const engines = yield* engineScope
    const create = (): Promise<Engine> => session?.create() ?? engines(() => build(config))
    const ending = yield* drive(image, config, create, terminal, sampler, snapshot?.manifest.loop)
    yield* report(options, design, image, ending, sampler, (performance.now() - started) / 1000)
    yield* writeTrace(ending)
    const { outcome } = ending
    if (options.save !== undefined) yield* keep(options.save, ending, source, note)
    if ("_tag" in outcome) return yield* outcome
    if (outcome.kind === "save") return 0
    if (options.verbose && outcome.message !== "") terminal.note(`lguest64: power off: ${outcome.message}`)
    return outcome.status
  })
