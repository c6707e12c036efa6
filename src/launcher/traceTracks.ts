/*
 * Tracks of a trace, as the trace viewers know them: a process is a group of tracks, a thread one of them. Times here are
 * simulated nanoseconds.
 */

export type Value = string | number | boolean | ReadonlyArray<string>
export type Args = Record<string, Value>

/** One entry of the file; `ph` as the Trace Event Format names it. */
export interface TraceEvent {
  readonly ph: "X" | "i" | "s" | "f"
  readonly pid: number
  readonly tid: number
  readonly ts: number
  readonly dur?: number
  readonly name: string
  readonly cat: string
  /** Of a flow: the same at both ends. */
  readonly id?: number
  readonly args?: Args
}

/** The groups of tracks. */
export const PROCESSORS = 1
export const VCPUS = 2
export const THREADS = 3
export const LAUNCHER = 4

/** Something that lasts. */
export interface Slice {
  readonly start: number
  readonly end: number
  readonly name: string
  readonly cat: string
  readonly args?: Args
  /** What a virtual CPU does after it until its next slice. */
  readonly then?: string
}

/**
 * Slices of something that moves between processors, whose clocks agree only about: in order, and none begins before the one
 * before it is over. One that lies within another does not show.
 */
export const inOrder = (slices: ReadonlyArray<Slice>): ReadonlyArray<Slice> => {
  const ordered: Slice[] = []
  let last = 0
  for (const slice of slices.toSorted((a, b) => a.start - b.start)) {
    const start = Math.max(slice.start, last)
    if (start >= slice.end) continue
    last = slice.end
    ordered.push(start === slice.start ? slice : { ...slice, start })
  }
  return ordered
}

/** The gaps between a virtual CPU's slices, named by the slices before them, up to `end`. */
export const gaps = (slices: ReadonlyArray<Slice>, end: number): ReadonlyArray<Slice> =>
  slices.flatMap((slice, i) => {
    const next = slices[i + 1]?.start ?? end
    return slice.then === undefined || next <= slice.end
      ? []
      : [{ start: slice.end, end: next, name: slice.then, cat: "idle" }]
  })

/** Adjacent slices of one name as one: a thread that was asked to drive on. */
export const joined = (slices: ReadonlyArray<Slice>): ReadonlyArray<Slice> => {
  const result: Slice[] = []
  for (const slice of slices) {
    const last = result.at(-1)
    if (last?.name === slice.name && last.end === slice.start) result[result.length - 1] = { ...last, end: slice.end }
    else result.push(slice)
  }
  return result
}

export const sliceEvent = (pid: number, tid: number, { start, end, name, cat, args }: Slice): TraceEvent => ({
  ph: "X",
  pid,
  tid,
  ts: start,
  dur: end - start,
  name,
  cat,
  ...(args === undefined ? {} : { args }),
})

/** Sent somewhere; received somewhere else. */
interface End {
  readonly pid: number
  readonly tid: number
  readonly ts: number
}

/**
 * Flows from who sends an interrupt to who takes it. The n-th that is sent to somebody is known by that number; who takes
 * one sees how many have been sent, for several that wait are one to him.
 */
export class Flows {
  private readonly name: string
  private readonly sent = new Map<string, End>()
  private readonly taken = new Map<number, Array<{ readonly seen: number; readonly end: End }>>()

  constructor(name: string) {
    this.name = name
  }

  send(to: number, n: number, end: End): void {
    this.sent.set(`${to}.${n}`, end)
  }

  /** In the order in which it happened to `by`. */
  take(by: number, seen: number, end: End): void {
    const list = this.taken.get(by)
    if (list === undefined) this.taken.set(by, [{ seen, end }])
    else list.push({ seen, end })
  }

  /** Both ends of all that arrived. Where the receiver's clock is behind the sender's there is nothing to draw. */
  events(firstId: number): ReadonlyArray<TraceEvent> {
    const events: TraceEvent[] = []
    let id = firstId
    for (const [by, takes] of this.taken) {
      let before = 0
      // Somebody may have moved from one processor's buffer to another's: the numbers say what was first.
      for (const { seen, end } of takes.toSorted((a, b) => a.seen - b.seen)) {
        for (let n = before + 1; n <= seen; n++) {
          const from = this.sent.get(`${by}.${n}`)
          if (from === undefined || from.ts > end.ts) continue
          const flow = { name: this.name, cat: "ipi", id: id++ }
          events.push({ ph: "s", ...from, ...flow }, { ph: "f", ...end, ...flow })
        }
        before = Math.max(before, seen)
      }
    }
    return events
  }
}
