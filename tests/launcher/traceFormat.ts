import * as Schema from "effect/Schema"
import { expect } from "vitest"

/*
 * The Trace Event Format as far as we write it, and what holds of any trace of ours.
 */

const Time = Schema.Number.check(Schema.isFinite(), Schema.isGreaterThanOrEqualTo(0))
const Id = Schema.Number.check(Schema.isInt(), Schema.isGreaterThanOrEqualTo(0))
const Value = Schema.Union([Schema.String, Schema.Number, Schema.Boolean, Schema.Array(Schema.String)])
const Args = Schema.Record(Schema.String, Value)
const common = { pid: Id, tid: Id, ts: Time, name: Schema.NonEmptyString }
const CATEGORIES = ["guest", "host", "idle", "mmu", "interrupt", "ipi", "sched", "process", "device", "thread"] as const
const Category = Schema.Literals(CATEGORIES)

const Name = Schema.Struct({
  ph: Schema.Literal("M"),
  pid: Id,
  tid: Id,
  name: Schema.Literals(["process_name", "thread_name"]),
  args: Schema.Struct({ name: Schema.NonEmptyString }),
})
const SliceEvent = Schema.Struct({
  ...common,
  ph: Schema.Literal("X"),
  cat: Category,
  dur: Schema.Number.check(Schema.isGreaterThan(0)),
  args: Schema.optionalKey(Args),
})
const Instant = Schema.Struct({ ...common, ph: Schema.Literal("i"), cat: Category, s: Schema.Literal("t"), args: Args })
const FlowStart = Schema.Struct({ ...common, ph: Schema.Literal("s"), cat: Schema.Literal("ipi"), id: Id })
const FlowEnd = Schema.Struct({
  ...common,
  ph: Schema.Literal("f"),
  cat: Schema.Literal("ipi"),
  id: Id,
  bp: Schema.Literal("e"),
})

export const TraceFile = Schema.Struct({
  displayTimeUnit: Schema.Literal("ns"),
  traceEvents: Schema.Array(Schema.Union([Name, SliceEvent, Instant, FlowStart, FlowEnd])),
  otherData: Schema.Struct({
    lguest64: Schema.String,
    arch: Schema.Literals(["i386", "x86_64"]),
    native: Schema.Boolean,
    guest: Schema.String,
    clock: Schema.Literal("simulated"),
    complete: Schema.Boolean,
    endsAtUs: Schema.optionalKey(Time),
    runEndsAtUs: Time,
  }),
})
export type TraceFile = typeof TraceFile.Type

type Event = TraceFile["traceEvents"][number]
export type TraceSlice = Extract<Event, { ph: "X" }>

const track = ({ pid, tid }: Event): string => `${pid}.${tid}`
const ns = (us: number): number => Math.round(us * 1000)

/** Reads a trace; throws where anything in it is not of the format. */
export const readTrace = (text: string): TraceFile =>
  Schema.decodeUnknownSync(TraceFile, { onExcessProperty: "error" })(JSON.parse(text))

export const slicesOf = ({ traceEvents }: TraceFile, pid: number): ReadonlyArray<TraceSlice> =>
  traceEvents.filter((event): event is TraceSlice => event.ph === "X" && event.pid === pid)

/** The laws of every trace. */
export const expectSound = ({ traceEvents }: TraceFile): void => {
  const named = new Set<string>()
  const groups = new Set<number>()
  for (const event of traceEvents) {
    if (event.ph !== "M") continue
    if (event.name === "process_name") groups.add(event.pid)
    else named.add(track(event))
  }
  // Slices within slices are over when these are; times never go back.
  const open = new Map<string, number[]>()
  let before = 0
  const wrong: Event[] = []
  for (const event of traceEvents) {
    if (!named.has(track(event)) || !groups.has(event.pid)) wrong.push(event)
    if (event.ph === "M") continue
    if (event.ts < before) wrong.push(event)
    before = event.ts
    if (event.ph !== "X") continue
    const ends = open.get(track(event)) ?? []
    const start = ns(event.ts)
    while (ends.length > 0 && ends.at(-1)! <= start) ends.pop()
    const end = start + ns(event.dur)
    if (ends.length > 0 && end > ends.at(-1)!) wrong.push(event)
    ends.push(end)
    open.set(track(event), ends)
  }
  expect(wrong).toEqual([])
  // Of a flow both ends are there, and it does not end before it begins.
  const sent = new Map<number, number>()
  const taken = new Map<number, number>()
  for (const event of traceEvents) {
    if (event.ph === "s") sent.set(event.id, event.ts)
    if (event.ph === "f") taken.set(event.id, event.ts)
  }
  expect([...taken.keys()].sort()).toEqual([...sent.keys()].sort())
  for (const [id, ts] of taken) expect(ts).toBeGreaterThanOrEqual(sent.get(id)!)
}
