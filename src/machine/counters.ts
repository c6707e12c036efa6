import type { Counters } from "./processor.ts"

/** The counts of several processors together. */
export const sumOf = (all: ReadonlyArray<Counters>): Counters => {
  const sum = (count: (counters: Counters) => number) => all.reduce((total, counters) => total + count(counters), 0)
  const ring = (r: 0 | 1 | 2 | 3) => sum((c) => c.instructions[r])
  return {
    instructions: [ring(0), ring(1), ring(2), ring(3)],
    tlbMisses: sum((c) => c.tlbMisses),
    tlbFlushes: sum((c) => c.tlbFlushes),
    invlpg: sum((c) => c.invlpg),
    cr3Loads: sum((c) => c.cr3Loads),
    interrupts: sum((c) => c.interrupts),
    syscalls: sum((c) => c.syscalls),
    sysenters: sum((c) => c.sysenters),
    transient: sum((c) => c.transient),
    cacheMisses: sum((c) => c.cacheMisses),
    vectors: Array.from({ length: 256 }, (_, v) => sum((c) => c.vectors[v]!)),
  }
}
