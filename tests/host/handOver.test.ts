import { describe, expect, it } from "vitest"
import { CpuTable, type HostCpu } from "../../src/host/cpus.ts"
import { Scheduler } from "../../src/host/scheduler.ts"
import { NONE, TaskTable } from "../../src/host/task.ts"
import { type HostTrace } from "../../src/host/trace.ts"
import { SharedHeap } from "../../src/machine/shared.ts"

/*
 * The hand-over of processors between threads, in every order: each thread is what taskThread.ts and the host's machine code
 * make of it, one call of the scheduler a step, and all states that can be reached from the start are visited. Tasks sleep
 * and are woken whenever they like.
 */

const MAX_TASKS_HERE = 6

interface Shape {
  readonly processors: number
  /** For each task the processors that it may use, bit by bit. */
  readonly affinity: ReadonlyArray<number>
}

/** Where a processor's machine code is; what is asked of it is in the two flags. */
const RUNNING = 0
const SWITCHED = 1

class World {
  private readonly heap = SharedHeap.create()
  readonly tasks = new TaskTable(this.heap)
  readonly table: CpuTable
  readonly scheduler: Scheduler
  readonly shape: Shape
  /** The first task that may be woken; those before it are the idle ones. */
  readonly first: number
  /** By processor: phase, needResched, INTR, halted. */
  readonly state: Int32Array

  constructor(shape: Shape) {
    this.shape = shape
    const { processors } = shape
    this.table = new CpuTable(this.heap, processors)
    const state = this.heap.i32(4 * processors)
    this.state = state
    const cpus = Array.from({ length: processors }, (_, cpu) => ({
      clock: { kick: () => (state[4 * cpu + 2] = 1) },
      get asleep() {
        return state[4 * cpu + 3] === 1 && state[4 * cpu + 2] === 0
      },
    })) as unknown as HostCpu[]
    const quiet = { on: false } as HostTrace
    this.scheduler = new Scheduler(this.heap, this.tasks, this.table, cpus, (cpu) => (state[4 * cpu + 1] = 1), quiet)
    for (let cpu = 0; cpu < processors; cpu++) {
      const idle = this.tasks.add("idle", "idle", 0)
      this.table.idle[cpu] = this.table.current[cpu] = idle.pid
      this.tasks.onCpu[idle.pid] = cpu
      idle.runnable = true
      state[4 * cpu + 3] = 1
    }
    this.first = processors
    shape.affinity.forEach((mask, i) => {
      const { pid } = this.tasks.add("vcpu", "vcpu", 0)
      this.tasks.affinity[pid] = mask
      this.tasks.thread[pid] = i
    })
    this.scheduler.useThreads()
  }

  /** All that decides what comes: threadWake and the counters only grow. */
  private get arrays(): ReadonlyArray<Int32Array> {
    const { tasks: t, table: c, scheduler: s } = this
    const rows = [t.state, t.onCpu, t.lastCpu].map((a) => a.subarray(0, MAX_TASKS_HERE))
    return [...rows, c.current, c.previous, c.claimed, c.executor, s.threadCpu.subarray(0, MAX_TASKS_HERE), this.state]
  }

  save(): string {
    return this.arrays.map((a) => a.join(",")).join(";")
  }

  restore(state: string): void {
    state.split(";").forEach((row, i) => this.arrays[i]!.set(row.split(",").map(Number)))
  }

  /** What thread `thread` does next with the processor that it drives; false: it drives none. */
  drive(thread: number): boolean {
    const { scheduler, table, tasks, state } = this
    const cpu = scheduler.driven(thread)
    if (cpu === NONE) return false
    const at = 4 * cpu
    if (state[at] === SWITCHED) {
      scheduler.finishSwitch(cpu)
      state[at] = RUNNING
      return true
    }
    const idle = table.current[cpu] === table.idle[cpu]
    if (idle && state[at + 3] === 1) {
      if (scheduler.release(cpu)) return true
      // What is in HLT goes on by an interrupt.
      expect(state[at + 2]).toBe(1)
    }
    state[at + 2] = state[at + 3] = 0
    const sleeps = !idle && !tasks.isRunnable(table.current[cpu]!)
    if (state[at + 1] === 1 || sleeps) {
      state[at + 1] = 0
      if (scheduler.pickNext(cpu) === NONE) return true
      state[at] = SWITCHED
      scheduler.handOver(cpu)
    } else if (idle) state[at + 3] = 1
    return true
  }

