import {
  Board,
  DEVICE_LINES,
  type DevicesConfig,
  GuestFault,
  GuestMemory,
  noDevices,
  PciBus,
  type VirtioConsole,
} from "../devices/index.ts"
import { SUBARCH_PC } from "./bootParams.ts"
import { Chipset } from "./chipset/index.ts"
import * as S from "./core/state.ts"
import { BOOT_PARAMS_AT, type KernelImage, loadKernel } from "./load.ts"
import { Machine, type Traits } from "./machine.ts"
import { FIRMWARE_BEGIN, FIRMWARE_END, writeMpTable } from "./mpTable.ts"
import { processorPins } from "./pins.ts"
import { GPR_NAMES, type Processor, RDX, RSI } from "./processor.ts"
import { SharedHeap } from "./shared.ts"
import { type MachineState, NotNow, type Parts, restoreMachine, saveMachine } from "./snapshot.ts"
import { Turns } from "./turns.ts"

/*
 * A native PC: memory, processors, chipset and devices on a PCI bus, with a kernel loaded as docs/native-machine.md says.
 * No hypervisor and no firmware: what a PC's firmware would have set up is set up here, from outside. All processors run in
 * this thread, in turns (turns.ts).
 */

export interface NativePcConfig {
  /** The compiled core (dist/machine/core.wasm). */
  readonly core: WebAssembly.Module
  /** Bytes of memory, a multiple of 4096. */
  readonly memoryBytes: number
  /** 1 if nobody says more; with several there is an MP table. */
  readonly processors?: number
  /** Decides how several processors are interleaved; 0 if nobody says. */
  readonly seed?: number
  /** What its processors are like where models differ; off if nobody says. */
  readonly traits?: Traits | undefined
  readonly kernel: KernelImage
  readonly cmdline: string
  readonly initrd?: Uint8Array
  /** What the guest writes to its virtio console. */
  readonly consoleOut: (bytes: Uint8Array) => void
  /** Disks, network, randomness; none of the first two if this is not there. */
  readonly devices?: DevicesConfig
  /** What it writes to its serial port. */
  readonly serialOut?: (bytes: Uint8Array) => void
  /** Told of each exception and interrupt that a processor delivers; none: nothing is asked of it. */
  readonly watch?: (event: Delivery) => void
  /** Milliseconds since 1970; read once, at power-on. Simulated time goes on from there. */
  readonly clock: () => number
}

/** An exception or interrupt on its way to the kernel's handler. */
export interface Delivery {
  /** Which processor's. */
  readonly processor: number
  /** Simulated nanoseconds. */
  readonly now: number
  readonly vector: number
  /** 0 where the vector has none. */
  readonly error: number
  readonly rip: bigint
  /** Bytes at RIP, to the end of their page, fewer than 15 there; none if it is not mapped. */
  readonly instruction: Uint8Array
}

/** Why `run` came back. All but `budget` and `idle` are the end. */
export type PcEvent =
  | { readonly kind: "budget" }
  /** All processors are halted until an interrupt: by a timer at simulated nanosecond `until` (or Infinity), or by input. */
  | { readonly kind: "idle"; readonly until: number }
  | { readonly kind: "powerOff"; readonly status: number }
  | { readonly kind: "reset" }
  /** Triple fault, or HLT with interrupts off on all processors: nothing happens any more. */
  | { readonly kind: "dead"; readonly reason: string }
  /** The guest gave a device something impossible. */
  | { readonly kind: "killed"; readonly reason: string }

/** What lies below the kernel besides what load.ts puts there. */
const GDT_AT = 0x1000
const PAGE_TABLES_AT = 0x8000

const CODE = 0x10
const DATA = 0x18
/** Bytes 4..7 of flat descriptors: present, ring 0, accessed, 4 KiB granularity (SDM vol. 3, 3.4.5). */
const ATTR_CODE64 = 0x00a0_9b00
const ATTR_CODE32 = 0x00c0_9b00
const ATTR_DATA = 0x00c0_9300
const FLAT_LIMIT = 0xffff_ffff

const CR0_PROTECTED = 0x31n // PE, ET, NE
const CR0_PAGING = 0x8001_0000n // PG, WP
const CR4_PAE = 0x20n
const EFER_LONG = 0x500n // LME, LMA
const PTE_TABLE = 0x3 // present, writable
const PTE_LARGE = 0x83
/** Edge or level, a bit for each line of the 8259 pair. */
const ELCR_PORT = 0x4d0

const BUDGET: PcEvent = { kind: "budget" }

