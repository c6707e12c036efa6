import {
  ATTENTION,
  ATT_STEP,
  CPU_AREA,
  CPU_STRIDE,
  DEBUG_BREAK_TABLE,
  DEBUG_BREAKPOINT,
  DEBUG_BREAKS,
  DEBUG_BREAKS_MOST,
  DEBUG_HIT,
  DEBUG_LEFT,
  DEBUG_RING,
  DEBUG_STEPPED,
  DEBUG_WATCH_SHIFT,
  DEBUG_WATCH_TABLE,
  DEBUG_WATCHES,
  DEBUG_WATCHES_MOST,
  DEBUG_WATCHPOINT,
  EXIT_DEBUG,
  FETCH_EPOCH,
  WATCH_READS,
  WATCH_WRITES,
} from "./core/state.ts"
import type { Machine } from "./machine.ts"
import type { Processor } from "./processor.ts"

/*
 * What a debugger can ask of one processor: to leave `run` with EXIT_DEBUG before an instruction, or after an access. It is
 * invisible to what runs there and costs it nothing but simulator time: same registers, same memory, same instruction counts
 * (core/debug.ts). Ask between two runs only, and in the thread that runs the processor.
 */

/** A data watchpoint; addresses are linear ones. */
export interface Watchpoint {
  readonly address: bigint
  readonly length: number
  readonly kind: "write" | "read" | "access"
}

/** Why `run` returned EXIT_DEBUG. Several may be true at once. */
export interface DebugHit {
  readonly stepped: boolean
  readonly breakpoint: boolean
  readonly watchpoint: Watchpoint | undefined
}

const KINDS = { write: WATCH_WRITES, read: WATCH_READS, access: WATCH_WRITES | WATCH_READS } as const
const NOWHERE = 0xffff_ffff_ffff_ffffn

export class ProcessorDebugger {
  readonly processor: Processor
  private readonly breakTable: BigUint64Array
  private readonly watchTable: DataView
  private readonly attention: Int32Array
  private watchpoints: ReadonlyArray<Watchpoint> = []

  /** `ring`: the lowest that is the guest's: 0 on a machine without a host, else 1. */
  constructor(machine: Machine, processor: Processor, ring: 0 | 1) {
    const area = CPU_AREA + processor.index * CPU_STRIDE
    this.processor = processor
    this.breakTable = new BigUint64Array(machine.memory.buffer, area + DEBUG_BREAK_TABLE, DEBUG_BREAKS_MOST)
    this.watchTable = new DataView(machine.memory.buffer, area + DEBUG_WATCH_TABLE, DEBUG_WATCHES_MOST * 16)
    this.attention = new Int32Array(machine.memory.buffer, area + ATTENTION, 1)
    processor.setWord(DEBUG_RING, ring)
    processor.setLong(DEBUG_LEFT, NOWHERE)
  }

  /** How many breakpoints and watchpoints there may be. */
  static readonly most = { breakpoints: DEBUG_BREAKS_MOST, watchpoints: DEBUG_WATCHES_MOST }

  /** Stops before instructions at these linear addresses, and no others. Throws a RangeError if they are too many. */
  setBreakpoints(addresses: ReadonlyArray<bigint>): void {
    if (addresses.length > DEBUG_BREAKS_MOST) throw new RangeError(`there are ${DEBUG_BREAKS_MOST} breakpoints at most`)
    const { processor } = this
    this.breakTable.set(addresses)
    processor.setWord(DEBUG_BREAKS, addresses.length)
    // The ways to blocks that are remembered lead past a new breakpoint.
    processor.setWord(FETCH_EPOCH, (processor.word(FETCH_EPOCH) + 1) >>> 0)
  }

  /** Stops after instructions that touch one of these, and no others. While there are any, everything is slower. */
  setWatchpoints(watchpoints: ReadonlyArray<Watchpoint>): void {
    if (watchpoints.length > DEBUG_WATCHES_MOST)
      throw new RangeError(`there are ${DEBUG_WATCHES_MOST} watchpoints at most`)
    this.watchpoints = [...watchpoints]
    watchpoints.forEach(({ address, length, kind }, i) => {
      this.watchTable.setBigUint64(16 * i, address, true)
      this.watchTable.setUint32(16 * i + 8, length, true)
      this.watchTable.setUint32(16 * i + 12, KINDS[kind], true)
    })
    this.processor.setWord(DEBUG_WATCHES, watchpoints.length)
    this.processor.setWord(DEBUG_HIT, 0)
    this.processor.refresh()
  }

  /** Whether to stop before each instruction of the guest. */
  setStepping(on: boolean): void {
    if (on) Atomics.or(this.attention, 0, ATT_STEP)
    else Atomics.and(this.attention, 0, ~ATT_STEP)
  }

  get stepping(): boolean {
    return (this.processor.word(ATTENTION) & ATT_STEP) !== 0
  }

  /** The next run goes past whatever would stop at the instruction where the processor stands. */
  pass(): void {
    this.processor.setLong(DEBUG_LEFT, this.processor.rip)
  }

  /** After `run` has returned: why, or undefined if it was not for a debugger. */
  hit(): DebugHit | undefined {
    if (this.processor.exitReason !== EXIT_DEBUG) return undefined
    const detail = this.processor.exitDetail
    return {
      stepped: (detail & DEBUG_STEPPED) !== 0,
      breakpoint: (detail & DEBUG_BREAKPOINT) !== 0,
      watchpoint: (detail & DEBUG_WATCHPOINT) !== 0 ? this.watchpoints[detail >>> DEBUG_WATCH_SHIFT] : undefined,
    }
  }
}
