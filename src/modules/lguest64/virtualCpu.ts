import { type FaultResult, KILL, type VcpuMmu } from "../../mmu4/index.ts"
import { RDI } from "../../machine/processor.ts"
import type { Death, Pending } from "../../host/devLguest.ts"
import type { Task, VcpuRunner } from "../../host/task.ts"
import type { SharedHeap } from "../../machine/shared.ts"
import type { Ram } from "../../machine/ram.ts"
import type { HostX86_64, VcpuPages } from "../../host/x86_64/host.ts"
import {
  HCALL_FREE,
  HCALL_RING_SIZE,
  IRET_FRAME,
  IRQ_TIMER,
  LGUEST_SHARED,
  ROM_DATA,
} from "../../paravirt_ops/lguest64.ts"
import { EventFrames } from "../../syscall/frames.ts"
import { isCanonical } from "../../syscall/address.ts"
import { GuestRegisters } from "../../vcpu/index.ts"
import { GuestKill, kill } from "../death.ts"
import { type HypercallDoor, hypercallDoor } from "./door.ts"
import type { Guest64 } from "./guest.ts"
import { GuardedWrite } from "./guardedWrite.ts"
import { KernelMemory } from "./kernelMemory.ts"
import type { Selectors } from "./selectors.ts"
import { VcpuWords } from "./vcpuWords.ts"
import { type InterruptFlag, interruptFlag } from "./interruptFlag.ts"
import { handleEvent, reflectTrap } from "./events.ts"
import { HypercallArguments, runAsynchronous } from "./hypercalls.ts"
import * as observe from "./observe.ts"
import { deliver, deliverInterrupts, sanitizedFlags, waiting } from "./interrupts.ts"
import { HOST_END_HI, HOST_END_LO, HOST_START_HI, HOST_START_LO } from "./range.ts"

const S = LGUEST_SHARED.fields
const ROM = ROM_DATA.fields

const GENERAL_PROTECTION = 13
/** RDTSC counts simulated nanoseconds. */
const TSC_KHZ = 1_000_000
const ABI_VERSION = 1

/** A 64-bit address. */
interface Halves {
  readonly lo: number
  readonly hi: number
}

/*
 * One virtual CPU of an lguest64 guest: what the module does at the two gates of its task. `prepare` makes the state page
 * fit to be entered; `event` looks at what it says afterwards. In between, machine code runs.
 */
export class VirtualCpu64 implements VcpuRunner {
  readonly guest: Guest64
  readonly host: HostX86_64
  readonly task: Task
  readonly registers: GuestRegisters
  readonly memory: KernelMemory
  readonly frames: EventFrames
  readonly args = new HypercallArguments()
  /** Scratch for hypercall IRET. */
  readonly iretFrame = new Uint32Array(IRET_FRAME.size >>> 2)
  readonly mmu: VcpuMmu
  readonly index: number
  /** Before a line of the log: which virtual CPU, where there are several. */
  readonly label: string
  readonly words: VcpuWords
  /** What the launcher's read has to return with; the guest does not run while it is set. */
  pending: Pending | undefined
  readonly guarded: GuardedWrite
  readonly flag: InterruptFlag
  readonly door: HypercallDoor
  readonly selectors: Selectors
  private readonly ram: Ram
  /** Host-physical address of its page of the ROM. */
  private readonly romPa: number

  constructor(guest: Guest64, host: HostX86_64, heap: SharedHeap, index: number, pages: VcpuPages, task: Task) {
    const { ram } = host.kernel
    this.ram = ram
    this.guest = guest
    this.host = host
    this.index = index
    this.label = guest.shadow.vcpus.length > 1 ? `vcpu ${index} ` : ""
    this.mmu = guest.shadow.vcpus[index]!
    this.words = new VcpuWords(heap)
    this.registers = new GuestRegisters(ram, pages.state, pages.descriptor)
    this.memory = new KernelMemory(ram, guest.base, guest.shadow, this.mmu)
    this.frames = new EventFrames(ram, this.memory)
    this.guarded = new GuardedWrite(this)
    this.flag = interruptFlag(guest.design)
    this.door = hypercallDoor(guest.design)
    this.selectors = guest.selectors
    this.romPa = pages.rom
    this.task = task
    host.setRunner(task, this)
  }

  get up(): boolean {
    return this.words.up
  }

  get halted(): boolean {
    return this.words.halted
  }

  get pendingInterrupts(): number {
    return this.words.pendingInterrupts
  }

  get userView(): boolean {
    return this.words.userView
  }

  get sharedPa(): number {
    return this.words.sharedPa
  }

