import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { cpio } from "../../scripts/guests/cpio.ts"
import { headers } from "../../scripts/guests/headers.ts"
import { buildImages, imageNames, root } from "../../scripts/guests/images.ts"
import { currentHashes, differences, readManifest } from "../../scripts/guests/manifest.ts"
import { toolchain } from "../../scripts/guests/toolchain.ts"

/* Committed machine code belongs to committed sources. If one of these fails: npm run guests. */
describe("the committed images", () => {
  it("were built from the sources as they are", async () => {
    const manifest = readManifest()
    const current = await currentHashes()
    expect(differences(manifest.sources, current.sources), "changed since npm run guests").toEqual([])
    expect(differences(manifest.outputs, current.outputs), "not what npm run guests made").toEqual([])
  })

  it("have headers that follow from the ABI's definition", () => {
    for (const { output, text } of headers()) expect(readFileSync(join(root, output), "utf8")).toBe(text)
  })

  it.skipIf(toolchain() !== readManifest().toolchain)("come out byte for byte when built again", async () => {
    const folder = mkdtempSync(join(tmpdir(), "guests-again-"))
    try {
      await buildImages(folder)
      for (const name of imageNames)
        expect(
          readFileSync(join(folder, name)).equals(readFileSync(join(root, "guests/images", name))),
          `${name} differs`,
        ).toBe(true)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})

describe("differences", () => {
  it("names what changed, came and went", () => {
    expect(differences({ a: "1", b: "2", c: "3" }, { a: "1", b: "x", d: "4" })).toEqual(["b", "c", "d"])
  })
})

describe("cpio", () => {
  it("writes newc records, aligned to 4 bytes, and a trailer", () => {
    const archive = cpio([{ kind: "file", path: "ab", mode: 0o644, bytes: Buffer.from("hello") }])
    expect(archive.length % 4).toBe(0)
    expect(archive.toString("latin1", 0, 6)).toBe("070701")
    const field = (n: number) => parseInt(archive.toString("latin1", 6 + 8 * n, 14 + 8 * n), 16)
    expect(field(1)).toBe(0o100644)
    expect(field(6)).toBe(5)
    expect(field(11)).toBe(3)
    expect(archive.toString("latin1", 110, 112)).toBe("ab")
    expect(archive.toString("latin1", 116, 121)).toBe("hello")
    expect(archive.toString("latin1")).toContain("TRAILER!!!")
  })
})
