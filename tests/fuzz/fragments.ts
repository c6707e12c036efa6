/*
 * Random code that is likely to be trouble: instructions that systems are made of, with random operands, among random
 * bytes. One generator for both modes; a byte that means something else in the other one is as good there.
 */

/** xorshift32: small, fast, and the same everywhere for the same seed. */
export class Random {
  private state: number
  constructor(seed: number) {
    this.state = seed | 0 || 1
  }

  next(): number {
    let x = this.state
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    this.state = x
    return x >>> 0
  }

  below(n: number): number {
    return this.next() % n
  }
}

/** Addresses of interest: the host's, the guest's, and the edges of what is canonical, as 64-bit values. */
const ADDRESSES = [
  0x0n,
  0x2000n,
  0x3000n,
  0x4000n,
  0x5000n,
  0x7000n,
  0xb000n,
  0x40_0000n,
  0x3f_f000n,
  0x4000_0000n,
  0xf000_0000n,
  0xfee0_0000n,
  0xc000_0000n,
  0xc000_3000n,
  0xffc0_0000n,
  0xffc0_1000n,
  0xffc0_2000n,
  0xffc0_3000n,
  0xffff_ffffn,
  0x7fff_ffff_ffffn,
  0x8000_0000_0000n,
  0xffff_8000_0000_0000n,
  0xffff_8800_0010_0000n,
  0xffff_ff00_0000_0000n,
  0xffff_ff00_0001_0000n,
  0xffff_ff00_0010_0000n,
  0xffff_ff00_0010_2000n,
  0xffff_ff00_0010_3000n,
  0xffff_ff00_0020_0000n,
  0xffff_ff00_0020_1000n,
  0xffff_ffff_8000_2000n,
  0xffff_ffff_8000_4000n,
  0xffff_ffff_8000_7000n,
  0xffff_ffff_ffff_ffffn,
] as const

const bytesOf = (value: bigint, count: number): Array<number> =>
  Array.from({ length: count }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn))

/** Whole instructions whose meaning is privilege, control transfer or tables; some want a random tail. */
const PRIVILEGED: ReadonlyArray<ReadonlyArray<number>> = [
  [0xcd, 0x1f],
  [0xcd, 0x80],
  [0xcd, 0x20],
  [0xcd, 0x02],
  [0xcc],
  [0xce],
  [0xf1],
  [0xcf],
  [0x48, 0xcf],
  [0xcb],
  [0x48, 0xcb],
  [0x9d],
  [0x9c],
  [0x8e, 0xd8],
  [0x8e, 0xd0],
  [0x8e, 0xe0],
  [0x8e, 0xe8],
  [0x17],
  [0x1f],
  [0x0f, 0xa1],
  [0x0f, 0xa9],
  [0xfa],
  [0xfb],
  [0xf4],
  [0x0f, 0x01, 0xf8],
  [0x0f, 0x05],
  [0x0f, 0x07],
  [0x48, 0x0f, 0x07],
  [0x0f, 0x34],
  [0x0f, 0x35],
  [0x0f, 0x30],
  [0x0f, 0x32],
  [0x0f, 0x20, 0xd8],
  [0x0f, 0x22, 0xd8],
  [0x0f, 0x23, 0xf8],
  [0x0f, 0x00, 0xd8],
  [0x0f, 0x00, 0xd0],
  [0x0f, 0x01, 0x10],
  [0x0f, 0x01, 0x18],
  [0x0f, 0x01, 0x38],
  [0x0f, 0x09],
  [0x0f, 0xa2],
  [0x0f, 0x31],
  [0xf3, 0xaa],
  [0xf3, 0xa4],
  [0xf3, 0x6c],
  [0xf2, 0x6e],
  [0xec],
  [0xee],
  [0xed],
  [0xef],
  [0xff, 0x28],
  [0xff, 0x18],
  [0xff, 0xe0],
  [0xff, 0xd0],
  [0xea],
  [0x9a],
  [0xc8],
  [0xc9],
  [0xf0, 0x0f, 0xb1, 0x08],
  [0xf0, 0x0f, 0xc7, 0x08],
  [0xd9, 0xd0],
]

/** A fragment of at most `limit` bytes. */
export const fragment = (random: Random, long: boolean, limit: number): Uint8Array => {
  const out: Array<number> = []
  const address = () => ADDRESSES[random.below(ADDRESSES.length)]! + BigInt(random.below(4) * 8)
  const length = 8 + random.below(limit - 8)
  while (out.length < length) {
    switch (random.below(8)) {
      case 0: // anything
        for (let i = 1 + random.below(6); i > 0; i--) out.push(random.below(256))
        break
      case 1:
      case 2:
        out.push(...PRIVILEGED[random.below(PRIVILEGED.length)]!)
        break
      case 3: // a register gets an address
        out.push(...(long ? [0x48] : []), 0xb8 | random.below(8), ...bytesOf(address(), long ? 8 : 4))
        break
      case 4: // a load or store through a register
        out.push(...(long ? [0x48] : []), [0x8b, 0x89, 0x87, 0x01][random.below(4)]!, random.below(0x40) & 0x3b)
        break
      case 5: // a small number in a register: of a hypercall, a selector, a length
        out.push(0xb8 | random.below(8), random.below(128), 0, 0, 0)
        break
      case 6: // a hypercall, all of it
        if (long)
          out.push(0xc7, 0x04, 0x25, 0x00, 0x20, 0x00, 0x80, 1, 0, 0, 0, 0xb8, random.below(40), 0, 0, 0, 0x0f, 0x05)
        else out.push(0xb8, random.below(24), 0, 0, 0, 0xcd, 0x1f)
        break
      case 7: // the stack moves
        out.push(...(long ? [0x48] : []), 0xbc, ...bytesOf(address(), long ? 8 : 4))
        break
    }
  }
  return Uint8Array.from(out.slice(0, limit))
}
