import { type Command, InvalidArgumentError, Option } from "commander"
import type { Arch } from "../../design/dimensions.ts"
import type { AttackOptions } from "../attack/index.ts"
import { parseSeed } from "../options.ts"
import { parseWorkloads, type Workload, WORKLOADS } from "./workloads.ts"

/* The command line of `lguest64 designs`. */

export interface Shard {
  /** From 1. */
  readonly index: number
  readonly of: number
}

/** How a result is told. */
export interface ResultOptions {
  readonly json: boolean
  /** Where a page with plots goes. */
  readonly html: string | undefined
}

export interface BenchOptions extends ResultOptions {
  /** None: all. */
  readonly names: ReadonlyArray<string>
  readonly workloads: ReadonlyArray<Workload> | undefined
  readonly arch: Arch | undefined
  readonly seed: number
  /** Times the usual amount of work. */
  readonly scale: number
  readonly shard: Shard | undefined
}

export type DesignsRequest =
  | { readonly do: "list" }
  | { readonly do: "show"; readonly name: string }
  | { readonly do: "check"; readonly designs: ReadonlyArray<string> }
  | { readonly do: "bench"; readonly options: BenchOptions }
  | { readonly do: "attack"; readonly options: AttackOptions }
  | { readonly do: "merge"; readonly files: ReadonlyArray<string>; readonly options: ResultOptions }

export const parseShard = (text: string): Shard => {
  const [, index, of] = /^(\d{1,4})\/(\d{1,4})$/.exec(text) ?? []
  if (index === undefined || Number(index) < 1 || Number(index) > Number(of))
    throw new InvalidArgumentError("It is i/n: part i of n, with i from 1 to n.")
  return { index: Number(index), of: Number(of) }
}

const parseScale = (text: string): number => {
  const scale = Number(text)
  if (!/^\d{1,4}(\.\d{1,4})?$/.test(text) || scale < 0.001 || scale > 1000)
    throw new InvalidArgumentError("It is a number from 0.001 to 1000.")
  return scale
}

const BENCH_HELP = `
Workloads: ${WORKLOADS.map(({ name }) => name).join(", ")}.
The same command gives the same numbers. A design that cannot run, or whose guest dies, is a row with the reason. To split a sweep
over n computers, give each the same arguments, --json and --shard 1/n to n/n, and join the files with lguest64 designs merge.`

const CHECK_HELP = `
Prints a line for everything that is wrong: the file's form, rules that its answers break, names of attacks, designs, workloads and
counts that do not exist.

Exit status: 0 all is right; 78 something is not.`

const ATTACK_HELP = `
Attacks are guest programs (guests/attacks), kernels or their processes. docs/attacks.md says how a verdict is reached.

Exit status: 0 every design is what it expects of itself; 1 one is not.`

const withResult = (command: Command): Command =>
  command
    .option("--json", "print JSON and not tables (docs/designs.md)")
    .option("--html <FILE>", "also write a page with plots")

interface ParsedResult {
  readonly json?: true
  readonly html?: string
}

interface ParsedAttack {
  readonly attack?: ReadonlyArray<string>
  readonly arch?: Arch
  readonly json?: true
  readonly seed: number
}

interface ParsedBench extends ParsedResult {
  readonly workload?: ReadonlyArray<Workload>
  readonly arch?: Arch
  readonly seed: number
  readonly scale: number
  readonly shard?: Shard
}

const resultOf = ({ json, html }: ParsedResult): ResultOptions => ({ json: json === true, html })

export const addDesignsCommand = (root: Command, accept: (request: DesignsRequest) => void): void => {
  const designs = root
    .command("designs")
    .description(
      "the designs that the argument of 2007 was about: read, check, measure and compare them (docs/designs.md)",
    )
  designs
    .command("list")
    .description("all designs, and in what they differ from their architecture's default")
    .allowExcessArguments(false)
    .action(() => accept({ do: "list" }))
  designs
    .command("show")
    .description("a design's answers, the argument for and against it, and what it expects of itself")
    .argument("<DESIGN>", "a name, or a file")
    .allowExcessArguments(false)
    .action((name: string) => accept({ do: "show", name }))
  designs
    .command("check")
    .description("say whether designs can be")
    .argument("<DESIGNS...>", "files, or names")
    .addHelpText("after", CHECK_HELP)
    .action((names: ReadonlyArray<string>) => accept({ do: "check", designs: names }))
  withResult(
    designs
      .command("bench")
      .description("run the same guest under each design, and count")
      .argument("[DESIGNS...]", "names, or files; ratios are to the first of each architecture (default: all)")
      .option("--workload <LIST>", "some of the workloads, such as getpid-loop,mixed (default: all)", parseWorkloads)
      .addOption(new Option("--arch <ARCH>", "designs of this architecture only").choices(["i386", "x86_64"]))
      .option("--seed <N>", "the runs' seed", parseSeed, 0)
      .option("--scale <X>", "times the usual amount of work", parseScale, 1)
      .option("--shard <i/n>", "only part i of n of the pairs of design and workload", parseShard)
      .addHelpText("after", BENCH_HELP),
  ).action((names: ReadonlyArray<string>, o: ParsedBench) =>
    accept({
      do: "bench",
      options: {
        ...resultOf(o),
        names,
        workloads: o.workload,
        arch: o.arch,
        seed: o.seed,
        scale: o.scale,
        shard: o.shard,
      },
    }),
  )
  designs
    .command("attack")
    .description("run the attack suite against each design: a matrix of what is withstood and what is not")
    .argument("[DESIGNS...]", "names, or files (default: all)")
    .option("--attack <LIST>", "some of the attacks, such as forge-pda,stale-tlb (default: all)", (list: string) =>
      list.split(",").map((name) => name.trim()),
    )
    .addOption(new Option("--arch <ARCH>", "designs of this architecture only").choices(["i386", "x86_64"]))
    .option("--seed <N>", "of the secrets, and of the turns of several processors", parseSeed, 0)
    .option("--json", "print JSON and not a matrix")
    .addHelpText("after", ATTACK_HELP)
    .action((names: ReadonlyArray<string>, o: ParsedAttack) =>
      accept({
        do: "attack",
        options: { names, attacks: o.attack, arch: o.arch, json: o.json === true, seed: o.seed },
      }),
    )
  withResult(
    designs
      .command("merge")
      .description("join what the shards of one sweep wrote with --json")
      .argument("<FILES...>", "JSON files of designs bench --shard"),
  ).action((files: ReadonlyArray<string>, o: ParsedResult) => accept({ do: "merge", files, options: resultOf(o) }))
}
