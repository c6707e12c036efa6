import { Fields, type State } from "../machine/snapshot.ts"

/*
 * A PCI bus (PCI Local Bus 3.0) behind a host bridge with configuration mechanism #1: the driver writes bus, device,
 * function and register to port 0xCF8 and reads or writes the register at 0xCFC..0xCFF. One bus, 32 devices, one function
 * each. Base addresses are given out when a device is plugged in, as firmware does; the driver may move them.
 */

/** Where devices' memory lies: above any guest's memory, below the APICs. */
export const PCI_WINDOW_BEGIN = 0xf000_0000
export const PCI_WINDOW_END = 0xf100_0000

const ADDRESS_PORT = 0xcf8
const DATA_PORT = 0xcfc
const ADDRESS_ENABLE = 0x8000_0000
const ADDRESS_WRITABLE = 0x80ff_fffc

/** Registers of the type 0 header (6.1), and their widths. */
export const PCI_CONFIG = {
  vendor: 0x00,
  device: 0x02,
  command: 0x04,
  status: 0x06,
  revision: 0x08,
  classCode: 0x09,
  headerType: 0x0e,
  bar0: 0x10,
  subsystemVendor: 0x2c,
  subsystem: 0x2e,
  capabilities: 0x34,
  interruptLine: 0x3c,
  interruptPin: 0x3d,
  /** First byte that belongs to the device. */
  end: 0x40,
} as const

export const COMMAND_MEMORY = 0x0002
export const COMMAND_MASTER = 0x0004
const COMMAND_NO_INTX = 0x0400
const COMMAND_WRITABLE = 0x0406
const STATUS_INTERRUPT = 0x08
const STATUS_CAPABILITIES = 0x10

export interface PciIdentity {
  readonly vendor: number
  readonly device: number
  readonly revision: number
  /** Class, subclass, programming interface: 24 bits. */
  readonly classCode: number
  readonly subsystemVendor: number
  readonly subsystem: number
}

const FUNCTION_FIELDS = new Fields({ numbers: ["bar"], flags: ["asking"], arrays: ["config"] })

/** A function's configuration space and interrupt pin; devices extend it. */
export class PciFunction {
  readonly config = new Uint8Array(256)
  /** Which bits software may write. */
  protected readonly writable = new Uint8Array(256)
  /** Bytes that base address register 0 decodes (a power of two), 0: none. */
  readonly barBytes: number
  private bar = 0
  private capabilityEnd: number = PCI_CONFIG.end
  private lastCapability = 0
  /** Does the device ask for an interrupt? */
  private asking = false
  private drive: (level: boolean) => void = () => undefined

  constructor(identity: PciIdentity, barBytes: number) {
    this.barBytes = barBytes
    this.put(PCI_CONFIG.vendor, 2, identity.vendor)
    this.put(PCI_CONFIG.device, 2, identity.device)
    this.put(PCI_CONFIG.revision, 1, identity.revision)
    this.put(PCI_CONFIG.classCode, 3, identity.classCode)
    this.put(PCI_CONFIG.subsystemVendor, 2, identity.subsystemVendor)
    this.put(PCI_CONFIG.subsystem, 2, identity.subsystem)
    this.allow(PCI_CONFIG.command, 2, COMMAND_WRITABLE)
    this.allow(PCI_CONFIG.interruptLine, 1, 0xff) // a note from firmware to driver, with no effect
    // Address bits below the size read 0: that is how a driver learns the size.
    if (barBytes > 0) this.allow(PCI_CONFIG.bar0, 4, -barBytes)
  }

  protected put(register: number, bytes: number, value: number): void {
    for (let i = 0; i < bytes; i++) this.config[register + i] = value >>> (8 * i)
  }

  protected allow(register: number, bytes: number, mask: number): void {
    for (let i = 0; i < bytes; i++) this.writable[register + i] = mask >>> (8 * i)
  }

  protected get(register: number, bytes: number): number {
    let value = 0
    for (let i = bytes - 1; i >= 0; i--) value = (value << 8) | this.config[register + i]
    return value >>> 0
  }

  /** Appends a capability (6.7) of `bytes` bytes; returns its offset. */
  protected addCapability(id: number, bytes: number): number {
    const offset = this.capabilityEnd
    this.capabilityEnd += (bytes + 3) & ~3
    this.config[offset] = id
    if (this.lastCapability) this.config[this.lastCapability + 1] = offset
    else this.config[PCI_CONFIG.capabilities] = offset
    this.config[PCI_CONFIG.status] |= STATUS_CAPABILITIES
    this.lastCapability = offset
    return offset
  }

  /** What firmware does: base address, interrupt line, decoding on. */
  install(base: number, line: number, drive: (level: boolean) => void): void {
    this.drive = drive
    if (line) {
      this.put(PCI_CONFIG.interruptLine, 1, line)
      this.put(PCI_CONFIG.interruptPin, 1, 1)
    }
    if (this.barBytes > 0) {
      this.put(PCI_CONFIG.bar0, 4, base)
      this.put(PCI_CONFIG.command, 2, COMMAND_MEMORY | COMMAND_MASTER)
    }
    this.decode()
  }

  private decode(): void {
    const on = this.barBytes > 0 && (this.get(PCI_CONFIG.command, 2) & COMMAND_MEMORY) !== 0
    this.bar = on ? this.get(PCI_CONFIG.bar0, 4) & -this.barBytes : 0
  }

  /** Offset of a physical address in this function's memory, or -1. */
  offsetOf(address: number): number {
    const base = this.bar >>> 0
    return base !== 0 && address >= base && address < base + this.barBytes ? address - base : -1
  }

