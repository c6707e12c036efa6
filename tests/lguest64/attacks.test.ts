import { describe, expect, it } from "vitest"
import { GuestMemory } from "../../src/devices/index.ts"
import { fixed } from "../../src/host/x86_64/fixedArea.ts"
import { TEXT_OFFSET, TEXT_PAGES } from "../../src/host/x86_64/layout.ts"
import { PROCESS_TEXT } from "../../src/host/x86_64/process.ts"
import {
  ATT_NMI,
  SEG,
  SEG_BASE,
  SEG_DS,
  SEG_ES,
  SEG_FS,
  SEG_GS,
  SEG_SELECTOR,
  SEG_STRIDE,
} from "../../src/machine/core/state.ts"
import { bootHost, GUEST_BYTES, KERNEL_CODE, TestGuest, USER_CODE } from "./guests.ts"

/*
 * Attacks on the x86_64 host and its module by guests that mean it, and events that come when they are least welcome.
 */

const shutdown = (status: number) => ({ kind: "shutdown", restart: false, status, message: "done" })

const GENERAL_PROTECTION = 13
/** Status with which the guests end after an exception. */
const exception = (vector: number) => shutdown(200 + vector)

const running = (entry: "user" | "kernel", code: ReadonlyArray<number>) => {
  const guest = new TestGuest(entry)
  guest.put(entry === "user" ? USER_CODE : KERNEL_CODE, code)
  return guest
}

describe("descriptor tables", () => {
  it("have no LDT, in which a guest could keep a call gate to ring 0", () => {
    const guest = new TestGuest("ldt_gate")
    expect(guest.run()).toEqual(exception(GENERAL_PROTECTION))
    expect(guest.result(0)).toBe(0n)
    expect(guest.result(17)).toBe(4n)
  })
})

describe("a process in compatibility mode", () => {
  // push $0x23 (the host's selector for 32-bit processes); push $0x400040; lretq
  const far = [0x6a, 0x23, 0x68, 0x40, 0, 0x40, 0, 0x48, 0xcb]
  const tries: ReadonlyArray<[string, number, ReadonlyArray<number>]> = [
    ["syscall", 6, [0x0f, 0x05]],
    ["sysenter", 13, [0x0f, 0x34]],
    ["sysret", 6, [0x0f, 0x07]],
    ["sysexit", 13, [0x0f, 0x35]],
    ["into", 4, [0xb0, 0x7f, 0x04, 1, 0xce]],
    ["a call to the host's code", 13, [0x9a, 0, 0, 0, 0, 0x10, 0]],
    ["a call to the TSS", 13, [0x9a, 0, 0, 0, 0, 0x40, 0]],
    ["a jump to the TSS's upper half", 13, [0xea, 0, 0, 0, 0, 0x48, 0]],
    ["a jump through an LDT", 13, [0xea, 0, 0, 0, 0, 7, 0]],
    ["iret with NT", 13, [0x68, 0, 0x40, 0, 0, 0x9d, 0xcf]],
    ["the host's stack segment", 13, [0x6a, 0x18, 0x17]],
    ["enter with 31 levels", 14, [0xc8, 0xff, 0xff, 31]],
    ["a step over syscall", 6, [0x9c, 0x81, 0x0c, 0x24, 0, 1, 0, 0, 0x9d, 0x0f, 0x05]],
    ["hlt", 13, [0xf4]],
  ]
  it.each(tries)("gets nothing from %s but exception %d", (_name, vector, code) => {
    const guest = running("user", far)
    guest.put(USER_CODE + 0x40, code)
    expect(guest.run()).toEqual(exception(vector))
  })
})

describe("breakpoints that a kernel keeps to itself", () => {
  it.each([
    ["int3", [0xcc]],
    ["int $3", [0xcd, 3]],
  ])("%s in a process is #GP at the instruction", (_name, code) => {
    const guest = new TestGuest("private_breakpoint")
    guest.put(USER_CODE, [0x90, ...code])
    expect(guest.run()).toEqual(exception(GENERAL_PROTECTION))
    expect(guest.result(17)).toBe(3n * 8n + 2n)
    expect(guest.result(18)).toBe(0x40_0001n)
  })
})

