import { at, struct } from "../machine/layout.ts"
import { GuestFault, type GuestMemory } from "./guestMemory.ts"
import { PciFunction } from "./pci.ts"
import { Virtqueue } from "./virtqueue.ts"
import { Fields, recordOf, type Saved, type State, stateOf } from "../machine/snapshot.ts"

/*
 * D:130 Now cross the counter. This is the same card from the inside: what to the driver is a register is to us a call
 * with an offset and a value, from somebody whom we do not trust.
 *
 * Virtio 1.0 over PCI, the modern transport only (virtio 1.0, section 4.1). Four structures lie in the function's
 * memory and capabilities in its configuration space say where; a fifth capability reaches them through configuration
 * space.
 */

/** 4.1.4.3. */
export const COMMON_CFG = struct("virtio_pci_common_cfg", "VPC", 0x38, "how driver and device come to terms", {
  deviceFeatureSelect: at(0x00, 4, "which 32 feature bits deviceFeature shows"),
  deviceFeature: at(0x04, 4, "features offered"),
  driverFeatureSelect: at(0x08, 4, "which 32 feature bits driverFeature takes"),
  driverFeature: at(0x0c, 4, "features accepted"),
  msixConfig: at(0x10, 2, "0xffff: there are no MSI-X vectors"),
  numQueues: at(0x12, 2, "queues that the device has"),
  deviceStatus: at(0x14, 1, "STATUS_*; writing 0 resets"),
  configGeneration: at(0x15, 1, "changes with the device's configuration"),
  queueSelect: at(0x16, 2, "which queue the fields below concern"),
  queueSize: at(0x18, 2, "entries: the maximum at reset; 0: no such queue"),
  queueMsix: at(0x1a, 2, "0xffff"),
  queueEnable: at(0x1c, 2, "1: the queue is in use"),
  queueNotifyOff: at(0x1e, 2, "where to notify, times the capability's multiplier"),
  queueDesc: at(0x20, 8, "guest-physical address of the descriptors"),
  queueDriver: at(0x28, 8, "of the available ring"),
  queueDevice: at(0x30, 8, "of the used ring"),
})

/** 4.1.4; `notifyMultiplier` is the notification capability's, `data` the configuration access capability's. */
export const VIRTIO_CAP = struct("virtio_pci_cap", "VCAP", 20, "where a structure lies", {
  vendor: at(0, 1, "PCI capability id 9"),
  next: at(1, 1, "next capability"),
  length: at(2, 1, "bytes of this capability"),
  type: at(3, 1, "1 common, 2 notify, 3 ISR, 4 device, 5 configuration access"),
  bar: at(4, 1, "base address register"),
  offset: at(8, 4, "offset in it"),
  bytes: at(12, 4, "bytes of the structure"),
  data: at(16, 4, "notify: multiplier; configuration access: the window"),
})

const PCI_VENDOR_CAPABILITY = 9
const TYPE_COMMON = 1
const TYPE_NOTIFY = 2
const TYPE_ISR = 3
const TYPE_DEVICE = 4
const TYPE_ACCESS = 5

/** One page for each structure, in base address register 0. */
const AT_COMMON = 0x0000
const AT_ISR = 0x1000
const AT_DEVICE = 0x2000
const AT_NOTIFY = 0x3000
const BAR_BYTES = 0x4000
const STRUCTURE_BYTES = 0x1000
const NOTIFY_MULTIPLIER = 4

/** Device status (2.1). */
export const STATUS_DRIVER_OK = 4
export const STATUS_FEATURES_OK = 8
export const STATUS_NEEDS_RESET = 64

/** Feature bits 28, 29 and 32. */
const FEATURE_INDIRECT = 2 ** 28
const FEATURE_EVENT_INDEX = 2 ** 29
const FEATURE_VERSION_1 = 1

const ISR_QUEUE = 1
const ISR_CONFIG = 2
const NO_VECTOR = 0xffff

/** What a device needs of its transport. */
export interface VirtioTransport {
  readonly memory: GuestMemory
  readonly queues: ReadonlyArray<Virtqueue>
  /** Has the driver said that it is ready (and may the device use memory)? */
  readonly ready: boolean
  /** Was the device's own feature `bit` (0..23) accepted? */
  accepted(bit: number): boolean
  /** Interrupts the driver if the queue has something for it and it wants to know. */
  signal(queue: Virtqueue): void
  configChanged(): void
  /** Queue `queue` has more than one call may do: the device is notified of it again at the next poll. */
  defer(queue: number): void
  /** Does work that reads the guest's rings; if the guest's fault ends it, the device is marked as broken (2.1.2). */
  guarded(work: () => void): void
}

