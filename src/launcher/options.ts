import { Command, CommanderError, InvalidArgumentError, Option } from "commander"
import * as Effect from "effect/Effect"
import { MOST_DISKS } from "../devices/index.ts"
import { LOG_CATEGORIES, type LogCategory } from "../host/index.ts"
import { CMDLINE_LONGEST } from "../machine/load.ts"
import type { BlockSpec } from "./blockFile.ts"
import { UsageError } from "./errors.ts"
import { addDesignsCommand, type DesignsRequest } from "./designs/command.ts"
import { addJourneyCommand, type JourneyOptions } from "./journey/command.ts"
import { addReportCommand, type ReportOptions } from "./report/command.ts"
import { type NetSpec, parseNet } from "./net.ts"
import { parseCpus, parsePins, type SmpOptions, smpOptions } from "./smp.ts"

/* The command line. Nothing is opened or started here: parsing gives a value, or a UsageError. */

export type Arch = "i386" | "x86_64"

export interface RunOptions {
  /** A kernel image; undefined: puppy's, which comes with the package. */
  readonly kernel: string | undefined
  readonly arch: Arch | undefined
  readonly memoryBytes: number
  readonly initrd: string | undefined
  readonly cmdline: string
  readonly native: boolean
  /** A design's name or file; undefined: its architecture's default. */
  readonly design: string | undefined
  /** i386 under its module: page tables of three levels. */
  readonly pae: boolean
  /** A processor that carries a load out before it checks who loads (docs/late-checks.md). */
  readonly lateChecks: boolean
  readonly deterministic: boolean
  readonly seed: number
  readonly maxInstructions: number
  readonly stats: boolean
  readonly statsJson: string | undefined
  readonly trace: TraceSpec | undefined
  /** Port on which the guest waits for gdb; 0: any that is free. */
  readonly gdb: number | undefined
  readonly verbose: boolean
  readonly log: ReadonlySet<LogCategory>
  readonly logFile: string | undefined
  readonly blocks: ReadonlyArray<BlockSpec>
  readonly net: NetSpec | undefined
  readonly smp: SmpOptions
  readonly save: SaveSpec | undefined
  readonly restore: RestoreSpec | undefined
}

/** `--save FILE --save-at N`. */
export interface SaveSpec {
  readonly file: string
  /** Instructions, as --max-instructions counts them. */
  readonly at: number
}

/** `--trace FILE --trace-limit SIZE`. */
export interface TraceSpec {
  readonly file: string
  /** The most bytes that it may have. */
  readonly limit: number
}

/** `--restore FILE`. */
export interface RestoreSpec {
  readonly file: string
  /** Which options are on the command line too, by their names without dashes; "KERNEL" if there is one. */
  readonly given: ReadonlySet<string>
}

/** `lguest64 up`: the guests are in a file. */
export interface UpOptions {
  readonly file: string
  readonly deterministic: boolean
  readonly seed: number
  readonly maxInstructions: number
  readonly verbose: boolean
}

/** What was asked for: a run, several guests, a report of runs, something about designs, or text to print. */
export type Request =
  | { readonly kind: "run"; readonly options: RunOptions }
  | { readonly kind: "up"; readonly options: UpOptions }
  | { readonly kind: "report"; readonly options: ReportOptions }
  | { readonly kind: "journey"; readonly options: JourneyOptions }
  | { readonly kind: "designs"; readonly request: DesignsRequest }
  | { readonly kind: "text"; readonly text: string }

const MIB = 2 ** 20
/** Less than this no kernel of ours fits in; more, and PCI devices lie in the way (0xF0000000). */
export const SMALLEST_MEMORY = 4 * MIB
export const LARGEST_MEMORY = 3072 * MIB
const UNITS: Readonly<Record<string, number>> = { K: 2 ** 10, M: MIB, G: 2 ** 30 }

const describeBytes = (bytes: number): string =>
  bytes >= 2 ** 30 && bytes % 2 ** 30 === 0
    ? `${bytes / 2 ** 30}G`
    : bytes >= MIB
      ? `${Math.floor(bytes / MIB)}M`
      : `${Math.floor(bytes / 1024)}K`

