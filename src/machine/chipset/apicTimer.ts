/*
 * The local APIC's timer (SDM vol. 3, 11.5.4): counts down from an initial count at 1 GHz divided by 1 to 128, once or again
 * and again. Like the 8254 it is computed from the time and costs nothing while it runs.
 */
export class ApicTimer {
  /** Divide configuration register: bits 3, 1 and 0. */
  divideRegister = 0
  /** Initial count; 0: stopped. */
  initial = 0
  periodic = false
  /** Nanosecond at which the initial count was written. */
  private started = 0
  /** Nanosecond up to which expiries have been seen. */
  private seen = 0

  reset(): void {
    this.divideRegister = this.initial = 0
    this.periodic = false
  }

  /** 2, 4, 8, 16, 32, 64, 128, 1 (fig. 11-10). */
  private get divide(): number {
    const code = (this.divideRegister & 3) | ((this.divideRegister >> 1) & 4)
    return code === 7 ? 1 : 2 << code
  }

  /** The current count register. */
  current(now: number): number {
    if (this.initial === 0) return 0
    const counted = Math.floor((now - this.started) / this.divide)
    return this.periodic ? this.initial - (counted % this.initial) : Math.max(this.initial - counted, 0)
  }

  start(count: number, now: number): void {
    this.initial = count
    this.started = now
    this.seen = now
  }

  /** Counting goes on at the new rate with what is left. */
  setDivide(value: number, now: number): void {
    const left = this.current(now)
    this.divideRegister = value & 0x0b
    if (this.initial !== 0) this.started = now - (this.initial - left) * this.divide
  }

  /** Nanosecond of the first expiry not yet seen, or Infinity. */
  nextExpiry(): number {
    if (this.initial === 0) return Infinity
    const period = this.initial * this.divide
    if (!this.periodic) return this.seen < this.started + period ? this.started + period : Infinity
    return this.started + (Math.floor((this.seen - this.started) / period) + 1) * period
  }

  advance(now: number): void {
    this.seen = Math.max(this.seen, now)
  }
}
