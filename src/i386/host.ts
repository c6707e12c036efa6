import type { EventLog } from "../host/eventLog.ts"
import { FrameAllocator } from "../host/frames.ts"
import { GateTable } from "../host/gates.ts"
import type { HostClock } from "../host/cpus.ts"
import { HostKernel, HostPanic } from "../host/kernel.ts"
import type { SharedHeap } from "../machine/shared.ts"
import { machineCode } from "../host/machineCode.ts"
import { systemCall } from "../host/systemCalls.ts"
import type { Task, TaskKind, VcpuRunner } from "../host/task.ts"
import type { TraceBuffers } from "../host/trace.ts"
import {
  CPL,
  CR0,
  CR3,
  CR4,
  GDTR_BASE,
  GDTR_LIMIT,
  IDTR_BASE,
  IDTR_LIMIT,
  MSR_EFER,
  PDPTE,
  SEG_CS,
  SEG_DS,
  SEG_ES,
  SEG_FS,
  SEG_GS,
  SEG_LDTR,
  SEG_SS,
  SEG_TR,
} from "../machine/core/state.ts"
import type { Machine } from "../machine/machine.ts"
import { RAX, RSP } from "../machine/processor.ts"
import { SWITCHER_ADDR } from "../paravirt_ops/lguest.ts"
import { descriptorAttributes, flatCode, flatData, smallData, tssBusy } from "./descriptors.ts"
import { code as textCode, symbols } from "./image.gen.ts"
import * as L from "./layout.ts"
import { HostPageTables, takeFrame } from "./pageTables.ts"
import { PROCESS_STACK_TOP, PROCESS_TEXT, SYS, SYSCALL_VECTOR } from "./process.ts"
import { code as processCode } from "./process.gen.ts"
import { KICK_LINE } from "./picClock.ts"
import { PTE_U, PTE_W } from "./shadow/format.ts"
import { pae, type TableFormat } from "./shadow/index.ts"
import { code as callPageCode } from "./callPage_32.gen.ts"
import { code as mappedSwitcherCode } from "./mappedSwitcher_32.gen.ts"
import { code as switcherCode } from "./switcher_32.gen.ts"
import { GDT_BYTES, GuestTables, IDT_BYTES, writeHostGdt, writeHostIdt, writeState } from "./tables.ts"
import { directMapLimit, HostPart, type HostPartChoices, type HostPartSources } from "./hostPart.ts"

/*
 * The i386 host: its page tables, descriptor tables, tasks and the functions behind its gates; the sibling of
 * host/x86_64/host.ts. There is no VCPU check here and nothing to count of one: while a guest runs the processor is on
 * other descriptor tables, so no entry of the host's can be meant for a guest.
 */

/** Physical addresses of a virtual CPU's descriptor (VCPU) and registers' page. */
export interface VcpuPages {
  readonly descriptor: number
  readonly regs: number
}

export interface HostI386Config {
  readonly machine: Machine
  readonly heap: SharedHeap
  readonly clock: HostClock
  readonly log: EventLog
  /** Physical address at which the host's own memory ends; the launcher's (guests' memory) lies above. */
  readonly end: number
  readonly format: TableFormat
  readonly trace?: TraceBuffers | undefined
  /** Virtual address of physical address 0: PAGE_OFFSET or MOVED_PAGE_OFFSET. */
  readonly pageOffset?: number
}

const SEGMENT_LIMIT = 0xffff_ffff
const CR0_HOST = 0x8001_0033n // PG WP NE ET MP PE
const CR4_PSE = 0x10n
const CR4_PAE = 0x20n

export class HostI386 {
  readonly kernel: HostKernel
  readonly format: TableFormat
  private readonly machine: Machine
  private readonly tables: HostPageTables
  /** This processor's own page: data, TSS, GDT, IDT. */
  private readonly cpuPa: number
  /** The second of its two pages in the Switcher's range. */
  private readonly statePa: number
  /** What the host's part of guests' address spaces is made of. */
  private readonly hostPartSources: HostPartSources
  /** Virtual address of physical address 0. */
  readonly pageOffset: number
  /** What of a guest's descriptors is on this processor. */
  readonly guestTables: GuestTables