/** "64M", "65536K", "1G"; a number alone is in MiB. Rounded down to whole pages. */
export const parseMemory = (text: string): number => {
  const [, digits, unit] = /^(\d{1,15})([KMG])?i?B?$/i.exec(text) ?? []
  if (digits === undefined) throw new InvalidArgumentError("It is a number with K, M or G, such as 64M.")
  const bytes = Math.floor((Number(digits) * (UNITS[unit?.toUpperCase() ?? "M"] ?? MIB)) / 4096) * 4096
  if (bytes < SMALLEST_MEMORY || bytes > LARGEST_MEMORY)
    throw new InvalidArgumentError(
      `A guest has from ${describeBytes(SMALLEST_MEMORY)} to ${describeBytes(LARGEST_MEMORY)} of memory.`,
    )
  return bytes
}

/** A count: digits, perhaps with K, M or G for thousands, millions and milliards. */
export const parseCount = (text: string): number => {
  const [, digits, unit] = /^(\d{1,15})([KMG])?$/i.exec(text) ?? []
  const count = Number(digits) * { "": 1, K: 1e3, M: 1e6, G: 1e9 }[(unit ?? "").toUpperCase() as "" | "K" | "M" | "G"]
  if (!Number.isSafeInteger(count) || count === 0)
    throw new InvalidArgumentError("It is a number from 1, perhaps with K, M or G.")
  return count
}

export const DEFAULT_TRACE = "64M"
const SMALLEST_TRACE = 2 ** 16
const LARGEST_TRACE = 2 ** 28

/** "64M", "100000": bytes, and K, M, G as for memory. */
export const parseTraceLimit = (text: string): number => {
  const [, digits, unit] = /^(\d{1,12})([KMG])?i?B?$/i.exec(text) ?? []
  const bytes = Number(digits) * (unit === undefined ? 1 : UNITS[unit.toUpperCase()]!)
  if (!(bytes >= SMALLEST_TRACE && bytes <= LARGEST_TRACE))
    throw new InvalidArgumentError("It is a number of bytes from 64K to 256M.")
  return bytes
}

const GDB_PORT = 1234

export const parsePort = (text: string): number => {
  if (!/^\d{1,5}$/.test(text) || Number(text) > 0xffff) throw new InvalidArgumentError("It is a port from 0 to 65535.")
  return Number(text)
}

export const parseSeed = (text: string): number => {
  if (!/^\d{1,10}$/.test(text) || Number(text) > 0xffff_ffff)
    throw new InvalidArgumentError("It is a number from 0 to 4294967295.")
  return Number(text)
}

/** One more `--block FILE` or `--block FILE,ro`. */
export const parseBlock = (text: string, before: ReadonlyArray<BlockSpec> = []): ReadonlyArray<BlockSpec> => {
  const readOnly = text.endsWith(",ro")
  const file = readOnly ? text.slice(0, -3) : text
  if (file === "") throw new InvalidArgumentError("It is FILE or FILE,ro.")
  if (before.length === MOST_DISKS) throw new InvalidArgumentError(`A guest has ${MOST_DISKS} disks at most.`)
  return [...before, { file, readOnly }]
}

const parseNetOption = (text: string, before: NetSpec | undefined): NetSpec => {
  if (before !== undefined) throw new InvalidArgumentError("A guest has one network device.")
  const spec = parseNet(text)
  if (typeof spec === "string") throw new InvalidArgumentError(`${spec}.`)
  return spec
}

export const parseCategories = (text: string): ReadonlySet<LogCategory> =>
  new Set(
    text.split(",").map((name) => {
      const category = LOG_CATEGORIES.find((known) => known === name)
      if (category === undefined) throw new InvalidArgumentError(`Events are ${LOG_CATEGORIES.join(", ")}.`)
      return category
    }),
  )

/** Also where it is the image that turns out to be for x86_64. */
export const PAE_IS_I386 = "--pae is for i386: page tables of x86_64 have four levels"

/** Likewise: the hypercalls of Linux's lguest have no way to name a second one. */
export const ONE_VCPU_IS_I386 =
  "--smp is for x86_64 guests, and with --native: lguest's ABI for i386 knows one virtual CPU"

const NOTHING_LOGGED: ReadonlySet<LogCategory> = new Set()
const DEFAULT_MEMORY = "64M"