  // --------------------------------------------------------------------------------------------------- the gates
  prepare(): boolean {
    try {
      return this.ready()
    } catch (e) {
      this.die(e)
      return false
    }
  }

  /**
   * H:110 On the way in. Is there anything that stops this virtual CPU: a launcher that owes an answer, a HALT? Is
   * there an interrupt to deliver first? Then the registers that IRETQ will load are made harmless, the root of the
   * shadow is chosen, and the gate says yes.
   */
  private ready(): boolean {
    const { kernel } = this.host
    const { words } = this
    if (kernel.pauses.asked) {
      kernel.asked = true
      return false
    }
    if (this.pending !== undefined) return this.sleep()
    if (words.userView) runAsynchronous(this)
    this.deliverWaiting()
    if (words.halted) {
      this.sleep()
      // Who raises an interrupt looks whether we sleep after that; so we look for interrupts after having gone to sleep.
      if (waiting(this) === 0) return false
      this.task.runnable = true
      this.deliverWaiting()
      if (words.halted) return this.sleep()
    }
    if (!isCanonical(this.registers.ripHi)) this.returnNowhere()
    this.arm()
    const root = this.mmu.rootFor(words.userView)
    this.registers.setRoot(root)
    kernel.enterGuest(this.guest.number)
    this.guest.worldChange.entering(this)
    if (kernel.observed) observe.enter(this, root)
    return true
  }

  /** An interrupt has been handled in the guest's own world (entry_64.S). */
  resume(): boolean {
    return this.guest.worldChange.mayResume(this)
  }

  /** An NMI goes back into the guest without asking whether it may. */
  interrupted(): void {
    this.host.kernel.enterGuest(this.guest.number)
  }

  private deliverWaiting(): void {
    if (this.words.pendingInterrupts === 0 || this.guarded.active) return
    runAsynchronous(this)
    deliverInterrupts(this)
  }

  /**
   * M:030 Then the frame by which you are entered. If you could have ring 0's selector in there for the length of one
   * IRETQ, you would be the Host.
   *
   * What IRETQ will load is never what an event happened to leave in the frame: SYSCALL's stub pushes the host's own
   * selectors there, and a guest may run with any selector of ring 3.
   */
  private arm(): void {
    const { registers, selectors } = this
    if (this.userView) registers.setSelectors(selectors.userCs, selectors.userDs)
    else registers.setSelectors(selectors.kernelCs, selectors.kernelDs)
    registers.setFlags(sanitizedFlags(registers.flags) | this.flag.bits(this))
  }

  private sleep(): boolean {
    this.task.runnable = false
    return false
  }

  /**
   * M:050 A famous one: by way of SYSRET it worked against several systems at once in 2012 (CVE-2012-0217). Return to an
   * address that is no address, and the fault comes in the wrong ring.
   *
   * IRETQ to a non-canonical address would fault in ring 0, with the guest's registers in place: the trap that x86_64
   * sets for every kernel that returns where it was told to. A process gets the #GP that it deserves; a kernel is
   * killed.
   */
  private returnNowhere(): void {
    if (!this.userView) kill("its kernel went on at an address that is not canonical")
    deliver(this, GENERAL_PROTECTION, true, 0)
  }

  event(): void {
    const { kernel } = this.host
    kernel.statistics.worldSwitches++
    kernel.statistics.vcpuTaken++
    this.flag.left(this, this.registers.flags)
    try {
      handleEvent(this, this.registers.vector)
    } catch (e) {
      this.die(e)
    }
  }

  private die(e: unknown): void {
    if (!(e instanceof GuestKill)) throw e
    this.leave({ kind: "killed", death: this.death(e.message) })
  }

  death(cause: string): Death {
    return { cause, address: this.registers.ripText(), instruction: this.instruction(), bits: 64 }
  }

  /** Gives the launcher something to do; the guest stops until it has. */
  leave(pending: Pending): void {
    const { kernel } = this.host
    this.pending = pending
    kernel.asked = true
    if (kernel.observed && kernel.trace.on)
      kernel.trace.pending(pending.kind, pending.kind === "io" ? pending.address : 0)
  }

  // ------------------------------------------------------------------------------------------- the launcher's side
  /** Raises a virtual interrupt. */
  interrupt(irq: number): void {
    this.words.raise(irq)
    if (this.pending === undefined) this.host.kernel.notify(this.task)
  }

  timer(): void {
    this.interrupt(IRQ_TIMER)
  }

