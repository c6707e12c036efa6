import { Worker } from "node:worker_threads"
import { describe, expect, it } from "vitest"
import { type Entry, type Setup, SmpGuest } from "../lguest64/smpGuests.ts"

/*
 * Virtual CPUs with a thread each: the same guests as in turns, and what there is only with threads: one that dies, and all
 * of them gone afterwards.
 */

const end = { kind: "powerOff", status: 42, message: "done" }

const run = async (entry: Entry, setup: Setup) => {
  const guest = await SmpGuest.inThreads(entry, setup)
  try {
    return { guest, event: await guest.run() }
  } finally {
    await guest.close()
  }
}

/** Threads of this process that Node knows of, without the test runner's. */
const workers = () =>
  process.getActiveResourcesInfo().filter((name) => name === "MessagePort" || name === "Worker").length

/** The workers that are started while `during` runs. */
const caught = async <A>(during: (started: Worker[]) => Promise<A>): Promise<A> => {
  const started: Worker[] = []
  const { on } = Worker.prototype
  Worker.prototype.on = function (this: Worker, ...args: Parameters<Worker["on"]>) {
    if (!started.includes(this)) started.push(this)
    return on.apply(this, args)
  } as Worker["on"]
  try {
    return await during(started)
  } finally {
    Worker.prototype.on = on
  }
}

const shapes: ReadonlyArray<readonly [vcpus: number, processors: number]> = [
  [2, 2],
  [4, 4],
  [4, 2],
  [3, 1],
]

describe("virtual CPUs in threads", () => {
  it.each(shapes)("%d on %d processors: lose no LOCK and no lock", async (vcpus, processors) => {
    const { guest, event } = await run("count", { vcpus, processors, rounds: 500 })
    expect(event).toEqual(end)
    expect([guest.count, guest.plain]).toEqual([500n * BigInt(vcpus), 500n * BigInt(vcpus)])
  })

  it.each(shapes)("%d on %d processors: lose no interrupt, asleep or awake", async (vcpus, processors) => {
    const { guest, event } = await run("ping_pong", { vcpus, processors, rounds: 200 })
    expect(event).toEqual(end)
    for (let i = 1; i < vcpus; i++) expect(guest.ipis(i)).toBe(200n)
    expect((await run("ipi_storm", { vcpus, processors, rounds: 100 })).event).toEqual(end)
  })

  it.each(shapes)("%d on %d processors: see what they have flushed, and nothing older", async (vcpus, processors) => {
    const { guest, event } = await run("change_page", { vcpus, processors, rounds: 20 })
    expect(event).toEqual(end)
    expect(guest.wrong).toBe(0n)
    for (const entry of ["same_table", "table_now_and_then"] as const) {
      const changed = await run(entry, { vcpus, processors, rounds: 50 })
      expect(changed.event).toEqual(end)
      expect(changed.guest.wrong).toBe(0n)
    }
  })

  it("never run into half a handler's address", async () => {
    const { guest, event } = await run("change_handler", { vcpus: 3, rounds: 1000 })
    expect(event).toEqual(end)
    expect(guest.count).toBe(1000n)
  })

  it("may write each other's shared pages, to nobody's harm but their own", async () => {
    expect((await run("shared_page", { vcpus: 3, rounds: 100 })).event).toEqual(end)
  })

  it("that all sleep with interrupts off are killed", async () => {
    const { event } = await run("deaf", { vcpus: 4, processors: 3 })
    expect(event).toMatchObject({ kind: "killed", reason: expect.stringContaining("HALT with interrupts off") })
  })

  it("run only where they are pinned to", async () => {
    const pins = new Map([
      [0, 2],
      [1, 2],
      [2, 0],
    ])
    const { guest, event } = await run("count", { vcpus: 3, processors: 4, pins, rounds: 300 })
    expect(event).toEqual(end)
    const instructions = guest.engine.counts().perProcessor!.map((counters) => counters.instructions[3])
    // The guest's are those of ring 3; but for it only the host's process has some, one now and then.
    for (const cpu of [1, 3]) expect(instructions[cpu]).toBeLessThan(100)
    for (const cpu of [0, 2]) expect(instructions[cpu]).toBeGreaterThan(1000)
  })
})

describe("the threads of a guest", () => {
  it("are gone when it has ended, however often it is started, and whatever the others were at", async () => {
    await run("end_while_busy", { vcpus: 2 })
    const before = workers()
    const warnings: Error[] = []
    const warn = (warning: Error) => warnings.push(warning)
    process.on("warning", warn)
    for (const vcpus of [16, 4, 3, 2, 4, 3, 2, 2]) {
      const entry = vcpus % 2 === 0 ? "end_while_busy" : "power_off_at_once"
      expect((await run(entry, { vcpus, processors: vcpus })).event).toEqual(end)
    }
    process.off("warning", warn)
    expect(workers()).toBe(before)
    expect(warnings).toEqual([])
  })

  it("are gone when it is closed while they run, or come up", async () => {
    const before = workers()
    const guest = await SmpGuest.inThreads("change_page", { vcpus: 4, rounds: 1_000_000 })
    await guest.engine.run(0)
    await guest.close()
    expect(workers()).toBe(before)
  })

  it.each([0, 1, 2, 3])("number %d dies, and the guest ends with a line that says so", async (index) => {
    const before = workers()
    const event = await caught(async (started) => {
      const guest = await SmpGuest.inThreads("change_page", { vcpus: 3, rounds: 1_000_000 })
      const running = guest.run()
      while (guest.count === 0n) await new Promise((resolve) => setTimeout(resolve, 20))
      void started[index]!.terminate()
      const event = await running
      await guest.close()
      return event
    })
    const who = index === 0 ? "the host's processes" : `virtual CPU ${index - 1}`
    expect(event).toEqual({ kind: "killed", reason: `the thread of ${who} ended with status 1` })
    expect(workers()).toBe(before)
  })
})
