import type { SharedHeap } from "../machine/shared.ts"
import { LEVELS } from "./entries.ts"
import type { MmuStats } from "./interface.ts"

const FAULTS = ["fill", "dirty", "unsync", "emulate", "guest", "mmio", "spurious", "kill"] as const
const EVENTS = [
  ...["resyncs", "refreshed", "zaps", "floods", "zapAlls", "writeProtects", "huge", "split"],
  ...["newRoots", "flushes", "flushAddresses", "tlbFlushes"],
]

/** An object whose properties are cells of a shared array, by name. */
const counters = (heap: SharedHeap, names: readonly string[]): object => {
  const cells = heap.f64(names.length)
  const named = {}
  names.forEach((name, i) =>
    Object.defineProperty(named, name, { enumerable: true, get: () => cells[i]!, set: (n: number) => (cells[i] = n) }),
  )
  return named
}

/** The counters of a guest; fresh ones are zero. */
export const newStats = (heap: SharedHeap): MmuStats =>
  Object.assign(counters(heap, EVENTS), {
    shadowFaults: counters(heap, FAULTS),
    alive: heap.i32(LEVELS + 1),
    allocated: heap.i32(LEVELS + 1),
    reclaimed: heap.i32(LEVELS + 1),
  }) as MmuStats
