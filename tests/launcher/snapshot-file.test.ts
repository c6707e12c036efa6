import { createHash } from "node:crypto"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { deflateRawSync, inflateRawSync } from "node:zlib"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import fc from "fast-check"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { BadImage } from "../../src/launcher/errors.ts"
import { Monitor } from "../../src/launcher/monitor/commands.ts"
import { checkDisks, checkPlace, saveNow, saveSnapshot, snapshotOf } from "../../src/launcher/snapshot/index.ts"
import { SNAPSHOT_HEADER } from "../../src/launcher/snapshot/format.ts"
import { BadState } from "../../src/machine/snapshot.ts"
import { begin, core, endOf, type Kind, live, MemoryDisk, readBytes } from "./snapshots.ts"

/* A snapshot's file: whole or refused, with one line. */

const KIND: Kind = { arch: "i386", native: true, cpus: 1 }
const F = SNAPSHOT_HEADER.fields

let whole: Buffer
let folder: string
beforeAll(async () => {
  const life = await begin(KIND)
  await live(life, 200_000)
  whole = Buffer.concat(snapshotOf(life.engine, life.source))
  folder = mkdtempSync(join(tmpdir(), "snapshot-"))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** The error's line; fails the test where there is none, or something else was thrown. */
const refusal = (bytes: Uint8Array, by: Uint8Array = core): string => {
  try {
    readBytes(bytes, by)
  } catch (thrown) {
    if (thrown instanceof BadImage) return thrown.problem
    throw thrown
  }
  throw new Error("it was not refused")
}

/** With another manifest, and a digest that is right. */
const forged = (change: (manifest: never) => unknown): Buffer => {
  const packed = whole.readUInt32LE(F.manifestPacked.offset)
  const behind = whole.subarray(SNAPSHOT_HEADER.size + packed)
  const text = inflateRawSync(whole.subarray(SNAPSHOT_HEADER.size, SNAPSHOT_HEADER.size + packed)).toString()
  const manifest = Buffer.from(JSON.stringify(change(JSON.parse(text) as never)))
  const body = deflateRawSync(manifest)
  const header = Buffer.from(whole.subarray(0, SNAPSHOT_HEADER.size))
  header.writeUInt32LE(body.length, F.manifestPacked.offset)
  header.writeUInt32LE(manifest.length, F.manifestBytes.offset)
  header.writeBigUInt64LE(BigInt(header.length + body.length + behind.length), F.fileBytes.offset)
  header.fill(0, F.digest.offset, F.digest.offset + F.digest.width)
  const file = Buffer.concat([header, body, behind])
  createHash("sha256").update(file).digest().copy(file, F.digest.offset)
  return file
}

/** Places of all leaves of a JSON value. */
const leaves = (json: unknown, path: ReadonlyArray<string> = []): ReadonlyArray<ReadonlyArray<string>> =>
  typeof json === "object" && json !== null
    ? Object.entries(json).flatMap(([key, value]) => leaves(value, [...path, key]))
    : [path]

const put = (json: unknown, path: ReadonlyArray<string>, value: unknown): void => {
  let at = json as Record<string, unknown>
  for (const key of path.slice(0, -1)) at = at[key] as Record<string, unknown>
  at[path.at(-1)!] = value
}

describe("damage", () => {
  it("property: a byte that has changed anywhere is found", () => {
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const bytes = Buffer.from(whole)
        bytes[at]! ^= change
        expect(refusal(bytes)).toMatch(/^(is|has|holds|cannot|was) [^\n]+$/)
      }),
      { numRuns: 60 },
    )
    for (let at = 0; at < SNAPSHOT_HEADER.size; at++) {
      const bytes = Buffer.from(whole)
      bytes[at]! ^= 0x40
      refusal(bytes)
    }
  })

  it("property: a file that is cut off anywhere is refused, and so is one that goes on", () => {
    fc.assert(
      fc.property(fc.nat(whole.length - 1), (length) => {
        expect(refusal(whole.subarray(0, length))).toMatch(/^is (no snapshot|cut off: \d+ of \d+ bytes)$/)
      }),
      { numRuns: 60 },
    )
    expect(refusal(Buffer.concat([whole, Buffer.of(0)]))).toMatch(/^is longer than it was/)
  })

  it("property: what somebody has made up is refused, or is a machine: nothing else is thrown", async () => {
    const life = await begin(KIND)
    const value = fc.oneof(fc.constant(null), fc.boolean(), fc.integer(), fc.string(), fc.constant([]), fc.constant({}))
    let refused = 0
    fc.assert(
      fc.property(fc.nat(), value, fc.nat(3), (which, junk, up) => {
        const bytes = forged((manifest) => {
          const places = leaves(manifest)
          const place = places[which % places.length]!
          put(manifest, place.slice(0, Math.max(1, place.length - up)), junk)
          return manifest
        })
        try {
          life.engine.snapshot!.restore(readBytes(bytes).state)
        } catch (thrown) {
          refused++
          expect(thrown instanceof BadImage || thrown instanceof BadState).toBe(true)
        }
      }),
      { numRuns: 150 },
    )
    expect(refused).toBeGreaterThan(10)
  })
})

