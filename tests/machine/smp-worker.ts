import { workerData } from "node:worker_threads"
import { Chipset } from "../../src/machine/chipset/index.ts"
import { EXIT_HALT } from "../../src/machine/core/state.ts"
import { Machine, type MachineShare } from "../../src/machine/machine.ts"
import { processorPins } from "../../src/machine/pins.ts"
import { type HeapShare, SharedHeap } from "../../src/machine/shared.ts"

/*
 * A thread that runs one processor of a machine, with the chipset as this thread sees it, and sleeps while it is halted.
 */

export interface SmpJob {
  readonly share: MachineShare
  readonly heap: HeapShare
  /** A word for each processor that changes when it has something to attend to, and one that ends all threads. */
  readonly wake: Int32Array
  readonly index: number
}

/** The bus of a thread; the first one makes the heap's contents. */
export const chipsetOf = (heap: SharedHeap, machine: () => Machine, wake: Int32Array, processors: number): Chipset =>
  new Chipset({
    heap,
    processors,
    now: (cpu) => machine().processor(cpu).now,
    pins: processorPins(machine, (cpu) => {
      Atomics.add(wake, cpu, 1)
      Atomics.notify(wake, cpu)
    }),
    power: { powerOff: () => undefined, reset: () => undefined },
    serial: () => undefined,
    startSeconds: 0,
    memoryBytes: 0,
  })

if (workerData !== null && typeof workerData === "object" && "wake" in workerData) {
  const { share, heap, wake, index } = workerData as SmpJob
  const end = share.processors
  const machine: Machine = Machine.attach(
    share,
    chipsetOf(SharedHeap.attach(heap), () => machine, wake, share.processors),
  )
  const cpu = machine.processor(index)
  while (Atomics.load(wake, end) === 0) {
    if (cpu.run(100_000) !== EXIT_HALT) continue
    const seen = Atomics.load(wake, index)
    if (!cpu.called && Atomics.load(wake, end) === 0) Atomics.wait(wake, index, seen)
  }
}
