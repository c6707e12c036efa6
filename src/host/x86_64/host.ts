import type { Machine } from "../../machine/machine.ts"
import { RAX, RDI, RSP } from "../../machine/processor.ts"
import type { SharedHeap } from "../../machine/shared.ts"
import { PDA } from "../../pda/index.ts"
import { VCPU, VCPU_STATE } from "../../vcpu/descriptor.ts"
import type { HostClock } from "../cpus.ts"
import type { EventLog } from "../eventLog.ts"
import { FrameAllocator } from "../frames.ts"
import { GateTable } from "../gates.ts"
import { HostKernel, HostPanic } from "../kernel.ts"
import { machineCode } from "../machineCode.ts"
import { systemCall } from "../systemCalls.ts"
import { MAX_TASKS, NONE, type Task, type TaskKind, type VcpuRunner } from "../task.ts"
import type { TraceBuffers } from "../trace.ts"
import {
  descriptorAddress,
  fixed,
  GUEST_WORLD,
  HOST_WORLD,
  mapProcessor,
  mapText,
  mapVcpu,
  unmapProcessor,
} from "./fixedArea.ts"
import { code as textCode, symbols } from "./image.gen.ts"
import * as L from "./layout.ts"
import { freeTables, mapDirect, mapPage, newRoot, PTE_A, PTE_D, PTE_P, PTE_U, PTE_W, unmapPage } from "./pageTables.ts"
import { enterHost, writeProcessorArea } from "./processorArea.ts"
import { PROCESS_STACK_TOP, PROCESS_TEXT, SYS } from "./process.ts"
import { code as processCode } from "./process.gen.ts"

/*
 * The x86_64 host: its page tables, its processors, its tasks and the functions behind its gates. Everything that the
 * processor or assembly looks at is bytes in simulated memory, written once, by the first thread; after that this class only
 * answers at gates.
 */

export interface HostX86_64Parts {
  readonly machine: Machine
  readonly heap: SharedHeap
  /** One for each processor. */
  readonly clocks: ReadonlyArray<HostClock>
  readonly log: EventLog
  readonly trace?: TraceBuffers | undefined
  /** Physical address at which the host's own memory ends; the launcher's (guests' memory) lies above. */
  readonly end: number
  readonly seed: number
}

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
  /** Physical address of its page of the ROM (ROM_DATA); 0 in designs that have none. */
  readonly rom: number
}

const low = (address: bigint) => Number(address & 0xffffffffn)
const direct = (pa: number) => L.PAGE_OFFSET + BigInt(pa)

export class HostX86_64 {
  readonly kernel: HostKernel
  private readonly machine: Machine
  /** [0]: the host's root. [1 + cpu * CPU_USED + page]: a processor's pages. Physical addresses. */
  private readonly pages: Float64Array
  private readonly text: ReadonlyArray<number>
  /** Task of a virtual CPU -> its pair of pages in the fixed area, or NONE. */
  private readonly slotOf: Int32Array
  /** By that pair: root of its tables, and the processor whose pages they hold. */
  private readonly slotRoot: Float64Array
  private readonly slotCpu: Int32Array
  /** Pairs of pages that no virtual CPU has. */
  private readonly vcpuSlots = Array.from({ length: L.VCPU_SLOTS }, (_, i) => L.VCPU_SLOTS - 1 - i)

  constructor({ machine, heap, clocks, log, trace, end, seed }: HostX86_64Parts) {
    const { ram } = machine
    if (clocks.length > L.MAX_CPUS) throw new RangeError(`the x86_64 host has room for ${L.MAX_CPUS} processors`)
    this.machine = machine
    const frames = new FrameAllocator(ram, heap, L.FREE_PA >>> 12, end >>> 12)
    const gates = new GateTable(ram, L.GATE_PA, L.GATE_STRIDE, L.GATES.length, heap.fresh)
    this.text = Array.from({ length: L.TEXT_PAGES }, (_, i) => L.TEXT_PA + i * 4096)
    this.pages = heap.f64(1 + clocks.length * L.CPU_USED)
    this.slotOf = heap.i32(MAX_TASKS)
    this.slotRoot = heap.f64(L.VCPU_SLOTS)
    this.slotCpu = heap.i32(L.VCPU_SLOTS)
    this.kernel = new HostKernel({
      machine,
      heap,
      frames,
      gates,
      clocks,
      log,
      trace,
      seed,
      requestReschedule: (cpu) => ram.write32(this.pagesOf(cpu)[L.CPU_PDA]! + PDA.fields.needResched.offset, 1),
    })
    this.registerGates()
    if (heap.fresh) this.build(frames)
  }

