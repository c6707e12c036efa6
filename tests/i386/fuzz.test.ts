import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { TestGuest } from "./guests.ts"

/*
 * Random code at ring 1 and at ring 3. Whatever it does, it ends by itself or at its limit, nothing is thrown, and no byte of the
 * host's own text, tables and gates is other than before.
 */
const FRAGMENT = 0x1ff000

/** Instructions that are about to be interesting, among random bytes. */
const nasty = fc.constantFrom(
  [0xcd, 0x1f],
  [0xcd, 0x80],
  [0xcd, 0x20],
  [0xcc],
  [0xcf],
  [0xcb],
  [0x9d],
  [0x9c],
  [0x8e, 0xd8],
  [0x8e, 0xd0],
  [0x17],
  [0x1f],
  [0x0f, 0xa1],
  [0xfa],
  [0xfb],
  [0xf4],
  [0x0f, 0x01, 0xf8],
  [0x0f, 0x05],
  [0x0f, 0x34],
  [0xea, 0x00, 0x00, 0xc0, 0xff, 0x50, 0x00],
  [0x9a, 0x00, 0x00, 0xc0, 0xff, 0x50, 0x00],
  [0xff, 0x2d, 0x00, 0x30, 0x00, 0xc0],
  [0xb8, 0x07, 0x00, 0x00, 0x00],
  [0xb8, 0x12, 0x00, 0x00, 0x00],
  [0xb8, 0x06, 0x00, 0x00, 0x00],
  [0xb8, 0x04, 0x00, 0x00, 0x00],
  [0xbb, 0x61, 0x00, 0x00, 0x00],
  [0xbb, 0x0c, 0x00, 0x00, 0x00],
  [0xbc, 0x00, 0x30, 0xc0, 0xff],
  [0xa1, 0x00, 0x30, 0xc0, 0xff],
  [0xa3, 0x00, 0x30, 0xc0, 0xff],
  [0xf3, 0xaa],
  [0xee],
  [0xed],
)
const code = fc
  .array(fc.oneof(nasty, fc.array(fc.integer({ min: 0, max: 255 }), { minLength: 1, maxLength: 6 })), {
    minLength: 4,
    maxLength: 60,
  })
  .map((parts) => Uint8Array.from(parts.flat()))

const digest = (bytes: Uint8Array): number => {
  let h = 0x811c9dc5
  for (const b of bytes) h = Math.imul(h ^ b, 0x01000193)
  return h >>> 0
}

describe("random code", () => {
  it.each([
    ["fragment_kernel", false],
    ["fragment_user", false],
    ["fragment_kernel", true],
  ] as const)("in %s (PAE %s) hurts nobody else", (entry, pae) => {
    fc.assert(
      fc.property(code, (bytes) => {
        const guest = new TestGuest(entry, { pae })
        const { machine, guestBase, kernel } = guest.hosted
        const { ram } = machine
        ram.copyIn(guestBase + FRAGMENT, bytes)
        // Text and gates.
        const text = digest(ram.copyOut(0x10_0000, 0x1_2000))
        for (let i = 0; i < 20; i++) {
          const pending = guest.run(kernel.now + 20_000)
          if (pending.kind === "io") guest.hosted.device.trap(13, 0)
          else if (pending.kind !== "slice") break
        }
        expect(digest(ram.copyOut(0x10_0000, 0x1_2000))).toBe(text)
        // The host is alive: its process makes its calls.
        guest.hosted.device.kill("the test is over")
        const before = kernel.statistics.hostSystemCalls
        guest.pass(210_000_000)
        expect(kernel.statistics.hostSystemCalls).toBeGreaterThan(before)
      }),
      { numRuns: 60 },
    )
  })
})
