import { ApicTimer } from "./apicTimer.ts"
import type { LocalApics } from "./localApics.ts"

/*
 * The local APIC of each processor (Intel SDM vol. 3, chapter 11, "xAPIC mode"): a page of registers at 0xFEE00000 that
 * every processor sees as its own. It ranks interrupts by vector, has a timer, sends interrupts to other processors, and
 * passes the 8259's INTR through on LINT0 ("virtual wire mode", how firmware leaves a PC).
 *
 * The page does not move: IA32_APIC_BASE's address field has no effect. There is no I/O APIC, so no interrupt is
 * level-triggered here and TMR reads 0 but for what software sends itself.
 */

/** Register offsets in the page (table 11-1); each register is 32 bits at a 16-byte boundary. */
const ID = 0x020
const VERSION = 0x030
const TPR = 0x080
const APR = 0x090
const PPR = 0x0a0
const EOI = 0x0b0
const LDR = 0x0d0
const DFR = 0x0e0
const SVR = 0x0f0
const ISR = 0x100
const TMR = 0x180
const IRR = 0x200
const ESR = 0x280
const ICR_LOW = 0x300
const ICR_HIGH = 0x310
const LVT_TIMER = 0x320
const LVT_THERMAL = 0x330
const LVT_COUNTER = 0x340
const LVT_LINT0 = 0x350
const LVT_LINT1 = 0x360
const LVT_ERROR = 0x370
const TIMER_INITIAL = 0x380
const TIMER_CURRENT = 0x390
const TIMER_DIVIDE = 0x3e0

/** Version 0x14 (integrated), six LVT entries. */
const VERSION_VALUE = 0x0005_0014
const SVR_ENABLED = 0x100
const LVT_MASKED = 0x1_0000
const LVT_PERIODIC = 0x2_0000
const LVT_DELIVERY = 0x700
/** Bits of each LVT entry that software writes (fig. 11-8). */
const LVT_WRITABLE = [0x300ff, 0x107ff, 0x107ff, 0x1a7ff, 0x1a7ff, 0x100ff]

/** Delivery modes, in bits 10..8 of ICR and LVT. */
export const FIXED = 0
export const LOWEST = 1
export const NMI = 4
export const INIT = 5
export const SIPI = 6
const EXTINT = 7

const ICR_LOGICAL = 0x800
const ICR_ASSERT = 0x4000
const ICR_LEVEL = 0x8000
const ICR_WRITABLE = 0xc_cfff
/** Shorthands, bits 19..18. */
const SHORT_SELF = 1
const SHORT_ALL = 2
const SHORT_OTHERS = 3

const ERROR_SEND_VECTOR = 0x20
const ERROR_RECEIVE_VECTOR = 0x40
const ERROR_REGISTER = 0x80

/** Number of the highest bit set in the 256-bit register at `r`, or -1. */
const highest = (r: Uint32Array): number => {
  for (let i = 7; i >= 0; i--) if (r[i] !== 0) return i * 32 + 31 - Math.clz32(r[i])
  return -1
}

export class LocalApic {
  readonly id: number
  private readonly bus: LocalApics
  private readonly irr = new Uint32Array(8)
  private readonly isr = new Uint32Array(8)
  private readonly tmr = new Uint32Array(8)
  /** Timer, thermal, performance counter, LINT0, LINT1, error. */
  private readonly lvt = new Uint32Array(6)
  private tpr = 0
  private ldr = 0
  private dfr = 0xffffffff
  private svr = 0xff
  private errors = 0
  private esr = 0
  private icrLow = 0
  private icrHigh = 0
  private readonly timer = new ApicTimer()
  /** Level on LINT0: the 8259's INTR. */
  private lint0 = false
  private intr = false

  constructor(id: number, bus: LocalApics) {
    this.id = id
    this.bus = bus
    this.reset()
  }

  /** State after power-up or INIT (11.4.7.1). */
  reset(): void {
    this.irr.fill(0)
    this.isr.fill(0)
    this.tmr.fill(0)
    this.lvt.fill(LVT_MASKED)
    this.tpr = this.ldr = this.errors = this.esr = this.icrLow = this.icrHigh = 0
    this.timer.reset()
    this.dfr = 0xffffffff
    this.svr = 0xff
    this.update()
  }

