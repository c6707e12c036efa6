import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { afterAll, describe, expect, it } from "vitest"
import { bench } from "../../src/launcher/designs/bench.ts"
import type { BenchOptions } from "../../src/launcher/designs/command.ts"
import { COLUMNS, difference, isCount } from "../../src/launcher/designs/counts.ts"
import { join as joinShards } from "../../src/launcher/designs/merge.ts"
import { page } from "../../src/launcher/designs/page.ts"
import { Bench, toJson } from "../../src/launcher/designs/result.ts"
import { benchText } from "../../src/launcher/designs/table.ts"
import { parseWorkloads, WORKLOADS } from "../../src/launcher/designs/workloads.ts"
import { explain } from "../../src/launcher/errors.ts"
import { Files } from "../../src/launcher/files.ts"
import { lguest64 } from "./spawn.ts"

/* Designs with guests in them: bench, merge, and run --design. */

const folder = mkdtempSync(join(tmpdir(), "designs-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const OPTIONS: BenchOptions = {
  names: ["lguest64", "flag-hypercall", "lguest"],
  workloads: parseWorkloads("getpid-loop,smp"),
  arch: undefined,
  seed: 7,
  scale: 0.01,
  shard: undefined,
  json: true,
  html: undefined,
}
const quiet = { show: () => undefined, done: () => undefined }
const run = (options: Partial<BenchOptions> = {}): Promise<Bench> =>
  Effect.runPromise(Effect.provide(bench({ ...OPTIONS, ...options }, quiet), Files.layer))

const whole = run()

describe("bench", () => {
  it("counts what the workload did, and refuses what a design does not do", async () => {
    const { rows } = await whole
    expect(rows.map(({ design, workload, outcome }) => [design, workload, outcome])).toEqual([
      ["lguest64", "getpid-loop", "measured"],
      ["lguest64", "smp", "measured"],
      ["flag-hypercall", "getpid-loop", "measured"],
      ["flag-hypercall", "smp", "measured"],
      ["lguest", "getpid-loop", "measured"],
      ["lguest", "smp", "refused"],
    ])
    const [first] = rows
    if (first?.outcome !== "measured") throw new Error("it was not measured")
    // 200 calls of getpid, each of which comes to the host; and a program that is started.
    expect(first.counts["system-calls-reflected"]).toBeGreaterThan(200)
    expect(first.counts["system-calls-reflected"]).toBeLessThan(400)
    expect(first.counts["world-switches"]).toBeGreaterThan(first.counts["system-calls-reflected"]!)
    for (const { name } of COLUMNS) {
      expect(first.counts).toHaveProperty([name])
      expect(isCount(name)).toBe(true)
    }
    for (const name of Object.keys(first.counts)) expect(isCount(name), name).toBe(true)
  })

  it("gives the same bytes for the same command, and others for another seed", async () => {
    const again = await run()
    expect(toJson(again)).toBe(toJson(await whole))
    expect(Schema.decodeUnknownSync(Bench)(JSON.parse(toJson(again)))).toEqual(again)
    const other = await run({ names: ["lguest64"], workloads: parseWorkloads("smp"), seed: 8 })
    expect(other.rows[0]).not.toEqual((await whole).rows[1])
  })

  it("in shards becomes the whole", async () => {
    const shards = [
      { file: "2", bench: await run({ shard: { index: 2, of: 2 } }) },
      { file: "1", bench: await run({ shard: { index: 1, of: 2 } }) },
    ]
    expect(shards.map(({ bench: { rows } }) => rows.length)).toEqual([3, 3])
    const merged = joinShards(shards)
    expect(Result.isSuccess(merged) && toJson(merged.success)).toBe(toJson(await whole))

    const line = (some: typeof shards) => {
      const result = joinShards(some)
      return Result.isFailure(result) ? explain(result.failure).line : "joined"
    }
    const [a, b] = shards as [(typeof shards)[0], (typeof shards)[0]]
    expect(line([a])).toBe("2: 3 of 6 pairs of design and workload are in no file, such as lguest64 getpid-loop")
    expect(line([a, a, b])).toBe("joined")
    expect(line([a, { file: "b", bench: { ...b.bench, seed: 8 } }])).toBe("b: has another seed than 2")
    const images = { x86_64: { kernel: "0".repeat(64), initrd: "0".repeat(64) } }
    expect(line([a, { file: "b", bench: { ...b.bench, images } }])).toBe("b: has another guest images than 2")
    const rows = a.bench.rows.map((row) => ({ ...row, outcome: "failed" as const, reason: "made up" }))
    expect(line([a, { file: "b", bench: { ...a.bench, rows } }])).toMatch(/^b: has other counts for /)
  })

  it("is a table with ratios to the first, and a page that asks for nothing from elsewhere", async () => {
    const result = await whole
    const text = benchText(result)
    expect(text).toMatch(/^getpid-loop on x86_64: getpid-loop 200$/m)
    expect(text).toMatch(/^flag-hypercall +[\d.]+ k? *×[\d.]+/m)
    expect(text).toMatch(/^lguest: refused: it needs 2 virtual CPUs/m)
    const html = page({
      ...result,
      rows: [
        ...result.rows,
        { design: "lguest64", workload: "smp", outcome: "failed", reason: "<script>alert(1)</script>" },
      ],
    })
    expect(html).not.toContain("<script")
    expect(html).not.toMatch(/(?:src|href)=|url\(/)
    expect(html).toContain("Adams")
    expect(html).toContain("assumption: ")
  })

  it("says why a guest of a design did not come through, and goes on", async () => {
    // Files of which the kernel says that there are none: the shell's status is the guest's.
    const broken = { ...WORKLOADS[0]!, name: "broken", lines: () => ["cat /no/such/file"] }
    const { rows } = await run({ names: ["lguest64", "lguest"], workloads: [broken] })
    expect(rows).toMatchObject([
      { outcome: "failed", reason: expect.stringMatching(/^the workload ended with status 1/) },
      { outcome: "failed", reason: expect.stringMatching(/^the workload ended with status 1/) },
    ])
  })

  it("subtracts the boot, but not from the most that there was", () => {
    const totals = (n: number) => ({
      counts: { "world-switches": n, "host-instructions": 10 * n, "cr3-loads": 2 * n },
      shadowBytes: 4096 * n,
    })
    expect(difference(totals(5), totals(2))).toEqual({
      "world-switches": 3,
      "host-instructions": 30,
      "cr3-loads": 6,
      "shadow-bytes": 5 * 4096,
      "host-instructions-per-event": 10,
    })
    expect(difference(totals(2), totals(2))["host-instructions-per-event"]).toBe(0)
  })

  it("by the command line: JSON on standard output, joined again by merge", async () => {
    const args = ["designs", "bench", "lguest64", "--workload", "getpid-loop,page-bench", "--scale", "0.01", "--json"]
    const shards = await Promise.all(["1/2", "2/2"].map((shard) => lguest64([...args, "--shard", shard])))
    const names = shards.map(({ status, stdout, stderr }, i) => {
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" })
      const file = join(folder, `${i}.json`)
      writeFileSync(file, stdout)
      return file
    })
    const html = join(folder, "page.html")
    const merged = await lguest64(["designs", "merge", ...names, "--json", "--html", html])
    expect(merged).toMatchObject({ status: 0, stderr: "", stdout: (await lguest64(args)).stdout })
    expect(readFileSync(html, "utf8")).toMatch(/^<!doctype html>/)
    const cut = join(folder, "cut.json")
    writeFileSync(cut, readFileSync(names[0]!, "utf8").slice(0, -20))
    expect(await lguest64(["designs", "merge", cut])).toMatchObject({
      status: 65,
      stderr: `lguest64: ${cut}: is no JSON\n`,
    })
  })
})

describe("run --design", () => {
  it("boots, takes the design's architecture, and says so in its statistics", async () => {
    for (const [name, arch] of [
      ["flag-hypercall", "x86_64"],
      ["lguest-flag-hypercall", "i386"],
    ] as const) {
      const stats = join(folder, "stats.json")
      const result = await lguest64(
        ["run", "--design", name, "--seed", "1", "--stats-json", stats],
        "uname -m\npoweroff 5\n",
      )
      expect(result.status).toBe(5)
      expect(result.stdout).toContain(arch === "i386" ? "i386" : "x86_64")
      expect(JSON.parse(readFileSync(stats, "utf8"))).toMatchObject({ design: name, arch })
    }
  })

  it("is a key in a file of guests, too", async () => {
    const file = join(folder, "up.yaml")
    writeFileSync(file, `guests:\n  a: {design: lguest-flag-hypercall, script: "poweroff 3\\n"}\n`)
    expect(await lguest64(["up", file, "--deterministic"])).toMatchObject({ status: 3 })
    writeFileSync(file, "guests:\n  a:\n    design: vista\n")
    expect(await lguest64(["up", file])).toMatchObject({ status: 66 })
    writeFileSync(file, "guests:\n  a:\n    design: lguest\n    arch: x86_64\n")
    expect(await lguest64(["up", file])).toMatchObject({
      status: 78,
      stderr: expect.stringContaining(":3: guests.a.design"),
    })
  })

  it("goes on from a snapshot in the same design", async () => {
    const snapshot = join(folder, "snapshot")
    const stats = join(folder, "restored.json")
    const args = ["run", "--design", "flag-hypercall", "--seed", "1"]
    const saved = await lguest64(
      [...args, "--save", snapshot, "--save-at", "1200000"],
      "getpid-loop 3000\npoweroff 4\n",
    )
    expect(saved).toMatchObject({ status: 0, stderr: "" })
    const input = "getpid-loop 3000\npoweroff 4\n"
    expect(await lguest64(["run", "--restore", snapshot, "--stats-json", stats], input)).toMatchObject({ status: 4 })
    expect(JSON.parse(readFileSync(stats, "utf8"))).toMatchObject({ design: "flag-hypercall" })
    const other = await lguest64(["run", "--restore", snapshot, "--design", "task"])
    expect(other).toMatchObject({ status: 64, stderr: expect.stringContaining("its design is flag-hypercall") })
  })
})
