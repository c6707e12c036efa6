import { Worker } from "node:worker_threads"
import { describe, expect, it } from "vitest"
import { DescriptorChain, GuestMemory, Virtqueue } from "../../src/devices/index.ts"
import { VIRTQ_AVAIL, VIRTQ_DESC, VIRTQ_USED, VIRTQ_USED_ELEMENT } from "../../src/devices/virtqueue.ts"
import { Ram } from "../../src/machine/ram.ts"

/*
 * A driver on a thread of its own, as a virtual CPU's would be, with VIRTIO_F_EVENT_IDX: it rings the bell only when the device
 * has asked to be told. If one bell were missing, the device would sleep for ever.
 */

const SIZE = 4
const BASE = 0x10000
const DRIVER = 0x1000
const DEVICE = 0x2000
const BUFFERS = 0x4000
const CHAINS = 20_000
/** The device gives up. */
const PATIENCE_MS = 10_000

const layout = {
  size: SIZE,
  chains: CHAINS,
  base: BASE,
  buffers: BUFFERS,
  descriptor: VIRTQ_DESC.size,
  length: VIRTQ_DESC.fields.length.offset,
  availIndex: DRIVER + VIRTQ_AVAIL.fields.index.offset,
  availRing: DRIVER + VIRTQ_AVAIL.size,
  usedIndex: DEVICE + VIRTQ_USED.fields.index.offset,
  availEvent: DEVICE + VIRTQ_USED.size + SIZE * VIRTQ_USED_ELEMENT.size,
}

/** The driver: buffer i holds the number of its chain. */
const driver = `
const { workerData: { buffer, bell, layout: l } } = require("node:worker_threads")
const u16 = new Uint16Array(buffer), u32 = new Uint32Array(buffer), ring = new Int32Array(bell)
const half = (at) => (l.base + at) >> 1, word = (at) => (l.base + at) >> 2
for (let i = 0; i < l.chains; i++) {
  // All slots are on their way: wait for the device.
  while (((i - Atomics.load(u16, half(l.usedIndex))) & 0xffff) >= l.size);
  // Now and then let the device run dry.
  for (let spin = (i * 7919) % 97; spin > 0; spin--) Atomics.load(u16, half(l.usedIndex));
  const slot = i % l.size
  u32[word(l.buffers + slot * 16)] = i
  u32[word(slot * l.descriptor)] = l.buffers + slot * 16
  u32[word(slot * l.descriptor + l.length)] = 4
  u16[half(l.availRing + 2 * slot)] = slot
  Atomics.store(u16, half(l.availIndex), (i + 1) & 0xffff)
  // vring_need_event of section 2.4.7.2.
  if (((i - Atomics.load(u16, half(l.availEvent))) & 0xffff) < 1) {
    Atomics.add(ring, 0, 1)
    Atomics.notify(ring, 0)
  }
}
`

describe("a queue whose driver runs on another thread", () => {
  it("loses no chain and no notification", async () => {
    const shared = new WebAssembly.Memory({ initial: 4, maximum: 4, shared: true })
    const memory = new GuestMemory(new Ram(shared, BASE, 0x10000, 0), 0, 0x10000)
    const bell = new Int32Array(new SharedArrayBuffer(4))
    const queue = new Virtqueue(memory, SIZE)
    queue.driver = DRIVER
    queue.device = DEVICE
    queue.enabled = queue.eventIndex = true
    const worker = new Worker(driver, { eval: true, workerData: { buffer: shared.buffer, bell: bell.buffer, layout } })
    const ended = new Promise((resolve) => worker.once("exit", resolve))
    await new Promise((resolve) => worker.once("online", resolve))
    try {
      const chain = new DescriptorChain(SIZE)
      let done = 0
      while (done < CHAINS) {
        const heard = Atomics.load(bell, 0)
        for (; queue.pop(chain); done++) {
          // All that the driver wrote before the index is there.
          expect([chain.count, chain.lengths[0], memory.read32(chain.addresses[0]!)]).toEqual([1, 4, done])
          queue.push(chain.head, 0)
        }
        if (done < CHAINS) expect(Atomics.wait(bell, 0, heard, PATIENCE_MS)).not.toBe("timed-out")
      }
      expect(queue.waiting).toBe(false)
    } finally {
      await worker.terminate()
      await ended
    }
  })
})