describe("what the processor remembers", () => {
  it("of one guest's segments is not seen by another one", () => {
    const host = bootHost(2 * GUEST_BYTES)
    const a = new TestGuest("mark_segments", { host })
    const b = new TestGuest("read_segments", { host, base: host.guestBase + GUEST_BYTES })
    a.run(host.kernel.now + 100_000)
    expect(a.result(0)).toBeGreaterThan(0n)
    expect(b.run(host.kernel.now + 100_000_000)).toEqual(shutdown(1))
    expect([0, 1, 2, 3].map((i) => b.result(i))).toEqual([0n, 0n, 0n, 0n])
  })

  it("of a guest's segments is not seen by a process of the host", () => {
    const guest = new TestGuest("mark_segments")
    const { kernel } = guest.hosted
    const { processor } = kernel
    const inProcess = () => processor.cpl === 3 && (processor.rip & ~0xfffn) === PROCESS_TEXT
    guest.run(kernel.now + 90_000_000)
    const before = guest.result(0)
    expect(before).toBeGreaterThan(0n)
    while (!inProcess()) guest.run(kernel.now + 50)
    const segment = (s: number, field: number) => SEG + s * SEG_STRIDE + field
    for (const s of [SEG_DS, SEG_ES, SEG_FS, SEG_GS]) expect(processor.word(segment(s, SEG_SELECTOR))).toBe(0)
    for (const s of [SEG_FS, SEG_GS]) expect(processor.long(segment(s, SEG_BASE))).toBe(0n)
  })
})

describe("a device that writes page tables", () => {
  it("changes what the guest sees at its next flush, as on hardware", () => {
    const guest = new TestGuest("reread")
    const { kernel, machine } = guest.hosted
    guest.put(0x1e_0000, [1])
    guest.put(0x1e_1000, [2])
    guest.run(kernel.now + 20_000)
    expect(guest.result(0)).toBe(1n)
    const memory = new GuestMemory(machine.ram, guest.base, GUEST_BYTES, (gpa, n) => guest.device.written(gpa, n))
    memory.write32(0x7000 + 8 * 0x1e0, 0x1e_1003)
    guest.run(kernel.now + 20_000)
    expect(guest.result(0)).toBe(2n)
    memory.copyIn(0x7000 + 8 * 0x1e0, Uint8Array.of(3, 0, 0x1e))
    guest.run(kernel.now + 20_000)
    expect(guest.result(0)).toBe(1n)
    memory.write16(0x7000 + 8 * 0x1e0, 0)
    expect(guest.run()).toEqual(exception(14))
  })
})

describe("a guest's clock", () => {
  const NEVER = 2n ** 63n

  it("that never rings takes no memory, and rings in time when it is set anew", () => {
    const guest = new TestGuest("clock_events")
    const times = [NEVER, NEVER, 2n ** 53n, NEVER, 1_000_000n]
    times.forEach((t, i) => guest.setResult(i + 1, t))
    const { kernel, machine } = guest.hosted
    guest.run(kernel.now + 500_000)
    expect(guest.result(0)).toBeGreaterThan(0n)
    const irqPending = () => machine.ram.read32(guest.base + 0x2008)
    expect(irqPending()).toBe(0)
    guest.run(kernel.now + 1_000_000)
    expect(irqPending()).toBe(1)
  })

  it("that rings each nanosecond takes its own time alone", () => {
    const guest = new TestGuest("clock_events")
    for (let i = 1; i <= 14; i++) guest.setResult(i, 1n)
    const { kernel } = guest.hosted
    guest.run(kernel.now + 250_000_000)
    expect(kernel.statistics.hostSystemCalls).toBeGreaterThanOrEqual(4)
    expect(guest.result(0)).toBeGreaterThan(0n)
  })
})

