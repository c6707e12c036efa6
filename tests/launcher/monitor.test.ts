import fc from "fast-check"
import { beforeAll, describe, expect, it } from "vitest"
import { KIND, RECORD_KIND, RECORD_WORDS } from "../../src/host/trace.ts"
import { COUNT_RING } from "../../src/machine/core/state.ts"
import { tlbEntries } from "../../src/machine/tlbEntries.ts"
import { stepGuest } from "../../src/launcher/monitor/stepper.ts"
import { helloPae, type Puppy, puppy } from "./monitorGuests.ts"

/* The monitor's commands on real guests: what they print is compared with what is in memory and in the processors. */

const hex = (n: number | bigint, bits = 0): string => `0x${n.toString(16).padStart(bits / 4, "0")}`

/** The lines of an answer that match, by their groups. */
const found = (text: string, pattern: RegExp): ReadonlyArray<ReadonlyArray<string>> =>
  text.split("\n").flatMap((line) => {
    const match = pattern.exec(line)
    return match === null ? [] : [match.slice(1)]
  })

const number = (text: string): number => Number(BigInt(text))

/** Runs until the first virtual CPU is in its guest. */
const untilInGuest = async ({ engine }: Puppy): Promise<void> => {
  for (let i = 0; i < 100_000; i++) {
    if (engine.inspect().guest.vcpus[0]!.running() !== undefined) return
    const event = await engine.run(50)
    if (event.kind === "idle") engine.skip(event.until)
  }
  throw new Error("it never runs")
}

/** A guest that has something to do. */
const busy = async (guest: Puppy): Promise<void> => {
  guest.engine.input(Buffer.from("cpu-bench\n"))
  for (let i = 0; i < 20; i++) await guest.engine.run(20_000)
  await untilInGuest(guest)
}

