import { describe, expect, it } from "vitest"
import { DescriptorChain, GuestMemory, Virtqueue } from "../../src/devices/index.ts"
import { VIRTQ_AVAIL, VIRTQ_DESC, VIRTQ_USED, VIRTQ_USED_ELEMENT } from "../../src/devices/virtqueue.ts"
import { makeRam } from "./driver.ts"

/* A driver on another thread, at the worst moments. */

const SIZE = 8
const DRIVER = 0x1000
const DEVICE = 0x2000
const AVAIL_INDEX = DRIVER + VIRTQ_AVAIL.fields.index.offset
const AVAIL_EVENT = DEVICE + VIRTQ_USED.size + SIZE * VIRTQ_USED_ELEMENT.size

/** A queue, and a driver that offers one chain after the other. */
const make = () => {
  const ram = makeRam(0x10000)
  const memory = new GuestMemory(ram, 0, 0x10000)
  const queue = new Virtqueue(memory, SIZE)
  queue.driver = DRIVER
  queue.device = DEVICE
  queue.enabled = queue.eventIndex = true
  let available = 0
  const offer = () => {
    const f = VIRTQ_DESC.fields
    ram.write32(available * VIRTQ_DESC.size + f.address.offset, 0x8000)
    ram.write32(available * VIRTQ_DESC.size + f.length.offset, 16)
    ram.write16(DRIVER + VIRTQ_AVAIL.size + 2 * available, available)
    ram.atomicWrite16(AVAIL_INDEX, ++available)
  }
  return { ram, memory, queue, offer, chain: new DescriptorChain(SIZE) }
}

describe("a queue whose driver runs on another thread", () => {
  it("takes a chain that was offered before the driver could see that it has to notify", () => {
    const { memory, queue, offer, chain } = make()
    offer()
    expect(queue.pop(chain)).toBe(true)
    const write = memory.atomicWrite16.bind(memory)
    let raced = false
    memory.atomicWrite16 = (gpa, value) => {
      // The driver looks at avail_event, sees the old one, and does not notify.
      if (gpa === AVAIL_EVENT && !raced) offer()
      raced = true
      write(gpa, value)
    }
    expect(queue.pop(chain)).toBe(true)
    expect(chain.head).toBe(1)
    expect(queue.pop(chain)).toBe(false)
  })

  it("asks to be told of the next chain whenever it finds none", () => {
    const { ram, queue, offer, chain } = make()
    offer()
    offer()
    while (queue.pop(chain));
    expect(ram.read16(AVAIL_EVENT)).toBe(2)
    expect(queue.waiting).toBe(false)
    offer()
    expect(queue.waiting).toBe(true)
  })
})
