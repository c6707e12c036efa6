import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { Files } from "../../src/launcher/files.ts"
import { FEWEST_STEPS, faultsOf, openingOf, pointerOf } from "../../src/launcher/journey/check.ts"
import { type Extract, extract, LONGEST_CODE } from "../../src/launcher/journey/extract.ts"
import { COLOURED, highlight, PLAIN } from "../../src/launcher/journey/highlight.ts"
import { JOURNEY_FILE, load } from "../../src/launcher/journey/index.ts"
import { pagerOf } from "../../src/launcher/journey/pager.ts"
import { inOrder, mark, PARTS, type Step, titleOf } from "../../src/launcher/journey/parts.ts"
import { contentsText, fill, journeyText } from "../../src/launcher/journey/print.ts"
import { extractAll, journeyJson, stepsOf } from "../../src/launcher/journey/sources.ts"
import { commandLine, lguest64, shell, spawnScript } from "./spawn.ts"

/*
 * The journey that the comments tell: nobody may get lost in it, whoever changes a comment somewhere; what is taken from each
 * of our languages; and the command.
 */

const root = fileURLToPath(new URL("../..", import.meta.url))
const extracts = extractAll(root)
const steps = stepsOf(extracts)

const problems = (of: ReadonlyArray<Extract>, journey = stepsOf(of)): ReadonlyArray<string> =>
  faultsOf(of, journey).map(({ file, line, problem }) => `${file}:${line} ${problem}`)

describe("our journey", () => {
  it("loses nobody: no number is missing or doubled, each part is opened and leads to the next", () => {
    expect(problems(extracts)).toEqual([])
  })

  it("shows code that can be read in one piece", () => {
    for (const step of steps) expect(step.code.length, mark(step.letter, step.number)).toBeLessThanOrEqual(LONGEST_CODE)
    expect(steps.reduce((sum, { code }) => sum + code.length, 0)).toBeGreaterThan(1500)
  })

  it("shows code that is in the file where it says", () => {
    for (const { file, codeLine, code } of steps) {
      const lines = readFileSync(join(root, file), "utf8").split("\n")
      expect(lines.slice(codeLine - 1, codeLine - 1 + code.length)).toEqual(code)
    }
  })

  it("goes through both modules, both switchers and all our languages", () => {
    const files = new Set(steps.map(({ file }) => file))
    for (const file of ["src/vcpu/switcher_64.S", "src/i386/switcher_32.S", "guests/puppy/smp.c", "src/mmu4/index.ts"])
      expect(files).toContain(file)
    expect([...files].some((file) => file.startsWith("src/machine/core/"))).toBe(true)
  })
})

/** A journey that is right, and as small as one can be. */
const small = (): Array<Step> =>
  PARTS.flatMap(({ letter }) =>
    Array.from({ length: FEWEST_STEPS }, (_, i) => ({
      letter,
      number: 10 * (i + 1),
      file: `${letter}.ts`,
      line: 10 * i + 1,
      comment: [
        `${i === 0 ? openingOf(letter) : ""}Here is something to be known about one line of code.` +
          (i === FEWEST_STEPS - 1 ? ` Go on: ${pointerOf(letter)}.` : ""),
      ],
      code: ["const one = 1"],
      codeLine: 10 * i + 2,
      more: 0,
    })),
  )
const faultsIn = (journey: ReadonlyArray<Step>): ReadonlyArray<string> => problems([], inOrder(journey))
const anyStep = fc.nat(PARTS.length * FEWEST_STEPS - 1)

