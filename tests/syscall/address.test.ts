import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { hexOf, isBelow, isCanonical, toNumber, vpnOf } from "../../src/syscall/address.ts"

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const lo = (v: bigint) => Number(v & 0xffffffffn)
const hi = (v: bigint) => Number(v >> 32n)

describe("addresses in halves", () => {
  it("are canonical exactly if bits 63..47 agree", () => {
    const edges = [0x7fff_ffff_ffffn, 0x8000_0000_0000n, 0xffff_7fff_ffff_ffffn, 0xffff_8000_0000_0000n]
    fc.assert(
      fc.property(fc.oneof(u64, fc.constantFrom(...edges)), (v) => {
        expect(isCanonical(hi(v))).toBe(BigInt.asUintN(64, BigInt.asIntN(48, v)) === v)
      }),
    )
  })

  it("have the virtual page number in bits 47..12", () => {
    fc.assert(
      fc.property(u64, (v) => {
        expect(vpnOf(lo(v), hi(v))).toBe(Number((v >> 12n) & 0xf_ffff_ffffn))
      }),
    )
  })

  it("become exact numbers, or Infinity", () => {
    fc.assert(
      fc.property(fc.oneof(u64, fc.bigInt({ min: 2n ** 53n - 4n, max: 2n ** 53n + 4n })), (v) => {
        expect(toNumber(lo(v), hi(v))).toBe(v < 2n ** 53n ? Number(v) : Infinity)
      }),
    )
  })

  it("compare as unsigned 64-bit values and print as such", () => {
    fc.assert(
      fc.property(u64, u64, (a, b) => {
        expect(isBelow(lo(a), hi(a), lo(b), hi(b))).toBe(a < b)
        expect(hexOf(lo(a), hi(a))).toBe(`0x${a.toString(16)}`)
      }),
    )
  })
})
