import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { CpuTable, type HostCpu } from "../../src/host/cpus.ts"
import { Scheduler } from "../../src/host/scheduler.ts"
import { NONE, type Task, TaskTable } from "../../src/host/task.ts"
import { SharedHeap } from "../../src/machine/shared.ts"

/** Processors whose interrupts and machine code are only remembered: each switch is finished at once. */
class Host {
  readonly heap = SharedHeap.create()
  readonly tasks = new TaskTable(this.heap)
  readonly table: CpuTable
  readonly scheduler: Scheduler
  readonly rescheduled: number[] = []
  readonly kicked: number[] = []
  constructor(processors: number) {
    this.table = new CpuTable(this.heap, processors)
    const cpus = Array.from({ length: processors }, (_, cpu) => ({
      clock: { kick: () => this.kicked.push(cpu) },
      asleep: true,
    })) as unknown as HostCpu[]
    this.scheduler = new Scheduler(this.heap, this.tasks, this.table, cpus, (cpu) => this.rescheduled.push(cpu))
    for (let cpu = 0; cpu < processors; cpu++) {
      const idle = this.tasks.add("idle", `idle ${cpu}`, 0)
      this.table.idle[cpu] = this.table.current[cpu] = idle.pid
      idle.runnable = true
    }
  }

  process(thread = 0): Task {
    const task = this.tasks.add("process", "process", 0)
    this.tasks.thread[task.pid] = thread
    return task
  }

  /** The machine code's part: switches to what is next, and leaves the old task behind. */
  next(cpu = 0): number {
    this.scheduler.pickNext(cpu)
    this.scheduler.finishSwitch(cpu)
    return this.table.current[cpu]!
  }
}

describe("the scheduler on one processor", () => {
  it("goes round the runnable tasks and idles without any", () => {
    const host = new Host(1)
    const tasks = [host.process(), host.process(), host.process()]
    for (const t of tasks) host.scheduler.wake(t.pid)
    const [a, b, c] = tasks.map((t) => t.pid) as [number, number, number]
    expect(Array.from({ length: 6 }, () => host.next())).toEqual([a, b, c, a, b, c])
    host.tasks.setRunnable(b, false)
    expect([host.next(), host.next()]).toEqual([a, c])
    host.tasks.setRunnable(a, false)
    host.tasks.setRunnable(c, false)
    expect(host.next()).toBe(host.table.idle[0])
  })

  it("knows whether anybody else wants the processor", () => {
    const host = new Host(1)
    const [a, b] = [host.process(), host.process()]
    host.scheduler.wake(a.pid)
    host.next()
    expect(host.scheduler.contended(0)).toBe(false)
    host.scheduler.wake(b.pid)
    expect(host.scheduler.contended(0)).toBe(true)
  })

  it("interrupts the processor for who wakes up", () => {
    const host = new Host(1)
    host.scheduler.wake(host.process().pid)
    expect(host.rescheduled).toEqual([0])
    expect(host.kicked).toEqual([0])
  })

  it("never wakes a task that is over, and gives its number to the next", () => {
    const host = new Host(1)
    const a = host.process()
    host.tasks.free(a.pid)
    host.scheduler.wake(a.pid)
    expect(host.next()).toBe(host.table.idle[0])
    expect(host.process().pid).toBe(a.pid)
  })

  it("fires timers in the order of their times, each once", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 1, maxLength: 20 }), (times) => {
        const host = new Host(1)
        const at = new Map<number, number>()
        for (const time of times) {
          const { pid } = host.process()
          at.set(pid, time)
          host.scheduler.setTimer(pid, time, 0)
        }
        expect(host.scheduler.nextTimer(0)).toBe(Math.min(...times))
        const fired: number[] = []
        for (let pid = host.scheduler.takeDue(0, 50); pid !== NONE; pid = host.scheduler.takeDue(0, 50))
          fired.push(at.get(pid)!)
        expect(fired).toEqual(times.filter((t) => t <= 50).sort((x, y) => x - y))
        expect(host.scheduler.nextTimer(0)).toBe(Math.min(Infinity, ...times.filter((t) => t > 50)))
      }),
    )
  })
})

