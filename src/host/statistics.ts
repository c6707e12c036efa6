/*
 * Exact counts of what the host and its modules did. The processor counts what the processor does (instructions by ring,
 * vectors, TLB misses); everything here is counted where it happens, in the gates. docs/stats.md says what each one means.
 */
export class HostStatistics {
  worldSwitches = 0
  /** Exceptions that left a guest, by vector. */
  readonly guestTraps = new Float64Array(32)
  /** Hypercalls by number; names belong to the module. */
  readonly hypercalls = new Float64Array(64)
  /** Of them, those taken from the asynchronous ring. */
  asyncHypercalls = 0
  hostSystemCalls = 0
  reflectedSystemCalls = 0
  /** Entries that found the VCPU field NULL, and not. */
  vcpuNull = 0
  vcpuTaken = 0
  /** Hardware interrupts taken by the host, and virtual ones delivered to guests. */
  hostInterrupts = 0
  injectedInterrupts = 0
  reflectedTraps = 0
  contextSwitches = 0
  /** Accesses forwarded to the launcher. */
  forwarded = 0
}

/** What a module's shadow MMU has done, whichever it is. Levels are the hardware's: 1 is the page tables. */
export interface ShadowReport {
  /** Faults that came to the MMU, by what became of them. */
  readonly faults: Readonly<Record<string, number>>
  /** Shadow pages made so far, by level. */
  readonly pages: Readonly<Record<string, number>>
  /** Those that are there now, by level. */
  readonly pagesAlive: Readonly<Record<string, number>>
}
