/*
 * The local APIC's timer (SDM vol. 3, 11.5.4): counts down from an initial count at 1 GHz divided by 1 to 128, once or again
 * and again. Like the 8254 it is computed from the time and costs nothing while it runs.
 *
 * Its state lies in arrays that threads share, and only its own processor touches it.
 */

/** Words (u32). */
const DIVIDE = 0
const INITIAL = 1
const PERIODIC = 2
export const TIMER_WORDS = 3
/** Times (f64): nanosecond at which the initial count was written; nanosecond up to which expiries have been seen. */
const STARTED = 0
const SEEN = 1
export const TIMER_TIMES = 2

export class ApicTimer {
  private readonly words: Uint32Array
  private readonly times: Float64Array

  constructor(words: Uint32Array, times: Float64Array) {
    this.words = words
    this.times = times
  }

  reset(): void {
    this.words.fill(0)
  }

  /** Divide configuration register: bits 3, 1 and 0. */
  get divideRegister(): number {
    return this.words[DIVIDE]
  }

  /** Initial count; 0: stopped. */
  get initial(): number {
    return this.words[INITIAL]
  }

  set periodic(periodic: boolean) {
    this.words[PERIODIC] = periodic ? 1 : 0
  }

  get periodic(): boolean {
    return this.words[PERIODIC] !== 0
  }

  /** 2, 4, 8, 16, 32, 64, 128, 1 (fig. 11-10). */
  private get divide(): number {
    const code = (this.divideRegister & 3) | ((this.divideRegister >> 1) & 4)
    return code === 7 ? 1 : 2 << code
  }

  /** The current count register. */
  current(now: number): number {
    const { initial } = this
    if (initial === 0) return 0
    const counted = Math.floor((now - this.times[STARTED]) / this.divide)
    return this.periodic ? initial - (counted % initial) : Math.max(initial - counted, 0)
  }

  start(count: number, now: number): void {
    this.words[INITIAL] = count
    this.times[STARTED] = now
    this.times[SEEN] = now
  }

  /** Counting goes on at the new rate with what is left. */
  setDivide(value: number, now: number): void {
    const left = this.current(now)
    this.words[DIVIDE] = value & 0x0b
    if (this.initial !== 0) this.times[STARTED] = now - (this.initial - left) * this.divide
  }

  /** Nanosecond of the first expiry not yet seen, or Infinity. */
  nextExpiry(): number {
    if (this.initial === 0) return Infinity
    const period = this.initial * this.divide
    const started = this.times[STARTED]
    const seen = this.times[SEEN]
    if (!this.periodic) return seen < started + period ? started + period : Infinity
    return started + (Math.floor((seen - started) / period) + 1) * period
  }

  advance(now: number): void {
    if (now > this.times[SEEN]) this.times[SEEN] = now
  }
}
