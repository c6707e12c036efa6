import { BadState, type Saved, type State } from "../machine/snapshot.ts"
import { GuestFault } from "./guestMemory.ts"
import type { VirtioDevice, VirtioTransport } from "./virtioPci.ts"
import { DescriptorChain } from "./virtqueue.ts"

/*
 * The virtio entropy device (virtio 1.0, section 5.4): one queue of buffers to fill with random bytes.
 */

/** Fills an array of at most 64 KiB. */
export interface EntropySource {
  (bytes: Uint8Array<ArrayBuffer>): void
  /** Where it is in its sequence, if it has one. */
  readonly place?: Saved
}

/** The real thing, for free runs. */
export const systemEntropy: EntropySource = (bytes) => void crypto.getRandomValues(bytes)

/**
 * The same bytes for the same seed (32 bits), for deterministic runs: SplitMix32, an additive counter put through a
 * finaliser. Random enough for a hash table, and for nothing that is to be secret.
 */
export const seededEntropy = (seed: number): EntropySource => {
  let state = seed | 0
  const place: Saved = {
    save: () => state,
    restore: (saved) => {
      if (typeof saved !== "number") throw new BadState("the randomness is no number")
      state = saved | 0
    },
  }
  const fill = (bytes: Uint8Array<ArrayBuffer>): void => {
    for (let i = 0; i < bytes.length; i += 4) {
      state = (state + 0x9e37_79b9) | 0
      let word = Math.imul(state ^ (state >>> 16), 0x21f0_aaad)
      word = Math.imul(word ^ (word >>> 15), 0x735a_2d97)
      word ^= word >>> 15
      for (let b = 0; b < 4 && i + b < bytes.length; b++) bytes[i + b] = word >>> (8 * b)
    }
  }
  return Object.assign(fill, { place })
}

const QUEUE_SIZE = 64
/** A larger buffer is filled in part: how much, the used ring says. */
const MOST_BYTES = 4096

export class VirtioEntropy implements VirtioDevice {
  readonly type = 4
  readonly pciClass = 0x00ff00 // no class fits
  readonly features = 0
  readonly queueSizes = [QUEUE_SIZE]
  readonly configBytes = 0
  private readonly source: EntropySource
  private readonly chain = new DescriptorChain(QUEUE_SIZE)
  private readonly bytes = new Uint8Array(MOST_BYTES)
  private transport: VirtioTransport | undefined

  constructor(source: EntropySource) {
    this.source = source
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
    for (; n < queue.size && queue.pop(chain); n++) {
      if (chain.readable > 0) throw new GuestFault("the entropy device was given a buffer to read") // 5.4.6.1
      const bytes = this.bytes.subarray(0, Math.min(chain.writableBytes, MOST_BYTES))
      this.source(bytes)
      for (let i = 0, at = 0; at < bytes.length; at += chain.lengths[i++])
        transport.memory.copyIn(chain.addresses[i], bytes.subarray(at, at + chain.lengths[i]))
      queue.push(chain.head, bytes.length)
    }
    if (n === queue.size && queue.waiting) transport.defer(0)
    transport.signal(queue)
  }

  readConfig(): number {
    return 0
  }

  writeConfig(): void {
    // It has none.
  }

  save(): State {
    return this.source.place?.save() ?? {}
  }

  restore(state: State): void {
    this.source.place?.restore(state)
  }
}