  private get root(): number {
    return this.pages[0]!
  }

  private pagesOf(cpu: number): Float64Array {
    const at = 1 + cpu * L.CPU_USED
    return this.pages.subarray(at, at + L.CPU_USED)
  }

  /** Physical address of a processor's PDA. */
  pdaOf(cpu: number): number {
    return this.pagesOf(cpu)[L.CPU_PDA]!
  }

  /** Address of a symbol of the host's text. */
  symbol(name: keyof typeof symbols): bigint {
    return fixed(L.TEXT_OFFSET + symbols[name])
  }

  // ----------------------------------------------------------------------------------------------------------- booting
  private build(frames: FrameAllocator): void {
    const { ram } = this.machine
    this.slotOf.fill(NONE)
    this.machine.setGates(L.GATE_PA, L.GATE_PA + L.GATES.length * L.GATE_STRIDE)
    ram.copyIn(L.TEXT_PA, machineCode(textCode))
    for (let i = 0; i < this.pages.length; i++) this.pages[i] = newRoot(frames)
    mapDirect(ram, frames, this.root, L.PAGE_OFFSET, ram.size)
    mapText(ram, frames, this.root, this.text)
    mapPage(ram, frames, this.root, fixed(L.GATE_OFFSET), L.GATE_PA, 0, false)
    for (let cpu = 0; cpu < this.kernel.cpus.length; cpu++) {
      const pages = this.pagesOf(cpu)
      mapProcessor(ram, frames, this.root, cpu, pages, HOST_WORLD)
      writeProcessorArea(ram, pages, cpu, this.root, (name) => this.symbol(name))
    }
    for (let cpu = 0; cpu < this.kernel.cpus.length; cpu++) this.boot(cpu)
  }

  /** A processor begins in its idle task. */
  private boot(cpu: number): void {
    const { ram } = this.machine
    const { processor } = this.kernel.cpus[cpu]!
    enterHost(processor, cpu, this.root, this.symbol("system_call"))
    const idle = this.createTask("idle", `idle ${cpu}`, this.symbol("idle_task"), 0n, BigInt(this.root))
    const pda = this.pagesOf(cpu)[L.CPU_PDA]!
    const stackTop = ram.readBig(idle.pa + L.TASK.fields.stackTop.offset)
    ram.writeBig(pda + PDA.fields.current.offset, direct(idle.pa))
    ram.writeBig(pda + PDA.fields.kernelStack.offset, stackTop)
    processor.setGpr(RSP, stackTop)
    processor.rip = this.symbol("idle_task")
    processor.flags = 2n
    processor.refresh()
    this.kernel.startProcessor(cpu, idle)
  }

  // ------------------------------------------------------------------------------------------------------------- tasks
  /**
   * A task whose kernel stack makes the first switch to it arrive at `entry` with `%r12` = `argument`. A process's user
   * frame is written on the stack above by the caller.
   */
  private createTask(kind: TaskKind, name: string, entry: bigint, argument: bigint, cr3: bigint, above = 0): Task {
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
    const task = this.kernel.addTask(kind, name, pa)
    ram.write32(pa + F.pid.offset, task.pid)
    return task
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
    this.kernel.wake(task)
    return task
  }

