import type { HostClock } from "../host/cpus.ts"
import type { Chipset } from "../machine/chipset/index.ts"
import { clocksAt } from "../machine/chipset/pit8254.ts"
import { PIC_VECTOR } from "./layout.ts"
import { Fields, type State } from "../machine/snapshot.ts"

/*
 * The host's timer on a PC of the 386's kind: counter 0 of the 8254 in one-shot mode, through line 0 of the 8259 pair. The
 * host programs both as its C code would, by OUT.
 */
const PIC_MASTER = 0x20
const PIC_SLAVE = 0xa0
const PIT_COUNTER = 0x40
const PIT_CONTROL = 0x43

/** 8259 (data sheet 231468): begin initialisation, four words to come; 8086 mode; non-specific end of interrupt. */
const ICW1 = 0x11
const ICW4 = 0x01
const EOI = 0x20
/** The slave hangs on the master's input 2. */
const CASCADE_BIT = 4
const CASCADE_LINE = 2

/** 8254 (data sheet 231164): counter 0, both bytes, mode 0: the output rises when the count is over. */
const ONE_SHOT = 0x30
/** The counter has 16 bits: whoever waits longer is woken and waits again. */
const LONGEST = 0xffff

/** A line that the host raises itself, in place of the interrupt of a device that has something for a sleeping guest. */
export const KICK_LINE = 5
const OPEN_LINES = (1 << 0) | (1 << KICK_LINE)

const FIELDS = new Fields({ numbers: ["next"] })

export class PicClock implements HostClock {
  private readonly chipset: Chipset
  private next = Infinity

  constructor(chipset: Chipset) {
    this.chipset = chipset
    for (const [port, vector, cascade, mask] of [
      [PIC_MASTER, PIC_VECTOR, CASCADE_BIT, 0xff & ~OPEN_LINES],
      [PIC_SLAVE, PIC_VECTOR + 8, CASCADE_LINE, 0xff],
    ] as const) {
      this.out(port, ICW1)
      this.out(port + 1, vector)
      this.out(port + 1, cascade)
      this.out(port + 1, ICW4)
      this.out(port + 1, mask)
    }
    this.out(PIT_CONTROL, ONE_SHOT)
  }

  private out(port: number, value: number): void {
    this.chipset.portOut(0, port, 1, value)
  }

  arm(at: number, now: number): void {
    // The control word alone stops the counter.
    this.out(PIT_CONTROL, ONE_SHOT)
    if (at !== Infinity) {
      const count = Math.min(LONGEST, Math.max(1, clocksAt(at) - clocksAt(now)))
      this.out(PIT_COUNTER, count & 0xff)
      this.out(PIT_COUNTER, count >>> 8)
    }
    this.next = this.chipset.nextEvent(now)
  }

  acknowledge(): void {
    this.chipset.setIrq(KICK_LINE, false)
    this.out(PIC_MASTER, EOI)
  }

  kick(): void {
    this.chipset.setIrq(KICK_LINE, true)
  }

  nextEvent(): number {
    return this.next
  }

  advance(now: number): void {
    if (now < this.next) return
    this.chipset.advance(now)
    this.next = this.chipset.nextEvent(now)
  }

  save(): State {
    return FIELDS.save(this)
  }

  restore(state: State): void {
    FIELDS.restore(this, state)
  }
}
