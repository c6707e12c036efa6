import { waitWhile } from "../machine/shared.ts"
import type { HostKernel } from "./kernel.ts"
import { NONE } from "./task.ts"

/*
 * H:360 And so that all this is not only simulated concurrency: each virtual CPU's task has a thread of your computer,
 * and these threads pass the simulated processors from hand to hand.
 *
 * A thread of the host's: it sleeps until a processor is given to it (scheduler.ts), drives that from gate to gate, and
 * lets it go when the task that runs there is another thread's, or none. There is no loop in it that spins.
 *
 * You know now what happens before a world switch and what happens after it. Only the switch itself is missing, and it
 * is where all of the threads of this story are tied together: `lguest64 journey Switcher`.
 */

/** Instructions after which a thread looks up from its processor; clocks of processors differ by less than that. */
const SLICE = 100_000

export interface TaskThreadEvents {
  /** The task has something for the launcher: it sees to that, and returns when the task may go on. */
  asked(): void
  /** No processor of the machine has anything to do. */
  idle(): void
}

export class TaskThread {
  private readonly kernel: HostKernel
  private readonly number: number
  private readonly events: TaskThreadEvents

  /** `number`: what is in `TaskTable.thread` for its tasks. */
  constructor(kernel: HostKernel, number: number, events: TaskThreadEvents) {
    this.kernel = kernel
    this.number = number
    this.events = events
  }

  /** For ever: the thread is ended from outside. */
  run(): never {
    for (;;) this.turn()
  }

  private turn(): void {
    const { kernel, number } = this
    const { scheduler } = kernel
    const seen = Atomics.load(scheduler.threadWake, number)
    const index = scheduler.driven(number)
    if (index === NONE) {
      waitWhile(scheduler.threadWake, number, seen)
      return
    }
    const cpu = kernel.cpus[index]!
    kernel.synchronize(cpu)
    const why = kernel.driveProcessor(cpu, cpu.processor.now + SLICE)
    // Handed on, it is not ours to look at any more.
    if (why === "handed") return
    kernel.synchronize(cpu)
    if (why === "idle") {
      if (scheduler.release(index) && scheduler.allIdle) this.events.idle()
    } else if (why === "asked") {
      if (kernel.pauses.asked) kernel.pauses.wait()
      else this.events.asked()
    }
    if (scheduler.idleDeadline() <= kernel.time) scheduler.wakeDue(kernel.time)
  }
}
