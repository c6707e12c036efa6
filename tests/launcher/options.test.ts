import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { describe, expect, it } from "vitest"
import { explain } from "../../src/launcher/errors.ts"
import { ONE_CPU } from "../../src/launcher/smp.ts"
import { parse, type Request, type RunOptions } from "../../src/launcher/options.ts"

const request = (...args: string[]): Request => Effect.runSync(parse("1.2.3", args))
const options = (...args: string[]): RunOptions => {
  const parsed = request("run", ...args)
  if (parsed.kind !== "run") throw new Error("no run")
  return parsed.options
}
const refusal = (...args: string[]): { status: number; line: string } => {
  const result = Effect.runSync(Effect.result(parse("1.2.3", args)))
  if (!Result.isFailure(result)) throw new Error("accepted")
  return explain(result.failure)
}

describe("the command line", () => {
  it("has defaults", () => {
    expect(options()).toEqual({
      kernel: undefined,
      arch: undefined,
      memoryBytes: 64 * 2 ** 20,
      initrd: undefined,
      cmdline: "",
      native: false,
      pae: false,
      lateChecks: false,
      deterministic: false,
      seed: 0,
      maxInstructions: Infinity,
      stats: false,
      statsJson: undefined,
      verbose: false,
      log: new Set(),
      logFile: undefined,
      blocks: [],
      net: undefined,
      smp: ONE_CPU,
    })
  })

  it("takes --smp, --pcpus and --pin, and refuses what makes no sense", () => {
    expect(options("--smp", "4", "--pcpus", "2", "--pin", "0:0,3:1").smp).toEqual({
      vcpus: 4,
      processors: 2,
      pins: new Map([
        [0, 0],
        [3, 1],
      ]),
      given: true,
    })
    expect(options("--smp", "16").smp).toMatchObject({ vcpus: 16, processors: 16 })
    expect(refusal("run", "--smp", "17").line).toMatch(/from 1 to 16/)
    expect(refusal("run", "--smp", "2", "--pin", "2:0").line).toMatch(/virtual CPU 2.*from 0 to 1/)
    expect(refusal("run", "--smp", "2", "--pin", "1:2").line).toMatch(/processor 2.*from 0 to 1/)
    expect(refusal("run", "--smp", "2", "--pin", "1:0,1:1").line).toMatch(/pinned twice/)
    expect(refusal("run", "--smp", "2", "--pin", "1").line).toMatch(/"1" is no pair/)
    expect(refusal("run", "--native", "--smp", "2", "--pcpus", "1").line).toMatch(/--native has none/)
  })

  it("takes every option", () => {
    const args =
      "vmlinux --arch i386 --mem 128M --initrd i.cpio --append a=b --pae --late-checks --seed 7 --max-instructions 5M --stats " +
      "--stats-json s.json --verbose -d int,hcall -D log --block d.img --block e.img,ro --net hub=a,pcap=f,mac=52:54:0:1:2:3"
    expect(options(...args.split(" "))).toEqual({
      kernel: "vmlinux",
      arch: "i386",
      memoryBytes: 128 * 2 ** 20,
      initrd: "i.cpio",
      cmdline: "a=b",
      native: false,
      pae: true,
      lateChecks: true,
      deterministic: true,
      seed: 7,
      maxInstructions: 5_000_000,
      stats: true,
      statsJson: "s.json",
      verbose: true,
      log: new Set(["int", "hcall"]),
      logFile: "log",
      blocks: [
        { file: "d.img", readOnly: false },
        { file: "e.img", readOnly: true },
      ],
      net: { hub: "a", pcap: "f", mac: Uint8Array.of(0x52, 0x54, 0, 1, 2, 3) },
      smp: ONE_CPU,
    })
  })

  it.each([
    ["64M", 64 * 2 ** 20],
    ["64", 64 * 2 ** 20],
    ["8192k", 8 * 2 ** 20],
    ["1G", 2 ** 30],
    ["3GiB", 3 * 2 ** 30],
    ["4097K", 4096 * 1024 + 0],
  ])("takes --mem %s", (text, bytes) => expect(options("--mem", text).memoryBytes).toBe(bytes))

  it.each(["0", "1K", "100G", "4G", "3M", "-1", "", "M", "64X", "1e9M", "0x40M", "999999999999999G"])(
    "refuses --mem %j",
    (text) => {
      const { status, line } = refusal("run", `--mem=${text}`)
      expect(status).toBe(64)
      expect(line).toContain("--mem")
      expect(line).not.toContain("\n")
    },
  )

  it.each([
    [[]],
    [["walk"]],
    [["run", "a", "b"]],
    [["run", "--bogus"]],
    [["run", "--arch", "sparc"]],
    [["run", "--arch"]],
    [["run", "--max-instructions", "0"]],
    [["run", "--max-instructions", "1.5"]],
    [["run", "--seed", "-1"]],
    [["run", "-d", "int,foo"]],
    [["run", "-d", ""]],
    [["run", "-D", "file"]],
    [["run", "--native", "-d", "int,mmu"]],
    [["run", "--append", "x".repeat(2048)]],
    [["run", "--append", "\u00e9".repeat(1024)]],
    [["run", "--pae", "--native", "vmlinux"]],
    [["run", "--pae", "--arch", "x86_64", "vmlinux"]],
    [["run", "--pae", "--arch", "i386"]],
  ])("refuses %j with status 64 and one line", (args) => {
    const { status, line } = refusal(...args)
    expect(status).toBe(64)
    expect(line).not.toContain("\n")
  })

  it("prints help and version", () => {
    expect(request("--version")).toEqual({ kind: "text", text: "1.2.3\n" })
    const help = request("run", "--help")
    expect(help.kind).toBe("text")
    if (help.kind === "text") expect(help.text).toContain("default: 64M")
    if (help.kind === "text")
      for (const option of ["--arch", "--native", "--pae", "-d", "-D"]) expect(help.text).toContain(option)
  })
})
