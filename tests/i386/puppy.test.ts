import { describe, expect, it } from "vitest"
import { type Choices, LGUEST } from "../../src/design/dimensions.ts"
import type { HostedGuest } from "../../src/launcher/hosted.ts"
import type { bootLguest } from "../../src/modules/lguest/boot.ts"
import { LHCALL } from "../../src/paravirt_ops/lguest.ts"
import { bootPuppy, type Ended } from "../designs/puppy.ts"
import { ALTERNATIVES, MIXTURES } from "./choices.ts"

/* puppy at ring 1: the committed image, the shell, and what the host counted meanwhile. */

interface Run extends Ended {
  readonly guest: HostedGuest
}

const run = async (lines: ReadonlyArray<string>, design: Choices = LGUEST): Promise<Run> => {
  const puppy = await bootPuppy(design)
  return { ...puppy.run(lines), guest: puppy.guest }
}

describe("puppy under lguest", () => {
  it("comes to its shell, runs programs and powers off with a status", async () => {
    const { kind, status, output, guest } = await run(["uname", "echo hello | cat", "ps", "poweroff 17"])
    expect([kind, status]).toEqual(["powerOff", 17])
    expect(output).toContain("puppy on i386, lguest")
    expect(output).toMatch(/# echo hello \| cat\nhello/)
    const { statistics, processor } = guest.host.kernel
    const { vectors, instructions } = processor.counters()
    // System calls of its processes went straight to its kernel.
    expect(statistics.reflectedSystemCalls).toBe(0)
    expect(vectors[0x80]!).toBeGreaterThan(100)
    expect(instructions[1]).toBeGreaterThan(instructions[0])
    expect(statistics.hypercalls[LHCALL.LGUEST_INIT]).toBe(1)
    expect(statistics.hypercalls[LHCALL.NEW_PGTABLE]).toBeGreaterThan(5)
    expect(statistics.asyncHypercalls).toBeGreaterThan(0)
    expect(statistics.worldSwitches).toBeGreaterThan(500)
  })

  it("preempts processes on the clock", async () => {
    const { kind, output, guest } = await run(["cpu-bench 3000000 & cpu-bench 3000000", "poweroff 0"])
    expect(kind).toBe("powerOff")
    expect(output).toMatch(/cpu-bench/)
    expect(guest.host.kernel.statistics.injectedInterrupts).toBeGreaterThan(5)
  })
})

const SCRIPT = ["uname", "echo hello | cat", "ps", "cpu-bench 300000 & cpu-bench 300000", "poweroff 17"]
const plain = await run(SCRIPT)

describe.each([...ALTERNATIVES, ...MIXTURES])("puppy under %s", (_name, design) => {
  it("says what it says under lguest's own design", async () => {
    const { kind, status, output, guest } = await run(SCRIPT, design)
    expect([kind, status]).toEqual(["powerOff", 17])
    expect(output).toMatch(/# echo hello \| cat\nhello/)
    const { statistics, processor } = guest.host.kernel
    const { vectors } = processor.counters()
    const { hypercalls } = statistics
    const counts = plain.guest.host.kernel.statistics
    // What the design says can be seen in what was counted.
    if (design.events === "through-host") expect(statistics.reflectedSystemCalls).toBeGreaterThan(100)
    else expect(statistics.reflectedSystemCalls).toBe(0)
    const asked = hypercalls[LHCALL.IRQ_DISABLE]! + hypercalls[LHCALL.IRQ_ENABLE]! + hypercalls[LHCALL.IRET]!
    if (design.interruptFlag === "hypercall") expect(asked).toBeGreaterThan(1000)
    else expect(asked).toBe(0)
    expect(vectors[0x80]!).toBeGreaterThan(100)
    if (design.mmu === "on-demand") {
      const { shadowReport } = guest.host as ReturnType<typeof bootLguest>
      const { shadowReport: before } = plain.guest.host as ReturnType<typeof bootLguest>
      expect(shadowReport().faults["fill"]!).toBeGreaterThan(before().faults["fill"]!)
    }
    const loads = processor.counters().cr3Loads
    const { cr3Loads } = plain.guest.host.kernel.processor.counters()
    if (design.host.startsWith("everything")) expect(loads).toBeLessThan(cr3Loads / 2)
    else expect(loads).toBeGreaterThanOrEqual(2 * statistics.worldSwitches)
    expect(counts.worldSwitches).toBeGreaterThan(500)
  })
})
