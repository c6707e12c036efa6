import { Fields, type State } from "../snapshot.ts"

/*
 * Intel 8254 programmable interval timer (data sheet 231164): three 16-bit down-counters on a 1,193,182 Hz clock.
 *
 * Nothing here runs with the clock. A counter remembers the clock at which its count was loaded and computes count, output
 * and next edge of the output from the time, so an idle timer costs nothing and a long sleep costs no more than a short one.
 */

export const PIT_HZ = 1_193_182

/** Whole input clocks that have passed at `ns`. */
export const clocksAt = (ns: number): number => Math.floor((ns * PIT_HZ) / 1e9)

/** First nanosecond at which `clocks` input clocks have passed. */
export const timeOfClock = (clocks: number): number => {
  const ns = Math.ceil((clocks * 1e9) / PIT_HZ)
  // Both divisions round: the answer may be one off either way.
  if (clocksAt(ns) < clocks) return ns + 1
  return ns > 0 && clocksAt(ns - 1) >= clocks ? ns - 1 : ns
}

/** Control word (port 0x43). */
const ACCESS_LATCH = 0
const ACCESS_LOW = 1
const ACCESS_BOTH = 3
const SELECT_READ_BACK = 3
/** Read-back command: the two bits are active low. */
const READ_BACK_NO_COUNT = 0x20
const READ_BACK_NO_STATUS = 0x10
/** Status byte (fig. 12). */
const STATUS_OUT = 0x80
const STATUS_NULL = 0x40

const toBcd = (v: number): number =>
  (Math.floor(v / 1000) % 10) * 0x1000 + (Math.floor(v / 100) % 10) * 0x100 + (Math.floor(v / 10) % 10) * 16 + (v % 10)
const fromBcd = (v: number): number => (v >> 12) * 1000 + ((v >> 8) & 15) * 100 + ((v >> 4) & 15) * 10 + (v & 15)

const CHANNEL_FIELDS = new Fields({
  numbers: [
    "mode",
    "count",
    "access",
    "origin",
    "stopped",
    "next",
    "switchAt",
    "lowByte",
    "latchedCount",
    "latchedStatus",
  ],
  flags: ["bcd", "gate", "triggered", "retriggered", "writeHigh", "readHigh"],
})

/** One counter. All times are input clocks. */
export class PitChannel {
  mode = 0
  /** Count in force, 1..65536 (or 10000 in BCD); 0: none has been written since the control word. */
  count = 0
  private access = ACCESS_BOTH
  private bcd = false
  private gate = true
  /** The clock at which `count` was (or will be) in the counting element. In modes 1 and 5: at the last trigger. */
  private origin = 0
  /** Modes 1 and 5 count only once triggered; mode 1 triggered again during its pulse goes on with it. */
  private triggered = false
  private retriggered = false
  /** Clocks counted when the gate (modes 0, 4) or a half-written count (mode 0) stopped the counter; -1: it counts. */
  private stopped = -1
  /** Modes 2 and 3: the count that takes over at clock `switchAt` (0: none). Modes 1, 5: at the next trigger. */
  private next = 0
  private switchAt = 0
  private lowByte = 0
  private writeHigh = false
  private readHigh = false
  private latchedCount = -1
  private latchedStatus = -1

  private get period(): number {
    return this.bcd ? 10000 : 0x10000
  }

  /** Clocks during which the output of mode 3 is high: (N + 1) / 2 where N is odd. */
  private static high(count: number): number {
    return (count + 1) >> 1
  }

  private stops(): boolean {
    return this.mode === 0 || this.mode === 4
  }
  private repeats(): boolean {
    return this.mode === 2 || this.mode === 3
  }

  /** Lets a new count of modes 2 and 3 take over once its time has come. */
  private settle(clock: number): void {
    if (this.next === 0 || !this.repeats() || clock < this.switchAt) return
    // Mode 3 takes it at the end of a half cycle: if that is the high half, the new low half begins.
    const phase = this.switchAt - this.origin
    const lowHalf = this.mode === 3 && phase % this.count === PitChannel.high(this.count)
    this.count = this.next
    this.next = 0
    this.origin = lowHalf ? this.switchAt - PitChannel.high(this.count) : this.switchAt
  }

  /** Clocks counted since the count was loaded; negative on the way there. */
  private elapsed(clock: number): number {
    return this.stopped >= 0 ? this.stopped : clock - this.origin
  }

  private counting(): boolean {
    return this.count !== 0 && (this.triggered || (this.mode !== 1 && this.mode !== 5))
  }

  /** Level of the OUT pin (data sheet, "Mode definitions"). */
  output(clock: number): boolean {
    this.settle(clock)
    if (!this.counting()) return this.mode !== 0
    const t = this.elapsed(clock)
    switch (this.mode) {
      case 0:
        return t >= this.count
      case 1:
        return t < 0 ? !this.retriggered : t >= this.count
      case 2:
        return !this.gate || t < 0 || this.count < 2 || t % this.count !== this.count - 1
      case 3:
        return !this.gate || t < 0 || this.count < 2 || t % this.count < PitChannel.high(this.count)
      default:
        return t !== this.count
    }
  }