  /** What firmware does on the first processor: enable the APIC, pass the 8259 through LINT0 and NMI through LINT1. */
  virtualWire(): void {
    this.svr |= SVR_ENABLED
    this.lvt[3] = EXTINT << 8
    this.lvt[4] = NMI << 8
    this.update()
  }

  private get enabled(): boolean {
    return (this.svr & SVR_ENABLED) !== 0
  }

  /** Processor priority: the higher of the task's and the in-service interrupt's class (11.8.3.1). */
  private ppr(): number {
    const serving = highest(this.isr)
    return serving >= 0 && serving >> 4 >= this.tpr >> 4 ? serving & 0xf0 : this.tpr
  }

  /** The vector that would be delivered now, or -1. */
  private pending(): number {
    const vector = highest(this.irr)
    return vector >> 4 > this.ppr() >> 4 ? vector : -1
  }

  private externalPending(): boolean {
    return this.lint0 && (this.lvt[3] & (LVT_MASKED | LVT_DELIVERY)) === EXTINT << 8
  }

  private update(): void {
    const level = this.externalPending() || (this.enabled && this.pending() >= 0)
    if (level === this.intr) return
    this.intr = level
    this.bus.pins.setIntr(this.id, level)
  }

  setLint0(level: boolean): void {
    const rising = level && !this.lint0
    this.lint0 = level
    if (rising) this.localInterrupt(3, EXTINT)
    this.update()
  }

  /** Raises local vector table entry `entry`; `except` is a delivery mode that is a level, not an event. */
  private localInterrupt(entry: number, except: number): void {
    const lvt = this.lvt[entry]
    if (lvt & LVT_MASKED) return
    const delivery = (lvt >> 8) & 7
    if (delivery !== except) this.bus.deliver(this.id, delivery, lvt & 0xff)
  }

  /** Accepts a fixed interrupt. Vectors 0..15 are illegal (11.5.2). */
  accept(vector: number): void {
    if (!this.enabled) return
    if (vector < 16) this.error(ERROR_RECEIVE_VECTOR)
    else {
      this.irr[vector >> 5] |= 1 << (vector & 31)
      this.tmr[vector >> 5] &= ~(1 << (vector & 31))
      this.update()
    }
  }

  private error(bit: number): void {
    // An error vector that is itself illegal must not report itself for ever.
    const first = (this.errors & bit) === 0
    this.errors |= bit
    if (first && !(this.lvt[5] & LVT_MASKED)) this.accept(this.lvt[5] & 0xff)
  }

  /** INTA: the highest request goes into service; -1 leaves it to the 8259 (or to nobody). */
  acknowledge(): number {
    const vector = this.enabled ? this.pending() : -1
    if (vector >= 0) {
      const bit = 1 << (vector & 31)
      this.irr[vector >> 5] &= ~bit
      this.isr[vector >> 5] |= bit
      this.update()
    }
    return vector
  }

  get takesExternal(): boolean {
    return this.externalPending()
  }

  private endOfInterrupt(): void {
    const vector = highest(this.isr)
    if (vector >= 0) this.isr[vector >> 5] &= ~(1 << (vector & 31))
    this.update()
  }

  // ------------------------------------------------------------------------------------------------- the timer
  /** The timer runs while its entry is masked, but nobody is told. */
  private nextExpiry(): number {
    return this.lvt[0] & LVT_MASKED || !this.enabled ? Infinity : this.timer.nextExpiry()
  }

  /** Nanosecond of the timer's next interrupt that the processor would be told of, or Infinity. */
  nextEvent(): number {
    const vector = this.lvt[0] & 0xff
    const waits = this.irr[vector >> 5] & (1 << (vector & 31))
    return waits || vector >> 4 <= this.ppr() >> 4 ? Infinity : this.nextExpiry()
  }

  advance(now: number): void {
    const due = this.nextExpiry() <= now
    this.timer.advance(now)
    // Expiries while one still waits in IRR are lost: one bit a vector.
    if (due) this.accept(this.lvt[0] & 0xff)
  }