describe("the scheduler on several processors", () => {
  it("wakes a task where it ran last if that is idle, else on any idle one", () => {
    const host = new Host(3)
    const [a, b] = [host.process(), host.process()]
    host.tasks.lastCpu[a.pid] = host.tasks.lastCpu[b.pid] = 2
    host.scheduler.wake(a.pid)
    host.scheduler.wake(b.pid)
    expect(host.kicked).toEqual([2, 0])
  })

  it("never has a task on two processors, nor on one that it may not use, whatever happens", () => {
    const step = fc.record({
      what: fc.constantFrom("wake", "sleep", "pick", "finish"),
      task: fc.nat(5),
      cpu: fc.nat(2),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), fc.array(fc.integer({ min: 1, max: 7 })), (steps, masks) => {
        const host = new Host(3)
        const tasks = Array.from({ length: 6 }, () => host.process())
        tasks.forEach((t, i) => (host.tasks.affinity[t.pid] = masks[i] ?? -1))
        const unfinished = new Set<number>()
        for (const { what, task, cpu } of steps) {
          const { pid } = tasks[task]!
          if (what === "wake") host.scheduler.wake(pid)
          else if (what === "sleep")
            host.tasks.setRunnable(host.table.current[cpu]!, host.tasks.kind(host.table.current[cpu]!) === "idle")
          else if (what === "pick" && !unfinished.has(cpu)) {
            if (host.scheduler.pickNext(cpu) !== NONE) unfinished.add(cpu)
          } else if (what === "finish" && unfinished.delete(cpu)) host.scheduler.finishSwitch(cpu)
          const held = [...host.table.current, ...host.table.previous].filter((p) => p !== NONE)
          expect(new Set(held).size).toBe(held.length)
          host.table.current.forEach((p, c) => {
            if (host.tasks.kind(p) !== "idle") expect(host.tasks.allows(p, c)).toBe(true)
          })
        }
      }),
    )
  })

  it("leaves nobody waiting while a processor that it may use has nothing to do", () => {
    const host = new Host(2)
    const [a, b, c] = [host.process(), host.process(), host.process()]
    for (const t of [a, b, c]) host.scheduler.wake(t.pid)
    expect(host.next(0)).not.toBe(host.next(1))
    host.tasks.setRunnable(host.table.current[1]!, false)
    expect([a.pid, b.pid, c.pid]).toContain(host.next(1))
  })
})

describe("threads that drive processors", () => {
  const threaded = () => {
    const host = new Host(2)
    host.scheduler.useThreads()
    const [a, b] = [host.process(1), host.process(2)] as const
    return { host, a, b }
  }

  it("get an idle processor with the task that wakes up, and let it go in HLT", () => {
    const { host, a } = threaded()
    host.scheduler.wake(a.pid)
    expect(host.scheduler.driven(1)).toBe(0)
    expect(host.scheduler.driven(2)).toBe(NONE)
    expect(host.next()).toBe(a.pid)
    host.tasks.setRunnable(a.pid, false)
    host.next()
    expect(host.scheduler.allIdle).toBe(false)
    expect(host.scheduler.release(0)).toBe(true)
    expect(host.scheduler.driven(1)).toBe(NONE)
    expect(host.scheduler.allIdle).toBe(true)
  })

  it("hand the processor on with the task that is switched to", () => {
    const { host, a, b } = threaded()
    for (const t of [a, b]) host.tasks.affinity[t.pid] = 1
    host.scheduler.wake(a.pid)
    host.next()
    host.scheduler.wake(b.pid)
    host.scheduler.pickNext(0)
    // Not before the one that drives it has let go.
    expect(host.scheduler.driven(2)).toBe(NONE)
    expect(host.scheduler.handOver(0)).toBe(true)
    expect([host.scheduler.driven(1), host.scheduler.driven(2)]).toEqual([NONE, 0])
    host.scheduler.finishSwitch(0)
    expect(host.scheduler.contended(0)).toBe(true)
  })

  it("keep a processor for which somebody has been woken meanwhile", () => {
    const { host, a, b } = threaded()
    host.scheduler.wake(a.pid)
    host.next()
    host.tasks.setRunnable(a.pid, false)
    host.next()
    host.tasks.affinity[b.pid] = 1
    host.scheduler.wake(b.pid)
    expect(host.scheduler.release(0)).toBe(false)
  })

  it("get an idle processor whose timer is due", () => {
    const { host, a } = threaded()
    host.tasks.setRunnable(a.pid, false)
    host.scheduler.setTimer(a.pid, 500, 1)
    host.table.armedFor[1] = 500
    expect(host.scheduler.idleDeadline()).toBe(500)
    host.scheduler.wakeDue(499)
    expect(host.scheduler.driven(1)).toBe(NONE)
    host.scheduler.wakeDue(500)
    expect(host.scheduler.driven(1)).toBe(1)
  })
})
