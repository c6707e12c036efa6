import { execFileSync, spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { start } from "./spawn.ts"

/*
 * The plug is pulled: the simulator is killed at random moments while a guest writes, moves and removes files on an ext2
 * disk. Then fsck.ext2 repairs what there is to repair, and whatever the guest had been told to be on the disk must be
 * there, byte for byte. CRASH_ROUNDS says how often (100 for a release), CRASH_SEED which random moments.
 *
 * guests/user/bin/disk_writer.c says what the lines of the guest's output mean.
 */
const rounds = Number(process.env["CRASH_ROUNDS"] ?? 4)
const seed = Number(process.env["CRASH_SEED"] ?? Date.now() % 0x7fffffff)
const ROUNDS_PER_DISK = 8

const tools = ["mke2fs", "fsck.ext2", "debugfs"].filter((tool) => {
  const { error } = spawnSync(tool, ["-V"], { stdio: "ignore" })
  return error !== undefined
})
if (tools.length > 0) console.log(`the disk's crash test needs e2fsprogs: ${tools.join(", ")} not found`)

/** xorshift32, as the guest has it: the next state. */
const next = (x: number): number => {
  x ^= x << 13
  x ^= x >>> 17
  x ^= x << 5
  return x >>> 0
}

/** What the guest writes into a file of this name: disk_writer.c, contents(). */
const contents = (name: string): Buffer => {
  let x = 2166136261
  for (const byte of Buffer.from(name)) x = Math.imul(x ^ byte, 16777619) >>> 0
  if (x === 0) x = 1
  const bytes = Buffer.alloc(x % 16 === 0 ? x % 300000 : x % 6000)
  for (let i = 0; i < bytes.length; i += 4) {
    x = next(x)
    for (let k = 0; k < 4 && i + k < bytes.length; k++) bytes[i + k] = x >>> (8 * k)
  }
  return bytes
}

const DIRECTORIES = 6
const KEEP = 24

/** The lines that the guest says, in this order and without end. */
function* script(tag: string): Generator<string> {
  const path = (file: number, moved: number) => `/mnt/d${(file + moved) % DIRECTORIES}/${tag}-${file}`
  const moves = (file: number) => (file % 3 === 0 ? 1 : 0)
  for (let n = 0; ; n++) {
    if (n >= KEEP) yield `- ${path(n - KEEP, moves(n - KEEP))}`
    yield `+ ${path(n, 0)}`
    if (n % 3 === 2) {
      yield `> ${path(n - 2, 0)} ${path(n - 2, 1)}`
      yield `+ ${path(n - 2, 1)}`
    }
    if (n % 2 === 1) yield `= ${n}`
  }
}

/**
 * The guest is ahead of what we hear of it: when the simulator dies, what it says of its next steps may not have come out
 * yet, though the disk knows. So many lines ahead, at most.
 */
const AHEAD = 24

const fileOf = (path: string) => path.slice(path.lastIndexOf("/") + 1)

/** What must be true of a disk. */
class Promises {
  /** By file: the paths of which one at least has it. */
  readonly files = new Map<string, ReadonlyArray<string>>()
  current: { readonly tag: string; readonly version: number } | undefined = undefined

  /** Only whole lines count: of the last one, the end may be missing. */
  read(tag: string, output: string): void {
    const said = output
      .replaceAll("\r", "")
      .split("\n")
      .slice(0, -1)
      .filter((line) => /^[-+>=] /.test(line))
    const lines = script(tag)
    const wanted = said.map(() => lines.next().value as string)
    expect(said).toEqual(wanted)
    for (const line of said) {
      const [sign, first = "", second = ""] = line.split(" ")
      if (sign === "+") this.files.set(fileOf(first), [first])
      else if (sign === ">") this.files.set(fileOf(first), [first, second])
      else if (sign === "-") this.files.delete(fileOf(first))
      else this.current = { tag, version: Number(first) }
    }
    for (let n = 0; n < AHEAD; n++) {
      const [sign, first = "", second = ""] = (lines.next().value as string).split(" ")
      if (sign === "-") this.files.delete(fileOf(first))
      if (sign === ">" && this.files.has(fileOf(first))) this.files.set(fileOf(first), [first, second])
    }
  }

  /** What of it does not hold in a copy of the disk. */
  broken(folder: string): ReadonlyArray<string> {
    const problems: string[] = []
    for (const [name, paths] of this.files) {
      const found = paths.map((path) => join(folder, path.replace("/mnt/", ""))).filter(existsSync)
      if (found.length === 0) problems.push(`${paths.join(" or ")}: not there`)
      for (const path of found)
        if (!readFileSync(path).equals(contents(name))) problems.push(`${path}: not what was written`)
    }
    if (this.current === undefined) return problems
    const path = join(folder, "current")
    const bytes = existsSync(path) ? readFileSync(path) : Buffer.alloc(0)
    const head = bytes.toString("latin1", 0, Math.max(bytes.indexOf("\n"), 0))
    const [tag = "", version = ""] = head.split(" ")
    if (tag === this.current.tag && Number(version) < this.current.version)
      problems.push(`current: version ${version}, promised ${this.current.version}`)
    if (!bytes.subarray(head.length + 1).equals(contents(head))) problems.push(`current: not a whole version (${head})`)
    return problems
  }
}

describe.skipIf(tools.length > 0)(`ext2 when the simulator is killed (CRASH_SEED=${seed})`, () => {
  const work = mkdtempSync(join(tmpdir(), "crash-"))
  const image = join(work, "disk.img")
  const run = (command: string, ...args: ReadonlyArray<string>) =>
    execFileSync(command, args, { stdio: ["ignore", "pipe", "ignore"], encoding: "latin1" })
  let promises = new Promises()
  let random = next(seed | 1)
  const below = (n: number): number => (random = next(random)) % n

  afterAll(() => rmSync(work, { recursive: true, force: true }))

  /** Starts a guest that writes, and kills it some time after it has said `lines` lines. */
  const writeAndKill = (args: ReadonlyArray<string>, tag: string, lines: number, wait: number): Promise<string> =>
    new Promise((resolve, reject) => {
      const child = start(["run", "--block", image, ...args])
      let output = ""
      let killing = false
      child.stdout!.on("data", (bytes: Buffer) => {
        output += bytes.toString("latin1")
        if (killing || (output.match(/^[-+>=] /gm) ?? []).length < lines) return
        killing = true
        setTimeout(() => child.kill("SIGKILL"), wait)
      })
      child.stdin!.on("error", () => undefined)
      child.on("error", reject)
      child.on("close", (status, signal) =>
        killing && signal === "SIGKILL" ? resolve(output) : reject(new Error(`ended by itself (${status}): ${output}`)),
      )
      child.stdin!.write(`mount /dev/vda /mnt\ndisk-writer /mnt ${tag}\n`)
    })

  it.each(Array.from({ length: rounds }, (_, n) => n))("round %i", { timeout: 120_000 }, async (round) => {
    if (round % ROUNDS_PER_DISK === 0) {
      rmSync(image, { force: true })
      run("mke2fs", "-q", "-t", "ext2", "-b", (round / ROUNDS_PER_DISK) % 2 === 0 ? "1024" : "4096", image, "48M")
      promises = new Promises()
    }
    const args = ["--arch", round % 2 === 0 ? "x86_64" : "i386", ...(below(3) === 0 ? ["--native"] : [])]
    const tag = `r${round}`
    promises.read(tag, await writeAndKill(args, tag, 1 + below(300), below(60)))

    const fsck = spawnSync("fsck.ext2", ["-fy", image], { encoding: "latin1" })
    expect(fsck.status! & ~3, `fsck.ext2 could not repair it:\n${fsck.stdout}${fsck.stderr}`).toBe(0)
    const copy = mkdtempSync(join(work, "copy-"))
    run("debugfs", "-R", `rdump / ${copy}`, image)
    expect(promises.files.size).toBeGreaterThan(0)
    expect(promises.broken(copy), `after ${args.join(" ")}; fsck said:\n${fsck.stdout}`).toEqual([])
    rmSync(copy, { recursive: true })
  })
})
