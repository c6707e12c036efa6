import type { HostTrace, TraceBuffers, TraceNames } from "../host/trace.ts"
import type { TaskKind } from "../host/task.ts"
import type { DeviceBus } from "./emulate.ts"
import type { Hosted } from "../modules/index.ts"

/* What an engine gives to whoever writes a trace of it: the records, and the names for the numbers in them. */

export interface TraceRun {
  readonly buffers: TraceBuffers
  /** Simulated time of each processor when recording began, ns; 0 if it is not there. */
  readonly begins?: ReadonlyArray<number>
  /** And now. */
  readonly ends: ReadonlyArray<number>
  /** Undefined: there is none, the guest has the machine for itself. */
  readonly host: TracedHost | undefined
}

export interface TracedHost extends TraceNames {
  readonly tasks: ReadonlyArray<TracedTask>
  /** Each task's thread drives the processor that it runs on; else one thread drives all. */
  readonly threaded: boolean
  readonly hypercallNames: ReadonlyArray<string | undefined>
}

export interface TracedTask {
  readonly pid: number
  readonly kind: TaskKind
  readonly name: string
  readonly thread: number
}

/** What is known of a host's run; undefined: it was not recorded. */
export const hostedTrace = ({ kernel, hypercallNames, traceNames }: Hosted): TraceRun | undefined => {
  const { tasks, trace, cpus, scheduler } = kernel
  if (!trace.on) return undefined
  const known: TracedTask[] = []
  for (let pid = 0; pid < tasks.count; pid++)
    known.push({ pid, kind: tasks.kind(pid), name: tasks.name(pid), thread: tasks.thread[pid]! })
  return {
    buffers: trace.buffers,
    ends: cpus.map(({ processor }) => processor.now),
    host: { tasks: known, threaded: scheduler.threaded, hypercallNames, ...traceNames },
  }
}

/** What a record comes to in the file. Most are half of a slice, on two tracks, and come to twice that. */
const FILE_BYTES_PER_RECORD = 200

/** Records for each processor that a file of `limit` bytes has room for. */
export const recordsFor = (limit: number, processors: number): number =>
  // Work may be spread unevenly: one of many processors may have more than its share.
  Math.ceil((2 * limit) / (FILE_BYTES_PER_RECORD * (processors + 1)))

/** A guest's devices, with a record of each access. */
export const tracedBus = (bus: DeviceBus, trace: HostTrace): DeviceBus => ({
  portRead: (port, size) => {
    const value = bus.portRead(port, size)
    trace.device(false, true, port, size, value)
    return value
  },
  portWrite: (port, size, value) => {
    trace.device(true, true, port, size, value)
    bus.portWrite(port, size, value)
  },
  mmioRead: (address, size) => {
    const value = bus.mmioRead(address, size)
    trace.device(false, false, address, size, value)
    return value
  },
  mmioWrite: (address, size, value) => {
    trace.device(true, false, address, size, value)
    bus.mmioWrite(address, size, value)
  },
})
