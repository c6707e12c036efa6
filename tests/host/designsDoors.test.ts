import { describe, expect, it } from "vitest"
import { type Choices, LGUEST64 } from "../../src/design/dimensions.ts"
import { EventLog } from "../../src/host/eventLog.ts"
import { fixed } from "../../src/host/x86_64/fixedArea.ts"
import { TEXT_OFFSET, TEXT_PAGES } from "../../src/host/x86_64/layout.ts"
import { ATT_NMI, CR4, GDTR_BASE, IDTR_BASE } from "../../src/machine/core/state.ts"
import type { Lguest64Device } from "../../src/modules/lguest64/index.ts"
import { bootLguest64 } from "../../src/modules/lguest64/boot.ts"
import { NATIVE_USER_CS } from "../../src/paravirt_ops/lguest64.ts"
import { core, GUEST_BYTES, TestGuest, USER_CODE, type Entry } from "../lguest64/guests.ts"

/*
 * Every copy of the entry code with every copy of the switcher that it can be together with: a guest goes round through all
 * doors while NMIs and the host's interrupts come wherever they can.
 */

const combinations = (): ReadonlyArray<Partial<Choices>> => {
  const all: Array<Partial<Choices>> = []
  for (const vcpu of ["pda", "task", "known-address"] as const)
    for (const host of ["switcher", "everything"] as const)
      for (const selectors of ["own", "switched"] as const)
        for (const interruptFlag of ["shared-word", "pvi"] as const)
          if (vcpu !== "known-address" || host === "switcher")
            all.push({
              vcpu,
              host,
              selectors,
              interruptFlag,
              ...(host === "everything" ? { pageOffset: "host-moves" } : {}),
            })
  return [...all, { vcpu: "known-address", ring: 1 }, { vcpu: "known-address", ring: 1, selectors: "switched" }]
}

const boot = (choices: Partial<Choices>, entries: ReadonlyArray<Entry>, processors = 1) => {
  const design = { ...LGUEST64, ...choices }
  const guestBytes = entries.length * GUEST_BYTES
  const hosted = bootLguest64({ core, guestBytes, startMs: 0, processors, seed: 3, log: EventLog.off, design })
  hosted.device.close()
  const { ram } = hosted.machine
  const guests = entries.map((entry, i) => {
    const base = hosted.guestBase + i * GUEST_BYTES
    const guest = new TestGuest(entry, { host: hosted, base })
    // The guests push their processes' selector themselves: pushq $GUEST_USER_CS; pushq %rbx.
    const at = Buffer.from(ram.copyOut(base, GUEST_BYTES)).indexOf(Buffer.from([0x6a, 0x6b, 0x53]))
    expect(at).toBeGreaterThan(0)
    if (design.selectors === "switched") ram.write8(base + at + 1, NATIVE_USER_CS)
    return guest
  })
  return { hosted, guests, kernel: hosted.kernel }
}

const inHost = (rip: bigint) => rip >= fixed(TEXT_OFFSET) && rip < fixed(TEXT_OFFSET) + BigInt(TEXT_PAGES * 4096)

/** Instructions after which the guest goes round. */
const WARM = 60_000
/** Between two events at least, and what chance adds; and how many of them there are at most. */
const APART = 700
const CHANCE = 600
const EVENTS = 40_000
/** More than a round trip takes with all that comes. */
const LAP = 20_000
const LAPS = 0x1d_1000

describe("an event at each instruction between two worlds", () => {
  for (const choices of combinations())
    it(Object.values(choices).join(", "), () => {
      const { guests, kernel, hosted } = boot(choices, ["doors"])
      const [guest] = guests as [TestGuest]
      const { processor } = kernel
      const laps = () => hosted.machine.ram.read32(guest.base + LAPS)
      const run = (count: number) => {
        const target = kernel.now + count
        while (kernel.now < target)
          if (guest.run(target).kind !== "slice") throw new Error("the guest has come to an end")
      }
      run(WARM)
      // Without an event: the boundaries that there are in two laps.
      const left = new Set<bigint>()
      for (const end = laps() + 2; laps() < end; run(1)) if (inHost(processor.rip)) left.add(processor.rip)
      expect(left.size).toBeGreaterThan(100)
      let nmis = 0
      let chance = 1
      for (let events = 0; left.size > 0; events += 100) {
        expect(events).toBeLessThan(EVENTS)
        const before = laps()
        for (let n = 0; n < 100; n++) {
          chance = (Math.imul(chance, 1_103_515_245) + 12_345) >>> 0
          run(APART + ((chance >>> 16) % CHANCE))
          left.delete(processor.rip)
          if (n % 3 !== 1) {
            processor.attend(ATT_NMI)
            nmis++
          }
          if (n % 3 !== 0) kernel.cpu.clock.kick()
        }
        expect(laps()).toBeGreaterThan(before)
      }
      run(LAP)
      expect(processor.counters().vectors[2]).toBe(nmis)
    })
})

