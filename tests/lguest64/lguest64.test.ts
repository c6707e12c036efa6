import { describe, expect, it } from "vitest"
import type { Pending } from "../../src/host/devLguest.ts"
import type { Hosted } from "../../src/modules/hosted.ts"
import {
  GUEST_KERNEL_CS,
  GUEST_KERNEL_DS,
  GUEST_REGS,
  GUEST_USER_CS,
  GUEST_USER_DS,
  LHCALL,
} from "../../src/paravirt_ops/lguest64.ts"
import { bootHost, GUEST_BYTES, KERNEL_CODE, TestGuest, USER_CODE, USER_TEXT } from "./guests.ts"

const shutdown = (status: number) => ({ kind: "shutdown", restart: false, status, message: "done" })
const cause = (pending: Pending): string =>
  pending.kind === "killed" ? pending.death.cause : `no death: ${pending.kind}`

/** A guest that runs `code` in the user view, or as its kernel. */
const running = (entry: "user" | "kernel", code: ReadonlyArray<number>, host?: Hosted) => {
  const guest = new TestGuest(entry, host === undefined ? {} : { host })
  guest.put(entry === "user" ? USER_CODE : KERNEL_CODE, code)
  return guest
}
/** mov $nr,%eax; syscall */
const syscall = (nr: number) => [0xb8, nr, 0, 0, 0, 0x0f, 0x05]
/** mov $60,%eax; mov $status,%edi; syscall */
const exit = (status: number) => [0xbf, status, 0, 0, 0, ...syscall(60)]

