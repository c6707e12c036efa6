import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { type BlockBackend, GuestFault, SECTOR, VirtioBlock } from "../../src/devices/index.ts"
import { BLOCK_CONFIG, BLOCK_FEATURES, BLOCK_REQUEST, BLOCK_STATUS, BLOCK_TYPE } from "../../src/devices/virtioBlock.ts"
import { BUFFERS, type Buffers, makeDriver } from "./driver.ts"

/* Virtio 1.0, section 5.2. */

const FLUSH = 1 << BLOCK_FEATURES.flush
const SECTORS = 64

/** A disk in memory that remembers what was asked of it. */
class MemoryDisk implements BlockBackend {
  readonly sectors = SECTORS
  readonly bytes = new Uint8Array(SECTORS * SECTOR)
  readonly asked: string[] = []
  readonly readOnly: boolean
  broken = false
  constructor(readOnly = false) {
    this.readOnly = readOnly
  }
  read(sector: number, bytes: Uint8Array): boolean {
    this.asked.push(`read ${sector}+${bytes.length / SECTOR}`)
    bytes.set(this.bytes.subarray(sector * SECTOR, sector * SECTOR + bytes.length))
    return !this.broken
  }
  write(sector: number, bytes: Uint8Array): boolean {
    this.asked.push(`write ${sector}+${bytes.length / SECTOR}`)
    if (!this.broken) this.bytes.set(bytes, sector * SECTOR)
    return !this.broken
  }
  flush(): boolean {
    this.asked.push("flush")
    return !this.broken
  }
}

const HEADER = BUFFERS
const STATUS = BUFFERS + 0x100
const DATA = BUFFERS + 0x1000

const make = (disk = new MemoryDisk(), features = FLUSH) => {
  const t = makeDriver(new VirtioBlock(disk, "disk0"))
  const [q] = t.start(features)
  let requests = 0
  const header = (type: number, sector: number) => {
    const f = BLOCK_REQUEST.fields
    t.ram.write32(HEADER + f.type.offset, type)
    t.ram.write32(HEADER + f.sector.offset, sector % 2 ** 32)
    t.ram.write32(HEADER + f.sector.offset + 4, Math.floor(sector / 2 ** 32))
    t.ram.write8(STATUS, 0xee)
  }
  /** Does a request; the status and the used ring's length. */
  const request = (type: number, sector: number, out: Buffers = [], into: Buffers = []) => {
    header(type, sector)
    t.chain(q!, 0, [[HEADER, BLOCK_REQUEST.size], ...out], [...into, [STATUS, 1]])
    t.offer(q!, 0)
    t.notify(q!)
    expect(t.usedIndex(q!)).toBe(++requests)
    const [head, length] = t.used(q!, requests - 1)
    expect(head).toBe(0)
    return { status: t.ram.read8(STATUS), length }
  }
  return { ...t, q: q!, disk, header, request }
}
const { ok, ioError, unsupported } = BLOCK_STATUS

