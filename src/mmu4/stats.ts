import { LEVELS } from "./entries.ts"
import type { MmuStats } from "./interface.ts"

/** A fresh set of counters. */
export const newStats = (): MmuStats => ({
  shadowFaults: { fill: 0, dirty: 0, unsync: 0, emulate: 0, guest: 0, mmio: 0, spurious: 0, kill: 0 },
  alive: new Int32Array(LEVELS + 1),
  allocated: new Int32Array(LEVELS + 1),
  reclaimed: new Int32Array(LEVELS + 1),
  resyncs: 0,
  refreshed: 0,
  zaps: 0,
  floods: 0,
  zapAlls: 0,
  writeProtects: 0,
  huge: 0,
  split: 0,
  newRoots: 0,
  flushes: 0,
  flushAddresses: 0,
  tlbFlushes: 0,
})