  /** The launcher could not carry out an instruction: the guest gets an exception for it. */
  injectTrap(vector: number, error: number): void {
    this.pending = undefined
    try {
      reflectTrap(this, vector, error)
    } catch (e) {
      this.die(e)
    }
  }

  /** LGUEST_INIT. */
  initialize(gpa: number): void {
    const { ram, now } = this.host.kernel
    const pa = this.guest.base + gpa
    // From now on it is written to at any time.
    if (this.guest.shadow.keepData?.(gpa, LGUEST_SHARED.size) === false) kill("the shared page is a page table")
    ram.write32(pa + S.tscKhz.offset, TSC_KHZ)
    ram.write32(pa + S.vcpuIndex.offset, this.index)
    ram.write32(pa + S.vcpuCount.offset, this.guest.vcpus.length)
    ram.write32(pa + S.abiVersion.offset, ABI_VERSION)
    ram.fill(pa + S.hcallStatus.offset, HCALL_RING_SIZE, HCALL_FREE)
    ram.write64(pa + S.reservedStart.offset, HOST_START_LO, HOST_START_HI)
    ram.write64(pa + S.reservedEnd.offset, HOST_END_LO, HOST_END_HI)
    this.guest.writeTime(pa, now)
    this.words.sharedPa = pa
  }

  /** The guest's beginning, on its first virtual CPU: the linear view, all registers 0. */
  begin(entry: number): void {
    this.clear(entry, 0)
    this.mmu.linear()
    this.words.bringUp()
    this.words.isUp()
  }

  /** VCPU_UP by virtual CPU `by`: as the ABI says. */
  start(by: VirtualCpu64, shared: number, entry: Halves, stack: Halves): void {
    this.clear(entry.lo, entry.hi)
    this.registers.setGpr(RDI, this.index, 0)
    this.registers.setRsp(stack.lo, stack.hi)
    this.initialize(shared)
    this.flag.set(this, false)
    if (by.mmu.isLinear) this.mmu.linear()
    else by.checked(this.mmu.newRoot(by.mmu.pgd))
    this.words.isUp()
    this.host.kernel.wake(this.task)
  }

  private clear(entryLo: number, entryHi: number): void {
    for (let i = 0; i < 16; i++) this.registers.setGpr(i, 0, 0)
    this.registers.setRip(entryLo, entryHi)
    this.registers.setFlags(sanitizedFlags(0))
    this.registers.setFsBase(0, 0)
    this.setView(false)
  }

  // ---------------------------------------------------------------------------------------------- the shared page
  shared(offset: number): number {
    return this.ram.read32(this.sharedPa + offset)
  }

  setShared(offset: number, value: number): void {
    this.ram.write32(this.sharedPa + offset, value)
  }

  /** The ROM's words, on the virtual CPU's page of it (ROM_DATA). */
  romFlag(): number {
    return this.ram.read32(this.romPa + ROM.irqEnabled.offset)
  }

  setRomFlag(value: number): void {
    this.ram.write32(this.romPa + ROM.irqEnabled.offset, value)
  }

  setRomPending(value: number): void {
    this.ram.write32(this.romPa + ROM.irqPending.offset, value)
  }

  // ---------------------------------------------------------------------------------------------------- the views
  /** Kernel or user: the GS base goes with the view; selectors and root are chosen at entry. */
  setView(user: boolean): void {
    const { words } = this
    words.userView = user
    if (user) this.registers.setGsBase(words.userGsLo, words.userGsHi)
    else this.registers.setGsBase(words.kernelGsLo, words.kernelGsHi)
  }

  setKernelGs(lo: number, hi: number): void {
    this.words.kernelGsLo = lo
    this.words.kernelGsHi = hi
    this.setView(this.userView)
  }

  setUserGs(lo: number, hi: number): void {
    this.words.userGsLo = lo
    this.words.userGsHi = hi
    this.setView(this.userView)
  }

  /** The result of a call to the MMU that may find the guest's tables impossible. */
  checked(result: FaultResult): void {
    if (result.kind === KILL) kill(result.reason)
  }

  /** Up to 15 bytes at the instruction pointer, fewer where the next page is not mapped. */
  instruction(): Uint8Array {
    return this.memory.instruction(this.registers)
  }

  retreat(length: number): void {
    const { registers: r } = this
    const lo = r.ripLo - length
    r.setRip(lo >>> 0, (r.ripHi - (lo < 0 ? 1 : 0)) >>> 0)
  }

  advance(length: number): void {
    const { registers: r } = this
    const lo = r.ripLo + length
    r.setRip(lo >>> 0, (r.ripHi + (lo > 0xffff_ffff ? 1 : 0)) >>> 0)
  }
}
