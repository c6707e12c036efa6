import { at, struct } from "../machine/layout.ts"
import { Fields, recordOf, type Saved, type State, stateOf } from "../machine/snapshot.ts"
import type { VirtioDevice, VirtioTransport } from "./virtioPci.ts"
import { DescriptorChain } from "./virtqueue.ts"

/*
 * The virtio network device (virtio 1.0, section 5.1): queue 0 brings frames to the guest, queue 1 takes its frames. It
 * offloads nothing, so a header of zeros stands before every Ethernet frame. A network may lose frames: one that is
 * malformed, or that the guest has no buffer for, is dropped and counted.
 */

/** What the device is plugged into. Frames are whole Ethernet frames without checksum, and belong to whoever gets them. */
export interface NetLink {
  /** From the guest. */
  send(frame: Uint8Array): void
  /** The next one for the guest, if there is one. */
  receive(): Uint8Array | undefined
  /** How many there are for the guest. */
  readonly pending: number
  /** Where frames for the guest can wait: what waits. */
  readonly waiting?: Saved
}

/** 5.1.4. */
export const NET_CONFIG = struct("virtio_net_config", "VNET", 8, "configuration of the network device", {
  mac: at(0, 6, "its own address (F_MAC)"),
  status: at(6, 2, "bit 0: the link is up (F_STATUS)"),
})

/** 5.1.6; with VERSION_1 numBuffers is always there. */
export const NET_HEADER = struct("virtio_net_hdr", "VNH", 12, "stands before each frame", {
  flags: at(0, 1, "0: nothing is offloaded"),
  gsoType: at(1, 1, "0"),
  headerBytes: at(2, 2, ""),
  gsoSize: at(4, 2, ""),
  checksumStart: at(6, 2, ""),
  checksumOffset: at(8, 2, ""),
  numBuffers: at(10, 2, "1 in what is received"),
})

export const NET_FEATURES = { mac: 5, status: 16 } as const
/** Ethernet without VLAN tag: destination, source and type, then up to 1500 bytes. */
export const SHORTEST_FRAME = 14
export const LONGEST_FRAME = 1514

const STATUS_LINK_UP = 1
const RECEIVE = 0
const TRANSMIT = 1
const QUEUE_SIZE = 256

export interface NetCounters {
  sent: number
  received: number
  /** From the guest: too short, too long, or with offloads that were not offered. */
  malformed: number
  /** For the guest: no buffer, or one that was too small. */
  dropped: number
}

const COUNTERS = new Fields({ numbers: ["sent", "received", "malformed", "dropped"] })

export class VirtioNet implements VirtioDevice {
  readonly type = 1
  readonly pciClass = 0x020000 // Ethernet
  readonly features = (1 << NET_FEATURES.mac) | (1 << NET_FEATURES.status)
  readonly queueSizes = [QUEUE_SIZE, QUEUE_SIZE]
  readonly configBytes = NET_CONFIG.size
  readonly counters: NetCounters = { sent: 0, received: 0, malformed: 0, dropped: 0 }
  private readonly config = new Uint8Array(NET_CONFIG.size)
  private readonly link: NetLink
  private readonly watch: (frame: Uint8Array) => void
  private readonly chain = new DescriptorChain(QUEUE_SIZE)
  private readonly header = new Uint8Array(NET_HEADER.size)
  private transport: VirtioTransport | undefined

  /** @param mac 6 bytes; @param watch sees every frame that passes, in both directions. */
  constructor(mac: Uint8Array, link: NetLink, watch: (frame: Uint8Array) => void = () => undefined) {
    this.link = link
    this.watch = watch
    this.config.set(mac, NET_CONFIG.fields.mac.offset)
    this.config[NET_CONFIG.fields.status.offset] = STATUS_LINK_UP
    this.header[NET_HEADER.fields.numBuffers.offset] = 1
  }

  attach(transport: VirtioTransport): void {
    this.transport = transport
  }

