import type { EngineCounts } from "./engine.ts"

/*
 * Simulated cycles: a model, not a measurement. Counts are exact; what each one costs is taken from a table, one for each
 * generation of processors: the two that the proposal of 2007 was about, and one of today's. What all tables leave out: caches, and
 * what the pipeline does before and after. The C code of a real host, which is TypeScript here, costs nothing in any of them: they
 * compare ways into a host and out of it, not hosts.
 */

/** What is counted and has a price. An event's price is for the way there and the way back. */
export const COST_EVENTS = [
  "instruction",
  "systemCall",
  "pageFault",
  "exception",
  "interrupt",
  "tlbMiss",
  "cr3Load",
  "invlpg",
] as const
export type CostEvent = (typeof COST_EVENTS)[number]

/** Where a figure comes from. */
export interface Source {
  /** Nobody measured it: it is this project's guess, and the text says from what. */
  readonly assumption: boolean
  readonly text: string
}

/** Cycles of one event, and who says so. */
export interface CostTable extends Readonly<Record<CostEvent, number>> {
  readonly name: string
  readonly processor: string
  readonly sources: Readonly<Record<CostEvent, Source>>
}

/** Figures that are given as people quote them: the publication itself was not at hand when they were entered. */
const QUOTED = "; as quoted elsewhere, not checked against it"
const published = (text: string): Source => ({ assumption: false, text })
const assumption = (text: string): Source => ({ assumption: true, text })

const ADAMS_AGESEN =
  "K. Adams, O. Agesen, A Comparison of Software and Hardware Techniques for x86 Virtualization, ASPLOS 2006, figure 4"
const AMD_25112 = "AMD, Software Optimization Guide for AMD64 Processors (25112, rev. 3.06, 2005), appendix C, table 13"
const SKYBRIDGE =
  "Z. Mi et al., SkyBridge: Fast and Secure Inter-Process Communication for Microkernels, EuroSys 2019, section 2 (i7-6700K)"

/** Pentium 4, the Prescott that Adams and Agesen measured; 31 stages of pipeline, which every event of these empties. */
export const NETBURST: CostTable = {
  name: "netburst-2006",
  processor: "Pentium 4 (NetBurst, 3.8 GHz, 2006)",
  instruction: 1,
  systemCall: 242,
  pageFault: 1093,
  exception: 889,
  interrupt: 889,
  tlbMiss: 36,
  cr3Load: 150,
  invlpg: 150,
  sources: {
    instruction: assumption("one instruction a cycle"),
    systemCall: published(`syscall, native: ${ADAMS_AGESEN}`),
    pageFault: published(`pgfault, native: ${ADAMS_AGESEN}`),
    exception: published(`divzero, native: ${ADAMS_AGESEN}`),
    interrupt: assumption("as an exception, which takes the same way through an IDT's gate"),
    tlbMiss: assumption(
      "two accesses to the second-level cache of 18 cycles (Intel, Optimization Reference Manual, 2006, cache parameters)",
    ),
    cr3Load: assumption("it serialises, which empties the pipeline of 31 stages a few times over"),
    invlpg: assumption("it serialises, as a load of CR3 does"),
  },
}

/** Opteron and Athlon 64: half the pipeline of the above, and SYSCALL is AMD's own. */
export const K8: CostTable = {
  name: "k8-2005",
  processor: "Opteron, Athlon 64 (K8, 2005)",
  instruction: 1,
  systemCall: 62,
  pageFault: 250,
  exception: 220,
  interrupt: 220,
  tlbMiss: 24,
  cr3Load: 90,
  invlpg: 80,
  sources: {
    instruction: assumption("one instruction a cycle"),
    systemCall: published(`SYSCALL 27, SYSRET 35: ${AMD_25112}${QUOTED}`),
    pageFault: assumption("as an exception, and the walk of the tables that comes to nothing before it"),
    exception: assumption("INT imm8 and IRET between rings are taken to be about 110 cycles each"),
    interrupt: assumption("as an exception, which takes the same way through an IDT's gate"),
    tlbMiss: assumption(
      "two accesses to the second-level cache of 12 cycles; upper levels are in the walker's cache of 24 entries",
    ),
    cr3Load: assumption(
      "it serialises and discards the TLB, as INVLPG of a page that is there does, and a little more",
    ),
    invlpg: published(`INVLPG 80 to 101: ${AMD_25112}${QUOTED}`),
  },
}

/** A processor of today: SYSCALL has stayed cheap, everything that goes through the IDT has not become so. */
export const SKYLAKE: CostTable = {
  name: "skylake-2015",
  processor: "Core i7-6700K (Skylake, 2015), without mitigations for Meltdown",
  instruction: 0.5,
  systemCall: 157,
  pageFault: 710,
  exception: 600,
  interrupt: 600,
  tlbMiss: 26,
  cr3Load: 186,
  invlpg: 150,
  sources: {
    instruction: assumption("two instructions a cycle, which integer code with well predicted branches gets"),
    systemCall: published(`SYSCALL 82, SYSRET 75: ${SKYBRIDGE}${QUOTED}`),
    pageFault: published(
      "Y. Shan, x86 Ring Switch Overhead (lastweek.io/notes/xperf, 2019): to the kernel 440, back 270, bare metal; on a Xeon E5 v3",
    ),
    exception: assumption("a page fault without its walk of tables"),
    interrupt: assumption("as an exception, which takes the same way through an IDT's gate"),
    tlbMiss: assumption(
      "a walk that finds the last level's entry in the second-level cache: 12 cycles, and the walker's own",
    ),
    cr3Load: published(`write to CR3, 186 +- 10: ${SKYBRIDGE}, table 2${QUOTED}`),
    invlpg: assumption("it serialises, and costs less than a load of CR3"),
  },
}

/** All that a run is priced with. */
export const COST_TABLES: ReadonlyArray<CostTable> = [NETBURST, K8, SKYLAKE]

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
  const parts = {
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
  // Instructions may have half a cycle each.
  for (const part of CYCLE_PARTS) parts[part] = Math.round(parts[part])
  return parts
}

export const modelledCycles = (table: CostTable, counts: EngineCounts): number => {
  const parts = modelledParts(table, counts)
  return CYCLE_PARTS.reduce((sum, part) => sum + parts[part], 0)
}