  constructor({ machine, heap, clock, log, end, format, trace, pageOffset = L.PAGE_OFFSET }: HostI386Config) {
    const { ram } = machine
    if (end > directMapLimit(pageOffset)) throw new RangeError("the host's own memory does not fit below the Switcher")
    this.machine = machine
    this.format = format
    this.pageOffset = pageOffset
    const frames = new FrameAllocator(ram, heap, L.FREE_PA >>> 12, end >>> 12)
    const gates = new GateTable(ram, L.GATE_PA, L.GATE_STRIDE, L.GATES.length, heap.fresh)
    machine.setGates(L.GATE_PA, L.GATE_PA + L.GATES.length * L.GATE_STRIDE)
    ram.copyIn(L.TEXT_PA, machineCode(textCode))

    this.cpuPa = takeFrame(frames)
    this.statePa = takeFrame(frames)
    this.guestTables = new GuestTables(ram, this.statePa)
    this.tables = new HostPageTables(ram, frames, format, pageOffset)
    this.tables.mapDirect(end)
    /** Puts machine code into frames of its own, and maps it read-only. */
    const text = (code: string, pages: number, va: number): ReadonlyArray<number> => {
      const bytes = machineCode(code)
      return Array.from({ length: pages }, (_, i) => {
        const pa = takeFrame(frames)
        ram.copyIn(pa, bytes.subarray(i * 4096, (i + 1) * 4096))
        this.tables.map(va + i * 4096, pa, 0)
        return pa
      })
    }
    const switcherText = text(switcherCode, L.SWITCHER_TEXT_PAGES, SWITCHER_ADDR)
    const mappedSwitcherText = text(mappedSwitcherCode, L.SWITCHER_TEXT_PAGES, L.MAPPED_SWITCHER_ADDR)
    const callPage = takeFrame(frames)
    ram.copyIn(callPage, machineCode(callPageCode))
    this.hostPartSources = {
      ram,
      frames,
      format,
      tables: this.tables,
      pageOffset,
      switcherText,
      mappedSwitcherText,
      callPage,
      state: this.statePa,
    }
    this.tables.map(this.pages, takeFrame(frames), PTE_W)
    this.tables.map(this.pages + 4096, this.statePa, PTE_W)

    const needResched = this.cpuPa + L.CPU_PERCPU + L.PERCPU.fields.needResched.offset
    this.kernel = new HostKernel({
      machine,
      heap,
      frames,
      gates,
      clocks: [clock],
      log,
      trace,
      seed: 0,
      requestReschedule: () => ram.write32(needResched, 1),
    })
    this.writeTables()
    this.registerGates()
    this.boot()
  }

  /** Physical address of what this processor finds at %fs:0. */
  get perCpuPa(): number {
    return this.cpuPa + L.CPU_PERCPU
  }

  /** Virtual address of this processor's two pages. */
  private get pages(): number {
    return L.SWITCHER_PAGES_ADDR
  }

  /** Virtual address in the direct map. */
  virtual(pa: number): number {
    return this.pageOffset + pa
  }

  private physical(va: number): number {
    return va - this.pageOffset
  }

  /** Address of a symbol of the host's text. */
  private symbol(name: keyof typeof symbols): number {
    return this.virtual(L.TEXT_PA + symbols[name])
  }

  private writeTables(): void {
    const { ram } = this.machine
    const cpu = this.virtual(this.cpuPa)
    writeHostGdt(ram, this.cpuPa + L.CPU_GDT, cpu + L.CPU_TSS, cpu + L.CPU_PERCPU)
    // Breakpoints, overflow and system calls may be raised by any program; INT with any other number is a protection fault.
    writeHostIdt(ram, this.cpuPa + L.CPU_IDT, this.symbol("vectors"), [3, 4, SYSCALL_VECTOR])
    const tss = this.cpuPa + L.CPU_TSS
    ram.write16(tss + L.TSS.fields.ss0.offset, L.KERNEL_DS)
    ram.write16(tss + L.TSS.fields.ioMapBase.offset, L.TSS.size)
    const percpu = this.cpuPa + L.CPU_PERCPU
    ram.write32(percpu + L.PERCPU.fields.tss.offset, cpu + L.CPU_TSS)
    ram.write32(percpu + L.PERCPU.fields.pages.offset, this.pages)
    writeState(ram, this.statePa, this.pages, cpu + L.CPU_GDT, cpu + L.CPU_IDT)
  }

