import { spawnSync } from "node:child_process"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { LineEditor } from "../../src/launcher/monitor/lineEditor.ts"
import {
  mappedRanges,
  PAGING_2_LEVEL,
  PAGING_4_LEVEL,
  type PageTables,
  walkTables,
} from "../../src/machine/pageTables.ts"
import { isLeaf, isPresent } from "../../src/machine/pageTables.ts"
import { gdbSession, hasGdb } from "./gdb.ts"
import { commandLine, lguest64, spawnScript, withFolder } from "./spawn.ts"

/* The monitor at a terminal, from its keys to its prompt; and page tables that only a hostile guest would make. */

// --------------------------------------------------------------------------------------------------------- the line
const typed = (keys: string, names: ReadonlyArray<string> = []) => {
  const lines: string[] = []
  let shown = ""
  let left = 0
  const editor = new LineEditor("> ", {
    show: (text) => (shown += text),
    line: (line) => lines.push(line),
    leave: () => left++,
    complete: (line) => names.filter((name) => name.startsWith(line)),
  })
  editor.input(Buffer.from(keys, "latin1"))
  return { lines, shown, left }
}

describe("the monitor's line", () => {
  it.each([
    ["info\r", ["info"]],
    ["inx\x7ffo\r", ["info"]],
    ["nonsense\x15info\r", ["info"]],
    ["info tasks\x17tlb\r", ["info tlb"]],
    ["half\x03whole\r", ["whole"]],
    ["one\rtwo\r\x1b[A\x1b[A\r", ["one", "two", "one"]],
    ["one\rtw\x1b[A\x1b[Bo\r", ["one", "two"]],
    ["one\r\x1b[A\x1b[A\x1b[A!\r", ["one", "one!"]],
    ["a\x1b[5~b\x1b[1;5Cc\r", ["abc"]],
    ["\xffa\x00b\r", ["ab"]],
    ["\r", [""]],
  ])("%j is %j", (keys, lines) => expect(typed(keys).lines).toEqual(lines))

  it("is completed as far as it is certain", () => {
    expect(typed("he\t\r", ["help", "info"]).lines).toEqual(["help "])
    expect(typed("s\t\r", ["step", "stop"]).lines).toEqual(["st"])
    expect(typed("st\t", ["step", "stop"]).shown).toContain("step  stop")
  })

  it("is left by ^D when it is empty", () => {
    expect(typed("\x04").left).toBe(1)
    expect(typed("a\x04\x7f\x04").left).toBe(1)
  })

  it("never holds more than fits, and shows no control character of what is typed", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const { lines } = typed(`${Buffer.from(bytes).toString("latin1")}\r`)
        for (const line of lines) expect(line).toMatch(/^[ -~]*$/)
      }),
    )
    expect(typed(`${"x".repeat(3000)}\r`).lines[0]).toHaveLength(1000)
  })
})

// ------------------------------------------------------------------------------------------------- page tables of all kinds
const PAGES = 8
/** Tables in a memory of a few pages whose words are `words`. */
const tables = (format: PageTables["format"], words: ReadonlyMap<number, number>): PageTables => ({
  format,
  root: 0,
  read32: (pa) => (pa + 4 <= PAGES * 4096 ? (words.get(pa) ?? 0) : undefined),
})

describe("page tables", () => {
  it("of any kind: what is listed is what a walk finds", () => {
    const formats = [PAGING_2_LEVEL, PAGING_4_LEVEL]
    const entry = fc.record({
      format: fc.constantFrom(0, 1),
      table: fc.nat(PAGES - 1),
      index: fc.constantFrom(0, 1, 2, 511, 256),
      frame: fc.nat(PAGES + 1),
      flags: fc.constantFrom(1, 3, 5, 7, 0x87, 0x83, 0),
    })
    fc.assert(
      fc.property(
        fc.constantFrom(0, 1),
        fc.array(entry, { maxLength: 12 }),
        fc.array(fc.nat(), { maxLength: 10 }),
        (kind, entries, picks) => {
          const format = formats[kind]!
          const words = new Map<number, number>()
          for (const { table, index, frame, flags } of entries)
            words.set(table * 4096 + index * format.entryBytes, frame * 4096 + flags)
          const all = tables(format, words)
          const { ranges, cut } = mappedRanges(all, 1 << 16)
          if (cut) return
          const walked = (address: bigint): boolean => {
            const last = walkTables(all, address).at(-1)
            return last !== undefined && isPresent(last) && isLeaf(format, last)
          }
          for (const { begin, bytes } of ranges) {
            expect(walked(begin)).toBe(true)
            expect(walked(begin + bytes - 1n)).toBe(true)
          }
          const listed = (address: bigint): boolean =>
            ranges.some(({ begin, bytes }) => address >= begin && address < begin + bytes)
          for (const pick of picks) {
            const address = BigInt(pick) * 4096n
            expect(listed(address)).toBe(walked(address))
          }
        },
      ),
      { numRuns: 60 },
    )
  })

  it("that refer to themselves end the list, not the simulator", () => {
    // Every entry of the root leads back to the root.
    const all: PageTables = { format: PAGING_4_LEVEL, root: 0, read32: (pa) => (pa % 8 === 0 ? 0x27 : 0) }
    const { cut, ranges } = mappedRanges(all, 100_000)
    expect(cut).toBe(true)
    expect(ranges.length).toBeLessThanOrEqual(100_000)
  })
})