describe("what is wrong with a journey", () => {
  it("nothing, where nothing is", () => {
    expect(faultsIn(small())).toEqual([])
  })

  it("a number between two tens is nothing wrong", () => {
    const journey = small()
    expect(faultsIn([...journey, { ...journey[4]!, number: 55 }])).toEqual([])
  })

  it("any step that is missing", () => {
    fc.assert(fc.property(anyStep, (i) => faultsIn(small().filter((_, n) => n !== i)).length > 0))
  })

  it("a number that is doubled, whichever it is", () => {
    fc.assert(
      fc.property(anyStep, (i) => {
        const journey = small()
        const { letter, number } = journey[i]!
        const faults = faultsIn([...journey, { ...journey[i]!, file: "other.ts" }])
        return faults.some((fault) => fault.includes(mark(letter, number)) && fault.includes("too"))
      }),
    )
  })

  it("a step without code, or without a word", () => {
    fc.assert(
      fc.property(anyStep, fc.constantFrom({ code: ["", " "] }, { comment: ["Hm."] }), (i, change) => {
        const journey = small()
        journey[i] = { ...journey[i]!, ...change }
        return faultsIn(journey).length > 0
      }),
    )
  })

  it.each(PARTS.map(({ letter, name }) => [name, letter]))("%s without its opening, or its end", (_, letter) => {
    const without = (pattern: string): ReadonlyArray<Step> =>
      small().map((step) => ({ ...step, comment: step.comment.map((line) => line.replace(pattern, "somewhere ")) }))
    expect(faultsIn(without(openingOf(letter)))).toEqual([expect.stringContaining("does not open its part")])
    expect(faultsIn(without(pointerOf(letter)))).toEqual([expect.stringContaining("ends its part without")])
  })

  it("a part with few steps, or with none", () => {
    expect(faultsIn(small().filter(({ letter }) => letter !== "D"))).toEqual([":0 Drivers has no steps"])
    const few = small().filter(({ letter, number }) => letter !== "D" || number <= 30)
    expect(faultsIn(few).join()).toContain("the part has 3 steps")
  })

  it("a reference to no step, in any comment", () => {
    const from = extract("a.ts", "/* Compare H:010, and then H:777. */\nconst a = 1\n")
    expect(problems([from], small())).toEqual(["a.ts:1 H:777 is referred to, and there is no such step"])
  })

  it.each(["H:30", "H:0300", "h:030", "X:030", "H;030", "H030", "H: 030", "Host 030", "[Host 030]"])(
    "a slip of a mark: %s",
    (slip) => {
      for (const comment of [`// ${slip} Why.`, `/** ${slip} Why. */`, `/*\n * ${slip} Why.\n */`]) {
        const { faults, steps } = extract("a.ts", `${comment}\nconst a = 1\n`)
        expect(steps).toEqual([])
        expect(faults).toEqual([expect.objectContaining({ file: "a.ts" })])
      }
    },
  )

  it("an end without a beginning", () => {
    expect(extract("a.ts", "const a = 1\n// H:030 ends.\n").faults).toHaveLength(1)
  })

  it("comments that only look a little like one are let be", () => {
    const source = "/* P: present. */\nconst a = 1\n// Host and guest.\nconst b = a ? S : 030\n/* 2: NMI */\n"
    expect(extract("a.c", source)).toEqual({ steps: [], references: [], faults: [] })
  })
})

const only = (file: string, source: string): Step => {
  const { steps, faults } = extract(file, source)
  expect(faults).toEqual([])
  expect(steps).toHaveLength(1)
  return steps[0]!
}

