/*
 * Chance that is the same every time: xorshift32 (Marsaglia 2003) over one word, which belongs to the caller so that it can
 * be saved and put back with everything else.
 */
export class Random {
  private readonly state: Uint32Array

  /** One word of state; all zeros, it has not been seeded. */
  constructor(state: Uint32Array) {
    this.state = state
  }

  seed(seed: number): void {
    // Zero is the one state that leads nowhere; and neighbouring seeds should not look alike.
    this.state[0] = Math.imul(seed ^ 0x5bd1_e995, 0x9e37_79b1) | 1
    for (let i = 0; i < 8; i++) this.next()
  }

  /** 32 bits. */
  next(): number {
    let x = this.state[0]!
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    this.state[0] = x
    return x >>> 0
  }

  /** 0..n-1; n is small. */
  below(n: number): number {
    return this.next() % n
  }
}
