import type { Bus } from "../bus.ts"
import { Cmos } from "./cmos.ts"
import type { ProcessorPins } from "../pins.ts"
import type { SharedHeap } from "../shared.ts"
import { APIC_PAGE, APIC_PAGE_SIZE, LocalApics } from "./localApics.ts"
import { PicPair } from "./pic8259.ts"
import { Pit8254 } from "./pit8254.ts"
import {
  DIAGNOSTIC_PORT,
  FAST_GATE_PORT,
  KEYBOARD_COMMAND,
  KEYBOARD_DATA,
  Power,
  POWER_OFF_PORT,
  type PowerEvents,
  RESET_PORT,
} from "./power.ts"
import { Uart16550 } from "./uart16550.ts"
import { Fields, type State } from "../snapshot.ts"

/** Interrupt lines as a PC wires them. */
const IRQ_TIMER = 0
const IRQ_COM1 = 4
const IRQ_RTC = 8

const COM1 = 0x3f8
const PCI_ADDRESS = 0xcf8
const PCI_DATA_END = 0xd00

/** All that a port or an address nobody answers reads as. */
const openRead = (size: number): number => (size === 4 ? 0xffffffff : 2 ** (8 * size) - 1)

/** What hangs on the chipset's other side: ports 0xCF8..0xCFF and a window of addresses (src/devices). */
export interface ExpansionBus {
  readonly windowBegin: number
  readonly windowEnd: number
  portRead(port: number, size: number): number
  portWrite(port: number, size: number, value: number): void
  mmioRead(address: number, size: number): number
  mmioWrite(address: number, size: number, value: number): void
}

export interface ChipsetConfig {
  /** Holds the APICs' state. Of the other devices each thread has its own, and only one thread uses them. */
  readonly heap: SharedHeap
  readonly processors: number
  /** A processor's own time, simulated nanoseconds. The board has that of processor 0. */
  readonly now: (cpu: number) => number
  readonly pins: ProcessorPins
  readonly power: PowerEvents
  /** Bytes that the serial port sent. */
  readonly serial: (byte: number) => void
  /** Seconds since 1970 at simulated time 0. */
  readonly startSeconds: number
  readonly memoryBytes: number
  readonly expansion?: ExpansionBus
  /** A timer may have been moved: whoever sleeps or runs until `nextEvent` asks again. */
  readonly rescheduled?: () => void
}

/** The APICs' state is in the heap. */
const FIELDS = new Fields({ parts: ["pic", "pit", "com1", "cmos", "power"] })

/**
 * P:130 Around the processor is a board: interrupt controllers, a timer, a clock, a serial port, as an IBM engineer of
 * 1984 would recognise them, and for each processor a local APIC, by which processors interrupt one another. The Host
 * drives these; its Guests never see them.
 *
 * The devices of a PC's board, joined into the bus that the processors are plugged into.
 */
export class Chipset implements Bus {
  readonly pic: PicPair
  readonly pit: Pit8254
  readonly com1: Uart16550
  readonly cmos: Cmos
  readonly apics: LocalApics
  readonly power: Power
  private readonly now: () => number
  private readonly expansion: ExpansionBus | undefined
  private readonly rescheduled: () => void

  constructor(config: ChipsetConfig) {
    const now = () => config.now(0)
    this.now = now
    this.expansion = config.expansion
    this.rescheduled = config.rescheduled ?? (() => undefined)
    this.apics = new LocalApics(config.heap, config.processors, config.now, config.pins)
    const bootApic = this.apics.of(0)
    this.pic = new PicPair((level) => bootApic.setLint0(level))
    this.pit = new Pit8254(now, (level) => this.pic.setLine(IRQ_TIMER, level))
    this.com1 = new Uart16550((level) => this.pic.setLine(IRQ_COM1, level), config.serial)
    this.cmos = new Cmos(now, (level) => this.pic.setLine(IRQ_RTC, level), config.startSeconds, config.memoryBytes)
    this.power = new Power(config.power)
  }

  /** Drives interrupt line 0..15 of the 8259 pair. */
  setIrq(line: number, level: boolean): void {
    this.pic.setLine(line, level)
  }

  /**
   * Absolute nanosecond of the next event of the board's timers, or of processor 0's own, that can interrupt it; or
   * Infinity. (Other processors have only their APIC's: `apics.of(cpu)`.) A masked timer has none, so that nobody who
   * sleeps until then wakes for nothing; unmasking brings it back, and its state is always computed.
   */
  nextEvent(now: number): number {
    const pit = this.pic.listens(IRQ_TIMER) ? this.pit.nextEvent() : Infinity
    const rtc = this.pic.listens(IRQ_RTC) ? this.cmos.nextEvent(now) : Infinity
    return Math.min(pit, rtc, this.apics.of(0).nextEvent())
  }

