import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import fc from "fast-check"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { DIMENSIONS, LGUEST, LGUEST64 } from "../../src/design/dimensions.ts"
import { check } from "../../src/design/rules.ts"
import { COST_EVENTS, COST_TABLES } from "../../src/launcher/costs.ts"
import { problemsOf } from "../../src/launcher/designs/check.ts"
import { type DesignFile, loadDesign, loadDesigns, parseDesign } from "../../src/launcher/designs/file.ts"
import { differences, listText, showText } from "../../src/launcher/designs/print.ts"
import { align, paragraphs, wrap } from "../../src/launcher/designs/text.ts"
import { barText } from "../../src/launcher/designs/progress.ts"
import { explain } from "../../src/launcher/errors.ts"
import { Files } from "../../src/launcher/files.ts"
import { lguest64 } from "./spawn.ts"

/* Design files, and the commands that read, check and print them. What takes a guest is in designsRun.test.ts. */

const files = Effect.runSync(
  Effect.provide(
    Effect.gen(function* () {
      return yield* Files
    }),
    Files.layer,
  ),
)
const all = Effect.runSync(loadDesigns(files))
const named = (name: string): DesignFile => all.find((design) => design.name === name)!

const folder = mkdtempSync(join(tmpdir(), "designs-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe("the designs that come with the package", () => {
  it("are all that the thread asks for, the defaults first", () => {
    expect(all.map(({ name }) => name)).toEqual(
      expect.arrayContaining([
        ...["lguest64", "proposal", "as-written", "ring1-pda", "ring1-mapped", "one-space", "task", "known-address"],
        ...["host-moves", "same-selectors", "call-page", "interrupt-hypercall", "throw-away", "on-demand", "xen"],
        ...["flag-hypercall", "pvi", "plex86", "vmi", "mapped-one-space"],
        ...["lguest", "lguest-paging", "lguest-mapped", "lguest-open", "lguest-through-host"],
        ...["lguest-flag-hypercall", "lguest-rom", "lguest-on-demand"],
      ]),
    )
    expect(all[0]!.name).toBe("lguest64")
    expect(all.find(({ choices }) => choices.arch === "i386")!.name).toBe("lguest")
    expect(named("lguest64").choices).toEqual(LGUEST64)
    expect(named("lguest").choices).toEqual(LGUEST)
  })

  it.each(all.map((design) => [design.name, design] as const))("%s can be, and argues", async (_name, design) => {
    expect(check(design.choices)).toEqual([])
    expect(
      await Effect.runPromise(
        Effect.map(problemsOf(files, design), (problems) => problems.map((p) => explain(p).line)),
      ),
    ).toEqual([])
    expect(design.argument.length).toBeGreaterThan(400)
    expect(design.expects.own).toBeDefined()
    expect(design.expects.counts.length).toBeGreaterThanOrEqual(2)
    expect(design.title.length).toBeLessThan(60)
  })

  it("are no two the same", () => {
    const answers = all.map(({ choices }) => JSON.stringify(choices))
    expect(new Set(answers).size).toBe(all.length)
  })

  it("give each answer of each question at least once", () => {
    for (const { key, alternatives } of DIMENSIONS)
      for (const { name, arches } of alternatives)
        for (const arch of arches) {
          const given = all.some(({ choices }) => choices.arch === arch && String(choices[key]) === name)
          expect.soft(given || UNUSED.has(`${arch} ${key} ${name}`), `${arch} ${key} ${name}`).toBe(true)
        }
  })
})

/** One virtual CPU on x86_64 is what --smp 1 is; the others' designs would differ in nothing that runs. */
const UNUSED = new Set(["x86_64 smp one"])

const GOOD = `title: mine
arch: x86_64
ring: 3
host: switcher
vcpu: pda
spaces: separate
pageOffset: same
selectors: own
hypercall: syscall
mmu: kvm
interruptFlag: shared-word
events: through-host
smp: threads
argument: because
expects:
  attacks:
    withstands: [a-b]
    breached: {c-d: {reads: "all, of it", why: so}}
    killed: e, f
  counts:
    - {count: cr3-loads, workload: mixed, lower-than: proposal, why: so}
`
const parse = (text: string) => Effect.runSync(Effect.result(parseDesign("/x/mine.yaml", text)))
const lineOf = (text: string): string => {
  const result = parse(text)
  return Result.isFailure(result) ? explain(result.failure).line : "it is right"
}

