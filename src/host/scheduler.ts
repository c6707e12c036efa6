import { Mutex, type SharedHeap } from "../machine/shared.ts"
import type { CpuTable, HostCpu } from "./cpus.ts"
import { NONE, type TaskTable } from "./task.ts"
import type { HostTrace } from "./trace.ts"

/*
 * H:070 More virtual CPUs than processors is the ordinary case in a data centre, so they take turns. Which task runs on
 * which processor. How a task is switched to is machine code; this is the decision, and who drives the processor
 * afterwards.
 *
 * Threads. When all runs in one thread, that thread drives all processors. Otherwise every task has a thread (a virtual CPU
 * its own), and a processor is always driven by the thread of the task that runs on it: where a context switch goes to
 * another task, the processor goes to another thread with it. The idle task has none: its instructions are executed by
 * whoever was there before, and in HLT there are none to execute, so the processor is let go. Waking a task finds it an idle
 * processor and gives that to its thread.
 *
 * All that is decided here is decided under one lock, which is never held while anything is waited for.
 */

/** Most threads that drive processors: one for each virtual CPU and one for the host's processes. */
export const MAX_THREADS = 32

export class Scheduler {
  readonly tasks: TaskTable
  private readonly cpus: ReadonlyArray<HostCpu>
  private readonly table: CpuTable
  private readonly requestReschedule: (cpu: number) => void
  private readonly trace: HostTrace | undefined
  private readonly lock: Mutex
  /** Processor that a thread drives, or NONE. */
  readonly threadCpu: Int32Array
  /** Changes whenever a thread should look at `threadCpu` again. */
  readonly threadWake: Int32Array
  /** [0]: each task has a thread. */
  private readonly threads: Int32Array

  constructor(
    heap: SharedHeap,
    tasks: TaskTable,
    table: CpuTable,
    cpus: ReadonlyArray<HostCpu>,
    requestReschedule: (cpu: number) => void,
    trace?: HostTrace,
  ) {
    this.tasks = tasks
    this.table = table
    this.cpus = cpus
    this.requestReschedule = requestReschedule
    this.trace = trace
    this.lock = new Mutex(heap)
    this.threadCpu = heap.i32(MAX_THREADS)
    this.threadWake = heap.i32(MAX_THREADS)
    this.threads = heap.i32(1)
    if (heap.fresh) this.threadCpu.fill(NONE)
  }

  /** Whether each task has a thread of its own. */
  get threaded(): boolean {
    return this.threads[0] !== 0
  }

  /** From here on each task has its own thread. No processor is being driven; those that somebody waits for get drivers. */
  useThreads(): void {
    this.threads[0] = 1
    this.table.claimed.forEach((pid, cpu) => {
      if (pid !== NONE) this.give(cpu, this.tasks.thread[pid]!)
    })
  }

  // ---------------------------------------------------------------------------------------------------- what can run
  private threadIsFree(pid: number, cpu: number): boolean {
    if (!this.threaded) return true
    const drives = this.threadCpu[this.tasks.thread[pid]!]!
    return drives === NONE || drives === cpu
  }

  private canRun(pid: number, cpu: number): boolean {
    const { tasks } = this
    if (!tasks.isRunnable(pid) || pid === this.table.idle[cpu] || tasks.kind(pid) === "idle") return false
    const on = tasks.onCpu[pid]!
    return (on === NONE || on === cpu) && tasks.allows(pid, cpu) && this.threadIsFree(pid, cpu)
  }

  /** Whether anything but the current task wants to run on a processor. */
  contended(cpu: number): boolean {
    const current = this.table.current[cpu]!
    for (let pid = 0; pid < this.tasks.count; pid++) if (pid !== current && this.canRun(pid, cpu)) return true
    return false
  }

  /** Round robin: the runnable task after the current one; the current one itself if it alone can run; else the idle task. */
  private choose(cpu: number): number {
    const { count } = this.tasks
    const current = this.table.current[cpu]!
    for (let i = 1; i <= count; i++) {
      const pid = (current + i) % count
      if (this.canRun(pid, cpu)) return pid
    }
    return this.table.idle[cpu]!
  }

