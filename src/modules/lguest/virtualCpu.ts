import type { Death, Pending } from "../../host/devLguest.ts"
import type { Task, VcpuRunner } from "../../host/task.ts"
import type { HostI386, VcpuPages } from "../../i386/host.ts"
import { couldBeSyscall } from "../../i386/idt.ts"
import { TRAP_IN_IRET, TRAP_IN_SWITCHER, VCPU } from "../../i386/layout.ts"
import { GuestRegisters } from "../../i386/registers.ts"
import { FIXED, GUEST_FAULT, KILL, MMIO } from "../../i386/shadow/index.ts"
import { GUEST_PL, IRQ_TIMER, LGUEST_DATA, LGUEST_TRAP_ENTRY } from "../../paravirt_ops/lguest.ts"
import { GuestKill, kill } from "../death.ts"
import type { Guest } from "./guest.ts"
import { hypercall } from "./hypercalls.ts"
import * as observe from "./observe.ts"
import { type InterruptFlag, interruptFlag } from "./interruptFlag.ts"
import { KernelMemory } from "./kernelMemory.ts"
import { isPortAccess } from "./instruction.ts"
import { deliver, deliverInterrupts } from "./interrupts.ts"
import { keptByHost, loadedOnEntry, type UseRoot } from "./roots.ts"
import { Fields, type State } from "../../machine/snapshot.ts"

const D = LGUEST_DATA.fields

const NMI = 2
const DEVICE_NOT_AVAILABLE = 7
const DOUBLE_FAULT = 8
const GENERAL_PROTECTION = 13
const PAGE_FAULT = 14
/** Vectors whose frames have an error code (SDM vol. 3, table 6-1). */
const HAS_ERROR = 0x227d00
const FIRST_HARDWARE_VECTOR = 32
/** Bytes of INT 0x1f. */
const HYPERCALL_LENGTH = 2
/** RDTSC counts simulated nanoseconds. */
const TSC_KHZ = 1_000_000

/** What lives from one gate to the next; a frame that is being pushed does not. */
const FIELDS = new Fields({
  numbers: [
    "data",
    "stackSegment",
    "stackPointer",
    "stackPages",
    "unpinned",
    "noirqIret",
    "pendingInterrupts",
    "nextAsync",
    "past",
  ],
  flags: ["pinned", "halted", "taskSwitched", "interruptsOn", "pins"],
})

/*
 * The virtual CPU of an lguest guest: what the module does at the two gates of its task. `prepare` makes registers, shadow
 * and descriptors fit to be entered; `event` looks at what the registers say afterwards. In between, machine code runs.
 */
export class VirtualCpu implements VcpuRunner {
  readonly guest: Guest
  readonly host: HostI386
  readonly task: Task
  readonly registers: GuestRegisters
  /** Memory as its kernel sees it. */
  readonly memory: KernelMemory
  /** The ABI of lguest knows no other virtual CPU. */
  readonly up = true
  /** Arguments of the hypercall in service, and of one from the ring. */
  readonly args = new Uint32Array(4)
  readonly asyncArgs = new Uint32Array(4)
  /** Host-physical address of lguest_data, -1 before LGUEST_INIT. */
  data = -1
  /** SET_STACK: where events arrive that interrupt a process. */
  stackSegment = 0
  stackPointer = 0
  private stackPages = 0
  /** Whether all of its pages are in the shadow, and the address of one that is not. */
  private pinned = false
  private unpinned = 0
  /** Address of the guest's one IRET that must not be interrupted in the ordinary way. */
  noirqIret = 0
  /** Virtual interrupts raised and not delivered. */
  pendingInterrupts = 0
  nextAsync = 0
  halted = false
  taskSwitched = false
  /** Where its interrupt flag is; and the flag itself, if it is the host's. */
  readonly flag: InterruptFlag
  interruptsOn = false
  /** What the launcher's read has to return with; the guest does not run while it is set. */
  pending: Pending | undefined
  /** Bytes by which %eip is past the instruction that is being served. */
  private past = 0
  readonly descriptor: number
  private readonly useRoot: UseRoot
  /** Whether the processor may push frames on its kernel's stack by itself, and whether it can by now. */
  private readonly straight: boolean
  private pins = false

  constructor(guest: Guest, host: HostI386, pages: VcpuPages) {
    this.guest = guest
    this.host = host
    this.descriptor = pages.descriptor
    this.registers = new GuestRegisters(host.kernel.ram, pages.regs)
    this.memory = new KernelMemory(host.kernel.ram, guest, this.registers)
    this.task = host.createVcpuTask(pages, "vcpu 0", this)
    const { design, hostPart } = guest
    this.flag = interruptFlag(design.interruptFlag)
    this.useRoot = hostPart.keepsTables ? keptByHost : loadedOnEntry
    this.straight = design.events === "straight"
  }

