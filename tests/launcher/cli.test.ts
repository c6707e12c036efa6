import { spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Schema from "effect/Schema"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { Stats } from "../../src/launcher/stats.ts"
import { CODE, codeImage } from "./images.ts"
import { commandLine, lguest64, shell, spawnScript, start } from "./spawn.ts"

/* The program as its users meet it: what goes in, what comes out, and with which status. */

let folder: string
const kernels = {
  "off-32": codeImage("i386", CODE.powerOff(42)),
  "off-64": codeImage("x86_64", CODE.powerOff(42)),
  illegal: codeImage("x86_64", CODE.illegal),
  "illegal-32": codeImage("i386", CODE.illegal),
  forever: codeImage("x86_64", CODE.forever),
  halt: codeImage("x86_64", CODE.halt),
  chatter: codeImage("x86_64", CODE.chatter),
  truncated: codeImage("x86_64", CODE.forever).subarray(0, 100),
}
const kernel = (name: keyof typeof kernels) => join(folder, name)

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "launcher-"))
  for (const [name, bytes] of Object.entries(kernels)) writeFileSync(join(folder, name), bytes)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** One line, ours. */
const LINE = /^lguest64: [^\n]+\n$/

describe("exit statuses", () => {
  it.each(["off-32", "off-64"] as const)("the guest's own (%s), without a word", async (name) => {
    expect(await lguest64(["run", "--native", kernel(name)])).toMatchObject({ status: 42, stdout: "", stderr: "" })
  })

  it.each([
    ["64: no command", 64, []],
    ["64: unknown option", 64, ["run", "--bogus"]],
    ["64: no memory", 64, ["run", "--mem", "0"]],
    ["64: little memory", 64, ["run", "--mem", "1K"]],
    ["64: too much memory", 64, ["run", "--mem", "100G"]],
    ["65: no image", 65, ["run", import.meta.filename]],
    ["65: truncated image", 65, ["run", "@truncated"]],
    ["65: image of the other architecture", 65, ["run", "--arch", "i386", "@off-64"]],
    ["65: no initrd", 65, ["run", "@off-64", "--initrd", "@off-64"]],
    ["65: an initrd that leaves no room", 65, ["run", "--native", "@off-64", "--mem", "4M", "--initrd", "@big.cpio"]],
    ["66: no kernel", 66, ["run", "/no/such/kernel"]],
    ["66: no such initrd", 66, ["run", "--initrd", "/no/such/initrd"]],
    ["66: a folder", 66, ["run", "/"]],
    ["70: triple fault", 70, ["run", "--native", "@illegal"]],
    ["70: halted for ever", 70, ["run", "--native", "@halt"]],
    ["73: nowhere to write the report", 73, ["run", "--stats-json", "/no/such/folder/file"]],
    ["124: instruction limit", 124, ["run", "--native", "--max-instructions", "100K", "@forever"]],
  ])("%s", async (_what, status, args) => {
    const name = "bin/" + "x".repeat(3000)
    const record = (path: string, bytes: number) =>
      "070701" +
      [1, 0o100644, 0, 0, 1, 0, bytes, 0, 0, 0, 0, path.length + 1, 0]
        .map((n) => n.toString(16).padStart(8, "0"))
        .join("") +
      path +
      "\0".repeat(4 - ((110 + path.length) % 4))
    writeFileSync(join(folder, "big.cpio"), record(name, 4 << 20) + "\0".repeat(4 << 20) + record("TRAILER!!!", 0))
    const result = await lguest64(args.map((arg) => (arg.startsWith("@") ? join(folder, arg.slice(1)) : arg)))
    expect(result.stderr).toMatch(LINE)
    expect(result).toMatchObject({ status, stdout: "", signal: null })
  })
})

const machines = [
  { arch: "i386", how: "native", options: ["--arch", "i386", "--native"] },
  { arch: "i386", how: "lguest", options: ["--arch", "i386"] },
  { arch: "x86_64", how: "native", options: ["--arch", "x86_64", "--native"] },
  { arch: "x86_64", how: "lguest64", options: [] },
] as const

