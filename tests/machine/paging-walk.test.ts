import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as S from "../../src/machine/core/state.ts"
import { CODE, HANDLERS, Lab, RAM_BYTES, SEL, STACK3, TABLES, gate, handler } from "./lab.ts"
import { type Access, walk } from "./reference-walk.ts"

/*
 * The core's page walks against the reference walker, over random tables of every format: the same physical address or the
 * same error code, by a walk without side effects (`translate`) and by real accesses, which also set A and D exactly where
 * they should.
 *
 * The tables: a fixed part that maps the lab (the first slot of the top level), and a pool of pages that random entries
 * point to and in which they lie.
 */

const lab = new Lab()
const { ram, cpu } = lab

type Format = "32-bit" | "PAE" | "4-level"
const POOL = 0x50000
const POOL_PAGES = 8
const FRAMES = 0x60000
const FRAME_PAGES = 16
/** Rarely used bits and where they are interesting. */
const PS = 7

interface Entry {
  /** 0..15: what it points to. */
  readonly to: number
  readonly flags: number
  readonly noise: number
}

const entry: fc.Arbitrary<Entry> = fc.record({
  to: fc.nat(31),
  // Present, writable, user and small with most of the weight.
  flags: fc
    .tuple(fc.nat(0x1ff), fc.nat(9))
    .map(([f, p]) => (p < 9 ? f | 1 | (p < 6 ? 6 : 0) : f) & (p % 3 === 0 ? 0x1ff : 0x17f)),
  noise: fc.nat(63),
})

/** The value of a random entry at a level; `last`: it points to a frame and not to a table. */
const value = (format: Format, { to, flags, noise }: Entry, level: number): bigint => {
  const last = level === 1
  const large = !last && (flags & (1 << PS)) !== 0
  const page = last ? FRAMES + (to % FRAME_PAGES) * 4096 : POOL + (to % POOL_PAGES) * 4096
  let v = BigInt(flags) | BigInt(page)
  // Large pages want an aligned address; mostly the one that holds the frames' megabyte.
  if (large) v = BigInt(flags) | (noise & 7 ? 0n : BigInt(page))
  if (noise === 9) v |= 0x40_0000n << BigInt(to % 4)
  if (format !== "32-bit") {
    if ((noise & 7) === 1) v |= 1n << 63n
    if (noise === 10) v |= 1n << 45n
    if (noise === 14) v |= 1n << 39n
    if (noise === 18) v |= 1n << 55n
  } else if (noise === 22) v |= 1n << 21n
  else if (noise === 26) v |= 1n << 14n
  return v
}

interface Case {
  readonly format: Format
  readonly pse: boolean
  readonly pge: boolean
  readonly wp: boolean
  readonly nxe: boolean
  readonly entries: ReadonlyArray<Entry>
  /** Index at each level, page offset, access. */
  readonly path: ReadonlyArray<number>
  readonly offset: number
  readonly access: Access
}

const formats: ReadonlyArray<Format> = ["32-bit", "PAE", "4-level"]
const aCase = (format: Format): fc.Arbitrary<Case> =>
  fc.record({
    format: fc.constant(format),
    pse: fc.boolean(),
    pge: fc.boolean(),
    wp: fc.boolean(),
    nxe: fc.boolean(),
    entries: fc.array(entry, { minLength: 12, maxLength: 12 }),
    path: fc.array(fc.nat(2), { minLength: 4, maxLength: 4 }),
    offset: fc.nat(0xfff),
    access: fc.record({ write: fc.boolean(), user: fc.boolean(), execute: fc.boolean() }).map((a) => ({
      ...a,
      write: a.write && !a.execute,
    })),
  })

/** How many levels, entry bytes, and the top index under which the random part lies. */
const shape = {
  "32-bit": { levels: 2, bytes: 4, top: 3 },
  PAE: { levels: 3, bytes: 8, top: 1 },
  "4-level": { levels: 4, bytes: 8, top: 2 },
} as const

const put = (format: Format, at: number, v: bigint): void => {
  if (format === "32-bit") ram.write32(at, Number(BigInt.asIntN(32, v)))
  else ram.writeBig(at, v)
}

