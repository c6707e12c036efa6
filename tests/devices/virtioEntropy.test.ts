import { describe, expect, it } from "vitest"
import { GuestFault, seededEntropy, systemEntropy, VirtioEntropy } from "../../src/devices/index.ts"
import { BUFFERS, makeDriver } from "./driver.ts"

/* Virtio 1.0, section 5.4. */

const draw = (source = seededEntropy(1), parts: ReadonlyArray<readonly [number, number]> = [[BUFFERS, 64]]) => {
  const t = makeDriver(new VirtioEntropy(source))
  const [q] = t.start()
  t.chain(q!, 0, [], parts)
  t.offer(q!, 0)
  t.notify(q!)
  return { ...t, q: q!, bytes: parts.flatMap(([at, length]) => [...t.ram.copyOut(at, length)]) }
}

describe("an entropy device", () => {
  it("fills buffers, and says how many bytes", () => {
    const { config, used, q, bytes, irqs } = draw(seededEntropy(1), [[BUFFERS, 10], [BUFFERS + 0x100, 54]]) // prettier-ignore
    expect(config(0, 4)).toBe(0x10441af4)
    expect(used(q, 0)).toEqual([0, 64])
    const expected = new Uint8Array(64)
    seededEntropy(1)(expected)
    expect(bytes).toEqual([...expected])
    expect(irqs).toContainEqual([10, true])
  })

  it("fills a large buffer in part", () => {
    const t = draw(seededEntropy(1), [[BUFFERS, 0x10000]])
    expect(t.used(t.q, 0)[1]).toBe(4096)
    expect(t.bytes.slice(4096).every((byte) => byte === 0)).toBe(true)
  })

  it("gives the same bytes for the same seed, others for another", () => {
    expect(draw(seededEntropy(7)).bytes).toEqual(draw(seededEntropy(7)).bytes)
    expect(draw(seededEntropy(7)).bytes).not.toEqual(draw(seededEntropy(8)).bytes)
  })

  it("spreads over all values", () => {
    const bytes = new Uint8Array(1 << 16)
    seededEntropy(0)(bytes)
    const counts = new Array<number>(256).fill(0)
    for (const byte of bytes) counts[byte]!++
    // 256 expected, standard deviation 16.
    expect(Math.min(...counts)).toBeGreaterThan(256 - 6 * 16)
    expect(Math.max(...counts)).toBeLessThan(256 + 6 * 16)
  })

  it("draws from the system", () => {
    expect(draw(systemEntropy).bytes).not.toEqual(draw(systemEntropy).bytes)
  })

  it("ends a guest that gives it something to read", () => {
    const t = makeDriver(new VirtioEntropy(seededEntropy(1)))
    const [q] = t.start()
    t.chain(q!, 0, [[BUFFERS, 8]], [[BUFFERS + 8, 8]])
    t.offer(q!, 0)
    expect(() => t.notify(q!)).toThrow(GuestFault)
  })
})
