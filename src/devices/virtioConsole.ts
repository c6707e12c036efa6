import { at, struct } from "../machine/layout.ts"
import { GuestFault } from "./guestMemory.ts"
import type { VirtioDevice, VirtioTransport } from "./virtioPci.ts"
import { DescriptorChain } from "./virtqueue.ts"
import { Fields, type State } from "../machine/snapshot.ts"

/*
 * The virtio console (virtio 1.0, section 5.3), one port: queue 0 brings bytes to the guest, queue 1 takes its output.
 */

export const CONSOLE_CONFIG = struct("virtio_console_config", "VCON", 12, "configuration of the console", {
  columns: at(0, 2, "valid with F_SIZE"),
  rows: at(2, 2, "valid with F_SIZE"),
  ports: at(4, 4, "1: there is no F_MULTIPORT"),
  emergencyWrite: at(8, 4, "a byte written here is output at once, whatever the device's state (F_EMERG_WRITE)"),
})

const FEATURE_SIZE = 1 << 0
const FEATURE_EMERGENCY_WRITE = 1 << 2

const RECEIVE = 0
const TRANSMIT = 1
const QUEUE_SIZE = 256
/** More than any driver puts into one buffer chain; keeps what one notification costs within bounds. */
const LONGEST_WRITE = 1 << 20

const FIELDS = new Fields({ numbers: ["columns", "rows"], chunks: ["waiting"] })

export class VirtioConsole implements VirtioDevice {
  readonly type = 3
  readonly pciClass = 0x078000 // other communication device
  readonly features = FEATURE_SIZE | FEATURE_EMERGENCY_WRITE
  readonly queueSizes = [QUEUE_SIZE, QUEUE_SIZE]
  readonly configBytes = CONSOLE_CONFIG.size
  private readonly output: (bytes: Uint8Array) => void
  private readonly chain = new DescriptorChain(QUEUE_SIZE)
  private transport: VirtioTransport | undefined
  /** Input that the guest has given no buffer for yet. */
  private readonly waiting: Uint8Array[] = []
  private columns: number
  private rows: number

  /** @param output bytes that the guest wrote; the array is the receiver's. */
  constructor(output: (bytes: Uint8Array) => void, columns = 80, rows = 25) {
    this.output = output
    this.columns = columns
    this.rows = rows
  }

  attach(transport: VirtioTransport): void {
    this.transport = transport
  }

  /** Input that waits stays: a driver that starts again (a second kernel) still gets it. */
  reset(): void {
    this.chain.clear(0)
  }

  /** Bytes of input the guest has not taken. */
  get pendingInput(): number {
    return this.waiting.reduce((sum, bytes) => sum + bytes.length, 0)
  }

  /** Bytes for the guest. Throws GuestFault if its ring is not to be trusted. */
  input(bytes: Uint8Array): void {
    if (bytes.length > 0) this.waiting.push(bytes)
    const { transport } = this
    if (transport?.ready) transport.guarded(() => this.receive(transport))
  }

  resize(columns: number, rows: number): void {
    this.columns = columns
    this.rows = rows
    this.transport?.configChanged()
  }

  notify(queue: number): void {
    if (!this.transport) return
    if (queue === RECEIVE) this.receive(this.transport)
    else if (queue === TRANSMIT) this.send(this.transport)
  }

  private send(transport: VirtioTransport): void {
    const queue = transport.queues[TRANSMIT]
    const { chain } = this
    // One round of the queue: a driver on another thread could refill it for ever.
    let n = 0
    for (; n < queue.size && queue.pop(chain); n++) {
      if (chain.readableBytes > LONGEST_WRITE)
        throw new GuestFault(`the console was given a buffer of ${chain.readableBytes} bytes`)
      for (let i = 0; i < chain.readable; i++)
        if (chain.lengths[i] > 0) this.output(transport.memory.copyOut(chain.addresses[i], chain.lengths[i]))
      queue.push(chain.head, 0)
    }
    if (n === queue.size && queue.waiting) transport.defer(TRANSMIT)
    transport.signal(queue)
  }

  private receive(transport: VirtioTransport): void {
    const queue = transport.queues[RECEIVE]
    const { chain, waiting } = this
    let n = 0
    for (; n < queue.size && waiting.length > 0 && queue.pop(chain); n++) {
      if (chain.writableBytes === 0) throw new GuestFault("the console was given an empty buffer for input")
      let written = 0
      for (let i = chain.readable; i < chain.count && waiting.length > 0; i++) {
        let room = chain.lengths[i]
        let to = chain.addresses[i]
        while (room > 0 && waiting.length > 0) {
          const bytes = waiting[0]
          const part = bytes.length <= room ? bytes : bytes.subarray(0, room)
          transport.memory.copyIn(to, part)
          if (part === bytes) waiting.shift()
          else waiting[0] = bytes.subarray(part.length)
          room -= part.length
          to += part.length
          written += part.length
        }
      }
      queue.push(chain.head, written)
    }
    if (n === queue.size && waiting.length > 0 && queue.waiting) transport.defer(RECEIVE)
    transport.signal(queue)
  }

  private configByte(offset: number): number {
    const f = CONSOLE_CONFIG.fields
    switch (offset) {
      case f.columns.offset:
      case f.columns.offset + 1:
        return this.columns >> (8 * (offset - f.columns.offset))
      case f.rows.offset:
      case f.rows.offset + 1:
        return this.rows >> (8 * (offset - f.rows.offset))
      case f.ports.offset:
        return 1
      default:
        return 0
    }
  }

  readConfig(offset: number, size: number): number {
    let value = 0
    for (let i = size - 1; i >= 0; i--) value = (value << 8) | (this.configByte(offset + i) & 0xff)
    return value >>> 0
  }

  writeConfig(offset: number, _size: number, value: number): void {
    if (offset === CONSOLE_CONFIG.fields.emergencyWrite.offset) this.output(Uint8Array.of(value & 0xff))
  }

  save(): State {
    return FIELDS.save(this)
  }

  restore(state: State): void {
    FIELDS.restore(this, state)
  }
}