/** A device behind the transport: console, block, network... */
export interface VirtioDevice extends Saved {
  /** Virtio device type (section 5). */
  readonly type: number
  readonly pciClass: number
  /** Feature bits 0..23 that it offers. */
  readonly features: number
  readonly queueSizes: ReadonlyArray<number>
  /** Bytes of its configuration. */
  readonly configBytes: number
  attach(transport: VirtioTransport): void
  /** The driver has put something into queue `queue`. */
  notify(queue: number): void
  reset(): void
  readConfig(offset: number, size: number): number
  writeConfig(offset: number, size: number, value: number): void
}

const C = COMMON_CFG.fields

const FIELDS = new Fields({
  numbers: [
    "status",
    "isr",
    "generation",
    "deviceSelect",
    "driverSelect",
    "driverLow",
    "driverHigh",
    "queueSelect",
    "deferred",
  ],
  parts: ["queues", "device"],
})

export class VirtioPci extends PciFunction implements VirtioTransport {
  readonly memory: GuestMemory
  readonly queues: ReadonlyArray<Virtqueue>
  private readonly device: VirtioDevice
  private readonly accessCapability: number
  private status = 0
  private isr = 0
  private generation = 0
  private deviceSelect = 0
  private driverSelect = 0
  private driverLow = 0
  private driverHigh = 0
  private queueSelect = 0
  /** A bit for each queue that has more to do. */
  private deferred = 0

  constructor(device: VirtioDevice, memory: GuestMemory) {
    super(
      {
        vendor: 0x1af4,
        device: 0x1040 + device.type,
        revision: 1, // "devices MUST have revision 1 or higher" (4.1.2.1)
        classCode: device.pciClass,
        subsystemVendor: 0x1af4,
        subsystem: 0x40 + device.type,
      },
      BAR_BYTES,
    )
    this.device = device
    this.memory = memory
    this.queues = device.queueSizes.map((size) => new Virtqueue(memory, size))
    this.describe(TYPE_COMMON, AT_COMMON, COMMON_CFG.size, 16)
    const notify = this.describe(TYPE_NOTIFY, AT_NOTIFY, this.queues.length * NOTIFY_MULTIPLIER, 20)
    this.put(notify + VIRTIO_CAP.fields.data.offset, 4, NOTIFY_MULTIPLIER)
    this.describe(TYPE_ISR, AT_ISR, 1, 16)
    this.describe(TYPE_DEVICE, AT_DEVICE, device.configBytes, 16)
    this.accessCapability = this.describe(TYPE_ACCESS, 0, 0, 20)
    this.allow(this.accessCapability + VIRTIO_CAP.fields.bar.offset, 1, 0xff)
    this.allow(this.accessCapability + VIRTIO_CAP.fields.offset.offset, 4, -1)
    this.allow(this.accessCapability + VIRTIO_CAP.fields.bytes.offset, 4, -1)
    device.attach(this)
  }

  private describe(type: number, offset: number, bytes: number, capabilityBytes: number): number {
    const f = VIRTIO_CAP.fields
    const cap = this.addCapability(PCI_VENDOR_CAPABILITY, capabilityBytes)
    this.put(cap + f.length.offset, 1, capabilityBytes)
    this.put(cap + f.type.offset, 1, type)
    this.put(cap + f.offset.offset, 4, offset)
    this.put(cap + f.bytes.offset, 4, bytes)
    return cap
  }

  // ------------------------------------------------------------------------------------------- for the device
  /** The device status that the driver has written (2.1), 8 bits. */
  get driverStatus(): number {
    return this.status
  }

  get ready(): boolean {
    return (this.status & (STATUS_DRIVER_OK | STATUS_NEEDS_RESET)) === STATUS_DRIVER_OK && this.busMaster
  }

  accepted(bit: number): boolean {
    return (this.driverLow & (1 << bit)) !== 0
  }

  signal(queue: Virtqueue): void {
    if (queue.interruptWanted()) this.raise(ISR_QUEUE)
  }

  configChanged(): void {
    this.generation = (this.generation + 1) & 0xff
    if (this.status & STATUS_DRIVER_OK) this.raise(ISR_CONFIG)
  }

  private raise(cause: number): void {
    this.isr |= cause
    this.setInterrupt(true)
  }

  defer(queue: number): void {
    this.deferred |= 1 << queue
  }

  /** Is there work that waits for a poll? */
  get busy(): boolean {
    return this.deferred !== 0
  }

  /** Does what was deferred. Throws GuestFault. */
  poll(): void {
    const { deferred } = this
    this.deferred = 0
    for (let q = 0; deferred >> q !== 0; q++) if ((deferred >> q) & 1) this.notify(q)
  }

