import fc from "fast-check"
import { INDICES, POOL, type Entry, type Step } from "./simulation.ts"
import { GUEST_FRAMES, HOLE } from "./world.ts"

/*
 * Random guests: tables whose entries point at each other, at themselves, at data, at devices and into the void.
 */

/** 1 with a probability in percent. */
const chance = (percent: number) => fc.noBias(fc.integer({ min: 0, max: 99 })).map((n) => n < percent)

/**
 * Most entries are such as a kernel makes (what frame holds them, by `NOMINAL`, decides what they refer to); wild ones
 * refer to anything.
 */
export const entry: fc.Arbitrary<Entry> = fc
  .record({
    wild: chance(6),
    pick: fc.noBias(fc.nat(99)),
    present: chance(95),
    writable: chance(90),
    user: chance(88),
    accessed: chance(60),
    dirty: chance(50),
    large: chance(10),
    global: chance(20),
    nx: chance(10),
    reserved: chance(1),
    ignored: chance(20),
  })
  .map((e) => ({
    wild: e.wild,
    pick: e.pick,
    flags:
      (e.present ? 1n : 0n) |
      (e.writable ? 2n : 0n) |
      (e.user ? 4n : 0n) |
      (e.accessed ? 0x20n : 0n) |
      (e.dirty ? 0x40n : 0n) |
      (e.large ? 0x80n : 0n) |
      (e.global ? 0x100n : 0n) |
      (e.ignored ? (0x5an << 52n) | 0xe00n : 0n) |
      (e.reserved ? 1n << 45n : 0n) |
      (e.nx ? 1n << 63n : 0n),
  }))

export const tables = fc.array(fc.array(entry, { minLength: INDICES.length, maxLength: INDICES.length }), {
  minLength: POOL,
  maxLength: POOL,
})

const index = fc.constantFrom(...INDICES)
const top = fc.oneof({ weight: 15, arbitrary: index }, { weight: 1, arbitrary: fc.constant(510) })
/** Neighbours in four last-level tables, so that one table has several of the addresses. */
export const vpns = fc
  .array(fc.tuple(top, index, index), { minLength: 4, maxLength: 4 })
  .map((list) => list.flatMap(([a, b, c]) => [0, 1].map((d) => a * 2 ** 27 + b * 2 ** 18 + c * 512 + d)))

const pool = fc.integer({ min: 0, max: POOL - 1 })
const how = fc.constantFrom(0 as const, 1 as const, 2 as const)
const address = fc.nat(10)

/** Mostly the last entry of a path. */
const depth = fc.constantFrom(0, 1, 2, 2, 3, 3, 3, 3)
const stored = {
  value: entry,
  window: fc.nat(2),
  size: fc.constantFrom(8 as const, 8 as const, 8 as const, 4 as const, 1 as const),
  by: fc.constantFrom("write" as const, "window" as const),
}

const op = fc.oneof(
  { weight: 60, arbitrary: fc.record({ kind: fc.constant("access" as const), address, how, user: fc.boolean() }) },
  { weight: 10, arbitrary: fc.record({ kind: fc.constant("store" as const), frame: pool, index, ...stored }) },
  { weight: 25, arbitrary: fc.record({ kind: fc.constant("edit" as const), address, depth, ...stored }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("announce" as const), frame: pool, index }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("device" as const), frame: pool, index, value: entry }) },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("cr3" as const),
      frame: fc.oneof(
        { weight: 60, arbitrary: fc.constantFrom(0, 1) },
        { weight: 10, arbitrary: pool },
        { weight: 1, arbitrary: fc.constantFrom(HOLE, GUEST_FRAMES) },
      ),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("linear" as const) }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("flush" as const), global: fc.boolean() }) },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("invlpg" as const), address }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("translate" as const), address, how, user: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("zapAll" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("zapFrame" as const), frame: pool }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("reclaim" as const), pages: fc.integer({ min: 1, max: 8 }) }) },
)

export const steps = (count: number): fc.Arbitrary<Step[]> =>
  fc
    .array(fc.record({ vcpu: fc.nat(1), op }), { minLength: count, maxLength: count, size: "max" })
    // Most guests leave the linear view at once.
    .map((list) => [
      { vcpu: 0, op: { kind: "cr3", frame: 0 } as const },
      { vcpu: 1, op: { kind: "cr3", frame: 1 } as const },
      ...list,
    ])