describe("what a mark stands on", () => {
  it("TypeScript: the function, with what is blank in it, and no more", () => {
    const step = only(
      "a.ts",
      "import a from 'b'\n\n/** H:030 Why\n * so. */\nexport const f = () => {\n  one()\n\n  two()\n}\n\nconst g = 1\n",
    )
    expect(step).toMatchObject({ letter: "H", number: 30, line: 3, codeLine: 5, comment: ["Why", "so."] })
    expect(step.code).toEqual(["export const f = () => {", "  one()", "", "  two()", "}"])
  })

  it("a method, up to the next one that is documented", () => {
    const source = "class A {\n  // H:030 Why.\n  get a() {\n    return 1\n  }\n  /** b. */\n  b = 2\n}\n"
    expect(only("a.ts", source).code).toEqual(["  get a() {", "    return 1", "  }"])
  })

  it("the last method, without its class's end", () => {
    expect(only("a.ts", "class A {\n  /** H:030 Why. */\n  b() {\n    c()\n  }\n}\n").code).toEqual([
      "  b() {",
      "    c()",
      "  }",
    ])
  })

  it("AssemblyScript: a decorator belongs to it", () => {
    const source =
      "/** P:030 Why. */\n// @ts-ignore: decorator\n@inline\nfunction f(): void {\n  g();\n}\n\nlet x: u32 = 1;\n"
    expect(only("a.ts", source).code.slice(-3)).toEqual(["function f(): void {", "  g();", "}"])
  })

  it("C: the function behind its name's line", () => {
    const source = "int z;\n\n/* G:030 Why. */\nstatic int f(void)\n{\n\tint x;\n\n\treturn x;\n}\n\nint g;\n"
    expect(only("a.c", source).code).toEqual(["static int f(void)", "{", "\tint x;", "", "\treturn x;", "}"])
  })

  it("the head of a file: past what is included, as many paragraphs as make a picture", () => {
    const source = '/*\n * G:030 Why.\n */\n#include "a.h"\n#pragma once\n\nint a;\n\nint f(void)\n{\n\treturn a;\n}\n'
    const step = only("a.c", source)
    expect(step.codeLine).toBe(7)
    expect(step.code).toEqual(["int a;", "", "int f(void)", "{", "\treturn a;", "}"])
  })

  it("assembly: past blank lines and local labels, up to the next label", () => {
    const source =
      "z:\n/* S:030 Why. */\n        .globl a\na:\n        push %rbx\n\n        /* Because. */\n        pop %rbx\n\n1:      ret\n\n        .globl b\nb:      ret\n"
    expect(only("a.S", source).code).toEqual([
      "        .globl a",
      "a:",
      "        push %rbx",
      "",
      "        /* Because. */",
      "        pop %rbx",
      "",
      "1:      ret",
    ])
  })

  it("up to the next mark, or to where it is said to end", () => {
    const { steps } = extract(
      "a.ts",
      "// H:030 Why.\none()\n\ntwo()\n\n// H:030 ends.\nthree()\n// H:040 So.\nfour()\n",
    )
    expect(steps.map(({ code }) => code)).toEqual([["one()", "", "two()"], ["four()"]])
  })

  it("a piece of what is too long, and how much there is more", () => {
    const body = Array.from({ length: 100 }, (_, i) => (i % 10 === 9 ? "" : `  line${i}()`))
    const step = only("a.ts", ["// H:030 Why.", "f(() => {", ...body, "})", ""].join("\n"))
    expect(step.code.length).toBeLessThanOrEqual(LONGEST_CODE)
    expect(step.code.at(-1)).not.toBe("")
    const shown = step.code.filter((line) => line !== "").length
    expect(shown + step.more).toBe(92)
  })

  it("nothing ever breaks it", () => {
    const line = fc.constantFrom(
      "/* H:030 a",
      "// H:030 b",
      "*/",
      " * c",
      "",
      "  d()",
      "{",
      "}",
      "/** S:010 e */",
      "x:",
      "#include",
    )
    fc.assert(
      fc.property(fc.array(line, { maxLength: 30 }), fc.constantFrom("a.ts", "a.c", "a.S"), (lines, file) => {
        for (const { codeLine, code } of extract(file, lines.join("\n")).steps)
          expect(lines.slice(codeLine - 1, codeLine - 1 + code.length)).toEqual(code)
      }),
    )
  })
})

