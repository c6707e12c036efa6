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
  it("has asked for a notification of the next chain before it looks for it", () => {
    const { ram, memory, queue, offer, chain } = make()
    const read = memory.atomicRead16.bind(memory)
    const asked: number[] = []
    memory.atomicRead16 = (gpa) => {
      if (gpa === AVAIL_INDEX) asked.push(ram.read16(AVAIL_EVENT))
      return read(gpa)
    }
    offer()
    offer()
    while (queue.pop(chain));
    expect(asked).toEqual([0, 1, 2])
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
