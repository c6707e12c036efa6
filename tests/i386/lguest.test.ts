import { describe, expect, it } from "vitest"
import { ATT_NMI } from "../../src/machine/core/state.ts"
import { RAX, RCX } from "../../src/machine/processor.ts"
import type { Pending } from "../../src/host/devLguest.ts"
import { GUEST_BYTES, TestGuest } from "./guests.ts"

const shutdown = (status: number) => ({ kind: "shutdown", restart: false, status, message: "done" })
const cause = (pending: Pending): string =>
  pending.kind === "killed" ? pending.death.cause : `no death: ${pending.kind}`
/** The guest's selectors for kernel and user code (docs/abi-i386.md). */
const USER_CS = 0x73

describe.each([{ pae: false }, { pae: true }])("the lguest module, PAE $pae", ({ pae }) => {
  it("boots a ring-1 kernel and takes its exit status", () => {
    expect(new TestGuest("power_off", { pae }).run()).toEqual(shutdown(42))
  })

  it("lets system calls go straight to the guest's kernel and reflects faults of its processes", () => {
    const guest = new TestGuest("user_mode", { pae })
    expect(guest.run()).toEqual(shutdown(7))
    const { statistics, processor } = guest.hosted.kernel
    expect(guest.result(0)).toBe(1)
    expect(guest.result(1)).toBe(USER_CS)
    expect(guest.result(2)).toBe(0x200)
    // A page fault of ring 3, writing, at an address that was not mapped.
    expect(guest.result(3)).toBe(6)
    expect(guest.result(4)).toBe(0x0800_5000)
    expect(guest.result(5)).toBe(0)
    expect(guest.result(6) & 0x200).toBe(0x200)
    expect(guest.result(7)).toBe(1)
    expect(guest.result(8)).toBe(USER_CS)
    // The processor took two system calls of the guest; the host saw none of them.
    expect(statistics.reflectedSystemCalls).toBe(0)
    expect(statistics.reflectedTraps).toBe(2)
    expect(processor.counters().vectors[0x80]! - statistics.hostSystemCalls).toBe(2)
    expect(processor.counters().instructions[3]).toBeGreaterThan(9)
  })

  it("delivers clock events: to a halted guest, a running one, one that has interrupts off", () => {
    const guest = new TestGuest("clock", { pae })
    expect(guest.run()).toEqual(shutdown(3))
    expect(guest.hosted.kernel.statistics.injectedInterrupts).toBe(3)
    expect(guest.hosted.kernel.now).toBeGreaterThan(7_000_000)
  })

  it("runs the asynchronous ring in order, before the next ordinary hypercall", () => {
    const guest = new TestGuest("ring", { pae })
    expect(guest.run()).toEqual(shutdown(5))
    expect(guest.result(0)).toBe(0xffff_ffff)
    // LSL of a flat segment: it ends below the Switcher.
    expect(guest.result(1)).toBe(0xffbf_ffff)
    expect(guest.hosted.kernel.statistics.asyncHypercalls).toBe(4)
  })

  it("answers every attempt on the host with a fault that the guest sees", () => {
    const guest = new TestGuest("forbidden", { pae })
    const pending = guest.run()
    expect(guest.result(2), "the attempt that went through").toBe(0)
    expect(pending).toEqual(shutdown(0))
    expect(guest.result(0)).toBe(19)
  })

  it("lets a guest have no flags that are the host's, and takes the frame of its IRET over", () => {
    const guest = new TestGuest("wild_flags", { pae })
    expect(guest.run()).toEqual(shutdown(9))
    const IF = 0x200
    const IOPL_NT_VM = 0x27000
    expect(guest.result(0) & (IOPL_NT_VM | IF)).toBe(IF)
    // In the handler: what the guest may have of the flags in its frame, which is still the one that it pushed.
    expect(guest.result(2) & (IOPL_NT_VM | IF)).toBe(IF)
    expect(guest.result(2) & 0x240cd5).toBe(0x240cd5)
    expect(guest.result(3)).toBe(0x3ffeff)
    expect(guest.result(4)).toBe(guest.result(1))
  })

  it("keeps the Switcher's pages from a kernel that finds a segment which reaches them", () => {
    const guest = new TestGuest("thread_local", { pae })
    const pending = guest.run()
    expect(guest.result(2), "the attempt that went through").toBe(0)
    expect(pending).toEqual(shutdown(0))
    expect(guest.result(0)).toBe(6)
    expect(guest.result(4)).toBe(0xffff_f000)
  })

  it("survives an NMI at any instruction, in the guest, in the Switcher or in the host", () => {
    const quiet = new TestGuest("user_mode", { pae })
    quiet.run()
    const guest = new TestGuest("user_mode", { pae })
    const { processor, statistics } = guest.hosted.kernel
    let pending = guest.run(guest.hosted.kernel.now + 1)
    let sent = 0
    while (pending.kind === "slice" && sent < 100_000) {
      processor.attend(ATT_NMI)
      sent++
      // Seldom enough for the guest to get on, and at all phases of the some 80 instructions that a change of worlds takes.
      pending = guest.run(guest.hosted.kernel.now + ((sent * 37) % 101) + 1)
    }
    expect(pending).toEqual(shutdown(7))
    expect(sent).toBeGreaterThan(500)
    for (let i = 0; i < 9; i++) expect(guest.result(i)).toBe(quiet.result(i))
    // Some hit the Switcher and were dropped; the others came to the host's handler.
    expect(statistics.hostInterrupts).toBeGreaterThan(100)
    expect(statistics.reflectedTraps).toBe(quiet.hosted.kernel.statistics.reflectedTraps)
  })

  it("is deterministic", () => {
    const runs = [0, 1].map(() => {
      const guest = new TestGuest("clock", { pae, log: ["int", "mmu", "hcall", "switch"] })
      guest.run()
      return guest.lines
    })
    expect(runs[0]!.length).toBeGreaterThan(50)
    expect(runs[1]).toEqual(runs[0])
  })
})