describe("the lguest64 module", () => {
  it("boots a kernel at ring 3 and takes its exit status", () => {
    const guest = new TestGuest("power_off")
    expect(guest.run()).toEqual(shutdown(42))
    const { instructions } = guest.hosted.kernel.processor.counters()
    expect(instructions[0]).toBeGreaterThan(0)
    expect(instructions[1] + instructions[2]).toBe(0)
    expect(instructions[3]).toBeGreaterThan(100)
  })

  it("gives the guest selectors of its own and tells it where the host is", () => {
    const guest = new TestGuest("selectors")
    expect(guest.run()).toEqual(shutdown(1))
    expect(guest.result(0)).toBe(BigInt(GUEST_KERNEL_CS))
    expect(guest.result(1)).toBe(BigInt(GUEST_KERNEL_DS))
    expect(guest.result(2) & 0x3200n).toBe(0x200n)
    expect(guest.result(3)).toBe(0xffff_ff00_0000_0000n)
    expect(guest.result(4)).toBe(0xffff_ff7f_ffff_ffffn)
  })

  it("reflects a system call with all registers on the kernel's stack and the return address in the saved %rcx", () => {
    // mov $0x1234567,%rbx … then a system call with number 7
    const guest = running("user", [0x48, 0xc7, 0xc3, 0x67, 0x45, 0x23, 0x01, ...syscall(7), ...exit(9)])
    expect(guest.run()).toEqual(shutdown(9))
    // What the handler saw last is the exit; the call before it returned here, so it worked. Look at the exit's frame.
    const field = (name: keyof typeof GUEST_REGS.fields) => guest.result(32 + GUEST_REGS.fields[name].offset / 8)
    const end = USER_TEXT + BigInt(7 + 7 + 12)
    expect(field("rcx")).toBe(end)
    expect(field("rip")).toBe(end)
    expect(field("rax")).toBe(60n)
    expect(field("origRax")).toBe(60n)
    expect(field("rbx")).toBe(0x1234567n)
    expect(field("rdi")).toBe(9n)
    expect(field("cs")).toBe(BigInt(GUEST_USER_CS))
    expect(field("ss")).toBe(BigInt(GUEST_USER_DS))
    expect(field("rflags") & 0x200n).toBe(0x200n)
    expect(field("rsp")).toBe(0x602000n)
    // %rcx on arrival is the handler's own address, and interrupts are off.
    expect(guest.result(30) >> 31n).toBe(0x1ffffffffn)
    expect(guest.result(29)).toBe(0n)
    expect(guest.result(28)).toBe(2n)
    expect(guest.hosted.kernel.statistics.reflectedSystemCalls).toBe(2)
  })

  it("returns by hypercall IRET with %rax, %r11 and %rcx of the frame", () => {
    // After call 7: push rax, r11, rcx into the exit's registers rdx, r10, r8.
    const code = [...syscall(7), 0x48, 0x89, 0xc2, 0x4d, 0x89, 0xda, 0x49, 0x89, 0xc8, ...exit(0)]
    const guest = running("user", code)
    expect(guest.run()).toEqual(shutdown(0))
    const field = (name: keyof typeof GUEST_REGS.fields) => guest.result(32 + GUEST_REGS.fields[name].offset / 8)
    expect([field("rdx"), field("r10"), field("r8")]).toEqual([14n, 0x1111n, 0x2222n])
  })

  it("never takes a process's SYSCALL for a hypercall, whatever the flag says", () => {
    // The process cannot write the flag; the kernel left it set (the test does it), and the call is still reflected.
    const guest = running("user", [0xeb, 0xfe])
    guest.run(guest.hosted.kernel.now + 100_000)
    guest.hosted.machine.ram.write32(guest.base + 0x2000, 1)
    guest.put(USER_CODE, exit(5))
    expect(guest.run()).toEqual(shutdown(5))
  })

  it("reflects what a process may not do as the hardware would", () => {
    const cases: ReadonlyArray<readonly [name: string, code: ReadonlyArray<number>, vector: number, error: number]> = [
      ["cli", [0xfa], 13, 0],
      ["hlt", [0xf4], 13, 0],
      ["mov %cr3,%rax", [0x0f, 0x20, 0xd8], 13, 0],
      ["wrmsr", [0x0f, 0x30], 13, 0],
      ["swapgs", [0x0f, 0x01, 0xf8], 13, 0],
      ["in", [0xec], 13, 0],
      ["ud2", [0x0f, 0x0b], 6, 0],
      ["int3", [0xcc], 3, 0],
      ["div by zero", [0x31, 0xc9, 0xf7, 0xf1], 0, 0],
      ["int $0x20", [0xcd, 0x20], 13, 0x102],
      ["int $2", [0xcd, 0x02], 13, 0x12],
      ["read its kernel", [0x48, 0x8b, 0x04, 0x25, 0x00, 0x30, 0x00, 0x80], 14, 5],
      ["write its kernel", [0x48, 0x89, 0x04, 0x25, 0x00, 0x30, 0x00, 0x80], 14, 7],
      ["read an unmapped page", [0x48, 0x8b, 0x04, 0x25, 0x00, 0x00, 0x50, 0x00], 14, 4],
      ["jump to its kernel", [0x48, 0xc7, 0xc0, 0x00, 0x00, 0x10, 0x80, 0xff, 0xe0], 14, 0x15],
      // mov $0xffffff0000201000,%rax; mov (%rax),%rcx: the state page; then the host's text, then the direct map
      ["read the state page", [0x48, 0xb8, 0, 0x10, 0x20, 0, 0, 0xff, 0xff, 0xff, 0x48, 0x8b, 0x08], 14, 4],
      ["write the switcher", [0x48, 0xb8, 0, 0x10, 0, 0, 0, 0xff, 0xff, 0xff, 0x48, 0x89, 0x08], 14, 6],
      ["read the direct map", [0x48, 0xb8, 0, 0, 0, 0, 0, 0x88, 0xff, 0xff, 0x48, 0x8b, 0x08], 14, 4],
    ]
    const host = bootHost(GUEST_BYTES)
    for (const [name, code, vector, error] of cases) {
      const guest = running("user", code, host)
      expect(guest.run(), name).toEqual(shutdown(200 + vector))
      expect([guest.result(16), guest.result(17)], name).toEqual([BigInt(vector), BigInt(error)])
      expect(guest.result(19), name).toBe(BigInt(GUEST_USER_CS))
      guest.device.close()
    }
  })

  it("keeps its own kernel, at ring 3 too, from the host", () => {
    const at = (address: bigint, opcode: number) => {
      const bytes = Array.from({ length: 8 }, (_, i) => Number((address >> BigInt(8 * i)) & 0xffn))
      return [0x48, 0xb8, ...bytes, 0x48, opcode, 0x08]
    }
    const host = bootHost(GUEST_BYTES)
    for (const address of [
      0xffff_ff00_0000_0000n,
      0xffff_ff00_0010_3000n,
      0xffff_ff00_0020_1000n,
      0xffff_8800_0010_0000n,
    ])
      for (const opcode of [0x8b, 0x89]) {
        const guest = running("kernel", at(address, opcode), host)
        expect(guest.run()).toEqual(shutdown(214))
        expect(guest.result(23)).toBe(address)
        guest.device.close()
      }
  })

  it("lets INT n of a process reach a handler of DPL 3", () => {
    const guest = running("user", [0xcd, 0x80, ...exit(4)])
    expect(guest.run()).toEqual(shutdown(4))
    expect(guest.result(9)).toBe(1n)
  })

  it("delivers clock events: to a running guest, to a sleeping one, and to a deaf one when it listens again", () => {
    const guest = new TestGuest("ticks")
    expect(guest.run()).toEqual(shutdown(3))
    expect(guest.result(0)).toBe(2n)
    expect(guest.result(8)).toBe(3n)
    expect(guest.hosted.kernel.statistics.injectedInterrupts).toBe(3)
  })

  it("does not tear a hypercall: no interrupt between setting the flag and SYSCALL", () => {
    const guest = new TestGuest("spin")
    guest.run(guest.hosted.kernel.now + 50_000)
    const { ram } = guest.hosted.machine
    ram.write32(guest.base + 0x2004, 0x200)
    ram.write32(guest.base + 0x2000, 1)
    guest.device.irq(0)
    guest.run(guest.hosted.kernel.now + 50_000)
    expect(guest.result(8)).toBe(0n)
    expect(ram.read32(guest.base + 0x2008)).toBe(1)
    ram.write32(guest.base + 0x2000, 0)
    guest.device.irq(0)
    guest.run(guest.hosted.kernel.now + 50_000)
    expect(guest.result(8)).toBe(1n)
    expect(ram.read32(guest.base + 0x2008)).toBe(0)
  })

  it("runs the asynchronous ring before an ordinary hypercall", () => {
    const guest = new TestGuest("ring")
    guest.put(USER_CODE, exit(6))
    expect(guest.run()).toEqual(shutdown(6))
    expect(guest.result(0) & 0xffn).toBe(0xffn)
    expect(guest.hosted.kernel.statistics.asyncHypercalls).toBe(3)
  })

  it("follows the guest's stores to its own page tables, at every level, and sets A and D in them", () => {
    const guest = new TestGuest("remap")
    guest.put(0x1e0000, [1])
    guest.put(0x1e1000, [2])
    expect(guest.run()).toEqual(shutdown(6))
    expect([guest.result(0), guest.result(1), guest.result(2)]).toEqual([1n, 2n, 2n])
    expect(guest.result(3) & 0x60n).toBe(0n)
    expect(guest.result(4) & 0x60n).toBe(0x60n)
    expect(guest.hosted.shadowReport().faults).toBeDefined()
  })

  it("hands an access beyond memory to the launcher and nothing of the host", () => {
    const guest = new TestGuest("beyond")
    const pending = guest.run()
    expect(pending).toMatchObject({ kind: "io", trap: 14, address: 0x4000_0000 })
  })

  it("kills a kernel that goes to sleep deaf", () => {
    expect(cause(new TestGuest("halt_deaf").run())).toContain("HALT with interrupts off")
  })
})