  get initialized(): boolean {
    return this.data >= 0
  }

  // ------------------------------------------------------------------------------------------------------- the gates
  prepare(): boolean {
    try {
      return this.ready()
    } catch (e) {
      this.die(e)
      return false
    }
  }

  private ready(): boolean {
    this.past = 0
    if (this.pending !== undefined) return this.sleep()
    if (this.pendingInterrupts !== 0) deliverInterrupts(this)
    if (this.halted) return this.sleep()
    const { guest, host, registers } = this
    const { ram } = host.kernel
    if (this.pins) this.keepStackMapped()
    host.guestTables.load(guest.gdt, guest.idt, this.stackSegment, this.stackPointer)
    registers.trapNumber = TRAP_IN_SWITCHER
    const root = guest.shadow.root()
    this.useRoot(this, root)
    ram.write32(this.descriptor + VCPU.fields.taskSwitched.offset, this.taskSwitched ? 1 : 0)
    if (host.kernel.observed) observe.enter(this, root)
    return true
  }

  timer(): void {
    this.interrupt(IRQ_TIMER)
  }

  private sleep(): boolean {
    this.task.runnable = false
    return false
  }

  event(): void {
    const { kernel } = this.host
    kernel.statistics.worldSwitches++
    try {
      this.handle(this.registers.trapNumber)
    } catch (e) {
      this.die(e)
    }
  }

  private handle(vector: number): void {
    const { registers: r, guest, host } = this
    const { statistics, observed } = host.kernel
    if (observed) observe.leave(this, vector)
    if (vector === TRAP_IN_SWITCHER || vector === TRAP_IN_IRET)
      kill(`segment registers that cannot be loaded (cs 0x${r.cs.toString(16)}, ss 0x${r.ss.toString(16)})`)
    if (vector >= FIRST_HARDWARE_VECTOR) {
      // An interrupt was handled by the host's own handler already; the guest's system calls have a gate in its IDT.
      if (couldBeSyscall(vector) && guest.idt.present(vector)) this.systemCall(vector)
      return
    }
    if (vector === NMI) return
    statistics.guestTraps[vector]!++
    if (observed) observe.trap(this, vector)
    switch (vector) {
      case LGUEST_TRAP_ENTRY:
        this.past = HYPERCALL_LENGTH
        hypercall(this)
        return
      case PAGE_FAULT:
        this.pageFault()
        return
      case GENERAL_PROTECTION:
        this.generalProtection()
        return
      case DEVICE_NOT_AVAILABLE:
        // TS was the host's if the guest did not ask for it: the instruction is just run again.
        if (this.taskSwitched) this.reflectTrap(vector, 0)
        return
      case DOUBLE_FAULT:
        kill(
          this.pinned
            ? "a double fault"
            : `a double fault: nothing is mapped at 0x${this.unpinned.toString(16)}, its kernel's stack`,
        )
        return
      default:
        this.reflectTrap(vector, r.errorCode)
    }
  }

  /** A system call through an interrupt gate, which cannot go directly. */
  private systemCall(vector: number): void {
    const { kernel } = this.host
    kernel.statistics.reflectedSystemCalls++
    if (kernel.observed) observe.systemCall(this)
    deliver(this, vector, false, 0)
  }

  private die(e: unknown): void {
    if (!(e instanceof GuestKill)) throw e
    this.leave({ kind: "killed", death: this.death(e.message) })
  }

  death(cause: string): Death {
    const { registers: r } = this
    r.eip = (r.eip - this.past) >>> 0
    this.past = 0
    return { cause, address: r.eipText(), instruction: this.memory.instruction(), bits: 32 }
  }

  /** Gives the launcher something to do; the guest stops until it has. */
  leave(pending: Pending): void {
    const { kernel } = this.host
    this.pending = pending
    kernel.asked = true
    if (kernel.observed && kernel.trace.on)
      kernel.trace.pending(pending.kind, pending.kind === "io" ? pending.address : 0)
  }

  // ------------------------------------------------------------------------------------------------------ the events
  private reflectTrap(vector: number, error: number): void {
    this.host.kernel.statistics.reflectedTraps++
    deliver(this, vector, ((HAS_ERROR >>> vector) & 1) !== 0, error)
  }

  private pageFault(): void {
    const { kernel } = this.host
    const { ram } = kernel
    const { shadow } = this.guest
    const address = ram.read32(this.descriptor + VCPU.fields.cr2.offset)
    const error = this.registers.errorCode
    const outcome = shadow.pageFault(address, error)
    if (kernel.observed) observe.fault(this, outcome, error, address)
    switch (outcome) {
      case FIXED:
        return
      case GUEST_FAULT:
        if (this.initialized) this.setShared(D.cr2.offset, address)
        this.reflectPageFault(address, shadow.faultError)
        return
      case MMIO:
        this.forward(PAGE_FAULT, shadow.mmio)
        return
      case KILL:
        kill(shadow.reason)
    }
  }