describe("whose it is", () => {
  it("another build's is refused, and so is what is none at all", () => {
    expect(refusal(whole, Buffer.concat([core, Buffer.of(0)]))).toMatch(/^was made by another build of lguest64 \(/)
    expect(refusal(Buffer.from("#!/bin/sh\n".repeat(20)))).toBe("is no snapshot")
    expect(refusal(new Uint8Array(0))).toBe("is no snapshot")
    const later = Buffer.from(whole)
    later.writeUInt32LE(2, F.version.offset)
    expect(refusal(later)).toBe("is a snapshot of format 2, and this lguest64 reads format 1")
  })

  it("a machine of another shape does not take it", async () => {
    const { state } = readBytes(whole)
    for (const kind of [
      { ...KIND, cpus: 2 },
      { ...KIND, native: false },
    ]) {
      const other = await begin(kind)
      expect(() => other.engine.snapshot!.restore(state)).toThrow(BadState)
    }
  })

  it("a disk is known by its bytes", async () => {
    const life = await begin(KIND)
    const snapshot = readBytes(whole)
    const { options } = life.source.config
    const verdict = (disk: MemoryDisk) => {
      const result = Effect.runSync(Effect.result(checkDisks(snapshot, options, [disk])))
      return Result.isFailure(result) ? result.failure.problem : undefined
    }
    expect(verdict(life.disk)).toBeUndefined()
    const changed = new MemoryDisk(life.disk.bytes)
    changed.bytes[1000]! ^= 1
    expect(verdict(changed)).toBe("is not what it was when a.snap was made")
    expect(verdict(new MemoryDisk(life.disk.bytes.subarray(512)))).toMatch(
      /^has 63 sectors, and the disk of a.snap has 64/,
    )
  })
})

describe("writing", () => {
  it("by a line in the monitor, while the guest goes on", async () => {
    const life = await begin(KIND)
    await live(life, 100_000)
    const monitor = new Monitor(() => life.engine, undefined, saveNow(life.source))
    const file = join(folder, "monitor.snap")
    expect(monitor.execute("save")).toMatch(/^save FILE: /)
    expect(monitor.execute(`save ${folder}`)).toBe(`${folder}: is a directory`)
    expect(monitor.execute(`save ${file}`)).toMatch(
      /^saved after 100000 instructions; it needs the disks as they are now/,
    )
    const { state } = readBytes(readFileSync(file))
    rmSync(file)
    const other = await begin(KIND, life.disk.bytes)
    other.engine.snapshot!.restore(state)
    other.typed = life.typed
    await live(life)
    await live(other)
    expect(endOf(other)).toEqual(endOf(life))
  })

  it("replaces the file whole, and leaves nothing else", async () => {
    const life = await begin(KIND)
    const file = join(folder, "a.snap")
    writeFileSync(file, "before")
    await Effect.runPromise(checkPlace(file))
    expect(readFileSync(file, "utf8")).toBe("before")
    await Effect.runPromise(saveSnapshot(file, life.engine, life.source))
    expect(readBytes(readFileSync(file)).manifest.instructions).toBe(life.engine.instructions)
    expect(readdirSync(folder)).toEqual(["a.snap"])
  })

  it("a place that is none is found before the run", () => {
    for (const file of [join(folder, "missing", "a.snap"), folder]) {
      const result = Effect.runSync(Effect.result(checkPlace(file)))
      expect(Result.isFailure(result) && result.failure).toMatchObject({ _tag: "CannotWrite", file })
    }
    expect(existsSync(join(folder, "missing"))).toBe(false)
  })
})