/** What every guest must say, whoever runs it. */
const common = (guest: () => Puppy, bits: 32 | 64): void => {
  const ask = (line: string): string => guest().monitor.execute(line)
  const inspection = () => guest().engine.inspect()
  const readPhysical = (gpa: number, length: number): Uint8Array =>
    inspection().machine.ram.copyOut(inspection().guest.base + gpa, length)

  it("shows the registers with their widths", () => {
    const text = ask("info registers")
    const name = bits === 64 ? "rip" : "eip"
    const [[rip]] = found(text, new RegExp(`^${name}=(0x[0-9a-f]+) `)) as [[string]]
    expect(rip).toBe(hex(inspection().guest.vcpus[0]!.read("rip"), bits))
    expect(text).toContain(`cr3=${hex(inspection().guest.vcpus[0]!.read("cr3"), bits)}`)
  })

  it("lists ranges that are mapped, and nothing else", () => {
    const ranges = found(ask("info mem"), /^(0x[0-9a-f]+)\.\.(0x[0-9a-f]+) /).map(
      ([a, b]) => [BigInt(a!), BigInt(b!)] as const,
    )
    expect(ranges.length).toBeGreaterThan(3)
    const vcpu = inspection().guest.vcpus[0]!
    const mapped = (address: bigint): boolean => vcpu.translate(address) >= 0
    ranges.forEach(([begin, end], i) => {
      expect(end).toBeGreaterThan(begin)
      if (i > 0) expect(begin).toBeGreaterThan(ranges[i - 1]![1])
    })
    const inside = (address: bigint): boolean => ranges.some(([begin, end]) => address >= begin && address <= end)
    const near = fc.tuple(fc.nat(ranges.length - 1), fc.bigInt({ min: -0x3000n, max: 0x3000n }), fc.boolean())
    fc.assert(
      fc.property(near, ([i, offset, atEnd]) => {
        const address = BigInt.asUintN(bits, ranges[i]![atEnd ? 1 : 0] + offset)
        expect(mapped(address)).toBe(inside(address))
      }),
    )
  })

  it("reads memory by virtual and by physical address", () => {
    const vcpu = inspection().guest.vcpus[0]!
    const rip = vcpu.read("rip")
    const gpa = vcpu.translate(rip)
    const bytes = [...readPhysical(gpa, 4)].map((byte) => hex(byte, 8)).join(" ")
    expect(ask(`x/4xb ${hex(rip)}`)).toBe(`${hex(rip, bits)}: ${bytes}`)
    expect(ask("x/4xb $rip")).toBe(`${hex(rip, bits)}: ${bytes}`)
    expect(ask(`xp/4xb ${hex(gpa)}`)).toBe(`${hex(gpa, bits)}: ${bytes}`)
    expect(ask(`x/1xb $rip+2-1`)).toBe(`${hex(rip + 1n, bits)}: ${hex(readPhysical(gpa + 1, 1)[0]!, 8)}`)
  })

  it("disassembles the kernel's entry", () => {
    const view = new DataView(guest().image.buffer)
    const entry = bits === 64 ? Number(view.getBigUint64(24, true)) : view.getUint32(24, true)
    const lines = found(ask(`xp/3i ${hex(entry)}`), /^(0x[0-9a-f]+): ((?:[0-9a-f]{2} )+) *(.*)$/)
    expect(lines).toHaveLength(3)
    expect(lines[0]!.map((text) => text.trim())).toEqual([hex(entry, bits), "fc", "cld"])
    let at = entry
    for (const [address, code] of lines) {
      const bytes = code!
        .trim()
        .split(" ")
        .map((byte) => parseInt(byte, 16))
      expect(number(address!)).toBe(at)
      expect([...readPhysical(at, bytes.length)]).toEqual(bytes)
      at += bytes.length
    }
  })

  it("shows each entry of the walk as it is in memory", () => {
    const rip = inspection().guest.vcpus[0]!.read("rip")
    const { ram } = inspection().machine
    const { base } = inspection().guest
    const entries = found(
      ask(`info pagetable ${hex(rip)}`),
      /^ +(?:guest|shadow) +(gpa|hpa) (0x[0-9a-f]+): (0x[0-9a-f]+)/,
    )
    expect(entries.length).toBeGreaterThanOrEqual(2)
    for (const [space, address, value] of entries) {
      const pa = number(address!) + (space === "gpa" ? base : 0)
      const lo = BigInt(ram.read32(pa) >>> 0)
      const wide = value!.length > 10
      expect(BigInt(value!)).toBe(wide ? lo | (BigInt(ram.read32(pa + 4) >>> 0) << 32n) : lo)
    }
  })

  it("has no TLB entry that a fresh walk contradicts after a flush", async () => {
    const { machine } = inspection()
    const [cpu] = machine.processors as [(typeof machine.processors)[number]]
    let seen = 0
    for (let i = 0; i < 40; i++) {
      cpu.flushTlb(true)
      expect(ask("info tlb 0")).toBe("the TLB of processor 0 holds 0 entries")
      const event = await guest().engine.run(300)
      if (event.kind === "idle") guest().engine.input(Buffer.from("\n"))
      const entries = tlbEntries(machine, 0)
      const shown = found(ask("info tlb 0"), /^(supervisor|user) +(0x[0-9a-f]+) +(0x[0-9a-f]+) +(r[w-][x-])/)
      expect(shown).toHaveLength(entries.length)
      seen += entries.length
      shown.forEach(([half, linear, physical, may], n) => {
        const walk = (write: boolean, execute: boolean): number =>
          Number(
            cpu.exports.translate(
              BigInt.asIntN(64, BigInt(linear!)),
              write ? 1 : 0,
              half === "user" ? 1 : 0,
              execute ? 1 : 0,
            ),
          )
        expect(number(physical!)).toBe(entries[n]!.physical)
        expect(walk(false, false)).toBe(number(physical!))
        if (may!.includes("w")) expect(walk(true, false)).toBe(number(physical!))
        if (may!.includes("x")) expect(walk(false, true)).toBe(number(physical!))
      })
    }
    expect(seen).toBeGreaterThan(40)
  })

  it("makes exactly the steps that it is told to", async () => {
    await busy(guest())
    const { processors, ring } = inspection().guest
    const executed = (): number => {
      let sum = 0
      for (const cpu of processors) for (let r: number = ring; r <= 3; r++) sum += cpu.count(COUNT_RING + 8 * r)
      return sum
    }
    for (const steps of [1, 7, 100]) {
      const before = executed()
      expect(await stepGuest(guest().engine, 0, steps, () => false)).toEqual({ kind: "done" })
      expect(executed() - before).toBe(steps)
    }
  })

  it("answers whatever it is asked in words, and never throws", () => {
    const words = [
      "info",
      "x",
      "xp",
      "x/3i",
      "x/99999xg",
      "registers",
      "tlb",
      "pagetable",
      "shadow",
      "pda",
      "vcpu",
      "idt",
    ]
    const more = [
      "gdt",
      "tasks",
      "switches",
      "$rip",
      "$cr3",
      "-1",
      "0x",
      "0xffffffffffffffff",
      "99",
      "user",
      "help",
      "step",
      "stop",
    ]
    const word = fc.oneof(
      fc.constantFrom(...words, ...more),
      fc.string({ maxLength: 8 }),
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((n) => hex(n)),
    )
    fc.assert(
      fc.property(fc.array(word, { maxLength: 5 }), (line) => {
        expect(ask(line.join(" "))).not.toMatch(/^this cannot be shown/)
      }),
      { numRuns: 300 },
    )
    expect(ask("x".repeat(5000))).toBe("a line of more than 1000 characters")
    expect(ask("frobnicate")).toBe("there is no command frobnicate; try help")
    expect(ask("constructor")).toBe("there is no command constructor; try help")
    expect(ask("info toString")).toBe("there is nothing like info toString; try help")
    expect(ask("info pagetable $nothing")).toBe("no such register $nothing")
    expect(ask("stop")).toBe("it is gdb that stops, steps and ends this guest")
    expect(ask("")).toBe("")
  })
}

