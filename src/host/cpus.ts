import type { Machine } from "../machine/machine.ts"
import { ATT_INTR, ATT_NMI, ATTENTION } from "../machine/core/state.ts"
import type { Processor } from "../machine/processor.ts"
import type { SharedHeap } from "../machine/shared.ts"
import { HostStatistics } from "./statistics.ts"
import { NONE } from "./task.ts"

/*
 * The processors as the host kernel knows them: columns by processor that all threads share, and one object each.
 */

/** The simulated interrupt hardware of one processor, behind the few operations that the host needs. */
export interface HostClock {
  /** Programs the one-shot timer to interrupt at `at` (ns), Infinity stops it. */
  arm(at: number, now: number): void
  /** The interrupt that is being handled is done with. */
  acknowledge(): void
  /** An interrupt to this processor, from whatever thread, to get it out of HLT or out of a guest. */
  kick(): void
  /** When the timer next has something to do. */
  nextEvent(now: number): number
  /** Lets the timer do what is due, which may raise INTR. */
  advance(now: number): void
}

export class CpuTable {
  /** Task that runs, the one to run when there is no other, and the one that is being switched away from. */
  readonly current: Int32Array
  readonly idle: Int32Array
  readonly previous: Int32Array
  /** Task for which an idle processor has been chosen, until it has seen to it. */
  readonly claimed: Int32Array
  /** Thread that drives it, or NONE while it is halted. */
  readonly executor: Int32Array
  /**
   * Number of the guest + 1 that may be running on it; 0 while it is certain that none is. Set before a root is loaded, and
   * cleared when the processor is known to have left the guest, so whoever has taken rights from shadow tables waits for it.
   */
  readonly inGuest: Int32Array
  /** Shootdowns that look at the processor, and, while there are any, how often it has left a guest. */
  readonly watchers: Int32Array
  readonly exits: Int32Array
  /** Physical address of a gate that has been reached and not been served, or NONE. */
  readonly gate: Int32Array
  /** When the scheduler's tick comes, and what the timer is programmed for (ns). */
  readonly tickAt: Float64Array
  readonly armedFor: Float64Array

  constructor(heap: SharedHeap, processors: number) {
    const column = (): Int32Array => {
      const words = heap.i32(processors)
      if (heap.fresh) words.fill(NONE)
      return words
    }
    this.current = column()
    this.idle = column()
    this.previous = column()
    this.claimed = column()
    this.executor = column()
    this.gate = column()
    this.inGuest = heap.i32(processors)
    this.watchers = heap.i32(processors)
    this.exits = heap.i32(processors)
    this.tickAt = heap.f64(processors)
    this.armedFor = heap.f64(processors)
    if (heap.fresh) {
      this.tickAt.fill(Infinity)
      this.armedFor.fill(Infinity)
    }
  }
}

export class HostCpu {
  readonly index: number
  readonly clock: HostClock
  readonly statistics: HostStatistics
  private readonly machine: Machine
  private core: Processor | undefined

  constructor(machine: Machine, heap: SharedHeap, index: number, clock: HostClock) {
    this.machine = machine
    this.index = index
    this.clock = clock
    this.statistics = new HostStatistics(heap)
  }

  get processor(): Processor {
    return (this.core ??= this.machine.processor(this.index))
  }

  /** Whether it is in HLT and no interrupt is there to wake it. */
  get asleep(): boolean {
    const { processor } = this
    return processor.halted && (processor.word(ATTENTION) & (ATT_INTR | ATT_NMI)) === 0
  }
}
