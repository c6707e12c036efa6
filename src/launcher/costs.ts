import type { EngineCounts } from "./engine.ts"

/*
 * Simulated cycles: a model, not a measurement. Counts are exact; what each one costs is taken from this table, for the
 * processors that the proposal of 2007 was about. What the table leaves out: caches, and the pipeline.
 */

/** Cycles of one event. */
export interface CostTable {
  readonly name: string
  readonly instruction: number
  readonly systemCall: number
  readonly pageFault: number
  readonly exception: number
  readonly interrupt: number
  readonly tlbMiss: number
  readonly cr3Load: number
  readonly invlpg: number
}

/**
 * Pentium 4 (NetBurst, 3.8 GHz, 2006). SYSCALL's and the faults' round trips are the native column of K. Adams and O. Agesen,
 * "A Comparison of Software and Hardware Techniques for x86 Virtualization", ASPLOS 2006, figure 4: syscall 242, pgfault 1093,
 * divzero 889. An interrupt is taken as an exception is. The rest are this project's assumptions: one cycle an instruction; a
 * TLB miss walks tables that are in the second-level cache (2 x 18 cycles, Intel's Optimization Reference Manual of 2006,
 * table of cache parameters); MOV to CR3 and INVLPG serialise, which empties a pipeline of 31 stages a few times over.
 */
export const NETBURST: CostTable = {
  name: "netburst-2006",
  instruction: 1,
  systemCall: 242,
  pageFault: 1093,
  exception: 889,
  interrupt: 889,
  tlbMiss: 36,
  cr3Load: 150,
  invlpg: 150,
}

/** All that a run is priced with. */
export const COST_TABLES: ReadonlyArray<CostTable> = [NETBURST]

/** What cycles are spent on. */
export const CYCLE_PARTS = [
  "ring0",
  "ring1",
  "ring2",
  "ring3",
  "systemCalls",
  "pageFaults",
  "exceptions",
  "interrupts",
  "tlbMisses",
  "cr3Loads",
  "invlpg",
] as const
export type CyclePart = (typeof CYCLE_PARTS)[number]

const PAGE_FAULT = 14
const EXCEPTIONS = 32

/** Cycles by what they are spent on: instructions by ring, then the events. */
export const modelledParts = (table: CostTable, { processor }: EngineCounts): Record<CyclePart, number> => {
  const sum = (numbers: ReadonlyArray<number>) => numbers.reduce((a, b) => a + b, 0)
  const pageFaults = processor.vectors[PAGE_FAULT] ?? 0
  const exceptions = sum(processor.vectors.slice(0, EXCEPTIONS)) - pageFaults
  // Vectors from 32 on are interrupts and INT n alike, and cost the same.
  const interrupts = sum(processor.vectors.slice(EXCEPTIONS))
  const [ring0, ring1, ring2, ring3] = processor.instructions
  return {
    ring0: ring0 * table.instruction,
    ring1: ring1 * table.instruction,
    ring2: ring2 * table.instruction,
    ring3: ring3 * table.instruction,
    systemCalls: (processor.syscalls + processor.sysenters) * table.systemCall,
    pageFaults: pageFaults * table.pageFault,
    exceptions: exceptions * table.exception,
    interrupts: interrupts * table.interrupt,
    tlbMisses: processor.tlbMisses * table.tlbMiss,
    cr3Loads: processor.cr3Loads * table.cr3Load,
    invlpg: processor.invlpg * table.invlpg,
  }
}