export class NativePc {
  readonly machine: Machine
  readonly chipset: Chipset
  readonly board: Board
  /** The one that boots. */
  readonly processor: Processor
  readonly turns: Turns
  private readonly heap = SharedHeap.create()
  /** Something a device has asked for; told at the end of the instruction. */
  private ending: PcEvent | undefined

  private constructor(config: NativePcConfig) {
    const { processors = 1 } = config
    const pci = new PciBus((line, level) => this.chipset.setIrq(line, level))
    this.chipset = new Chipset({
      heap: this.heap,
      processors,
      now: (cpu) => (cpu === 0 ? this.turns.boardTime : this.machine.processor(cpu).now),
      pins: processorPins(
        () => this.machine,
        (cpu) => this.turns.attention(cpu),
      ),
      power: {
        powerOff: (status) => this.end({ kind: "powerOff", status }),
        reset: () => this.end({ kind: "reset" }),
      },
      serial: (byte) => config.serialOut?.(Uint8Array.of(byte)),
      startSeconds: Math.floor(config.clock() / 1000),
      memoryBytes: config.memoryBytes,
      expansion: pci,
      rescheduled: () => this.turns.rescheduled(),
    })
    this.machine = Machine.create({
      core: config.core,
      ramBytes: config.memoryBytes,
      processors,
      bus: this.chipset,
      traits: config.traits,
    })
    this.processor = this.machine.processor(0)
    this.turns = new Turns(this.machine, this.chipset, config.seed ?? 0)
    this.board = new Board({
      ...(config.devices ?? noDevices()),
      pci,
      memory: new GuestMemory(this.machine.ram, 0, config.memoryBytes),
      consoleOut: config.consoleOut,
      now: () => this.now,
    })
    // PCI interrupts are level-triggered; firmware says so to the interrupt controllers.
    const level = DEVICE_LINES.reduce((mask, line) => mask | (1 << line), 0)
    this.chipset.pic.write(ELCR_PORT, level & 0xff)
    this.chipset.pic.write(ELCR_PORT + 1, level >> 8)
    const { watch } = config
    if (watch !== undefined)
      for (const cpu of this.machine.processors)
        cpu.watch((vector, error) => {
          const { index, now, rip } = cpu
          watch({ processor: index, now, vector, error, rip, instruction: this.bytesAt(cpu, rip) })
        })
    loadKernel({
      ram: this.machine.ram,
      base: 0,
      memoryBytes: config.memoryBytes,
      kernel: config.kernel,
      cmdline: config.cmdline,
      initrd: config.initrd,
      subarch: SUBARCH_PC,
      reserved: processors > 1 ? { begin: FIRMWARE_BEGIN, end: FIRMWARE_END } : undefined,
    })
    // EDX holds the signature after a reset.
    if (processors > 1) writeMpTable(this.machine.ram, processors, this.processor.gprLo(RDX))
    this.powerOn(config.kernel)
  }

  static create(config: NativePcConfig): NativePc {
    return new NativePc(config)
  }

  // ------------------------------------------------------------------------------------------------- boot state
  private powerOn(kernel: KernelImage): void {
    const { ram } = this.machine
    const cpu = this.processor
    const long = kernel.arch === "x86_64"
    const code = long ? ATTR_CODE64 : ATTR_CODE32
    const descriptor = (selector: number, attributes: number) =>
      ram.write64(GDT_AT + selector, 0xffff, attributes | 0xf0000)
    descriptor(CODE, code)
    descriptor(DATA, ATTR_DATA)
    cpu.setLong(S.GDTR_BASE, BigInt(GDT_AT))
    cpu.setWord(S.GDTR_LIMIT, DATA + 7)
    cpu.setLong(S.IDTR_BASE, 0n)
    cpu.setWord(S.IDTR_LIMIT, 0)
    for (const segment of [S.SEG_ES, S.SEG_SS, S.SEG_DS, S.SEG_FS, S.SEG_GS])
      cpu.setSegment(segment, DATA, 0n, FLAT_LIMIT, ATTR_DATA)
    cpu.setSegment(S.SEG_CS, CODE, 0n, FLAT_LIMIT, code)
    cpu.setWord(S.CPL, 0)
    cpu.setLong(S.CR0, CR0_PROTECTED | (long ? CR0_PAGING : 0n))
    if (long) {
      this.identityMap()
      cpu.setLong(S.CR3, BigInt(PAGE_TABLES_AT))
      cpu.setLong(S.CR4, CR4_PAE)
      cpu.setLong(S.MSR_EFER, EFER_LONG)
    }
    for (let register = 0; register < 16; register++) cpu.setGpr(register, 0n)
    cpu.setGpr(RSI, BigInt(BOOT_PARAMS_AT))
    cpu.flags = 2n
    cpu.rip = BigInt(kernel.entry)
    cpu.refresh()
    cpu.flushTlb(true)
  }

