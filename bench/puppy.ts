import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Stats } from "../src/launcher/stats.ts"
import type { Arch } from "./kernels.ts"

/*
 * What takes a whole guest: puppy under its module, driven through the command line as a user drives it. Counts come from
 * `--stats-json`; what belongs to a measuring program is the difference between a run with it and a run that only boots.
 */

const LAUNCHER = fileURLToPath(new URL("../dist/launcher/main.js", import.meta.url))
const LONGEST_MS = 120_000
const PROMPT = /[#$] $/

const launch = (args: ReadonlyArray<string>): ChildProcess =>
  spawn(process.execPath, [LAUNCHER, "run", ...args], { stdio: ["pipe", "pipe", "pipe"] })

/** Runs shell lines in puppy and gives the statistics of the run. */
export const runLines = async (arch: Arch, lines: ReadonlyArray<string>): Promise<Stats> =>
  (await runPuppy(["--arch", arch], lines)).stats

/** The same with options of `run`; also what puppy printed. */
export const runPuppy = (
  options: ReadonlyArray<string>,
  lines: ReadonlyArray<string>,
): Promise<{ readonly stats: Stats; readonly output: string }> => {
  const directory = mkdtempSync(join(tmpdir(), "bench-"))
  const file = join(directory, "stats.json")
  return new Promise<{ stats: Stats; output: string }>((resolve, reject) => {
    const child = launch([...options, "--stats-json", file])
    let output = ""
    const late = setTimeout(() => child.kill(), LONGEST_MS)
    child.stdout?.on("data", (bytes: Buffer) => (output += bytes.toString()))
    child.stderr?.on("data", (bytes: Buffer) => (output += bytes.toString()))
    child.on("error", reject)
    child.on("exit", (code) => {
      clearTimeout(late)
      if (code === 0) resolve({ stats: JSON.parse(readFileSync(file, "utf8")) as Stats, output })
      else
        reject(new Error(`puppy (${options.join(" ")}) ended with status ${code}: ${output.trim().split("\n").at(-1)}`))
    })
    child.stdin?.end([...lines, "poweroff 0", ""].join("\n"))
  }).finally(() => rmSync(directory, { recursive: true, force: true }))
}

/**
 * What comes to the host often, on i386 page faults as system calls do not; as much of it as a trace of the largest size has
 * room for.
 */
const TRACED: Record<Arch, string> = { x86_64: "getpid-loop 150000", i386: "page-bench 60000" }
const TRACE_LIMIT = "256M"
const TRACE_ROUNDS = 3

/** How many times as long that takes with --trace, writing the file not counted. Of each run the fastest round counts. */
export const traceCost = async (arch: Arch): Promise<number> => {
  const directory = mkdtempSync(join(tmpdir(), "bench-"))
  const tracing = ["--trace", join(directory, "trace.json"), "--trace-limit", TRACE_LIMIT]
  const runs = [[], tracing].flatMap((options) => [[], [TRACED[arch]]].map((lines) => ({ options, lines })))
  const seconds = runs.map(() => Infinity)
  try {
    for (let round = 0; round < TRACE_ROUNDS; round++)
      for (const [i, { options, lines }] of runs.entries())
        seconds[i] = Math.min(seconds[i]!, (await runPuppy(["--arch", arch, ...options], lines)).stats.seconds)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
  const [boot, run, tracedBoot, tracedRun] = seconds as [number, number, number, number]
  return (tracedRun - tracedBoot) / (run - boot)
}

/** Seconds from starting the command to the shell's prompt, and the process's resident bytes then. */
export const timeToPrompt = (arch: Arch): Promise<{ readonly seconds: number; readonly residentBytes: number }> =>
  new Promise((resolve, reject) => {
    const start = performance.now()
    const child = launch(["--arch", arch])
    let output = ""
    let errors = ""
    const late = setTimeout(() => child.kill(), LONGEST_MS)
    let found: { seconds: number; residentBytes: number } | undefined
    child.stderr?.on("data", (bytes: Buffer) => (errors += bytes.toString()))
    child.stdout?.on("data", (bytes: Buffer) => {
      output += bytes.toString()
      if (found || !PROMPT.test(output)) return
      found = { seconds: (performance.now() - start) / 1000, residentBytes: residentBytes(child.pid) }
      child.stdin?.end("poweroff 0\n")
    })
    child.on("error", reject)
    child.on("exit", (code) => {
      clearTimeout(late)
      if (found) resolve(found)
      else reject(new Error(`no prompt on ${arch}; status ${code}: ${errors.trim().split("\n").at(-1)}`))
    })
  })

/** Resident set by /proc (Linux); 0 elsewhere. */
const residentBytes = (pid: number | undefined): number => {
  try {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}

const total = (counts: Readonly<Record<string, number>>): number => Object.values(counts).reduce((a, b) => a + b, 0)
/** #PF's vector. */
const PAGE_FAULT = "14"

export interface GuestRate {
  readonly name: string
  readonly unit: string
  /** Events a second. */
  readonly rate: number
}

interface Program {
  readonly name: string
  /** What is typed at puppy's prompt; operations enough for seconds. */
  readonly line: string
  readonly counts: ReadonlyArray<{ readonly unit: string; readonly of: (stats: Stats) => number }>
}

/** Reflected by the host on x86_64; on i386 straight to the guest's kernel by the gate of vector 128. */
const guestSystemCalls = (s: Stats): number => (s.arch === "i386" ? (s.traps["128"] ?? 0) : s.syscalls.reflected)
const SYSTEM_CALLS = 1_000_000
const switches = { unit: "world switches", of: (s: Stats) => s.worldSwitches }
const PROGRAMS: ReadonlyArray<Program> = [
  {
    name: "getpid",
    line: `getpid-loop ${SYSTEM_CALLS}`,
    counts: [{ unit: "guest system calls", of: (s) => guestSystemCalls(s) }, switches],
  },
  {
    name: "page",
    line: "page-bench 100000",
    counts: [{ unit: "guest page faults", of: (s) => s.guestTraps[PAGE_FAULT] ?? 0 }, switches],
  },
  { name: "fork", line: "fork-bench 2000", counts: [{ unit: "hypercalls", of: (s) => total(s.hypercalls) }, switches] },
  {
    name: "ctx",
    line: "ctx-bench 30000",
    counts: [{ unit: "CR3 loads by hypercall", of: (s) => s.hypercalls.NEW_PGTABLE ?? 0 }, switches],
  },
]

/** Rates under the module of `arch`. `filter` chooses by name. */
export const guestRates = async (arch: Arch, filter: (name: string) => boolean): Promise<ReadonlyArray<GuestRate>> => {
  const chosen = PROGRAMS.filter(({ name }) => filter(name))
  if (chosen.length === 0) return []
  const boot = await runLines(arch, [])
  const rates: GuestRate[] = []
  for (const { name, line, counts } of chosen) {
    const run = await runLines(arch, [line])
    const seconds = run.seconds - boot.seconds
    for (const { unit, of } of counts) rates.push({ name, unit, rate: (of(run) - of(boot)) / seconds })
  }
  return rates
}
