import type { Stats } from "../stats.ts"
import { duration, short } from "./numbers.ts"
import type { Run } from "./runs.ts"

/* Time series of a run's samples: counters become rates between the samples. */

export type Point = readonly [x: number, y: number]

/** What the axis of a time series counts. */
export interface Clock {
  readonly title: string
  readonly of: (run: Run) => ReadonlyArray<number>
  readonly per: string
  /** How much of it rates are counted per. */
  readonly unit: number
  /** How much of it passes in one instruction of a busy processor. */
  readonly instruction: number
  readonly format: (x: number) => string
}

export const executed = ({ samples: { instructions } }: Stats): ReadonlyArray<number> =>
  instructions.ring0.map((n, i) => n + instructions.ring1[i]! + instructions.ring2[i]! + instructions.ring3[i]!)

const time: Clock = {
  title: "simulated time",
  of: ({ stats }) => stats.samples.simulatedSeconds,
  per: "per simulated ms",
  unit: 1e-3,
  instruction: 1e-9,
  format: duration,
}

const work: Clock = {
  title: "instructions executed",
  of: ({ stats }) => executed(stats),
  per: "per million instructions",
  unit: 1e6,
  instruction: 1,
  format: short,
}

/** Of its time a machine that idles more than this does nothing that a plot could show. */
const MOST_IDLE = 0.5
const NS = 1e9

/** Simulated time; where a run mostly idled, instructions, as what happened would be a line at the edge. */
export const clockFor = (runs: ReadonlyArray<Run>): Clock =>
  runs.some(({ stats }) => stats.instructions.total < (1 - MOST_IDLE) * stats.simulatedSeconds * NS) ? work : time

const MOST_STEPS = 160

/** Indices of samples to take, so that there are few enough to see, and no two at the same moment. */
const pick = (x: ReadonlyArray<number>): ReadonlyArray<number> => {
  const stride = Math.ceil(x.length / MOST_STEPS)
  const picked: Array<number> = []
  for (let i = 0; i < x.length; i += stride) if (picked.length === 0 || x[i]! > x[picked.at(-1)!]!) picked.push(i)
  const last = x.length - 1
  if (picked.length > 0 && x[last]! > x[picked.at(-1)!]!) picked.push(last)
  return picked
}

/** A counter's rate: each value holds from the point before it to its own. */
export const rate = (x: ReadonlyArray<number>, counts: ReadonlyArray<number>, unit: number): ReadonlyArray<Point> => {
  const picked = pick(x)
  const points = picked.slice(1).map((i, n): Point => {
    const before = picked[n]!
    return [x[i]!, ((counts[i]! - counts[before]!) / (x[i]! - x[before]!)) * unit]
  })
  const [first] = points
  return first === undefined ? [] : [[x[picked[0]!]!, first[1]], ...points]
}

/** A quantity, as it was. */
export const level = (x: ReadonlyArray<number>, values: ReadonlyArray<number>): ReadonlyArray<Point> =>
  pick(x).map((i): Point => [x[i]!, values[i]!])