  /** Clock of the first change of OUT after `clock`, or Infinity. */
  nextEdge(clock: number): number {
    this.settle(clock)
    if (!this.counting() || this.stopped >= 0) return Infinity
    const t = clock - this.origin
    switch (this.mode) {
      case 0:
        return t < this.count ? this.origin + this.count : Infinity
      case 1: // falls on the clock after the trigger
        if (t < 0 && !this.retriggered) return this.origin
        return t < this.count ? this.origin + this.count : Infinity
      case 2:
      case 3: {
        if (!this.gate || this.count < 2) return Infinity
        const fall = this.mode === 2 ? this.count - 1 : PitChannel.high(this.count)
        if (t < 0) return this.origin + fall
        const phase = t % this.count
        return clock - phase + (phase < fall ? fall : this.count)
      }
      default:
        return t < this.count ? this.origin + this.count : t === this.count ? clock + 1 : Infinity
    }
  }

  /** The counting element as a read shows it. */
  private value(clock: number): number {
    this.settle(clock)
    if (this.count === 0) return 0
    const t = this.elapsed(clock)
    let v = this.count
    if (t >= 0 && this.counting()) {
      if (this.mode === 2) v = this.count - (t % this.count)
      else if (this.mode === 3) {
        // Counts down by two, twice a period; odd counts start from one less (data sheet, mode 3).
        const high = PitChannel.high(this.count)
        const phase = t % this.count
        v = (this.count & ~1) - 2 * (phase < high ? phase : phase - high)
      } else v = this.count - t
    }
    v = ((v % this.period) + this.period) % this.period
    return this.bcd ? toBcd(v) : v
  }

  /** A control word for this counter. */
  control(value: number, clock: number): void {
    const access = (value >> 4) & 3
    if (access === ACCESS_LATCH) {
      this.latchCount(clock)
      return
    }
    const mode = (value >> 1) & 7
    this.access = access
    this.mode = mode > 5 ? mode - 4 : mode // 6 and 7 are 2 and 3: the top bit is "don't care"
    this.bcd = (value & 1) !== 0
    this.count = 0
    this.next = 0
    this.triggered = false
    this.stopped = -1
    this.writeHigh = false
    this.readHigh = false
    this.latchedCount = -1
    this.latchedStatus = -1
  }

  latchCount(clock: number): void {
    if (this.latchedCount < 0) this.latchedCount = this.value(clock)
  }

  latchStatus(clock: number): void {
    if (this.latchedStatus >= 0) return
    const out = this.output(clock) ? STATUS_OUT : 0
    const loaded = this.count !== 0 && this.next === 0 && (this.elapsed(clock) >= 0 || !this.counting())
    this.latchedStatus = out | (loaded ? 0 : STATUS_NULL) | (this.access << 4) | (this.mode << 1) | (this.bcd ? 1 : 0)
  }

  read(clock: number): number {
    if (this.latchedStatus >= 0) {
      const status = this.latchedStatus
      this.latchedStatus = -1
      return status
    }
    const value = this.latchedCount >= 0 ? this.latchedCount : this.value(clock)
    if (this.access !== ACCESS_BOTH) {
      this.latchedCount = -1
      return this.access === ACCESS_LOW ? value & 0xff : value >> 8
    }
    const high = this.readHigh
    this.readHigh = !high
    if (high) this.latchedCount = -1
    return high ? value >> 8 : value & 0xff
  }

  write(value: number, clock: number): void {
    if (this.access === ACCESS_BOTH) {
      if (!this.writeHigh) {
        this.lowByte = value
        this.writeHigh = true
        // Mode 0: "Writing the first byte disables counting. OUT is set low immediately."
        if (this.mode === 0) this.count = 0
        return
      }
      this.writeHigh = false
      this.load((value << 8) | this.lowByte, clock)
    } else this.load(this.access === ACCESS_LOW ? value : value << 8, clock)
  }

  private load(raw: number, clock: number): void {
    this.settle(clock)
    const count = (this.bcd ? fromBcd(raw) % 10000 : raw) || this.period
    if (this.mode === 1 || this.mode === 5) {
      // The count in force changes at the next trigger.
      if (this.triggered) this.next = count
      else this.count = count
      return
    }
    if (this.repeats() && this.count !== 0 && this.gate && clock >= this.origin) {
      const phase = (clock - this.origin) % this.count
      const high = PitChannel.high(this.count)
      this.next = count
      this.switchAt = clock - phase + (this.mode === 3 && phase < high ? high : this.count)
      return
    }
    this.count = count
    this.next = 0
    this.origin = clock + 1 // loaded on the next clock
    this.stopped = !this.gate && this.stops() ? 0 : -1
  }