/** Builds tables and registers; returns the linear address that the case is about. */
const build = (c: Case): bigint => {
  const { format } = c
  const { levels, bytes, top } = shape[format]
  lab.enter(format === "4-level" ? "long" : "prot32", c.access.user ? 3 : 0)
  ram.fill(POOL, POOL_PAGES * 4096, 0)
  ram.fill(FRAMES, FRAME_PAGES * 4096, 0xf4)
  // Below the top level, every pool page has random entries at indices 0..2.
  for (let page = 0; page < POOL_PAGES; page++)
    for (let i = 0; i < 3; i++)
      put(
        format,
        POOL + page * 4096 + i * bytes,
        value(format, c.entries[(page * 3 + i) % 12]!, levels - 1 - (page % (levels - 1))),
      )
  if (format !== "4-level") {
    // The lab itself: identity in 4 KiB pages.
    ram.fill(TABLES, 0x4000, 0)
    const count = bytes === 4 ? 1024 : 512
    for (let i = 0; i < count && i < RAM_BYTES / 4096; i++)
      put(format, TABLES + 0x3000 + i * bytes, BigInt(i * 4096) | 7n)
    if (format === "PAE") {
      ram.writeBig(TABLES + 0x2000, BigInt(TABLES + 0x3000) | 7n)
      ram.writeBig(TABLES, BigInt(TABLES + 0x2000) | 1n)
    } else ram.write32(TABLES, (TABLES + 0x3000) | 7)
  }
  // The random part hangs on top-level entries top, top + 1, top + 2.
  const topEntry = (i: number) => value(format, c.entries[i]!, levels)
  for (let i = 0; i < 3; i++) {
    if (format === "PAE") ram.writeBig(TABLES + (top + i) * 8, (topEntry(i) & 0xff000n) | (topEntry(i) & 1n))
    else put(format, TABLES + (top + i) * bytes, topEntry(i))
  }
  cpu.setLong(S.CR3, BigInt(TABLES))
  cpu.setLong(S.CR4, (c.pse ? 0x10n : 0n) | (c.pge ? 0x80n : 0n) | (format === "32-bit" ? 0n : 0x20n))
  cpu.setLong(S.CR0, 0x80000011n | (c.wp ? 0x10000n : 0n))
  cpu.setLong(S.MSR_EFER, (format === "4-level" ? 0x500n : 0n) | (c.nxe ? 0x800n : 0n))
  for (let i = 0; i < 4; i++) cpu.setLong(S.PDPTE + 8 * i, ram.readBig(TABLES + i * 8))
  cpu.flushTlb(true)
  cpu.refresh()
  const [a, b, d, e] = c.path as [number, number, number, number]
  const o = BigInt(c.offset)
  if (format === "32-bit") return (BigInt(top + a) << 22n) | (BigInt(b) << 12n) | o
  if (format === "PAE") return (BigInt(top + a) << 30n) | (BigInt(b) << 21n) | (BigInt(d) << 12n) | o
  return (BigInt(top + a) << 39n) | (BigInt(b) << 30n) | (BigInt(d) << 21n) | (BigInt(e) << 12n) | o
}

const read32 = (pa: bigint): number => (pa + 4n <= BigInt(RAM_BYTES) ? ram.read32(Number(pa)) : 0xffffffff)

const reference = (linear: bigint, access: Access) =>
  walk(
    read32,
    cpu.long(S.CR0),
    cpu.long(S.CR3),
    cpu.long(S.CR4),
    cpu.long(S.MSR_EFER),
    linear,
    access,
    [0, 1, 2, 3].map((i) => cpu.long(S.PDPTE + 8 * i)),
  )