/** User code without end, by the guest's kernel: mov $7,%eax; syscall; jmp to the start. */
const CALLS = [0xb8, 7, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7]

/** Their processes have tables of the host's to themselves, without call page, and those have to move as well. */
const TWO_TREES = (["pda", "task", "known-address"] as const).map((vcpu) => ({ vcpu, interruptFlag: "rom" }) as const)

describe("guests that move between processors", () => {
  for (const choices of [...combinations().filter(({ interruptFlag }) => interruptFlag !== "pvi"), ...TWO_TREES])
    it(`go on (${Object.values(choices).join(", ")})`, () => {
      const { guests, kernel } = boot(choices, ["spin", "user", "spin"], 2)
      for (const guest of guests) guest.put(USER_CODE, CALLS)
      const seen = new Set<string>()
      for (let n = 0; n < 30; n++) {
        expect(guests[n % 3]!.device.read(kernel.time + 1_100_000).kind).toBe("slice")
        for (const { index } of kernel.cpus) {
          const pid = kernel.cpuTable.current[index]!
          if (kernel.tasks.kind(pid) === "vcpu") seen.add(`${pid} on ${index}`)
        }
      }
      expect(seen.size).toBeGreaterThan(3)
    })
})

describe("while a guest runs", () => {
  it("its processor has the guest's tables and PVI, and the host's when it does not", () => {
    const choices = { selectors: "switched", interruptFlag: "pvi" } as const
    const { guests, kernel } = boot(choices, ["doors"])
    const { processor } = kernel
    const tables = () => `${processor.long(GDTR_BASE)} ${processor.long(IDTR_BASE)} ${processor.long(CR4) & 2n}`
    const host = tables()
    const seen = new Map<boolean, Set<string>>([
      [true, new Set()],
      [false, new Set()],
    ])
    guests[0]!.run(kernel.now + WARM)
    for (let n = 0; n < 3000; n++) {
      guests[0]!.run(kernel.now + 1)
      const mine = processor.cpl !== 0
      if (mine || !inHost(processor.rip)) seen.get(mine)!.add(tables())
    }
    expect(seen.get(true)!.size).toBe(1)
    expect([...seen.get(true)!][0]).not.toBe(host)
    expect([...seen.get(true)!][0]!.endsWith(" 2")).toBe(true)
    expect(host.endsWith(" 0")).toBe(true)
  })

  for (const goesOn of [true, false])
    it(`and everything is mapped, its host handles interrupts ${goesOn ? "without leaving it" : "once, also if it is left then"}`, () => {
      const { guests, kernel } = boot({ host: "everything", pageOffset: "host-moves" }, ["spin"])
      const [guest] = guests as [TestGuest]
      const { guest: inside } = guest.device as Lguest64Device
      const [vcpu] = inside.vcpus
      kernel.setRunner(vcpu!.task, {
        prepare: () => vcpu!.prepare(),
        event: () => vcpu!.event(),
        timer: () => vcpu!.timer(),
        resume: () => {
          if (goesOn) kernel.enterGuest(inside.number)
          return goesOn
        },
      })
      guest.run(kernel.now + WARM)
      const { statistics, processor } = kernel
      const before = {
        switches: statistics.worldSwitches,
        interrupts: statistics.hostInterrupts,
        nulls: statistics.vcpuNull,
        loads: processor.counters().cr3Loads,
      }
      const KICKS = 50
      for (let n = 0; n < KICKS; n++) {
        kernel.cpu.clock.kick()
        expect(guest.run(kernel.now + 1000)).toEqual({ kind: "slice" })
        expect(processor.cpl).toBe(3)
      }
      const { interrupts } = before
      expect(statistics.hostInterrupts - interrupts).toBe(KICKS)
      expect(statistics.worldSwitches - before.switches).toBe(goesOn ? 0 : KICKS)
      expect(statistics.vcpuNull).toBe(before.nulls)
      expect(processor.counters().cr3Loads).toBe(before.loads)
    })
})