  reset(): void {
    this.chain.clear(0)
  }

  /** Frames wait on the link. */
  get pending(): number {
    return this.link.pending
  }

  notify(queue: number): void {
    // New receive buffers: there is nothing to put into them, as frames that come without a buffer are dropped.
    if (queue === TRANSMIT && this.transport) this.send(this.transport)
  }

  private send(transport: VirtioTransport): void {
    const { chain } = this
    const queue = transport.queues[TRANSMIT]
    let n = 0
    for (; n < queue.size && queue.pop(chain); n++) {
      const frame = this.frame(transport)
      queue.push(chain.head, 0)
      if (frame === undefined) {
        this.counters.malformed++
        continue
      }
      this.counters.sent++
      this.watch(frame)
      this.link.send(frame)
    }
    if (n === queue.size && queue.waiting) transport.defer(TRANSMIT)
    transport.signal(queue)
  }

  /** The frame in the chain, if it is one. */
  private frame({ memory }: VirtioTransport): Uint8Array | undefined {
    const { chain } = this
    const length = chain.readableBytes - NET_HEADER.size
    if (length < SHORTEST_FRAME || length > LONGEST_FRAME) return undefined
    const bytes = new Uint8Array(chain.readableBytes)
    for (let i = 0, at = 0; i < chain.readable; at += chain.lengths[i++])
      bytes.set(memory.copyOut(chain.addresses[i], chain.lengths[i]), at)
    const { flags, gsoType } = NET_HEADER.fields
    return bytes[flags.offset] === 0 && bytes[gsoType.offset] === 0 ? bytes.subarray(NET_HEADER.size) : undefined
  }

  /** Hands the guest what waits on the link, or drops it. Throws GuestFault if its ring is not to be trusted. */
  poll(): void {
    if (this.link.pending === 0) return
    const { transport } = this
    if (transport?.ready) transport.guarded(() => this.receive(transport))
    else for (let n = this.link.pending; n > 0 && this.link.receive() !== undefined; n--) this.counters.dropped++
  }

  private receive(transport: VirtioTransport): void {
    const { chain, link } = this
    const queue = transport.queues[RECEIVE]
    // What comes meanwhile has to wait.
    for (let n = link.pending; n > 0; n--) {
      const frame = link.receive()
      if (frame === undefined) break
      this.watch(frame)
      if (!queue.pop(chain)) {
        this.counters.dropped++
        continue
      }
      const fits = chain.writableBytes >= NET_HEADER.size + frame.length
      if (fits) this.fill(transport, frame)
      this.counters[fits ? "received" : "dropped"]++
      queue.push(chain.head, fits ? NET_HEADER.size + frame.length : 0)
    }
    transport.signal(queue)
  }

  /** Header and frame, to the chain's writable buffers. */
  private fill({ memory }: VirtioTransport, frame: Uint8Array): void {
    const { chain } = this
    const bytes = new Uint8Array(NET_HEADER.size + frame.length)
    bytes.set(this.header)
    bytes.set(frame, NET_HEADER.size)
    for (let i = chain.readable, at = 0; at < bytes.length; at += chain.lengths[i++])
      memory.copyIn(chain.addresses[i], bytes.subarray(at, at + chain.lengths[i]))
  }

  readConfig(offset: number, size: number): number {
    let value = 0
    for (let i = size - 1; i >= 0; i--) value = (value << 8) | this.config[offset + i]
    return value >>> 0
  }

  writeConfig(): void {
    // All of it is the device's.
  }

  save(): State {
    const counters = COUNTERS.save(this.counters)
    const { waiting } = this.link
    return waiting === undefined ? { counters } : { counters, waiting: waiting.save() }
  }

  restore(state: State): void {
    const { counters, waiting } = recordOf(state, "the network device")
    COUNTERS.restore(this.counters, stateOf(counters, "counters"))
    this.link.waiting?.restore(stateOf(waiting, "waiting"))
  }
}