describe.each(formats)("%s paging", (format) => {
  it("translate() is the architectural walk", () => {
    let faults = 0
    let hits = 0
    fc.assert(
      fc.property(aCase(format), (c) => {
        const linear = build(c)
        const before = ram.copyOut(0, RAM_BYTES)
        const expected = reference(linear, c.access)
        const { write, user, execute } = c.access
        const got = cpu.exports.translate(linear, Number(write), Number(user), Number(execute))
        if (expected.pa === undefined) faults++
        else hits++
        expect(got).toBe(expected.pa ?? -1n)
        expect(Buffer.compare(ram.copyOut(0, RAM_BYTES), before)).toBe(0)
      }),
      { numRuns: 400 },
    )
    // The generator must reach both outcomes to mean anything.
    expect(Math.min(faults, hits)).toBeGreaterThan(8)
  })

  it("an access goes there, or faults with the error code and CR2, and sets A and D", () => {
    let faults = 0
    let hits = 0
    fc.assert(
      fc.property(aCase(format), (c) => {
        const linear = build(c)
        const { write, execute } = c.access
        cpu.setGpr(7, linear)
        cpu.setGpr(0, 0x5an)
        // JMP rDI; MOV [rDI], AL; MOV AL, [rDI].
        lab.code(CODE, execute ? [0xff, 0xe7] : write ? [0x88, 0x07] : [0x8a, 0x07])
        const tables = ram.copyOut(TABLES, FRAMES - TABLES)
        const expected = reference(linear, c.access)
        // A page that reaches into what the lab needs would only show that the lab breaks.
        const target = expected.pa
        const inside = target !== undefined && target < BigInt(RAM_BYTES)
        fc.pre(!inside || target >= BigInt(FRAMES) || !(write || execute))
        cpu.run(execute ? 2 : 1)

        if (expected.pa === undefined) {
          faults++
          // The fault is delivered before the run returns, or at the next one's start.
          if (lab.vector === undefined) cpu.run(1)
          expect(lab.vector).toBe(14)
          expect(cpu.long(S.CR2)).toBe(linear)
          expect(lab.frame(1, lab.long ? 8 : 4)[0]).toBe(expected.error)
          const now = ram.copyOut(TABLES, FRAMES - TABLES)
          // Nothing but A flags of the lab's own pages may have changed: the random part is as it was.
          expect(Buffer.compare(now.subarray(POOL - TABLES), tables.subarray(POOL - TABLES))).toBe(0)
          return
        }
        hits++
        for (const [i, step] of expected.path.entries()) {
          if (step.pa >= BigInt(RAM_BYTES)) continue
          const leaf = i === expected.path.length - 1
          const flags = 0x20n | (leaf && write ? 0x40n : 0n)
          const v = step.bytes === 8 ? ram.readBig(Number(step.pa)) : BigInt(ram.read32(Number(step.pa)))
          expect(v & 0x60n).toBe((step.value & 0x60n) | flags)
          expect(v | 0x60n).toBe(step.value | 0x60n)
        }
        if (!inside) return
        if (write) expect(ram.read8(Number(target))).toBe(0x5a)
        else if (!execute) expect(cpu.gprLo(0) & 0xff).toBe(ram.read8(Number(target)))
      }),
      { numRuns: 400 },
    )
    expect(Math.min(faults, hits)).toBeGreaterThan(8)
  })
})

