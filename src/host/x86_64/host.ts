import { type Choices, LGUEST64 } from "../../design/dimensions.ts"
import type { Machine } from "../../machine/machine.ts"
import { RAX, RDI, RSP } from "../../machine/processor.ts"
import type { SharedHeap } from "../../machine/shared.ts"
import type { HostEntries } from "../../mmu4/interface.ts"
import { HYPERCALL_VECTOR } from "../../paravirt_ops/lguest64.ts"
import { PDA } from "../../pda/index.ts"
import { code as callPageCode } from "../../vcpu/callPage_64.gen.ts"
import type { HostClock } from "../cpus.ts"
import type { EventLog } from "../eventLog.ts"
import { FrameAllocator } from "../frames.ts"
import { GateTable } from "../gates.ts"
import { HostKernel, HostPanic } from "../kernel.ts"
import { machineCode } from "../machineCode.ts"
import { systemCall } from "../systemCalls.ts"
import { MAX_TASKS, NONE, type Task, type TaskKind, type VcpuRunner } from "../task.ts"
import type { TraceBuffers } from "../trace.ts"
import { descriptorAddress, fixed, hostWorld, mapProcessor, mapText, taskAddress, type World } from "./fixedArea.ts"
import { type HostImage, imageOf, type SymbolName } from "./images.ts"
import * as L from "./layout.ts"
import { makeTables, mapDirect, mapPage, newRoot, PTE_U, PTE_W, unmapPage } from "./pageTables.ts"
import { enterHost, writeProcessorArea } from "./processorArea.ts"
import { PROCESS_STACK_TOP, PROCESS_TEXT, SYS } from "./process.ts"
import { code as processCode } from "./process.gen.ts"
import { openGate } from "./tables.ts"
import { VcpuPagesTable, type VcpuPages } from "./vcpuPages.ts"

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
  /** Where entry code finds the VCPU, and where memory is mapped: for all guests alike. Default: LGUEST64's. */
  readonly design?: Pick<Choices, "vcpu" | "pageOffset"> | undefined
  /** Machine code in place of that which belongs to the design, for whoever wants to compare. */
  readonly image?: HostImage | undefined
}

export type { VcpuPages } from "./vcpuPages.ts"

/** What of the address space a guest must leave alone. */
export interface Reserved {
  readonly slot: number
  /** First and last address. */
  readonly start: bigint
  readonly end: bigint
}

const low = (address: bigint) => Number(address & 0xffffffffn)

export class HostX86_64 {
  readonly kernel: HostKernel
  /** PML4 slot at which all memory is mapped, and the address of physical address 0 there. */
  readonly directMapSlot: number
  readonly pageOffset: bigint
  private readonly image: HostImage
  private readonly world: World
  /** The address by which machine code knows a task. */
  private readonly addressOf: (task: Task) => bigint
  private readonly machine: Machine
  /** [0]: the host's root. [1 + cpu * CPU_USED + page]: a processor's pages. Physical addresses. */
  private readonly pages: Float64Array
  private readonly text: ReadonlyArray<number>
  private readonly vcpus: VcpuPagesTable
  /** Task of a virtual CPU -> its pair of pages in the fixed area, or NONE. */
  private readonly slotOf: Int32Array
  private readonly mapsTasks: boolean