  /** May the device read and write memory? */
  get busMaster(): boolean {
    return (this.get(PCI_CONFIG.command, 2) & COMMAND_MASTER) !== 0
  }

  readConfig(register: number, size: number): number {
    return this.get(register, size)
  }

  writeConfig(register: number, size: number, value: number): void {
    for (let i = 0; i < size; i++) {
      const mask = this.writable[register + i]
      const byte = (value >>> (8 * i)) & 0xff
      this.config[register + i] = (this.config[register + i] & ~mask) | (byte & mask)
    }
    this.decode()
    if (register < PCI_CONFIG.status && register + size > PCI_CONFIG.command) this.updateInterrupt()
  }

  /** Asks for an interrupt, or withdraws the request. Asking again while asking is a new event for an edge-like sink. */
  protected setInterrupt(asking: boolean): void {
    this.asking = asking
    this.config[PCI_CONFIG.status] =
      (this.config[PCI_CONFIG.status] & ~STATUS_INTERRUPT) | (asking ? STATUS_INTERRUPT : 0)
    this.updateInterrupt()
  }

  private updateInterrupt(): void {
    this.drive(this.asking && !(this.get(PCI_CONFIG.command, 2) & COMMAND_NO_INTX))
  }

  /** Accesses to the function's memory; `offset` is below `barBytes`. */
  readMemory(_offset: number, size: number): number {
    return size === 4 ? 0xffffffff : 2 ** (8 * size) - 1
  }
  writeMemory(_offset: number, _size: number, _value: number): void {
    // nothing there
  }

  save(): State {
    return FUNCTION_FIELDS.save(this)
  }

  restore(state: State): void {
    FUNCTION_FIELDS.restore(this, state)
  }
}

/** Level of interrupt line `line`; called with true again for each further event while it is high. */
export type InterruptLines = (line: number, level: boolean) => void

const BUS_FIELDS = new Fields({ numbers: ["address"], arrays: ["drivers"], parts: ["functions"] })

export class PciBus {
  readonly windowBegin = PCI_WINDOW_BEGIN
  readonly windowEnd = PCI_WINDOW_END
  private readonly functions: PciFunction[] = []
  private readonly lines: InterruptLines
  /** For each line, which slots drive it. */
  private readonly drivers = new Uint32Array(256)
  private address = 0
  private nextBase = PCI_WINDOW_BEGIN

  constructor(lines: InterruptLines) {
    this.lines = lines
    this.plug(
      // A host bridge, in the 440FX's name.
      new PciFunction(
        { vendor: 0x8086, device: 0x1237, revision: 2, classCode: 0x060000, subsystemVendor: 0, subsystem: 0 },
        0,
      ),
      0,
    )
  }

  /** Plugs a function into the next slot, with interrupt line `line` (0: none). */
  plug(fn: PciFunction, line: number): void {
    const slot = this.functions.length
    if (slot === 32) throw new RangeError("a PCI bus has 32 slots")
    this.functions.push(fn)
    const base = fn.barBytes > 0 ? Math.ceil(this.nextBase / fn.barBytes) * fn.barBytes : 0
    if (base + fn.barBytes > PCI_WINDOW_END) throw new RangeError("the PCI window is full")
    if (fn.barBytes > 0) this.nextBase = base + fn.barBytes
    const bit = 2 ** slot
    fn.install(base, line, (level) => {
      if (!line) return
      const before = this.drivers[line]
      this.drivers[line] = level ? before | bit : before & ~bit
      if (level) this.lines(line, true)
      else if (before !== 0 && this.drivers[line] === 0) this.lines(line, false)
    })
  }

  /** What is plugged in, by slot. */
  get plugged(): ReadonlyArray<PciFunction> {
    return this.functions
  }

  /** The function that CONFIG_ADDRESS selects. */
  private selected(): PciFunction | undefined {
    // Bus 0, function 0 only.
    if (!(this.address & ADDRESS_ENABLE) || this.address & 0x00ff_0700) return undefined
    return this.functions[(this.address >>> 11) & 31]
  }

  portRead(port: number, size: number): number {
    const open = size === 4 ? 0xffffffff : 2 ** (8 * size) - 1
    if (port < DATA_PORT) return port === ADDRESS_PORT && size === 4 ? this.address >>> 0 : open
    const lane = port - DATA_PORT
    const fn = lane + size <= 4 ? this.selected() : undefined
    return fn ? fn.readConfig((this.address & 0xfc) + lane, size) : open
  }

  portWrite(port: number, size: number, value: number): void {
    if (port < DATA_PORT) {
      if (port === ADDRESS_PORT && size === 4) this.address = value & ADDRESS_WRITABLE
      return
    }
    const lane = port - DATA_PORT
    if (lane + size <= 4) this.selected()?.writeConfig((this.address & 0xfc) + lane, size, value)
  }

  mmioRead(address: number, size: number): number {
    for (let i = 0; i < this.functions.length; i++) {
      const offset = this.functions[i].offsetOf(address)
      if (offset >= 0) return this.functions[i].readMemory(offset, size)
    }
    return size === 4 ? 0xffffffff : 2 ** (8 * size) - 1
  }

  mmioWrite(address: number, size: number, value: number): void {
    for (let i = 0; i < this.functions.length; i++) {
      const offset = this.functions[i].offsetOf(address)
      if (offset < 0) continue
      this.functions[i].writeMemory(offset, size, value)
      return
    }
  }

  save(): State {
    return BUS_FIELDS.save(this)
  }

  restore(state: State): void {
    BUS_FIELDS.restore(this, state)
  }
}
