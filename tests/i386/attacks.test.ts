import { describe, expect, it } from "vitest"
import type { Pending } from "../../src/host/devLguest.ts"
import { type Choices, LGUEST } from "../../src/design/dimensions.ts"
import { MAPPED_SWITCHER_ADDR, SWITCHER_TEXT_PAGES } from "../../src/i386/layout.ts"
import { ATT_NMI } from "../../src/machine/core/state.ts"
import { SWITCHER_ADDR } from "../../src/paravirt_ops/lguest.ts"
import { lguestBut } from "./choices.ts"
import { symbols } from "./guest.gen.ts"
import { TestGuest } from "./guests.ts"

/*
 * Attacks on the i386 host, its Switcher and its module by guests that mean it, and events that come when they are least
 * welcome.
 */

const shutdown = (status: number) => ({ kind: "shutdown", restart: false, status, message: "done" })
const cause = (pending: Pending): string =>
  pending.kind === "killed" ? pending.death.cause : `no death: ${pending.kind}`

describe("descriptors that the Switcher's IRET needs", () => {
  it.each(["pull_code", "pull_stack"] as const)("%s: the guest is killed and the host goes on", (entry) => {
    const guest = new TestGuest(entry)
    const { statistics } = guest.hosted.kernel
    expect(cause(guest.run())).toMatch(/segment registers that cannot be loaded \(cs 0x61, ss 0x69\)/)
    // At its first try, with the address at which the kernel was to go on.
    const hypercalls = statistics.hypercalls.reduce((a, b) => a + b)
    expect(statistics.worldSwitches).toBe(hypercalls + statistics.guestTraps[14]! + 1)
    const calls = statistics.hostSystemCalls
    guest.pass(250_000_000)
    expect(statistics.hostSystemCalls).toBeGreaterThanOrEqual(calls + 4)
  })

  it("in whatever shape end the guest or let it go on", () => {
    // Bits 8..15 of the high word: P, DPL, S, type; the rest is flat.
    for (let attributes = 0; attributes < 256; attributes++) {
      const guest = new TestGuest("odd_kernel_code")
      guest.write(0x3000, 0xffff)
      guest.write(0x3004, 0x00cf0000 | (attributes << 8))
      const pending = guest.run()
      expect(["killed", "shutdown"], `attributes ${attributes.toString(16)}: ${cause(pending)}`).toContain(pending.kind)
    }
  })
})

describe("flags", () => {
  it("NT: an IRET finds no task to go back to, at ring 1 and at ring 3", () => {
    const guest = new TestGuest("nested_task")
    expect(guest.run()).toEqual(shutdown(5))
    expect(guest.result(0)).toBe(1)
  })
})

describe("an event at each instruction of a round trip between two worlds", () => {
  /** Instructions within which all is as before. */
  const SETTLE = 3000
  const START = 0x0800_0000 + (symbols.doors_here - symbols.user_text)

  const atStart = (guest: TestGuest) => {
    const { processor } = guest.hosted.kernel
    return processor.cpl === 3 && Number(processor.rip) === START
  }

  /** Goes to the process's next system call, one instruction at a time. */
  const align = (guest: TestGuest) => {
    const { kernel } = guest.hosted
    for (let i = 0; i < 20_000; i++) {
      guest.run(kernel.now + 1)
      if (atStart(guest)) return
    }
    throw new Error("the process does not come back")
  }

  const rounds = (name: string, pae: boolean, strike: (guest: TestGuest) => void, design: Choices = LGUEST) =>
    it(`${name}, ${pae ? "PAE" : "two levels"}, host: ${design.host}, events: ${design.events}`, () => {
      const guest = new TestGuest("doors", { pae, design })
      const text = design.host.startsWith("everything") ? MAPPED_SWITCHER_ADDR : SWITCHER_ADDR
      const { kernel } = guest.hosted
      const { processor } = kernel
      guest.run(kernel.now + 20_000)
      const laps = () => guest.read(0x7000)
      expect(laps()).toBeGreaterThan(0)

      // Without an event: the boundaries that there are.
      align(guest)
      const inSwitcher = new Set<number>()
      let length = 0
      do {
        const rip = Number(processor.rip)
        if (rip >= text && rip < text + SWITCHER_TEXT_PAGES * 4096) inSwitcher.add(rip)
        guest.run(kernel.now + 1)
        length++
      } while (!atStart(guest))
      expect(inSwitcher.size).toBeGreaterThan(50)

      const struck = new Set<number>()
      for (let steps = 0; steps <= length; steps++) {
        align(guest)
        const target = kernel.now + steps
        while (kernel.now < target) guest.run(target)
        struck.add(Number(processor.rip))
        strike(guest)
        const before = laps()
        expect(guest.run(kernel.now + SETTLE)).toEqual({ kind: "slice" })
        expect(laps()).toBeGreaterThan(before)
      }
      for (const rip of inSwitcher) expect(struck).toContain(rip)
    })

  const nmi = (guest: TestGuest) => guest.hosted.kernel.processor.attend(ATT_NMI)
  rounds("an NMI", false, nmi)
  rounds("an NMI", true, nmi)
  const interrupt = (guest: TestGuest) => guest.hosted.kernel.cpu.clock.kick()
  rounds("an interrupt of the host's", false, interrupt)
  const both = (guest: TestGuest) => {
    guest.hosted.device.irq(0)
    nmi(guest)
  }
  rounds("an NMI, and an interrupt for the guest", false, both)
  rounds("an NMI, and an interrupt for the guest", false, both, lguestBut({ host: "switcher" }))
  rounds("an NMI", false, nmi, lguestBut({ host: "everything-behind-limits" }))
  rounds("an interrupt of the host's", true, interrupt, lguestBut({ host: "everything", events: "through-host" }))
})

describe("an NMI at each instruction of the host's own process", () => {
  it("is not noticed by the process, the idle task, or the context switches between them", () => {
    const { hosted } = new TestGuest("power_off")
    hosted.device.close()
    const { kernel } = hosted
    const { processor, statistics } = kernel
    const inProcess = () => processor.cpl === 3
    /** `count` instructions; what is idle time passes by itself. */
    const step = (count: number) => {
      const target = processor.instructions + count
      while (processor.instructions < target)
        if (kernel.drive(kernel.now + target - processor.instructions) === "idle") {
          const next = kernel.nextEvent()
          if (next === Infinity) throw new Error("the process is gone")
          processor.skip(Math.max(0, next - kernel.now))
        }
    }
    /** To the process's first instruction after `calls` system calls. */
    const until = (calls: number) => {
      for (let i = 0; statistics.hostSystemCalls < calls || !inProcess(); i++) {
        if (i === 20_000) throw new Error("the process does not come back")
        step(1)
      }
    }
    const RSI = 6
    const { pid } = kernel.tasks.list().find((task) => task.kind === "process")!
    let nmis = 0
    until(2)
    for (let steps = 0, over = false; !over; steps++) {
      const calls = statistics.hostSystemCalls
      until(calls + 2)
      const before = processor.gpr(RSI)
      step(steps)
      over = statistics.hostSystemCalls > calls + 3 && inProcess()
      processor.attend(ATT_NMI)
      nmis++
      // Two laps: in each it adds its number, and what it works with: 64 + 63 + ... + 1.
      until(calls + 6)
      expect(processor.gpr(RSI) - before).toBe(2n * BigInt(pid + 2080))
    }
    expect(processor.counters().vectors[2]).toBe(nmis)
    expect(nmis).toBeGreaterThan(250)
  })
})
