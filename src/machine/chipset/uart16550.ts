import { Fields, type State } from "../snapshot.ts"

/*
 * National PC16550D UART (data sheet TL/C/8652) with its FIFOs. The line is infinitely fast and never drops a
 * character: a byte written has been sent, and received bytes wait with the host until there is room.
 */

/** Registers by their address; 0 and 1 are the divisor while LCR bit 7 is set. */
const RBR_THR = 0
const IER = 1
const IIR_FCR = 2
const LCR = 3
const MCR = 4
const LSR = 5
const MSR = 6

const IER_RECEIVED = 0x01
const IER_THR_EMPTY = 0x02
const IER_LINE = 0x04
const IER_MODEM = 0x08

/** Interrupt identification, highest priority first (table IV). */
const IIR_LINE = 0x06
const IIR_RECEIVED = 0x04
const IIR_TIMEOUT = 0x0c
const IIR_THR_EMPTY = 0x02
const IIR_MODEM = 0x00
const IIR_NONE = 0x01
const IIR_FIFOS = 0xc0

const FCR_ENABLE = 0x01
const FCR_RESET_RECEIVE = 0x02

const LCR_DIVISOR = 0x80

const MCR_DTR = 0x01
const MCR_RTS = 0x02
const MCR_OUT1 = 0x04
const MCR_OUT2 = 0x08
const MCR_LOOP = 0x10

const LSR_READY = 0x01
const LSR_OVERRUN = 0x02
const LSR_THR_EMPTY = 0x20
const LSR_IDLE = 0x40

const MSR_CTS = 0x10
const MSR_DSR = 0x20
const MSR_RI = 0x40
const MSR_DCD = 0x80

/** Receive trigger levels by FCR bits 7..6. */
const TRIGGER = [1, 4, 8, 14]
const FIFO_SIZE = 16

const FIELDS = new Fields({
  numbers: ["head", "filled", "ier", "lcr", "mcr", "scratch", "divisor", "trigger", "modem"],
  flags: ["fifos", "overrun", "thrInterrupt", "level"],
  arrays: ["fifo"],
  lists: ["waiting"],
})

export class Uart16550 {
  private readonly irq: (level: boolean) => void
  private readonly transmit: (byte: number) => void
  private readonly fifo = new Uint8Array(FIFO_SIZE)
  private head = 0
  private filled = 0
  /** What the line has brought and the FIFO had no room for; the host's, so it may grow. */
  private readonly waiting: number[] = []
  private ier = 0
  private lcr = 0
  private mcr = 0
  private scratch = 0
  private divisor = 12
  private fifos = false
  private trigger = 1
  private overrun = false
  private thrInterrupt = false
  /** Modem status: the lines in bits 4..7, their changes since the last read in bits 0..3. */
  private modem = MSR_CTS | MSR_DSR | MSR_DCD
  private level = false

  /** @param irq the INTR pin; @param transmit a byte that left. */
  constructor(irq: (level: boolean) => void, transmit: (byte: number) => void) {
    this.irq = irq
    this.transmit = transmit
  }

  /** Bytes from the line. */
  receive(bytes: Uint8Array): void {
    for (const byte of bytes) this.waiting.push(byte)
    this.fill()
    this.update()
  }

  private capacity(): number {
    return this.fifos ? FIFO_SIZE : 1
  }

  private put(byte: number): void {
    if (this.filled === this.capacity()) {
      this.overrun = true
      return
    }
    this.fifo[(this.head + this.filled) % FIFO_SIZE] = byte
    this.filled++
  }

  private fill(): void {
    if (this.mcr & MCR_LOOP) return // the line is cut off
    while (this.waiting.length > 0 && this.filled < this.capacity()) this.put(this.waiting.shift()!)
  }

  private cause(): number {
    if (this.ier & IER_LINE && this.overrun) return IIR_LINE
    if (this.ier & IER_RECEIVED && this.filled > 0) {
      // Below the trigger level a character timeout tells of the rest; here the line falls quiet at once.
      return this.filled >= this.trigger ? IIR_RECEIVED : IIR_TIMEOUT
    }
    if (this.ier & IER_THR_EMPTY && this.thrInterrupt) return IIR_THR_EMPTY
    if (this.ier & IER_MODEM && this.modem & 0x0f) return IIR_MODEM
    return IIR_NONE
  }