  /** What must hold in every state. */
  check(): void {
    const { scheduler, table, shape } = this
    const driven = shape.affinity.map((_, thread) => scheduler.driven(thread)).filter((cpu) => cpu !== NONE)
    expect(new Set(driven).size).toBe(driven.length)
    const held = [...table.current, ...table.previous].filter((pid) => pid !== NONE)
    expect(new Set(held).size).toBe(held.length)
    table.current.forEach((pid, cpu) => {
      if (pid >= this.first) expect(this.tasks.allows(pid, cpu)).toBe(true)
      // Somebody drives a processor that has a task.
      if (pid >= this.first) expect(table.executor[cpu]).not.toBe(NONE)
    })
  }

  /** What must hold when no thread has anything to do but compute. */
  checkSettled(): void {
    const { tasks, table, shape } = this
    shape.affinity.forEach((_, i) => {
      const pid = this.first + i
      if (!tasks.isRunnable(pid) || tasks.onCpu[pid] !== NONE) return
      for (let cpu = 0; cpu < shape.processors; cpu++)
        if (tasks.allows(pid, cpu))
          expect(table.current[cpu], `task ${i} waits, processor ${cpu} idles`).not.toBe(table.idle[cpu])
    })
  }
}

/** Visits every state that can be reached, and says how many there are. */
const explore = (shape: Shape): number => {
  const world = new World(shape)
  const start = world.save()
  const seen = new Set([start])
  const todo = [start]
  const reach = () => {
    world.check()
    const state = world.save()
    if (!seen.has(state)) {
      seen.add(state)
      todo.push(state)
    }
    return state
  }
  for (let from = todo.pop(); from !== undefined; from = todo.pop()) {
    let settled = true
    for (let thread = 0; thread < shape.affinity.length; thread++) {
      world.restore(from)
      if (world.drive(thread) && reach() !== from) settled = false
    }
    world.restore(from)
    if (settled) world.checkSettled()
    for (let i = 0; i < shape.affinity.length; i++) {
      const pid = world.first + i
      world.restore(from)
      // Any task may be woken; one that runs may go to sleep.
      if (!world.tasks.isRunnable(pid)) world.scheduler.wake(pid)
      else if (world.table.current.includes(pid) && !world.state.some((v, k) => k % 4 === 0 && v === SWITCHED))
        world.tasks.setRunnable(pid, false)
      reach()
      // The tick, where another task waits.
      for (let cpu = 0; cpu < shape.processors; cpu++) {
        world.restore(from)
        if (world.table.current[cpu] !== pid || !world.scheduler.contended(cpu)) continue
        world.state[4 * cpu + 1] = world.state[4 * cpu + 2] = 1
        reach()
      }
    }
  }
  return seen.size
}

describe("the hand-over of processors, in every order", () => {
  it.each<[string, Shape]>([
    ["two tasks on one processor", { processors: 1, affinity: [1, 1] }],
    ["three tasks on one processor", { processors: 1, affinity: [1, 1, 1] }],
    ["two tasks on two processors", { processors: 2, affinity: [3, 3] }],
    ["two pinned to one of two processors", { processors: 2, affinity: [1, 1] }],
    ["three tasks on two processors", { processors: 2, affinity: [3, 3, 3] }],
    ["three tasks on two processors, one of them pinned", { processors: 2, affinity: [3, 3, 1] }],
  ])(
    "%s: no processor has two drivers, and nobody waits while one that he may use has nothing to do",
    { timeout: 60_000 },
    (_, shape) => {
      expect(explore(shape)).toBeGreaterThan(20)
    },
  )
})
