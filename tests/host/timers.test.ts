import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { type Timer, Timers } from "../../src/host/timers.ts"

describe("timers", () => {
  it("fires each armed timer once, in order of time, and no other", () => {
    const step = fc.record({
      timer: fc.nat(5),
      action: fc.constantFrom("arm", "cancel"),
      at: fc.oneof(fc.nat(100), fc.constant(Infinity)),
    })
    fc.assert(
      fc.property(fc.array(step), fc.nat(120), (steps, until) => {
        const timers = new Timers()
        const fired: Array<[number, number]> = []
        const all: Array<Timer> = Array.from({ length: 6 }, (_, i) => ({
          at: Infinity,
          fire: () => void fired.push([due.get(i) ?? NaN, i]),
        }))
        const due = new Map<number, number>()
        for (const { timer, action, at } of steps) {
          if (action === "arm") {
            timers.arm(all[timer]!, at)
            due.set(timer, at)
          } else {
            timers.cancel(all[timer]!)
            due.delete(timer)
          }
          expect(timers.next()).toBe(Math.min(Infinity, ...due.values()))
        }
        timers.run(until)
        expect(fired.map(([at]) => at)).toEqual([...due.values()].filter((at) => at <= until).sort((a, b) => a - b))
        expect(timers.next()).toBe(Math.min(Infinity, ...[...due.values()].filter((at) => at > until)))
      }),
    )
  })

  it("lets a timer arm itself again while it fires", () => {
    const timers = new Timers()
    let beats = 0
    const timer: Timer = {
      at: Infinity,
      fire: (now) => {
        beats++
        timers.arm(timer, now + 10)
      },
    }
    timers.arm(timer, 10)
    for (let now = 0; now <= 100; now += 5) timers.run(now)
    expect(beats).toBe(10)
  })
})
