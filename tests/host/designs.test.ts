import { describe, expect, it } from "vitest"
import { type Choices, LGUEST64 } from "../../src/design/dimensions.ts"
import { cpuAddress, descriptorAddress, fixed, taskAddress } from "../../src/host/x86_64/fixedArea.ts"
import type { HostX86_64 } from "../../src/host/x86_64/host.ts"
import { imageOf } from "../../src/host/x86_64/images.ts"
import * as L from "../../src/host/x86_64/layout.ts"
import { PTE_G, PTE_U, PTE_W } from "../../src/host/x86_64/pageTables.ts"
import { PROCESS_TEXT } from "../../src/host/x86_64/process.ts"
import { code as processCode } from "../../src/host/x86_64/process.gen.ts"
import { CR3 } from "../../src/machine/core/state.ts"
import { CALL_PAGE_OFFSET } from "../../src/paravirt_ops/lguest64.ts"
import { PDA } from "../../src/pda/index.ts"
import { VCPU } from "../../src/vcpu/index.ts"
import * as nowhere from "./image.none.gen.ts"
import { bareHost, leaves, translate, vpn } from "./worlds.ts"

/*
 * The x86_64 host as designs want it: what its question about guests costs where there are none, and what of it guests of
 * each design see.
 */

type Found = Choices["vcpu"]
const FOUND: ReadonlyArray<Found> = ["pda", "task", "known-address"]
/** Instructions of the question: CMP and Jcc, and where it goes through the task the load of that before. */
const QUESTION: Record<Found, number> = { pda: 2, task: 3, "known-address": 2 }

/** What the entry code of processor `cpu` would take for the VCPU, from memory and by its page tables alone. */
const pointerOf = (host: HostX86_64, vcpu: Found, cpu: number): bigint => {
  const { ram, cpus } = host.kernel
  const root = Number(cpus[cpu]!.processor.long(CR3))
  const read = (va: bigint) => ram.readBig(translate(ram, root, va))
  if (vcpu === "pda") return read(cpuAddress(cpu, L.CPU_PDA) + BigInt(PDA.fields.vcpu.offset))
  if (vcpu === "known-address") return read(fixed(L.KNOWN_OFFSET) + BigInt(VCPU.fields.systemCall.offset))
  const task = read(cpuAddress(cpu, L.CPU_PDA) + BigInt(PDA.fields.current.offset))
  return read(task + BigInt(L.TASK.fields.vcpu.offset))
}

const SYSCALL = PROCESS_TEXT + BigInt(Buffer.from(processCode, "base64").indexOf(Buffer.from([0x0f, 0x05])))

/** Runs a host and its process on processor 0 and nothing else, one instruction at a time. */
class Steps {
  readonly host: HostX86_64

  constructor(host: HostX86_64) {
    this.host = host
    const { kernel } = host
    const task = host.startProcess()
    kernel.tasks.affinity[task.pid] = 1
  }

  get processor() {
    return this.host.kernel.cpus[0]!.processor
  }

  step(): void {
    const { kernel } = this.host
    const { processor } = this
    if (kernel.driveProcessor(kernel.cpus[0]!, processor.now + 1) !== "idle") return
    processor.skip(Math.max(0, kernel.nextEvent() - processor.now))
  }

  /** To the process's instruction at `rip`. */
  until(rip: bigint): void {
    for (let n = 0; this.processor.rip !== rip || this.processor.cpl !== 3; n++) {
      if (n > 100_000) throw new Error("the process does not come there")
      this.step()
    }
  }

  /** Instructions from the process's getpid to what follows it. */
  systemCall(): number {
    this.until(SYSCALL)
    const before = this.processor.instructions
    this.until(SYSCALL + 2n)
    return this.processor.instructions - before
  }

  /** Instructions that an interrupt takes between two of the process's. */
  interrupt(): number {
    this.until(SYSCALL + 2n)
    this.host.kernel.cpus[0]!.clock.kick()
    const before = this.processor.instructions
    do this.step()
    while (this.processor.cpl !== 3)
    return this.processor.instructions - before
  }
}

