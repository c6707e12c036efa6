import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { expectKept, missingTools, next, Promises, quietly } from "./promises.ts"
import { start } from "./spawn.ts"

/*
 * The plug is pulled: the simulator is killed at random moments while a guest writes, moves and removes files on an ext2
 * disk. Then fsck.ext2 repairs what there is to repair, and whatever the guest had been told to be on the disk must be
 * there, byte for byte. CRASH_ROUNDS says how often (100 for a release), CRASH_SEED which random moments.
 */
const rounds = Number(process.env["CRASH_ROUNDS"] ?? 4)
const seed = Number(process.env["CRASH_SEED"] ?? Date.now() % 0x7fffffff)
const ROUNDS_PER_DISK = 8

describe.skipIf(missingTools.length > 0)(`ext2 when the simulator is killed (CRASH_SEED=${seed})`, () => {
  const work = mkdtempSync(join(tmpdir(), "crash-"))
  const image = join(work, "disk.img")
  let promises = new Promises()
  let random = next(seed | 1)
  const below = (n: number): number => (random = next(random)) % n

  afterAll(() => rmSync(work, { recursive: true, force: true }))

  /** Starts a guest that writes, and kills it some time after it has said `lines` lines. */
  const writeAndKill = (
    args: ReadonlyArray<string>,
    tag: string,
    twice: boolean,
    lines: number,
    wait: number,
  ): Promise<string> =>
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
      // The second one is only in the way: two processes then change the disk at once, and what one syncs the other has begun.
      const beside = twice ? `mkdir /mnt/beside\ndisk-writer /mnt/beside b${tag} > /dev/null & ` : ""
      child.stdin!.write(`mount /dev/vda /mnt\n${beside}disk-writer /mnt ${tag}\n`)
    })

  it.each(Array.from({ length: rounds }, (_, n) => n))("round %i", { timeout: 120_000 }, async (round) => {
    if (round % ROUNDS_PER_DISK === 0) {
      rmSync(image, { force: true })
      quietly("mke2fs", "-q", "-t", "ext2", "-b", (round / ROUNDS_PER_DISK) % 2 === 0 ? "1024" : "4096", image, "48M")
      promises = new Promises()
    }
    const arch = round % 2 === 0 ? "x86_64" : "i386"
    const native = below(3) === 0
    const smp = (arch === "x86_64" || native) && below(3) !== 0
    const args = ["--arch", arch, ...(native ? ["--native"] : []), ...(smp ? ["--smp", "2"] : [])]
    const tag = `r${round}`
    promises.read(tag, await writeAndKill(args, tag, below(2) === 0, 1 + below(300), below(60)))

    expect(promises.files.size).toBeGreaterThan(0)
    expectKept(image, promises, work, `after ${args.join(" ")}`)
  })
})