describe("edges", () => {
  it("tables beyond memory read as all ones: reserved bits, never an escape", () => {
    lab.enter("long", 0, [0x8a, 0x07])
    cpu.setGpr(7, 0x8000000000n)
    ram.writeBig(TABLES + 8, 0xf0000000n | 7n)
    expect(lab.fault()).toEqual({ vector: 14, error: 9 })
  })

  it("CR3 beyond memory shuts the processor down", () => {
    lab.enter("long", 0, [0x0f, 0x22, 0xd8])
    cpu.setGpr(0, 0xfffff000n)
    expect(lab.run()).toBe(S.EXIT_SHUTDOWN)
  })

  it("an access across a page faults on the half that is missing, and writes nothing", () => {
    lab.enter("long", 0, [0x48, 0x89, 0x07])
    cpu.setGpr(7, 0x40ffcn)
    cpu.setGpr(0, ~0n)
    ram.writeBig(TABLES + 0x3000 + 0x41 * 8, 0n)
    expect(lab.fault()).toEqual({ vector: 14, error: 2 })
    expect(cpu.long(S.CR2)).toBe(0x41000n)
    expect(ram.read32(0x40ffc)).toBe(0)
  })

  it("an access across a page goes to two frames", () => {
    lab.enter("long", 0, [0x48, 0x89, 0x07, 0x48, 0x8b, 0x1f])
    cpu.setGpr(7, 0x40ffbn)
    cpu.setGpr(0, 0x1122334455667788n)
    ram.writeBig(TABLES + 0x3000 + 0x41 * 8, 0x60007n)
    lab.run(2)
    expect(cpu.gpr(3)).toBe(0x1122334455667788n)
    expect(ram.read32(0x40ffb)).toBe(0x55667788)
    expect(ram.read16(0x60000) | (ram.read8(0x60002) << 16)).toBe(0x112233)
  })

  it("non-canonical addresses: #GP(0), and #SS(0) through RSP", () => {
    lab.enter("long", 0, [0x8a, 0x07])
    cpu.setGpr(7, 0x800000000000n)
    expect(lab.fault()).toEqual({ vector: 13, error: 0 })
    lab.enter("long", 3, [0x50])
    cpu.setGpr(4, 0x800000000000n + 8n)
    expect(lab.fault()).toEqual({ vector: 12, error: 0 })
    // The last canonical byte, and one further.
    lab.enter("long", 0, [0x48, 0x8b, 0x07])
    cpu.setGpr(7, 0x7ffffffffff9n)
    expect(lab.fault().vector).not.toBe(undefined)
  })

  it("MOV CR3 under PAE checks the PDPTEs and keeps them until the next load", () => {
    const enterPae = () => {
      lab.enter("prot32", 0, [0x0f, 0x22, 0xd8, 0x8a, 0x07])
      ram.writeBig(TABLES, BigInt(TABLES + 0x2000) | 1n)
      ram.writeBig(TABLES + 0x2000, 0x87n)
      cpu.setLong(S.CR4, 0x30n)
      cpu.setLong(S.CR3, BigInt(TABLES))
      cpu.setLong(S.CR0, 0x80000011n)
      cpu.setLong(S.PDPTE, BigInt(TABLES + 0x2000) | 1n)
      cpu.setGpr(0, BigInt(TABLES))
      cpu.flushTlb(true)
      cpu.refresh()
    }
    for (const reserved of [1n << 1n, 1n << 5n, 1n << 8n, 1n << 40n, 1n << 63n]) {
      enterPae()
      ram.writeBig(TABLES + 0x18, reserved | 1n)
      expect(lab.fault()).toEqual({ vector: 13, error: 0 })
      // Not present: the rest does not matter.
      enterPae()
      ram.writeBig(TABLES + 0x18, reserved)
      lab.run(1)
      expect(lab.vector).toBe(undefined)
    }
    // A PDPTE written later is not seen until CR3 is loaded.
    enterPae()
    cpu.setGpr(7, 0x40000000n)
    lab.run(1)
    ram.writeBig(TABLES + 8, BigInt(TABLES + 0x2000) | 1n)
    expect(lab.fault()).toEqual({ vector: 14, error: 0 })
  })

  it("a compatibility-mode frame and its user stack are mapped with user rights only", () => {
    // Ring 3 must not reach supervisor pages, even with addresses that the supervisor half of the TLB has cached.
    lab.enter("long", 3, [0x8a, 0x07])
    ram.writeBig(TABLES + 0x3000 + (HANDLERS >> 12) * 8, BigInt(HANDLERS) | 3n)
    ram.writeBig(TABLES + 0x3000 + 2 * 8, 0x2000n | 3n)
    cpu.setGpr(7, BigInt(handler(0)))
    expect(lab.fault()).toEqual({ vector: 14, error: 5 })
    expect(lab.frame(5, 8)[4]).toBe(STACK3)
  })

  it("descriptor tables are read with supervisor rights from ring 3", () => {
    lab.enter("long", 3, [0xcd, 0x40])
    for (const page of [1, 2, 3]) ram.writeBig(TABLES + 0x3000 + page * 8, BigInt(page * 4096) | 3n)
    lab.setIdt(0x40, gate(SEL.code64, handler(0x40), 14, 3))
    lab.run()
    expect(lab.vector).toBe(0x40)
  })

  it("a write to a page whose code has been executed is seen", () => {
    // MOV BYTE [RDI], 0x40 rewrites the immediate of the following MOV BL, imm8 in the same block.
    lab.enter("long", 0, [0xc6, 0x07, 0x77, 0xb3, 0x11, 0xeb, 0xf9])
    cpu.setGpr(7, BigInt(CODE + 4))
    lab.run(2)
    expect(cpu.gprLo(3) & 0xff).toBe(0x77)
  })
})