describe("a host without guests", () => {
  const without = new Steps(bareHost({}, 2, { ...imageOf("pda"), ...nowhere }))
  const systemCall = without.systemCall()
  const interrupt = without.interrupt()

  for (const vcpu of FOUND) {
    it(`pays for ${vcpu} ${QUESTION[vcpu]} instructions in a system call and in an interrupt, and no more`, () => {
      const host = bareHost({ vcpu }, 2)
      const steps = new Steps(host)
      for (let call = 0; call < 3; call++) {
        expect(steps.systemCall() - systemCall).toBe(QUESTION[vcpu])
        for (const { index } of host.kernel.cpus) expect(pointerOf(host, vcpu, index)).toBe(0n)
        expect(steps.interrupt() - interrupt).toBe(QUESTION[vcpu])
      }
      expect(host.kernel.cpus[0]!.statistics.hostSystemCalls).toBeGreaterThan(3)
    })
  }

  it("is counted from SYSCALL to the instruction behind it, gates included", () => {
    expect(systemCall).toBeGreaterThan(40)
    expect(interrupt).toBeGreaterThan(40)
  })

  for (const vcpu of FOUND)
    it(`finds NULL by ${vcpu} at every instruction of its processes and between them`, () => {
      const host = bareHost({ vcpu }, 2)
      const steps = new Steps(host)
      const until = steps.processor.instructions + 3000
      while (steps.processor.instructions < until) {
        steps.step()
        for (const { index } of host.kernel.cpus) expect(pointerOf(host, vcpu, index)).toBe(0n)
      }
      expect(host.kernel.cpus[0]!.statistics.contextSwitches).toBeGreaterThan(4)
    })
})

/** What a virtual CPU's roots have of the host: its kernel's, and its user's where that has a view of its own. */
const seen = (host: HostX86_64, choices: Partial<Choices>) => {
  const design = { ...LGUEST64, ...choices }
  const pages = host.createVcpuPages(0, design)
  const task = host.createVcpuTask(pages, "vcpu")
  const { ram, frames } = host.kernel
  const entries = host.hostEntries([pages], design)
  // Roots as an MMU would make them.
  const view = (userView: boolean) => {
    const root = frames.alloc() * 4096
    for (const slot of entries.slots)
      ram.write64(root + 8 * slot, entries.entryLo(slot, 0, userView), entries.entryHi(slot, 0, userView))
    return leaves(ram, root)
  }
  return { design, pages, task, found: view(false), users: view(true), entries }
}

const pageOf = (address: bigint) => vpn(address)
const cpuPages = (...pages: ReadonlyArray<number>) => pages.map((page) => pageOf(cpuAddress(0, page)))
const STACKS = cpuPages(L.CPU_IST, L.CPU_IST + 1, L.CPU_IST + 2)
const TEXT = Array.from({ length: L.TEXT_PAGES }, (_, i) => pageOf(fixed(L.TEXT_OFFSET + i * 4096)))
const KNOWN = pageOf(fixed(L.KNOWN_OFFSET))
const CALLED = pageOf(fixed(CALL_PAGE_OFFSET))
const sorted = (numbers: Iterable<number>) => [...numbers].sort((a, b) => a - b)
const having = (found: ReturnType<typeof leaves>, flag: number) =>
  sorted([...found].filter(([, { lo }]) => (lo & flag) !== 0).map(([v]) => v))

