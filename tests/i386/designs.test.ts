import fc from "fast-check"
import { describe, expect, it } from "vitest"
import type { Choices } from "../../src/design/dimensions.ts"
import type { Pending } from "../../src/host/devLguest.ts"
import { code as imageCode } from "../../src/i386/image.gen.ts"
import { FREE_PA, MOVED_PAGE_OFFSET, TEXT_PA } from "../../src/i386/layout.ts"
import { restoreMachine, saveMachine } from "../../src/machine/snapshot.ts"
import { CALL_PAGE_ADDR, IRET_FRAME, LHCALL, SWITCHER_ADDR } from "../../src/paravirt_ops/lguest.ts"
import { ALTERNATIVES, lguestBut, MIXTURES } from "./choices.ts"
import { symbols } from "./guest.gen.ts"
import { RESULTS, TestGuest } from "./guests.ts"

/*
 * What a design of the i386 host says, by little guests that try it: where the host lies, what a kernel at ring 1 can do to
 * it, and how it is called.
 */

const shutdown = (status: number) => ({ kind: "shutdown", restart: false, status, message: "done" })
const cause = (pending: Pending): string =>
  pending.kind === "killed" ? pending.death.cause : `no death: ${pending.kind}`
const both = (names: ReadonlyArray<readonly [string, Choices]>) =>
  names.flatMap(([name, design]) => [false, true].map((pae) => ({ name, design, pae })))

describe.each(both([...ALTERNATIVES, ...MIXTURES]))("$name, PAE $pae", ({ design, pae }) => {
  // These guests have their flag in a word of lguest_data and hypercalls by INT, which no design takes away.
  it("runs processes, reflects their faults and keeps address spaces apart", () => {
    const process = new TestGuest("user_mode", { pae, design })
    expect(process.run()).toEqual(shutdown(7))
    expect([0, 1, 3, 4, 7].map((i) => process.result(i))).toEqual([1, 0x73, 6, 0x0800_5000, 1])
    const { statistics } = process.hosted.kernel
    expect(statistics.reflectedSystemCalls).toBe(design.events === "through-host" ? 2 : 0)
    if (pae) return
    const spaces = new TestGuest("address_spaces", { design })
    expect(spaces.run()).toEqual(shutdown(8))
    expect([0, 1, 2, 3, 4].map((i) => spaces.result(i))).toEqual([0x11, 0x22, 0x9027, 0x9067, 0x33])
  })

  it("kills a guest that pulls its segments away, and gives everything back", () => {
    const guest = new TestGuest("pull_code", { pae, design })
    const { kernel, device } = guest.hosted
    expect(cause(guest.run())).toMatch(/segment registers that cannot be loaded/)
    const used = kernel.frames.available
    device.close()
    const free = kernel.frames.available
    expect(free).toBeGreaterThan(used)
    const again = guest.hosted.open(guest.hosted.guestBase, 0x20_0000)
    again.close()
    expect(kernel.frames.available).toBe(free)
    const calls = kernel.statistics.hostSystemCalls
    guest.pass(250_000_000)
    expect(kernel.statistics.hostSystemCalls).toBe(calls + 4)
  })
})

