import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { cpio } from "../../scripts/guests/cpio.ts"
import { cpioProblem } from "../../src/launcher/cpio.ts"

const archive = cpio([
  { kind: "directory", path: "bin" },
  { kind: "file", path: "bin/sh", mode: 0o755, bytes: Buffer.from("hello") },
  { kind: "link", path: "init", target: "bin/sh" },
])

describe("cpioProblem", () => {
  it("has nothing against an archive, nor against what follows it", () => {
    expect(cpioProblem(archive)).toBeUndefined()
    expect(cpioProblem(Buffer.concat([archive, Buffer.alloc(512)]))).toBeUndefined()
  })

  it("finds every truncation", () => {
    // The padding behind the trailer's name is all that may be missing.
    const needed = archive.indexOf("TRAILER!!!") + "TRAILER!!!\0".length
    for (let length = 0; length < needed; length++) expect(cpioProblem(archive.subarray(0, length))).toBeDefined()
  })

  it.each([
    ["text", Buffer.from("root:x:0:0:root:/root:/bin/bash\n".repeat(8)), /not a cpio archive/],
    ["nothing", Buffer.alloc(0), /not a cpio archive/],
    ["gzip", Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0]), /compressed with gzip/],
    ["the old binary format", Buffer.from([0xc7, 0x71, ...new Uint8Array(200)]), /not a cpio archive/],
  ])("refuses %s", (_what, bytes, message) => expect(cpioProblem(bytes)).toMatch(message))

  it("refuses a number that is none", () => {
    const damaged = Buffer.from(archive)
    damaged.write("zz", 54)
    expect(cpioProblem(damaged)).toMatch(/makes no sense/)
  })

  it("answers in one line, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: archive.length - 1 }), fc.uint8Array({ maxLength: 16 }), (at, bytes) => {
        const damaged = Buffer.from(archive)
        damaged.set(bytes.subarray(0, archive.length - at), at)
        expect(cpioProblem(damaged) ?? "").not.toContain("\n")
      }),
      { numRuns: 1000 },
    )
  })
})
