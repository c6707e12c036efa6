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
} from "./core/state.ts"
import { Processor } from "./processor.ts"
import { Ram } from "./ram.ts"

export interface MachineConfig {
  /** The compiled core (dist/machine/core.wasm). */
  readonly core: WebAssembly.Module
  /** Physical memory in bytes, a multiple of 4096. */
  readonly ramBytes: number
  readonly processors: number
  readonly bus: Bus
}

const PAGE = 0x1_0000
const roundUp = (n: number, to: number) => Math.ceil(n / to) * to

/** The largest physical memory that one machine with `processors` processors can have, bytes. */
export const maximumRam = (processors: number): number => {
  const left = 2 ** 32 - PAGE - (CPU_AREA + processors * CPU_STRIDE)
  // Each page of memory costs 4 bytes of metadata.
  return Math.floor((left - 2 * PAGE) / (4096 + 4)) * 4096
}

/*
 * One simulated PC without its chipset: memory and processors. Everything lies in one shared WebAssembly memory whose
 * map is in core/state.ts, so that a worker can run any of the processors.
 */
export class Machine {
  readonly memory: WebAssembly.Memory
  readonly ram: Ram
  readonly processors: ReadonlyArray<Processor>
  private readonly header: Uint32Array

  private constructor(config: MachineConfig) {
    const { core, ramBytes, processors, bus } = config
    if (ramBytes % 4096 !== 0 || ramBytes <= 0 || ramBytes > maximumRam(processors))
      throw new RangeError(`a machine cannot have ${ramBytes} bytes of memory`)
    const metaBase = CPU_AREA + processors * CPU_STRIDE
    const ramBase = roundUp(metaBase + (ramBytes >>> 12) * 4, PAGE)
    // One WebAssembly page more than memory, so that an 8-byte access at its last byte stays inside the object.
    const pages = roundUp(ramBase + ramBytes, PAGE) / PAGE + 1
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
    this.header = new Uint32Array(this.memory.buffer, HEADER, 1024)
    this.header[HEADER_RAM_BASE >>> 2] = ramBase
    this.header[HEADER_RAM_SIZE >>> 2] = ramBytes
    this.header[HEADER_META_BASE >>> 2] = metaBase
    this.header[HEADER_CPUS >>> 2] = processors
    this.ram = new Ram(this.memory, ramBase, ramBytes, metaBase)
    this.processors = Array.from({ length: processors }, (_, index) => new Processor(core, this.memory, index, bus))
  }

  static create(config: MachineConfig): Machine {
    return new Machine(config)
  }

  /** Executing [begin, end) of physical memory at ring 0 leaves `run` with EXIT_GATE. */
  setGates(begin: number, end: number): void {
    this.header[HEADER_GATE_BEGIN >>> 2] = begin
    this.header[HEADER_GATE_END >>> 2] = end
  }
}