  guarded(work: () => void): void {
    try {
      work()
    } catch (thrown) {
      if (thrown instanceof GuestFault) this.needsReset()
      throw thrown
    }
  }

  private needsReset(): void {
    this.status |= STATUS_NEEDS_RESET
    if (this.status & STATUS_DRIVER_OK) this.raise(ISR_CONFIG)
  }

  // -------------------------------------------------------------------------------------- the function's memory
  override readMemory(offset: number, size: number): number {
    const within = offset & (STRUCTURE_BYTES - 1)
    switch (offset - within) {
      case AT_COMMON:
        return this.readCommon(within, size)
      case AT_ISR:
        return within === 0 ? this.takeIsr() : 0
      case AT_DEVICE:
        return within + size <= this.device.configBytes ? this.device.readConfig(within, size) : 0
      default:
        return 0
    }
  }

  override writeMemory(offset: number, size: number, value: number): void {
    const within = offset & (STRUCTURE_BYTES - 1)
    switch (offset - within) {
      case AT_COMMON:
        this.writeCommon(within, size, value)
        break
      case AT_DEVICE:
        if (within + size <= this.device.configBytes) this.device.writeConfig(within, size, value)
        break
      case AT_NOTIFY:
        if (within % NOTIFY_MULTIPLIER === 0) this.notify(within / NOTIFY_MULTIPLIER)
        break
    }
  }

  /** Reading the ISR status acknowledges the interrupt (4.1.4.5). */
  private takeIsr(): number {
    const isr = this.isr
    this.isr = 0
    this.setInterrupt(false)
    return isr
  }

  private notify(queue: number): void {
    if (queue < this.queues.length && this.queues[queue].enabled && this.ready)
      this.guarded(() => this.device.notify(queue))
  }

  private offered(select: number): number {
    if (select === 0) return this.device.features + FEATURE_INDIRECT + FEATURE_EVENT_INDEX
    return select === 1 ? FEATURE_VERSION_1 : 0
  }

  /** The dword of the common configuration at `offset`; none of its fields has a side effect. */
  private commonDword(offset: number): number {
    const queue = this.queues[this.queueSelect] as Virtqueue | undefined
    const half = (address: number, high: boolean) => (high ? Math.floor(address / 2 ** 32) : address % 2 ** 32)
    switch (offset) {
      case C.deviceFeatureSelect.offset:
        return this.deviceSelect
      case C.deviceFeature.offset:
        return this.offered(this.deviceSelect)
      case C.driverFeatureSelect.offset:
        return this.driverSelect
      case C.driverFeature.offset:
        return this.driverSelect === 0 ? this.driverLow : this.driverSelect === 1 ? this.driverHigh : 0
      case C.msixConfig.offset:
        return NO_VECTOR | (this.queues.length << 16)
      case C.deviceStatus.offset:
        return this.status | (this.generation << 8) | (this.queueSelect << 16)
      case C.queueSize.offset:
        return (queue ? queue.size : 0) | (NO_VECTOR << 16)
      case C.queueEnable.offset:
        return queue ? (queue.enabled ? 1 : 0) | (this.queueSelect << 16) : 0
    }
    const field = offset & ~4
    const high = (offset & 4) !== 0
    if (!queue) return 0
    if (field === C.queueDesc.offset) return half(queue.descriptors, high)
    if (field === C.queueDriver.offset) return half(queue.driver, high)
    return field === C.queueDevice.offset ? half(queue.device, high) : 0
  }

  private readCommon(offset: number, size: number): number {
    if (offset + size > COMMON_CFG.size || (offset & 3) + size > 4) return 0
    const value = this.commonDword(offset & ~3) >>> (8 * (offset & 3))
    return size === 4 ? value : value & ((1 << (8 * size)) - 1)
  }

  /** Drivers write each field by its own width, 64-bit ones as two dwords (4.1.3.1); anything else is ignored. */
  private writeCommon(offset: number, size: number, value: number): void {
    const setting = !(this.status & STATUS_FEATURES_OK)
    if (size === 1) {
      if (offset === C.deviceStatus.offset) this.writeStatus(value)
      return
    }
    if (size === 2) {
      if (offset === C.queueSelect.offset) this.queueSelect = value
      else this.writeQueue(offset, value)
      return
    }
    switch (offset) {
      case C.deviceFeatureSelect.offset:
        this.deviceSelect = value >>> 0
        break
      case C.driverFeatureSelect.offset:
        this.driverSelect = value >>> 0
        break
      case C.driverFeature.offset:
        if (this.driverSelect === 0 && setting) this.driverLow = value >>> 0
        if (this.driverSelect === 1 && setting) this.driverHigh = value >>> 0
        break
      default:
        this.writeAddress(offset, value >>> 0)
    }
  }

