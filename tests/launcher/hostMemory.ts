import { symbols as text64, code as code64 } from "../../src/host/x86_64/image.gen.ts"
import { FIXED, TASK as TASK64, TEXT_OFFSET } from "../../src/host/x86_64/layout.ts"
import { machineCode } from "../../src/host/machineCode.ts"
import * as L from "../../src/i386/layout.ts"
import { code as switcher32, symbols as symbols32 } from "../../src/i386/switcher_32.gen.ts"
import { IDTR_BASE } from "../../src/machine/core/state.ts"
import { readProcessor } from "../../src/machine/inspection.ts"
import type { Field } from "../../src/machine/layout.ts"
import type { Machine } from "../../src/machine/machine.ts"
import { entryFrame, isPresent, pagingOf, walkTables } from "../../src/machine/pageTables.ts"
import type { Processor } from "../../src/machine/processor.ts"
import type { ModuleView } from "../../src/modules/index.ts"
import { SWITCHER_ADDR } from "../../src/paravirt_ops/lguest.ts"
import { PDA } from "../../src/pda/index.ts"
import { VCPU } from "../../src/vcpu/index.ts"

/*
 * From a processor to the module of the guest that runs on it, by nothing but what lies in simulated memory: registers,
 * page tables, and the structures that machine code follows.
 */

/** Memory as a processor sees it with the page tables that it is on. */
class Eyes {
  private readonly machine: Machine
  private readonly cpu: Processor

  constructor(machine: Machine, cpu: Processor) {
    this.machine = machine
    this.cpu = cpu
  }

  register(name: Parameters<typeof readProcessor>[1]): bigint {
    return readProcessor(this.cpu, name)
  }

  /** Physical address of a virtual one. */
  pa(va: bigint): number {
    const { ram } = this.machine
    const paging = pagingOf((name) => this.register(name))!
    const tables = { ...paging, read32: (pa: number) => (pa + 4 <= ram.size ? ram.read32(pa) >>> 0 : undefined) }
    const entry = walkTables(tables, va).at(-1)
    if (entry === undefined || !isPresent(entry)) throw new Error(`0x${va.toString(16)} is not mapped`)
    const within = 12 + (entry.level - 1) * paging.format.indexBits
    return entryFrame(paging.format, entry) * 4096 + Number(BigInt.asUintN(within, va))
  }

  read64(va: bigint): bigint {
    return this.machine.ram.readBig(this.pa(va))
  }

  field(struct: bigint, { offset }: Field): bigint {
    return this.read64(struct + BigInt(offset))
  }

  /** Bytes, which may lie on several pages. */
  bytes(va: bigint, length: number): Uint8Array {
    return Uint8Array.from({ length }, (_, i) => this.machine.ram.read8(this.pa(va + BigInt(i))))
  }
}

/** Who is on a processor. */
export interface Seen {
  readonly kind: "vcpu" | "process" | "idle"
  /** Of the task that the host has there. */
  readonly pid: number
  /** The pointer to the VCPU there, 0 for NULL. */
  readonly vcpu: bigint
}

/** What the host believes of its processor; undefined while it is at work itself, and pointers may be half changed. */
const whoOf = ({ kernel }: ModuleView, index: number): Pick<Seen, "kind" | "pid"> | undefined => {
  const { processor } = kernel.cpus[index]!
  const pid = kernel.cpuTable.current[index]!
  const kind = kernel.tasks.kind(pid)
  if (processor.cpl === 0 && !(kind === "idle" && processor.halted)) return undefined
  return { kind, pid }
}

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0
const need = (what: string, holds: boolean): void => {
  if (!holds) throw new Error(what)
}

const bytes64 = machineCode(code64)
/** The functions of lguest64, from the first to what follows the last. */
const FUNCTIONS_64 = [text64.lguest64_system_call, text64.vcpu_task] as const

