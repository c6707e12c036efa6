import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { SECTOR } from "../../src/devices/index.ts"
import { FileDisk } from "../../src/launcher/blockFile.ts"
import { missingTools, quietly } from "./promises.ts"
import { start } from "./spawn.ts"

/* A medium that fails: whoever was to be told that his data is safe is told that it is not, now and afterwards. */

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "disk-errors-"))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe("a disk whose flush has failed", () => {
  it("never says again that all is safe: the system forgets what it could not write", () => {
    const file = join(folder, "disk")
    writeFileSync(file, new Uint8Array(SECTOR))
    const notes: string[] = []
    const descriptor = openSync(file, "r+")
    const disk = new FileDisk(file, descriptor, 1, false, (line) => notes.push(line))
    expect(disk.flush()).toBe(true)
    closeSync(descriptor)
    expect(disk.flush()).toBe(false)
    // The same number means an open file again, with which the system has no quarrel.
    const again = openSync(file, "r+")
    expect(again).toBe(descriptor)
    expect(disk.flush()).toBe(false)
    closeSync(again)
    expect(notes).toHaveLength(1)
    expect(notes[0]).toContain(`${file}: could not be flushed`)
  })

  it.skipIf(missingTools.length > 0).each(["x86_64", "i386"])(
    "is an I/O error of every fsync from then on (%s)",
    { timeout: 60_000 },
    async (arch) => {
      const image = join(folder, `${arch}.img`)
      quietly("mke2fs", "-q", "-t", "ext2", image, "4M")
      const failing = new URL("failingDisk.mjs", import.meta.url).href
      const env = { ...process.env, NODE_OPTIONS: `--import ${failing}` }
      const child = start(["run", "--arch", arch, "--block", image], { env })
      let stdout = ""
      let stderr = ""
      child.stdout!.on("data", (bytes: Buffer) => (stdout += bytes.toString("latin1")))
      child.stderr!.on("data", (bytes: Buffer) => (stderr += bytes.toString("latin1")))
      child.stdin!.end(
        ["mount /dev/vda /mnt", "echo one > /mnt/a", "fsync /mnt/a", "echo safe $?", "echo FAIL FLUSHES"]
          .concat(
            "echo two > /mnt/b",
            "fsync /mnt/b",
            "echo lost $?",
            "fsync /mnt/b",
            "echo still $?",
            "cat /mnt/b",
            "",
          )
          .join("\n"),
      )
      await new Promise((resolve) => child.on("close", resolve))
      expect(stdout).toContain("\nsafe 0\r")
      expect(stdout).toMatch(/\nlost [1-9]/)
      expect(stdout).toMatch(/\nstill [1-9]/)
      expect(stdout).toMatch(/fsync: .*(I\/O|Input|error)/i)
      expect(stdout).toContain("\ntwo\r")
      expect(stderr).toMatch(/^lguest64: \S+\.img: could not be flushed: /)
    },
  )
})
