import {
  CR0,
  CR3,
  CR4,
  GDTR_BASE,
  GDTR_LIMIT,
  IDTR_BASE,
  IDTR_LIMIT,
  MSR_EFER,
  MSR_KERNEL_GS_BASE,
  MSR_LSTAR,
  MSR_SFMASK,
  MSR_STAR,
  SEG_CS,
  SEG_DS,
  SEG_ES,
  SEG_FS,
  SEG_GS,
  SEG_LDTR,
  SEG_SS,
  SEG_TR,
  CPL,
} from "../../machine/core/state.ts"
import type { Machine } from "../../machine/machine.ts"
import { RAX, RDI, RSP } from "../../machine/processor.ts"
import { PDA } from "../../pda/index.ts"
import { VCPU, VCPU_STATE } from "../../vcpu/descriptor.ts"
import type { EventLog } from "../eventLog.ts"
import { FrameAllocator } from "../frames.ts"
import { GateTable } from "../gates.ts"
import { type HostClock, HostKernel, HostPanic } from "../kernel.ts"
import { machineCode } from "../machineCode.ts"
import { systemCall } from "../systemCalls.ts"
import { RunQueue, Task, type VcpuRunner } from "../task.ts"
import { cpuAddress, descriptorAddress, fixed, GUEST_WORLD, HOST_WORLD, mapProcessor, mapVcpu } from "./fixedArea.ts"
import { code as textCode, symbols } from "./image.gen.ts"
import * as L from "./layout.ts"
import { freeTables, mapDirect, mapPage, newRoot, PTE_A, PTE_D, PTE_P, PTE_U, PTE_W, unmapPage } from "./pageTables.ts"
import { PROCESS_STACK_TOP, PROCESS_TEXT, SYS } from "./process.ts"
import { code as processCode } from "./process.gen.ts"
import { attributesOf, GDT_LIMIT, IDT_LIMIT, TSS_ATTRIBUTES, writeGate, writeGdt } from "./tables.ts"

/*
 * The x86_64 host: its page tables, descriptor tables, PDA, tasks and the functions behind its gates. Everything that
 * the processor or assembly looks at is bytes in simulated memory; this class writes them once and then only answers at
 * gates.
 */

/** Where a virtual CPU's two pages lie, and its own view of the fixed area. */
export interface VcpuPages {
  /** Physical addresses. */
  readonly descriptor: number
  readonly state: number
  /** PML4 entry for the fixed area while this virtual CPU runs: all that a guest's root shares with the host. */
  readonly fixedEntry: number
  /** Root of the tables that the entry is taken from, and which pair of pages of the fixed area this is. */
  readonly root: number
  readonly slot: number
}

/** A virtual CPU's module, and the virtual address of its state page. */
interface Running {
  readonly runner: VcpuRunner
  readonly stateVa: bigint
}

const low = (address: bigint) => Number(address & 0xffffffffn)
const direct = (pa: number) => L.PAGE_OFFSET + BigInt(pa)

const SFMASK = 0x47700n // TF IF DF IOPL NT AC
const SEGMENT_LIMIT = 0xffffffff

export class HostX86_64 {
  readonly kernel: HostKernel
  private readonly machine: Machine
  private readonly root: number
  private readonly text: ReadonlyArray<number>
  private readonly cpuPages: ReadonlyArray<number>
  private readonly runners = new Map<Task, Running>()
  private running: Running | undefined
  private nextPid = 0
  /** Pairs of pages in the fixed area that no virtual CPU has. */
  private readonly vcpuSlots = Array.from({ length: L.VCPU_SLOTS }, (_, i) => L.VCPU_SLOTS - 1 - i)

  /** `end`: physical address at which the host's own memory ends; the launcher's (guests' memory) lies above. */
  constructor(machine: Machine, clock: HostClock, log: EventLog, end: number) {
    const { ram } = machine
    this.machine = machine
    const frames = new FrameAllocator(ram, L.FREE_PA >>> 12, end >>> 12)
    const gates = new GateTable(ram, L.GATE_PA, L.GATE_STRIDE, L.GATES.length)
    machine.setGates(L.GATE_PA, L.GATE_PA + L.GATES.length * L.GATE_STRIDE)

    ram.copyIn(L.TEXT_PA, machineCode(textCode))
    this.text = Array.from({ length: L.TEXT_PAGES }, (_, i) => L.TEXT_PA + i * 4096)
    this.cpuPages = Array.from({ length: L.CPU_IST + 3 }, () => newRoot(frames))
    this.root = newRoot(frames)
    mapDirect(ram, frames, this.root, L.PAGE_OFFSET, ram.size)
    mapProcessor(ram, frames, this.root, this.text, this.cpuPages, HOST_WORLD)
    mapPage(ram, frames, this.root, fixed(L.GATE_OFFSET), L.GATE_PA, 0, false)

    const pda = this.cpuPages[L.CPU_PDA]!
    this.kernel = new HostKernel({
      machine,
      frames,
      gates,
      clock,
      log,
      needResched: () => ram.write32(pda + PDA.fields.needResched.offset, 1),
    })
    this.writeTables()
    this.registerGates()
    this.boot()
  }