describe("while a guest runs, of the host there is", () => {
  const tables = cpuPages(L.CPU_GDT, L.CPU_IDT, L.CPU_TSS)

  it("at a known address nothing to write to but the state page and the stacks of the IST", () => {
    const { found, pages } = seen(bareHost({ vcpu: "known-address" }), { vcpu: "known-address", ring: 1 })
    expect(sorted(found.keys())).toEqual(sorted([...TEXT, ...tables, ...STACKS, KNOWN, KNOWN + 1]))
    expect(having(found, PTE_W)).toEqual(sorted([...STACKS, KNOWN + 1]))
    expect(found.get(KNOWN)!.lo & ~0xfff).toBe(pages.descriptor)
    expect(found.get(KNOWN + 1)!.lo & ~0xfff).toBe(pages.state)
    expect(having(found, PTE_U)).toEqual([])
    // What is not the same in all roots must not outlive a load of CR3.
    expect(having(found, PTE_G)).not.toContain(KNOWN)
    expect(having(found, PTE_G)).not.toContain(KNOWN + 1)
  })

  it("by the PDA that besides, and the two pages at their slot", () => {
    const { found, pages } = seen(bareHost(), {})
    const slot = pageOf(descriptorAddress(pages.slot))
    const pda = cpuPages(L.CPU_PDA)
    expect(sorted(found.keys())).toEqual(sorted([...TEXT, ...tables, ...pda, ...STACKS, slot, slot + 1]))
    expect(having(found, PTE_W)).toEqual(sorted([...pda, ...STACKS, slot + 1]))
  })

  it("by the task its own task, to be read", () => {
    const { found, task } = seen(bareHost({ vcpu: "task" }), { vcpu: "task" })
    const page = pageOf(taskAddress(task.pid))
    expect(found.get(page)!.lo & ~0xfff).toBe(task.pa)
    expect(found.get(page)!.lo & (PTE_W | PTE_U | PTE_G)).toBe(0)
    const first = pageOf(taskAddress(0))
    expect(sorted(found.keys()).filter((v) => v >= first)).toEqual([page])
  })

  it("for who has the bare machine's selectors other tables, to be read, gone with CR3", () => {
    const { found } = seen(bareHost(), { selectors: "switched" })
    for (const page of cpuPages(L.CPU_GUEST_GDT, L.CPU_GUEST_IDT))
      expect(found.get(page)!.lo & (PTE_W | PTE_U | PTE_G)).toBe(0)
  })

  const calls = [
    { hypercall: "call-page" },
    { hypercall: "call-page", interruptFlag: "rom" },
    { hypercall: "call-page", ring: 1 },
    { hypercall: "call-page", host: "everything", pageOffset: "host-moves" },
    { hypercall: "call-page", selectors: "switched", spaces: "one" },
  ] as const
  for (const choices of calls)
    it(`for the guest's kernel a call page and data of its own (${Object.values(choices).join(", ")})`, () => {
      const host = bareHost({ pageOffset: "host-moves" })
      const { found, pages } = seen(host, choices)
      const user = "ring" in choices ? 0 : PTE_U
      const code = found.get(CALLED)!
      const data = found.get(CALLED + 1)!
      expect(code.lo & (PTE_W | PTE_U | PTE_G)).toBe(user)
      expect(code.noExecute).toBe(false)
      expect(data.lo & (PTE_W | PTE_U | PTE_G)).toBe(PTE_W | user)
      expect(data.noExecute).toBe(true)
      expect(data.lo & ~0xfff).toBe(pages.rom)
      expect(having(found, PTE_U)).toEqual(user === 0 ? [] : [CALLED, CALLED + 1])
      const other = seen(host, choices)
      expect(other.pages.rom).not.toBe(pages.rom)
      // The host itself has neither.
      const own = leaves(host.kernel.ram, Number(host.kernel.cpus[0]!.processor.long(CR3)))
      expect(own.has(CALLED)).toBe(false)
    })

  const apart: ReadonlyArray<Partial<Choices>> = [
    { interruptFlag: "rom" },
    { hypercall: "call-page" },
    { interruptFlag: "rom", vcpu: "known-address" },
    { interruptFlag: "rom", vcpu: "task" },
    { interruptFlag: "rom", selectors: "switched" },
    { interruptFlag: "rom", host: "everything", pageOffset: "host-moves" },
    { interruptFlag: "rom", host: "everything", pageOffset: "host-moves", vcpu: "task" },
  ]
  for (const choices of apart)
    it(`for its processes all but the call page and its data (${Object.values(choices).join(", ")})`, () => {
      const { found, users } = seen(bareHost(choices), choices)
      expect(users.has(CALLED)).toBe(false)
      expect(users.has(CALLED + 1)).toBe(false)
      expect(having(users, PTE_U)).toEqual([])
      expect(new Map([...users, [CALLED, found.get(CALLED)!], [CALLED + 1, found.get(CALLED + 1)!]])).toEqual(found)
    })

  it("for processes what their kernel has, by the same tables, where nothing is to be kept from them", () => {
    for (const choices of [{}, { vcpu: "task" }, { hypercall: "call-page", spaces: "one" }] as const) {
      const host = bareHost(choices)
      const { pages, found, users } = seen(host, choices)
      expect([pages.userRoot, pages.userEntry]).toEqual([pages.root, pages.fixedEntry])
      expect(users).toEqual(found)
    }
  })

  for (const pageOffset of ["guest-moves", "host-moves"] as const)
    it(`everything: all that the host has itself, for ring 0 (${pageOffset})`, () => {
      const host = bareHost({ pageOffset })
      const { found, entries, design, pages } = seen(host, { host: "everything", pageOffset })
      const own = leaves(host.kernel.ram, Number(host.kernel.cpus[0]!.processor.long(CR3)))
      expect(new Map([...found])).toEqual(own)
      expect(having(found, PTE_U)).toEqual([])
      const slot = pageOffset === "host-moves" ? L.MOVED_DIRECT_MAP_SLOT : L.DIRECT_MAP_SLOT
      expect(entries.slots).toEqual([slot, L.FIXED_SLOT])
      expect(found.has(pageOf(L.slotAddress(slot)))).toBe(true)
      expect(host.reserved(design).map(({ start }) => start)).toEqual([host.pageOffset, L.FIXED])
      const saved = host.kernel.ram.readBig(pages.descriptor + VCPU.fields.frame.offset)
      expect(translate(host.kernel.ram, pages.root || Number(host.kernel.processor.long(CR3)), saved)).toBeGreaterThan(
        pages.state,
      )
    })
})

