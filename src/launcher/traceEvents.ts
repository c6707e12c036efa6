import { A, KIND, RECORD_KIND, RECORD_WORDS } from "../host/trace.ts"
import { hex, type Names, ProcessorReader } from "./traceProcessor.ts"
import type { TraceRun } from "./traceRun.ts"
import {
  Flows,
  gaps,
  inOrder,
  joined,
  LAUNCHER,
  PROCESSORS,
  type Slice,
  sliceEvent,
  THREADS,
  type TraceEvent,
  VCPUS,
} from "./traceTracks.ts"

/*
 * From records to events. What is on which track is told in docs/trace.md.
 */

/** A track's name, or its group's (without `tid`). */
export interface TrackName {
  readonly pid: number
  readonly tid?: number
  readonly name: string
}

export interface Trace {
  readonly tracks: ReadonlyArray<TrackName>
  /** By time. */
  readonly events: ReadonlyArray<TraceEvent>
  /** When recording ended for want of room, ns; undefined: it went on to the end. */
  readonly stoppedAt: number | undefined
}

/** The moment up to which all buffers tell everything. */
const stopOf = ({ buffers }: TraceRun, used: ReadonlyArray<number>): number => {
  if (!buffers.stopped) return Infinity
  let stop = Infinity
  used.forEach((records, i) => {
    const { length } = buffers.words[i]!
    const last = records * RECORD_WORDS - RECORD_WORDS
    if (last + RECORD_WORDS >= length && last >= 0) stop = Math.min(stop, buffers.times[i]![last >>> 1]!)
  })
  return stop
}

/** The launcher's own records: what its devices do, and whom it wakes. */
const readLauncher = (run: TraceRun, records: number, stop: number, kicks: Flows): ReadonlyArray<TraceEvent> => {
  const { buffers } = run
  const words = buffers.words[buffers.launcher]!
  const times = buffers.times[buffers.launcher]!
  const events: TraceEvent[] = []
  for (let i = 0; i < records; i++) {
    const record = i * RECORD_WORDS
    const at = record + A
    const ts = times[record >>> 1]!
    if (ts > stop) break
    const instant = (name: string, cat: string, args: TraceEvent["args"] = {}) =>
      events.push({ ph: "i", pid: LAUNCHER, tid: 0, ts, name, cat, args })
    switch (words[record + RECORD_KIND]) {
      case KIND.device: {
        const what = words[at]!
        instant(`${(what & 2) !== 0 ? "port " : ""}${(what & 1) !== 0 ? "write" : "read"}`, "device", {
          address: hex(words[at + 2]!, words[at + 3]!),
          size: words[at + 1]!,
          value: hex(words[at + 4]!, 0),
        })
        break
      }
      case KIND.irq:
        instant(`irq ${words[at]}`, "device")
        break
      case KIND.kick:
        instant(`kick processor ${words[at]}`, "ipi")
        kicks.send(words[at]!, words[at + 1]!, { pid: LAUNCHER, tid: 0, ts })
    }
  }
  return events
}

/** Slices of the threads: which processor each drives. */
const threadSlices = (run: TraceRun, threads: ReadonlyMap<number, Slice[]>, end: number): Map<number, Slice[]> => {
  if (run.host?.threaded === true)
    return new Map([...threads].sort(([a], [b]) => a - b).map(([thread, list]) => [thread, [...joined(inOrder(list))]]))
  const { processors } = run.buffers
  const name = processors === 1 ? "processor 0" : `processors 0 to ${processors - 1}, in turns`
  return new Map([[0, end > 0 ? [{ start: 0, end, name, cat: "thread" }] : []]])
}

const namesOf = ({ host }: TraceRun): Names => {
  const tasks = host?.tasks ?? []
  return {
    host,
    tasks: new Map(tasks.map((task) => [task.pid, task])),
    vcpuOf: new Map(tasks.filter(({ kind }) => kind === "vcpu").map(({ pid }, i) => [pid, i])),
  }
}

/** `guest`: what the guest is called. */
export const toEvents = (run: TraceRun, guest: string): Trace => {
  const { buffers, host } = run
  const { processors } = buffers
  const used = Array.from(buffers.used)
  const stop = stopOf(run, used)
  const names = namesOf(run)
  const vcpus: Slice[][] = Array.from(names.vcpuOf, () => [])
  const threads = new Map<number, Slice[]>()
  const [kicks, ipis] = [new Flows("kick"), new Flows("IPI")]
  const events: TraceEvent[] = []
  const tracks: TrackName[] = [{ pid: PROCESSORS, name: "processors" }]
  for (let cpu = 0; cpu < processors; cpu++) {
    tracks.push({ pid: PROCESSORS, tid: cpu, name: `processor ${cpu}` })
    const reader = new ProcessorReader(cpu, names, { events, vcpus, threads, kicks, ipis }, run.begins?.[cpu])
    reader.read(buffers.words[cpu]!, buffers.times[cpu]!, used[cpu]!, Math.min(stop, run.ends[cpu]!))
  }
  const end = Math.min(stop, Math.max(...run.ends))
  if (host !== undefined) {
    tracks.push({ pid: VCPUS, name: `virtual CPUs of ${guest}` })
    vcpus.forEach((slices, vcpu) => {
      tracks.push({ pid: VCPUS, tid: vcpu, name: `vcpu ${vcpu}` })
      const busy = inOrder(slices)
      for (const slice of [...busy, ...gaps(busy, end)]) events.push(sliceEvent(VCPUS, vcpu, slice))
    })
  }
  tracks.push({ pid: THREADS, name: "threads" })
  for (const [thread, slices] of threadSlices(run, threads, end)) {
    const mine = host?.tasks.filter((task) => task.thread === thread && task.kind !== "idle") ?? []
    const who = mine.some(({ kind }) => kind === "vcpu") ? mine.map(({ name }) => name).join(", ") : "host's processes"
    tracks.push({ pid: THREADS, tid: thread, name: host?.threaded === true ? `thread ${thread}: ${who}` : "launcher" })
    for (const slice of slices) events.push(sliceEvent(THREADS, thread, slice))
  }
  if (host !== undefined) {
    tracks.push({ pid: LAUNCHER, name: "launcher" }, { pid: LAUNCHER, tid: 0, name: "devices" })
    for (const event of readLauncher(run, used[buffers.launcher]!, stop, kicks)) events.push(event)
  }
  const flows = kicks.events(1)
  for (const event of [...flows, ...ipis.events(1 + flows.length / 2)]) events.push(event)
  // Of what begins at one moment the longest is outermost; what takes no time is in it.
  events.sort((a, b) => a.ts - b.ts || (b.dur ?? -1) - (a.dur ?? -1))
  return { tracks, events, stoppedAt: stop === Infinity ? undefined : stop }
}
