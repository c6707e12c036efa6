import * as Effect from "effect/Effect"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { checkDisks, snapshotOf } from "../../src/launcher/snapshot/index.ts"
import { NotNow } from "../../src/machine/snapshot.ts"
import { begin, DISK, endOf, KINDS, type Kind, type Life, live, readBytes } from "./snapshots.ts"

/* A machine that was saved goes on as if nothing had been: everything it says, logs, counts and writes is the same. */

/** Saves `before` to a file's bytes, and makes another machine of them, with the disk as it was. */
const again = async (before: Life, kind: Kind): Promise<Life> => {
  const snapshot = readBytes(Buffer.concat(snapshotOf(before.engine, before.source)))
  const after = await begin(kind, before.disk.bytes)
  after.said.length = 0
  Effect.runSync(checkDisks(snapshot, before.source.config.options, after.source.config.devices.disks))
  after.engine.snapshot!.restore(snapshot.state)
  after.typed = before.typed
  return after
}

describe.each(KINDS)("%s", (_, kind) => {
  it("property: goes on as if it had never stopped, wherever it was saved", { timeout: 300_000 }, async () => {
    const whole = await begin(kind)
    await live(whole)
    expect(whole.ending).toMatchObject({ kind: "powerOff", status: 3 })
    const end = endOf(whole)
    expect(whole.disk.bytes).not.toEqual(DISK)
    const length = whole.engine.instructions
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: length - 1000 }), async (position) => {
        const before = await begin(kind)
        await live(before, position)
        const after = await again(before, kind)
        await live(after)
        expect(endOf(after)).toEqual(end)
        expect([...before.said, ...after.said].join("\n") === whole.said.join("\n")).toBe(true)
      }),
      { numRuns: 6 },
    )
  })

  it("is the same once more: saved, restored and saved it is the same bytes", async () => {
    const before = await begin(kind)
    await live(before, 300_000)
    const after = await again(before, kind)
    const bytes = (life: Life) => Buffer.concat(snapshotOf(life.engine, life.source))
    expect(bytes(after).equals(bytes(before))).toBe(true)
  })

  it("cannot be saved when it is at its end", async () => {
    const life = await begin(kind)
    await live(life)
    expect(() => snapshotOf(life.engine, life.source)).toThrow(NotNow)
  })
})