  /**
   * A virtual CPU's two pages, and the private copy of the fixed area's tables that its guest's roots hold: text, the tables
   * and stacks of the processor that it runs on, and these two pages. No gates, no other virtual CPU.
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
    mapText(ram, frames, guest, this.text)
    mapProcessor(ram, frames, guest, 0, this.pagesOf(0), GUEST_WORLD)
    mapVcpu(ram, frames, guest, slot, descriptor, state, GUEST_WORLD)
    this.slotRoot[slot] = guest
    this.slotCpu[slot] = 0

    ram.writeBig(descriptor + VCPU.fields.systemCall.offset, functions.systemCall)
    ram.writeBig(descriptor + VCPU.fields.trap.offset, functions.trap)
    ram.writeBig(descriptor + VCPU.fields.state.offset, stateVa)
    ram.writeBig(descriptor + VCPU.fields.stackTop.offset, stateVa + BigInt(VCPU_STATE.size))
    ram.write32(descriptor + VCPU.fields.index.offset, index)
    return { descriptor, state, fixedEntry: this.fixedEntry(guest), root: guest, slot, rom: 0 }
  }

  private fixedEntry(root: number): number {
    return (this.machine.ram.read32(root + 8 * L.FIXED_SLOT) | PTE_P | PTE_A | PTE_D) >>> 0
  }

  /** The task of a virtual CPU; the launcher's read makes it runnable. */
  createVcpuTask(pages: VcpuPages, name: string): Task {
    const { ram } = this.kernel
    // Its descriptor's address is the one in the fixed area, which both worlds map.
    const descriptorVa = descriptorAddress(pages.slot)
    const task = this.createTask("vcpu", name, this.symbol("vcpu_task"), descriptorVa, BigInt(this.root))
    ram.writeBig(task.pa + L.TASK.fields.vcpu.offset, descriptorVa)
    this.slotOf[task.pid] = pages.slot
    return task
  }

  /** Takes back what `createVcpuPages` and `createVcpuTask` gave. The task must not be running. */
  releaseVcpu(pages: VcpuPages, task: Task): void {
    const { ram, frames } = this.kernel
    this.kernel.remove(task)
    this.slotOf[task.pid] = NONE
    const descriptorVa = descriptorAddress(pages.slot)
    for (const va of [descriptorVa, descriptorVa + 4096n]) {
      unmapPage(ram, this.root, va)
      for (const { processor } of this.kernel.cpus) processor.exports.invalidate(va)
    }
    freeTables(ram, frames, pages.root)
    const stackTop = low(ram.readBig(task.pa + L.TASK.fields.stackTop.offset))
    for (const pa of [pages.descriptor, pages.state, task.pa, stackTop - 4096]) frames.release(pa / 4096)
    this.vcpuSlots.push(pages.slot)
  }

  /** What a module does for a virtual CPU's task; said in each thread. */
  setRunner(task: Task, runner: VcpuRunner): void {
    this.kernel.setRunner(task, runner)
  }

  // ------------------------------------------------------------------------------------------------------------- gates
  private registerGates(): void {
    const { kernel } = this
    const handlers: Record<L.GateName, () => void> = {
      hostSystemCall: () => this.systemCall(),
      hostTrap: () => this.trap(),
      hostInterrupt: () => this.interrupt(),
      hostNmi: () => undefined,
      schedule: () => this.schedule(),
      finishSwitch: () => kernel.finishSwitch(),
      vcpuPrepare: () => kernel.processor.setGprLoHi(RAX, kernel.runner.prepare() ? 1 : 0, 0),
      vcpuEvent: () => kernel.runner.event(),
      fatalTrap: () => this.fatal(),
    }
    L.GATES.forEach((name, i) => kernel.gates.register(i, handlers[name]))
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
    if (kernel.observed && kernel.trace.on) kernel.trace.interrupt(vector, vector === L.RESCHEDULE_VECTOR)
    if (vector === L.SPURIOUS_VECTOR) return
    kernel.cpu.clock.acknowledge()
    if (vector === L.TIMER_VECTOR) kernel.timerInterrupt()
  }

  private schedule(): void {
    const { kernel } = this
    const { processor, index } = kernel.cpu
    const before = this.slotOf[kernel.current.pid]!
    const next = kernel.pickNext()
    if (next === undefined) {
      processor.setGprLoHi(RAX, 0, 0)
      return
    }
    // No other guest has this page in its tables, and it is global (fixedArea.ts).
    if (before !== NONE) processor.exports.invalidate(descriptorAddress(before) + 4096n)
    const slot = this.slotOf[next.pid]!
    if (slot !== NONE && this.slotCpu[slot] !== index) this.moveVcpu(slot, index)
    const address = direct(next.pa)
    processor.setGprLoHi(RAX, low(address), Number(address >> 32n))
  }

  /** A virtual CPU comes to another processor: of the host its guest sees that one's tables, and the former's no more. */
  private moveVcpu(slot: number, cpu: number): void {
    const { ram, frames } = this.kernel
    const root = this.slotRoot[slot]!
    unmapProcessor(ram, root, this.slotCpu[slot]!)
    mapProcessor(ram, frames, root, cpu, this.pagesOf(cpu), GUEST_WORLD)
    this.slotCpu[slot] = cpu
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
