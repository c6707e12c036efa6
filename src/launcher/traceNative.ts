import { KIND, TraceBuffers } from "../host/trace.ts"
import type { Delivery, NativePc } from "../machine/pc.ts"
import { recordsFor, type TraceRun } from "./traceRun.ts"

/* A trace without a host: what processors deliver, and the time that passes while all of them wait. */

const UPPER = 2 ** 32
const NO_TASK = -1

export class NativeTrace {
  private readonly buffers: TraceBuffers
  private begins: ReadonlyArray<number> = []

  constructor(limit: number, processors: number) {
    this.buffers = new TraceBuffers(processors, recordsFor(limit, processors))
  }

  /** The machine goes on from where another one was. */
  restored({ machine }: NativePc): void {
    this.buffers.used.fill(0)
    this.begins = machine.processors.map(({ now }) => now)
  }

  delivered({ processor, now, vector, error, rip }: Delivery): void {
    const at = Number(rip & 0xffff_ffffn)
    this.buffers.put(processor, now, KIND.delivered, NO_TASK, vector, error, at, Number(rip >> 32n))
  }

  /** Lets idle time pass. */
  skip(pc: NativePc, until: number): void {
    const { processors } = pc.machine
    const before = processors.map((cpu) => cpu.now)
    pc.skip(until)
    processors.forEach((cpu, i) => {
      const passed = cpu.now - before[i]!
      if (passed > 0) this.buffers.put(i, before[i]!, KIND.idle, NO_TASK, 0, 0, passed, passed / UPPER)
    })
  }

  run(pc: NativePc): TraceRun {
    const { buffers, begins } = this
    return { buffers, begins, ends: pc.machine.processors.map((cpu) => cpu.now), host: undefined }
  }
}
