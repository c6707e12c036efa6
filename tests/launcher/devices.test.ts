import { appendFileSync, readFileSync, statSync, symlinkSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { SECTOR } from "../../src/devices/index.ts"
import { type BlockSpec, openBlockFile } from "../../src/launcher/blockFile.ts"
import { explain } from "../../src/launcher/errors.ts"
import { openDevices, Surroundings } from "../../src/launcher/guestDevices.ts"
import { derivedMac, type NetSpec, parseMac, parseNet } from "../../src/launcher/net.ts"
import { OpenFiles } from "../../src/launcher/openFiles.ts"
import { PCAP_HEADER, PCAP_RECORD, PcapRecords } from "../../src/launcher/pcapFile.ts"
import { withFolder } from "./spawn.ts"

/* What stands behind the guests' devices: files as disks, hubs, pcap files. */

const SECTORS = 32
const content = Uint8Array.from({ length: SECTORS * SECTOR }, (_, i) => i * 7 + (i >> 9))

/** Opens disks, uses them, closes them. */
const withDisks = <A>(
  specs: ReadonlyArray<BlockSpec>,
  use: (disks: ReadonlyArray<Effect.Success<ReturnType<typeof openBlockFile>>>, notes: string[]) => A,
): A => {
  const notes: string[] = []
  const files = new OpenFiles()
  return Effect.runSync(
    Effect.scoped(
      Effect.map(
        Effect.forEach(specs, (spec) => openBlockFile(spec, files, (line) => notes.push(line))),
        (disks) => use(disks, notes),
      ),
    ),
  )
}

/** Status and line of what refuses to open them. */
const refusal = (...specs: ReadonlyArray<BlockSpec>) => {
  const files = new OpenFiles()
  const all = Effect.forEach(specs, (spec) => openBlockFile(spec, files, () => undefined))
  const result = Effect.runSync(Effect.result(Effect.scoped(all)))
  if (!Result.isFailure(result)) throw new Error("opened")
  return explain(result.failure)
}

describe("a file as a disk", () => {
  it("property: is the file, byte for byte", () =>
    withFolder(async (folder) => {
      const file = join(folder, "disk")
      const step = fc.record({
        sector: fc.nat(SECTORS - 1),
        sectors: fc.integer({ min: 1, max: 4 }),
        value: fc.nat(255),
        write: fc.boolean(),
      })
      fc.assert(
        fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
          writeFileSync(file, content)
          const model = content.slice()
          withDisks([{ file, readOnly: false }], ([disk]) => {
            expect(disk!.sectors).toBe(SECTORS)
            for (const { sector, sectors, value, write } of steps) {
              const bytes = new Uint8Array(Math.min(sectors, SECTORS - sector) * SECTOR).fill(value)
              if (write) {
                expect(disk!.write(sector, bytes)).toBe(true)
                model.set(bytes, sector * SECTOR)
                expect(disk!.flush()).toBe(true)
                // Whatever happens to us now, it is in the file.
                expect(readFileSync(file).equals(model)).toBe(true)
              } else {
                expect(disk!.read(sector, bytes)).toBe(true)
                expect(bytes).toEqual(model.slice(sector * SECTOR, sector * SECTOR + bytes.length))
              }
            }
          })
          expect(statSync(file).size).toBe(content.length)
        }),
        { numRuns: 30 },
      )
    }))

  it("that has become shorter fails, says so once, and does not grow again", () =>
    withFolder(async (folder) => {
      const file = join(folder, "disk")
      writeFileSync(file, content)
      withDisks([{ file, readOnly: false }], ([disk], notes) => {
        truncateSync(file, 10 * SECTOR + 100)
        expect(disk!.read(9, new Uint8Array(SECTOR))).toBe(true)
        expect(disk!.read(10, new Uint8Array(SECTOR))).toBe(false)
        expect(disk!.read(20, new Uint8Array(SECTOR))).toBe(false)
        expect(disk!.write(10, new Uint8Array(SECTOR))).toBe(false)
        expect(disk!.write(31, new Uint8Array(SECTOR))).toBe(false)
        expect(disk!.write(9, new Uint8Array(SECTOR))).toBe(true)
        expect(notes).toEqual([`lguest64: ${file}: sector 10 could not be read: the file has become shorter`])
      })
      expect(statSync(file).size).toBe(10 * SECTOR + 100)
    }))

  it("that has become longer is as long as it was", () =>
    withFolder(async (folder) => {
      const file = join(folder, "disk")
      writeFileSync(file, content)
      withDisks([{ file, readOnly: false }], ([disk]) => {
        appendFileSync(file, content)
        expect(disk!.sectors).toBe(SECTORS)
      })
    }))

  it("that may only be read is not written by the system either", () =>
    withFolder(async (folder) => {
      const file = join(folder, "disk")
      writeFileSync(file, content)
      withDisks([{ file, readOnly: true }], ([disk]) => {
        expect(disk!.write(0, new Uint8Array(SECTOR))).toBe(false)
        expect(disk!.flush()).toBe(true)
      })
      expect(readFileSync(file).equals(content)).toBe(true)
    }))

  it("is refused where it cannot be one", () =>
    withFolder(async (folder) => {
      const at = (name: string, bytes: number) => {
        writeFileSync(join(folder, name), new Uint8Array(bytes))
        return { file: join(folder, name), readOnly: false }
      }
      expect(refusal({ file: join(folder, "none"), readOnly: false })).toMatchObject({ status: 66 })
      expect(refusal({ file: folder, readOnly: false })).toMatchObject({ status: 66 })
      expect(refusal({ file: "/dev/null", readOnly: false })).toMatchObject({ status: 66 })
      expect(refusal(at("empty", 0))).toMatchObject({ status: 65 })
      const torn = refusal(at("torn", 5 * SECTOR - 1))
      expect(torn).toMatchObject({ status: 65 })
      expect(torn.line).toContain("2559 bytes")
      expect(statSync(join(folder, "torn")).size).toBe(5 * SECTOR - 1)
    }))

  it("is one disk only, unless all of them read it", () =>
    withFolder(async (folder) => {
      const file = join(folder, "disk")
      const alias = join(folder, "alias")
      writeFileSync(file, content)
      symlinkSync(file, alias)
      for (const [a, b] of [
        [false, false],
        [false, true],
        [true, false],
      ] as const)
        // prettier-ignore
        expect(refusal({ file, readOnly: a }, { file: alias, readOnly: b })).toMatchObject({ status: 64 })
      withDisks([{ file, readOnly: true }, { file: alias, readOnly: true }], (disks) => expect(disks.length).toBe(2)) // prettier-ignore
    }))

  it("can be given again after it was given back", () =>
    withFolder(async (folder) => {
      const file = join(folder, "disk")
      writeFileSync(file, content)
      const files = new OpenFiles()
      for (let i = 0; i < 2; i++)
        Effect.runSync(Effect.scoped(openBlockFile({ file, readOnly: false }, files, () => undefined)))
    }))
})

