/*
 * 64-bit addresses as a guest gives them: two unsigned halves, believed to be nothing until checked.
 */

/** Whether bits 63..47 are all the same (SDM vol. 1, 3.3.7.1). */
export const isCanonical = (hi: number): boolean => {
  const top = hi >>> 15
  return top === 0 || top === 0x1ffff
}

/** The virtual page number, bits 47..12, of a canonical address. */
export const vpnOf = (lo: number, hi: number): number => (hi & 0xffff) * 0x10_0000 + (lo >>> 12)

/** The value as a number; anything above 2^53 becomes Infinity, which no bound check lets pass. */
export const toNumber = (lo: number, hi: number): number =>
  hi >>> 0 < 0x20_0000 ? (hi >>> 0) * 0x1_0000_0000 + (lo >>> 0) : Infinity

/** a < b, unsigned. */
export const isBelow = (aLo: number, aHi: number, bLo: number, bHi: number): boolean =>
  aHi >>> 0 < bHi >>> 0 || (aHi === bHi && aLo >>> 0 < bLo >>> 0)

export const hexOf = (lo: number, hi: number): string =>
  `0x${((BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)).toString(16)}`