  /** Address of a symbol of the host's text. */
  symbol(name: keyof typeof symbols): bigint {
    return fixed(L.TEXT_OFFSET + symbols[name])
  }

  private writeTables(): void {
    const { ram } = this.machine
    const tss = cpuAddress(L.CPU_TSS)
    writeGdt(ram, this.cpuPages[L.CPU_GDT]!, low(tss), L.FIXED_HI)
    const idt = this.cpuPages[L.CPU_IDT]!
    for (let vector = 0; vector < 256; vector++) {
      const ist = vector === 2 ? 1 : vector === 8 ? 2 : vector === 18 ? 3 : 0
      const handler = vector === 2 ? this.symbol("nmi") : this.symbol("vectors") + BigInt(16 * vector)
      // Breakpoints and overflow may be raised by any program; INT with any other number is a protection fault.
      writeGate(ram, idt, vector, low(handler), L.FIXED_HI, vector === 3 || vector === 4 ? 3 : 0, ist)
    }
    const tssPa = this.cpuPages[L.CPU_TSS]!
    for (let i = 0; i < 3; i++) ram.writeBig(tssPa + L.TSS.fields.ist.offset + 8 * i, cpuAddress(L.CPU_IST + i) + 4096n)
    ram.write16(tssPa + L.TSS.fields.ioMapBase.offset, L.TSS.size)
    const pda = this.cpuPages[L.CPU_PDA]!
    ram.writeBig(pda + PDA.fields.self.offset, cpuAddress(L.CPU_PDA))
    ram.writeBig(pda + PDA.fields.tss.offset, tss)
    ram.writeBig(pda + PDA.fields.idt.offset, cpuAddress(L.CPU_IDT))
    ram.writeBig(pda + PDA.fields.hostCr3.offset, BigInt(this.root))
  }

  /** What the host's boot code would have done: long mode, its tables, its MSRs, the idle task. */
  private boot(): void {
    const { processor, ram } = this.kernel
    processor.setLong(CR0, 0x8001_0033n) // PG WP NE ET MP PE
    processor.setLong(CR4, 0xa0n) // PAE PGE
    processor.setLong(MSR_EFER, 0xd01n) // NXE LMA LME SCE
    processor.setLong(CR3, BigInt(this.root))
    processor.setWord(CPL, 0)
    for (const segment of [SEG_SS, SEG_DS, SEG_ES])
      processor.setSegment(segment, L.KERNEL_DS, 0n, SEGMENT_LIMIT, attributesOf(L.KERNEL_DS))
    processor.setSegment(SEG_CS, L.KERNEL_CS, 0n, SEGMENT_LIMIT, attributesOf(L.KERNEL_CS))
    processor.setSegment(SEG_FS, 0, 0n, 0, 0)
    processor.setSegment(SEG_GS, 0, cpuAddress(L.CPU_PDA), 0, 0)
    // A reset leaves an LDT at linear address 0, which is memory of whoever runs: with a call gate in it, ring 0 would be his.
    processor.setSegment(SEG_LDTR, 0, 0n, 0, 0)
    processor.setSegment(SEG_TR, L.TSS_SELECTOR, cpuAddress(L.CPU_TSS), L.TSS.size - 1, TSS_ATTRIBUTES)
    processor.setLong(GDTR_BASE, cpuAddress(L.CPU_GDT))
    processor.setWord(GDTR_LIMIT, GDT_LIMIT)
    processor.setLong(IDTR_BASE, cpuAddress(L.CPU_IDT))
    processor.setWord(IDTR_LIMIT, IDT_LIMIT)
    processor.setLong(MSR_STAR, (BigInt(L.USER32_CS) << 48n) | (BigInt(L.KERNEL_CS) << 32n))
    processor.setLong(MSR_LSTAR, this.symbol("system_call"))
    processor.setLong(MSR_SFMASK, SFMASK)
    processor.setLong(MSR_KERNEL_GS_BASE, 0n)

    const idle = this.createTask("idle", "idle", this.symbol("idle_task"), 0n, BigInt(this.root))
    const pda = this.cpuPages[L.CPU_PDA]!
    const stackTop = ram.readBig(idle.pa + L.TASK.fields.stackTop.offset)
    ram.writeBig(pda + PDA.fields.current.offset, direct(idle.pa))
    ram.writeBig(pda + PDA.fields.kernelStack.offset, stackTop)
    processor.setGpr(RSP, stackTop)
    processor.rip = this.symbol("idle_task")
    processor.flags = 2n
    processor.refresh()
    this.kernel.start(new RunQueue(idle))
  }

