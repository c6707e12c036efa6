import type { Bus } from "./bus.ts"
import {
  CPU_AREA,
  CPU_STRIDE,
  HEADER,
  HEADER_CPUS,
  HEADER_GATE_BEGIN,
  HEADER_GATE_END,
  HEADER_META_BASE,
  HEADER_RAM_BASE,
  HEADER_RAM_SIZE,
  HEADER_TRAITS,
  TRAIT_LATE_CHECKS,
} from "./core/state.ts"
import { Processor } from "./processor.ts"
import { Ram } from "./ram.ts"

/** What the processors of a machine are like where models differ. All of it is off unless it is asked for. */
export interface Traits {
  /**
   * Loads are carried out before their permission is checked, and there is a data cache whose misses take time: "Meltdown", as on
   * Intel's out-of-order processors up to 2018 and not on AMD's (docs/late-checks.md). Everything is slower by far.
   */
  readonly lateChecks?: boolean | undefined
}

export interface MachineConfig {
  /** The compiled core (dist/machine/core.wasm). */
  readonly core: WebAssembly.Module
  /** Physical memory in bytes, a multiple of 4096. */
  readonly ramBytes: number
  readonly processors: number
  readonly bus: Bus
  readonly traits?: Traits | undefined
}

/** What another thread needs to see a machine; it may be posted to a worker. */
export interface MachineShare {
  readonly core: WebAssembly.Module
  readonly memory: WebAssembly.Memory
  readonly ramBytes: number
  readonly processors: number
}

const PAGE = 0x1_0000
const roundUp = (n: number, to: number) => Math.ceil(n / to) * to

/** The largest physical memory that one machine with `processors` processors can have, bytes. */
export const maximumRam = (processors: number): number => {
  const left = 2 ** 32 - PAGE - (CPU_AREA + processors * CPU_STRIDE)
  // Each page of memory costs 4 bytes of metadata.
  return Math.floor((left - 2 * PAGE) / (4096 + 4)) * 4096
}

/** Where page metadata and physical memory begin, and the pages of WebAssembly memory for everything. */
const layOut = (ramBytes: number, processors: number) => {
  const metaBase = CPU_AREA + processors * CPU_STRIDE
  const ramBase = roundUp(metaBase + (ramBytes >>> 12) * 4, PAGE)
  // One WebAssembly page more than memory, so that an 8-byte access at its last byte stays inside the object.
  return { metaBase, ramBase, pages: roundUp(ramBase + ramBytes, PAGE) / PAGE + 1 }
}

/*
 * P:020 First the ground that we stand on. There is no pretence in this simulator: a Guest is real machine code, and
 * what keeps it away from its Host is what would on silicon, the processor's own checks, carried out one instruction at
 * a time. So an unsafe design really is broken into.
 *
 * One simulated PC without its chipset: memory and processors. Everything lies in one shared WebAssembly memory whose
 * map is in core/state.ts. The thread that creates a machine shares it, others attach to it, and from then on any
 * thread may run any processor, but no two the same one at a time: between runs the core keeps nothing of a processor
 * outside of that memory. (Its WebAssembly globals, the `let`s of core/*.ts, are scratch: each is written by an
 * instruction before that instruction reads it, and `run` returns between two instructions.) Who hands a processor from
 * one thread to another does so by something atomic, a Mutex or a message, so that the next thread sees what the last
 * has written.
 */
export class Machine {
  readonly memory: WebAssembly.Memory
  readonly ram: Ram
  readonly processorCount: number
  private readonly core: WebAssembly.Module
  private readonly bus: Bus
  private readonly header: Uint32Array
  /** This thread's instances of the core, made when they are first asked for: each costs a compilation's bookkeeping. */
  private readonly instances: Array<Processor | undefined>

  private constructor(share: MachineShare, bus: Bus) {
    const { core, memory, ramBytes, processors } = share
    const { metaBase, ramBase } = layOut(ramBytes, processors)
    this.core = core
    this.bus = bus
    this.memory = memory
    this.processorCount = processors
    this.header = new Uint32Array(memory.buffer, HEADER, 1024)
    this.ram = new Ram(memory, ramBase, ramBytes, metaBase)
    this.instances = new Array<Processor | undefined>(processors).fill(undefined)
  }

  /** A machine that has just been switched on. */
  static create({ core, ramBytes, processors, bus, traits = {} }: MachineConfig): Machine {
    if (ramBytes % 4096 !== 0 || ramBytes <= 0 || ramBytes > maximumRam(processors))
      throw new RangeError(`a machine cannot have ${ramBytes} bytes of memory`)
    const { metaBase, ramBase, pages } = layOut(ramBytes, processors)
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
    const machine = new Machine({ core, memory, ramBytes, processors }, bus)
    machine.header[HEADER_RAM_BASE >>> 2] = ramBase
    machine.header[HEADER_RAM_SIZE >>> 2] = ramBytes
    machine.header[HEADER_META_BASE >>> 2] = metaBase
    machine.header[HEADER_CPUS >>> 2] = processors
    machine.header[HEADER_TRAITS >>> 2] = traits.lateChecks === true ? TRAIT_LATE_CHECKS : 0
    for (const processor of machine.processors) processor.powerOn()
    return machine
  }

  /** The machine of another thread, as it is; `bus` is this thread's view of what lies beyond the processors' pins. */
  static attach(share: MachineShare, bus: Bus): Machine {
    return new Machine(share, bus)
  }

  share(): MachineShare {
    return { core: this.core, memory: this.memory, ramBytes: this.ram.size, processors: this.processorCount }
  }

  /** They lie in the memory: a thread that attaches need not be told. */
  get traits(): Traits {
    return { lateChecks: (this.header[HEADER_TRAITS >>> 2]! & TRAIT_LATE_CHECKS) !== 0 }
  }

  processor(index: number): Processor {
    if (!(index in this.instances)) throw new RangeError(`the machine has no processor ${index}`)
    return (this.instances[index] ??= new Processor(this.core, this.memory, index, this.bus))
  }

  /** All of them: for who runs them all in one thread. */
  get processors(): ReadonlyArray<Processor> {
    return this.instances.map((_, index) => this.processor(index))
  }

  /** Executing [begin, end) of physical memory at ring 0 leaves `run` with EXIT_GATE. */
  setGates(begin: number, end: number): void {
    this.header[HEADER_GATE_BEGIN >>> 2] = begin
    this.header[HEADER_GATE_END >>> 2] = end
  }
}