/** What only a host can say. */
const hosted = (guest: () => Puppy): void => {
  const ask = (line: string): string => guest().monitor.execute(line)
  const inspection = () => guest().engine.inspect()

  it("shows a shadow that leads where the guest's tables lead", async () => {
    await busy(guest())
    const { base, vcpus } = inspection().guest
    const rip = vcpus[0]!.read("rip")
    const gpa = vcpus[0]!.translate(rip)
    const text = ask(`info pagetable ${hex(rip)}`)
    expect(text).toContain(
      `the guest maps guest-physical ${hex(gpa)}, the shadow host-physical ${hex(base + gpa)}, which is guest-physical ${hex(gpa)}: they agree`,
    )
    const cpu = vcpus[0]!.running()!
    const translated = cpu.exports.translate(BigInt.asIntN(64, rip), 0, 0, 0)
    expect(Number(translated)).toBe(base + gpa)
    expect(ask(`info shadow ${hex(rip)}`)).toContain(
      `host-physical ${hex(base + gpa)}, gfn ${hex(Math.floor(gpa / 4096))}`,
    )
  })

  it("names the tasks, and the current one as the host's memory has it", () => {
    const { kernel } = inspection().module!
    const rows = found(ask("info tasks"), /^ *(\d+) +(idle|process|vcpu) /)
    expect(rows.map(([pid]) => Number(pid))).toEqual(
      Array.from({ length: kernel.tasks.count }, (_, pid) => pid).filter((pid) => !kernel.tasks.isFree(pid)),
    )
    const current = kernel.cpuTable.current[0]!
    expect(ask("info pda 0")).toContain(`the current task: task ${current} "${kernel.tasks.name(current)}"`)
  })

  it("counts what the host counts", () => {
    const { statistics } = guest().engine.counts().host!
    const [[switches]] = found(ask("info switches"), /^ *world switches +(\d+)$/) as [[string]]
    expect(Number(switches)).toBe(statistics.worldSwitches)
  })
}