  constructor({ machine, heap, clocks, log, trace, end, seed, design = LGUEST64, image }: HostX86_64Parts) {
    const { ram } = machine
    const { vcpu } = design
    if (clocks.length > L.MAX_CPUS) throw new RangeError(`the x86_64 host has room for ${L.MAX_CPUS} processors`)
    this.machine = machine
    this.directMapSlot = design.pageOffset === "host-moves" ? L.MOVED_DIRECT_MAP_SLOT : L.DIRECT_MAP_SLOT
    this.pageOffset = L.slotAddress(this.directMapSlot)
    this.image = image ?? imageOf(vcpu)
    this.world = hostWorld(vcpu)
    this.mapsTasks = vcpu === "task"
    this.addressOf = this.mapsTasks ? ({ pid }) => taskAddress(pid) : ({ pa }) => this.direct(pa)
    const frames = new FrameAllocator(ram, heap, L.FREE_PA >>> 12, end >>> 12)
    const gates = new GateTable(ram, L.GATE_PA, L.GATE_STRIDE, L.GATES.length, heap.fresh)
    this.text = Array.from({ length: L.TEXT_PAGES }, (_, i) => L.TEXT_PA + i * 4096)
    this.pages = heap.f64(1 + clocks.length * L.CPU_USED)
    this.slotOf = heap.i32(MAX_TASKS)
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
    this.vcpus = new VcpuPagesTable(heap, vcpu, {
      ram,
      frames,
      text: this.text,
      root: () => this.root,
      pagesOf: (cpu) => this.pagesOf(cpu),
      symbol: (name) => this.symbol(name),
      direct: (pa) => this.direct(pa),
      forget: (va) => this.forget(va),
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
  symbol(name: SymbolName): bigint {
    return fixed(L.TEXT_OFFSET + this.image.symbols[name])
  }

  private direct(pa: number): bigint {
    return this.pageOffset + BigInt(pa)
  }

  /** No processor's TLB has anything of the page at `va` any more. */
  private forget(va: bigint): void {
    for (const { processor } of this.kernel.cpus) processor.exports.invalidate(va)
  }

  // ----------------------------------------------------------------------------------------------------------- booting
  private build(frames: FrameAllocator): void {
    const { ram } = this.machine
    this.slotOf.fill(NONE)
    this.machine.setGates(L.GATE_PA, L.GATE_PA + L.GATES.length * L.GATE_STRIDE)
    ram.copyIn(L.TEXT_PA, machineCode(this.image.code))
    ram.copyIn(L.CALL_PAGE_PA, machineCode(callPageCode))
    for (let i = 0; i < this.pages.length; i++) this.pages[i] = newRoot(frames)
    mapDirect(ram, frames, this.root, this.pageOffset, ram.size)
    mapText(ram, frames, this.root, this.text)
    mapPage(ram, frames, this.root, fixed(L.GATE_OFFSET), L.GATE_PA, 0, false)
    mapPage(ram, frames, this.root, fixed(L.KNOWN_OFFSET), L.ZERO_PA, 0, true)
    // Guests' tables may have these below their own, so none is made later.
    for (let i = 0; i < L.FIXED_TABLES; i++) makeTables(ram, frames, this.root, fixed(i * L.TABLE_BYTES))
    for (let cpu = 0; cpu < this.kernel.cpus.length; cpu++) {
      const pages = this.pagesOf(cpu)
      mapProcessor(ram, frames, this.root, cpu, pages, this.world)
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
    ram.writeBig(pda + PDA.fields.current.offset, this.addressOf(idle))
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
    const top = this.direct(stack) + 4096n
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
    if (this.mapsTasks) this.mapTask(task)
    return task
  }

  /** The number may have been another's before. */
  private mapTask(task: Task): void {
    const { ram, frames } = this.kernel
    mapPage(ram, frames, this.root, taskAddress(task.pid), task.pa, PTE_W, true)
    this.forget(taskAddress(task.pid))
  }

  /** Starts the host's own process: ring 3, its own address space, system calls by SYSCALL. */
  startProcess(): Task {
    const { ram, frames } = this.kernel
    const root = newRoot(frames)
    for (const slot of [this.directMapSlot, L.FIXED_SLOT])
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

  /** What a virtual CPU of a guest of this design needs of the host, all but its task. */
  createVcpuPages(index: number, design: Choices): VcpuPages {
    const pages = this.vcpus.create(index, design)
    // INT is the guest's kernel's door: at ring 3 any program's, and then its module has to tell who knocks.
    if (design.hypercall !== "syscall" || design.interruptFlag === "rom") this.openHypercallGates(design.ring)
    return pages
  }

  private openHypercallGates(ring: Choices["ring"]): void {
    for (let cpu = 0; cpu < this.kernel.cpus.length; cpu++)
      for (const idt of [L.CPU_IDT, L.CPU_GUEST_IDT])
        openGate(this.kernel.ram, this.pagesOf(cpu)[idt]!, HYPERCALL_VECTOR, ring)
  }

  /** The slots of guests' roots that are the host's, and their entries. */
  hostEntries(pages: ReadonlyArray<VcpuPages>, design: Choices): HostEntries {
    const fixedEntry = (_slot: number, vcpu: number, userView: boolean) =>
      userView ? pages[vcpu]!.userEntry : pages[vcpu]!.fixedEntry
    const none = () => 0
    if (design.host !== "everything") return { slots: [L.FIXED_SLOT], entryLo: fixedEntry, entryHi: none }
    const directEntry = this.vcpus.entryOf(this.root, this.directMapSlot)
    return {
      slots: [this.directMapSlot, L.FIXED_SLOT],
      entryLo: (slot, vcpu, userView) => (slot === L.FIXED_SLOT ? fixedEntry(slot, vcpu, userView) : directEntry),
      entryHi: none,
    }
  }

  /** The addresses that a guest of this design must leave alone. */
  reserved(design: Choices): ReadonlyArray<Reserved> {
    const slots = design.host === "everything" ? [this.directMapSlot, L.FIXED_SLOT] : [L.FIXED_SLOT]
    return slots.map((slot) => ({ slot, start: L.slotAddress(slot), end: L.slotAddress(slot) + (1n << 39n) - 1n }))
  }

  /** The task of a virtual CPU; the launcher's read makes it runnable. */
  createVcpuTask(pages: VcpuPages, name: string): Task {
    const { ram } = this.kernel
    // Its descriptor's address is the one in the fixed area, which both worlds map.
    const descriptorVa = descriptorAddress(pages.slot)
    const task = this.createTask("vcpu", name, this.symbol("vcpu_task"), descriptorVa, BigInt(this.root))
    ram.writeBig(task.pa + L.TASK.fields.vcpu.offset, descriptorVa)
    this.slotOf[task.pid] = pages.slot
    if (this.mapsTasks) this.vcpus.mapTask(pages, taskAddress(task.pid), task.pa)
    return task
  }

  /** Takes back what `createVcpuPages` and `createVcpuTask` gave. The task must not be running. */
  releaseVcpu(pages: VcpuPages, task: Task): void {
    const { ram, frames } = this.kernel
    this.kernel.remove(task)
    this.slotOf[task.pid] = NONE
    this.vcpus.release(pages)
    if (this.mapsTasks) {
      unmapPage(ram, this.root, taskAddress(task.pid))
      this.forget(taskAddress(task.pid))
    }
    const stackTop = low(ram.readBig(task.pa + L.TASK.fields.stackTop.offset))
    for (const pa of [task.pa, stackTop - 4096]) frames.release(pa / 4096)
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
      hostNmi: () => this.nmi(),
      schedule: () => this.schedule(),
      finishSwitch: () => kernel.finishSwitch(),
      vcpuPrepare: () => kernel.processor.setGprLoHi(RAX, kernel.runner.prepare() ? 1 : 0, 0),
      vcpuEvent: () => kernel.runner.event(),
      fatalTrap: () => this.fatal(),
      vcpuResume: () => kernel.processor.setGprLoHi(RAX, this.resume() ? 1 : 0, 0),
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
    const fromUser = (kernel.ram.read32(frame + F.cs.offset) & 3) !== 0
    if (fromUser && this.slotOf[kernel.currentPid] === NONE) kernel.statistics.vcpuNull++
    const vector = kernel.ram.read32(frame + F.vector.offset)
    if (kernel.observed && kernel.trace.on) kernel.trace.interrupt(vector, vector === L.RESCHEDULE_VECTOR)
    if (vector === L.SPURIOUS_VECTOR) return
    kernel.cpu.clock.acknowledge()
    if (vector === L.TIMER_VECTOR) kernel.timerInterrupt()
  }

  /** It goes back to where it came from, which may be a guest: that one is still inside for whoever wants it out. */
  private nmi(): void {
    const { kernel } = this
    if (this.slotOf[kernel.currentPid] !== NONE) kernel.runner.interrupted?.()
  }

  /** An interrupt has been handled on top of a guest, which goes on if its module has nothing against it. */
  private resume(): boolean {
    const { kernel } = this
    if (this.slotOf[kernel.currentPid] === NONE)
      throw new HostPanic(`an interrupt of ${kernel.current.name}'s came in by the door of a guest`)
    const goesOn = kernel.runner.resume?.() === true
    if (goesOn) kernel.statistics.vcpuTaken++
    return goesOn
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
    if (slot !== NONE && this.vcpus.cpuOf(slot) !== index) this.vcpus.move(slot, index)
    const address = this.addressOf(next)
    processor.setGprLoHi(RAX, low(address), Number(address >> 32n))
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
