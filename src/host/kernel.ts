import { EXIT_BUDGET, EXIT_DEBUG, EXIT_GATE, EXIT_HALT, EXIT_SHUTDOWN } from "../machine/core/state.ts"
import type { Machine } from "../machine/machine.ts"
import type { Processor } from "../machine/processor.ts"
import type { Ram } from "../machine/ram.ts"
import type { EventLog } from "./eventLog.ts"
import type { FrameAllocator } from "./frames.ts"
import type { GateTable } from "./gates.ts"
import { HostStatistics } from "./statistics.ts"
import type { RunQueue, Task } from "./task.ts"
import { type Timer, Timers } from "./timers.ts"

/*
 * What the hosts of both architectures have in common: time, the run loop that drives the processor from gate to gate, and
 * the decision which task is next. How a task is switched to is machine code and differs; that code calls `schedule`.
 */

/** The host itself broke: a defect of ours, never a guest's doing. */
export class HostPanic extends Error {
  override readonly name = "HostPanic"
}

/** The simulated interrupt hardware that the host drives, behind the few operations that it needs. */
export interface HostClock {
  /** Programs the one-shot timer to interrupt at `at` (ticks), Infinity stops it. */
  arm(at: number, now: number): void
  /** The interrupt that is being handled is done with. */
  acknowledge(): void
  /** An interrupt to this processor itself, to get it out of HLT. */
  kick(): void
  /** When the chipset next has something to do. */
  nextEvent(now: number): number
  /** Lets the chipset do what is due, which may raise INTR. */
  advance(now: number): void
}

/** Why `drive` came back. */
export type Driven = "asked" | "idle" | "slice"

/** Time within which a task that has nothing to do gives up the processor. */
const SWITCH_AWAY = 1000

/** Length of the scheduler's tick: 100 Hz. */
export const TICK = 10_000_000

export class HostKernel {
  readonly machine: Machine
  readonly processor: Processor
  readonly ram: Ram
  readonly frames: FrameAllocator
  readonly gates: GateTable
  readonly clock: HostClock
  readonly log: EventLog
  readonly timers = new Timers()
  readonly statistics = new HostStatistics()
  /** Set by whoever wants `drive` to return to the launcher after the current gate. */
  asked = false
  private armedFor = Infinity
  private readonly tick: Timer
  private queue: RunQueue | undefined
  /** Sets the flag that the assembly tests on its way out: another task should run. */
  readonly needResched: () => void

  constructor(parts: {
    readonly machine: Machine
    readonly frames: FrameAllocator
    readonly gates: GateTable
    readonly clock: HostClock
    readonly log: EventLog
    readonly needResched: () => void
  }) {
    this.machine = parts.machine
    this.processor = parts.machine.processor(0)
    this.ram = parts.machine.ram
    this.frames = parts.frames
    this.gates = parts.gates
    this.clock = parts.clock
    this.log = parts.log
    this.needResched = parts.needResched
    this.tick = {
      at: Infinity,
      fire: (now) => {
        if (this.tasks.contended) this.needResched()
        this.timers.arm(this.tick, now + TICK)
      },
    }
  }

  get tasks(): RunQueue {
    return this.queue!
  }

  /** Hands the kernel its tasks; from here on it ticks. */
  start(queue: RunQueue): void {
    this.queue = queue
    this.timers.arm(this.tick, this.processor.now + TICK)
    this.rearm()
  }

  /** Simulated time, ns. */
  get now(): number {
    return this.processor.now
  }

  /** The hardware timer follows the first of the timers; an idle host has no tick. */
  rearm(): void {
    const now = this.now
    if (this.queue !== undefined && this.queue.current === this.queue.idle) this.timers.cancel(this.tick)
    else if (this.tick.at === Infinity) this.timers.arm(this.tick, now + TICK)
    const next = this.timers.next()
    if (next === this.armedFor) return
    this.armedFor = next
    this.clock.arm(next, now)
  }

  /** The timer interrupt's handler. */
  timerInterrupt(): void {
    this.armedFor = Infinity
    this.timers.run(this.now)
    this.rearm()
  }

  /** A task can run again: the idle task gives way at once. */
  wake(task: { runnable: boolean }): void {
    task.runnable = true
    this.needResched()
    // Not only when it is halted: it may be between the test of the flag and HLT.
    if (this.queue === undefined || this.queue.current === this.queue.idle) this.clock.kick()
  }

  /** The current task is over: it runs to the end of its gate and never again. */
  endCurrent(): void {
    this.tasks.remove(this.tasks.current)
    this.needResched()
  }

  /** Decides which task runs next, and makes it the current one; undefined: the one that runs. */
  pickNext(): Task | undefined {
    const { tasks, statistics } = this
    const next = tasks.next()
    if (next === tasks.current) return undefined
    tasks.current = next
    next.switches++
    statistics.contextSwitches++
    this.rearm()
    return next
  }

  /**
   * Lets a task that has nothing more to do leave the processor: it may be the current one, inside a gate, and must be
   * elsewhere before its stack goes.
   */
  switchAwayFrom(task: Task): void {
    while (this.tasks.current === task) {
      this.wake(task)
      this.clock.kick() // it may be in its guest, for as long as nothing interrupts it
      this.drive(this.now + SWITCH_AWAY)
    }
  }

  /**
   * Runs the processor until somebody asks for the launcher, the host is idle, or `limit` (ticks of simulated time) is
   * reached. Instructions are exact: it stops at the limit itself, except that a gate's work is done first.
   */
  drive(limit: number): Driven {
    const { processor, clock } = this
    this.asked = false
    for (;;) {
      const now = processor.now
      if (now >= limit) return "slice"
      clock.advance(now)
      const reason = processor.run(Math.max(1, Math.min(limit, clock.nextEvent(now)) - now))
      switch (reason) {
        case EXIT_GATE:
          this.gates.dispatch(processor.exitDetail)
          if (this.asked) return "asked"
          break
        case EXIT_HALT:
          return "idle"
        case EXIT_BUDGET:
          break
        case EXIT_DEBUG: // whoever debugs looks at the processor himself
          return "slice"
        case EXIT_SHUTDOWN:
          throw new HostPanic(`the host's processor shut down at 0x${processor.rip.toString(16)}`)
        default:
          throw new HostPanic(`the processor stopped for reason ${reason}`)
      }
    }
  }
}
