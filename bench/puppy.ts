import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Arch } from "./kernels.ts"

/*
 * What takes a whole guest: puppy under its module, driven through the command line as a user drives it. Counts come from
 * `--stats-json`; what belongs to a measuring program is the difference between a run with it and a run that only boots.
 */

const LAUNCHER = fileURLToPath(new URL("../dist/launcher/main.js", import.meta.url))
const LONGEST_MS = 120_000
const PROMPT = /[#$] $/

export interface Stats {
  readonly instructions: number | { readonly total?: number; readonly [ring: string]: number | undefined }
  readonly worldSwitches: number
  readonly seconds: number
  readonly hypercalls: Record<string, number>
  readonly syscalls: { readonly host: number; readonly reflected: number }
  readonly shadowFaults: Record<string, number>
}

const launch = (args: ReadonlyArray<string>): ChildProcess =>
  spawn(process.execPath, [LAUNCHER, "run", ...args], { stdio: ["pipe", "pipe", "pipe"] })

/** Runs shell lines in puppy and gives the statistics of the run. */
const runLines = (arch: Arch, extra: ReadonlyArray<string>, lines: ReadonlyArray<string>): Promise<Stats> => {
  const directory = mkdtempSync(join(tmpdir(), "bench-"))
  const file = join(directory, "stats.json")
  return new Promise<Stats>((resolve, reject) => {
    const child = launch(["--arch", arch, "--stats-json", file, ...extra])
    let output = ""
    const late = setTimeout(() => child.kill(), LONGEST_MS)
    child.stdout?.on("data", (bytes: Buffer) => (output += bytes.toString()))
    child.stderr?.on("data", (bytes: Buffer) => (output += bytes.toString()))
    child.on("error", reject)
    child.on("exit", (code) => {
      clearTimeout(late)
      if (code === 0) resolve(JSON.parse(readFileSync(file, "utf8")) as Stats)
      else reject(new Error(`puppy on ${arch} ended with status ${code}: ${output.trim().split("\n").at(-1)}`))
    })
    child.stdin?.end([...lines, "poweroff 0", ""].join("\n"))
  }).finally(() => rmSync(directory, { recursive: true, force: true }))
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

const sum = (record: Record<string, number>): number => Object.values(record).reduce((a, b) => a + b, 0)

export interface GuestRate {
  readonly name: string
  readonly unit: string
  /** Events a second. */
  readonly rate: number
}

/** The shell line of each measurement, and what it counts. */
const PROGRAMS: ReadonlyArray<{ name: string; line: string; unit: string; count: (s: Stats) => number }> = [
  { name: "getpid", line: "getpid-loop 200000", unit: "reflected system calls", count: (s) => s.syscalls.reflected },
  { name: "page", line: "page-bench", unit: "guest page faults", count: (s) => sum(s.shadowFaults) },
  { name: "fork", line: "fork-bench", unit: "hypercalls", count: (s) => sum(s.hypercalls) },
  { name: "pipe", line: "pipe-bench", unit: "world switches", count: (s) => s.worldSwitches },
  { name: "ctx", line: "ctx-bench", unit: "world switches", count: (s) => s.worldSwitches },
]

/** Rates under the module of `arch`. `filter` chooses by name. */
export const guestRates = async (arch: Arch, filter: (name: string) => boolean): Promise<ReadonlyArray<GuestRate>> => {
  const chosen = PROGRAMS.filter(({ name }) => filter(name))
  if (chosen.length === 0) return []
  const boot = await runLines(arch, [], [])
  const rates: GuestRate[] = []
  for (const { name, line, unit, count } of chosen) {
    const run = await runLines(arch, [], [line])
    rates.push({ name, unit, rate: (count(run) - count(boot)) / Math.max(run.seconds - boot.seconds, 1e-3) })
  }
  return rates
}
