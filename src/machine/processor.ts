import type { Bus } from "./bus.ts"
import * as S from "./core/state.ts"

/*
 * One processor as TypeScript holds it: an instance of the core over the shared memory, and its state by name. State is
 * architectural whenever `run` has returned. After writing state other than general registers and RIP, call `refresh`.
 *
 * The object itself holds nothing: several threads may have one each for the same processor, of which one runs at a time.
 */

interface CoreExports {
  reset(): void
  run(budget: number): number
  flushTlb(global: number): void
  invalidate(linear: bigint): void
  flags(): bigint
  setFlags(value: bigint): void
  refresh(): void
  translate(linear: bigint, write: number, user: number, execute: number): bigint
}

/** What unwinds the core's frames when an instruction faults; never seen outside of `run`. */
const FAULT = new Error("a fault unwinds the core")

/** Names of the general registers in encoding order. */
export const GPR_NAMES = [
  "rax",
  "rcx",
  "rdx",
  "rbx",
  "rsp",
  "rbp",
  "rsi",
  "rdi",
  "r8",
  "r9",
  "r10",
  "r11",
  "r12",
  "r13",
  "r14",
  "r15",
] as const

export const RAX = 0
export const RCX = 1
export const RDX = 2
export const RBX = 3
export const RSP = 4
export const RBP = 5
export const RSI = 6
export const RDI = 7

export interface Counters {
  /** Instructions executed in rings 0 to 3. */
  readonly instructions: readonly [number, number, number, number]
  readonly tlbMisses: number
  readonly tlbFlushes: number
  readonly invlpg: number
  readonly cr3Loads: number
  readonly interrupts: number
  readonly syscalls: number
  readonly sysenters: number
  /** Of a processor that checks late (TRAIT_LATE_CHECKS), else 0: faults that were run past; lines not found in the cache. */
  readonly transient: number
  readonly cacheMisses: number
  /** Exceptions, software and hardware interrupts delivered, by vector. */
  readonly vectors: ReadonlyArray<number>
}

export class Processor {
  readonly index: number
  readonly exports: CoreExports & WebAssembly.Exports
  private readonly u32: Uint32Array
  private readonly i32: Int32Array
  private readonly u64: BigUint64Array
  private watcher: ((vector: number, error: number) => void) | undefined

  constructor(core: WebAssembly.Module, memory: WebAssembly.Memory, index: number, bus: Bus) {
    const area = S.CPU_AREA + index * S.CPU_STRIDE
    this.index = index
    this.u32 = new Uint32Array(memory.buffer, area, S.STATE_SIZE >>> 2)
    this.i32 = new Int32Array(memory.buffer, area, S.STATE_SIZE >>> 2)
    this.u64 = new BigUint64Array(memory.buffer, area, S.STATE_SIZE >>> 3)
    const instance = new WebAssembly.Instance(core, {
      env: {
        memory,
        cpu: new WebAssembly.Global({ value: "i32", mutable: false }, area),
        abort: () => {
          throw new Error("the processor core aborted")
        },
        unwind: () => {
          throw FAULT
        },
        // WebAssembly's i32 is signed; ports and addresses are not.
        portIn: (cpu: number, port: number, size: number) => bus.portIn(cpu, port, size),
        portOut: (cpu: number, port: number, size: number, value: number) => bus.portOut(cpu, port, size, value >>> 0),
        mmioRead: (cpu: number, address: number, size: number) => bus.mmioRead(cpu, address >>> 0, size),
        mmioWrite: (cpu: number, address: number, size: number, value: number) =>
          bus.mmioWrite(cpu, address >>> 0, size, value >>> 0),
        interruptAcknowledge: (cpu: number) => bus.interruptAcknowledge(cpu),
        delivered: (vector: number, error: number) => this.watcher?.(vector, error >>> 0),
      },
    })
    this.exports = instance.exports as unknown as CoreExports & WebAssembly.Exports
  }

  /** Power-on: to be called once before anything else, by the thread that makes the machine. */
  powerOn(): void {
    this.u32[S.CPU_INDEX >>> 2] = this.index
    this.u32[S.APIC_ID >>> 2] = this.index
    this.exports.reset()
  }

  /**
   * Runs until the budget of instructions (at most 2^53) is spent or something ends it; returns EXIT_*. Time that is no
   * instruction's is taken from the budget as well: 1 for a fault, CACHE_MISS_TICKS for a load that waits for its line (TRAIT_LATE_CHECKS).
   */
  run(budget: number): number {
    for (;;) {
      try {
        return this.exports.run(budget)
      } catch (thrown) {
        // The fault is recorded in the state; the next call delivers it first, and goes on with what is left of the budget.
        if (thrown !== FAULT) throw thrown
      }
    }
  }

  // -------------------------------------------------------------------------------------------------- state
  /** A 32-bit word of the state by its offset in core/state.ts. */
  word(offset: number): number {
    return this.u32[offset >>> 2]!
  }

  setWord(offset: number, value: number): void {
    this.u32[offset >>> 2] = value
  }

  /** A 64-bit field of the state; for set-up, tests and reports. */
  long(offset: number): bigint {
    return this.u64[offset >>> 3]!
  }

  setLong(offset: number, value: bigint): void {
    this.u64[offset >>> 3] = BigInt.asUintN(64, value)
  }

  /** A 64-bit counter or time as a number (exact to 2^53). */
  count(offset: number): number {
    return this.u32[offset >>> 2]! + this.u32[(offset >>> 2) + 1]! * 0x1_0000_0000
  }

