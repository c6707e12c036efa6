import { toEvents, type TrackName } from "./traceEvents.ts"
import type { TraceRun } from "./traceRun.ts"
import type { TraceEvent } from "./traceTracks.ts"

/*
 * The file of --trace: the JSON object form of the Trace Event Format, which Perfetto and chrome://tracing open; one event
 * in each line. It says nothing about when or where it was written: the same run gives the same bytes.
 */

/** What is said of the run as a whole. */
export interface TraceAbout {
  readonly lguest64: string
  readonly arch: "i386" | "x86_64"
  readonly native: boolean
  /** What the guest is called. */
  readonly guest: string
}

export interface Written {
  /** Simulated time from which on things are missing, ns; undefined: nothing is. */
  readonly endsAt: number | undefined
  readonly bytes: number
}

/** Room for `otherData`. */
const FOOTER = 1024

const NS_PER_US = 1000
const microseconds = (ns: number): number => ns / NS_PER_US

/** To the viewers a number is one thread of the whole system, 0 is nobody's, and the one that equals `pid` comes first. */
export const trackId = (pid: number, tid: number): number => pid * 100 + tid

const nameLine = ({ pid, tid, name }: TrackName): string =>
  JSON.stringify({
    ph: "M",
    pid,
    tid: trackId(pid, tid ?? 0),
    name: tid === undefined ? "process_name" : "thread_name",
    args: { name },
  })

const eventLine = ({ ph, pid, tid, ts, dur, args, id, ...rest }: TraceEvent): string =>
  JSON.stringify({
    ph,
    pid,
    tid: trackId(pid, tid),
    ...rest,
    ts: microseconds(ts),
    ...(dur === undefined ? {} : { dur: microseconds(dur) }),
    ...(id === undefined ? {} : { id }),
    // An instant is its track's; a flow ends in the slice that encloses it.
    ...(ph === "i" ? { s: "t" } : {}),
    ...(ph === "f" ? { bp: "e" } : {}),
    ...(args === undefined ? {} : { args }),
  })

/** Writes a run's trace, line by line, at most `limit` bytes. */
export const writeTrace = (run: TraceRun, about: TraceAbout, limit: number, line: (text: string) => void): Written => {
  const { tracks, events, stoppedAt } = toEvents(run, about.guest)
  let bytes = 0
  const put = (text: string): void => {
    bytes += Buffer.byteLength(text) + 1
    line(text)
  }
  put('{"displayTimeUnit":"ns","traceEvents":[')
  let comma = ""
  for (const track of tracks) {
    put(comma + nameLine(track))
    comma = ","
  }
  let endsAt = stoppedAt
  for (const event of events) {
    const text = comma + eventLine(event)
    if (bytes + text.length + 1 + FOOTER > limit) {
      endsAt = event.ts
      break
    }
    put(text)
  }
  const { guest, ...said } = about
  const end = Math.max(...run.ends)
  const other = {
    ...said,
    guest: guest.slice(0, FOOTER / 8),
    clock: "simulated",
    complete: endsAt === undefined,
    ...(endsAt === undefined ? {} : { endsAtUs: microseconds(endsAt) }),
    runEndsAtUs: microseconds(end),
  }
  put(`],"otherData":${JSON.stringify(other)}}`)
  return { endsAt, bytes }
}

const NS_PER_SECOND = 1e9

/** For the end of a run whose trace is not all of it. */
export const endNote = (file: string, limit: number, run: TraceRun, { endsAt }: Written): string | undefined => {
  if (endsAt === undefined) return undefined
  const seconds = (ns: number) => (ns / NS_PER_SECOND).toFixed(6)
  const end = Math.max(...run.ends)
  return `lguest64: ${file} is full (--trace-limit ${limit}): it ends at ${seconds(endsAt)} s of simulated time, the run at ${seconds(end)} s`
}
