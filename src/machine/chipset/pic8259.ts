import { Fields, type State } from "../snapshot.ts"

/*
 * The interrupt controllers of a PC: two Intel 8259A (data sheet 231468), the slave's output on the master's input 2.
 *
 * An input is edge-triggered unless the chipset's ELCR (ports 0x4D0, 0x4D1) makes it level-triggered. In both cases
 * the data sheet wants the line to stay high until the processor acknowledges ("IR inputs must remain high until after
 * the falling edge of the first INTA"): a line that falls early leaves nothing to acknowledge, and a processor that asks
 * all the same is given the default vector, IR7. That is a spurious interrupt, and its in-service bit is not set.
 */

/** Bits of ICW1 (A0 = 0, D4 = 1), fig. 7 of the data sheet. */
const ICW1_ICW4 = 0x01
const ICW1_SINGLE = 0x02
const ICW1_LEVEL = 0x08
const ICW1 = 0x10
/** Bits of ICW4. */
const ICW4_AUTO_EOI = 0x02
const ICW4_FULLY_NESTED = 0x10
/** Bits of OCW3 (A0 = 0, D4 = 0, D3 = 1), fig. 8. */
const OCW3 = 0x08
const OCW3_READ_ISR = 0x01
const OCW3_READ = 0x02
const OCW3_POLL = 0x04
const OCW3_MASK = 0x20
const OCW3_SET_MASK = 0x40
/** OCW2: R, SL and EOI in bits 7..5. */
const OCW2_EOI = 0x20
const OCW2_SPECIFIC = 0x40
const OCW2_ROTATE = 0x80

/** The byte that the next write with A0 = 1 carries. */
const EXPECT_OCW1 = 0
const EXPECT_ICW2 = 2
const EXPECT_ICW3 = 3
const EXPECT_ICW4 = 4

const PIC_FIELDS = new Fields({
  numbers: ["irr", "isr", "imr", "elcr", "vectorBase", "lines", "lowest", "expect", "icw1"],
  flags: ["autoEoi", "rotateOnAutoEoi", "fullyNested", "specialMask", "readIsr", "poll"],
})

/** One 8259A. */
export class Pic8259 {
  /** Requests seen, requests in service, inputs masked: one bit an input. */
  irr = 0
  isr = 0
  imr = 0xff
  /** Bit set: the input is level-triggered (the chipset's edge/level control register). */
  elcr = 0
  /** ICW2: vector of input 0, a multiple of 8. */
  vectorBase = 0
  /** Levels of the inputs. */
  private lines = 0
  /** The input of lowest priority; the one after it has the highest (7 but for rotation). */
  private lowest = 7
  private expect = EXPECT_OCW1
  private icw1 = 0
  private autoEoi = false
  private rotateOnAutoEoi = false
  private fullyNested = false
  private specialMask = false
  private readIsr = false
  private poll = false
  private readonly slaves: number

  /** @param slaves inputs that another 8259A hangs on, as a bit mask. */
  constructor(slaves: number) {
    this.slaves = slaves
  }

  /** Drives input `irq` (0..7). */
  setLine(irq: number, high: boolean): void {
    const bit = 1 << irq
    if (!high) {
      this.lines &= ~bit
      this.irr &= ~bit
    } else if (!(this.lines & bit)) {
      this.lines |= bit
      this.irr |= bit
    }
  }

  private level(bit: number): boolean {
    return (this.elcr & bit) !== 0 || (this.icw1 & ICW1_LEVEL) !== 0
  }

  /** The input whose request the processor would be given now, or -1: level of the INT output. */
  pending(): number {
    const requests = this.irr & ~this.imr
    if (requests === 0) return -1
    // An in-service input blocks itself and all below it; in the special mask mode a masked one blocks nobody (3.6).
    const blocking = this.specialMask ? this.isr & ~this.imr : this.isr
    for (let i = 1; i <= 8; i++) {
      const irq = (this.lowest + i) & 7
      const bit = 1 << irq
      if (blocking & bit) {
        // Special fully nested mode: a slave that is in service may ask again (its own priorities decide).
        if (this.fullyNested && this.slaves & bit && requests & bit) return irq
        if (!this.specialMask) return -1
        continue
      }
      if (requests & bit) return irq
    }
    return -1
  }

  /** The first INTA pulse: freezes the input to be served and returns it; 7 with nothing in service if none asks. */
  acknowledge(): number {
    const irq = this.pending()
    if (irq < 0) return 7
    const bit = 1 << irq
    // A level-triggered input keeps asking until its device lowers the line.
    if (!this.level(bit)) this.irr &= ~bit
    if (!this.autoEoi) this.isr |= bit
    else if (this.rotateOnAutoEoi) this.lowest = irq
    return irq
  }

  /** Reads with A0 = 0 (a poll, the IRR or the ISR) or A0 = 1 (the mask). */
  read(a0: number): number {
    if (this.poll) {
      this.poll = false
      const irq = this.pending()
      return irq < 0 ? 0 : 0x80 | this.acknowledge()
    }
    if (a0) return this.imr
    return this.readIsr ? this.isr : this.irr
  }

  write(a0: number, value: number): void {
    if (a0) this.writeHigh(value)
    else if (value & ICW1) this.initialise(value)
    else if (value & OCW3) this.ocw3(value)
    else this.ocw2(value)
  }