describe("a design's file", () => {
  it("says all there is to say", () => {
    const result = parse(GOOD)
    expect(Result.isSuccess(result) && result.success).toMatchObject({
      name: "mine",
      title: "mine",
      choices: LGUEST64,
      argument: "because",
      expects: {
        withstands: ["a-b"],
        breached: { "c-d": { reads: ["all", "of it"], writes: [], does: [], why: "so" } },
        killed: ["e", "f"],
        harmless: [],
        counts: [{ count: "cr3-loads", workload: "mixed", relation: "lower", than: "proposal", why: "so" }],
      },
    })
  })

  it.each([
    ["no YAML", "title: [", /^\/x\/mine\.yaml:1: .+/],
    ["nothing", "", /^\/x\/mine\.yaml:1: a design is a list of keys with values/],
    ["a list", "- a", /^\/x\/mine\.yaml:1: a design is a list of keys with values/],
    [
      "a key that there is not",
      GOOD + "colour: red\n",
      /^\/x\/mine\.yaml:22: colour: there is no such key; a design has title, arch, /,
    ],
    ["a key too few", GOOD.replace("mmu: kvm\n", ""), /^\/x\/mine\.yaml:1: mmu: is missing$/],
    ["a key twice", GOOD + "mmu: kvm\n", /^\/x\/mine\.yaml:22: Map keys must be unique/],
    [
      "no such answer",
      GOOD.replace("kvm", "xen"),
      /^\/x\/mine\.yaml:10: mmu: there is no such answer; it is one of kvm, throw-away, on-demand, direct$/,
    ],
    [
      "no such ring",
      GOOD.replace("ring: 3", "ring: 2"),
      /^\/x\/mine\.yaml:3: ring: there is no such answer; it is one of 3, 1$/,
    ],
    ["no such architecture", GOOD.replace("x86_64", "arm"), /^\/x\/mine\.yaml:2: arch: expected "x86_64" \| "i386"/],
    ["a title of two lines", GOOD.replace("title: mine", 'title: "a\\nb"'), /^\/x\/mine\.yaml:1: title: .*one line/],
    [
      "a list that is none",
      GOOD.replace("[a-b]", "7"),
      /^\/x\/mine\.yaml:17: expects\.attacks\.withstands: expected array/,
    ],
    [
      "an outcome too many",
      GOOD.replace("e, f", "e, a-b"),
      /^\/x\/mine\.yaml:19: expects\.attacks\.killed\.1: a-b is named twice$/,
    ],
    [
      "a claim against nobody",
      GOOD.replace("lower-than: proposal, ", ""),
      /^\/x\/mine\.yaml:21: expects\.counts\.0: .*one of `lower-than`, `higher-than` and `same-as`/,
    ],
    [
      "a claim both ways",
      GOOD.replace("lower-than: proposal", "lower-than: proposal, higher-than: xen"),
      /^\/x\/mine\.yaml:21: expects\.counts\.0: .*one of/,
    ],
    [
      "an expectation that there is not",
      GOOD.replace("killed:", "slain:"),
      /^\/x\/mine\.yaml:19: expects\.attacks\.slain: there is no such key; expected like, withstands, breached/,
    ],
    [
      "a breach of nothing",
      GOOD.replace('reads: "all, of it", ', ""),
      /^\/x\/mine\.yaml:18: expects\.attacks\.breached\.c-d: .*what the attack gains/,
    ],
    [
      "a breach that nobody understands",
      GOOD.replace(", why: so}}", "}}"),
      /^\/x\/mine\.yaml:18: expects\.attacks\.breached\.c-d\.why: is missing$/,
    ],
  ])("is refused with one line and the place: %s", (_what, text, line) => {
    expect(lineOf(text)).toMatch(line)
    expect(lineOf(text)).not.toContain("\n")
  })

  it("property: any text is a design or one line", () => {
    const pieces = GOOD.split(/(?<=[\n:, ])/)
    const text = fc.oneof(
      fc.string(),
      fc.shuffledSubarray(pieces).map((some) => some.join("")),
      fc
        .tuple(fc.nat(GOOD.length), fc.string({ maxLength: 4 }))
        .map(([at, s]) => GOOD.slice(0, at) + s + GOOD.slice(at + 2)),
    )
    fc.assert(
      fc.property(text, (t) => {
        expect(lineOf(t)).toMatch(/^(\/x\/mine\.yaml:\d+: [^\n]+|it is right)$/)
      }),
      { numRuns: 300 },
    )
  })

  it("names attacks, designs, counts and workloads that there are", async () => {
    const wrong = async (text: string) => {
      const result = parse(text)
      if (Result.isFailure(result)) throw result.failure
      return (await Effect.runPromise(problemsOf(files, result.success))).map((p) => explain(p).line)
    }
    const claims = (text: string) => wrong(text.replace(/ {2}attacks[^]*? {2}counts/, "  counts"))
    expect(await claims(GOOD)).toEqual([])
    const lines = await wrong(GOOD.replace("a-b", "write-switcher").replace("c-d:", "read-direct-map:"))
    expect(lines.slice(0, 2)).toEqual([
      "/x/mine.yaml:19: expects.attacks.killed.0: there is no attack e on x86_64",
      "/x/mine.yaml:19: expects.attacks.killed.1: there is no attack f on x86_64",
    ])
    expect(lines[2]).toMatch(
      /^\/x\/mine\.yaml:16: expects\.attacks: it leaves out user-write-switcher, read-fixed-area, /,
    )
    expect(lines).toHaveLength(3)
    expect(await claims(GOOD.replace("cr3-loads", "cr4-loads"))).toEqual([
      "/x/mine.yaml:17: expects.counts.0.count: designs bench has no count cr4-loads",
    ])
    expect(await claims(GOOD.replace("workload: mixed", "workload: quake"))).toEqual([
      "/x/mine.yaml:17: expects.counts.0.workload: there is no workload quake",
    ])
    expect(await claims(GOOD.replace("lower-than: proposal", "lower-than: vista"))).toEqual([
      "/x/mine.yaml:17: expects.counts.0.lower-than: there is no design vista",
    ])
  })

  describe("is like another one, but", () => {
    const like = (name: string, rest = "") => {
      const text = `  attacks:\n    like: ${name}\n${rest}`
      return GOOD.replace(/ {2}attacks[^]*? {2}counts/, `${text}  counts`)
    }
    const load = (text: string) => {
      const file = join(folder, "like.yaml")
      writeFileSync(file, text)
      return Effect.runSync(Effect.result(loadDesign(files, file)))
    }
    const problems = async (text: string): Promise<ReadonlyArray<string>> => {
      const result = load(text)
      const found = Result.isFailure(result)
        ? [result.failure]
        : await Effect.runPromise(problemsOf(files, result.success))
      return found.map((problem) => explain(problem).line.replace(/^.*like\.yaml/, ""))
    }

    it("expects what that one does, for all that it does not name", async () => {
      expect(await problems(like("lguest64"))).toEqual([])
      const base = named("lguest64").expects
      const same = load(like("lguest64"))
      const other = load(like("lguest64", "    killed: forge-pda\n    withstands: [meltdown-fixed-area]\n"))
      if (Result.isFailure(same) || Result.isFailure(other)) throw new Error("it cannot be read")
      expect(same.success.expects).toMatchObject({ withstands: base.withstands, breached: base.breached })
      expect(other.success.expects.killed).toEqual([...base.killed, "forge-pda"])
      expect(other.success.expects.withstands).toEqual([
        ...base.withstands.filter((name) => name !== "forge-pda"),
        "meltdown-fixed-area",
      ])
      expect(Object.keys(other.success.expects.breached)).not.toContain("meltdown-fixed-area")
    })

    it("by way of a third", () => {
      const [third, second, first] = ["host-moves", "proposal", "lguest64"].map(named)
      expect([third!.expects.own?.like, second!.expects.own?.like]).toEqual(["proposal", "lguest64"])
      expect(third!.expects.breached).toEqual(second!.expects.breached)
      expect(third!.expects.killed).toEqual(first!.expects.killed)
    })

    it.each([
      ["nobody", like("vista"), [":17: expects.attacks.like: there is no design vista"]],
      ["one of the other architecture", like("lguest"), [/^:17: expects\.attacks\.like: lguest is of i386/]],
      [
        "differing in nothing",
        like("lguest64", "    withstands: [forge-pda]\n"),
        [":18: expects.attacks.withstands.0: nothing else is expected of forge-pda than by lguest64"],
      ],
      [
        "leaking the same",
        like(
          "proposal",
          "    breached: {user-meltdown: {reads: [another guest's memory, a frame of the host's], why: so}}\n",
        ),
        [/nothing else is expected of user-meltdown than by proposal$/],
      ],
      [
        "leaking less",
        like("proposal", "    breached: {user-meltdown: {reads: another guest's memory, why: so}}\n"),
        [],
      ],
      [
        "without the attack",
        like("lguest64", "    withstands: [quake]\n"),
        [/withstands\.0: there is no attack quake on x86_64$/],
      ],
      [
        "racing nobody",
        like("lguest64", "    harmless: [forge-pda]\n"),
        [/harmless\.0: forge-pda is no race of virtual CPUs/],
      ],
      [
        "racing with one virtual CPU",
        like("lguest64", "    withstands: [iret-race]\n").replace("smp: threads", "smp: one"),
        [/withstands\.0: iret-race takes two virtual CPUs, and the design has one$/],
      ],
    ])("is checked: %s", async (_what, text, lines) => {
      const found = await problems(text)
      expect(found).toHaveLength(lines.length)
      for (const [i, line] of lines.entries())
        if (typeof line === "string") expect(found[i]).toBe(line)
        else expect(found[i]).toMatch(line)
    })

    it("is not like itself, by whatever way", () => {
      const own = join(folder, "designs")
      mkdirSync(own)
      const here: Files["Service"] = { ...files, own: (path) => join(folder, path) }
      const ring = ["a", "b", "c"]
      for (const [i, name] of ring.entries()) writeFileSync(join(own, `${name}.yaml`), like(ring[(i + 1) % 3]!))
      const result = Effect.runSync(Effect.result(loadDesign(here, "a")))
      expect(Result.isFailure(result) && explain(result.failure).line).toMatch(
        /c\.yaml:17: expects\.attacks\.like: it is like itself: a, b, c, a$/,
      )
    })
  })

  it("is found by name, or by path", () => {
    const file = join(folder, "mine.yaml")
    writeFileSync(file, GOOD)
    expect(Effect.runSync(loadDesign(files, file)).name).toBe("mine")
    expect(Effect.runSync(loadDesign(files, "xen")).choices.mmu).toBe("direct")
    const missing = Effect.runSync(Effect.result(loadDesign(files, "vista")))
    expect(Result.isFailure(missing) && explain(missing.failure)).toMatchObject({ status: 66 })
  })
})

