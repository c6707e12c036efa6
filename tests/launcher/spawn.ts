import { spawn, type SpawnOptions, spawnSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

/* The real program in a process of its own, from its sources. */

const loader = import.meta.resolve("tsx")
const main = fileURLToPath(new URL("../../src/launcher/main.ts", import.meta.url))

/** The command line of the program. */
export const command = (...args: ReadonlyArray<string>): ReadonlyArray<string> => [
  process.execPath,
  "--import",
  loader,
  main,
  ...args,
]

export interface Finished {
  readonly status: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** Longer than any run of a test; a run that is still there then has hung, and the test fails by its status. */
const LONGEST_MS = 60_000

export const start = (args: ReadonlyArray<string>, options: SpawnOptions = {}) => {
  const [program, ...rest] = command(...args)
  return spawn(program!, rest, { stdio: "pipe", timeout: LONGEST_MS, killSignal: "SIGKILL", ...options })
}

/** Runs to the end, with `input` on standard input. */
export const lguest64 = (args: ReadonlyArray<string>, input = ""): Promise<Finished> =>
  new Promise((resolve, reject) => {
    const child = start(args)
    let stdout = ""
    let stderr = ""
    child.stdout!.on("data", (bytes: Buffer) => (stdout += bytes.toString("latin1")))
    child.stderr!.on("data", (bytes: Buffer) => (stderr += bytes.toString("latin1")))
    child.stdin!.on("error", () => undefined)
    child.on("error", reject)
    child.on("close", (status, signal) => resolve({ status, signal, stdout, stderr }))
    child.stdin!.end(input)
  })

/** What a shell has to say of `script`, in which "$@" is the program with `args`. */
export const shell = (script: string, args: ReadonlyArray<string>, input = ""): Finished => {
  const { status, signal, stdout, stderr } = spawnSync("sh", ["-c", script, "sh", ...command(...args)], {
    encoding: "latin1",
    input,
    timeout: LONGEST_MS,
    killSignal: "SIGKILL",
  })
  return { status, signal, stdout, stderr }
}

/** A folder that is gone after `use`. */
export const withFolder = async <A>(use: (folder: string) => Promise<A>): Promise<A> => {
  const folder = mkdtempSync(join(tmpdir(), "launcher-"))
  try {
    return await use(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The program's command line as a shell reads it. */
export const commandLine = (args: ReadonlyArray<string>): string =>
  command(...args)
    .map((arg) => `'${arg}'`)
    .join(" ")

/** A shell script on a pseudo terminal, by script(1); its output is what the terminal shows. */
export const spawnScript = (script: string) =>
  spawn("script", ["-qec", `sh ${script}`, "/dev/null"], { stdio: "pipe", timeout: LONGEST_MS, killSignal: "SIGKILL" })
