import { Fields, type State } from "../snapshot.ts"

/*
 * Ways to end or restart a PC, and the few ports that kernels poke on their way: the 8042 keyboard controller (reset line,
 * A20), port 0x92, the reset control register 0xCF9, the power-off register 0x604, the diagnostic port 0x80.
 *
 * Power off is docs/native-machine.md's own: a 16-bit write to 0x604 with bit 13 set (where QEMU's ACPI has its PM1 control
 * register, and SLP_EN there); its low byte is the exit status.
 */

export const POWER_OFF_PORT = 0x604
export const RESET_PORT = 0xcf9
export const FAST_GATE_PORT = 0x92
export const DIAGNOSTIC_PORT = 0x80
export const KEYBOARD_DATA = 0x60
export const KEYBOARD_COMMAND = 0x64

const SLEEP_ENABLE = 0x2000
/** Reset control register: bit 2 rising resets. */
const RESET_CPU = 0x04
/** Port 0x92: bit 0 rising resets, bit 1 is A20 (always on here: no program of this machine wants address wrap). */
const FAST_RESET = 0x01
const FAST_A20 = 0x02

/** 8042 commands. */
const READ_CONFIGURATION = 0x20
const WRITE_CONFIGURATION = 0x60
const SELF_TEST = 0xaa
const PORT1_TEST = 0xab
const READ_OUTPUT_PORT = 0xd0
const WRITE_OUTPUT_PORT = 0xd1
/** 0xF0..0xFF pulse the output lines whose bits are 0; line 0 is the processor's reset. */
const PULSE = 0xf0
const SELF_TEST_PASSED = 0x55
const OUTPUT_FULL = 0x01
const OUTPUT_RESET = 0x01
/** Output port: reset not asserted, A20 on. */
const OUTPUT_PORT = 0x03

export interface PowerEvents {
  powerOff(status: number): void
  reset(): void
}

const FIELDS = new Fields({
  numbers: ["diagnostic", "resetControl", "configuration", "output", "expects"],
  flags: ["outputFull"],
})

/** A keyboard controller with no keyboard: it is never busy, so nobody who polls it waits for ever. */
export class Power {
  /** The last byte written to port 0x80. */
  diagnostic = 0
  private readonly events: PowerEvents
  private resetControl = 0
  private configuration = 0
  private output = 0
  private outputFull = false
  private expects = 0

  constructor(events: PowerEvents) {
    this.events = events
  }

  /** A write of `size` bytes to POWER_OFF_PORT. */
  writePowerOff(size: number, value: number): void {
    if (size >= 2 && value & SLEEP_ENABLE) this.events.powerOff(value & 0xff)
  }

  read(port: number): number {
    switch (port) {
      case KEYBOARD_COMMAND:
        return this.outputFull ? OUTPUT_FULL : 0
      case KEYBOARD_DATA:
        this.outputFull = false
        return this.output
      case FAST_GATE_PORT:
        return FAST_A20
      case RESET_PORT:
        return this.resetControl
      default:
        return this.diagnostic
    }
  }

  write(port: number, value: number): void {
    switch (port) {
      case KEYBOARD_COMMAND:
        this.command(value)
        return
      case KEYBOARD_DATA:
        this.data(value)
        return
      case FAST_GATE_PORT:
        if (value & FAST_RESET) this.events.reset()
        return
      case RESET_PORT: {
        const rising = value & ~this.resetControl & RESET_CPU
        this.resetControl = value & ~RESET_CPU // the line falls by itself
        if (rising) this.events.reset()
        return
      }
      default:
        this.diagnostic = value
    }
  }

  private answer(value: number): void {
    this.output = value
    this.outputFull = true
  }

  private command(value: number): void {
    this.expects = 0
    if (value >= PULSE) {
      if (!(value & OUTPUT_RESET)) this.events.reset()
      return
    }
    switch (value) {
      case READ_CONFIGURATION:
        this.answer(this.configuration)
        break
      case SELF_TEST:
        this.answer(SELF_TEST_PASSED)
        break
      case PORT1_TEST:
        this.answer(0)
        break
      case READ_OUTPUT_PORT:
        this.answer(OUTPUT_PORT)
        break
      case WRITE_CONFIGURATION:
      case WRITE_OUTPUT_PORT:
        this.expects = value
        break
    }
  }

  private data(value: number): void {
    if (this.expects === WRITE_CONFIGURATION) this.configuration = value
    if (this.expects === WRITE_OUTPUT_PORT && !(value & OUTPUT_RESET)) this.events.reset()
    this.expects = 0 // any other byte is for a keyboard, and there is none
  }

  save(): State {
    return FIELDS.save(this)
  }

  restore(state: State): void {
    FIELDS.restore(this, state)
  }
}