  // ------------------------------------------------------------------------------------------------ registers
  read(offset: number, now: number): number {
    this.advance(now)
    switch (offset) {
      case ID:
        return this.id << 24
      case VERSION:
        return VERSION_VALUE
      case TPR:
        return this.tpr
      case APR:
      case EOI:
        return 0
      case PPR:
        return this.ppr()
      case LDR:
        return this.ldr
      case DFR:
        return this.dfr
      case SVR:
        return this.svr
      case ESR:
        return this.esr
      case ICR_LOW:
        return this.icrLow
      case ICR_HIGH:
        return this.icrHigh
      case TIMER_INITIAL:
        return this.timer.initial
      case TIMER_CURRENT:
        return this.timer.current(now)
      case TIMER_DIVIDE:
        return this.timer.divideRegister
    }
    if (offset >= ISR && offset < TMR) return this.isr[(offset - ISR) >> 4]
    if (offset >= TMR && offset < IRR) return this.tmr[(offset - TMR) >> 4]
    if (offset >= IRR && offset < ESR) return this.irr[(offset - IRR) >> 4]
    if (offset >= LVT_TIMER && offset <= LVT_ERROR) return this.lvt[(offset - LVT_TIMER) >> 4]
    this.error(ERROR_REGISTER)
    return 0
  }

  write(offset: number, value: number, now: number): void {
    this.advance(now)
    switch (offset) {
      case ID: // read-only here: the number is wired
      case VERSION:
        return
      case TPR:
        this.tpr = value & 0xff
        this.update()
        return
      case EOI:
        this.endOfInterrupt()
        return
      case LDR:
        this.ldr = value & 0xff000000
        return
      case DFR:
        this.dfr = value | 0x0fffffff
        return
      case SVR:
        this.svr = value & 0x3ff
        if (!this.enabled) for (let i = 0; i < 6; i++) this.lvt[i] |= LVT_MASKED // 11.4.7.2
        this.update()
        return
      case ESR: // a write latches what has come up since the last
        this.esr = this.errors
        this.errors = 0
        return
      case ICR_LOW:
        this.icrLow = value & ICR_WRITABLE
        this.sendIpi()
        return
      case ICR_HIGH:
        this.icrHigh = value & 0xff000000
        return
      case LVT_TIMER:
      case LVT_THERMAL:
      case LVT_COUNTER:
      case LVT_LINT0:
      case LVT_LINT1:
      case LVT_ERROR:
        this.writeLvt((offset - LVT_TIMER) >> 4, value)
        return
      case TIMER_INITIAL:
        this.timer.start(value >>> 0, now)
        return
      case TIMER_DIVIDE:
        this.timer.setDivide(value, now)
        return
      default:
        this.error(ERROR_REGISTER)
    }
  }

  private writeLvt(entry: number, value: number): void {
    this.lvt[entry] = value & LVT_WRITABLE[entry]
    if (entry === 0) this.timer.periodic = (value & LVT_PERIODIC) !== 0
    if (!this.enabled) this.lvt[entry] |= LVT_MASKED
    this.update()
  }

  /** ICR's low half was written: send what it says (11.6.1). */
  private sendIpi(): void {
    const low = this.icrLow
    const delivery = (low >> 8) & 7
    const vector = low & 0xff
    const shorthand = (low >> 18) & 3
    // "INIT level de-assert" only resets arbitration ids, which nobody has any more.
    if (delivery === INIT && low & ICR_LEVEL && !(low & ICR_ASSERT)) return
    if ((delivery === FIXED || delivery === LOWEST) && vector < 16) {
      this.error(ERROR_SEND_VECTOR)
      return
    }
    const destination = this.icrHigh >>> 24
    for (let cpu = 0; cpu < this.bus.count; cpu++) {
      const self = cpu === this.id
      const hit =
        shorthand === SHORT_SELF
          ? self
          : shorthand === SHORT_ALL
            ? true
            : shorthand === SHORT_OTHERS
              ? !self
              : this.bus.matches(cpu, destination, (low & ICR_LOGICAL) !== 0)
      if (!hit) continue
      this.bus.deliver(cpu, delivery, vector)
      if (delivery === LOWEST) return // one of them is enough: the first is as good as any
    }
  }

  /** Does a message for `destination` concern this APIC (11.6.2)? */
  matches(destination: number, logical: boolean): boolean {
    if (!logical) return destination === 0xff || destination === this.id
    const mine = this.ldr >>> 24
    if (this.dfr >>> 28 === 0xf) return (mine & destination) !== 0 // flat
    // Cluster: the high nibble names it (15: all), the low nibble its members.
    const cluster = destination >> 4
    return (cluster === 15 || cluster === mine >> 4) && (destination & mine & 15) !== 0
  }
}
