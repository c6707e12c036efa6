import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { explain } from "../../src/launcher/errors.ts"
import { Files } from "../../src/launcher/files.ts"
import { parse } from "../../src/launcher/options.ts"
import { optionsOf, readSnapshot } from "../../src/launcher/snapshot/index.ts"
import { CODE, codeImage } from "./images.ts"
import { core } from "./snapshots.ts"
import { lguest64 } from "./spawn.ts"

/* Snapshots as users meet them: --save, --save-at, --restore. */

let folder: string
const at = (name: string) => join(folder, name)
const LINE = /^lguest64: [^\n]+\n$/

const SCRIPT =
  "dd if=/dev/hwrng of=/dev/vda bs=512 count=4\nsync\ndd if=/dev/vda bs=512 count=4 | wc\nls /\npoweroff 3\n"
const DISK = Buffer.alloc(32 * 512, "lguest")

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "snapshot-"))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Standard error without what --verbose says at the start: how much of the input was taken. */
const takenOf = (stderr: string): number => Number(/ with (\d+) bytes of the input taken\n/.exec(stderr)?.[1])

describe.each([
  ["under a module", [], "int,mmu,hcall,switch", 600_000],
  ["natively, on two processors", ["--native", "--smp", "2"], "int", 900_000],
] as const)("a run that was saved goes on: %s", (_, options, events, position) => {
  it("console, log, statistics and disk are those of a run that never stopped", async () => {
    const disk = (name: string) => {
      writeFileSync(at(name), DISK)
      return ["--block", at(name)]
    }
    const log = (name: string) => ["-d", events, "-D", at(`${name}.log`), "--stats-json", at(`${name}.json`)]
    const run = ["run", ...options, "--seed", "3"]
    const whole = await lguest64([...run, ...disk("whole.img"), ...log("whole")], SCRIPT)
    expect(whole).toMatchObject({ status: 3, stderr: "" })

    const save = ["--save", at("a.snap"), "--save-at", String(position), "--verbose"]
    const before = await lguest64([...run, ...disk("a.img"), ...log("before"), ...save], SCRIPT)
    expect(before.status).toBe(0)
    const rest = SCRIPT.slice(takenOf(before.stderr))
    const after = await lguest64(["run", "--restore", at("a.snap"), ...log("after")], rest)
    expect(after).toMatchObject({ status: 3, stderr: "" })

    expect(before.stdout + after.stdout).toBe(whole.stdout)
    const text = (name: string) => readFileSync(at(name), "utf8")
    expect(text("before.log") + text("after.log") === text("whole.log")).toBe(true)
    const stats = (name: string) => ({ ...JSON.parse(text(`${name}.json`)), commandLine: [], seconds: 0 }) as unknown
    expect(stats("after")).toEqual(stats("whole"))
    expect(readFileSync(at("a.img")).equals(readFileSync(at("whole.img")))).toBe(true)
    expect(readFileSync(at("a.img")).equals(DISK)).toBe(false)
  })
})