describe("network options", () => {
  it.each([
    ["hub=a", { hub: "a", pcap: undefined, mac: undefined }],
    ["pcap=x=y.pcap", { hub: undefined, pcap: "x=y.pcap", mac: undefined }],
    ["mac=52:54:0:AB:cd:ef,hub=b", { hub: "b", pcap: undefined, mac: Uint8Array.of(0x52, 0x54, 0, 0xab, 0xcd, 0xef) }],
  ])("%s", (text, spec) => expect(parseNet(text)).toEqual(spec))

  it.each(["", "hub=", "hub", "bridge=a", "hub=a,", "hub=a,hub=b", "mac=1:2:3", "mac=01:0:0:0:0:0", "mac=0:0:0:0:0:0"])(
    "refuses %j",
    (text) => expect(typeof parseNet(text)).toBe("string"),
  )

  it("property: derived addresses are one device's, and one guest's", () => {
    fc.assert(
      fc.property(fc.nat(0xffff), fc.nat(15), fc.nat(15), (seed, a, b) => {
        const text = (mac: Uint8Array) => Buffer.from(mac).toString("hex").match(/../g)!.join(":")
        expect(parseMac(text(derivedMac(seed, a)))).toEqual(derivedMac(seed, a))
        expect(text(derivedMac(seed, a)) === text(derivedMac(seed, b))).toBe(a === b)
      }),
    )
  })
})