describe("host: switcher", () => {
  const design = lguestBut({ host: "switcher" })

  it.each([false, true])("is not hurt by a kernel that has the Switcher's pages in reach, PAE %s", (pae) => {
    const guest = new TestGuest("over_pages", { pae, design })
    const pending = guest.run()
    expect(guest.result(2), "the attempt that went through").toBe(0)
    expect(pending).toEqual(shutdown(21))
    // Segments are flat, and the pages can be read.
    expect(guest.result(3)).toBe(0xffff_ffff)
    expect(guest.result(4)).not.toBe(0)
    expect(guest.result(5)).not.toBe(0)
    expect(guest.result(6)).toBe(12)
    // Interrupts of the host's came while the registers' page held rubbish.
    expect(guest.hosted.kernel.statistics.hostInterrupts).toBeGreaterThanOrEqual(1)
  })

  it.each([
    ["at the end of the registers' page", 0xffc0_3000, "shutdown"],
    ["in its middle", 0xffc0_2800, "shutdown"],
    ["in the page that it cannot write", 0xffc0_3800, "killed"],
    ["in the text", 0xffc0_0800, "killed"],
    ["where nothing is", 0xffff_f000, "killed"],
  ] as const)("nor by a stack for direct traps %s", (_where, esp, kind) => {
    const guest = new TestGuest("stack_anywhere", { design })
    guest.write(RESULTS + 32, esp)
    expect(guest.run().kind).toBe(kind)
    const calls = guest.hosted.kernel.statistics.hostSystemCalls
    guest.pass(250_000_000)
    expect(guest.hosted.kernel.statistics.hostSystemCalls).toBeGreaterThanOrEqual(calls + 4)
  })

  it("in lguest's own design the same kernel does not even see them", () => {
    const guest = new TestGuest("over_pages")
    expect(guest.run().kind).toBe("killed")
    expect(guest.result(3)).toBe(0xffbf_ffff)
    expect(guest.result(5)).toBe(0)
  })
})

/** An address of the host's, its word, and what a guest that touches it reads and leaves there. */
const touch = (design: Choices, pae = false) => {
  const guest = new TestGuest("touch_host", { pae, design })
  const { ram } = guest.hosted.machine
  const pa = TEXT_PA
  const before = ram.read32(pa)
  guest.write(RESULTS + 32, MOVED_PAGE_OFFSET + pa)
  guest.write(RESULTS + 36, 0x0bad_c0de)
  const pending = guest.run(20_000_000)
  return { pending, before, read: guest.result(0), faults: guest.result(1), after: ram.read32(pa) }
}

describe("all of the host mapped", () => {
  it.each([false, true])("and nothing in between: its text is read and written, PAE %s", (pae) => {
    const { before, read, faults, after } = touch(lguestBut({ host: "everything" }), pae)
    expect(read).toBe(before)
    expect(before).toBe(Buffer.from(imageCode, "base64").readUInt32LE(0))
    expect(faults).toBe(0)
    expect(after).toBe(0x0bad_c0de)
  })

  it("and nothing in between: ring 0 takes two stores", () => {
    const guest = new TestGuest("take_ring0", { design: lguestBut({ host: "everything" }) })
    expect(guest.run()).toEqual(shutdown(23))
    expect(guest.result(1)).toBe(0)
    expect(guest.result(0) & 3).toBe(0)
    expect(guest.result(0)).not.toBe(0)
    // What only ring 0 can read.
    expect(guest.result(2)).toBeGreaterThan(FREE_PA)
  })

  it.each([
    lguestBut({ host: "everything-behind-limits" }),
    lguestBut({ host: "switcher", pageOffset: "host-moves" }),
    lguestBut({ pageOffset: "host-moves" }),
  ])("behind limits, or not at all, it is out of reach ($host)", (design) => {
    const { pending, before, read, faults, after } = touch(design)
    expect(pending).toEqual(shutdown(22))
    expect([read, faults, after]).toEqual([0, 2, before])
    const taker = new TestGuest("take_ring0", { design })
    const end = taker.run()
    expect(taker.result(0)).toBe(0)
    expect(end).toEqual(shutdown(23))
  })

  it("lets no thread-local storage reach over the fence", () => {
    const guest = new TestGuest("wide_tls", { design: lguestBut({ host: "everything-behind-limits" }) })
    const pending = guest.run()
    expect(guest.result(2), "the attempt that went through").toBe(0)
    expect(pending).toEqual(shutdown(24))
    expect(guest.result(0)).toBe(4)
    expect(guest.result(3)).toBe(MOVED_PAGE_OFFSET - 1)
  })

  it("loads CR3 only for another address space, or to forget", () => {
    const loads = (design: Choices) => {
      const guest = new TestGuest("clock", { design })
      expect(guest.run()).toEqual(shutdown(3))
      const { statistics, processor } = guest.hosted.kernel
      return { loads: processor.counters().cr3Loads, switches: statistics.worldSwitches }
    }
    const today = loads(lguestBut({}))
    const mapped = loads(lguestBut({ host: "everything-behind-limits" }))
    expect(mapped.switches).toBe(today.switches)
    expect(today.loads).toBeGreaterThanOrEqual(2 * today.switches)
    expect(mapped.loads).toBeLessThan(today.switches)
  })

  it("is refused where host and guest have the same PAGE_OFFSET", () => {
    const other = new TestGuest("power_off")
    expect(() => other.hosted.open(other.hosted.guestBase, 0x20_0000, 64, lguestBut({ host: "everything" }))).toThrow(
      /direct map is at 0xc0000000/,
    )
  })
})