describe.each(machines)("puppy on $arch, $how", ({ arch, how, options }) => {
  const run = (input: string, ...args: ReadonlyArray<string>) => lguest64(["run", ...options, ...args], input)

  it("runs a script from a pipe and hands back its status", async () => {
    const result = await run("ls /\nuname -a\npoweroff 3\n")
    expect(result).toMatchObject({ status: 3, stderr: "" })
    expect(result.stdout).toMatch(/bin +dev +etc +init +mnt +proc +tmp/)
    expect(result.stdout).toContain(`#1 ${how} ${arch === "i386" ? "i686" : "x86_64"}\r\n`)
  })

  it("ends with its shell at the end of the input", async () => {
    expect(await run("(exit 9)\n")).toMatchObject({ status: 9 })
    expect(await run("exit 8")).toMatchObject({ status: 8 }) // no newline: ^D hands the line over, then ends it
    expect(await run("cat\nhello\n")).toMatchObject({ status: 0 }) // the first ^D is cat's
  })

  it("lets idle time pass at once where nobody waits for it", async () => {
    const result = await run("sleep 1000\necho slept\n")
    expect(result.status).toBe(0)
    expect(result.stdout).toContain("slept\r\n")
  })

  it("is given up when it waits for ever", async () => {
    const result = await run("sleep 1000000\n")
    expect(result.status).toBe(70)
    expect(result.stderr).toMatch(LINE)
  })

  it("counts", async () => {
    const file = join(folder, `stats-${arch}-${how}.json`)
    const result = await run("getpid-loop 500\npoweroff\n", "--stats", "--stats-json", file)
    expect(result.status).toBe(0)
    const stats = Schema.decodeUnknownSync(Stats)(JSON.parse(readFileSync(file, "utf8")))
    const { total, ring0, ring1, ring2, ring3 } = stats.instructions
    expect(total).toBe(ring0 + ring1 + ring2 + ring3)
    expect(ring3).toBeGreaterThan(500)
    expect(result.stderr).toContain(String(total))
    expect(stats).toMatchObject({ version: 2, arch, native: how === "native" })
    // i386's system calls are traps of their own, straight to the guest's kernel; x86_64's are not traps natively.
    if (arch === "i386") expect(stats.traps["128"]).toBeGreaterThan(500)
    if (how === "lguest64") expect(stats.syscalls.reflected).toBeGreaterThan(500)
    expect(Object.values(stats.shadowFaults)).not.toContain(0)
    if (how === "native") expect(stats).toMatchObject({ worldSwitches: 0, hypercalls: {}, shadowFaults: {} })
    else {
      expect(stats.hypercalls).toMatchObject({ LGUEST_INIT: 1, SHUTDOWN: 1 })
      expect(stats.worldSwitches).toBeGreaterThan(100)
      expect(stats.shadowFaults["fill"]).toBeGreaterThan(0)
      // Ring 1 is the i386 guest's kernel, and nobody's elsewhere.
      expect(ring1 > 0).toBe(arch === "i386")
    }
  })

  it("is deterministic when asked to be, however the input comes", async () => {
    const report = async (name: string, pieces: ReadonlyArray<string>) => {
      const file = join(folder, `${arch}-${how}-${name}.json`)
      const child = start(["run", ...options, "--seed", "5", "--stats-json", file])
      const done = new Promise((resolve) => child.on("close", resolve))
      for (const piece of pieces) {
        child.stdin!.write(piece)
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
      child.stdin!.end()
      child.stdout!.resume()
      await done
      return { ...(JSON.parse(readFileSync(file, "utf8")) as Stats), seconds: 0, commandLine: [] }
    }
    const script = "fork-bench 5\nsleep 1\nps\npoweroff\n"
    const whole = await report("whole", [script])
    expect(whole.instructions.total).toBeGreaterThan(0)
    expect(await report("pieces", ["fork-b", "ench 5\nsleep 1\n", "ps\npoweroff\n"])).toEqual(whole)
  })
})

describe.each([
  ["i386", "illegal-32"],
  ["x86_64", "illegal"],
] as const)("a guest under the module of %s", (_arch, name) => {
  it("that dies is reported with its instruction, address and cause", async () => {
    const result = await lguest64(["run", kernel(name)])
    expect(result).toMatchObject({ status: 70, stdout: "" })
    expect(result.stderr).toMatch(LINE)
    expect(result.stderr).toContain("at 0x100000: ud2 (0f 0b)")
  })

  it("is logged event by event", async () => {
    const log = join(folder, `${name}.log`)
    await lguest64(["run", "-d", "int,switch", "-D", log, kernel(name)])
    const lines = readFileSync(log, "utf8").trim().split("\n")
    expect(lines.length).toBeGreaterThan(0)
    for (const line of lines) expect(line).toMatch(/^\d+ (int|switch) \S/)
    const result = await lguest64(["run", "-d", "int,switch", kernel(name)])
    expect(result.status).toBe(70)
    expect(result.stderr.trim().split("\n").slice(0, -1)).toHaveLength(lines.length)
  })
})

describe("a native kernel's events", () => {
  it.each([
    ["i386", /^\d+ int vector 128 error 0x0 at 0x80[0-9a-f]+: int \$0x80 \(cd 80\)$/m],
    ["x86_64", /^\d+ int vector 14 error 0x14 at 0x40[0-9a-f]+: unreadable$/m],
  ] as const)("on %s are logged, and counted as many", async (arch, line) => {
    const [log, stats] = [join(folder, `native-${arch}.log`), join(folder, `native-${arch}.json`)]
    const options = ["--native", "--arch", arch, "--deterministic", "-d", "int", "-D", log, "--stats-json", stats]
    const result = await lguest64(["run", ...options], "echo hi\npoweroff 3\n")
    expect(result).toMatchObject({ status: 3, stderr: "" })
    const text = readFileSync(log, "utf8")
    expect(text).toMatch(line)
    const { traps } = JSON.parse(readFileSync(stats, "utf8")) as { traps: Record<string, number> }
    const counted = Object.values(traps).reduce((a, b) => a + b, 0)
    expect(text.trim().split("\n")).toHaveLength(counted)
  })
})

describe("the example guests", () => {
  const image = (name: string) => fileURLToPath(new URL(`../../guests/images/${name}.elf`, import.meta.url))

  it.each([
    ["hello-x86_64", 3, []],
    ["hello-i386", 1, []],
    ["hello-i386-pae", 1, ["--pae"]],
  ] as const)("%s says hello from ring %i", async (name, ring, options) => {
    const file = join(folder, `${name}.json`)
    const result = await lguest64(["run", ...options, "--stats-json", file, image(name)])
    const stdout = `hello from the guest's kernel, at ring ${ring}\r\na millisecond later\r\n`
    expect(result).toMatchObject({ status: 7, stdout, stderr: "" })
    const stats = Schema.decodeUnknownSync(Stats)(JSON.parse(readFileSync(file, "utf8")))
    expect(stats.hypercalls).toMatchObject({ LGUEST_INIT: 1, SET_CLOCKEVENT: 1, SHUTDOWN: 1 })
    expect(stats.interrupts.injected).toBe(1)
    expect(stats.simulatedSeconds).toBeGreaterThan(0.001)
  })

  it("know when there is no module", async () => {
    expect(await lguest64(["run", "--native", image("hello-x86_64")])).toMatchObject({ status: 8, stdout: "" })
    expect(await lguest64(["run", "--native", image("hello-i386")])).toMatchObject({ status: 8, stdout: "" })
  })

  it.each([
    ["with two levels under a host with three", 70, ["--pae", image("hello-i386")]],
    ["with three levels under a host with two", 70, [image("hello-i386-pae")]],
    ["of four levels", 64, ["--pae", image("hello-x86_64")]],
  ])("page tables %s: status %i", async (_what, status, args) => {
    const result = await lguest64(["run", ...args])
    expect(result).toMatchObject({ status, stdout: "" })
    expect(result.stderr).toMatch(LINE)
  })
})

describe("random bytes for a kernel", () => {
  const cases = (["i386", "x86_64"] as const).flatMap((arch) =>
    [[], ["--native"]].map((options) => ({ arch, options })),
  )
  it.each(cases)("$arch $options", async ({ arch, options }) => {
    let state = 1
    const bytes = Array.from({ length: 4096 }, () => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) >>> 24)
    const file = join(folder, `random-${arch}`)
    writeFileSync(file, codeImage(arch, bytes))
    const result = await lguest64(["run", ...options, "--max-instructions", "10M", file])
    expect([70, 124]).toContain(result.status)
    expect(result.stderr).toMatch(LINE)
  })
})

