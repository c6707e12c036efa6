import { createHash } from "node:crypto"
import { execFileSync } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import prettier from "prettier"

/*
 * `npm run argument`: measures and attacks what docs/argument.md talks about, and writes its tables anew. A table stands between two
 * comments. The first says what it shows; the second has a digest of the table, by which a test knows that nobody typed it.
 *
 *   <!-- bench designs=lguest64,proposal workloads=getpid-loop,mixed counts=cr3-loads,tlb-misses -->
 *   <!-- attack designs=lguest64,proposal attacks=write-switcher,meltdown -->
 *   …
 *   <!-- end 0123456789abcdef -->
 */

const root = fileURLToPath(new URL("..", import.meta.url))
export const PAGE = join(root, "docs/argument.md")
const LAUNCHER = join(root, "dist/launcher/main.js")

const BLOCK = /<!-- (bench|attack) ([^>]*?) -->\n([\s\S]*?)<!-- end ?([0-9a-f]*) ?-->/g

export interface Block {
  readonly kind: "bench" | "attack"
  readonly designs: ReadonlyArray<string>
  /** Of a bench. */
  readonly workloads: ReadonlyArray<string>
  readonly counts: ReadonlyArray<string>
  /** Of attacks. */
  readonly attacks: ReadonlyArray<string>
  readonly table: string
  readonly digest: string
}

const parse = ([, kind, words, table, digest]: ReadonlyArray<string>): Block => {
  const lists = new Map(words!.split(/\s+/).map((word) => word.split("=") as [string, string]))
  const list = (key: string) => (lists.get(key) ?? "").split(",").filter((name) => name !== "")
  return {
    kind: kind as Block["kind"],
    designs: list("designs"),
    workloads: list("workloads"),
    counts: list("counts"),
    attacks: list("attacks"),
    table: table!,
    digest: digest!,
  }
}

export const blocksOf = (page: string): ReadonlyArray<Block> => [...page.matchAll(BLOCK)].map(parse)

export const digestOf = (table: string): string => createHash("sha256").update(table.trim()).digest("hex").slice(0, 16)

const launcher = (args: ReadonlyArray<string>): unknown => {
  console.log(`lguest64 ${args.join(" ")}`)
  try {
    const text = execFileSync(process.execPath, [LAUNCHER, ...args], { encoding: "utf8", maxBuffer: 2 ** 28 })
    return JSON.parse(text)
  } catch (thrown) {
    // A design that is not what it expects of itself is status 1, and has been told all the same.
    const { stdout } = thrown as { stdout?: string }
    if (stdout === undefined || stdout === "") throw thrown
    return JSON.parse(stdout)
  }
}

interface BenchRow {
  readonly design: string
  readonly workload: string
  readonly outcome: "measured" | "refused" | "failed"
  readonly reason?: string
  readonly counts?: Readonly<Record<string, number>>
}

interface Outcome {
  readonly kind: "withstood" | "breached" | "killed" | "not-applicable"
  readonly reason?: string
  readonly gains?: ReadonlyArray<string>
  readonly leaks?: ReadonlyArray<string>
}

interface AttackRow {
  readonly design: string
  readonly attacks: ReadonlyArray<{ readonly attack: string; readonly outcome: Outcome }>
}

/** 1234567 as 1.23 M. */
export const short = (n: number): string => {
  for (const [unit, size] of [
    ["G", 1e9],
    ["M", 1e6],
    ["k", 1e3],
  ] as const)
    if (Math.abs(n) >= size) return `${Number((n / size).toPrecision(3))} ${unit}`
  return String(Number(n.toPrecision(3)))
}

const ratio = (n: number, to: number): string => (to === 0 || n === to ? "" : ` (×${Number((n / to).toPrecision(3))})`)

const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const line = (cells: ReadonlyArray<string>) => `| ${cells.join(" | ")} |`
  return [line(head), line(head.map((_, i) => (i === 0 ? "---" : "---:"))), ...rows.map(line)].join("\n")
}