describe("a disk", () => {
  it("says what it is", () => {
    const t = make()
    expect(t.config(0, 4)).toBe(0x10421af4)
    const f = BLOCK_CONFIG.fields
    const device = t.at(4)
    expect(t.bus.mmioRead(device + f.capacity.offset, 4)).toBe(SECTORS)
    expect(t.bus.mmioRead(device + f.capacity.offset + 4, 4)).toBe(0)
    expect(t.bus.mmioRead(device + f.blockSize.offset, 4)).toBe(SECTOR)
    expect(t.bus.mmioRead(device + f.segMax.offset, 4)).toBeGreaterThan(1)
    t.set("deviceFeatureSelect", 0)
    expect(t.get("deviceFeature") & 0xffffff).toBe((1 << 2) | (1 << 6) | (1 << 9))
    const ro = make(new MemoryDisk(true))
    ro.set("deviceFeatureSelect", 0)
    expect(ro.get("deviceFeature") & (1 << 5)).not.toBe(0)
  })

  it("reads and writes sectors", () => {
    const t = make()
    const data = Uint8Array.from({ length: 2 * SECTOR }, (_, i) => i * 7)
    t.ram.copyIn(DATA, data)
    expect(t.request(BLOCK_TYPE.out, 5, [[DATA, 2 * SECTOR]])).toEqual({ status: ok, length: 1 })
    expect(t.disk.bytes.slice(5 * SECTOR, 7 * SECTOR)).toEqual(data)
    t.ram.fill(DATA, 2 * SECTOR, 0)
    expect(t.request(BLOCK_TYPE.in, 5, [], [[DATA, 2 * SECTOR]])).toEqual({ status: ok, length: 2 * SECTOR + 1 })
    expect(t.ram.copyOut(DATA, 2 * SECTOR)).toEqual(data)
    expect(t.irqs).toContainEqual([10, true])
  })

  it("property: buffers may be cut anywhere, header and status too (2.4.4)", () => {
    fc.assert(
      fc.property(
        fc.nat(SECTORS - 2),
        fc.array(fc.integer({ min: 1, max: 1023 }), { maxLength: 3 }),
        fc.integer({ min: 1, max: 15 }),
        (sector, at, headerCut) => {
          const t = make()
          const data = Uint8Array.from({ length: 2 * SECTOR }, (_, i) => i * 31 + sector)
          const cuts = [0, ...new Set(at.sort((a, b) => a - b)), 2 * SECTOR]
          const parts = cuts.slice(1).map((end, i) => [DATA + i * 0x1000 + cuts[i]!, end - cuts[i]!] as const)
          const put = (all: Uint8Array) =>
            parts.forEach(([address, length], i) => t.ram.copyIn(address, all.subarray(cuts[i]!, cuts[i]! + length)))
          put(data)
          t.header(BLOCK_TYPE.out, sector)
          const headers: Buffers = [[HEADER, headerCut], [HEADER + headerCut, BLOCK_REQUEST.size - headerCut]] // prettier-ignore
          t.chain(t.q, 0, [...headers, ...parts], [[STATUS, 1]])
          t.offer(t.q, 0)
          t.notify(t.q)
          expect(t.ram.read8(STATUS)).toBe(ok)
          expect(t.disk.bytes.slice(sector * SECTOR, (sector + 2) * SECTOR)).toEqual(data)
          put(new Uint8Array(2 * SECTOR))
          // The status in the last byte of the last data buffer.
          const [address, length] = parts.at(-1)!
          t.header(BLOCK_TYPE.in, sector)
          t.chain(t.q, 0, headers, [...parts.slice(0, -1), [address, length + 1]])
          t.offer(t.q, 0)
          t.notify(t.q)
          expect(t.ram.read8(address + length)).toBe(ok)
          const back = Buffer.concat(parts.map(([from, bytes]) => t.ram.copyOut(from, bytes)))
          expect(new Uint8Array(back)).toEqual(data)
        },
      ),
      { numRuns: 100 },
    )
  })

  it("flushes when it is told to, after the writes before", () => {
    const t = make()
    t.request(BLOCK_TYPE.out, 1, [[DATA, SECTOR]])
    expect(t.request(BLOCK_TYPE.flush, 0).status).toBe(ok)
    expect(t.disk.asked).toEqual(["write 1+1", "flush"])
  })

  it("flushes every write of a driver that does not know how to (5.2.6.2)", () => {
    const t = make(new MemoryDisk(), 0)
    t.request(BLOCK_TYPE.out, 1, [[DATA, SECTOR]])
    expect(t.disk.asked).toEqual(["write 1+1", "flush"])
  })

  it("has a name", () => {
    const t = make()
    expect(t.request(BLOCK_TYPE.getId, 0, [], [[DATA, 20]])).toEqual({ status: ok, length: 21 })
    expect(t.readText(DATA, 20).replace(/\0+$/, "")).toBe("disk0")
  })

  it.each([
    ["an unknown type", 99, 0, [], [], unsupported],
    ["a sector behind the end", BLOCK_TYPE.in, SECTORS, [], [[DATA, SECTOR]], ioError],
    ["sectors across the end", BLOCK_TYPE.in, SECTORS - 1, [], [[DATA, 2 * SECTOR]], ioError],
    ["sector 2^64 - 1", BLOCK_TYPE.in, 2 ** 64 - 2048, [], [[DATA, SECTOR]], ioError],
    ["half a sector", BLOCK_TYPE.in, 0, [], [[DATA, 256]], ioError],
    ["a write across the end", BLOCK_TYPE.out, SECTORS - 1, [[DATA, 2 * SECTOR]], [], ioError],
    ["a write of half a sector", BLOCK_TYPE.out, 0, [[DATA, 100]], [], ioError],
  ] as ReadonlyArray<[string, number, number, Buffers, Buffers, number]>)(
    "refuses %s, and asks nothing of the medium",
    (_what, type, sector, out, into, status) => {
      const t = make()
      expect(t.request(type, sector, out, into)).toEqual({ status, length: 1 })
      expect(t.disk.asked).toEqual([])
    },
  )

  it("does not write where it may only read", () => {
    const t = make(new MemoryDisk(true))
    expect(t.request(BLOCK_TYPE.out, 0, [[DATA, SECTOR]]).status).toBe(ioError)
    expect(t.disk.asked).toEqual([])
    expect(t.request(BLOCK_TYPE.in, 0, [], [[DATA, SECTOR]]).status).toBe(ok)
  })

  it("hands on the medium's failures", () => {
    const t = make()
    t.disk.broken = true
    t.ram.fill(DATA, SECTOR, 0x55)
    expect(t.request(BLOCK_TYPE.in, 0, [], [[DATA, SECTOR]])).toEqual({ status: ioError, length: 1 })
    expect(t.ram.read8(DATA)).toBe(0x55)
    expect(t.request(BLOCK_TYPE.out, 0, [[DATA, SECTOR]]).status).toBe(ioError)
    expect(t.request(BLOCK_TYPE.flush, 0).status).toBe(ioError)
  })

  it("refuses to gather more than fits", () => {
    const t = make()
    // The same megabytes over and over: each buffer lies in memory.
    const pieces = Array.from({ length: 6 }, () => [0, 0xf0000] as const)
    expect(t.request(BLOCK_TYPE.out, 0, pieces).status).toBe(ioError)
    expect(t.disk.asked).toEqual([])
  })

  it.each([
    ["a short header", [[HEADER, 15]], [[STATUS, 1]]],
    ["no room for a status", [[HEADER, 16]], []],
    ["an empty status", [[HEADER, 16]], [[STATUS, 0]]],
  ] as ReadonlyArray<[string, Buffers, Buffers]>)("ends a guest whose request has %s", (_what, readable, writable) => {
    const t = make()
    t.header(BLOCK_TYPE.flush, 0)
    t.chain(t.q, 0, readable, writable)
    t.offer(t.q, 0)
    expect(() => t.notify(t.q)).toThrow(GuestFault)
  })
})