describe("being ended from outside", () => {
  const until = (emitter: NodeJS.EventEmitter, event: string) => new Promise((resolve) => emitter.once(event, resolve))

  it.each([
    ["SIGTERM", 143],
    ["SIGINT", 130],
    ["SIGHUP", 129],
  ] as const)("%s gives %i and a line", async (signal, status) => {
    const child = start(["run", "--native", "--verbose", kernel("forever")])
    let stderr = ""
    child.stderr!.on("data", (bytes: Buffer) => (stderr += bytes.toString()))
    while (!stderr.includes("memory")) await until(child.stderr!, "data")
    child.kill(signal)
    expect(await until(child, "close")).toBe(status)
    expect(stderr.trim().split("\n").at(-1)).toMatch(/^lguest64: /)
  })

  it("a reader that leaves", () => {
    const result = shell(`{ "$@"; echo "status $?" >&2; } | head -c 5`, ["run", "--native", kernel("chatter")])
    expect(result.stdout).toBe("xxxxx")
    expect(result.stderr).toBe("lguest64: standard output was closed\nstatus 141\n")
  })

  it.skipIf(!existsSync("/dev/full"))("a full disk behind the log ends the log with a line, and nothing else", () => {
    const result = shell(`"$@"`, ["run", "-d", "switch", "-D", "/dev/full"], "poweroff 3\n")
    expect(result.status).toBe(3)
    expect(result.stderr).toMatch(/^[^\n]*\/dev\/full ends here: [^\n]*\n$/)
  })

  it.skipIf(!existsSync("/dev/full"))("a full disk behind standard output", () => {
    for (const options of [[], ["--native"]]) {
      const result = shell(`"$@" > /dev/full`, ["run", ...options], "poweroff 3\n")
      expect(result).toMatchObject({
        status: 73,
        stderr: "lguest64: standard output: no space left on the device\n",
      })
    }
  })

  it("a reader that does not read holds the guest, and not us", async () => {
    const child = start(["run", "--native", kernel("chatter")])
    child.stdout!.pause()
    await new Promise((resolve) => setTimeout(resolve, 3000))
    child.kill("SIGTERM")
    expect(await until(child, "exit")).toBe(143)
    child.stdout!.destroy()
  })

  it.each([">&-", "<&-", "2>&-", "<&- >&- 2>&-"])("closed descriptors: %s", (closed) => {
    expect(shell(`"$@" ${closed}`, ["run", "--native", kernel("off-64")]).status).toBe(42)
  })
})

