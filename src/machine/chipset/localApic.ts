import { ApicTimer, TIMER_TIMES, TIMER_WORDS } from "./apicTimer.ts"
import type { LocalApics } from "./localApics.ts"

/*
 * M:130 Not every race is an attack; some only lose an interrupt in a month, on a Sunday. These are found by thinking,
 * not by trying, and the thinking is written down below, under "Threads".
 *
 * The local APIC of each processor (Intel SDM vol. 3, chapter 11, "xAPIC mode"): a page of registers at 0xFEE00000 that
 * every processor sees as its own. It ranks interrupts by vector, has a timer, sends interrupts to other processors,
 * and passes the 8259's INTR through on LINT0 ("virtual wire mode", how firmware leaves a PC).
 *
 * The page does not move: IA32_APIC_BASE's address field has no effect. There is no I/O APIC, so no interrupt is
 * level-triggered here and TMR reads 0.
 *
 * Threads. The state lies in arrays that all threads share. The processor's own thread, the owner, makes every call but
 * those of `deliver` in localApics.ts (`accept`, `init`), which whoever sends a message makes. A sender only sets bits in
 * IRR and raises INTR; only the owner lowers it. Every word that decides about INTR is read and written by Atomics, so of
 * a sender who sets a bit and looks at TPR, and an owner who writes TPR and looks at IRR, at least one sees the other; and
 * whoever lowers INTR looks once more. So no interrupt is lost, but INTR may be high for nothing: then `acknowledge` has
 * no vector.
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

/*
 * The words of an APIC's state, u32: 256-bit registers in eight words each, the local vector table (timer, thermal,
 * performance counter, LINT0, LINT1, error), registers, the level on LINT0 (the 8259's INTR), the level that INTR has been
 * driven to, whether an INIT has come and not been carried out, the timer.
 */
const W_IRR = 0
const W_ISR = 8
const W_LVT = 16
const W_TPR = 22
const W_LDR = 23
const W_DFR = 24
const W_SVR = 25
const W_ERRORS = 26
const W_ESR = 27
const W_ICR_LOW = 28
const W_ICR_HIGH = 29
const W_LINT0 = 30
const W_INTR = 31
const W_INIT = 32
const W_TIMER = 33
export const APIC_WORDS = W_TIMER + TIMER_WORDS
export const APIC_TIMES = TIMER_TIMES

const LVTS = 6
const LVT0 = W_LVT + 3
const ERROR_LVT = W_LVT + 5

/** Number of the highest bit set in the 256-bit register at word `at`, or -1. */
const highest = (words: Uint32Array, at: number): number => {
  for (let i = 7; i >= 0; i--) {
    const word = Atomics.load(words, at + i)
    if (word !== 0) return i * 32 + 31 - Math.clz32(word)
  }
  return -1
}

export class LocalApic {
  readonly id: number
  private readonly bus: LocalApics
  private readonly words: Uint32Array
  private readonly timer: ApicTimer

  /** A view of APIC_WORDS words and APIC_TIMES times; new ones want `reset`. */
  constructor(id: number, bus: LocalApics, words: Uint32Array, times: Float64Array) {
    this.id = id
    this.bus = bus
    this.words = words
    this.timer = new ApicTimer(words.subarray(W_TIMER), times)
  }

  private get(word: number): number {
    return Atomics.load(this.words, word)
  }

  private set(word: number, value: number): void {
    Atomics.store(this.words, word, value)
  }

  /** State after power-up or INIT (11.4.7.1). LINT0 is a wire and stays as it is. */
  reset(): void {
    for (let i = W_IRR; i < W_LINT0; i++) this.set(i, 0)
    for (let i = 0; i < LVTS; i++) this.set(W_LVT + i, LVT_MASKED)
    this.set(W_DFR, 0xffffffff)
    this.set(W_SVR, 0xff)
    this.timer.reset()
    this.update()
  }

  /** INIT, from any thread: the owner resets before it does anything else. */
  init(): void {
    this.set(W_INIT, 1)
  }

  /** Every call of the owner begins with this. */
  private settle(): void {
    if (this.get(W_INIT) !== 0 && Atomics.exchange(this.words, W_INIT, 0) !== 0) this.reset()
  }

  /** What firmware does on the first processor: enable the APIC, pass the 8259 through LINT0 and NMI through LINT1. */
  virtualWire(): void {
    this.set(W_SVR, this.get(W_SVR) | SVR_ENABLED)
    this.set(LVT0, EXTINT << 8)
    this.set(W_LVT + 4, NMI << 8)
    this.update()
  }

