import { SharedHeap, type HeapShare } from "../machine/shared.ts"
import { MAX_TASKS } from "./task.ts"

/*
 * What `--trace` remembers of a run: what happened when, on which processor, as numbers. Words are made of them when the run
 * is over (src/launcher/traceEvents.ts).
 *
 * Each processor has a buffer that only whoever drives it writes to, and the launcher has one, so nobody waits for anybody and
 * no lock is taken. Nothing is allocated either: a record is 16 words in an array that was made before the start. When one of the
 * buffers is full all recording ends, so that what there is tells of all processors up to the same moment.
 *
 * The buffers lie in a SharedHeap of their own: they are no part of the machine's state, which may be saved or put back.
 */

/** Kinds of records. Words are numbered from `A`; an address takes two, low half first. */
export const KIND = {
  /** A virtual CPU goes into its guest. View (0 kernel, 1 user; i386: ring), RIP, CR3. */
  enter: 1,
  /** It has come out. Vector, RIP. */
  leave: 2,
  /** An exception in the guest. Vector, error code, RIP. */
  trap: 3,
  /** A page fault in the guest as the shadow MMU saw it. Outcome (index in `outcomes`), error code, address. */
  fault: 4,
  /** Number, 1 if it was taken from the ring, RIP, four arguments of two words. */
  hypercall: 5,
  /** A system call of a process in the guest, handed to its kernel. Number, 0, RIP. */
  systemCall: 6,
  /** A virtual interrupt. Its number, IPIs that had been sent to this virtual CPU, RIP. */
  inject: 7,
  /** The guest has something for the launcher. Index in PENDING, 0, address. */
  pending: 8,
  /** An interrupt of the host's processor. Vector, kicks that had been sent to this processor (-1: it is no kick). */
  interrupt: 9,
  /** Task that ran, task that runs now, 1 if the former could have gone on. */
  switch: 10,
  /** A processor was told to look up. Which, how often that has happened to it. */
  kick: 11,
  /** A virtual CPU sends one an interrupt. Task of the other, how many that one has been sent. */
  ipi: 12,
  /** Rights were taken from shadow tables. Processors that had to leave the guest, simulated ns until they had (-1: not known). */
  shootDown: 13,
  /** A system call of a host process. Number. */
  hostSystemCall: 14,
  /** From here on a thread drives this processor. Its number. */
  drive: 15,
  /** ...and here it lets it go. Its number. */
  release: 16,
  /** Without a host: an exception or interrupt. Vector, error code, RIP. */
  delivered: 17,
  /** Without a host: idle time that begins here. Its length in ns (two words). */
  idle: 18,
  /** The launcher's device was accessed. 1 for a write and 2 for a port, size, address, value. */
  device: 19,
  /** A device raises an interrupt line. Which. */
  irq: 20,
  /** Recording pauses (0) or goes on (1): what happened in between is not known. */
  gap: 21,
} as const

/** What a guest can have for the launcher: members of devLguest.ts's Pending that a virtual CPU leaves with. */
export const PENDING = ["io", "shutdown", "killed", "start", "idle", "slice"] as const

/** Words of a record. [0] and [1] are the time as a 64-bit float, ns. */
export const RECORD_WORDS = 16
export const RECORD_KIND = 2
/** The task that the record is about. */
export const RECORD_TASK = 3
/** The first of the words that depend on the kind. */
export const A = 4
/** Hypercalls' arguments that are kept. */
export const HYPERCALL_ARGUMENTS = 4
const RECORD_BYTES = 4 * RECORD_WORDS

/** What a module's numbers mean. */
export interface TraceNames {
  /** By outcome of a page fault. */
  readonly faultOutcomes: ReadonlyArray<string>
  /** What a guest is in, by the view (or ring) that it is entered in. */
  readonly views: ReadonlyArray<string>
  /** The virtual interrupt that another virtual CPU sends; -1: there is none. */
  readonly ipiIrq: number
}

/** Values of TraceBuffers' own state. */
const FULL = 1
const PAUSED = 2

export class TraceBuffers {
  readonly processors: number
  /** By processor; the last is the launcher's. */
  readonly words: ReadonlyArray<Int32Array>
  readonly times: ReadonlyArray<Float64Array>
  /** Records in each buffer. */
  readonly used: Int32Array
  /** [0]: why nothing is recorded: FULL, a buffer has become full; PAUSED; 0: it is. */
  private readonly full: Int32Array
  /** How many interrupts have been sent to each task's virtual CPU, and to each processor. */
  readonly ipis: Int32Array
  readonly kicks: Int32Array
  private readonly heap: SharedHeap
  /** Index of the word `A` of the record that was begun last by this thread. */
  at = 0