const pseudoTerminals = spawnSync("script", ["-qec", "true", "/dev/null"]).status === 0

describe.skipIf(!pseudoTerminals)("on a terminal", () => {
  /** Types `keys`, each when `after` it has shown up, and gives all that the terminal showed. */
  const session = (
    args: ReadonlyArray<string>,
    keys: ReadonlyArray<{ readonly after: string; readonly keys: string }>,
    wrap = `"$@"; echo "status $?"; stty -a`,
  ): Promise<string> => {
    const script = join(folder, "session.sh")
    writeFileSync(script, `set -- ${commandLine(args)}\n${wrap}\n`)
    return new Promise((resolve, reject) => {
      const child = spawnScript(script)
      let shown = ""
      let seen = 0
      const pending = [...keys]
      child.stdout!.on("data", (bytes: Buffer) => {
        shown += bytes.toString("latin1")
        const next = pending[0]
        const at = next === undefined ? -1 : shown.indexOf(next.after, seen)
        if (next === undefined || at < 0) return
        pending.shift()
        seen = at + next.after.length
        child.stdin!.write(next.keys, "latin1")
      })
      child.on("error", reject)
      child.on("close", () => resolve(shown))
    })
  }

  const quit = { after: "puppy# ", keys: "\x01x" }

  it("Ctrl-A x ends it, and the terminal is as before", async () => {
    const shown = await session(["run", "--native"], [quit])
    expect(shown).toContain("lguest64: ended by Ctrl-A x")
    expect(shown).toContain("status 0")
    expect(shown).toMatch(/[^-]icanon/)
    expect(shown).toMatch(/[^-]echo /)
  })

  it("Ctrl-A h helps, ^C is the guest's, and lines are typed", async () => {
    const shown = await session(
      ["run", "--native"],
      [
        { after: "puppy# ", keys: "\x01h" },
        { after: "send Ctrl-A", keys: "sleep 1000\r" },
        { after: "sleep 1000", keys: "\x03" },
        { after: "puppy# ", keys: "no such thing\x03" },
        { after: "puppy# ", keys: "poweroff $?\r" },
      ],
    )
    expect(shown).toContain("Ctrl-A x  end the run")
    // What ^C threw away was not run; it is a status of its own, and brings a new prompt.
    expect(shown).toContain("status 130")
    expect(shown).toMatch(/[^-]icanon/)
  })

  it("a terminal that vanishes ends it", async () => {
    const log = join(folder, "gone")
    // The terminal's only other end is script's: with that gone, nothing is left but the hangup.
    const script = join(folder, "gone.sh")
    writeFileSync(script, `trap '' HUP\n${commandLine(["run", "--native"])} 2>/dev/null\necho "status $?" > ${log}\n`)
    const child = spawnScript(script)
    await new Promise<void>((resolve) => {
      let shown = ""
      child.stdout!.on("data", (bytes: Buffer) => {
        shown += bytes.toString("latin1")
        if (shown.includes("puppy# ")) resolve()
      })
    })
    child.kill("SIGKILL")
    await expect
      .poll(() => readFileSync(log, { encoding: "utf8", flag: "a+" }), { timeout: 30_000 })
      .toBe("status 129\n")
  })
})