  /**
   * A task whose kernel stack makes the first switch to it arrive at `entry` with `%r12` = `argument`. A process's user
   * frame is written on the stack above by the caller.
   */
  private createTask(kind: Task["kind"], name: string, entry: bigint, argument: bigint, cr3: bigint, above = 0): Task {
    const { ram, frames } = this.kernel
    const pa = newRoot(frames)
    const stack = newRoot(frames)
    const F = L.TASK.fields
    const top = direct(stack) + 4096n
    // schedule() pops %r15 %r14 %r13 %r12 %rbp %rbx and returns.
    const rsp = top - BigInt(above + 7 * 8)
    const stackPa = stack + 4096 - above - 7 * 8
    ram.writeBig(stackPa + 3 * 8, argument)
    ram.writeBig(stackPa + 6 * 8, entry)
    ram.writeBig(pa + F.rsp.offset, rsp)
    ram.writeBig(pa + F.stackTop.offset, top)
    ram.writeBig(pa + F.cr3.offset, cr3)
    const pid = this.nextPid++
    ram.write32(pa + F.pid.offset, pid)
    return new Task(pid, kind, name, pa, low(direct(pa)), Number(direct(pa) >> 32n))
  }

  /** Starts the host's own process: ring 3, its own address space, system calls by SYSCALL. */
  startProcess(): Task {
    const { ram, frames } = this.kernel
    const root = newRoot(frames)
    for (const slot of [L.DIRECT_MAP_SLOT, L.FIXED_SLOT])
      ram.writeBig(root + 8 * slot, ram.readBig(this.root + 8 * slot))
    const text = newRoot(frames)
    const stack = newRoot(frames)
    ram.copyIn(text, machineCode(processCode))
    mapPage(ram, frames, root, PROCESS_TEXT, text, PTE_U, false)
    mapPage(ram, frames, root, PROCESS_STACK_TOP - 4096n, stack, PTE_U | PTE_W, true)
    const task = this.createTask("process", "heartbeat", this.symbol("process_task"), 0n, BigInt(root), L.FRAME.size)
    const frame = low(ram.readBig(task.pa + L.TASK.fields.stackTop.offset) - BigInt(L.FRAME.size))
    const F = L.FRAME.fields
    ram.writeBig(frame + F.rip.offset, PROCESS_TEXT)
    ram.writeBig(frame + F.cs.offset, BigInt(L.USER_CS))
    ram.writeBig(frame + F.rflags.offset, 0x202n)
    ram.writeBig(frame + F.rsp.offset, PROCESS_STACK_TOP)
    ram.writeBig(frame + F.ss.offset, BigInt(L.USER_DS))
    this.kernel.tasks.add(task)
    this.kernel.wake(task)
    return task
  }

  /**
   * A virtual CPU's two pages, and the private copy of the fixed area's tables that its guest's roots hold: text, this
   * processor's tables and stacks, and these two pages. No gates, no other virtual CPU.
   */
  createVcpuPages(index: number, functions: { systemCall: bigint; trap: bigint }): VcpuPages {
    const { ram, frames } = this.kernel
    const slot = this.vcpuSlots.pop()
    if (slot === undefined) throw new RangeError(`the host has room for ${L.VCPU_SLOTS} virtual CPUs`)
    const descriptor = newRoot(frames)
    const state = newRoot(frames)
    const stateVa = descriptorAddress(slot) + 4096n
    mapVcpu(ram, frames, this.root, slot, descriptor, state, HOST_WORLD)
    const guest = newRoot(frames)
    mapProcessor(ram, frames, guest, this.text, this.cpuPages, GUEST_WORLD)
    mapVcpu(ram, frames, guest, slot, descriptor, state, GUEST_WORLD)

    ram.writeBig(descriptor + VCPU.fields.systemCall.offset, functions.systemCall)
    ram.writeBig(descriptor + VCPU.fields.trap.offset, functions.trap)
    ram.writeBig(descriptor + VCPU.fields.state.offset, stateVa)
    ram.writeBig(descriptor + VCPU.fields.stackTop.offset, stateVa + BigInt(VCPU_STATE.size))
    ram.write32(descriptor + VCPU.fields.index.offset, index)
    const fixedEntry = (ram.read32(guest + 8 * L.FIXED_SLOT) | PTE_P | PTE_A | PTE_D) >>> 0
    return { descriptor, state, fixedEntry, root: guest, slot }
  }