  /** `records`: room for each processor. */
  constructor(processors: number, records: number, share?: HeapShare) {
    const heap = share === undefined ? SharedHeap.create() : SharedHeap.attach(share)
    this.heap = heap
    this.processors = processors
    this.times = Array.from({ length: processors + 1 }, () => heap.f64((records * RECORD_BYTES) / 8))
    this.words = this.times.map(({ buffer }) => new Int32Array(buffer))
    this.used = heap.i32(processors + 1)
    this.full = heap.i32(1)
    this.ipis = heap.i32(MAX_TASKS)
    this.kicks = heap.i32(processors)
  }

  /** This is the thread that has made them: the launcher's. */
  get fresh(): boolean {
    return this.heap.fresh
  }

  get share(): HeapShare {
    return this.heap.share
  }

  /** Number of the launcher's buffer. */
  get launcher(): number {
    return this.processors
  }

  get stopped(): boolean {
    return this.full[0] === FULL
  }

  get paused(): boolean {
    return this.full[0] === PAUSED
  }

  /** Records nothing more, or goes on, while no processor is driven; `times` are the processors'. False: it is full. */
  setPaused(paused: boolean, times: ReadonlyArray<number>): boolean {
    if (this.stopped || paused === this.paused) return !this.stopped
    this.full[0] = 0
    times.forEach((now, cpu) => this.put(cpu, now, KIND.gap, -1, paused ? 0 : 1, 0, 0, 0))
    if (paused && !this.stopped) this.full[0] = PAUSED
    return !this.stopped
  }

  /** Begins a record: its own words, to be filled in from `at` on; undefined: there is no room any more. */
  begin(buffer: number, now: number, kind: number, task: number): Int32Array | undefined {
    if (this.full[0] !== 0) return undefined
    const words = this.words[buffer]!
    const index = this.used[buffer]! * RECORD_WORDS
    if (index >= words.length) {
      this.full[0] = FULL
      return undefined
    }
    this.times[buffer]![index >>> 1] = now
    words[index + RECORD_KIND] = kind
    words[index + RECORD_TASK] = task
    this.at = index + A
    this.used[buffer]!++
    return words
  }

  /** A record with two words and an address. */
  put(buffer: number, now: number, kind: number, task: number, a: number, b: number, lo: number, hi: number): void {
    const words = this.begin(buffer, now, kind, task)
    if (words === undefined) return
    const { at } = this
    words[at] = a
    words[at + 1] = b
    words[at + 2] = lo
    words[at + 3] = hi
  }
}

/** The kernel as this file sees it. */
interface Traced {
  readonly cpu: { readonly index: number }
  readonly now: number
  readonly time: number
  /** A gate is being served: what happens, happens on `cpu`. */
  readonly serving: boolean
  readonly currentPid: number
}

/** Length of the longest address here, as a number's upper half. */
const UPPER = 2 ** 32

/** A host's side. Every method is for callers who have found `on` to be true. */
export class HostTrace {
  readonly on: boolean
  readonly buffers: TraceBuffers
  private readonly kernel: Traced
  /** Thread that each processor was last said to be driven by, for this thread's own records. */
  private readonly driver: Int32Array

  constructor(kernel: Traced, processors: number, buffers: TraceBuffers | undefined) {
    this.on = buffers !== undefined
    this.kernel = kernel
    this.buffers = buffers ?? new TraceBuffers(processors, 0)
    this.driver = new Int32Array(processors).fill(-1)
  }

  private put(kind: number, a: number, b: number, lo: number, hi: number): void {
    const { kernel } = this
    this.buffers.put(kernel.cpu.index, kernel.now, kind, kernel.currentPid, a, b, lo, hi)
  }

  /**
   * From wherever the call comes: a gate, or the launcher. Only the launcher's own thread writes to its buffer: what another does
   * between two gates is not told.
   */
  private from(kind: number, a: number, b: number, lo: number, hi: number): void {
    const { kernel, buffers } = this
    if (kernel.serving) this.put(kind, a, b, lo, hi)
    else if (buffers.fresh) buffers.put(buffers.launcher, kernel.time, kind, -1, a, b, lo, hi)
  }