  /** What the host's boot code would have done: protected mode with paging, its tables, the idle task. */
  private boot(): void {
    const { processor, ram } = this.kernel
    const wide = this.format === pae
    const cpu = this.virtual(this.cpuPa)
    processor.setLong(CR0, CR0_HOST)
    processor.setLong(CR4, wide ? CR4_PAE : CR4_PSE)
    processor.setLong(MSR_EFER, 0n)
    processor.setLong(CR3, BigInt(this.tables.cr3))
    if (wide) for (let i = 0; i < 4; i++) processor.setLong(PDPTE + 8 * i, ram.readBig(this.tables.cr3 + 8 * i))
    processor.setWord(CPL, 0)
    const data = descriptorAttributes(flatData(0))
    for (const segment of [SEG_SS, SEG_DS, SEG_ES]) processor.setSegment(segment, L.KERNEL_DS, 0n, SEGMENT_LIMIT, data)
    processor.setSegment(SEG_CS, L.KERNEL_CS, 0n, SEGMENT_LIMIT, descriptorAttributes(flatCode(0)))
    const own = BigInt(cpu + L.CPU_PERCPU)
    processor.setSegment(SEG_FS, L.PERCPU_SELECTOR, own, L.PERCPU.size - 1, descriptorAttributes(smallData))
    processor.setSegment(SEG_GS, 0, 0n, 0, 0)
    processor.setSegment(SEG_LDTR, 0, 0n, 0, 0)
    const tss = BigInt(cpu + L.CPU_TSS)
    processor.setSegment(SEG_TR, L.TSS_SELECTOR, tss, L.TSS.size - 1, descriptorAttributes(tssBusy))
    processor.setLong(GDTR_BASE, BigInt(cpu + L.CPU_GDT))
    processor.setWord(GDTR_LIMIT, GDT_BYTES - 1)
    processor.setLong(IDTR_BASE, BigInt(cpu + L.CPU_IDT))
    processor.setWord(IDTR_LIMIT, IDT_BYTES - 1)

    const idle = this.createTask("idle", "idle", this.symbol("idle_task"), this.tables.cr3)
    const stackTop = ram.read32(idle.pa + L.TASK.fields.stackTop.offset)
    ram.write32(this.cpuPa + L.CPU_PERCPU + L.PERCPU.fields.current.offset, this.virtual(idle.pa))
    ram.write32(this.cpuPa + L.CPU_TSS + L.TSS.fields.esp0.offset, stackTop)
    processor.setGpr(RSP, BigInt(stackTop))
    processor.rip = BigInt(this.symbol("idle_task"))
    processor.flags = 2n
    processor.refresh()
    this.kernel.startProcessor(0, idle)
  }

  /** A task whose kernel stack makes the first switch to it arrive at `entry`, with `above` bytes left above for a frame. */
  private createTask(kind: TaskKind, name: string, entry: number, cr3: number, above = 0): Task {
    const { ram, frames } = this.kernel
    const pa = takeFrame(frames)
    const stack = takeFrame(frames)
    const F = L.TASK.fields
    const top = this.virtual(stack) + 4096
    // schedule pops %edi %esi %ebp %ebx and returns.
    const esp = top - above - 5 * 4
    ram.write32(this.physical(esp) + 4 * 4, entry)
    ram.write32(pa + F.esp.offset, esp)
    ram.write32(pa + F.stackTop.offset, top)
    ram.write32(pa + F.cr3.offset, cr3)
    const task = this.kernel.addTask(kind, name, pa)
    ram.write32(pa + F.pid.offset, task.pid)
    return task
  }

  /** Starts the host's own process: ring 3, its own address space, system calls by INT 0x80. */
  startProcess(): Task {
    const { ram, frames } = this.kernel
    const tables = new HostPageTables(ram, frames, this.format, this.pageOffset, this.tables)
    const text = takeFrame(frames)
    ram.copyIn(text, machineCode(processCode))
    tables.map(PROCESS_TEXT, text, PTE_U)
    tables.map(PROCESS_STACK_TOP - 4096, takeFrame(frames), PTE_U | PTE_W)
    const task = this.createTask("process", "heartbeat", this.symbol("process_task"), tables.cr3, L.FRAME.size)
    const frame = this.physical(ram.read32(task.pa + L.TASK.fields.stackTop.offset)) - L.FRAME.size
    const F = L.FRAME.fields
    ram.write32(frame + F.ds.offset, L.USER_DS)
    ram.write32(frame + F.es.offset, L.USER_DS)
    ram.write32(frame + F.eip.offset, PROCESS_TEXT)
    ram.write32(frame + F.cs.offset, L.USER_CS)
    ram.write32(frame + F.eflags.offset, 0x202)
    ram.write32(frame + F.esp.offset, PROCESS_STACK_TOP)
    ram.write32(frame + F.ss.offset, L.USER_DS)
    this.kernel.wake(task)
    return task
  }

