/*
 * High-resolution timers of the host: a handful at a time (the tick, a guest's clock event, a sleeping process), so a sorted
 * array is the right heap. Times are ticks (ns) of simulated time.
 */
export interface Timer {
  /** When it fires, or Infinity while it is not armed. */
  at: number
  readonly fire: (now: number) => void
}

export class Timers {
  private readonly armed: Array<Timer> = []

  /** Arms `timer` for `at`, from wherever it was. Infinity is never: the array holds only what will fire. */
  arm(timer: Timer, at: number): void {
    this.cancel(timer)
    if (at === Infinity) return
    timer.at = at
    let i = this.armed.length
    while (i > 0 && this.armed[i - 1]!.at > at) i--
    this.armed.splice(i, 0, timer)
  }

  cancel(timer: Timer): void {
    if (timer.at === Infinity) return
    timer.at = Infinity
    const i = this.armed.indexOf(timer)
    if (i >= 0) this.armed.splice(i, 1)
  }

  /** When the next one fires, or Infinity. */
  next(): number {
    return this.armed.length > 0 ? this.armed[0]!.at : Infinity
  }

  /** Fires all that are due. */
  run(now: number): void {
    while (this.armed.length > 0 && this.armed[0]!.at <= now) {
      const timer = this.armed.shift()!
      timer.at = Infinity
      timer.fire(now)
    }
  }
}
