import { describe, expect, it } from "vitest"
import { RunQueue, Task } from "../../src/host/task.ts"

const task = (pid: number) => new Task(pid, "process", `task ${pid}`, 0, 0, 0)

describe("the run queue", () => {
  it("goes round the runnable tasks and idles without any", () => {
    const idle = new Task(0, "idle", "idle", 0, 0, 0)
    const queue = new RunQueue(idle)
    const [a, b, c] = [task(1), task(2), task(3)]
    for (const t of [a, b, c]) queue.add(t)
    const order: Array<number> = []
    for (let i = 0; i < 6; i++) {
      queue.current = queue.next()
      order.push(queue.current.pid)
    }
    expect(order).toEqual([1, 2, 3, 1, 2, 3])
    b.runnable = false
    queue.current = queue.next()
    queue.current = queue.next()
    expect(queue.current.pid).toBe(3)
    a.runnable = c.runnable = false
    expect(queue.next()).toBe(idle)
  })

  it("knows whether anybody else wants the processor", () => {
    const queue = new RunQueue(task(0))
    const a = task(1)
    queue.add(a)
    queue.current = a
    expect(queue.contended).toBe(false)
    queue.add(task(2))
    expect(queue.contended).toBe(true)
  })

  it("forgets a task that is removed", () => {
    const idle = task(0)
    const queue = new RunQueue(idle)
    const a = task(1)
    queue.add(a)
    queue.current = a
    queue.remove(a)
    expect(queue.next()).toBe(idle)
  })
})