// -------------------------------------------------------------------------------------------------------- the terminal
const pseudoTerminals = spawnSync("script", ["-qec", "true", "/dev/null"]).status === 0

interface Keystroke {
  /** What must show up first, after what the one before waited for. */
  readonly after: string
  readonly keys: string
}

const session = (args: ReadonlyArray<string>, keys: ReadonlyArray<Keystroke>): Promise<string> =>
  withFolder((folder) => {
    const script = join(folder, "session.sh")
    writeFileSync(script, `set -- ${commandLine(args)}\n"$@"; echo "status $?"\n`)
    return new Promise((resolve, reject) => {
      const child = spawnScript(script)
      let shown = ""
      let seen = 0
      const pending = [...keys]
      child.stdout!.on("data", (bytes: Buffer) => {
        shown += bytes.toString("latin1")
        for (let next = pending[0]; next !== undefined; next = pending[0]) {
          const at = shown.indexOf(next.after, seen)
          if (at < 0) return
          pending.shift()
          seen = at + next.after.length
          child.stdin!.write(next.keys, "latin1")
        }
      })
      child.on("error", reject)
      child.on("close", () => resolve(shown))
    })
  })

const PROMPT = "(lguest64) "

describe.skipIf(!pseudoTerminals)("Ctrl-A c", () => {
  it.each([
    ["in one thread", ["--smp", "2", "--deterministic"]],
    ["with a thread for each virtual CPU", ["--smp", "2"]],
    ["with no hypervisor", ["--native", "--arch", "i386"]],
  ])("opens the monitor, stops the guest, lets it go and goes back: %s", async (_, args) => {
    const shown = await session(
      ["run", ...args],
      [
        { after: "puppy# ", keys: "\x01c" },
        { after: PROMPT, keys: "info vcpu\r" },
        { after: "virtual CPU 0: ", keys: "" },
        { after: PROMPT, keys: "stop\r" },
        { after: "the guest is stopped", keys: "" },
        // What is typed at the console of a guest that is stopped waits for it.
        { after: PROMPT, keys: "\x01c" },
        { after: "The guest is stopped: cont in the monitor lets it go on.", keys: "echo still $? here\r\x01c" },
        { after: PROMPT, keys: "cont\r" },
        { after: PROMPT, keys: "\x01c" },
        { after: "still 0 here", keys: "poweroff 5\r" },
      ],
    )
    expect(shown).toContain("status 5")
    expect(shown).not.toContain("there is no command")
  })

  it("steps a guest that is busy", async () => {
    const shown = await session(
      ["run", "--deterministic"],
      [
        { after: "puppy# ", keys: "cpu-bench 2000000000 &\r" },
        { after: "puppy# ", keys: "\x01c" },
        { after: PROMPT, keys: "stop\r" },
        { after: PROMPT, keys: "step 3\r" },
        { after: "virtual CPU 0 at 0x", keys: "step 1000\r" },
        { after: "virtual CPU 0 at 0x", keys: "cont\r" },
        { after: "cont", keys: "quit\r" },
      ],
    )
    expect(shown).not.toContain("virtual CPU 0 waits")
    expect(shown).toContain("lguest64: ended by Ctrl-A x")
  })

  it("keeps what the guest writes until its console is back", async () => {
    const look = { after: PROMPT, keys: "info pci\r" }
    const shown = await session(
      ["run"],
      [
        { after: "puppy# ", keys: "sleep 1; echo said $? meanwhile\r\x01c" },
        ...Array.from({ length: 60 }, () => look),
        { after: PROMPT, keys: "\x01c" },
        { after: "said 0 meanwhile", keys: "\x01c" },
        { after: PROMPT, keys: "quit\r" },
      ],
    )
    const said = shown.indexOf("said 0 meanwhile")
    const between = shown.slice(shown.indexOf(PROMPT), said)
    expect(said).toBeGreaterThan(0)
    // All answers came first, and then nothing of the monitor's.
    expect(between.split("host bridge")).toHaveLength(61)
    expect(shown.slice(said)).toMatch(/^said 0 meanwhile/)
  })
})

describe.skipIf(!hasGdb)("gdb's monitor", () => {
  it("has the same commands, but for those that are gdb's own", async () => {
    const { text } = await gdbSession(
      ["--deterministic"],
      ["monitor info vcpu", "monitor xp/1i 0x100000", "monitor stop", "monitor nonsense", "kill"],
      { input: null },
    )
    expect(text).toContain("* virtual CPU 0: ")
    expect(text).toMatch(/0x0000000000100000: fc +cld/)
    expect(text).toContain("it is gdb that stops, steps and ends this guest")
    expect(text).toContain("there is no command nonsense; try help")
  })
})

describe("without a terminal", () => {
  it("there is no monitor: Ctrl-A and c are the guest's", async () => {
    const { status, stdout } = await lguest64(["run"], "echo a\x01cb\npoweroff\n")
    expect(status).toBe(0)
    expect(stdout).not.toContain(PROMPT)
  })
})