  /** Drives the GATE pin (table "Gate pin operations"). */
  setGate(high: boolean, clock: number): void {
    if (high === this.gate) return
    this.settle(clock)
    this.gate = high
    if (this.stops()) {
      if (this.count === 0) return
      if (high) {
        this.origin = clock - Math.max(this.stopped, 0)
        this.stopped = -1
      } else this.stopped = Math.max(clock - this.origin, 0)
      return
    }
    if (!high) return
    // A rising edge reloads modes 2 and 3 and triggers modes 1 and 5.
    this.retriggered = this.mode === 1 && !this.output(clock)
    if (this.next !== 0) {
      this.count = this.next
      this.next = 0
    }
    if (this.count === 0) return
    this.origin = clock + 1
    this.triggered = true
  }

  save(): State {
    return CHANNEL_FIELDS.save(this)
  }

  restore(state: State): void {
    CHANNEL_FIELDS.restore(this, state)
  }
}

/** Port 0x61, what is left of the PC's 8255: gate and output of counter 2, the refresh toggle. */
const SYSTEM_GATE2 = 0x01
const SYSTEM_SPEAKER = 0x02
const SYSTEM_REFRESH = 0x10
const SYSTEM_OUT2 = 0x20
/** Counter 1 asked for a refresh of dynamic memory every 15.085 µs; the bit still toggles at that rate. */
const REFRESH_NS = 15_085

/** Counter 0, both bytes, mode 3. */
const FIRMWARE_MODE = 0x36

const PORT = 0x40
const CONTROL_PORT = 0x43
const SYSTEM_PORT = 0x61

const PIT_FIELDS = new Fields({ numbers: ["speaker", "shown"], flags: ["level"], parts: ["channels"] })

export class Pit8254 {
  readonly channels = [new PitChannel(), new PitChannel(), new PitChannel()]
  private readonly now: () => number
  private readonly irq: (level: boolean) => void
  private speaker = 0
  /** Clock up to which counter 0's output has been shown to the interrupt controller, and the level shown. */
  private shown = 0
  private level = true

  /** @param irq OUT of counter 0; @param now simulated nanoseconds. */
  constructor(now: () => number, irq: (level: boolean) => void) {
    this.now = now
    this.irq = irq
    // As firmware leaves it: counter 0 makes a square wave of 18.2 Hz; bit 0 of port 0x61, counter 2's gate, is 0.
    this.channels[0].control(FIRMWARE_MODE, 0)
    this.channels[0].write(0, 0)
    this.channels[0].write(0, 0)
    this.channels[2].setGate(false, 0)
  }

  read(port: number): number {
    const now = this.now()
    const clock = clocksAt(now)
    if (port === SYSTEM_PORT)
      return (
        this.speaker |
        (Math.floor(now / REFRESH_NS) & 1 ? SYSTEM_REFRESH : 0) |
        (this.channels[2].output(clock) ? SYSTEM_OUT2 : 0)
      )
    return port === CONTROL_PORT ? 0xff : this.channels[port - PORT].read(clock)
  }

  write(port: number, value: number): void {
    const now = this.now()
    const clock = clocksAt(now)
    this.advance(now)
    if (port === SYSTEM_PORT) {
      this.speaker = value & (SYSTEM_GATE2 | SYSTEM_SPEAKER)
      this.channels[2].setGate((value & SYSTEM_GATE2) !== 0, clock)
    } else if (port === CONTROL_PORT) this.writeControl(value, clock)
    else this.channels[port - PORT].write(value, clock)
    this.show(this.channels[0].output(clock))
  }

  private writeControl(value: number, clock: number): void {
    const select = value >> 6
    if (select !== SELECT_READ_BACK) {
      this.channels[select].control(value, clock)
      return
    }
    for (let i = 0; i < 3; i++) {
      if (!(value & (2 << i))) continue
      if (!(value & READ_BACK_NO_COUNT)) this.channels[i].latchCount(clock)
      if (!(value & READ_BACK_NO_STATUS)) this.channels[i].latchStatus(clock)
    }
  }

  private show(level: boolean): void {
    if (level === this.level) return
    this.level = level
    this.irq(level)
  }

  /** Nanosecond of counter 0's next edge, or Infinity. */
  nextEvent(): number {
    const edge = this.channels[0].nextEdge(this.shown)
    return edge === Infinity ? Infinity : timeOfClock(edge)
  }

  /** Shows the interrupt controller what counter 0's output did until `ns`: however much it was, at most one pulse. */
  advance(ns: number): void {
    const clock = clocksAt(ns)
    if (clock <= this.shown) return
    const counter = this.channels[0]
    const edge = counter.nextEdge(this.shown)
    this.shown = clock
    if (edge > clock) return
    const level = counter.output(clock)
    // Back where it was, after at least two edges: the pulse between must not be lost.
    if (level === this.level) this.show(!level)
    this.show(level)
  }

  save(): State {
    return PIT_FIELDS.save(this)
  }

  restore(state: State): void {
    PIT_FIELDS.restore(this, state)
  }
}