  /** ICW1 resets the edge sense circuits, clears the mask, gives input 7 the lowest priority (3.3). */
  private initialise(value: number): void {
    this.icw1 = value
    this.imr = 0
    this.isr = 0
    // "An input must make a low-to-high transition to generate an interrupt" after it; level inputs ask on.
    this.irr = value & ICW1_LEVEL ? this.lines : this.lines & this.elcr
    this.lowest = 7
    this.specialMask = false
    this.readIsr = false
    this.poll = false
    this.autoEoi = false
    this.rotateOnAutoEoi = false
    this.fullyNested = false
    this.expect = EXPECT_ICW2
  }

  private writeHigh(value: number): void {
    switch (this.expect) {
      case EXPECT_ICW2:
        this.vectorBase = value & 0xf8
        this.expect = this.icw1 & ICW1_SINGLE ? this.afterIcw3() : EXPECT_ICW3
        return
      case EXPECT_ICW3: // which input the slave hangs on: wired, not programmed, in a PC
        this.expect = this.afterIcw3()
        return
      case EXPECT_ICW4:
        this.autoEoi = (value & ICW4_AUTO_EOI) !== 0
        this.fullyNested = (value & ICW4_FULLY_NESTED) !== 0
        this.expect = EXPECT_OCW1
        return
      default:
        this.imr = value
    }
  }

  private afterIcw3(): number {
    return this.icw1 & ICW1_ICW4 ? EXPECT_ICW4 : EXPECT_OCW1
  }

  private ocw3(value: number): void {
    if (value & OCW3_SET_MASK) this.specialMask = (value & OCW3_MASK) !== 0
    if (value & OCW3_POLL) this.poll = true
    else if (value & OCW3_READ) this.readIsr = (value & OCW3_READ_ISR) !== 0
  }

  private ocw2(value: number): void {
    const rotate = (value & OCW2_ROTATE) !== 0
    const irq = value & 7
    if (value & OCW2_EOI) {
      const ended = value & OCW2_SPECIFIC ? irq : this.highestInService()
      if (ended < 0) return
      this.isr &= ~(1 << ended)
      if (rotate) this.lowest = ended
    } else if (value & OCW2_SPECIFIC) {
      if (rotate) this.lowest = irq // "set priority"; without R it is a no-operation
    } else this.rotateOnAutoEoi = rotate
  }

  private highestInService(): number {
    for (let i = 1; i <= 8; i++) {
      const irq = (this.lowest + i) & 7
      const bit = 1 << irq
      if (this.isr & bit && !(this.specialMask && this.imr & bit)) return irq
    }
    return -1
  }

  save(): State {
    return PIC_FIELDS.save(this)
  }

  restore(state: State): void {
    PIC_FIELDS.restore(this, state)
  }
}

const SLAVE_INPUT = 2
const MASTER_PORT = 0x20
const SLAVE_PORT = 0xa0
const ELCR_PORT = 0x4d0
/** Inputs that the chipset keeps edge-triggered: timer, keyboard and cascade; RTC and the coprocessor. */
const ELCR_MASTER = 0xf8
const ELCR_SLAVE = 0xde

const PAIR_FIELDS = new Fields({ flags: ["intr"], parts: ["master", "slave"] })

/** The pair as a PC wires it: interrupt lines 0..15, one INTR output. */
export class PicPair {
  readonly master = new Pic8259(1 << SLAVE_INPUT)
  readonly slave = new Pic8259(0)
  /** Level of the INTR output. */
  intr = false
  private readonly onIntr: (level: boolean) => void

  constructor(onIntr: (level: boolean) => void) {
    this.onIntr = onIntr
  }

  /** Drives interrupt line 0..15; line 2 is the cascade and belongs to the slave. */
  setLine(irq: number, high: boolean): void {
    if (irq === SLAVE_INPUT) return
    if (irq < 8) this.master.setLine(irq, high)
    else this.slave.setLine(irq & 7, high)
    this.update()
  }

  /** Can a rise of line `irq` come through the masks? */
  listens(irq: number): boolean {
    if (irq < 8) return !(this.master.imr & (1 << irq))
    return !(this.slave.imr & (1 << (irq & 7))) && !(this.master.imr & (1 << SLAVE_INPUT))
  }

  /** INTA: the vector for the processor; 7 or 15 of the programmed ranges when the request has vanished. */
  acknowledge(): number {
    const irq = this.master.acknowledge()
    // A spurious IR7 comes from the master; a slave that has changed its mind gives the spurious 15.
    const vector = irq === SLAVE_INPUT ? this.slave.vectorBase + this.slave.acknowledge() : this.master.vectorBase + irq
    this.update()
    return vector
  }

  read(port: number): number {
    switch (port) {
      case ELCR_PORT:
        return this.master.elcr
      case ELCR_PORT + 1:
        return this.slave.elcr
      default: {
        const value = (port & 0xfe) === SLAVE_PORT ? this.slave.read(port & 1) : this.master.read(port & 1)
        this.update() // a poll acknowledges
        return value
      }
    }
  }

  write(port: number, value: number): void {
    switch (port & 0xfffe) {
      case MASTER_PORT:
        this.master.write(port & 1, value)
        break
      case SLAVE_PORT:
        this.slave.write(port & 1, value)
        break
      case ELCR_PORT:
        if (port & 1) this.slave.elcr = value & ELCR_SLAVE
        else this.master.elcr = value & ELCR_MASTER
        break
    }
    this.update()
  }

  private update(): void {
    this.master.setLine(SLAVE_INPUT, this.slave.pending() >= 0)
    const intr = this.master.pending() >= 0
    if (intr === this.intr) return
    this.intr = intr
    this.onIntr(intr)
  }

  save(): State {
    return PAIR_FIELDS.save(this)
  }

  restore(state: State): void {
    PAIR_FIELDS.restore(this, state)
  }
}
