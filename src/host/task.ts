import type { SharedHeap } from "../machine/shared.ts"

/*
 * H:060 The proposal's other half is in one field of this table. A task that is a Guest's virtual CPU has a VCPU
 * pointer; all others have NULL. On each context switch it goes where the entry code looks (S:060).
 *
 * Tasks: what the host schedules. A host process and a guest's virtual CPU are tasks alike; a virtual CPU's has a VCPU
 * descriptor in its `vcpu` field, which the context switch copies to the PDA.
 *
 * A task is a number; what is known of it are columns that all threads share.
 */
export type TaskKind = "idle" | "process" | "vcpu"
const KINDS: ReadonlyArray<TaskKind> = ["idle", "process", "vcpu"]

/** All virtual CPUs that the host has room for, an idle task for each processor, and some processes. */
export const MAX_TASKS = 320

/** No task, no processor, no thread. */
export const NONE = -1

/** Task states. A task that runs is runnable, and `onCpu` says where. */
const FREE = 0
const SLEEPING = 1
const RUNNABLE = 2

/** The thread of tasks that are not virtual CPUs'. */
export const HOST_THREAD = 0

export class TaskTable {
  /** Whether it waits, or can run. */
  readonly state: Int32Array
  private readonly kinds: Int32Array
  /** Physical address of its structure in the host's memory. */
  readonly pa: Float64Array
  /** Bit p: it may run on processor p. */
  readonly affinity: Int32Array
  /** Processor whose registers or stack hold it, or NONE: nobody else may switch to it meanwhile. */
  readonly onCpu: Int32Array
  /** Processor that it ran on last. */
  readonly lastCpu: Int32Array
  /** Thread that drives a processor while this task runs there. */
  readonly thread: Int32Array
  /** Number of times it was switched to. */
  readonly switches: Float64Array
  /** When its timer fires (ns), or Infinity, and on which processor. */
  readonly timerAt: Float64Array
  readonly timerCpu: Int32Array
  /** [0]: numbers below are or were in use. */
  private readonly used: Int32Array
  private readonly all = new Map<number, Task>()
  private readonly names = new Map<number, string>()

  constructor(heap: SharedHeap) {
    this.state = heap.i32(MAX_TASKS)
    this.kinds = heap.i32(MAX_TASKS)
    this.pa = heap.f64(MAX_TASKS)
    this.affinity = heap.i32(MAX_TASKS)
    this.onCpu = heap.i32(MAX_TASKS)
    this.lastCpu = heap.i32(MAX_TASKS)
    this.thread = heap.i32(MAX_TASKS)
    this.switches = heap.f64(MAX_TASKS)
    this.timerAt = heap.f64(MAX_TASKS)
    this.timerCpu = heap.i32(MAX_TASKS)
    this.used = heap.i32(1)
  }

  /** All numbers in use are below. */
  get count(): number {
    return this.used[0]!
  }

  add(kind: TaskKind, name: string, pa: number): Task {
    let pid = 0
    // One that has ended is still where it was until it has been switched away from.
    while (pid < this.count && !(this.isFree(pid) && this.onCpu[pid] === NONE)) pid++
    if (pid >= MAX_TASKS) throw new RangeError(`the host has room for ${MAX_TASKS} tasks`)
    this.used[0] = Math.max(this.count, pid + 1)
    this.state[pid] = SLEEPING
    this.kinds[pid] = KINDS.indexOf(kind)
    this.pa[pid] = pa
    this.affinity[pid] = -1
    this.onCpu[pid] = NONE
    this.lastCpu[pid] = 0
    this.thread[pid] = HOST_THREAD
    this.switches[pid] = 0
    this.timerAt[pid] = Infinity
    this.timerCpu[pid] = 0
    this.names.set(pid, name)
    this.all.delete(pid)
    return this.of(pid)
  }

  of(pid: number): Task {
    let task = this.all.get(pid)
    if (task === undefined) {
      task = new Task(this, pid)
      this.all.set(pid, task)
    }
    return task
  }

  kind(pid: number): TaskKind {
    return KINDS[this.kinds[pid]!]!
  }

  name(pid: number): string {
    return this.names.get(pid) ?? `${this.kind(pid)} ${pid}`
  }

  isRunnable(pid: number): boolean {
    return Atomics.load(this.state, pid) === RUNNABLE
  }

  setRunnable(pid: number, runnable: boolean): void {
    // Atomic, because who goes to sleep then looks once more at what could have woken him.
    Atomics.store(this.state, pid, runnable ? RUNNABLE : SLEEPING)
  }

  isFree(pid: number): boolean {
    return this.state[pid] === FREE
  }

  free(pid: number): void {
    this.state[pid] = FREE
    this.timerAt[pid] = Infinity
  }

  /** Whether `pid` may run on processor `cpu`. */
  allows(pid: number, cpu: number): boolean {
    return ((this.affinity[pid]! >>> cpu) & 1) !== 0
  }

  /** All tasks that there are, but for the idle ones. */
  list(): ReadonlyArray<Task> {
    const tasks: Task[] = []
    for (let pid = 0; pid < this.count; pid++)
      if (!this.isFree(pid) && this.kind(pid) !== "idle") tasks.push(this.of(pid))
    return tasks
  }
}

/** One row of the table. */
export class Task {
  readonly pid: number
  private readonly table: TaskTable

  constructor(table: TaskTable, pid: number) {
    this.table = table
    this.pid = pid
  }

  get kind(): TaskKind {
    return this.table.kind(this.pid)
  }

  get name(): string {
    return this.table.name(this.pid)
  }

  get pa(): number {
    return this.table.pa[this.pid]!
  }

  get runnable(): boolean {
    return this.table.isRunnable(this.pid)
  }

  set runnable(value: boolean) {
    this.table.setRunnable(this.pid, value)
  }

  get switches(): number {
    return this.table.switches[this.pid]!
  }

  /** When its timer fires, ns, or Infinity. */
  get timerAt(): number {
    return this.table.timerAt[this.pid]!
  }
}

/** What a module does for the virtual CPU whose task is current. */
export interface VcpuRunner {
  /** Gets the saved registers ready to enter the guest; false when there is nothing to run now. */
  prepare(): boolean
  /** Sees to what they say has happened. */
  event(): void
  /**
   * An interrupt that came while the guest ran has been handled without leaving it. True: the guest goes on with the
   * registers that it has, and the kernel knows of it (enterGuest); false: its task has to look after it first.
   */
  resume?(): boolean
  /** An NMI may have come while the guest ran, and goes back there by way of a load of CR3: the kernel is told (enterGuest). */
  interrupted?(): void
  /** Its task's timer has fired. */
  timer(): void
}
