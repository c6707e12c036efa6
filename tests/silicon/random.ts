/* A small seeded generator (xorshift128) and the values that find mistakes in arithmetic. */

export class Random {
  private a: number
  private b: number
  private c: number
  private d: number

  constructor(seed: number) {
    this.a = seed ^ 0x9e3779b9
    this.b = seed + 0x243f6a88
    this.c = 0xb7e15162
    this.d = ~seed
    for (let i = 0; i < 16; i++) this.u32()
  }

  u32(): number {
    const t = this.a ^ (this.a << 11)
    this.a = this.b
    this.b = this.c
    this.c = this.d
    this.d = this.d ^ (this.d >>> 19) ^ t ^ (t >>> 8)
    return this.d >>> 0
  }

  /** 0 .. n-1. */
  below(n: number): number {
    return this.u32() % n
  }

  /** True in `percent` of 100. */
  chance(percent: number): boolean {
    return this.below(100) < percent
  }

  pick<T>(from: ReadonlyArray<T>): T {
    return from[this.below(from.length)]!
  }

  big(): bigint {
    return (BigInt(this.u32()) << 32n) | BigInt(this.u32())
  }

  /** A 64-bit value: limits of each width, powers of two and their neighbours, small, random. */
  interesting(): bigint {
    switch (this.below(8)) {
      case 0:
        return BigInt.asUintN(64, this.pick(EDGES))
      case 1:
        return BigInt.asUintN(64, (1n << BigInt(this.below(64))) + BigInt(this.below(3) - 1))
      case 2:
        return BigInt.asUintN(64, -(1n << BigInt(this.below(64))) + BigInt(this.below(3) - 1))
      case 3:
        return BigInt(this.below(256))
      case 4:
        return BigInt(this.u32())
      case 5:
        return BigInt.asUintN(64, -BigInt(this.below(256)))
      default:
        return this.big()
    }
  }
}

const EDGES: ReadonlyArray<bigint> = [8n, 16n, 32n, 64n].flatMap((width) => {
  const top = 1n << (width - 1n)
  return [0n, 1n, -1n, top - 1n, top, -top, -top - 1n, 2n * top - 1n, 2n * top - 2n, top | 1n]
})