  private writeQueue(offset: number, value: number): void {
    const queue = this.queues[this.queueSelect] as Virtqueue | undefined
    if (!queue || queue.enabled) return
    if (offset === C.queueSize.offset) {
      // A size that is no power of two, or more than was offered, cannot come from a driver that works.
      if (value === 0 || value > queue.maximum || value & (value - 1)) this.needsReset()
      else queue.size = value
    } else if (offset === C.queueEnable.offset && value === 1) {
      if (queue.problem()) this.needsReset()
      else {
        queue.indirect = (this.driverLow & FEATURE_INDIRECT) !== 0
        queue.eventIndex = (this.driverLow & FEATURE_EVENT_INDEX) !== 0
        queue.enabled = true
      }
    }
  }

  private writeAddress(offset: number, value: number): void {
    const queue = this.queues[this.queueSelect] as Virtqueue | undefined
    if (!queue || queue.enabled) return
    const high = (offset & 4) !== 0
    const set = (old: number) =>
      high ? value * 2 ** 32 + (old % 2 ** 32) : Math.floor(old / 2 ** 32) * 2 ** 32 + value
    switch (offset & ~4) {
      case C.queueDesc.offset:
        queue.descriptors = set(queue.descriptors)
        break
      case C.queueDriver.offset:
        queue.driver = set(queue.driver)
        break
      case C.queueDevice.offset:
        queue.device = set(queue.device)
        break
    }
  }

  private writeStatus(value: number): void {
    if (value === 0) {
      this.resetDevice()
      return
    }
    let added = value & ~this.status & ~STATUS_NEEDS_RESET
    // FEATURES_OK stays off when the driver took what was not offered, or no VERSION_1 (2.2.2, 6.2).
    const low = this.offered(0)
    if (added & STATUS_FEATURES_OK && (this.driverLow & ~low || this.driverHigh !== FEATURE_VERSION_1))
      added &= ~STATUS_FEATURES_OK
    if (added & STATUS_DRIVER_OK && !((this.status | added) & STATUS_FEATURES_OK)) {
      this.needsReset()
      return
    }
    this.status |= added // a driver clears bits by a reset only
    if (added & STATUS_DRIVER_OK) for (let q = 0; q < this.queues.length; q++) this.notify(q)
  }

  private resetDevice(): void {
    this.status = 0
    this.isr = 0
    this.deferred = 0
    this.deviceSelect = this.driverSelect = this.queueSelect = 0
    this.driverLow = this.driverHigh = 0
    for (const queue of this.queues) queue.reset()
    this.setInterrupt(false)
    this.device.reset()
  }

  // ------------------------------------------------------------------------------ configuration access capability
  /** Is the configuration register the window of 4.1.4.7, and set up to be used? Then the offset in memory, else -1. */
  private accessWindow(register: number): number {
    const f = VIRTIO_CAP.fields
    const cap = this.accessCapability
    if (register < cap + f.data.offset || register >= cap + VIRTIO_CAP.size) return -1
    const offset = this.get(cap + f.offset.offset, 4)
    const size = this.get(cap + f.bytes.offset, 4)
    if (this.config[cap + f.bar.offset] !== 0 || (size !== 1 && size !== 2 && size !== 4)) return -1
    return offset % size === 0 && offset + size <= BAR_BYTES ? offset : -1
  }

  override readConfig(register: number, size: number): number {
    const window = this.accessWindow(register)
    if (window >= 0) {
      const cap = this.accessCapability
      const bytes = this.get(cap + VIRTIO_CAP.fields.bytes.offset, 4)
      this.put(cap + VIRTIO_CAP.fields.data.offset, 4, this.readMemory(window, bytes))
    }
    return super.readConfig(register, size)
  }

  override writeConfig(register: number, size: number, value: number): void {
    const window = this.accessWindow(register)
    if (window < 0) {
      super.writeConfig(register, size, value)
      return
    }
    const bytes = this.get(this.accessCapability + VIRTIO_CAP.fields.bytes.offset, 4)
    this.writeMemory(window, bytes, bytes === 4 ? value >>> 0 : value & ((1 << (8 * bytes)) - 1))
  }

  override save(): State {
    return { function: super.save(), ...FIELDS.save(this) }
  }

  override restore(state: State): void {
    super.restore(stateOf(recordOf(state, "a device").function, "function"))
    FIELDS.restore(this, state)
  }
}
