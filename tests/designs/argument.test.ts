import { execFileSync } from "node:child_process"
import { readFileSync, readdirSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "vitest"
import {
  attackTable,
  benchTable,
  blocksOf,
  type Block,
  digestOf,
  PAGE,
  rewrite,
  short,
} from "../../scripts/argument.ts"

/* docs/argument.md: its tables come from the machine, and say what it says now. */

const page = readFileSync(PAGE, "utf8")
const blocks = blocksOf(page)
const designs = new Set(
  readdirSync(new URL("../../designs", import.meta.url))
    .filter((name) => name.endsWith(".yaml"))
    .map((name) => name.replace(/\.yaml$/, "")),
)
const launcher = fileURLToPath(new URL("../../dist/launcher/main.js", import.meta.url))

const block = (words: Partial<Block>): Block => ({
  kind: "bench",
  designs: ["a", "b"],
  workloads: ["w"],
  counts: ["n"],
  attacks: ["x"],
  table: "",
  digest: "",
  ...words,
})

describe("the argument's page", () => {
  it("has tables of both kinds, of designs that there are", () => {
    expect(blocks.filter(({ kind }) => kind === "bench").length).toBeGreaterThan(8)
    expect(blocks.filter(({ kind }) => kind === "attack").length).toBeGreaterThan(5)
    for (const { designs: named } of blocks) for (const name of named) expect(designs).toContain(name)
  })

  it("has not one that was typed", () => {
    for (const { table, digest } of blocks) {
      expect(table).toContain("| ---")
      expect(digest, table).toBe(digestOf(table))
    }
  })

  it("says with its first table what the machine says", { timeout: 120_000 }, async () => {
    const [first] = blocks
    const args = ["designs", "bench", ...first!.designs, "--workload", first!.workloads.join(","), "--json"]
    const { rows } = JSON.parse(execFileSync(process.execPath, [launcher, ...args], { encoding: "utf8" })) as {
      readonly rows: Parameters<typeof benchTable>[1]
    }
    const render = (b: Block) => (b === undefined ? "" : benchTable(b, rows))
    const words = /<!-- bench [^>]*? -->/.exec(page)![0]
    const made = await rewrite(`${words}\n<!-- end 0 -->\n`, render)
    expect(blocksOf(made)[0]!.table.trim()).toBe(first!.table.trim())
  })
})

describe("a table", () => {
  it("of counts has ratios to its first design, and tells what could not be measured", () => {
    const rows = [
      { design: "a", workload: "w", outcome: "measured", counts: { n: 2000 } },
      { design: "b", workload: "w", outcome: "measured", counts: { n: 3000 } },
    ] as const
    expect(benchTable(block({}), rows)).toContain("| `b` | 3 k (×1.5) |")
    const refused = { design: "b", workload: "w", outcome: "refused", reason: "it has one" } as const
    expect(benchTable(block({}), [rows[0], refused])).toContain("| `b` | it has one |")
  })

  it("of attacks has a design in each column", () => {
    const cell = (kind: "withstood" | "breached") => [{ attack: "x", outcome: { kind } }]
    const rows = [
      { design: "a", attacks: cell("withstood") },
      { design: "b", attacks: cell("breached") },
    ]
    expect(attackTable(block({ kind: "attack" }), rows)).toContain("| x | withstood | **breached** |")
  })

  it("that is made again has another digest only if it says something else", async () => {
    const text = "# x\n\n<!-- bench designs=a,b workloads=w counts=n -->\n<!-- end 0 -->\n\ntail\n"
    const once = await rewrite(text, () => "| a |\n| --- |\n| 1 |\n")
    expect(blocksOf(once)[0]!.digest).toBe(digestOf(blocksOf(once)[0]!.table))
    expect(await rewrite(once, () => "| a |\n| --- |\n| 1 |\n")).toBe(once)
    expect(await rewrite(once, () => "| a |\n| --- |\n| 2 |\n")).not.toBe(once)
    expect(once).toContain("\ntail\n")
  })

  it("has short numbers", () => {
    expect([0, 12, 1234, 45_600_000, 7e9].map(short)).toEqual(["0", "12", "1.23 k", "45.6 M", "7 G"])
  })
})