describe("a snapshot of a small guest", () => {
  beforeAll(async () => {
    writeFileSync(at("disk.img"), DISK)
    const options = ["--arch", "i386", "--mem", "8", "--seed", "3", "--append", "quiet", "--block", at("disk.img")]
    const saved = await lguest64(["run", ...options, "--save", at("s.snap"), "--save-at", "200K"])
    expect(saved).toMatchObject({ status: 0, stderr: "" })
  })
  const restore = (...more: ReadonlyArray<string>) =>
    lguest64(["run", "--restore", at("s.snap"), ...more], "poweroff 5\n")

  it("goes on without any other option, and with those that say the same again", async () => {
    expect(await restore()).toMatchObject({ status: 5, stderr: "" })
    expect(await restore("--arch", "i386", "--mem", "8M", "--append", "quiet", "--seed", "3")).toMatchObject({
      status: 5,
    })
  })

  it("goes on with its disk under another name, and not with another disk", async () => {
    copyFileSync(at("disk.img"), at("copy.img"))
    expect(await restore("--block", at("copy.img"))).toMatchObject({ status: 5 })
    writeFileSync(at("copy.img"), Buffer.alloc(DISK.length))
    const { status, stderr } = await restore("--block", at("copy.img"))
    expect(status).toBe(65)
    expect(stderr).toBe(`lguest64: ${at("copy.img")}: is not what it was when ${at("s.snap")} was made\n`)
  })

  it.each([
    [["--mem", "64M"], "--mem contradicts S: its guest has 8 MiB"],
    [["--arch", "x86_64"], "--arch contradicts S: it is of i386"],
    [["--native"], "--native contradicts S: its guest is under a module"],
    [["--pae"], "--pae contradicts S: its page tables have no third level"],
    [["--late-checks"], "--late-checks contradicts S: its processor checks in time"],
    [["--seed", "4"], "--seed contradicts S: its seed is 3"],
    [["--append", "loud"], '--append contradicts S: its kernel was given "quiet"'],
    [["--initrd", "x"], "--initrd contradicts S: the kernel and its initrd are in it"],
    [["kernel.elf"], "KERNEL contradicts S: the kernel and its initrd are in it"],
    [["--smp", "2"], "--smp contradicts S: it has 1 virtual CPU on 1 processor"],
    [["--net", "hub=a"], "--net contradicts S: it has no network device"],
    [["--block", "a", "--block", "b"], "--block contradicts S: it has 1 disk"],
  ] as const)("%s is refused", (more, line) => {
    const merged = Effect.gen(function* () {
      const request = yield* parse("", ["run", "--restore", at("s.snap"), ...more])
      if (request.kind !== "run") throw new Error("no run")
      const snapshot = yield* readSnapshot(at("s.snap"), core)
      return yield* optionsOf(snapshot, request.options, request.options.restore!)
    })
    const result = Effect.runSync(Effect.result(Effect.provide(merged, Files.layer)))
    expect(Result.isFailure(result) && explain(result.failure)).toEqual({
      status: 64,
      line: `${line.replace("S", at("s.snap"))} (see lguest64 run --help)`,
    })
  })

  it("is refused when it is damaged, or not there", async () => {
    const bytes = readFileSync(at("s.snap"))
    bytes[bytes.length >> 1]! ^= 1
    writeFileSync(at("damaged.snap"), bytes)
    const damaged = await lguest64(["run", "--restore", at("damaged.snap")])
    expect(damaged.status).toBe(65)
    expect(damaged.stderr).toBe(`lguest64: ${at("damaged.snap")}: is damaged: its checksum is another\n`)
    const missing = await lguest64(["run", "--restore", at("missing.snap")])
    expect(missing.status).toBe(66)
    expect(missing.stderr).toMatch(LINE)
  })
})

describe("what cannot be saved", () => {
  it.each([
    [["--save", "x"], "--save needs --save-at N: after how many instructions"],
    [["--save-at", "5"], "--save-at needs --save FILE: where to"],
    [
      ["--smp", "2", "--save", "x", "--save-at", "5"],
      "--save needs --deterministic where there is --smp: a snapshot is of a machine in one thread",
    ],
  ] as const)("%s", async (options, line) => {
    const { status, stderr } = await lguest64(["run", ...options])
    expect(status).toBe(64)
    expect(stderr).toBe(`lguest64: ${line} (see lguest64 run --help)\n`)
  })

  it("a run that ends before: its own status, and a word", async () => {
    writeFileSync(at("off"), codeImage("x86_64", CODE.powerOff(42)))
    const { status, stderr } = await lguest64(["run", "--native", at("off"), "--save", at("x"), "--save-at", "1M"])
    expect(status).toBe(42)
    expect(stderr).toMatch(/^lguest64: [^\n]*there is no snapshot, as the run ended before 1000000 instructions\n$/)
  })

  it("to a folder that is not there", async () => {
    const { status, stderr } = await lguest64(["run", "--save", at("no/x"), "--save-at", "1M"])
    expect(status).toBe(73)
    expect(stderr).toMatch(LINE)
  })
})

it("a free-running guest goes on too", async () => {
  const saved = await lguest64(["run", "--save", at("free.snap"), "--save-at", "300K"])
  expect(saved).toMatchObject({ status: 0, stderr: "" })
  expect(await lguest64(["run", "--restore", at("free.snap")], "echo here\npoweroff 4\n")).toMatchObject({
    status: 4,
    stdout: expect.stringContaining("here") as string,
  })
  const { status, stderr } = await lguest64(["run", "--restore", at("free.snap"), "--deterministic"])
  expect(status).toBe(64)
  expect(stderr).toContain("--deterministic contradicts")
})

it("a guest with page tables of three levels goes on", async () => {
  const kernel = fileURLToPath(new URL("../../guests/images/hello-i386-pae.elf", import.meta.url))
  const run = ["run", "--pae", kernel, "--seed", "1"]
  const log = (name: string) => ["-d", "int,mmu,hcall,switch", "-D", at(name)]
  const whole = await lguest64([...run, ...log("pae.log")])
  const before = await lguest64([...run, ...log("pae1.log"), "--save", at("pae.snap"), "--save-at", "3K"])
  const after = await lguest64(["run", "--restore", at("pae.snap"), ...log("pae2.log")])
  expect([before.status, after.status]).toEqual([0, whole.status])
  expect(before.stdout + after.stdout).toBe(whole.stdout)
  const text = (name: string) => readFileSync(at(name), "utf8")
  expect(text("pae2.log")).not.toBe("")
  expect(text("pae1.log") + text("pae2.log")).toBe(text("pae.log"))
})