  // -------------------------------------------------------------------------------------------------------- switching
  /** Decides what runs next on a processor, and makes it current; NONE: what runs now. */
  pickNext(cpu: number): number {
    const { tasks, table } = this
    this.lock.lock()
    // Whoever was promised an idle processor gets it: its thread may be waiting there already.
    const claimant = table.claimed[cpu]!
    table.claimed[cpu] = NONE
    const from = table.current[cpu]!
    const to = claimant !== NONE && this.canRun(claimant, cpu) ? claimant : this.choose(cpu)
    if (to !== from) {
      table.current[cpu] = to
      table.previous[cpu] = from
      tasks.onCpu[to] = cpu
      tasks.lastCpu[to] = cpu
      tasks.switches[to]!++
      tasks.timerCpu[to] = cpu
      if (this.threaded && to !== table.idle[cpu]) this.threadCpu[tasks.thread[to]!] = cpu
    }
    this.lock.unlock()
    return to === from ? NONE : to
  }

  /** The registers of the task that was switched away from have been saved: it may go on anywhere. */
  finishSwitch(cpu: number): void {
    const { tasks, table } = this
    this.lock.lock()
    const from = table.previous[cpu]!
    table.previous[cpu] = NONE
    if (from !== NONE) {
      tasks.onCpu[from] = NONE
      // It has had its turn here; elsewhere there may be nothing to do.
      if (tasks.kind(from) !== "idle" && tasks.isRunnable(from)) this.place(from, false)
    }
    this.lock.unlock()
  }

  /** A processor that nobody drives gets a driver; under the lock. The thread is told by `announce`. */
  private give(cpu: number, thread: number): void {
    this.table.executor[cpu] = thread
    this.threadCpu[thread] = cpu
  }

  /**
   * After a context switch: if another thread has to drive the processor now, it gets it, and the caller, who must not touch
   * the processor any more, true.
   */
  handOver(cpu: number): boolean {
    const { tasks, table } = this
    if (!this.isOthers(cpu)) return false
    const current = table.current[cpu]!
    const before = table.executor[cpu]!
    this.lock.lock()
    this.threadCpu[before] = NONE
    table.executor[cpu] = tasks.thread[current]!
    this.placeTasksOf(before)
    this.lock.unlock()
    this.announce(cpu)
    return true
  }

  /** Whether the task that runs on a processor is another thread's than the one that drives it. */
  isOthers(cpu: number): boolean {
    const { table } = this
    const current = table.current[cpu]!
    return current !== table.idle[cpu] && this.tasks.thread[current] !== table.executor[cpu]
  }

  /** The processor that a thread is to drive, or NONE. */
  driven(thread: number): number {
    const cpu = Atomics.load(this.threadCpu, thread)
    return cpu !== NONE && Atomics.load(this.table.executor, cpu) === thread ? cpu : NONE
  }

  /** Wakes the thread that drives a processor, if it sleeps. */
  announce(cpu: number): void {
    const thread = this.table.executor[cpu]!
    if (thread === NONE) return
    Atomics.add(this.threadWake, thread, 1)
    Atomics.notify(this.threadWake, thread)
  }

  // ----------------------------------------------------------------------------------------------------------- waking
  /** A task can run again. One that runs already is not disturbed. */
  wake(pid: number): void {
    const { tasks } = this
    this.lock.lock()
    if (!tasks.isFree(pid) && !tasks.isRunnable(pid)) {
      tasks.setRunnable(pid, true)
      if (tasks.onCpu[pid] === NONE) this.place(pid, true)
    }
    this.lock.unlock()
  }

  /** A processor gets an interrupt that tells it to look up. */
  kick(cpu: number): void {
    if (this.trace?.on === true) this.trace.kick(cpu)
    this.cpus[cpu]!.clock.kick()
  }

  /** The processor on which a task is, gets an interrupt: it may be in its guest, for as long as nothing interrupts it. */
  kickTask(pid: number): void {
    this.lock.lock()
    const cpu = this.tasks.onCpu[pid]!
    if (cpu !== NONE) this.kick(cpu)
    this.lock.unlock()
  }

  /**
   * Finds a processor for a runnable task that is on none: an idle one, best where it ran last; else, if it may `preempt`,
   * one that is busy; else it has to wait its turn.
   */
  private place(pid: number, preempt: boolean): void {
    const { tasks, table } = this
    const last = tasks.lastCpu[pid]!
    let chosen = this.isFreeFor(last, pid) ? last : NONE
    for (let cpu = 0; cpu < this.cpus.length && chosen === NONE; cpu++) if (this.isFreeFor(cpu, pid)) chosen = cpu
    if (chosen !== NONE) {
      table.claimed[chosen] = pid
      if (this.threaded && table.executor[chosen] === NONE) this.give(chosen, tasks.thread[pid]!)
    } else if (preempt) chosen = this.busyFor(pid)
    if (chosen === NONE) return
    this.requestReschedule(chosen)
    this.kick(chosen)
    if (this.threaded) this.announce(chosen)
  }

