/*
 * Tasks: what the host schedules. A host process and a guest's virtual CPU are tasks alike; a virtual CPU's has a VCPU
 * descriptor in its `vcpu` field, which the context switch copies to the PDA.
 */
export type TaskKind = "idle" | "process" | "vcpu"

export class Task {
  readonly pid: number
  readonly kind: TaskKind
  readonly name: string
  /** Address of the task structure in the host's memory: physical, and as the assembly's pointer (low, high half). */
  readonly pa: number
  readonly addressLo: number
  readonly addressHi: number
  runnable = true
  /** Number of times it was switched to. */
  switches = 0

  constructor(pid: number, kind: TaskKind, name: string, pa: number, addressLo: number, addressHi: number) {
    this.pid = pid
    this.kind = kind
    this.name = name
    this.pa = pa
    this.addressLo = addressLo
    this.addressHi = addressHi
  }
}

/** What a module does for the virtual CPU whose task is current. */
export interface VcpuRunner {
  /** Gets the saved registers ready to enter the guest; false when there is nothing to run now. */
  prepare(): boolean
  /** Sees to what they say has happened. */
  event(): void
}

/** Round robin over the runnable tasks; the idle task when there are none. */
export class RunQueue {
  private readonly tasks: Array<Task> = []
  readonly idle: Task
  current: Task

  constructor(idle: Task) {
    this.idle = idle
    this.current = idle
  }

  add(task: Task): void {
    this.tasks.push(task)
  }

  remove(task: Task): void {
    task.runnable = false
    const i = this.tasks.indexOf(task)
    if (i >= 0) this.tasks.splice(i, 1)
  }

  /** The task after the current one in the round; the current one itself if it alone can run. */
  next(): Task {
    const n = this.tasks.length
    const start = this.tasks.indexOf(this.current)
    for (let i = 1; i <= n; i++) {
      const task = this.tasks[(start + i + n) % n]!
      if (task.runnable) return task
    }
    return this.idle
  }

  /** Whether anything but the current task wants to run. */
  get contended(): boolean {
    for (const task of this.tasks) if (task.runnable && task !== this.current) return true
    return false
  }

  all(): ReadonlyArray<Task> {
    return this.tasks
  }
}