describe("guests of two designs on one host", () => {
  it("do not notice each other", () => {
    const host = new TestGuest("power_off", { design: lguestBut({ pageOffset: "host-moves" }) })
    const designs = [lguestBut({ host: "everything-behind-limits" }), lguestBut({ host: "switcher", mmu: "on-demand" })]
    const devices = host.divide(["user_mode", "clock"], designs)
    const ends = host.takeTurns(devices)
    expect(ends).toEqual([shutdown(7), shutdown(3)])
    for (const device of devices) device.close()
  })
})

describe("the call page", () => {
  it.each([
    lguestBut({ hypercall: "call-page" }),
    lguestBut({ hypercall: "call-page", host: "switcher" }),
    lguestBut({ hypercall: "call-page", host: "everything-behind-limits" }),
  ])("is there for the kernel alone, and to be called only ($host)", (design) => {
    const guest = new TestGuest("call_page", { design })
    const pending = guest.run()
    expect(guest.result(2), "the attempt that went through").toBe(0)
    expect(pending).toEqual(shutdown(25))
    expect(guest.result(3)).toBe(0)
    expect(guest.result(4)).toBe(2 ** 32 - CALL_PAGE_ADDR)
    expect(guest.result(5)).toBe(CALL_PAGE_ADDR)
  })

  it("is not there in other designs", () => {
    expect(new TestGuest("call_page").run()).toEqual(shutdown(98))
  })
})

describe("the interrupt flag", () => {
  it.each([
    ["rom_clock", 26, lguestBut({ interruptFlag: "rom" })],
    ["rom_clock", 26, lguestBut({ interruptFlag: "rom", hypercall: "call-page", host: "everything-behind-limits" })],
    ["asked_clock", 27, lguestBut({ interruptFlag: "hypercall" })],
    ["asked_clock", 27, lguestBut({ interruptFlag: "hypercall", host: "switcher" })],
  ] as const)("%s: holds interrupts back, and loses none (%i)", (entry, status, design) => {
    const guest = new TestGuest(entry, { design })
    expect(guest.run()).toEqual(shutdown(status))
    // Off, on, and on again after an IRET with it in the frame.
    expect([1, 2, 3].map((i) => guest.result(i) & 0x200)).toEqual([0, 0x200, 0x200])
    // In the handler: the frame shows it on, and it is off.
    expect(guest.result(4) & 0x200).toBe(0x200)
    expect(guest.result(5)).toBe(0)
    const { hypercalls, injectedInterrupts } = guest.hosted.kernel.statistics
    expect(injectedInterrupts).toBe(4)
    expect(hypercalls[LHCALL.IRET]! > 0).toBe(entry === "asked_clock")
  })
})