  private reflectPageFault(address: number, error: number): void {
    if (!this.initialized || !this.guest.idt.present(PAGE_FAULT))
      kill(`a page fault at 0x${address.toString(16)} (error code 0x${error.toString(16)}) and no handler for it`)
    this.reflectTrap(PAGE_FAULT, error)
  }

  /** IN and OUT in the kernel are for devices; everything else that needs ring 0 is the guest's own mistake. */
  private generalProtection(): void {
    const { registers: r } = this
    if (r.errorCode === 0 && (r.cs & 3) === GUEST_PL && isPortAccess(this.memory.instruction()))
      this.forward(GENERAL_PROTECTION, 0)
    else this.reflectTrap(GENERAL_PROTECTION, r.errorCode)
  }

  private forward(trap: 13 | 14, address: number): void {
    this.host.kernel.statistics.forwarded++
    this.leave({ kind: "io", trap, address, instruction: this.memory.instruction(), bits: 32 })
  }

  // --------------------------------------------------------------------------------------------- the launcher's side
  /** Raises a virtual interrupt. */
  interrupt(irq: number): void {
    this.pendingInterrupts |= 1 << irq
    if (this.pending === undefined) this.host.kernel.notify(this.task)
  }

  /** Delivers an exception in place of an instruction that the launcher could not carry out. */
  injectTrap(vector: number, error: number): void {
    try {
      this.reflectTrap(vector, error)
      if (this.pending?.kind === "io") this.pending = undefined
    } catch (e) {
      this.die(e)
    }
  }

  // ----------------------------------------------------------------------------------------------------- lguest_data
  /** LGUEST_INIT: `gpa` has been checked. */
  initialize(gpa: number): void {
    this.data = this.guest.base + gpa
    this.setShared(D.reserveMem.offset, 2 ** 32 - this.guest.hostPart.top)
    this.setShared(D.tscKhz.offset, TSC_KHZ)
    this.writeTime()
  }

  writeTime(): void {
    this.guest.writeTime(this.data, this.host.kernel.now)
  }

  shared(offset: number): number {
    return this.host.kernel.ram.read32(this.data + offset)
  }

  setShared(offset: number, value: number): void {
    this.host.kernel.ram.write32(this.data + offset, value)
  }

  /** The ROM's page: only asked where there is one. */
  rom(offset: number): number {
    return this.host.kernel.ram.read32(this.guest.hostPart.romData + offset)
  }

  setRom(offset: number, value: number): void {
    this.host.kernel.ram.write32(this.guest.hostPart.romData + offset, value)
  }

  // --------------------------------------------------------------------------------------------- the guest's memory
  /** SET_STACK. */
  setStack(ss: number, esp: number, pages: number): void {
    this.stackSegment = ss
    this.stackPointer = esp
    this.stackPages = pages
    this.unpinned = 0
    this.pinned = false
    this.pins = this.straight
  }

  /**
   * A direct trap pushes its frame without asking the host: if its stack were not in the shadow, the page fault would find
   * no stack either, and that is a double fault, which "is deeply unfair" as lguest put it. lguest killed a guest at once for
   * a stack that it had not mapped; here that is its own affair until it runs a process.
   */
  private keepStackMapped(): void {
    const { shadow } = this.guest
    // Making room for one page of the stack may throw the other one away, but not twice.
    for (let i = 0; i < 2 && (shadow.takeDisturbed() || !this.pinned); i++) this.pinStack()
    if (!this.pinned && (this.registers.cs & 3) !== GUEST_PL)
      kill(`a process runs, but the kernel's stack at 0x${this.unpinned.toString(16)} is not mapped for writing`)
  }

  private pinStack(): void {
    const base = this.guest.gdt.base(this.stackSegment)
    this.pinned = true
    for (let i = 0; i < this.stackPages; i++) {
      const gva = (base + this.stackPointer - 1 - i * 4096) >>> 0
      if (this.guest.shadow.kernelPage(gva, true) >= 0) continue
      this.pinned = false
      this.unpinned = gva
    }
  }

  /** Its next instruction is elsewhere, whatever it has just asked for. */
  goTo(eip: number): void {
    this.registers.eip = eip
    this.past = 0
  }

  advance(length: number): void {
    const { registers: r } = this
    r.eip = (r.eip + length) >>> 0
  }

  save(): State {
    return FIELDS.save(this)
  }

  restore(state: State): void {
    FIELDS.restore(this, state)
  }
}
