import type { SharedHeap } from "../machine/shared.ts"

/*
 * M:180 So, what next? You, I hope. Some exercises, from warm to hot; the numbers below are your judge, and `lguest64
 * run --stats` prints them.
 *
 *   1. Run getpid-loop on both architectures. Explain the difference in world switches to the last one.
 *   2. `lguest64 designs bench lguest64 task`: one instruction more, and a tenth more TLB misses. Where do they come from?
 *   3. Give the Guest's kernel ring 1 (`designs show ring1-pda`). Say which attack above comes back to life before you let
 *      `designs attack` tell you, and then why `as-written` is safe from it.
 *   4. Make a design that nobody argued for, let `designs check` look at it, and find the fastest that withstands all that
 *      lguest64 does. (docs/argument.md has opinions. They were measured, but they are ours.)
 *   5. Reflect system calls straight into the Guest, as H:350 does, on x86_64. If you find out how, write to the list of 2007.
 *   6. Find an attack that is not in guests/attacks, and works.
 *
 * Rusty offered a beer to anyone he met who had completed his journey. The offer stands here as well, and for the sixth
 * exercise there are two.
 *
 * Exact counts of what the host and its modules did. The processor counts what the processor does (instructions by
 * ring, vectors, TLB misses); everything here is counted where it happens, in the gates. docs/stats.md says what each
 * one means.
 *
 * Each processor has its own counts, because two threads that count in one word lose some.
 */
export const STATISTIC_NAMES = [
  "worldSwitches",
  "asyncHypercalls",
  "hostSystemCalls",
  "reflectedSystemCalls",
  "vcpuNull",
  "vcpuTaken",
  "hostInterrupts",
  "injectedInterrupts",
  "reflectedTraps",
  "contextSwitches",
  "forwarded",
  "interprocessorInterrupts",
  "shootdowns",
] as const
export type StatisticName = (typeof STATISTIC_NAMES)[number]

const TRAPS = STATISTIC_NAMES.length
const HYPERCALLS = TRAPS + 32
const SIZE = HYPERCALLS + 64

export class HostStatistics {
  private readonly counts: Float64Array
  /** Exceptions that left a guest, by vector. */
  readonly guestTraps: Float64Array
  /** Hypercalls by number; names belong to the module. */
  readonly hypercalls: Float64Array

  constructor(heap: SharedHeap) {
    this.counts = heap.f64(SIZE)
    this.guestTraps = this.counts.subarray(TRAPS, HYPERCALLS)
    this.hypercalls = this.counts.subarray(HYPERCALLS, SIZE)
  }

  /** Adds another processor's counts to these. */
  add(other: HostStatistics): void {
    for (let i = 0; i < SIZE; i++) this.counts[i]! += other.counts[i]!
  }

  get worldSwitches(): number {
    return this.counts[0]!
  }
  set worldSwitches(n: number) {
    this.counts[0] = n
  }
  /** Hypercalls that were taken from the asynchronous ring. */
  get asyncHypercalls(): number {
    return this.counts[1]!
  }
  set asyncHypercalls(n: number) {
    this.counts[1] = n
  }
  get hostSystemCalls(): number {
    return this.counts[2]!
  }
  set hostSystemCalls(n: number) {
    this.counts[2] = n
  }
  get reflectedSystemCalls(): number {
    return this.counts[3]!
  }
  set reflectedSystemCalls(n: number) {
    this.counts[3] = n
  }
  /** Entries that found the VCPU field NULL, and not. */
  get vcpuNull(): number {
    return this.counts[4]!
  }
  set vcpuNull(n: number) {
    this.counts[4] = n
  }
  get vcpuTaken(): number {
    return this.counts[5]!
  }
  set vcpuTaken(n: number) {
    this.counts[5] = n
  }
  /** Hardware interrupts taken by the host, and virtual ones delivered to guests. */
  get hostInterrupts(): number {
    return this.counts[6]!
  }
  set hostInterrupts(n: number) {
    this.counts[6] = n
  }
  get injectedInterrupts(): number {
    return this.counts[7]!
  }
  set injectedInterrupts(n: number) {
    this.counts[7] = n
  }
  get reflectedTraps(): number {
    return this.counts[8]!
  }
  set reflectedTraps(n: number) {
    this.counts[8] = n
  }
  get contextSwitches(): number {
    return this.counts[9]!
  }
  set contextSwitches(n: number) {
    this.counts[9] = n
  }
  /** Accesses forwarded to the launcher. */
  get forwarded(): number {
    return this.counts[10]!
  }
  set forwarded(n: number) {
    this.counts[10] = n
  }
  /** Interrupts that the host sent from one processor to another. */
  get interprocessorInterrupts(): number {
    return this.counts[11]!
  }
  set interprocessorInterrupts(n: number) {
    this.counts[11] = n
  }
  /** Processors that had to leave a guest because its shadows lost rights. */
  get shootdowns(): number {
    return this.counts[12]!
  }
  set shootdowns(n: number) {
    this.counts[12] = n
  }
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