  /**
   * A thread drives no processor any more. While it did, its tasks could run nowhere else: one that was woken meanwhile, or
   * lost the processor that it was promised, finds one now or has to wait for a turn. Under the lock.
   */
  private placeTasksOf(thread: number): void {
    const { tasks } = this
    for (let pid = 0; pid < tasks.count; pid++)
      if (tasks.thread[pid] === thread && tasks.isRunnable(pid) && tasks.onCpu[pid] === NONE && this.isPlaceable(pid))
        this.place(pid, false)
  }

  /** No idle task, and promised no processor. */
  private isPlaceable(pid: number): boolean {
    if (this.tasks.kind(pid) === "idle") return false
    for (const claimant of this.table.claimed) if (claimant === pid) return false
    return true
  }

  private isFreeFor(cpu: number, pid: number): boolean {
    const { table } = this
    return table.current[cpu] === table.idle[cpu] && table.claimed[cpu] === NONE && this.canRun(pid, cpu)
  }

  /** Where a task has the best claim to a turn when no processor is idle. */
  private busyFor(pid: number): number {
    const last = this.tasks.lastCpu[pid]!
    if (this.canRun(pid, last)) return last
    for (let cpu = 0; cpu < this.cpus.length; cpu++) if (this.canRun(pid, cpu)) return cpu
    return NONE
  }

  // ---------------------------------------------------------------------------------------------------------- threads
  /** The thread that has found its processor in HLT lets it go; false: something has come meanwhile, go on driving it. */
  release(cpu: number): boolean {
    const { table } = this
    this.lock.lock()
    const idle = this.cpus[cpu]!.asleep && table.current[cpu] === table.idle[cpu] && table.claimed[cpu] === NONE
    if (idle) {
      const thread = table.executor[cpu]!
      this.threadCpu[thread] = NONE
      table.executor[cpu] = NONE
      this.placeTasksOf(thread)
    }
    this.lock.unlock()
    return idle
  }

  /** Number of processors that threads drive. */
  get driving(): number {
    this.lock.lock()
    let driving = 0
    for (const thread of this.table.executor) if (thread !== NONE) driving++
    this.lock.unlock()
    return driving
  }

  get allIdle(): boolean {
    return this.driving === 0
  }

  /**
   * When the first timer on a processor that nobody drives fires. The hardware's may be set for an earlier time, for a task
   * that has moved since.
   */
  idleDeadline(): number {
    const { tasks, table } = this
    let first = Infinity
    for (let pid = 0; pid < tasks.count; pid++)
      if (table.executor[tasks.timerCpu[pid]!] === NONE) first = Math.min(first, tasks.timerAt[pid]!)
    return first
  }

  /** Gives idle processors whose timers are due to the threads of the tasks that wait for them. */
  wakeDue(now: number): void {
    const { tasks, table } = this
    this.lock.lock()
    for (let pid = 0; pid < tasks.count; pid++) {
      const cpu = tasks.timerCpu[pid]!
      if (tasks.timerAt[pid]! > now || table.executor[cpu] !== NONE || !this.threadIsFree(pid, cpu)) continue
      this.give(cpu, tasks.thread[pid]!)
      this.announce(cpu)
    }
    this.lock.unlock()
  }

  // ----------------------------------------------------------------------------------------------------------- timers
  /** Sets a task's timer on the processor that it runs on; Infinity cancels it. */
  setTimer(pid: number, at: number, cpu: number): void {
    this.lock.lock()
    this.tasks.timerCpu[pid] = cpu
    this.tasks.timerAt[pid] = at
    this.lock.unlock()
  }

  /** When the first timer of a processor's tasks fires. */
  nextTimer(cpu: number): number {
    const { tasks } = this
    let first = Infinity
    for (let pid = 0; pid < tasks.count; pid++)
      if (tasks.timerCpu[pid] === cpu) first = Math.min(first, tasks.timerAt[pid]!)
    return first
  }

  /** The task on a processor whose timer is due, first due first; its timer is cancelled. NONE: none is. */
  takeDue(cpu: number, now: number): number {
    const { tasks } = this
    let due = NONE
    // A task takes its timer along to another processor, where it may set it anew: that one is not ours to cancel.
    this.lock.lock()
    for (let pid = 0; pid < tasks.count; pid++)
      if (tasks.timerCpu[pid] === cpu && tasks.timerAt[pid]! <= now)
        if (due === NONE || tasks.timerAt[pid]! < tasks.timerAt[due]!) due = pid
    if (due !== NONE) tasks.timerAt[due] = Infinity
    this.lock.unlock()
    return due
  }
}
