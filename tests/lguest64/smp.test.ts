import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { EventLog } from "../../src/host/index.ts"
import { addressOf, type Entry, type Setup, SHARED, SmpGuest } from "./smpGuests.ts"

/*
 * Guests with several virtual CPUs that take turns in one thread: what a seed decides, laws that hold for every seed, and
 * attacks that need more than one virtual CPU.
 */

const end = { kind: "powerOff", status: 42, message: "done" }
/** Enough for anything here. */
const LIMIT = 400_000_000

const run = async (entry: Entry, setup: Setup, log?: EventLog) => {
  const guest = await SmpGuest.inTurns(entry, setup, log)
  const event = await guest.run(LIMIT)
  return { guest, event }
}

const setups = fc.record({
  vcpus: fc.integer({ min: 2, max: 6 }),
  processors: fc.integer({ min: 2, max: 6 }),
  seed: fc.nat(1_000_000),
})

describe("virtual CPUs in turns", () => {
  it("lose no LOCK, no lock and no interrupt, whatever the seed and however many processors there are", async () => {
    await fc.assert(
      fc.asyncProperty(setups, async (setup) => {
        const { guest, event } = await run("count", { ...setup, rounds: 60 })
        expect(event).toEqual(end)
        expect([guest.count, guest.plain]).toEqual([60n * BigInt(setup.vcpus), 60n * BigInt(setup.vcpus)])
        for (const entry of ["ping_pong", "ipi_storm", "shared_page"] as const)
          expect((await run(entry, { ...setup, rounds: 12 })).event).toEqual(end)
      }),
      { numRuns: 6 },
    )
  })

  it("see a change of the page tables when they have flushed it, whatever the seed", async () => {
    await fc.assert(
      fc.asyncProperty(setups, async (setup) => {
        for (const entry of ["change_page", "same_table", "table_now_and_then"] as const) {
          const { guest, event } = await run(entry, { ...setup, rounds: 12 })
          expect(event).toEqual(end)
          expect(guest.wrong).toBe(0n)
        }
      }),
      { numRuns: 6 },
    )
  })

  it("find a race: some seeds show that increments get lost, and each seed loses the same ones again", async () => {
    const lost = async (seed: number) => {
      const { guest, event } = await run("count_unlocked", { vcpus: 3, rounds: 2000, seed })
      expect(event).toEqual(end)
      return 6000n - guest.plain
    }
    const seeds = [1, 2, 3, 4, 5, 6]
    const first: bigint[] = []
    for (const seed of seeds) first.push(await lost(seed))
    expect(first.some((n) => n > 0n)).toBe(true)
    expect(new Set(first).size).toBeGreaterThan(1)
    for (const [i, seed] of seeds.entries()) expect(await lost(seed)).toBe(first[i])
  })

  it("do the same again with the same seed, to the last line of the log, and something else with another one", async () => {
    const log = async (seed: number) => {
      const lines: string[] = []
      const events = new EventLog(new Set(["switch", "hcall", "int", "mmu"] as const), (line) => lines.push(line))
      await run("change_page", { vcpus: 4, processors: 2, rounds: 4, seed }, events)
      return lines.join("\n")
    }
    const first = await log(7)
    expect(first).not.toBe("")
    expect(await log(7)).toBe(first)
    expect(await log(8)).not.toBe(first)
  })
})

describe("guests that attack with several virtual CPUs", () => {
  it("that all sleep with interrupts off are killed", async () => {
    const { event } = await run("deaf", { vcpus: 4 })
    expect(event).toMatchObject({
      kind: "killed",
      reason: expect.stringContaining("HALT with interrupts off on every virtual CPU"),
    })
  })

  it("never run into half a handler's address", async () => {
    const { guest, event } = await run("change_handler", { vcpus: 3, rounds: 500 })
    expect(event).toEqual(end)
    expect(guest.count).toBe(500n)
  })

  it("end when one of them says so, whatever the others do", async () => {
    expect((await run("end_while_busy", { vcpus: 5, processors: 3 })).event).toEqual(end)
  })

  const entry = addressOf("arrived")
  const up = (index: bigint, shared: bigint, at = entry, stack = entry, rounds = 1) =>
    run("any_vcpu_up", { vcpus: 3, arguments: [index, shared, at, stack], rounds })
  const page = BigInt(SHARED)

  it.each([
    ["a page of its own", 1n, page + 0x1000n],
    ["the page of the one who calls", 1n, page],
    ["a page table in use", 2n, 0x14_3000n],
    ["the root", 1n, 0x14_0000n],
    ["the last page of its memory", 1n, 0x3f_f000n],
  ])("may give a new virtual CPU %s", async (_, index, shared) => {
    const { event } = await up(index, shared)
    expect(event.kind).not.toBe("idle")
    if (shared === page + 0x1000n) expect(event).toEqual(end)
  })

  it.each([
    ["itself", 0n, page, entry, entry, 1, "VCPU_UP of virtual CPU 0, which is up"],
    ["one that is up", 1n, page + 0x1000n, entry, entry, 2, "VCPU_UP of virtual CPU 1, which is up"],
    ["one too many", 3n, page, entry, entry, 1, "this guest may have 3"],
    ["the last number", -1n, page, entry, entry, 1, "this guest may have 3"],
    ["2^32", 1n << 32n, page, entry, entry, 1, "this guest may have 3"],
    ["a page beyond its memory", 1n, 0x40_0000n, entry, entry, 1, "is no address in the guest's memory"],
    ["a page far beyond", 1n, -4096n, entry, entry, 1, "is no address in the guest's memory"],
    ["a page across the end", 1n, 0x3f_f001n, entry, entry, 1, "is no address in the guest's memory"],
    ["no whole page", 1n, page + 8n, entry, entry, 1, "is no page table's address"],
    ["an entry that is not canonical", 1n, page, 1n << 47n, entry, 1, "is no canonical address"],
    ["a stack that is not canonical", 1n, page, entry, 1n << 63n, 1, "is no canonical address"],
  ] as const)("are killed for bringing up %s", async (_, index, shared, at, stack, rounds, reason) => {
    const { event } = await up(index, shared, at, stack, rounds)
    expect(event).toMatchObject({ kind: "killed", reason: expect.stringContaining(reason) })
  })
})