describe("a hostile kernel's hypercalls", () => {
  const ends: ReadonlyArray<[number, ReadonlyArray<bigint>, RegExp]> = [
    [LHCALL.LGUEST_INIT, [0x2000n], /LGUEST_INIT a second time/],
    [LHCALL.SHUTDOWN, [0x40_0000n, 1n], /argument 0, 0x400000, is no address in the guest's memory/],
    [LHCALL.SHUTDOWN, [0n, 3n], /unknown reason 0x3/],
    [LHCALL.NEW_PGTABLE, [0x4001n], /no page table's address/],
    [LHCALL.NEW_PGTABLE, [0x40_0000n], /no address in the guest's memory/],
    [LHCALL.LOAD_IDT_ENTRY, [2n, 0n], /vector 0x2, which is not the guest's/],
    [LHCALL.LOAD_IDT_ENTRY, [0x1_0000_0003n, 0n], /is not the guest's/],
    [LHCALL.LOAD_IDT_ENTRY, [3n, 0x8000_0000_0000n], /no canonical address/],
    [LHCALL.SET_STACK, [0xffff_0000_0000_0000n], /no canonical address/],
    [LHCALL.SET_PGD, [0x4000n, 512n], /no index of a page table/],
    [LHCALL.SET_PTE, [0x4000n, 0x8000_0000_0000n, 0n], /no canonical address/],
    [LHCALL.SET_SYSCALL, [0x8000_0000_0000n], /no canonical address/],
    [LHCALL.SET_BASE, [1n, 0xffff_ff00_0010_3000n], /segment base in the host's range/],
    [LHCALL.SET_BASE, [7n, 0n], /unknown base 0x7/],
    [LHCALL.SET_BASE, [0n, 0x8000_0000_0000n], /no canonical address/],
    [LHCALL.VCPU_UP, [1n], /this guest may have 1/],
    [LHCALL.SEND_IPI, [2n], /virtual CPU 1, which is not up/],
    [LHCALL.IRET, [], /IRET to selector/],
    [99, [], /hypercall 99, which does not exist/],
    [3, [], /hypercall 3, which does not exist/],
  ]

  it.each(ends)("%d with %s ends the guest with the reason", (number, args, expected) => {
    const guest = new TestGuest("any_hypercall")
    guest.setResult(0, BigInt(number))
    args.forEach((a, i) => guest.setResult(i + 1, a))
    expect(cause(guest.run())).toMatch(expected)
  })

  it("with wild arguments end the guest or do nothing, each of them", () => {
    const wild = [0n, 1n, 0x3f_f000n, 0x40_0000n, 0x8000_0000_0000n, 0xffff_ff00_0010_0000n, 2n ** 64n - 1n]
    const host = bootHost(GUEST_BYTES)
    for (const number of Object.values(LHCALL))
      for (const a of wild)
        for (const b of [0n, 2n ** 64n - 1n]) {
          const guest = new TestGuest("any_hypercall", { host })
          guest.setResult(0, BigInt(number))
          for (const [i, v] of [a, b, a, b, a].entries()) guest.setResult(i + 1, v)
          const pending = guest.run(host.kernel.now + 50_000)
          expect(["killed", "shutdown", "slice", "idle"]).toContain(pending.kind)
          guest.device.close()
        }
  })
})

describe("the host", () => {
  it("goes on with other guests when one is killed, and gets back all that the dead one had", () => {
    const host = bootHost(2 * GUEST_BYTES)
    const free = host.kernel.frames.available
    const spinning = new TestGuest("spin", { host })
    const other = new TestGuest("halt_deaf", { host, base: host.guestBase + GUEST_BYTES })
    spinning.run(host.kernel.now + 1_000_000)
    const before = spinning.result(0)
    expect(before).toBeGreaterThan(0n)
    expect(other.run().kind).toBe("killed")
    expect(other.run().kind).toBe("killed")
    other.device.close()
    spinning.run(host.kernel.now + 1_000_000)
    expect(spinning.result(0)).toBeGreaterThan(before)
    spinning.device.close()
    expect(host.kernel.frames.available).toBe(free)
  })

  it("shares the processor between guests and its own process, whose system calls find the VCPU field NULL", () => {
    const host = bootHost(2 * GUEST_BYTES)
    const a = new TestGuest("spin", { host })
    const b = new TestGuest("spin", { host, base: host.guestBase + GUEST_BYTES })
    const start = host.kernel.now
    // Both tasks are runnable: whoever reads drives both.
    b.run(start + 1000)
    a.run(start + 250_000_000)
    const [na, nb] = [Number(a.result(0)), Number(b.result(0))]
    expect(Math.abs(na - nb) / (na + nb)).toBeLessThan(0.1)
    const { statistics } = host.kernel
    expect(statistics.hostSystemCalls).toBeGreaterThanOrEqual(4)
    expect(statistics.vcpuNull).toBeGreaterThanOrEqual(statistics.hostSystemCalls)
    expect(statistics.vcpuTaken).toBe(statistics.worldSwitches)
    expect(statistics.contextSwitches).toBeGreaterThan(20)
  })
})