/** By GS to the PDA, its VCPU, and the function pointers there. Throws where that leads anywhere but to lguest64. */
export const look64 = (view: ModuleView, index: number): Seen | undefined => {
  const who = whoOf(view, index)
  if (who === undefined) return undefined
  const { processor } = view.kernel.cpus[index]!
  const eyes = new Eyes(view.kernel.machine, processor)
  // SWAPGS: the host's is the other one while ring 3 runs.
  const pda = eyes.register(processor.cpl === 0 ? "gs_base" : "k_gs_base")
  need("%gs leads to this processor's data", eyes.field(pda, PDA.fields.self) === pda)
  need("which is this processor's", (eyes.field(pda, PDA.fields.cpu) & 0xffff_ffffn) === BigInt(index))
  const vcpu = eyes.field(pda, PDA.fields.vcpu)
  if (vcpu !== 0n) {
    const functions = FIXED + BigInt(TEXT_OFFSET)
    const [first, end] = FUNCTIONS_64
    const pointers = [VCPU.fields.systemCall, VCPU.fields.trap].map((field) => eyes.field(vcpu, field))
    need("SYSCALL goes to lguest64", pointers[0] === functions + BigInt(text64.lguest64_system_call))
    need("traps go to lguest64", pointers[1] === functions + BigInt(text64.lguest64_trap))
    need("its code is there", same(eyes.bytes(pointers[0]!, end - first), bytes64.subarray(first, end)))
    const state = eyes.field(vcpu, VCPU.fields.state)
    need("its stack is the state page", eyes.field(vcpu, VCPU.fields.stackTop) === state + 4096n)
  }
  // The task has the same, as the proposal says. It is not mapped while a guest runs.
  const { ram } = view.kernel.machine
  const task = Number(eyes.field(pda, PDA.fields.current) - view.directMap)
  need("the field of the task was copied", ram.readBig(task + TASK64.fields.vcpu.offset) === vcpu)
  return { ...who, vcpu }
}

const bytes32 = machineCode(switcher32)
const PAGE_FAULT = 14n

/** By the processor's own data to the task, its VCPU, and the Switcher. Throws where that leads anywhere but to lguest. */
export const look32 = (view: ModuleView, index: number): Seen | undefined => {
  const who = whoOf(view, index)
  if (who === undefined) return undefined
  const { machine, cpus } = view.kernel
  const { processor } = cpus[index]!
  const { ram } = machine
  const eyes = new Eyes(machine, processor)
  // The host's own memory is not mapped while a guest runs.
  const physical = (va: number): number => va - L.PAGE_OFFSET
  const task = physical(ram.read32(view.perProcessor(index).pa + L.PERCPU.fields.current.offset) >>> 0)
  const vcpu = ram.read32(task + L.TASK.fields.vcpu.offset) >>> 0
  const idt = processor.long(IDTR_BASE)
  const pages = BigInt(L.SWITCHER_PAGES_ADDR)
  need("the guest's IDT is in use while it runs", (idt === pages + BigInt(L.PAGES.fields.guestIdt.offset)) === vcpu > 0)
  if (vcpu !== 0) {
    const { root, regs } = L.VCPU.fields
    const descriptor = physical(vcpu)
    need("its page tables are in use", BigInt(ram.read32(descriptor + root.offset) >>> 0) === eyes.register("cr3"))
    need("its registers are mapped", physical(ram.read32(descriptor + regs.offset) >>> 0) === eyes.pa(pages))
    const gate = eyes.read64(idt + 8n * PAGE_FAULT)
    const handler = (gate & 0xffffn) | ((gate >> 32n) & 0xffff_0000n)
    const stubs = BigInt(SWITCHER_ADDR + symbols32.default_handlers)
    need("traps go to lguest's Switcher", handler === stubs + 16n * PAGE_FAULT)
    need("its code is there", same(eyes.bytes(BigInt(SWITCHER_ADDR), bytes32.length), bytes32))
  }
  return { ...who, vcpu: BigInt(vcpu) }
}
