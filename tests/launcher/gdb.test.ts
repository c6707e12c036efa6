import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gdbSession, hasGdb } from "./gdb.ts"
import { type Arch, CODE, codeImage } from "./images.ts"

/*
 * The real gdb on puppy, natively and under both modules. Addresses and instructions are not written here: gdb reads them from the
 * image, so a rebuilt kernel is debugged as well as this one.
 */

interface Machine {
  readonly arch: Arch
  readonly native: boolean
  readonly name: string
}

const MACHINES: ReadonlyArray<Machine> = [
  { arch: "x86_64", native: true, name: "x86_64, native" },
  { arch: "x86_64", native: false, name: "x86_64 under lguest64" },
  { arch: "i386", native: true, name: "i386, native" },
  { arch: "i386", native: false, name: "i386 under lguest" },
]

const args = ({ arch, native }: Machine): ReadonlyArray<string> => ["--arch", arch, ...(native ? ["--native"] : [])]
const symbols = ({ arch }: Machine) => `puppy-${arch}.elf`
/** The numbers that `p/x` printed, in order. */
const printed = (text: string): ReadonlyArray<string> =>
  [...text.matchAll(/^\$\d+ = (0x[0-9a-f]+)/gm)].map((m) => m[1]!)
const AT_START = "p/x (unsigned long)$pc == (unsigned long)&start_kernel"
const echo = (text: string) => `echo --- ${text}\\n`
/** What gdb said between two echoes. */
const between = (text: string, from: string, to: string): string =>
  text.slice(text.indexOf(`--- ${from}\n`) + from.length + 5, text.indexOf(`--- ${to}\n`))