  /** Takes back what `createVcpuPages` and `createVcpuTask` gave. The task must not be running. */
  releaseVcpu(pages: VcpuPages, task: Task): void {
    const { ram, frames, tasks } = this.kernel
    if (tasks.current === task) throw new HostPanic(`${task.name} is released while it runs`)
    tasks.remove(task)
    this.runners.delete(task)
    const descriptorVa = descriptorAddress(pages.slot)
    for (const va of [descriptorVa, descriptorVa + 4096n]) {
      unmapPage(ram, this.root, va)
      this.kernel.processor.exports.invalidate(va)
    }
    freeTables(ram, frames, pages.root)
    const stackTop = low(ram.readBig(task.pa + L.TASK.fields.stackTop.offset))
    for (const pa of [pages.descriptor, pages.state, task.pa, stackTop - 4096]) frames.release(pa / 4096)
    this.vcpuSlots.push(pages.slot)
  }

  /** The task of a virtual CPU; the launcher's read makes it runnable. */
  createVcpuTask(pages: VcpuPages, name: string, runner: VcpuRunner): Task {
    const { ram } = this.kernel
    // Its descriptor's address is the one in the fixed area, which both worlds map.
    const stateVa = ram.readBig(pages.descriptor + VCPU.fields.state.offset)
    const descriptorVa = stateVa - 4096n
    const task = this.createTask("vcpu", name, this.symbol("vcpu_task"), descriptorVa, BigInt(this.root))
    ram.writeBig(task.pa + L.TASK.fields.vcpu.offset, descriptorVa)
    task.runnable = false
    this.runners.set(task, { runner, stateVa })
    this.kernel.tasks.add(task)
    return task
  }

  // ------------------------------------------------------------------------------------------------------- gates
  private registerGates(): void {
    const handlers: Record<L.GateName, () => void> = {
      hostSystemCall: () => this.systemCall(),
      hostTrap: () => this.trap(),
      hostInterrupt: () => this.interrupt(),
      hostNmi: () => undefined,
      schedule: () => this.schedule(),
      vcpuPrepare: () => this.kernel.processor.setGprLoHi(RAX, this.running!.runner.prepare() ? 1 : 0, 0),
      vcpuEvent: () => this.running!.runner.event(),
      fatalTrap: () => this.fatal(),
    }
    L.GATES.forEach((name, i) => this.kernel.gates.register(i, handlers[name]))
  }

  /** Physical address of the frame that the stub passed in %rdi; kernel stacks lie in the direct map, below 4 GiB. */
  private frame(): number {
    return this.kernel.processor.gprLo(RDI)
  }

  private systemCall(): void {
    const { ram, statistics } = this.kernel
    const frame = this.frame()
    const F = L.FRAME.fields
    statistics.vcpuNull++
    const result = systemCall(this.kernel, SYS, ram.read32(frame + F.rax.offset), ram.read32(frame + F.rdi.offset))
    ram.write64(frame + F.rax.offset, result, result < 0 ? -1 : 0)
  }

  /** A host process did what it may not: it ends, as it would with a signal that it does not handle. */
  private trap(): void {
    this.kernel.statistics.vcpuNull++
    this.kernel.endCurrent()
  }

  private interrupt(): void {
    const { kernel } = this
    const F = L.FRAME.fields
    const frame = this.frame()
    kernel.statistics.hostInterrupts++
    if ((kernel.ram.read32(frame + F.cs.offset) & 3) !== 0) kernel.statistics.vcpuNull++
    const vector = kernel.ram.read32(frame + F.vector.offset)
    if (vector === L.SPURIOUS_VECTOR) return
    kernel.clock.acknowledge()
    if (vector === L.TIMER_VECTOR) kernel.timerInterrupt()
  }

  private schedule(): void {
    const { processor } = this.kernel
    const next = this.kernel.pickNext()
    if (next === undefined) {
      processor.setGprLoHi(RAX, 0, 0)
      return
    }
    // No other guest has this page in its tables, and it is global (fixedArea.ts).
    if (this.running !== undefined) processor.exports.invalidate(this.running.stateVa)
    this.running = this.runners.get(next)
    processor.setGprLoHi(RAX, next.addressLo, next.addressHi)
  }

  private fatal(): void {
    const { ram } = this.kernel
    const F = L.FRAME.fields
    const frame = this.frame()
    const vector = ram.read32(frame + F.vector.offset)
    const rip = ram.readBig(frame + F.rip.offset)
    throw new HostPanic(`exception ${vector} in the host at 0x${rip.toString(16)}`)
  }
}