describe("hypercall IRET", () => {
  const F = IRET_FRAME.fields
  const GOOD = { eax: 1, ebx: 2, eip: symbols.iret_target + 0xc010_0000, cs: 0x61, eflags: 0x202, esp: 0, ss: 0x69 }
  const run = (frame: Partial<typeof GOOD>, design = lguestBut({ interruptFlag: "hypercall" })) => {
    const guest = new TestGuest("iret_anywhere", { design })
    for (const [name, value] of Object.entries({ ...GOOD, ...frame }))
      guest.write(RESULTS + 64 + F[name as keyof typeof F]!.offset, value)
    return { guest, pending: guest.run(5_000_000) }
  }

  it("goes on where the frame says", () => {
    expect(run({}).pending).toEqual(shutdown(28))
  })

  it.each([0x60, 0x50, 0, 8, 0xfffc])("never to ring 0 (cs %i)", (cs) => {
    expect(cause(run({ cs }).pending)).toMatch(/^IRET to segment 0x[0-9a-f]+, which is of ring 0$/)
  })

  it.each([0x51, 0x53, 0x63, 0x71, 0x81, 0x83, 1, 3, 0xffff])("nor to what is no code of its ring (cs %i)", (cs) => {
    const { pending } = run({ cs })
    expect(cause(pending)).toMatch(/segment registers that cannot be loaded|is not mapped|unhandled trap/)
  })

  it("to whatever frame, hurts nobody but the guest", () => {
    const word = fc.oneof(fc.nat(0xffff_ffff), fc.constantFrom(0, 0x61, 0x73, 0x7b, SWITCHER_ADDR, 0xffff_ffff))
    const segment = fc.oneof(fc.nat(0xffff), fc.constantFrom(0x61, 0x69, 0x73, 0x7b, 0x50, 0x58))
    fc.assert(
      fc.property(
        fc.record({ eip: word, cs: segment, eflags: word, esp: word, ss: segment }, { requiredKeys: [] }),
        (frame) => {
          const { guest, pending } = run(frame)
          expect(["killed", "shutdown", "slice", "idle"]).toContain(pending.kind)
          expect(guest.hosted.kernel.processor.flags & 0x3_7000n).toBe(0n)
          const calls = guest.hosted.kernel.statistics.hostSystemCalls
          guest.hosted.device.close()
          guest.pass(250_000_000)
          expect(guest.hosted.kernel.statistics.hostSystemCalls).toBeGreaterThan(calls)
        },
      ),
      { numRuns: 60 },
    )
  })
})

describe("a moment that is put back", () => {
  it.each([
    ["asked_clock", lguestBut({ interruptFlag: "hypercall", host: "everything-behind-limits" })],
    ["rom_clock", lguestBut({ interruptFlag: "rom", host: "switcher" })],
    ["user_mode", lguestBut({ mmu: "on-demand", host: "everything", events: "through-host" })],
  ] as const)("goes on as it did (%s)", (entry, design) => {
    const picture = (guest: TestGuest) => {
      const { machine, parts, share } = guest.hosted
      return { machine, heap: share().heap, parts }
    }
    /** What a guest says, and all that can be counted of it. */
    const end = (guest: TestGuest) => {
      const pending = guest.run()
      const { statistics, processor, now } = guest.hosted.kernel
      const { hypercalls, guestTraps } = statistics
      return { pending, now, counts: processor.counters(), hypercalls: [...hypercalls], traps: [...guestTraps] }
    }
    const length = new TestGuest(entry, { design })
    const { now } = end(length)
    for (const part of [0.2, 0.5, 0.9]) {
      const first = new TestGuest(entry, { design })
      first.run(Math.floor(now * part))
      const { machine, heap, parts } = picture(first)
      const state = saveMachine(machine, heap, parts)
      const second = new TestGuest(entry, { design })
      const other = picture(second)
      restoreMachine(other.machine, other.heap, other.parts, state)
      expect(end(second)).toEqual(end(first))
    }
  })
})

describe("a design that is none", () => {
  it("is refused when the guest is built", () => {
    const { hosted } = new TestGuest("power_off")
    const open = (other: Partial<Choices>) =>
      hosted.open(hosted.guestBase, 0x20_0000, 64, { ...lguestBut({}), ...other })
    expect(() => open({ interruptFlag: "pvi" })).toThrow(/pvi/)
    expect(() => open({ mmu: "kvm" })).toThrow(/kvm/)
  })
})