describe("flags", () => {
  // pushfq; pop %rax; or $bits,%eax; push %rax; popfq
  const setFlags = (bits: number) => [
    0x9c,
    0x58,
    0x0d,
    bits & 0xff,
    (bits >> 8) & 0xff,
    (bits >> 16) & 0xff,
    0,
    0x50,
    0x9d,
  ]
  const exit = [0xbf, 7, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05]

  it("TF over SYSCALL: no step in the host", () => {
    // The step after POPF's next instruction comes first: the guest's own #DB.
    expect(running("user", [...setFlags(0x100), 0x90, ...exit]).run()).toEqual(exception(1))
    // SYSCALL as the first instruction that is stepped.
    expect(running("user", [...exit.slice(0, 10), 0x9c, 0x81, 0x0c, 0x24, 0, 1, 0, 0, 0x9d, 0x0f, 0x05]).run()).toEqual(
      shutdown(7),
    )
  })

  it.each([0xcc, 0xf1, 0xf4, 0xfa, 0x0f])("TF over an instruction that traps (%i)", (opcode) => {
    const pending = running("user", [0x9c, 0x81, 0x0c, 0x24, 0, 1, 0, 0, 0x9d, opcode, 0x0b]).run()
    expect(pending.kind).toBe("shutdown")
  })

  it("TF, NT, DF, AC and RF behind MOV SS and SYSCALL", () => {
    // mov %ss,%ecx; flags; mov %ecx,%ss; syscall
    const code = [
      ...exit.slice(0, 10),
      0x8c,
      0xd1,
      0x9c,
      0x81,
      0x0c,
      0x24,
      0,
      0x45,
      0x05,
      0,
      0x9d,
      0x8e,
      0xd1,
      0x0f,
      0x05,
    ]
    expect(running("user", code).run().kind).toBe("shutdown")
  })

  it("DF does not reach a guest's kernel through a system call", () => {
    const guest = new TestGuest("user")
    // std; mov $60,%eax; mov $9,%edi; syscall: the handler copies its frame upwards.
    guest.put(USER_CODE, [0xfd, 0xb8, 60, 0, 0, 0, 0xbf, 9, 0, 0, 0, 0x0f, 0x05])
    expect(guest.run()).toEqual(shutdown(9))
    expect(guest.result(32 + 10)).toBe(60n) // %rax
    expect(guest.result(32 + 18) & 0x400n).toBe(0x400n)
  })
})

describe("addresses at the edges", () => {
  // movabs $x,%rsp; push %rax
  const stackAt = (x: bigint) => [
    0x48,
    0xbc,
    ...Array.from({ length: 8 }, (_, i) => Number((x >> BigInt(8 * i)) & 0xffn)),
  ]
  const jumpTo = (x: bigint) => [0x48, 0xb8, ...stackAt(x).slice(2), 0xff, 0xe0]
  const places = [
    0x8000_0000_0000n,
    0x7fff_ffff_fffen,
    0xffff_7fff_ffff_fff8n,
    0xffff_8800_0010_0000n,
    0xffff_ff00_0000_0000n,
    0xffff_ff00_0010_3000n,
    0xffff_ff00_0020_1ff8n,
    2n ** 64n - 1n,
    0n,
  ]
  it.each(places)("%s as instruction pointer of process and kernel", (place) => {
    expect(running("user", jumpTo(place)).run().kind).toBe("shutdown")
    const pending = running("kernel", jumpTo(place)).run()
    expect(["shutdown", "killed"]).toContain(pending.kind)
  })

  it.each(places)("%s as stack pointer of process and kernel: trap, system call, push", (place) => {
    for (const op of [[0x50], [0x0f, 0x0b], [0x0f, 0x05], [0xcc], [0x48, 0xcf]])
      for (const entry of ["user", "kernel"] as const) {
        const pending = running(entry, [...stackAt(place), ...op, 0xf4]).run()
        expect(["shutdown", "killed"]).toContain(pending.kind)
      }
  })

  it("a store across two tables of the guest's, which no single window lets through, is done", () => {
    expect(new TestGuest("straddle").run()).toEqual(shutdown(5))
  })
})

