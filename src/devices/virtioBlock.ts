import { at, struct } from "../machine/layout.ts"
import { GuestFault, type GuestMemory } from "./guestMemory.ts"
import type { VirtioDevice, VirtioTransport } from "./virtioPci.ts"
import { DescriptorChain } from "./virtqueue.ts"
import type { State } from "../machine/snapshot.ts"

/*
 * D:160 The disk's own side is short, because the hard part is behind us: three kinds of request, bounds, a byte that
 * says how it went.
 *
 * The virtio block device (virtio 1.0, section 5.2): one queue of requests, each a chain of a header, data and a status
 * byte. A request is done when it is notified, in the order of the ring, so a flush comes after all writes before it.
 */

/** What holds the disk's bytes. A method that returns false has failed: the guest gets an I/O error. */
export interface BlockBackend {
  /** Of 512 bytes each. */
  readonly sectors: number
  readonly readOnly: boolean
  /** Fills `bytes`, whole sectors, from `sector` on; the caller has checked that they exist. */
  read(sector: number, bytes: Uint8Array): boolean
  write(sector: number, bytes: Uint8Array): boolean
  /** All that was written before is on the medium when this returns true. */
  flush(): boolean
}

/** 5.2.4. */
export const BLOCK_CONFIG = struct("virtio_blk_config", "VBLK", 24, "configuration of a disk", {
  capacity: at(0, 8, "sectors of 512 bytes"),
  sizeMax: at(8, 4, "valid with F_SIZE_MAX"),
  segMax: at(12, 4, "data buffers that a request may have (F_SEG_MAX)"),
  cylinders: at(16, 2, "valid with F_GEOMETRY"),
  heads: at(18, 1, "valid with F_GEOMETRY"),
  sectorsPerTrack: at(19, 1, "valid with F_GEOMETRY"),
  blockSize: at(20, 4, "bytes, the best unit of a request (F_BLK_SIZE)"),
})

/** 5.2.6. Data and a status byte follow. */
export const BLOCK_REQUEST = struct("virtio_blk_req", "VBR", 16, "header of a request", {
  type: at(0, 4, "IN 0, OUT 1, FLUSH 4, GET_ID 8"),
  reserved: at(4, 4, ""),
  sector: at(8, 8, "first sector of IN and OUT"),
})

export const SECTOR = 512
/** Bytes of what GET_ID answers: the disk's name, ended by a NUL if it is shorter. */
export const BLOCK_ID_BYTES = 20

export const BLOCK_FEATURES = { segMax: 2, readOnly: 5, blockSize: 6, flush: 9 } as const
export const BLOCK_TYPE = { in: 0, out: 1, flush: 4, getId: 8 } as const
export const BLOCK_STATUS = { ok: 0, ioError: 1, unsupported: 2 } as const

const QUEUE_SIZE = 128
/** Header and status take a buffer each. */
const SEG_MAX = QUEUE_SIZE - 2
/** No driver asks for as much at once; keeps what one request costs within bounds. */
const LONGEST_REQUEST = 1 << 22

const C = BLOCK_CONFIG.fields
const R = BLOCK_REQUEST.fields

export class VirtioBlock implements VirtioDevice {
  readonly type = 2
  readonly pciClass = 0x018000 // other mass storage
  readonly features: number
  readonly queueSizes = [QUEUE_SIZE]
  readonly configBytes = BLOCK_CONFIG.size
  private readonly backend: BlockBackend
  private readonly id: Uint8Array
  private readonly config = new DataView(new ArrayBuffer(BLOCK_CONFIG.size))
  private readonly chain = new DescriptorChain(QUEUE_SIZE)
  private transport: VirtioTransport | undefined

  /** @param name what GET_ID answers, at most 20 ASCII characters. */
  constructor(backend: BlockBackend, name: string) {
    this.backend = backend
    this.id = Uint8Array.from({ length: BLOCK_ID_BYTES }, (_, i) => name.charCodeAt(i) || 0)
    const { segMax, readOnly, blockSize, flush } = BLOCK_FEATURES
    this.features = (1 << segMax) | (1 << blockSize) | (1 << flush) | (backend.readOnly ? 1 << readOnly : 0)
    this.config.setUint32(C.capacity.offset, backend.sectors % 2 ** 32, true)
    this.config.setUint32(C.capacity.offset + 4, Math.floor(backend.sectors / 2 ** 32), true)
    this.config.setUint32(C.segMax.offset, SEG_MAX, true)
    this.config.setUint32(C.blockSize.offset, SECTOR, true)
  }