/** What commander hands over, by its own names. */
interface Parsed {
  readonly arch?: Arch
  readonly mem: number
  readonly initrd?: string
  readonly append: string
  readonly native?: true
  readonly design?: string
  readonly pae?: true
  readonly lateChecks?: true
  readonly deterministic?: true
  readonly seed?: number
  readonly maxInstructions?: number
  readonly stats?: true
  readonly statsJson?: string
  readonly trace?: string
  readonly traceLimit?: number
  readonly gdb?: number | true
  readonly verbose?: true
  readonly d?: ReadonlySet<LogCategory>
  readonly D?: string
  readonly block?: ReadonlyArray<BlockSpec>
  readonly net?: NetSpec
  readonly smp?: number
  readonly pcpus?: number
  readonly pin?: ReadonlyMap<number, number>
  readonly save?: string
  readonly saveAt?: number
  readonly restore?: string
}

const saveOf = ({ save, saveAt }: Parsed): SaveSpec | undefined => {
  if (save !== undefined && saveAt !== undefined) return { file: save, at: saveAt }
  if (save !== undefined) throw new InvalidArgumentError("--save needs --save-at N: after how many instructions")
  if (saveAt !== undefined) throw new InvalidArgumentError("--save-at needs --save FILE: where to")
  return undefined
}

const traceOf = ({ trace, traceLimit }: Parsed): TraceSpec | undefined => {
  if (trace !== undefined) return { file: trace, limit: traceLimit ?? parseTraceLimit(DEFAULT_TRACE) }
  if (traceLimit !== undefined) throw new InvalidArgumentError("--trace-limit needs --trace FILE: what it bounds")
  return undefined
}

const restoreOf = ({ restore }: Parsed, kernel: string | undefined, command: Command): RestoreSpec | undefined => {
  if (restore === undefined) return undefined
  const names = command.options.filter((o) => command.getOptionValueSource(o.attributeName()) === "cli")
  const given = names.map((option) => option.name())
  return { file: restore, given: new Set(kernel === undefined ? given : ["KERNEL", ...given]) }
}

/** Throws what commander shows as a mistake on the command line. */
const smpOf = ({ smp, pcpus, pin }: Parsed): SmpOptions => {
  const options = smpOptions(smp, pcpus, pin)
  if (typeof options === "string") throw new InvalidArgumentError(options)
  return options
}

interface ParsedUp {
  readonly deterministic?: true
  readonly seed?: number
  readonly maxInstructions?: number
  readonly verbose?: true
}

const HELP_AFTER = `
On a terminal Ctrl-A x ends the run and Ctrl-A h lists the keys. From a pipe the input is typed at the guest's console:
  printf 'ls /\\npoweroff\\n' | lguest64 run --arch i386

Exit status: the guest's own at power-off; 64 wrong usage; 65 bad image; 66 missing file; 70 guest killed;
124 instruction limit.`

const HELP_AFTER_UP = `
Each line of a guest's begins with its name. On a terminal Ctrl-A n types at the next guest and Ctrl-A x ends the run. From
a pipe a line "a:ls" is typed at guest a.

Exit status: the first of the guests' own, in the file's order, that is not 0; else as lguest64 run; 78 wrong FILE.`