describe("the text", () => {
  it("is filled, but for lists and figures, and loses no word", () => {
    expect(fill(["one two", "three", "", "  a  b", "- c"], 40)).toEqual(["one two three", "", "  a  b", "- c"])
    fc.assert(
      fc.property(fc.array(fc.stringMatching(/^[a-z]{1,12}( [a-z]{1,12}){0,9}$/)), (lines) => {
        const filled = fill(lines, 40)
        expect(filled.every((line) => line.length <= 40)).toBe(true)
        expect(filled.join(" ")).toBe(lines.join(" "))
      }),
    )
  })

  it("is titled by the first sentence of a step, without its part's name", () => {
    const step = { ...small()[0]!, comment: ["Part 1, Preparation: a way,", "and why. Then more."] }
    expect(titleOf(step)).toBe("a way, and why")
  })

  it("is the same in colours, which follow comments over lines", () => {
    const code = ["a /* b", "c */ d 0x10 // e", "'f' \"g /* h\" i9", "/* j */ k"]
    const coloured = highlight(code, COLOURED)
    expect(coloured.map((line) => line.replace(/\x1b\[[\d;]*m/g, ""))).toEqual(code)
    expect(coloured[1]).toBe("\x1b[32mc */\x1b[0m d \x1b[36m0x10\x1b[0m \x1b[32m// e\x1b[0m")
    expect(coloured[2]).toContain('\x1b[36m"g /* h"\x1b[0m i9')
  })

  it("has each step once, in order", () => {
    const text = journeyText(steps, PARTS, 100, PLAIN)
    const heads = [...text.matchAll(/^(\w+) (\d{3}) {2}\S+:\d+$/gm)].map(([, name, number]) => `${name} ${number}`)
    const names = new Map(PARTS.map(({ letter, name }) => [letter, name]))
    expect(heads).toEqual(steps.map((s) => `${names.get(s.letter)} ${String(s.number).padStart(3, "0")}`))
  })

  it("has a table of contents that fits on the line", () => {
    for (const line of contentsText(steps, PARTS, 72, PLAIN).split("\n"))
      if (/^ {2}[A-Z]:/.test(line)) expect(line.length).toBeLessThanOrEqual(72)
  })
})

describe("lguest64 journey", () => {
  let folder: string
  beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), "journey-"))))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it.each(["Switcher", "switcher", "SWITCHER!"])("tells one part: %s", async (name) => {
    const { status, stdout, stderr } = await lguest64(["journey", name])
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" })
    expect(stdout.startsWith("{==- 6. Switcher -==}\n\nSwitcher 010  ")).toBe(true)
    expect(stdout).toContain("iretq")
    expect(stdout).not.toContain("\x1b")
    expect(stdout).not.toContain("Mastery 010")
  })

  it("tells all of them, from the first to the beer", async () => {
    const { status, stdout } = await lguest64(["journey"])
    expect(status).toBe(0)
    const at = PARTS.map(({ name }) => stdout.indexOf(`${name} 010  `))
    expect(at.every((place, i) => place > (at[i - 1] ?? 0))).toBe(true)
    expect(stdout.indexOf("beer")).toBeGreaterThan(0)
  })

  it("lists", async () => {
    const { status, stdout } = await lguest64(["journey", "--list", "Host"])
    expect(status).toBe(0)
    expect(stdout.match(/^ {2}H:\d{3} {2}/gm)).toHaveLength(steps.filter(({ letter }) => letter === "H").length)
    expect(stdout).not.toContain("S:010")
  })

  it.each([[["journey", "Beer"]], [["journey", "Host", "Guest"]], [["journey", "--bogus"]]])(
    "refuses %j with one line and status 64",
    async (args) => {
      const { status, stdout, stderr } = await lguest64(args)
      expect({ status, stdout }).toEqual({ status: 64, stdout: "" })
      expect(stderr).toMatch(/^lguest64: [^\n]+lguest64 journey --help\)\n$/)
    },
  )

  it("does not mind a reader who leaves", () => {
    const { stdout, stderr } = shell('{ "$@"; echo "status $?" >&2; } | head -n 1', ["journey"])
    expect(stdout).toBe("{==- 1. Preparation -==}\n")
    expect(stderr).toBe("status 0\n")
  })

  it("has in the package what it has in the repository", async () => {
    mkdirSync(join(folder, "dist"))
    writeFileSync(join(folder, JOURNEY_FILE), journeyJson(root))
    const packaged = Effect.gen(function* () {
      const files = yield* Files
      return yield* load({ ...files, own: (path) => join(folder, path) }, false)
    }).pipe(Effect.provide(Files.layer))
    expect(await Effect.runPromise(packaged)).toEqual(steps)
    writeFileSync(join(folder, JOURNEY_FILE), "{")
    expect(await Effect.runPromise(Effect.flip(packaged))).toMatchObject({
      problem: expect.stringContaining("damaged"),
    })
    const { files } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { files: Array<string> }
    expect(files).toContain(JOURNEY_FILE.split("/")[0])
  })

  const onTerminal = (environment: string): Promise<string> =>
    new Promise((resolve) => {
      const script = join(folder, "script.sh")
      writeFileSync(script, `${environment} ${commandLine(["journey", "Drivers"])}\necho "status $?"\n`)
      const child = spawnScript(script)
      let shown = ""
      child.stdout.on("data", (bytes: Buffer) => (shown += bytes.toString("latin1")))
      child.on("close", () => resolve(shown))
    })

  it("is coloured on a terminal and goes through the pager", async () => {
    const shown = await onTerminal("TERM=xterm PAGER='sed s/^/paged:/'")
    expect(shown).toContain("paged:\x1b[1;33m{==- 3. Drivers -==}")
    expect(shown).toContain("status 0")
  })

  it("does without colours for who wants none, and without a pager where there is none", async () => {
    const shown = await onTerminal("TERM=xterm NO_COLOR=1 PAGER=/no/such/pager")
    expect(shown).toContain("{==- 3. Drivers -==}")
    expect(shown).not.toContain("\x1b[")
    expect(shown).toContain("status 0")
  })

  it("knows who wants no pager", () => {
    expect(pagerOf({})).toBe("less")
    expect(pagerOf({ PAGER: "most" })).toBe("most")
    for (const environment of [{ PAGER: "" }, { PAGER: "cat" }, { TERM: "dumb" }])
      expect(pagerOf(environment)).toBeUndefined()
  })
})
