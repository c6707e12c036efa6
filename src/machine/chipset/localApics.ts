import type { ProcessorPins } from "../pins.ts"
import type { SharedHeap } from "../shared.ts"
import { APIC_TIMES, APIC_WORDS, FIXED, INIT, LocalApic, LOWEST, NMI, SIPI } from "./localApic.ts"

export const APIC_PAGE = 0xfee00000
export const APIC_PAGE_SIZE = 0x1000

/** All processors' APICs and the bus between them. Messages may come from any thread (localApic.ts). */
export class LocalApics {
  readonly pins: ProcessorPins
  readonly count: number
  private readonly apics: LocalApic[] = []
  private readonly now: (cpu: number) => number

  /** `now`: simulated nanoseconds of a processor's own time. */
  constructor(heap: SharedHeap, processors: number, now: (cpu: number) => number, pins: ProcessorPins) {
    this.pins = pins
    this.count = processors
    this.now = now
    const words = heap.u32(processors * APIC_WORDS)
    const times = heap.f64(processors * APIC_TIMES)
    for (let id = 0; id < processors; id++)
      this.apics.push(
        new LocalApic(
          id,
          this,
          words.subarray(id * APIC_WORDS, (id + 1) * APIC_WORDS),
          times.subarray(id * APIC_TIMES, (id + 1) * APIC_TIMES),
        ),
      )
    if (!heap.fresh) return
    for (const apic of this.apics) apic.reset()
    this.apics[0].virtualWire()
  }

  of(cpu: number): LocalApic {
    return this.apics[cpu]
  }

  matches(cpu: number, destination: number, logical: boolean): boolean {
    return this.apics[cpu].matches(destination, logical)
  }

  /** Brings a message to one processor. */
  deliver(cpu: number, delivery: number, vector: number): void {
    switch (delivery) {
      case FIXED:
      case LOWEST:
        this.apics[cpu].accept(vector)
        return
      case NMI:
        this.pins.nmi(cpu)
        return
      case INIT:
        this.apics[cpu].init()
        this.pins.init(cpu)
        return
      case SIPI:
        this.pins.startUp(cpu, vector)
    }
  }

  /** Registers are dwords at 16-byte boundaries; a narrower read gives the bytes of one (all else is undefined). */
  read(cpu: number, offset: number, size: number): number {
    const value = this.apics[cpu].read(offset & ~0xf, this.now(cpu))
    if (offset & 0xc) return 0
    const shifted = value >>> (8 * (offset & 3))
    return size === 4 ? shifted : shifted & ((1 << (8 * size)) - 1)
  }

  write(cpu: number, offset: number, size: number, value: number): void {
    if (size === 4 && (offset & 0xf) === 0) this.apics[cpu].write(offset, value, this.now(cpu))
  }
}
