import { at, struct } from "../machine/layout.ts"
import { GuestFault, type GuestMemory } from "./guestMemory.ts"
import { Fields, type State } from "../machine/snapshot.ts"

/*
 * D:140 And the same three arrays, read by the other side. A ring in somebody else's memory is a nice place for an
 * ambush: a number that is checked, and has changed when it is used; a chain of descriptors that bites its tail; a
 * length that wraps. Each of these has broken a real hypervisor.
 *
 * Virtio's split virtqueue (virtio 1.0, section 2.4). All three parts are in the guest's memory and the guest may write
 * anything there at any time, so each number is read once, checked, and only then used; each loop is bounded by the
 * queue's size. What a correct driver cannot have written is a GuestFault.
 *
 * The driver may run on another thread than the device. What one side publishes to the other (both indices, both event
 * fields) is read and written by atomic accesses, which order everything around them: a chain is complete when its index is
 * seen, and of "I shall look no more" and "there is a new one" at least one side sees the other's (2.4.7.2).
 */

/** 2.4.5; an array of queue-size of these, 16-byte aligned. */
export const VIRTQ_DESC = struct("virtq_desc", "VQD", 16, "one buffer of a chain", {
  address: at(0x0, 8, "guest-physical address"),
  length: at(0x8, 4, "bytes"),
  flags: at(0xc, 2, "NEXT 1, WRITE 2, INDIRECT 4"),
  next: at(0xe, 2, "index of the following descriptor, where NEXT is set"),
})

/** 2.4.6; the driver's, 2-byte aligned; `ring` has queue-size entries, and used_event (u16) follows it. */
export const VIRTQ_AVAIL = struct("virtq_avail", "VQA", 4, "chains that the driver offers", {
  flags: at(0x0, 2, "NO_INTERRUPT 1"),
  index: at(0x2, 2, "where the driver will put the next entry, modulo 65536; u16 entries follow"),
})
const AVAIL_ENTRY = 2

/** 2.4.8; the device's, 4-byte aligned; avail_event (u16) follows the ring. */
export const VIRTQ_USED = struct("virtq_used", "VQU", 4, "chains that the device has done with", {
  flags: at(0x0, 2, "NO_NOTIFY 1"),
  index: at(0x2, 2, "where the device will put the next entry, modulo 65536; entries follow"),
})
export const VIRTQ_USED_ELEMENT = struct("virtq_used_elem", "VQE", 8, "one finished chain", {
  head: at(0x0, 4, "index of the chain's first descriptor"),
  length: at(0x4, 4, "bytes written to it"),
})

const DESC_NEXT = 1
const DESC_WRITE = 2
const DESC_INDIRECT = 4
const AVAIL_NO_INTERRUPT = 1

const D = VIRTQ_DESC.fields
const A = VIRTQ_AVAIL.fields
const U = VIRTQ_USED.fields
const E = VIRTQ_USED_ELEMENT.fields
const WRAP = 0xffff

/** A chain's buffers after checking: readable ones first. One object is filled again and again. */
export class DescriptorChain {
  head = 0
  /** Buffers in use; the first `readable` of them are the driver's, the rest are for the device to fill. */
  count = 0
  readable = 0
  /** Bytes in either part. */
  readableBytes = 0
  writableBytes = 0
  readonly addresses: Float64Array
  readonly lengths: Uint32Array

  constructor(buffers: number) {
    this.addresses = new Float64Array(buffers)
    this.lengths = new Uint32Array(buffers)
  }

  clear(head: number): void {
    this.head = head
    this.count = this.readable = this.readableBytes = this.writableBytes = 0
  }
}

const FIELDS = new Fields({
  numbers: ["size", "descriptors", "driver", "device", "taken", "used", "signalled"],
  flags: ["enabled", "indirect", "eventIndex"],
})

export class Virtqueue {
  /** The device's limit, a power of two. */
  readonly maximum: number
  /** What the driver set. */
  size: number
  descriptors = 0
  driver = 0
  device = 0
  enabled = false
  /** Negotiated features that change the ring's format. */
  indirect = false
  eventIndex = false
  private readonly memory: GuestMemory
  /** Index of the next available entry to take and of the next used entry to write, modulo 65536. */
  private taken = 0
  private used = 0
  /** `used` when an interrupt was last considered. */
  private signalled = 0

  constructor(memory: GuestMemory, maximum: number) {
    this.memory = memory
    this.maximum = maximum
    this.size = maximum
  }

  reset(): void {
    this.size = this.maximum
    this.descriptors = this.driver = this.device = 0
    this.enabled = this.indirect = this.eventIndex = false
    this.taken = this.used = this.signalled = 0
  }