  private get enabled(): boolean {
    return (this.get(W_SVR) & SVR_ENABLED) !== 0
  }

  /** Processor priority: the higher of the task's and the in-service interrupt's class (11.8.3.1). */
  private ppr(): number {
    const tpr = this.get(W_TPR)
    const serving = highest(this.words, W_ISR)
    return serving >= 0 && serving >> 4 >= tpr >> 4 ? serving & 0xf0 : tpr
  }

  /** The vector that would be delivered now, or -1. */
  private pending(): number {
    if (!this.enabled) return -1
    const vector = highest(this.words, W_IRR)
    return vector >> 4 > this.ppr() >> 4 ? vector : -1
  }

  private externalPending(): boolean {
    return this.get(W_LINT0) !== 0 && (this.get(LVT0) & (LVT_MASKED | LVT_DELIVERY)) === EXTINT << 8
  }

  private wanted(): boolean {
    return this.externalPending() || this.pending() >= 0
  }

  private raise(): void {
    if (Atomics.exchange(this.words, W_INTR, 1) === 0) this.bus.pins.setIntr(this.id, true)
  }

  /** By the owner only: INTR follows the registers. */
  private update(): void {
    if (this.wanted()) this.raise()
    else if (this.get(W_INTR) !== 0) this.lower()
  }

  private lower(): void {
    this.set(W_INTR, 0)
    this.bus.pins.setIntr(this.id, false)
    // A message between the look and the lowering: its sender may have raised the line just before it was lowered.
    if (!this.wanted()) return
    this.set(W_INTR, 1)
    this.bus.pins.setIntr(this.id, true)
  }

  /** The 8259 belongs to the boot processor's thread, as LINT0 does. */
  setLint0(level: boolean): void {
    this.settle()
    const rising = Atomics.exchange(this.words, W_LINT0, level ? 1 : 0) === 0 && level
    if (rising) this.localInterrupt(3, EXTINT)
    this.update()
  }

  /** Raises local vector table entry `entry`; `except` is a delivery mode that is a level, not an event. */
  private localInterrupt(entry: number, except: number): void {
    const lvt = this.get(W_LVT + entry)
    if (lvt & LVT_MASKED) return
    const delivery = (lvt >> 8) & 7
    if (delivery !== except) this.bus.deliver(this.id, delivery, lvt & 0xff)
  }

  /** Accepts a fixed interrupt, from any thread. Vectors 0..15 are illegal (11.5.2). */
  accept(vector: number): void {
    if (!this.enabled || this.get(W_INIT) !== 0) return
    if (vector < 16) this.error(ERROR_RECEIVE_VECTOR)
    else {
      Atomics.or(this.words, W_IRR + (vector >> 5), 1 << (vector & 31))
      if (this.wanted()) this.raise()
    }
  }

  private error(bit: number): void {
    // An error vector that is itself illegal must not report itself for ever.
    const first = (Atomics.or(this.words, W_ERRORS, bit) & bit) === 0
    const lvt = this.get(ERROR_LVT)
    if (first && !(lvt & LVT_MASKED)) this.accept(lvt & 0xff)
  }

  /** INTA: the highest request goes into service; -1 leaves it to the 8259 (or to nobody). */
  acknowledge(): number {
    this.settle()
    const vector = this.pending()
    if (vector < 0) {
      // If INTR was high for nothing it is not known who has raised it last: drive it as it should be.
      if (!this.externalPending()) this.lower()
      return -1
    }
    const bit = 1 << (vector & 31)
    // In service first: a sender who looks between the two sees nothing that is left to deliver.
    Atomics.or(this.words, W_ISR + (vector >> 5), bit)
    Atomics.and(this.words, W_IRR + (vector >> 5), ~bit)
    this.update()
    return vector
  }

  get takesExternal(): boolean {
    return this.externalPending()
  }

  private endOfInterrupt(): void {
    const vector = highest(this.words, W_ISR)
    if (vector >= 0) Atomics.and(this.words, W_ISR + (vector >> 5), ~(1 << (vector & 31)))
    this.update()
  }

  // ------------------------------------------------------------------------------------------------- the timer
  /** The timer runs while its entry is masked, but nobody is told. */
  private nextExpiry(): number {
    return this.get(W_LVT) & LVT_MASKED || !this.enabled ? Infinity : this.timer.nextExpiry()
  }

