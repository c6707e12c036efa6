import { FIXED, INIT, LocalApic, LOWEST, NMI, SIPI } from "./localApic.ts"

export const APIC_PAGE = 0xfee00000
export const APIC_PAGE_SIZE = 0x1000

/** What the APICs do to the processors. */
export interface ProcessorPins {
  setIntr(cpu: number, level: boolean): void
  nmi(cpu: number): void
  init(cpu: number): void
  /** Start-up IPI: begin in real mode at vector * 4096. */
  startUp(cpu: number, vector: number): void
}

/** All processors' APICs and the bus between them. */
export class LocalApics {
  readonly pins: ProcessorPins
  readonly count: number
  private readonly apics: LocalApic[] = []
  private readonly now: () => number

  constructor(processors: number, now: () => number, pins: ProcessorPins) {
    this.pins = pins
    this.count = processors
    this.now = now
    for (let id = 0; id < processors; id++) this.apics.push(new LocalApic(id, this))
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
        this.apics[cpu].reset()
        this.pins.init(cpu)
        return
      case SIPI:
        this.pins.startUp(cpu, vector)
    }
  }

  /** Registers are dwords at 16-byte boundaries; a narrower read gives the bytes of one (all else is undefined). */
  read(cpu: number, offset: number, size: number): number {
    const value = this.apics[cpu].read(offset & ~0xf, this.now())
    if (offset & 0xc) return 0
    const shifted = value >>> (8 * (offset & 3))
    return size === 4 ? shifted : shifted & ((1 << (8 * size)) - 1)
  }

  write(cpu: number, offset: number, size: number, value: number): void {
    if (size === 4 && (offset & 0xf) === 0) this.apics[cpu].write(offset, value, this.now())
  }

  nextEvent(): number {
    let next = Infinity
    for (let cpu = 0; cpu < this.count; cpu++) next = Math.min(next, this.apics[cpu].nextEvent())
    return next
  }

  advance(now: number): void {
    for (let cpu = 0; cpu < this.count; cpu++) this.apics[cpu].advance(now)
  }
}