  /** One PML4, one PDPT, four page directories of 2 MiB pages: the first 4 GiB at their own addresses. */
  private identityMap(): void {
    const { ram } = this.machine
    const pdpt = PAGE_TABLES_AT + 0x1000
    const directories = PAGE_TABLES_AT + 0x2000
    ram.write64(PAGE_TABLES_AT, pdpt | PTE_TABLE, 0)
    for (let i = 0; i < 4; i++) ram.write64(pdpt + 8 * i, (directories + i * 0x1000) | PTE_TABLE, 0)
    for (let i = 0; i < 4 * 512; i++) ram.write64(directories + 8 * i, i * 0x20_0000 + PTE_LARGE, 0)
  }

  /** What lies at a linear address; its kernel's segments are flat. */
  private bytesAt(cpu: Processor, linear: bigint): Uint8Array {
    const pa = Number(cpu.exports.translate(linear, 0, 0, 0))
    const length = Math.min(15, 4096 - (pa & 0xfff))
    return pa >= 0 && pa + length <= this.machine.ram.size ? this.machine.ram.copyOut(pa, length) : new Uint8Array(0)
  }

  // ---------------------------------------------------------------------------------------------------- running
  private end(event: PcEvent): PcEvent {
    this.ending ??= event
    this.turns.current.attend(S.ATT_STOP)
    return this.ending
  }

  get console(): VirtioConsole {
    return this.board.console
  }

  /** Simulated nanoseconds since power-on: the first processor's time, which is the board's. */
  get now(): number {
    return this.processor.now
  }

  /** Executed by all processors. */
  get instructions(): number {
    return this.machine.processors.reduce((sum, cpu) => sum + cpu.instructions, 0)
  }

  private get parts(): Parts {
    const { chipset, turns, board } = this
    return { chipset, turns, board }
  }

  /** Everything, between two runs. Throws NotNow after an ending event. */
  save(): MachineState {
    if (this.ending) throw new NotNow("the machine is at its end")
    return saveMachine(this.machine, this.heap.share, this.parts)
  }

  /** Becomes a PC of the same configuration that was saved. Throws BadState. */
  restore(state: MachineState): void {
    restoreMachine(this.machine, this.heap.share, this.parts, state)
  }

  /** Runs at most `slice` instructions, of all processors together. After an ending event it returns that event again. */
  run(slice: number): PcEvent {
    const { turns } = this
    let left = slice
    if (!this.ending) this.guarded(() => this.board.poll())
    while (!this.ending) {
      const cpu = turns.next()
      if (cpu === undefined) {
        if (turns.hopeful) return { kind: "idle", until: turns.until }
        return this.end({ kind: "dead", reason: this.report(this.processor, "halted with interrupts off") })
      }
      if (left <= 0) return BUDGET
      const before = cpu.instructions
      const reason = this.guarded(() => turns.run(left))
      left -= cpu.instructions - before
      if (reason === S.EXIT_DEBUG) return BUDGET // whoever debugs looks at the processor himself
      if (reason === S.EXIT_SHUTDOWN) this.end({ kind: "dead", reason: this.report(cpu, "triple fault") })
    }
    return this.ending
  }

  /** Lets idle time pass until simulated nanosecond `until`. */
  skip(until: number): void {
    this.turns.skip(until)
  }

  /** Input for the virtio console. */
  input(bytes: Uint8Array): void {
    this.guarded(() => this.console.input(bytes))
  }

  /** A device's GuestFault ends the run; what else may be thrown is a bug and goes up. */
  private guarded<A>(work: () => A): A | undefined {
    try {
      return work()
    } catch (thrown) {
      if (!(thrown instanceof GuestFault)) throw thrown
      this.end({ kind: "killed", reason: thrown.message })
      return undefined
    }
  }

  /** One line on what a processor was doing. */
  private report(cpu: Processor, what: string): string {
    const who = this.machine.processorCount > 1 ? `processor ${cpu.index}: ` : ""
    const hex = (value: bigint) => value.toString(16)
    const names = cpu.word(S.MODE) === S.MODE_64 ? 16 : 8
    const registers = GPR_NAMES.slice(0, names).map((name, i) => `${name}=${hex(cpu.gpr(i))}`)
    return `${who}${what} at rip=${hex(cpu.rip)} cr2=${hex(cpu.long(S.CR2))} cr3=${hex(cpu.long(S.CR3))} ${registers.join(" ")}`
  }
}