describe("the lguest module", () => {
  it("gives IN, OUT and device registers to the launcher", () => {
    const guest = new TestGuest("devices")
    const { device } = guest.hosted
    const next = (bytes: ReadonlyArray<number>, trap: 13 | 14, address: number) => {
      const pending = guest.run()
      expect(pending).toMatchObject({ kind: "io", trap, address, bits: 32 })
      if (pending.kind === "io") expect([...pending.instruction.subarray(0, bytes.length)]).toEqual(bytes)
    }
    next([0xef], 13, 0)
    expect(device.registerLo(RAX)).toBe(0x8000_0000)
    device.advance(1)
    next([0xe5, 0x55], 13, 0)
    device.setRegister(RAX, 0x1234_5678, 0)
    device.advance(2)
    next([0xc7, 0x05], 14, 0xf000_0010)
    device.advance(10)
    next([0x8b, 0x0d], 14, 0xf000_0020)
    device.setRegister(RCX, 0xabcd, 0)
    device.advance(6)
    expect(guest.run()).toEqual(shutdown(6))
    expect([guest.result(0), guest.result(1)]).toEqual([0x1234_5678, 0xabcd])
    expect(guest.hosted.kernel.statistics.forwarded).toBe(4)
  })

  it("wakes a halted guest for a device's interrupt and keeps a blocked one waiting", () => {
    const guest = new TestGuest("blocked")
    expect(guest.run(20_000_000)).toEqual({ kind: "slice" })
    expect(guest.result(1)).toBe(0)
    guest.hosted.device.irq(5)
    expect(guest.run()).toEqual(shutdown(4))
  })

  it("lets a guest be told of the first use of the FPU", () => {
    const guest = new TestGuest("task_switched")
    expect(guest.run()).toEqual(shutdown(11))
    expect(guest.result(0)).toBe(1)
  })

  it("delivers an exception in place of an instruction that the launcher refuses", () => {
    const guest = new TestGuest("devices")
    guest.run()
    guest.hosted.device.trap(13, 0)
    expect(cause(guest.run())).toBe("unhandled trap 13 (error code 0x0)")
  })

  it("keeps two address spaces and accessed and dirty flags", () => {
    const guest = new TestGuest("address_spaces")
    expect(guest.run()).toEqual(shutdown(8))
    expect([0, 1, 2, 3, 4].map((i) => guest.result(i))).toEqual([0x11, 0x22, 0x9027, 0x9067, 0x33])
  })

  it.each([
    ["bad_hypercall", /^hypercall 11, which does not exist/, /^0xc0100/],
    ["early_hypercall", /^hypercall 10 before LGUEST_INIT/, /^0x100/],
    ["no_handler", /^unhandled trap 6/, /^0xc0100/],
    ["wild_read", /^a page fault at 0x50000000 \(error code 0x0\) and no handler/, /^0xc0100/],
    ["no_stack", /^the stack at 0x3ffffff[0-9a-f], on which an event has to be pushed, is not mapped/, /^0xc0100/],
    ["pull_segment", /^segment registers that cannot be loaded \(cs 0x61, ss 0x69\)/, /^0xc0100/],
  ] as const)("kills a guest for %s, and the host goes on", (entry, why, where) => {
    const guest = new TestGuest(entry)
    const pending = guest.run()
    expect(cause(pending)).toMatch(why)
    if (pending.kind === "killed") {
      expect(pending.death.address).toMatch(where)
      expect(pending.death.instruction.length).toBe(15)
    }
    // It stays dead, and the host's own process goes on beating.
    const { kernel, device } = guest.hosted
    const before = kernel.statistics.hostSystemCalls
    guest.pass(250_000_000)
    // Two beats of two system calls each.
    expect(kernel.statistics.hostSystemCalls).toBe(before + 4)
    expect(device.read(kernel.now + 1000)).toEqual(pending)
  })

  it("gives everything back when it is closed", () => {
    const guest = new TestGuest("user_mode")
    const { kernel, device } = guest.hosted
    const before = kernel.frames.available
    expect(guest.run()).toEqual(shutdown(7))
    expect(kernel.frames.available).toBeLessThan(before)
    device.close()
    // What it had from the start too: four pages of the virtual CPU, one root, the Switcher's table.
    expect(kernel.frames.available).toBe(before + 6)
    const calls = kernel.statistics.hostSystemCalls
    guest.pass(250_000_000)
    expect(kernel.statistics.hostSystemCalls).toBe(calls + 4)
  })

  it.each([
    ["user_mode", "clock", 7, 3],
    ["clock", "clock", 3, 3],
    ["thread_local", "no_handler", 0, undefined],
  ] as const)("runs two guests on one processor: %s and %s", (a, b, first, second) => {
    const host = new TestGuest("power_off")
    const devices = host.divide([a, b])
    const ends = host.takeTurns(devices)
    expect(ends[0]).toEqual(shutdown(first))
    if (second === undefined) expect(cause(ends[1]!)).toMatch(/^unhandled trap 6/)
    else expect(ends[1]).toEqual(shutdown(second))
    for (const device of devices) device.close()
  })

  it("takes the processor from a guest that never rests", () => {
    const host = new TestGuest("power_off")
    const { kernel } = host.hosted
    const [spinning, working] = host.divide(["spin", "user_mode"])
    const before = kernel.statistics.contextSwitches
    expect(spinning!.read(kernel.now + 40_000_000)).toEqual({ kind: "slice" })
    // The other one is not run before somebody reads from it.
    expect(kernel.statistics.contextSwitches - before).toBeLessThan(10)
    expect(working!.read(kernel.now + 40_000_000)).toEqual(shutdown(7))
    expect(spinning!.read(kernel.now + 1_000_000)).toEqual({ kind: "slice" })
  })

  it("runs no more than it is allowed to", () => {
    const guest = new TestGuest("spin")
    expect(guest.run(30_000_000)).toEqual({ kind: "slice" })
    expect(guest.hosted.kernel.now).toBe(30_000_000)
    // Three ticks of the host interrupted it, and each went through the Switcher to the host's own handler.
    expect(guest.hosted.kernel.statistics.hostInterrupts).toBeGreaterThanOrEqual(2)
    guest.hosted.device.kill("a hostile ring")
    expect(cause(guest.run())).toBe("a hostile ring")
  })

  const WILD = [
    0,
    1,
    2,
    3,
    4,
    31,
    32,
    255,
    256,
    511,
    512,
    1023,
    1024,
    0x3ffc,
    GUEST_BYTES - 4,
    GUEST_BYTES,
    0x7fff_ffff,
  ]
  const WILDER = [0x8000_0000, 0xc000_0000, 0xffbf_ffff, 0xffc0_0000, 0xffff_fff0, 0xffff_fffc, 0xffff_ffff]
  it.each(Array.from({ length: 22 }, (_, n) => n - 1))("survives wild arguments to hypercall %i", (number) => {
    const values = [...WILD, ...WILDER]
    for (const [i, a] of values.entries()) {
      const guest = new TestGuest("any_hypercall")
      const { ram } = guest.hosted.machine
      const host = ram.copyOut(0x10_0000, 0x2000)
      const others = [values[(i * 7 + 3) % values.length]!, values[(i * 5 + 1) % values.length]!]
      ;[number, a, others[0]!, others[1]!, 0x1234].forEach((v, k) => guest.write(0x3000 + 4 * k, v))
      const pending = guest.run(20_000_000)
      expect(["killed", "shutdown", "slice"]).toContain(pending.kind)
      if (pending.kind === "killed") expect(pending.death.cause.length).toBeGreaterThan(5)
      expect(Buffer.from(ram.copyOut(0x10_0000, 0x2000)).equals(Buffer.from(host))).toBe(true)
    }
  })
})