describe("print", () => {
  it("list: each design once, with what differs, in any width", () => {
    for (const width of [80, 120, 200]) {
      const lines = listText(all, width).split("\n")
      for (const { name } of all) expect(lines.filter((line) => line.split(/\s/)[0] === name)).toHaveLength(1)
    }
    expect(differences(named("lguest64"))).toBe("")
    expect(differences(named("one-space"))).toBe("spaces one")
    expect(differences(named("lguest-open"))).toBe("host everything, pageOffset host-moves")
  })

  it("show: answers, argument and expectations, within the width", () => {
    const text = showText(named("proposal"), 80)
    expect(text).toMatch(/^proposal: /)
    expect(text).toMatch(/^\* host +everything +all of it/m)
    expect(text).toMatch(/^ {2}ring +3 /m)
    expect(text).toMatch(/lower cr3-loads than lguest64/)
    expect(text).toMatch(/^ {2}attacks as on lguest64, but for meltdown, user-meltdown, meltdown-fixed-area$/m)
    expect(text).toMatch(/^ {2}withstands: write-switcher, /m)
    expect(text).toMatch(/^ {2}is breached by meltdown: read a frame of the host's; read another guest's$/m)
    for (const line of text.split("\n").slice(1)) expect(line.length).toBeLessThanOrEqual(80)
  })

  it("property: wrapping loses no word, and keeps to the width where words do", () => {
    fc.assert(
      fc.property(fc.array(fc.stringMatching(/^[a-z]{1,12}$/)), fc.integer({ min: 12, max: 60 }), (words, width) => {
        const lines = wrap(words.join(" "), width)
        expect(lines.flatMap((line) => line.split(" "))).toEqual(words)
        for (const line of lines) expect(line.length).toBeLessThanOrEqual(width)
      }),
    )
    expect(paragraphs("a b\nc\n\nd", 3)).toEqual(["a b", "c", "", "d"])
    expect(
      align(
        [
          ["a", "10"],
          ["bcd", "1"],
        ],
        (column) => column === 1,
      ),
    ).toEqual(["a    10", "bcd   1"])
  })

  it("progress fits a terminal", () => {
    expect(barText(5, 20, "proposal, mixed", 80)).toBe("[######------------------]   5/20  proposal, mixed")
    expect(barText(5, 20, "x".repeat(200), 60)).toHaveLength(59)
  })
})