  attach(transport: VirtioTransport): void {
    this.transport = transport
  }

  reset(): void {
    this.chain.clear(0)
  }

  notify(): void {
    const { transport, chain } = this
    if (!transport) return
    const queue = transport.queues[0]
    let n = 0
    for (; n < queue.size && queue.pop(chain); n++) queue.push(chain.head, this.request(transport))
    if (n === queue.size && queue.waiting) transport.defer(0)
    transport.signal(queue)
  }

  /** Carries out the request in the chain; returns the number of bytes written to its buffers. */
  private request(transport: VirtioTransport): number {
    const { chain } = this
    const { memory } = transport
    if (chain.readableBytes < BLOCK_REQUEST.size)
      throw new GuestFault(`a disk was given a request header of ${chain.readableBytes} bytes`)
    if (chain.writableBytes < 1) throw new GuestFault("a disk was given a request without room for its status")
    const room = chain.writableBytes - 1
    const payload = chain.readableBytes - BLOCK_REQUEST.size
    if (Math.max(payload, room) > LONGEST_REQUEST) return this.finish(memory, BLOCK_STATUS.ioError, NOTHING)
    // Buffers may be cut anywhere (2.4.4): gather first, then look.
    const sent = gather(chain, memory)
    const header = new DataView(sent.buffer, sent.byteOffset)
    const sector = header.getUint32(R.sector.offset, true) + header.getUint32(R.sector.offset + 4, true) * 2 ** 32
    switch (header.getUint32(R.type.offset, true)) {
      case BLOCK_TYPE.in: {
        const data = new Uint8Array(room)
        const done = this.lies(sector, room) && this.backend.read(sector, data)
        return this.finish(memory, done ? BLOCK_STATUS.ok : BLOCK_STATUS.ioError, done ? data : NOTHING)
      }
      case BLOCK_TYPE.out: {
        const done =
          !this.backend.readOnly &&
          this.lies(sector, payload) &&
          this.backend.write(sector, sent.subarray(BLOCK_REQUEST.size)) &&
          // A driver that does not know of FLUSH takes a finished write for a durable one (5.2.6.2).
          (transport.accepted(BLOCK_FEATURES.flush) || this.backend.flush())
        return this.finish(memory, done ? BLOCK_STATUS.ok : BLOCK_STATUS.ioError, NOTHING)
      }
      case BLOCK_TYPE.flush:
        return this.finish(memory, this.backend.flush() ? BLOCK_STATUS.ok : BLOCK_STATUS.ioError, NOTHING)
      case BLOCK_TYPE.getId:
        return this.finish(memory, BLOCK_STATUS.ok, this.id.subarray(0, room))
      default:
        return this.finish(memory, BLOCK_STATUS.unsupported, NOTHING)
    }
  }

  /** Are these whole sectors of the disk? */
  private lies(sector: number, bytes: number): boolean {
    return bytes % SECTOR === 0 && sector + bytes / SECTOR <= this.backend.sectors
  }

  /** Writes data to the first writable buffers and the status to the last byte of the last one. */
  private finish(memory: GuestMemory, status: number, data: Uint8Array): number {
    const { chain } = this
    let done = 0
    let last = -1
    for (let i = chain.readable; i < chain.count; i++) {
      const part = data.subarray(done, done + chain.lengths[i])
      if (part.length > 0) memory.copyIn(chain.addresses[i], part)
      done += part.length
      if (chain.lengths[i] > 0) last = i
    }
    memory.copyIn(chain.addresses[last] + chain.lengths[last] - 1, Uint8Array.of(status))
    return done + 1
  }

  readConfig(offset: number, size: number): number {
    let value = 0
    for (let i = size - 1; i >= 0; i--) value = (value << 8) | this.config.getUint8(offset + i)
    return value >>> 0
  }

  writeConfig(): void {
    // All of it is the device's.
  }

  /** Nothing: a request is done when it is notified, and the bytes are the backend's. */
  save(): State {
    return {}
  }

  restore(): void {
    // see save
  }
}

const NOTHING = new Uint8Array(0)

/** All that the driver put into a chain. */
const gather = (chain: DescriptorChain, memory: GuestMemory): Uint8Array => {
  const bytes = new Uint8Array(chain.readableBytes)
  for (let i = 0, at = 0; i < chain.readable; at += chain.lengths[i++])
    bytes.set(memory.copyOut(chain.addresses[i], chain.lengths[i]), at)
  return bytes
}
