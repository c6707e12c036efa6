import { execFileSync, spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { expect } from "vitest"

/*
 * What a guest that runs disk-writer says of its disk, and whether a disk keeps it after a crash. What the lines mean, and
 * what the files hold, is in guests/user/bin/disk_writer.c.
 */

/** Programs that are missing here. */
export const missingTools = ["mke2fs", "fsck.ext2", "debugfs"].filter(
  (tool) => spawnSync(tool, ["-V"], { stdio: "ignore" }).error !== undefined,
)
if (missingTools.length > 0) console.log(`crashes with disks are not tested: ${missingTools.join(", ")} not found`)

export const quietly = (command: string, ...args: ReadonlyArray<string>): string =>
  execFileSync(command, args, { stdio: ["ignore", "pipe", "ignore"], encoding: "latin1" })

/** xorshift32, as the guest has it: the next state. */
export const next = (x: number): number => {
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
  const own = (file: number) => (file % 4 === 1 ? `${tag}-own-${file}/` : "")
  const path = (file: number, moved: number) => `/mnt/d${(file + moved) % DIRECTORIES}/${own(file)}${tag}-${file}`
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
export class Promises {
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

/** Repairs the image, and then all promises hold. `folder` is for a copy, meanwhile. */
export const expectKept = (image: string, promises: Promises, folder: string, when: string): void => {
  const fsck = spawnSync("fsck.ext2", ["-fy", image], { encoding: "latin1" })
  expect(fsck.status! & ~3, `fsck.ext2 could not repair it ${when}:\n${fsck.stdout}${fsck.stderr}`).toBe(0)
  const copy = mkdtempSync(join(folder, "copy-"))
  quietly("debugfs", "-R", `rdump / ${copy}`, image)
  expect(promises.broken(copy), `${when}; fsck said:\n${fsck.stdout}`).toEqual([])
  rmSync(copy, { recursive: true })
}
