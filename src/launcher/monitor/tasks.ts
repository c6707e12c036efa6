import type { Subject } from "./subject.ts"
import { columns, hex } from "./text.ts"

/* `info tasks`: what the host schedules. */

export const infoTasks = (subject: Subject): string => {
  const { kernel } = subject.requireModule("info tasks")
  const { tasks, cpus, scheduler } = kernel
  const rows: string[][] = []
  const everywhere = 2 ** cpus.length - 1
  for (let pid = 0; pid < tasks.count; pid++) {
    if (tasks.isFree(pid)) continue
    const task = tasks.of(pid)
    const on = tasks.onCpu[pid]!
    const allowed = (tasks.affinity[pid]! & everywhere) >>> 0
    const timer = tasks.timerAt[pid]!
    rows.push([
      String(pid),
      tasks.kind(pid),
      task.name,
      kernel.processorOf(task) !== undefined ? "current" : task.runnable ? "can run" : "sleeps",
      on >= 0 ? String(on) : "",
      String(tasks.lastCpu[pid]),
      allowed === everywhere ? "all" : hex(allowed),
      scheduler.threaded ? String(tasks.thread[pid]) : "",
      String(task.switches),
      timer === Infinity ? "" : String(timer),
    ])
  }
  const heading = ["pid", "kind", "name", "state", "processor", "last", "allowed", "thread", "switches", "timer (ns)"]
  return columns([heading, ...rows])
}