/** The rows of a bench's block, ratios to its first design. */
export const benchTable = (block: Block, rows: ReadonlyArray<BenchRow>): string => {
  const find = (design: string, workload: string) =>
    rows.find((row) => row.design === design && row.workload === workload)
  const several = block.workloads.length > 1
  const command = `lguest64 designs bench ${block.designs.join(" ")} --workload ${block.workloads.join(",")}`
  const lines = block.workloads.flatMap((workload) => {
    const first = find(block.designs[0]!, workload)
    return block.designs.map((design) => {
      const row = find(design, workload)
      const cells = block.counts.map((count) => {
        const n = row?.counts?.[count]
        if (n === undefined) return row?.outcome === "measured" ? "0" : (row?.reason ?? "not measured")
        return short(n) + (design === block.designs[0] ? "" : ratio(n, first?.counts?.[count] ?? 0))
      })
      return [...(several ? [workload] : []), `\`${design}\``, ...cells]
    })
  })
  return `${table([...(several ? ["workload"] : []), "design", ...block.counts], lines)}\n\n\`${command}\`\n`
}

const WORDS: Record<Outcome["kind"], string> = {
  withstood: "withstood",
  breached: "**breached**",
  killed: "guest killed",
  "not-applicable": "",
}

/** The rows of an attack's block: an attack in each line, a design in each column. */
export const attackTable = (block: Block, rows: ReadonlyArray<AttackRow>): string => {
  const lines = block.attacks.map((attack) => [
    attack,
    ...block.designs.map((design) => {
      const cell = rows.find((row) => row.design === design)?.attacks.find((one) => one.attack === attack)
      return cell === undefined ? "" : WORDS[cell.outcome.kind]
    }),
  ])
  const command = `lguest64 designs attack ${block.designs.join(" ")} --attack ${block.attacks.join(",")}`
  return `${table(["attack", ...block.designs.map((design) => `\`${design}\``)], lines)}\n\n\`${command}\`\n`
}

const union = (lists: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<string> => [...new Set(lists.flat())]

/** What one block shows, measured now. */
export const measure = (blocks: ReadonlyArray<Block>): ((block: Block) => string) => {
  const benches = blocks.filter(({ kind }) => kind === "bench")
  const attacks = blocks.filter(({ kind }) => kind === "attack")
  const benched = union(benches.map(({ workloads }) => workloads)).flatMap((workload) => {
    const designs = union(benches.filter((b) => b.workloads.includes(workload)).map((b) => b.designs))
    const result = launcher(["designs", "bench", ...designs, "--workload", workload, "--json"])
    return (result as { readonly rows: ReadonlyArray<BenchRow> }).rows
  })
  const struck = attacks.flatMap((block) => {
    const names = ["--attack", block.attacks.join(","), "--json"]
    return (launcher(["designs", "attack", ...block.designs, ...names]) as { designs: ReadonlyArray<AttackRow> })
      .designs
  })
  const attacked = union(struck.map(({ design }) => [design])).map((design) => ({
    design,
    attacks: struck.filter((row) => row.design === design).flatMap((row) => row.attacks),
  }))
  return (block) => (block.kind === "bench" ? benchTable(block, benched) : attackTable(block, attacked))
}

/** The page with the tables that `render` gives. */
export const rewrite = async (page: string, render: (block: Block) => string): Promise<string> => {
  const filled = page.replace(BLOCK, (whole, kind: string, words: string, ...rest: ReadonlyArray<string>) => {
    const block = parse([whole, kind, words, rest[0]!, rest[1]!])
    return `<!-- ${kind} ${words} -->\n\n${render(block)}\n<!-- end  -->`
  })
  // The digest is of the table as it is formatted.
  const options = { ...(await prettier.resolveConfig(PAGE)), parser: "markdown" }
  const formatted = (await prettier.format(filled, options)).replaceAll("<!-- end  -->", "<!-- end -->")
  return formatted.replace(
    /(<!-- (?:bench|attack) [^>]*? -->\n)([\s\S]*?)<!-- end [^>]*-->/g,
    (_, start: string, body: string) => `${start}${body}<!-- end ${digestOf(body)} -->`,
  )
}

const main = async (): Promise<void> => {
  const page = readFileSync(PAGE, "utf8")
  writeFileSync(PAGE, await rewrite(page, measure(blocksOf(page))))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main()