  // ---------------------------------------------------------------------------------------------------- virtual CPUs
  /** A virtual CPU's pages. */
  createVcpuPages(): VcpuPages {
    const { ram, frames } = this.kernel
    const descriptor = takeFrame(frames)
    const regs = takeFrame(frames)
    ram.write32(descriptor + L.VCPU.fields.regs.offset, this.virtual(regs))
    return { descriptor, regs }
  }

  /** The host's part of the address space of a guest of that design, with these pages of its virtual CPU. */
  createHostPart(choices: HostPartChoices, pages: VcpuPages): HostPart {
    return new HostPart(this.hostPartSources, choices, pages.descriptor, pages.regs)
  }

  /** The task of a virtual CPU; the launcher's read makes it runnable. */
  createVcpuTask(pages: VcpuPages, name: string, runner: VcpuRunner): Task {
    const { ram } = this.kernel
    const task = this.createTask("vcpu", name, this.symbol("vcpu_task"), this.tables.cr3)
    ram.write32(task.pa + L.TASK.fields.vcpu.offset, this.virtual(pages.descriptor))
    this.kernel.setRunner(task, runner)
    return task
  }

  /** Takes back what `createVcpuPages` and `createVcpuTask` gave. The task must not be running. */
  releaseVcpu(pages: VcpuPages, task: Task): void {
    const { ram, frames } = this.kernel
    this.kernel.remove(task)
    this.guestTables.forget()
    const stackTop = this.physical(ram.read32(task.pa + L.TASK.fields.stackTop.offset))
    for (const pa of [pages.descriptor, pages.regs, task.pa, stackTop - 4096]) frames.release(pa / 4096)
  }

  // ------------------------------------------------------------------------------------------------------------ gates
  private registerGates(): void {
    const handlers: Record<L.GateName, () => void> = {
      hostSystemCall: () => this.systemCall(),
      hostTrap: () => this.trap(),
      hostInterrupt: () => this.interrupt(),
      schedule: () => this.schedule(),
      finishSwitch: () => this.kernel.finishSwitch(),
      vcpuPrepare: () => this.kernel.processor.setGprLoHi(RAX, this.kernel.runner.prepare() ? 1 : 0, 0),
      vcpuEvent: () => this.kernel.runner.event(),
      fatalTrap: () => this.fatal(),
    }
    L.GATES.forEach((name, i) => this.kernel.gates.register(i, handlers[name]))
  }

  /** Physical address of the frame that the stub passed in %eax. */
  private frame(): number {
    return this.physical(this.kernel.processor.gprLo(RAX))
  }

  private systemCall(): void {
    const { ram } = this.kernel
    const frame = this.frame()
    const F = L.FRAME.fields
    const result = systemCall(this.kernel, SYS, ram.read32(frame + F.eax.offset), ram.read32(frame + F.ebx.offset))
    ram.write32(frame + F.eax.offset, result)
  }

  /** A host process did what it may not: it ends, as it would with a signal that it does not handle. */
  private trap(): void {
    this.kernel.endCurrent()
  }

  private interrupt(): void {
    const { kernel } = this
    const vector = kernel.ram.read32(this.frame() + L.FRAME.fields.vector.offset)
    kernel.statistics.hostInterrupts++
    if (kernel.observed && kernel.trace.on) kernel.trace.interrupt(vector, vector === L.PIC_VECTOR + KICK_LINE)
    if (vector < L.PIC_VECTOR || vector === L.SPURIOUS_MASTER || vector === L.SPURIOUS_SLAVE) return
    kernel.cpu.clock.acknowledge()
    if (vector === L.PIC_VECTOR) kernel.timerInterrupt()
  }

  private schedule(): void {
    const { processor } = this.kernel
    const next = this.kernel.pickNext()
    processor.setGprLoHi(RAX, next === undefined ? 0 : this.virtual(next.pa), 0)
  }

  private fatal(): void {
    const { ram } = this.kernel
    const F = L.FRAME.fields
    const frame = this.frame()
    const eip = ram.read32(frame + F.eip.offset)
    throw new HostPanic(`exception ${ram.read32(frame + F.vector.offset)} in the host at 0x${eip.toString(16)}`)
  }
}