  /** Lets the board's timers and processor 0's see that it is `now`. */
  advance(now: number): void {
    this.pit.advance(now)
    this.cmos.advance(now)
    this.apics.of(0).advance(now)
  }

  // ------------------------------------------------------------------------------------------------------ ports
  portIn(_cpu: number, port: number, size: number): number {
    if (this.expansion && port >= PCI_ADDRESS && port < PCI_DATA_END && !(port === RESET_PORT && size === 1))
      return this.expansion.portRead(port, size)
    if (size === 1) return this.in8(port)
    // The board's devices are 8 bits wide: a wider access is so many accesses to consecutive ports.
    let value = 0
    for (let i = size - 1; i >= 0; i--) value = (value << 8) | this.in8((port + i) & 0xffff)
    return value >>> 0
  }

  portOut(_cpu: number, port: number, size: number, value: number): void {
    if (port === POWER_OFF_PORT) this.power.writePowerOff(size, value)
    else if (this.expansion && port >= PCI_ADDRESS && port < PCI_DATA_END && !(port === RESET_PORT && size === 1))
      this.expansion.portWrite(port, size, value >>> 0)
    else for (let i = 0; i < size; i++) this.out8((port + i) & 0xffff, (value >>> (8 * i)) & 0xff)
  }

  private in8(port: number): number {
    switch (port) {
      case 0x20:
      case 0x21:
      case 0xa0:
      case 0xa1:
      case 0x4d0:
      case 0x4d1:
        this.advance(this.now()) // the timers' lines must be up to date
        return this.pic.read(port)
      case 0x40:
      case 0x41:
      case 0x42:
      case 0x43:
      case 0x61:
        return this.pit.read(port)
      case 0x70:
      case 0x71:
        return this.cmos.read(port)
      case KEYBOARD_DATA:
      case KEYBOARD_COMMAND:
      case FAST_GATE_PORT:
      case DIAGNOSTIC_PORT:
      case RESET_PORT:
        return this.power.read(port)
    }
    return port >= COM1 && port < COM1 + 8 ? this.com1.read(port - COM1) : openRead(1)
  }

  private out8(port: number, value: number): void {
    switch (port) {
      case 0x20:
      case 0x21:
      case 0xa0:
      case 0xa1:
      case 0x4d0:
      case 0x4d1:
        this.advance(this.now())
        this.pic.write(port, value)
        this.rescheduled()
        return
      case 0x40:
      case 0x41:
      case 0x42:
      case 0x43:
      case 0x61:
        this.pit.write(port, value)
        this.rescheduled()
        return
      case 0x70:
      case 0x71:
        this.cmos.write(port, value)
        this.rescheduled()
        return
      case KEYBOARD_DATA:
      case KEYBOARD_COMMAND:
      case FAST_GATE_PORT:
      case DIAGNOSTIC_PORT:
      case RESET_PORT:
        this.power.write(port, value)
        return
    }
    if (port >= COM1 && port < COM1 + 8) this.com1.write(port - COM1, value)
  }

  // ------------------------------------------------------------------------------------------------------- MMIO
  mmioRead(cpu: number, address: number, size: number): number {
    if (address >= APIC_PAGE && address < APIC_PAGE + APIC_PAGE_SIZE)
      return this.apics.read(cpu, address - APIC_PAGE, size)
    const bus = this.expansion
    if (bus && address >= bus.windowBegin && address < bus.windowEnd) return bus.mmioRead(address, size)
    return openRead(size)
  }

  mmioWrite(cpu: number, address: number, size: number, value: number): void {
    if (address >= APIC_PAGE && address < APIC_PAGE + APIC_PAGE_SIZE) {
      this.apics.write(cpu, address - APIC_PAGE, size, value)
      this.rescheduled()
      return
    }
    const bus = this.expansion
    if (bus && address >= bus.windowBegin && address < bus.windowEnd) bus.mmioWrite(address, size, value >>> 0)
  }

  interruptAcknowledge(cpu: number): number {
    const apic = this.apics.of(cpu)
    const own = apic.acknowledge()
    const vector = own >= 0 ? own : apic.takesExternal ? this.pic.acknowledge() : -1
    this.rescheduled() // the timer that it came from may strike again
    return vector
  }

  save(): State {
    return FIELDS.save(this)
  }

  restore(state: State): void {
    FIELDS.restore(this, state)
  }
}