const program = (
  version: string,
  accept: (options: RunOptions) => void,
  acceptUp: (options: UpOptions) => void,
  acceptReport: (options: ReportOptions) => void,
  acceptJourney: (options: JourneyOptions) => void,
  acceptDesigns: (request: DesignsRequest) => void,
  print: (text: string) => void,
): Command => {
  const root = new Command("lguest64")
    .description("A paravirtual x86 laboratory: lguest guests on a simulated PC")
    .version(version)
    .exitOverride()
    .configureOutput({ writeOut: print, writeErr: () => undefined })
  root
    .command("run")
    .description("run a guest under its architecture's module, or natively")
    .argument("[KERNEL]", "ELF image of a kernel (default: puppy, which comes with lguest64)")
    .addOption(
      new Option("--arch <ARCH>", "architecture (default: the image's own, else x86_64)").choices(["i386", "x86_64"]),
    )
    .addOption(
      new Option("--mem <SIZE>", "the guest's memory, with K, M or G (a number alone: MiB)")
        .argParser(parseMemory)
        .default(parseMemory(DEFAULT_MEMORY), DEFAULT_MEMORY),
    )
    .option("--initrd <FILE>", "initial ramdisk, a newc cpio archive (default with puppy: its programs)")
    .option("--append <CMDLINE>", `the kernel's command line, ${CMDLINE_LONGEST} bytes at most`, "")
    .option("--native", "no hypervisor: the kernel has the simulated PC for itself")
    .option("--design <DESIGN>", "build the host in this design, a name or a file (see lguest64 designs list)")
    .option("--pae", "i386: host and guest have page tables of three levels (KERNEL must be built for them)")
    .option("--late-checks", "a processor that loads before it checks, as Meltdown wants it (docs/late-checks.md)")
    .option("--block <FILE>", `a disk, up to ${MOST_DISKS} of them; FILE,ro is only read`, parseBlock)
    .option("--net <SPEC>", "a network device: hub=NAME,pcap=FILE,mac=ADDRESS, any of them", parseNetOption)
    .option("--deterministic", "the same input gives the same run, event for event")
    .option("--seed <N>", "the run's seed; implies --deterministic", parseSeed)
    .option("--max-instructions <N>", "stop, with status 124, after N instructions", parseCount)
    .option("--stats", "print a table of what happened, at the end, to standard error")
    .option("--stats-json <FILE>", "write the same as JSON (docs/stats.md)")
    .option("--trace <FILE>", "write what happened when, for Perfetto or chrome://tracing (docs/trace.md)")
    .option(
      "--trace-limit <SIZE>",
      `bytes of that file at most, with K, M or G (default ${DEFAULT_TRACE})`,
      parseTraceLimit,
    )
    .option("--smp <N>", "virtual CPUs, a thread for each (default: one, in the launcher's own thread)", parseCpus)
    .option("--pcpus <P>", "processors of the host on which they are scheduled (default: as many)", parseCpus)
    .option("--pin <LIST>", "virtual CPUs that run on one processor only, such as 0:0,1:1", parsePins)
    .option(
      "--gdb [PORT]",
      `do not start before gdb says so; PORT on this computer (default ${GDB_PORT}; 0: a free one) awaits it`,
      parsePort,
    )
    .option("--save <FILE>", "end the run with a snapshot of the machine (docs/snapshots.md)")
    .option("--save-at <N>", "after N instructions", parseCount)
    .option("--restore <FILE>", "go on where a snapshot was made, with its machine's options")
    .option("--verbose", "say on standard error what is started")
    .option("-d <EVENTS>", `log events: any of ${LOG_CATEGORIES.join(",")}`, parseCategories)
    .option("-D <FILE>", "log to FILE and not to standard error")
    .addHelpText("after", HELP_AFTER)
    .allowExcessArguments(false)
    .action((kernel: string | undefined, o: Parsed, command: Command) =>
      accept({
        kernel,
        arch: o.arch,
        memoryBytes: o.mem,
        initrd: o.initrd,
        cmdline: o.append,
        native: o.native === true,
        design: o.design,
        pae: o.pae === true,
        lateChecks: o.lateChecks === true,
        deterministic: o.deterministic === true || o.seed !== undefined,
        seed: o.seed ?? 0,
        maxInstructions: o.maxInstructions ?? Infinity,
        stats: o.stats === true,
        statsJson: o.statsJson,
        trace: traceOf(o),
        gdb: o.gdb === true ? GDB_PORT : o.gdb,
        verbose: o.verbose === true,
        log: o.d ?? NOTHING_LOGGED,
        logFile: o.D,
        blocks: o.block ?? [],
        net: o.net,
        smp: smpOf(o),
        save: saveOf(o),
        restore: restoreOf(o, kernel, command),
      }),
    )
  root
    .command("up")
    .description("run the guests that a file names, all at once (docs/up.md)")
    .argument("<FILE>", "YAML file with the guests")
    .option("--deterministic", "the same input gives the same run, event for event")
    .option("--seed <N>", "the run's seed; implies --deterministic", parseSeed)
    .option("--max-instructions <N>", "stop, with status 124, after N instructions of all guests", parseCount)
    .option("--verbose", "say on standard error what is started")
    .addHelpText("after", HELP_AFTER_UP)
    .allowExcessArguments(false)
    .action((file: string, o: ParsedUp) =>
      acceptUp({
        file,
        deterministic: o.deterministic === true || o.seed !== undefined,
        seed: o.seed ?? 0,
        maxInstructions: o.maxInstructions ?? Infinity,
        verbose: o.verbose === true,
      }),
    )
  addReportCommand(root, acceptReport)
  addJourneyCommand(root, acceptJourney)
  addDesignsCommand(root, acceptDesigns)
  return root
}