describe("a pcap file", () => {
  const START = Date.UTC(2007, 1, 12, 1, 2, 3, 456)

  it("property: has each frame at its simulated time, and time never goes back", () => {
    const frame = fc.uint8Array({ minLength: 14, maxLength: 100 })
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(5_000_000_000), frame)), (frames) => {
        const records = new PcapRecords(START)
        const f = PCAP_RECORD.fields
        let last = 0n
        let restarts = 0
        frames.forEach(([now, bytes], i) => {
          const record = records.record(now, bytes)
          const view = new DataView(record.buffer)
          const seconds = view.getUint32(f.seconds.offset, true)
          const nanoseconds = view.getUint32(f.nanoseconds.offset, true)
          expect(nanoseconds).toBeLessThan(1e9)
          const at = BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds)
          if (i > 0 && now < frames[i - 1]![0]) restarts++
          if (restarts === 0) expect(at).toBe(BigInt(START) * 1_000_000n + BigInt(now))
          expect(at).toBeGreaterThanOrEqual(last)
          last = at
          expect(view.getUint32(f.kept.offset, true)).toBe(bytes.length)
          expect(view.getUint32(f.length.offset, true)).toBe(bytes.length)
          expect(record.slice(PCAP_RECORD.size)).toEqual(bytes)
        })
      }),
    )
  })

  const open = (around: Surroundings, net: Partial<NetSpec>, guest = 0) =>
    openDevices(
      {
        blocks: [],
        net: { hub: undefined, pcap: undefined, mac: undefined, ...net },
        deterministic: true,
        seed: 0,
        startMs: START,
        guest,
        note: () => undefined,
      },
      around,
    )

  it("records what passes, and the hub carries it", () =>
    withFolder(async (folder) => {
      const pcap = join(folder, "x.pcap")
      const frame = Uint8Array.from({ length: 60 }, (_, i) => i)
      Effect.runSync(
        Effect.scoped(
          Effect.gen(function* () {
            const around = new Surroundings()
            const a = yield* open(around, { hub: "lan", pcap })
            const b = yield* open(around, { hub: "lan" }, 1)
            const c = yield* open(around, { hub: "other" }, 2)
            a.net!.watch!(1_544_000_001, frame)
            a.net!.link.send(frame)
            expect(b.net!.link.receive()).toEqual(frame)
            expect([a, b, c].map(({ net }) => net!.link.pending)).toEqual([0, 0, 0])
            expect(a.net!.mac).not.toEqual(b.net!.mac)
          }),
        ),
      )
      const bytes = readFileSync(pcap)
      expect(bytes.length).toBe(PCAP_HEADER.size + PCAP_RECORD.size + frame.length)
      expect(bytes.subarray(0, 8).toString("hex")).toBe("4d3cb2a102000400")
      expect(bytes.readUInt32LE(PCAP_HEADER.fields.linkType.offset)).toBe(1)
      expect(bytes.readUInt32LE(PCAP_HEADER.size)).toBe(START / 1000 + 1.544)
      expect(bytes.readUInt32LE(PCAP_HEADER.size + 4)).toBe(1)
    }))

  it("is one guest's, and not a disk", () =>
    withFolder(async (folder) => {
      const pcap = join(folder, "x.pcap")
      const both = Effect.gen(function* () {
        const around = new Surroundings()
        yield* open(around, { pcap })
        yield* open(around, { pcap }, 1)
      })
      const result = Effect.runSync(Effect.result(Effect.scoped(both)))
      expect(Result.isFailure(result) && explain(result.failure).status).toBe(64)
    }))
})