describe("an event at each instruction of a round trip between two worlds", () => {
  const LOOP = 0x40_0000n
  /** Instructions within which all is as before. */
  const SETTLE = 3000

  /** Goes to the process's next SYSCALL, one instruction at a time. */
  const align = (guest: TestGuest) => {
    const { kernel } = guest.hosted
    for (let i = 0; i < 20_000; i++) {
      guest.run(kernel.now + 1)
      if (atStart(guest)) return
    }
    throw new Error("the process does not come back")
  }
  const atStart = (guest: TestGuest) => {
    const { processor } = guest.hosted.kernel
    return processor.cpl === 3 && processor.rip === LOOP + start
  }
  let start = 0n

  const rounds = (name: string, strike: (guest: TestGuest) => number) =>
    it(name, () => {
      const guest = new TestGuest("doors")
      const { kernel, machine } = guest.hosted
      const { processor } = kernel
      guest.run(kernel.now + 20_000)
      // Where the loop begins: the instruction behind the process's SYSCALL.
      const text = machine.ram.copyOut(guest.base + USER_CODE, 256)
      start = BigInt(text.findIndex((b, i) => b === 0x0f && text[i + 1] === 0x05) + 2)
      const laps = () => machine.ram.read32(guest.base + 0x1d_1000)
      expect(laps()).toBeGreaterThan(0)

      // Without an event: the boundaries that there are.
      align(guest)
      const boundaries = new Set<bigint>()
      let length = 0
      do {
        boundaries.add(processor.rip)
        guest.run(kernel.now + 1)
        length++
      } while (!atStart(guest))
      const from = fixed(TEXT_OFFSET)
      const inHost = [...boundaries].filter((rip) => rip >= from && rip < from + BigInt(TEXT_PAGES * 4096))
      expect(inHost.length).toBeGreaterThan(100)

      let nmis = 0
      const struck = new Set<bigint>()
      for (let steps = 0; steps <= length; steps++) {
        align(guest)
        const target = kernel.now + steps
        while (kernel.now < target) guest.run(target)
        struck.add(processor.rip)
        nmis += strike(guest)
        const before = laps()
        expect(guest.run(kernel.now + SETTLE)).toEqual({ kind: "slice" })
        expect(laps()).toBeGreaterThan(before)
      }
      for (const rip of inHost) expect(struck).toContain(rip)
      expect(processor.counters().vectors[2]).toBe(nmis)
    })

  const nmi = (guest: TestGuest) => {
    guest.hosted.kernel.processor.attend(ATT_NMI)
    return 1
  }
  rounds("an NMI", nmi)
  rounds("an interrupt of the host's", (guest) => {
    guest.hosted.kernel.cpu.clock.kick()
    return 0
  })
  rounds("an NMI, and an interrupt for the guest", (guest) => {
    guest.device.irq(0)
    return nmi(guest)
  })
})

describe("an NMI at each instruction of the host's own process", () => {
  it("is not noticed by the process, the idle task, or the context switches between them", () => {
    const { kernel } = bootHost(GUEST_BYTES)
    const { processor, statistics } = kernel
    const inProcess = () => processor.cpl === 3 && (processor.rip & ~0xfffn) === PROCESS_TEXT
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
      while (statistics.hostSystemCalls < calls || !inProcess()) step(1)
    }
    const RBX = 3
    const { pid } = kernel.tasks.list().find((task) => task.kind === "process")!
    let nmis = 0
    for (let steps = 0, over = false; !over; steps++) {
      const calls = statistics.hostSystemCalls
      until(calls + 2)
      const before = processor.gpr(RBX)
      step(steps)
      over = statistics.hostSystemCalls > calls + 3 && inProcess()
      processor.attend(ATT_NMI)
      nmis++
      // Two laps: in each it adds its number, and what it works with: 64 + 63 + ... + 1.
      until(calls + 6)
      expect(processor.gpr(RBX) - before).toBe(2n * BigInt(pid + 2080))
    }
    expect(processor.counters().vectors[2]).toBe(nmis)
    expect(nmis).toBeGreaterThan(250)
  })
})