  /** Why the queue cannot be enabled as it is set up, or "". Alignments are those of section 2.4. */
  problem(): string {
    if (this.descriptors % 16 || this.driver % 2 || this.device % 4) return "a part of the queue is misaligned"
    const { size, memory } = this
    const outside = (gpa: number, bytes: number) => gpa + bytes > memory.size
    if (
      outside(this.descriptors, size * VIRTQ_DESC.size) ||
      outside(this.driver, VIRTQ_AVAIL.size + size * AVAIL_ENTRY + 2) ||
      outside(this.device, VIRTQ_USED.size + size * VIRTQ_USED_ELEMENT.size + 2)
    )
      return "a part of the queue is outside of memory"
    return ""
  }

  /** How many chains the driver offers. */
  private offered(): number {
    const offered = (this.memory.atomicRead16(this.driver + A.index.offset) - this.taken) & WRAP
    if (offered > this.size) throw new GuestFault(`a virtqueue of ${this.size} entries offers ${offered} chains`)
    return offered
  }

  /** Does the driver offer a chain that has not been taken? */
  get waiting(): boolean {
    return this.enabled && this.offered() > 0
  }

  /** Takes the next chain that the driver offers; false if there is none, and then the driver will notify of the next. */
  pop(chain: DescriptorChain): boolean {
    if (!this.enabled) return false
    const offered = this.offered()
    if (offered > 0) {
      const slot = this.taken & (this.size - 1)
      this.walk(chain, this.memory.read16(this.driver + VIRTQ_AVAIL.size + slot * AVAIL_ENTRY))
      this.taken = (this.taken + 1) & WRAP
    }
    // Before the next look, and not only when that finds nothing: a driver on another thread that offers a chain between the
    // look and the asking would not notify, and we not look again.
    this.askForNotification()
    return offered > 0
  }

  /** Without the feature drivers notify of each chain, as the used ring's NO_NOTIFY is never set. */
  private askForNotification(): void {
    if (this.eventIndex)
      this.memory.atomicWrite16(this.device + VIRTQ_USED.size + this.size * VIRTQ_USED_ELEMENT.size, this.taken)
  }

  private walk(chain: DescriptorChain, head: number): void {
    const { memory } = this
    chain.clear(head)
    let table = this.descriptors
    let entries = this.size
    let index = head
    let steps = 0
    for (;;) {
      if (index >= entries) throw new GuestFault(`a virtqueue's descriptor ${index} of ${entries} does not exist`)
      // No chain is longer than the queue (2.4.5.3.1), so one that is goes in circles.
      if (steps++ >= this.size) throw new GuestFault("a virtqueue's descriptor chain has no end")
      const descriptor = table + index * VIRTQ_DESC.size
      const high = memory.read32(descriptor + D.address.offset + 4)
      const address = high * 2 ** 32 + memory.read32(descriptor + D.address.offset)
      const length = memory.read32(descriptor + D.length.offset)
      const flags = memory.read16(descriptor + D.flags.offset)
      memory.check(address, length)
      if (flags & DESC_INDIRECT) {
        if (
          !this.indirect ||
          table !== this.descriptors ||
          flags & DESC_NEXT ||
          length === 0 ||
          length % VIRTQ_DESC.size
        )
          throw new GuestFault("a virtqueue's indirect descriptor is malformed")
        table = address
        entries = length / VIRTQ_DESC.size
        index = 0
        steps = 0
        continue
      }
      this.append(chain, address, length, (flags & DESC_WRITE) !== 0)
      if (!(flags & DESC_NEXT)) return
      index = memory.read16(descriptor + D.next.offset)
    }
  }

  private append(chain: DescriptorChain, address: number, length: number, writable: boolean): void {
    if (chain.count >= chain.lengths.length) throw new GuestFault("a virtqueue's descriptor chain has no end")
    if (!writable && chain.readable < chain.count)
      throw new GuestFault("a virtqueue's readable buffer follows a writable one")
    chain.addresses[chain.count] = address
    chain.lengths[chain.count++] = length
    if (writable) chain.writableBytes += length
    else {
      chain.readable++
      chain.readableBytes += length
    }
  }

  /** Gives a chain back, with the number of bytes written to its writable buffers. */
  push(head: number, written: number): void {
    const slot = this.used & (this.size - 1)
    const element = this.device + VIRTQ_USED.size + slot * VIRTQ_USED_ELEMENT.size
    this.memory.write32(element + E.head.offset, head)
    this.memory.write32(element + E.length.offset, written)
    this.used = (this.used + 1) & WRAP
    this.memory.atomicWrite16(this.device + U.index.offset, this.used)
  }

  /** Does the driver want an interrupt for what has been pushed since this was last asked (2.4.7)? */
  interruptWanted(): boolean {
    const pushed = (this.used - this.signalled) & WRAP
    if (pushed === 0) return false
    this.signalled = this.used
    if (!this.eventIndex) return !(this.memory.atomicRead16(this.driver + A.flags.offset) & AVAIL_NO_INTERRUPT)
    const event = this.memory.atomicRead16(this.driver + VIRTQ_AVAIL.size + this.size * AVAIL_ENTRY)
    return ((this.used - event - 1) & WRAP) < pushed
  }

  save(): State {
    return FIELDS.save(this)
  }

  restore(state: State): void {
    FIELDS.restore(this, state)
  }
}