describe("a guest's pages", () => {
  const designs: ReadonlyArray<Partial<Choices>> = [
    {},
    { vcpu: "task" },
    { vcpu: "known-address", ring: 1 },
    { selectors: "switched" },
    { hypercall: "call-page", interruptFlag: "rom" },
    { hypercall: "call-page", interruptFlag: "rom", spaces: "one" },
    { interruptFlag: "rom", vcpu: "task" },
    { interruptFlag: "rom", vcpu: "known-address" },
    { host: "everything", pageOffset: "host-moves" },
    { host: "everything", pageOffset: "host-moves", hypercall: "call-page" },
  ]
  for (const choices of designs)
    it(`are all the host's again when it is gone (${Object.values(choices).join(", ")})`, () => {
      const host = bareHost(choices)
      const { kernel } = host
      const design = { ...LGUEST64, ...choices }
      const root = Number(kernel.cpus[0]!.processor.long(CR3))
      const before = { frames: kernel.frames.available, own: leaves(kernel.ram, root) }
      for (let n = 0; n < 3; n++) {
        const pages = [0, 1].map((i) => host.createVcpuPages(i, design))
        const tasks = pages.map((p) => host.createVcpuTask(p, "vcpu"))
        expect(kernel.frames.available).toBeLessThan(before.frames)
        pages.forEach((p, i) => host.releaseVcpu(p, tasks[i]!))
        expect(kernel.frames.available).toBe(before.frames)
        expect(leaves(kernel.ram, root)).toEqual(before.own)
      }
    })
})

describe("the gate for hypercalls", () => {
  const dpl = (host: HostX86_64, cpu: number, page: number) => {
    const { ram, cpus } = host.kernel
    const idt = translate(ram, Number(cpus[cpu]!.processor.long(CR3)), cpuAddress(cpu, page))
    return (ram.read32(idt + 0x1f * 16 + 4) >>> 13) & 3
  }

  it("lets in whom guests need, on all processors, and stays open", () => {
    const host = bareHost({}, 2)
    const all = () => [0, 1].flatMap((cpu) => [L.CPU_IDT, L.CPU_GUEST_IDT].map((page) => dpl(host, cpu, page)))
    const open = (choices: Partial<Choices>) => host.createVcpuPages(0, { ...LGUEST64, ...choices })
    expect(all()).toEqual([0, 0, 0, 0])
    open({})
    expect(all()).toEqual([0, 0, 0, 0])
    open({ hypercall: "interrupt", ring: 1 })
    expect(all()).toEqual([1, 1, 1, 1])
    open({ hypercall: "call-page" })
    open({ hypercall: "interrupt", ring: 1 })
    expect(all()).toEqual([3, 3, 3, 3])
  })
})