  /** OUT2 gates the pin on a PC's card; loopback cuts OUT2 off. */
  private update(): void {
    const level = this.cause() !== IIR_NONE && (this.mcr & (MCR_OUT2 | MCR_LOOP)) === MCR_OUT2
    if (level === this.level) return
    this.level = level
    this.irq(level)
  }

  /** Reads register 0..7. */
  read(register: number): number {
    switch (register) {
      case RBR_THR:
        return this.lcr & LCR_DIVISOR ? this.divisor & 0xff : this.readData()
      case IER:
        return this.lcr & LCR_DIVISOR ? this.divisor >> 8 : this.ier
      case IIR_FCR: {
        const cause = this.cause()
        if (cause === IIR_THR_EMPTY) {
          this.thrInterrupt = false // this read is its acknowledgement
          this.update()
        }
        return cause | (this.fifos ? IIR_FIFOS : 0)
      }
      case LCR:
        return this.lcr
      case MCR:
        return this.mcr
      case LSR: {
        const status = (this.filled ? LSR_READY : 0) | (this.overrun ? LSR_OVERRUN : 0) | LSR_THR_EMPTY | LSR_IDLE
        this.overrun = false
        this.update()
        return status
      }
      case MSR: {
        const status = this.modem
        this.modem &= 0xf0
        this.update()
        return status
      }
      default:
        return this.scratch
    }
  }

  private readData(): number {
    if (this.filled === 0) return 0
    const byte = this.fifo[this.head]
    this.head = (this.head + 1) % FIFO_SIZE
    this.filled--
    this.fill()
    this.update()
    return byte
  }

  write(register: number, value: number): void {
    switch (register) {
      case RBR_THR:
        if (this.lcr & LCR_DIVISOR) this.divisor = (this.divisor & 0xff00) | value
        else this.send(value)
        break
      case IER:
        if (this.lcr & LCR_DIVISOR) this.divisor = (this.divisor & 0xff) | (value << 8)
        else {
          // Enabling the interrupt while the register is empty (it always is) raises it.
          if (value & IER_THR_EMPTY && !(this.ier & IER_THR_EMPTY)) this.thrInterrupt = true
          this.ier = value & 0x0f
        }
        break
      case IIR_FCR:
        this.writeFifoControl(value)
        break
      case LCR:
        this.lcr = value
        break
      case MCR:
        this.mcr = value & 0x1f
        this.updateModem()
        this.fill()
        break
      case LSR:
      case MSR: // factory tests only
        break
      default:
        this.scratch = value
    }
    this.update()
  }

  private send(byte: number): void {
    if (this.mcr & MCR_LOOP) this.put(byte)
    else this.transmit(byte)
    this.thrInterrupt = true
  }

  private writeFifoControl(value: number): void {
    const fifos = (value & FCR_ENABLE) !== 0
    // "When changing between FIFO mode and character mode, data is cleared" (8.4).
    if (fifos !== this.fifos || value & FCR_RESET_RECEIVE) {
      this.filled = 0
      this.head = 0
    }
    this.fifos = fifos
    this.trigger = fifos ? TRIGGER[value >> 6] : 1
    this.fill()
  }

  /** In loopback the four outputs drive the four inputs (8.7); else the line is always ready. */
  private updateModem(): void {
    let lines = MSR_CTS | MSR_DSR | MSR_DCD
    if (this.mcr & MCR_LOOP)
      lines =
        (this.mcr & MCR_RTS ? MSR_CTS : 0) |
        (this.mcr & MCR_DTR ? MSR_DSR : 0) |
        (this.mcr & MCR_OUT1 ? MSR_RI : 0) |
        (this.mcr & MCR_OUT2 ? MSR_DCD : 0)
    const changed = (lines ^ this.modem) & 0xf0
    // The ring indicator's delta tells of its trailing edge only.
    const delta = ((changed & ~MSR_RI) | (changed & MSR_RI & ~lines)) >> 4
    this.modem = lines | (this.modem & 0x0f) | delta
  }

  save(): State {
    return FIELDS.save(this)
  }

  restore(state: State): void {
    FIELDS.restore(this, state)
  }
}