describe("cost tables", () => {
  it("have a source for each figure", () => {
    expect(COST_TABLES.length).toBeGreaterThanOrEqual(3)
    for (const table of COST_TABLES)
      for (const event of COST_EVENTS) {
        expect(table[event]).toBeGreaterThan(0)
        expect(table.sources[event].text.length).toBeGreaterThan(10)
      }
  })
})

describe("the commands", () => {
  let bad: string
  beforeAll(() => {
    bad = join(folder, "bad.yaml")
    writeFileSync(bad, GOOD.replace("host: switcher", "host: everything").replace(/ {2}attacks[^]*/, "  counts: []\n"))
  })

  it("check: a line for each, and 78 if one is wrong", async () => {
    const ok = await lguest64([
      "designs",
      "check",
      "lguest64",
      fileURLToPath(new URL("../../designs/xen.yaml", import.meta.url)),
    ])
    expect(ok).toMatchObject({ status: 0, stderr: "" })
    expect(ok.stdout).toMatch(/^lguest64: OK\n\S+xen\.yaml: OK\n$/)
    const wrong = await lguest64(["designs", "check", bad, "/no/such.yaml", "task"])
    expect(wrong.status).toBe(78)
    const lines = wrong.stdout.trimEnd().split("\n")
    expect(lines).toHaveLength(3)
    expect(lines[0]).toContain("breaks the rule room-for-both: ")
    expect(lines[1]).toBe("/no/such.yaml: no such file")
    expect(lines[2]).toBe("task: OK")
  })

  it.each([
    ["64: no subcommand", 64, ["designs"]],
    ["64: no workload", 64, ["designs", "bench", "--workload", "quake"]],
    ["64: no such part", 64, ["designs", "bench", "--shard", "3/2"]],
    ["64: a native guest in a design", 64, ["run", "--native", "--design", "task"]],
    ["64: the other architecture", 64, ["run", "--arch", "i386", "--design", "task"]],
    ["64: a second virtual CPU", 64, ["run", "--design", "lguest", "--smp", "2"]],
    ["65: no result", 65, ["designs", "merge", "@package.json"]],
    ["66: no such design", 66, ["run", "--design", "vista"]],
    ["66: no such design to show", 66, ["designs", "show", "vista"]],
    ["73: nowhere for the page", 73, ["designs", "bench", "--html", "/no/such/folder/page.html"]],
    ["78: a rule is broken", 78, ["run", "--design", "@bad"]],
  ])("%s", async (_what, status, args) => {
    const paths: Record<string, string> = {
      "@bad": bad,
      "@package.json": fileURLToPath(new URL("../../package.json", import.meta.url)),
    }
    const result = await lguest64(args.map((arg) => paths[arg] ?? arg))
    expect(result.stderr).toMatch(/^lguest64: [^\n]+\n$/)
    expect(result).toMatchObject({ status, stdout: "" })
  })

  it("are in the documentation", () => {
    const text = readFileSync(fileURLToPath(new URL("../../docs/designs.md", import.meta.url)), "utf8")
    for (const { key } of DIMENSIONS) expect(text).toContain(`\`${key}\``)
  })
})