describe("the monitor on an x86_64 guest of lguest64", () => {
  let guest: Puppy
  beforeAll(async () => {
    guest = await puppy()
  })
  const ask = (line: string): string => guest.monitor.execute(line)

  it("finds no virtual CPU in the PDA of an idle processor", () => {
    expect(ask("info pda")).toMatch(/^0x008 +vcpu +0x0000000000000000 .*: NULL, no guest runs here$/m)
    expect(ask("info pda")).not.toContain("VCPU descriptor and the host's saved state")
    expect(ask("info vcpu")).toMatch(/^\* virtual CPU 0: halted: waits for an interrupt$/m)
  })

  common(() => guest, 64)
  hosted(() => guest)

  it("finds the descriptor in the PDA of a processor that runs the guest", async () => {
    await busy(guest)
    const { module } = guest.engine.inspect()
    const { va, pa } = module!.vcpus[0]!.descriptor
    const text = ask("info pda")
    expect(text).toMatch(new RegExp(`^0x008 +vcpu +${hex(va, 64)} .*: virtual CPU 0$`, "m"))
    expect(text).toContain(
      `virtual CPU 0: VCPU descriptor and the host's saved state (read-only for guests), at ${hex(va)} (host-physical ${hex(pa)})`,
    )
    expect(ask("info vcpu")).toMatch(/^\* virtual CPU 0: runs in its guest$/m)
  })

  it("has the handlers that the guest has set, and the host's behind them", () => {
    const text = ask("info idt")
    expect(text).toMatch(/^14 #PF +interrupt +kernel +0xffffffff801[0-9a-f]{5} +the host$/m)
    expect(text).toMatch(/^2 NMI +interrupt +0 +0x0010 .*IST 1$/m)
    expect(ask("info gdt")).toMatch(/^0x0040 +TSS, busy +0 /m)
  })

  it("says what the host keeps to itself", () => {
    expect(ask("info pagetable 0xffffff0000100000 kernel")).toMatch(
      /the guest maps nothing here; what is here belongs to the host, and the guest cannot use it$/,
    )
    expect(ask("info pagetable 0x800000000000")).toBe("0x800000000000 is not canonical: bits 63..47 must be alike")
    expect(ask("info pagetable 0 sideways")).toBe('"sideways" is no view: kernel or user')
  })
})

describe("the monitor on an i386 guest of lguest", () => {
  let guest: Puppy
  beforeAll(async () => {
    guest = await puppy("--arch", "i386")
  })
  const ask = (line: string): string => guest.monitor.execute(line)
  common(() => guest, 32)
  hosted(() => guest)

  it("walks as many levels as there are", () => {
    expect(found(ask("info pagetable $eip"), /^level (\d), entry/)).toEqual([["2"], ["1"]])
    expect(ask("info mem")).toMatch(/^2-level page tables/)
  })

  it("knows the guest's own descriptors, and that nobody has ring 0", () => {
    const rows = found(ask("info gdt").split("\n\n")[0]!, /^(0x[0-9a-f]{4}) +(?:\S+ )+ *(\d) /)
    expect(rows.length).toBeGreaterThan(3)
    for (const [, dpl] of rows) expect(dpl).not.toBe("0")
    expect(ask("info idt")).toMatch(/^128 +trap +kernel, processes +0xc01[0-9a-f]{5} +the processor$/m)
  })

  it("walks three levels with PAE, and the shadow agrees", async () => {
    const { monitor, engine } = await helloPae()
    const { guest: seen } = engine.inspect()
    const rip = seen.vcpus[0]!.read("rip")
    const gpa = seen.vcpus[0]!.translate(rip)
    const text = monitor.execute("info pagetable $eip")
    expect(found(text, /^level (\d), entry/)).toEqual([["3"], ["2"], ["1"]])
    expect(text).toContain(
      `the guest maps guest-physical ${hex(gpa)}, the shadow host-physical ${hex(seen.base + gpa)}`,
    )
    expect(text).toMatch(/they agree$/)
    expect(monitor.execute("info mem")).toMatch(/^PAE page tables/)
  })
})

describe("the monitor on a guest that has the machine for itself", () => {
  describe.each([
    ["x86_64", 64],
    ["i386", 32],
  ] as const)("%s", (arch, bits) => {
    let guest: Puppy
    beforeAll(async () => {
      guest = await puppy("--native", "--arch", arch)
    })
    const ask = (line: string): string => guest.monitor.execute(line)
    common(() => guest, bits)

    it("has no host to show", () => {
      const none = "there is no host, the guest has the machine for itself"
      for (const what of ["pda", "tasks", "shadow 0"]) expect(ask(`info ${what}`)).toContain(none)
      expect(ask("info pagetable $rip")).not.toContain("shadow")
      expect(ask("info switches")).not.toContain("world switches")
    })
  })
})

describe("the monitor on a guest with two virtual CPUs", () => {
  let guest: Puppy
  beforeAll(async () => {
    guest = await puppy("--smp", "2")
  })
  const ask = (line: string): string => guest.monitor.execute(line)

  it("selects one of them", () => {
    const { vcpus } = guest.engine.inspect().guest
    expect(ask("vcpu 3")).toBe("no such virtual CPU 3: there are 0..1")
    expect(ask("info registers 2")).toBe("no such virtual CPU 2: there are 0..1")
    expect(ask("vcpu")).toBe("virtual CPU 0 is selected")
    expect(ask("vcpu 1")).toBe("")
    expect(ask("info registers")).toContain(`gs_base=${hex(vcpus[1]!.read("gs_base"), 64)}`)
    expect(vcpus[1]!.read("gs_base")).not.toBe(vcpus[0]!.read("gs_base"))
    expect(ask("info vcpu")).toMatch(/^ {2}virtual CPU 0: .*\n(?: {4}.*\n)+\* virtual CPU 1: /m)
    expect(found(ask("info registers -a"), /^virtual CPU (\d)$/)).toEqual([["0"], ["1"]])
    expect(ask("vcpu 0")).toBe("")
  })

  it("shows the data of both processors, each with what runs there", () => {
    const { kernel } = guest.engine.inspect().module!
    for (const cpu of [0, 1]) {
      const current = kernel.cpuTable.current[cpu]!
      expect(ask(`info pda ${cpu}`)).toContain(`the current task: task ${current} "${kernel.tasks.name(current)}"`)
      expect(ask(`info pda ${cpu}`)).toMatch(new RegExp(`^0x03c +cpu +${hex(cpu, 32)} `, "m"))
    }
    expect(ask("info pda 2")).toBe("no such processor 2: there are 0..1")
  })
})

describe("trace", () => {
  it("needs a run with --trace", async () => {
    const guest = await puppy("--native")
    expect(guest.monitor.execute("trace on")).toBe("nothing is recorded: the run was started without --trace FILE")
  })

  it("pauses and goes on: nothing is recorded in between", async () => {
    const guest = await puppy("--trace", "/dev/null")
    const used = (): number => guest.engine.trace!()!.buffers.used[0]!
    expect(guest.monitor.execute("trace")).toBe("the trace records")
    const before = used()
    expect(guest.monitor.execute("trace off")).toBe("the trace pauses")
    expect(used()).toBe(before + 1)
    await guest.type("true")
    expect(used()).toBe(before + 1)
    expect(guest.monitor.execute("trace on")).toBe("the trace records")
    expect(used()).toBe(before + 2)
    await guest.type("true")
    expect(used()).toBeGreaterThan(before + 2)
    const buffers = guest.engine.trace!()!.buffers
    const kinds = [before, before + 1].map((record) => buffers.words[0]![record * RECORD_WORDS + RECORD_KIND])
    expect(kinds).toEqual([KIND.gap, KIND.gap])
  })
})