/** Commander's message without its own "error: " and line ends: one line. */
const oneLine = (message: string): string =>
  message
    .replace(/^error: /, "")
    .replace(/\s*\n\s*/g, " ")
    .trim()

/** What `lguest64 run` without anything else would be. */
export const defaultOptions = (): RunOptions => {
  const request = Effect.runSync(parse("", ["run"]))
  if (request.kind !== "run") throw new Error("`run` alone is a run")
  return request.options
}

/** What cannot be meant, whatever the image is. */
export const problemOf = (options: RunOptions): string | undefined => {
  const { native, pae, smp, save } = options
  const { length } = new TextEncoder().encode(options.cmdline)
  if (length > CMDLINE_LONGEST) return `--append has ${length} bytes; ${CMDLINE_LONGEST} is the longest`
  const hypervisors = [...options.log].filter((category) => category !== "int")
  if (native && hypervisors.length > 0)
    return `-d ${hypervisors.join(",")} logs what a hypervisor does, and --native has none`
  if (options.logFile !== undefined && options.log.size === 0)
    return "-D names a file for the log, and without -d there is none"
  if (options.trace !== undefined && options.gdb !== undefined)
    return "--trace tells of a run from its start to its end, and gdb goes back and forth in it"
  if (native && options.design !== undefined) return "--design is of a host and its module, and --native has none"
  if (pae && native) return "--pae is a choice of the host's, and --native has none"
  if (native && smp.processors !== smp.vcpus)
    return "--pcpus and --pin are for a host's scheduler, and --native has none"
  if (pae && options.arch === "x86_64") return PAE_IS_I386
  // Puppy, which would be taken then.
  if (pae && options.kernel === undefined)
    return "--pae needs a KERNEL built for it: puppy's page tables have two levels"
  if (save !== undefined && smp.given && !native && !options.deterministic)
    return "--save needs --deterministic where there is --smp: a snapshot is of a machine in one thread"
  if (save !== undefined && options.gdb !== undefined)
    return "--save-at is for a run that no debugger steers, and there is --gdb"
  return undefined
}

/** Parses the arguments that follow the program's name. */
export const parse = (version: string, args: ReadonlyArray<string>): Effect.Effect<Request, UsageError> =>
  Effect.suspend((): Effect.Effect<Request, UsageError> => {
    let options: RunOptions | undefined
    let up: UpOptions | undefined
    let report: ReportOptions | undefined
    let journey: JourneyOptions | undefined
    let designs: DesignsRequest | undefined
    let text = ""
    const command = program(
      version,
      (accepted) => (options = accepted),
      (accepted) => (up = accepted),
      (accepted) => (report = accepted),
      (accepted) => (journey = accepted),
      (accepted) => (designs = accepted),
      (printed) => (text += printed),
    )
    try {
      command.parse(args, { from: "user" })
    } catch (thrown) {
      if (!(thrown instanceof CommanderError)) throw thrown
      if (thrown.exitCode === 0) return Effect.succeed({ kind: "text", text })
      // A command line without a command: commander would print all of its help as the error.
      const known = command.commands.find((c) => c.name() === args[0])
      const problem =
        thrown.code !== "commander.help"
          ? thrown.message
          : known === undefined
            ? "there is no command; did you mean `lguest64 run`?"
            : `${known.name()} is one of ${known.commands.map((c) => `\`${known.name()} ${c.name()}\``).join(", ")}`
      return Effect.fail(new UsageError({ problem: oneLine(problem), command: known?.name() }))
    }
    if (up !== undefined) return Effect.succeed({ kind: "up", options: up })
    if (report !== undefined) return Effect.succeed({ kind: "report", options: report })
    if (journey !== undefined) return Effect.succeed({ kind: "journey", options: journey })
    if (designs !== undefined) return Effect.succeed({ kind: "designs", request: designs })
    if (options === undefined) return Effect.fail(new UsageError({ problem: "there is no command" }))
    // What a snapshot says has still to be added.
    const problem = options.restore === undefined ? problemOf(options) : undefined
    if (problem !== undefined) return Effect.fail(new UsageError({ problem }))
    return Effect.succeed({ kind: "run", options })
  })