  // ------------------------------------------------------------------------------------------------ virtual CPUs
  enter(view: number, ripLo: number, ripHi: number, root: number): void {
    const { kernel, buffers } = this
    const words = buffers.begin(kernel.cpu.index, kernel.now, KIND.enter, kernel.currentPid)
    if (words === undefined) return
    const { at } = buffers
    words[at] = view
    words[at + 1] = 0
    words[at + 2] = ripLo
    words[at + 3] = ripHi
    words[at + 4] = root
    words[at + 5] = root / UPPER
  }

  leave(vector: number, ripLo: number, ripHi: number): void {
    this.put(KIND.leave, vector, 0, ripLo, ripHi)
  }

  trap(vector: number, error: number, ripLo: number, ripHi: number): void {
    this.put(KIND.trap, vector, error, ripLo, ripHi)
  }

  fault(outcome: number, error: number, lo: number, hi: number): void {
    this.put(KIND.fault, outcome, error, lo, hi)
  }

  /** `lo` and `hi` hold the arguments' halves. */
  hypercall(
    number: number,
    asynchronous: boolean,
    ripLo: number,
    ripHi: number,
    lo: Uint32Array,
    hi: Uint32Array | undefined,
  ): void {
    const { kernel, buffers } = this
    const words = buffers.begin(kernel.cpu.index, kernel.now, KIND.hypercall, kernel.currentPid)
    if (words === undefined) return
    const { at } = buffers
    words[at] = number
    words[at + 1] = asynchronous ? 1 : 0
    words[at + 2] = ripLo
    words[at + 3] = ripHi
    for (let i = 0; i < HYPERCALL_ARGUMENTS; i++) {
      words[at + 4 + 2 * i] = lo[i]!
      words[at + 5 + 2 * i] = hi === undefined ? 0 : hi[i]!
    }
  }

  systemCall(number: number, ripLo: number, ripHi: number): void {
    this.put(KIND.systemCall, number, 0, ripLo, ripHi)
  }

  inject(irq: number, ripLo: number, ripHi: number): void {
    this.put(KIND.inject, irq, Atomics.load(this.buffers.ipis, this.kernel.currentPid), ripLo, ripHi)
  }

  /** Also when the launcher itself ends the guest. */
  pending(kind: (typeof PENDING)[number], address: number): void {
    this.from(KIND.pending, PENDING.indexOf(kind), 0, address, address / UPPER)
  }

  /** Before the other virtual CPU, whose task is `pid`, is told. */
  ipi(pid: number): void {
    this.put(KIND.ipi, pid, Atomics.add(this.buffers.ipis, pid, 1) + 1, 0, 0)
  }

  // -------------------------------------------------------------------------------------------------- processors
  interrupt(vector: number, isKick: boolean): void {
    const { index } = this.kernel.cpu
    this.put(KIND.interrupt, vector, isKick ? Atomics.load(this.buffers.kicks, index) : -1, 0, 0)
  }

  switch(from: number, to: number, runnable: boolean): void {
    this.put(KIND.switch, from, to, runnable ? 1 : 0, 0)
  }

  kick(cpu: number): void {
    this.from(KIND.kick, cpu, Atomics.add(this.buffers.kicks, cpu, 1) + 1, 0, 0)
  }

  shootDown(processors: number, wait: number): void {
    this.from(KIND.shootDown, processors, wait, 0, 0)
  }

  hostSystemCall(number: number): void {
    this.put(KIND.hostSystemCall, number, 0, 0, 0)
  }

  // ----------------------------------------------------------------------------------------------------- threads
  /** This thread drives the processor `cpu` of the kernel; says so once. */
  drives(thread: number): void {
    const { index } = this.kernel.cpu
    if (this.driver[index] === thread) return
    this.driver[index] = thread
    this.put(KIND.drive, thread, 0, 0, 0)
  }

  /** It does so no longer: it is about to hand it over, or has found it idle. */
  releases(): void {
    const { index } = this.kernel.cpu
    if (this.driver[index] === -1) return
    this.put(KIND.release, this.driver[index]!, 0, 0, 0)
    this.driver[index] = -1
  }

  // --------------------------------------------------------------------------------------------------- launcher
  device(write: boolean, port: boolean, address: number, size: number, value: number): void {
    const { buffers, kernel } = this
    const words = buffers.begin(buffers.launcher, kernel.time, KIND.device, -1)
    if (words === undefined) return
    const { at } = buffers
    words[at] = (write ? 1 : 0) | (port ? 2 : 0)
    words[at + 1] = size
    words[at + 2] = address
    words[at + 3] = address / UPPER
    words[at + 4] = value
  }

  irq(line: number): void {
    const { buffers, kernel } = this
    buffers.put(buffers.launcher, kernel.time, KIND.irq, -1, line, 0, 0, 0)
  }
}