describe.skipIf(!hasGdb).each(MACHINES)("gdb on $name", (machine) => {
  const { arch } = machine

  it("stops at the first instruction, at a function before it is mapped, and steps", async () => {
    const { text, guest } = await gdbSession(
      args(machine),
      [
        "p/x $pc",
        "info threads",
        "break start_kernel",
        "continue",
        AT_START,
        "delete",
        "set $i = 0",
        "while $i < 10",
        "x/i $pc",
        "stepi",
        "set $i = $i + 1",
        "end",
        "info registers",
        "detach",
      ],
      { symbols: symbols(machine) },
    )
    expect(printed(text)).toEqual(["0x100000", "0x1"])
    expect(text).toMatch(/\* 1 +Thread 1 \(virtual CPU 0\)/)
    expect(text).toMatch(/Breakpoint 1, 0x[0-9a-f]+ in start_kernel/)
    const steps = [...text.matchAll(/^=> 0x[0-9a-f]+ <start_kernel\+?(\d*)>:\t(\w+)/gm)]
    expect(steps.length).toBe(10)
    // From one instruction to the one behind it, where none leads elsewhere.
    const offsets = steps.map((step) => Number(step[1]))
    expect(steps.filter((step) => /^(call|j)/.test(step[2]!)).length).toBeLessThanOrEqual(1)
    offsets.slice(1).forEach((offset, i) => {
      expect(offset - offsets[i]!).toBeGreaterThan(0)
      expect(offset - offsets[i]!).toBeLessThanOrEqual(15)
    })
    expect(text).toMatch(arch === "i386" ? /^eip +0x/m : /^efer +0x/m)
    expect(text).toMatch(/Inferior 1 \(Remote target\) detached/)
    // Detached, it went on to the end of its input.
    expect(guest.status).toBe(0)
    expect(guest.output).toContain(`puppy on ${arch}`)
    expect(guest.output).toContain("puppy# ")
  })

  it("watches memory, breaks in hardware, and writes registers and memory", async () => {
    const { text, guest } = await gdbSession(
      args(machine),
      [
        "hbreak start_kernel",
        "continue",
        "set $top = (long *)$sp",
        // What the first instruction pushes, so that it is another value.
        "set $top[-1] = 0x55aa",
        "watch $top[-1]",
        "continue",
        "p/x (long)$top - (long)$sp == sizeof(long)",
        "delete",
        "awatch *$top",
        "rwatch *(int *)&jiffies",
        "delete",
        "set *(int *)&jiffies = 0x12345678",
        "x/4xb &jiffies",
        "set $pc = start_kernel",
        AT_START,
        "kill",
      ],
      { symbols: symbols(machine) },
    )
    expect(text).toMatch(/Breakpoint 1, 0x[0-9a-f]+ in start_kernel/)
    expect(text).toMatch(/Hardware watchpoint 2: \$top\[-1\]\n\nOld value = 21930\nNew value = /)
    expect(text).toMatch(/:\t0x78\t0x56\t0x34\t0x12/)
    expect(printed(text)).toEqual(["0x1", "0x1"])
    expect(guest.status).toBe(70)
    expect(guest.errors).toContain("the debugger killed it")
  })

  it("takes a deterministic run back", async () => {
    const { text, guest } = await gdbSession(
      [...args(machine), "--deterministic"],
      [
        "break start_kernel",
        "continue",
        echo("before"),
        "info registers",
        echo("after"),
        "stepi 5",
        "reverse-stepi 5",
        echo("again"),
        "info registers",
        echo("end"),
        "break do_fork",
        "continue",
        echo("fork"),
        "info registers",
        echo("back"),
        "reverse-continue",
        "reverse-continue",
        "continue",
        "continue",
        echo("fork again"),
        "info registers",
        echo("done"),
        "delete",
        "detach",
      ],
      { symbols: symbols(machine) },
    )
    expect(between(text, "before", "after")).toMatch(/^[er]ax /m)
    expect(between(text, "again", "end")).toBe(between(text, "before", "after"))
    expect(between(text, "fork again", "done")).toBe(between(text, "fork", "back"))
    expect(between(text, "back", "fork again")).toMatch(
      /Breakpoint 1, [^]*No more reverse-execution history[^]*Breakpoint 1, [^]*Breakpoint 2, /,
    )
    expect(guest.status).toBe(0)
    // What it said before is not said again.
    expect(guest.output.match(/puppy on/g)?.length).toBe(1)
  })

  it("stops a guest that waits for input, by Ctrl-C", async () => {
    const { text, guest } = await gdbSession(args(machine), ["echo running\\n", "continue", AT_START, "kill"], {
      symbols: symbols(machine),
      input: null,
      when: { output: /puppy# /, then: (gdb) => setTimeout(() => gdb.kill("SIGINT"), 300) },
    })
    expect(text).toMatch(/Program received signal SIGINT/)
    expect(printed(text)).toEqual(["0x0"])
    expect(guest.status).toBe(70)
  })
})

describe.skipIf(!hasGdb)("gdb", () => {
  let folder: string
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "gdb-"))
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it("finds out, backwards, who wrote to memory", async () => {
    const { text } = await gdbSession(
      ["--arch", "x86_64", "--deterministic"],
      [
        "break start_kernel",
        "continue",
        "delete",
        "set $top = (long *)$sp",
        "set $top[-1] = 0x55aa",
        "stepi 12",
        "p/x $top[-1] == 0x55aa",
        "watch $top[-1]",
        "reverse-continue",
        "x/i $pc",
        "p/x $top[-1]",
        "delete",
        "stepi",
        "p/x $top[-1] == 0x55aa",
        "kill",
      ],
      { symbols: "puppy-x86_64.elf" },
    )
    // The instruction that pushed it is the next to be executed, and what was there before is there again.
    expect(text).toMatch(/=> 0x[0-9a-f]+ <start_kernel>:\tpush/)
    expect(printed(text)).toEqual(["0x0", "0x55aa", "0x0"])
  })

  it.each([
    ["natively", ["--native"]],
    ["under lguest64", []],
    ["on three processors", ["--native", "--smp", "3"]],
    ["under lguest64 on two", ["--smp", "2"]],
    ["under lguest64, more virtual CPUs than processors", ["--smp", "3", "--pcpus", "2"]],
  ])("sees the same run again, with its input, %s", async (_where, options) => {
    const where = ["monitor time", "thread", "info registers"]
    const { text, guest } = await gdbSession(
      ["--arch", "x86_64", ...options, "--deterministic"],
      [
        "break do_execve",
        "continue",
        "continue",
        echo("second"),
        ...where,
        echo("on"),
        "continue",
        echo("third"),
        ...where,
        echo("back"),
        "reverse-continue",
        echo("second again"),
        ...where,
        echo("step"),
        "reverse-stepi",
        "stepi",
        echo("stepped"),
        "info registers",
        echo("on again"),
        "continue",
        echo("third again"),
        ...where,
        echo("end"),
        "delete",
        "detach",
      ],
      { symbols: "puppy-x86_64.elf", input: "ls /\nls /\necho over\n" },
    )
    const second = between(text, "second", "on")
    expect(second).toMatch(/^\d+ ns; execution can be taken back to the start\n.*Current thread is \d[^]*^rip /m)
    expect(between(text, "second again", "step")).toBe(second)
    expect(second.endsWith(between(text, "stepped", "on again"))).toBe(true)
    expect(between(text, "third", "back")).not.toBe(second)
    expect(between(text, "third again", "end")).toBe(between(text, "third", "back"))
    expect(guest.status).toBe(0)
    expect(guest.output.match(/^over/gm)?.length).toBe(1)
  })

  it("says why a run that is not deterministic cannot be taken back", async () => {
    const { text } = await gdbSession(["--native"], ["stepi", "reverse-stepi", "p/x $pc", "kill"])
    expect(text).toContain("no reverse execution: it needs a run with --deterministic")
    expect(printed(text)).toEqual(["0x100001"])
  })

  it.each(MACHINES)("stops a guest that never rests, by Ctrl-C ($name)", async (machine) => {
    const file = join(folder, `forever-${machine.arch}.elf`)
    writeFileSync(file, codeImage(machine.arch, CODE.forever))
    const { text, guest } = await gdbSession(
      [...args(machine), file],
      ["echo running\\n", "continue", "p/x $pc", "stepi", "p/x $pc", "monitor time", "kill"],
      { when: { text: /running/, then: (gdb) => setTimeout(() => gdb.kill("SIGINT"), 500) } },
    )
    expect(text).toMatch(/Program received signal SIGINT/)
    expect(printed(text)).toEqual(["0x100000", "0x100000"])
    expect(text).toMatch(/^\d+ ns; no way back/m)
    expect(guest.status).toBe(70)
  })

  it("hears of the guest's end", async () => {
    const ends = join(folder, "ends.elf")
    const dies = join(folder, "dies.elf")
    writeFileSync(ends, codeImage("x86_64", CODE.powerOff(7)))
    writeFileSync(dies, codeImage("x86_64", CODE.illegal))
    const ended = await gdbSession(["--native", ends], ["continue"])
    expect(ended.text).toMatch(/exited with code 07/)
    expect(ended.guest.status).toBe(7)
    const died = await gdbSession([dies], ["continue"])
    expect(died.text).toMatch(/the guest was killed: exception 6 before LGUEST_INIT/)
    expect(died.text).toMatch(/Program terminated with signal SIGABRT/)
    expect(died.guest.status).toBe(70)
  })
})