  /** Nanosecond of the timer's next interrupt that the processor would be told of, or Infinity. */
  nextEvent(): number {
    this.settle()
    const expiry = this.nextExpiry()
    if (expiry === Infinity) return Infinity
    const vector = this.get(W_LVT) & 0xff
    const waits = this.get(W_IRR + (vector >> 5)) & (1 << (vector & 31))
    return waits || vector >> 4 <= this.ppr() >> 4 ? Infinity : expiry
  }

  advance(now: number): void {
    this.settle()
    const due = this.nextExpiry() <= now
    this.timer.advance(now)
    // Expiries while one still waits in IRR are lost: one bit a vector.
    if (due) this.accept(this.get(W_LVT) & 0xff)
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
        return this.get(W_TPR)
      case APR:
      case EOI:
        return 0
      case PPR:
        return this.ppr()
      case LDR:
        return this.get(W_LDR)
      case DFR:
        return this.get(W_DFR)
      case SVR:
        return this.get(W_SVR)
      case ESR:
        return this.get(W_ESR)
      case ICR_LOW:
        return this.get(W_ICR_LOW)
      case ICR_HIGH:
        return this.get(W_ICR_HIGH)
      case TIMER_INITIAL:
        return this.timer.initial
      case TIMER_CURRENT:
        return this.timer.current(now)
      case TIMER_DIVIDE:
        return this.timer.divideRegister
    }
    if (offset >= ISR && offset < TMR) return this.get(W_ISR + ((offset - ISR) >> 4))
    if (offset >= TMR && offset < IRR) return 0
    if (offset >= IRR && offset < ESR) return this.get(W_IRR + ((offset - IRR) >> 4))
    if (offset >= LVT_TIMER && offset <= LVT_ERROR) return this.get(W_LVT + ((offset - LVT_TIMER) >> 4))
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
        this.set(W_TPR, value & 0xff)
        this.update()
        return
      case EOI:
        this.endOfInterrupt()
        return
      case LDR:
        this.set(W_LDR, value & 0xff000000)
        return
      case DFR:
        this.set(W_DFR, value | 0x0fffffff)
        return
      case SVR:
        this.set(W_SVR, value & 0x3ff)
        if (!this.enabled) for (let i = 0; i < LVTS; i++) Atomics.or(this.words, W_LVT + i, LVT_MASKED) // 11.4.7.2
        this.update()
        return
      case ESR: // a write latches what has come up since the last
        this.set(W_ESR, Atomics.exchange(this.words, W_ERRORS, 0))
        return
      case ICR_LOW:
        this.set(W_ICR_LOW, value & ICR_WRITABLE)
        this.sendIpi()
        return
      case ICR_HIGH:
        this.set(W_ICR_HIGH, value & 0xff000000)
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
    if (entry === 0) this.timer.periodic = (value & LVT_PERIODIC) !== 0
    this.set(W_LVT + entry, (value & LVT_WRITABLE[entry]) | (this.enabled ? 0 : LVT_MASKED))
    this.update()
  }

  /** ICR's low half was written: send what it says (11.6.1). */
  private sendIpi(): void {
    const low = this.get(W_ICR_LOW)
    const delivery = (low >> 8) & 7
    const vector = low & 0xff
    const shorthand = (low >> 18) & 3
    // "INIT level de-assert" only resets arbitration ids, which nobody has any more.
    if (delivery === INIT && low & ICR_LEVEL && !(low & ICR_ASSERT)) return
    if ((delivery === FIXED || delivery === LOWEST) && vector < 16) {
      this.error(ERROR_SEND_VECTOR)
      return
    }
    const destination = this.get(W_ICR_HIGH) >>> 24
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

  /** Does a message for `destination` concern this APIC (11.6.2)? From any thread. */
  matches(destination: number, logical: boolean): boolean {
    if (!logical) return destination === 0xff || destination === this.id
    if (this.get(W_INIT) !== 0) return false // it has no logical number any more
    const mine = this.get(W_LDR) >>> 24
    if (this.get(W_DFR) >>> 28 === 0xf) return (mine & destination) !== 0 // flat
    // Cluster: the high nibble names it (15: all), the low nibble its members.
    const cluster = destination >> 4
    return (cluster === 15 || cluster === mine >> 4) && (destination & mine & 15) !== 0
  }
}