  setCount(offset: number, value: number): void {
    this.u32[offset >>> 2] = value >>> 0
    this.u32[(offset >>> 2) + 1] = Math.floor(value / 0x1_0000_0000)
  }

  gprLo(register: number): number {
    return this.u32[(S.GPR >>> 2) + 2 * register]!
  }

  gprHi(register: number): number {
    return this.u32[(S.GPR >>> 2) + 2 * register + 1]!
  }

  setGprLoHi(register: number, lo: number, hi: number): void {
    this.u32[(S.GPR >>> 2) + 2 * register] = lo
    this.u32[(S.GPR >>> 2) + 2 * register + 1] = hi
  }

  gpr(register: number): bigint {
    return this.u64[(S.GPR >>> 3) + register]!
  }

  setGpr(register: number, value: bigint): void {
    this.u64[(S.GPR >>> 3) + register] = BigInt.asUintN(64, value)
  }

  get rip(): bigint {
    return this.long(S.RIP)
  }

  set rip(value: bigint) {
    this.setLong(S.RIP, value)
    // Wherever that is, it is not in the middle of a repeated instruction.
    this.setWord(S.REPEATING, 0)
  }

  get flags(): bigint {
    return this.exports.flags()
  }

  set flags(value: bigint) {
    this.exports.setFlags(value)
  }

  get cpl(): number {
    return this.word(S.CPL)
  }

  get instructions(): number {
    return this.count(S.INSTRUCTIONS)
  }

  /**
   * P:140 What time is it in a machine that is a program? Whatever we say. An instruction takes a nanosecond, and idle
   * time is skipped. So a run can be repeated exactly, event for event, and "how long" is always a count of something.
   *
   * Simulated time in ticks of 1 ns: instructions executed and idle time skipped.
   */
  get now(): number {
    return this.count(S.INSTRUCTIONS) + this.count(S.IDLE_TICKS)
  }

  /** Lets idle time pass. */
  skip(ticks: number): void {
    this.setCount(S.IDLE_TICKS, this.count(S.IDLE_TICKS) + ticks)
  }

  get exitReason(): number {
    return this.word(S.EXIT_REASON)
  }

  get exitDetail(): number {
    return this.word(S.EXIT_DETAIL)
  }

  get halted(): boolean {
    return this.word(S.HALTED) !== 0
  }

  /** `watcher` hears of each exception and interrupt that is delivered; `rip` is where it came, and is not to be set. */
  watch(watcher: (vector: number, error: number) => void): void {
    this.watcher = watcher
    this.setWord(S.WATCHED, 1)
  }

  /** Drives the INTR line. */
  setIntr(level: boolean): void {
    Atomics.store(this.i32, S.INTR_LINE >>> 2, level ? 1 : 0)
    if (level) Atomics.or(this.i32, S.ATTENTION >>> 2, S.ATT_INTR)
    else Atomics.and(this.i32, S.ATTENTION >>> 2, ~S.ATT_INTR)
  }

  /**
   * Whether something waits that gets the processor out of HLT, or out of waiting for a start-up IPI. Who wants to sleep
   * for a halted processor says so first, then asks this, then sleeps (pins.ts wakes him).
   */
  get called(): boolean {
    let events = S.ATT_STOP | S.ATT_INIT
    if (this.word(S.WAIT_SIPI) !== 0) events |= S.ATT_SIPI
    // An NMI does not get a processor out of the handler of another.
    else events |= this.word(S.NMI_BLOCKED) !== 0 ? S.ATT_INTR : S.ATT_INTR | S.ATT_NMI
    return (Atomics.load(this.i32, S.ATTENTION >>> 2) & events) !== 0
  }

  /** Sets ATT_* bits; safe from another thread. */
  attend(bits: number): void {
    Atomics.or(this.i32, S.ATTENTION >>> 2, bits)
  }

  /** Segment base, limit, attributes and selector, as loaded; `refresh` afterwards. */
  setSegment(segment: number, selector: number, base: bigint, limit: number, attributes: number): void {
    const at = S.SEG + segment * S.SEG_STRIDE
    this.setLong(at + S.SEG_BASE, base)
    this.setWord(at + S.SEG_LIMIT, limit)
    this.setWord(at + S.SEG_ATTR, attributes)
    this.setWord(at + S.SEG_SELECTOR, selector)
  }

  refresh(): void {
    this.exports.refresh()
  }

  flushTlb(global: boolean): void {
    this.exports.flushTlb(global ? 1 : 0)
  }

  counters(): Counters {
    return {
      instructions: [0, 1, 2, 3].map((r) => this.count(S.COUNT_RING + 8 * r)) as [number, number, number, number],
      tlbMisses: this.count(S.COUNT_TLB_MISS),
      tlbFlushes: this.count(S.COUNT_TLB_FLUSH),
      invlpg: this.count(S.COUNT_INVLPG),
      cr3Loads: this.count(S.COUNT_CR3_LOAD),
      interrupts: this.count(S.COUNT_INTERRUPT),
      syscalls: this.count(S.COUNT_SYSCALL),
      sysenters: this.count(S.COUNT_SYSENTER),
      transient: this.count(S.COUNT_TRANSIENT),
      cacheMisses: this.count(S.COUNT_CACHE_MISS),
      vectors: Array.from({ length: 256 }, (_, v) => this.count(S.COUNT_VECTOR + 8 * v)),
    }
  }
}
