import { closeSync, copyFileSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { expectKept, missingTools, next, Promises, quietly } from "./promises.ts"
import { start } from "./spawn.ts"

/*
 * The power fails: a disk keeps what was written before the last flush, and of what came after it any part, in any order.
 * A guest's writes are recorded; disks as they may be after a power cut are made from the record, and each must keep what
 * the guest had been promised by then. POWER_CUTS says how many, CRASH_SEED which.
 */
const cuts = Number(process.env["POWER_CUTS"] ?? 6)
const seed = Number(process.env["CRASH_SEED"] ?? Date.now() % 0x7fffffff)
const LINES = 150

interface Recorded {
  readonly kind: "write" | "flush" | "text"
  /** Of a write: byte of the disk. */
  readonly at: number
  readonly bytes: Buffer
}

const readRecord = (file: string): ReadonlyArray<Recorded> => {
  const log = readFileSync(file)
  const records: Recorded[] = []
  for (let at = 0; at < log.length;) {
    const end = log.indexOf("\n", at)
    if (end < 0) break
    const { kind, at: position = 0, n } = JSON.parse(log.toString("latin1", at, end))
    if (end + 1 + n > log.length) break
    records.push({ kind, at: position, bytes: log.subarray(end + 1, end + 1 + n) })
    at = end + 1 + n
  }
  return records
}

describe.skipIf(missingTools.length > 0)(`ext2 when the power fails (CRASH_SEED=${seed})`, () => {
  const work = mkdtempSync(join(tmpdir(), "power-"))
  const file = (name: string) => join(work, name)
  let random = next(seed | 1)
  const below = (n: number): number => (random = next(random)) % n

  afterAll(() => rmSync(work, { recursive: true, force: true }))

  /** Runs a guest that writes, until it has said enough. */
  const recordOne = (image: string, log: string, arch: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const recorder = new URL("recorder.mjs", import.meta.url).href
      const env = { ...process.env, NODE_OPTIONS: `--import ${recorder}`, RECORD_DISK: image, RECORD_TO: log }
      const child = start(["run", "--arch", arch, "--block", image], { env })
      let output = ""
      child.stdout!.on("data", (bytes: Buffer) => {
        output += bytes.toString("latin1")
        if ((output.match(/^[-+>=] /gm) ?? []).length >= LINES) child.kill("SIGKILL")
      })
      child.stdin!.on("error", () => undefined)
      child.on("error", reject)
      child.on("close", (_, signal) => (signal === "SIGKILL" ? resolve() : reject(new Error(output))))
      child.stdin!.write("mount /dev/vda /mnt\ndisk-writer /mnt p\n")
    })

  /** The disk at record `end`, as far as it is sure to be there, with a part of the rest. */
  const cut = (base: string, to: string, records: ReadonlyArray<Recorded>, end: number, block: number): void => {
    copyFileSync(base, to)
    let flushed = end
    while (flushed > 0 && records[flushed - 1]!.kind !== "flush") flushed--
    const keep = below(4)
    const descriptor = openSync(to, "r+")
    records.slice(0, end).forEach(({ kind, at, bytes }, n) => {
      if (kind !== "write") return
      for (let from = 0; from < bytes.length; from += block)
        if (n < flushed || below(4) < keep)
          writeSync(descriptor, bytes, from, Math.min(block, bytes.length - from), at + from)
    })
    closeSync(descriptor)
  }

  it.each([
    ["x86_64", 1024],
    ["i386", 4096],
  ] as const)("on %s, blocks of %i bytes", { timeout: 60_000 + cuts * 5_000 }, async (arch, block) => {
    const [base, image, log] = [file(`base-${arch}.img`), file(`disk-${arch}.img`), file(`log-${arch}`)]
    quietly("mke2fs", "-q", "-t", "ext2", "-b", String(block), base, "16M")
    copyFileSync(base, image)
    await recordOne(image, log, arch)
    const records = readRecord(log)
    const first = records.findIndex(({ kind, bytes }) => kind === "text" && /^\+ /m.test(bytes.toString("latin1")))
    expect(first).toBeGreaterThan(0)
    expect(records.filter(({ kind }) => kind === "flush").length).toBeGreaterThan(LINES / 2)
    for (let n = 0; n < cuts; n++) {
      let end = first + 1 + below(records.length - first - 1)
      // Half of them just before a flush, when most is at stake.
      if (n % 2 === 0) while (end < records.length && records[end]!.kind !== "flush") end++
      const promises = new Promises()
      const said = records.slice(0, end).filter(({ kind }) => kind === "text")
      promises.read("p", Buffer.concat(said.map(({ bytes }) => bytes)).toString("latin1"))
      cut(base, file("cut.img"), records, end, block)
      expectKept(file("cut.img"), promises, work, `cut at record ${end} of ${records.length}`)
    }
  })
})
