import { Fields, type State } from "../snapshot.ts"

/*
 * Motorola MC146818A real-time clock with its battery-backed memory, behind ports 0x70 (index; bit 7 masks NMIs) and 0x71.
 * The clock starts at a given second and then follows simulated time. Registers' numbers are the data sheet's table 1.
 */

const SECONDS = 0
const SECONDS_ALARM = 1
const MINUTES = 2
const MINUTES_ALARM = 3
const HOURS = 4
const HOURS_ALARM = 5
const WEEKDAY = 6
const DAY = 7
const MONTH = 8
const YEAR = 9
const A = 10
const B = 11
const C = 12
const D = 13
/** Where PC firmware keeps the century and the memory's size. */
const CENTURY = 0x32
const BASE_MEMORY_KB = 0x15
const EXTENDED_MEMORY_KB = 0x17
const EXTENDED_MEMORY_KB_COPY = 0x30
const ABOVE_16M_64KB = 0x34

const A_UPDATING = 0x80
const B_SET = 0x80
const B_PERIODIC = 0x40
const B_ALARM = 0x20
const B_UPDATED = 0x10
const B_BINARY = 0x04
const B_24H = 0x02
const C_IRQ = 0x80
const C_PERIODIC = 0x40
const C_ALARM = 0x20
const C_UPDATED = 0x10
const D_VALID = 0x80
const PM = 0x80
/** An alarm register with both top bits set matches every value. */
const ANY = 0xc0

const SECOND = 1e9
const DAY_SECONDS = 86400
/** The update-in-progress bit rises 244 µs before the second changes. */
const UPDATE_NS = 244_000

/** Days from 1970-01-01 to a date of the Gregorian calendar (month 1..12). */
const daysOf = (year: number, month: number, day: number): number => {
  // Years that begin in March, so that the leap day is the last: its position no longer matters.
  const y = month <= 2 ? year - 1 : year
  const era = Math.floor(y / 400)
  const yearOfEra = y - era * 400
  const dayOfYear = Math.floor((153 * ((month + 9) % 12) + 2) / 5) + day - 1
  return era * 146097 + yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear - 719468
}

const FIELDS = new Fields({
  numbers: ["index", "base", "frozen", "flags", "synced"],
  flags: ["nmiMasked", "level"],
  arrays: ["memory"],
})

export class Cmos {
  /** The index register's bit 7: non-maskable interrupts are masked. */
  nmiMasked = false
  private readonly now: () => number
  private readonly irq: (level: boolean) => void
  private readonly memory = new Uint8Array(128)
  private index = D
  /** Second of 1970's epoch shown at simulated time 0. */
  private base: number
  /** The second shown while register B's SET bit stops the clock. */
  private frozen = 0
  private flags = 0
  private synced = 0
  private level = false
  /** Broken-down time, filled by `breakDown`. */
  private readonly fields = { second: 0, minute: 0, hour: 0, weekday: 1, day: 1, month: 1, year: 1970 }

  /** @param start seconds since 1970 (UTC) at simulated time 0; @param memoryBytes what the size bytes tell. */
  constructor(now: () => number, irq: (level: boolean) => void, start: number, memoryBytes: number) {
    this.now = now
    this.irq = irq
    this.base = Math.floor(start)
    this.memory[A] = 0x26 // 32,768 Hz time base, 1024 Hz periodic rate: as firmware leaves it
    this.memory[B] = B_24H
    const word = (register: number, value: number) => {
      this.memory[register] = value & 0xff
      this.memory[register + 1] = value >> 8
    }
    const extended = Math.max(0, Math.min(0xfc00, Math.floor(memoryBytes / 1024) - 1024))
    word(BASE_MEMORY_KB, Math.min(640, Math.floor(memoryBytes / 1024)))
    word(EXTENDED_MEMORY_KB, Math.min(extended, 0xffff))
    word(EXTENDED_MEMORY_KB_COPY, Math.min(extended, 0xffff))
    word(ABOVE_16M_64KB, Math.max(0, Math.min(0xffff, Math.floor(memoryBytes / 65536) - 256)))
  }

  read(port: number): number {
    if (port === 0x70) return 0xff // write-only
    this.advance(this.now())
    return this.readRegister(this.index)
  }

  write(port: number, value: number): void {
    if (port === 0x70) {
      this.index = value & 0x7f
      this.nmiMasked = (value & 0x80) !== 0
      return
    }
    this.advance(this.now())
    this.writeRegister(this.index, value)
  }

  private get seconds(): number {
    return this.memory[B] & B_SET ? this.frozen : this.base + Math.floor(this.now() / SECOND)
  }

  private breakDown(seconds: number): void {
    const f = this.fields
    const days = Math.floor(seconds / DAY_SECONDS)
    const rest = seconds - days * DAY_SECONDS
    f.second = rest % 60
    f.minute = Math.floor(rest / 60) % 60
    f.hour = Math.floor(rest / 3600)
    f.weekday = ((((days + 4) % 7) + 7) % 7) + 1 // 1970-01-01 was a Thursday; Sunday is 1
    // The inverse of daysOf.
    const shifted = days + 719468
    const era = Math.floor(shifted / 146097)
    const d = shifted - era * 146097
    const y = Math.floor((d - Math.floor(d / 1460) + Math.floor(d / 36524) - Math.floor(d / 146096)) / 365)
    const dayOfYear = d - (365 * y + Math.floor(y / 4) - Math.floor(y / 100))
    const m = Math.floor((5 * dayOfYear + 2) / 153)
    f.day = dayOfYear - Math.floor((153 * m + 2) / 5) + 1
    f.month = m < 10 ? m + 3 : m - 9
    f.year = era * 400 + y + (f.month <= 2 ? 1 : 0)
  }

  private encode(value: number): number {
    return this.memory[B] & B_BINARY ? value : Math.floor(value / 10) * 16 + (value % 10)
  }
  private decode(value: number): number {
    return this.memory[B] & B_BINARY ? value : (value >> 4) * 10 + (value & 15)
  }
  private encodeHour(hour: number): number {
    if (this.memory[B] & B_24H) return this.encode(hour)
    return this.encode(hour % 12 || 12) | (hour >= 12 ? PM : 0)
  }
  private decodeHour(value: number): number {
    if (this.memory[B] & B_24H) return this.decode(value)
    return (this.decode(value & 0x7f) % 12) + (value & PM ? 12 : 0)
  }

  private readRegister(register: number): number {
    const f = this.fields
    if (register <= YEAR || register === CENTURY) this.breakDown(this.seconds)
    switch (register) {
      case SECONDS:
        return this.encode(f.second)
      case MINUTES:
        return this.encode(f.minute)
      case HOURS:
        return this.encodeHour(f.hour)
      case WEEKDAY:
        return this.encode(f.weekday)
      case DAY:
        return this.encode(f.day)
      case MONTH:
        return this.encode(f.month)
      case YEAR:
        return this.encode(((f.year % 100) + 100) % 100)
      case CENTURY:
        return this.encode(Math.floor(f.year / 100) % 100)
      case A: {
        const updating = !(this.memory[B] & B_SET) && SECOND - (this.now() % SECOND) <= UPDATE_NS
        return this.memory[A] | (updating ? A_UPDATING : 0)
      }
      case C: {
        const flags = this.flags | (this.level ? C_IRQ : 0)
        this.flags = 0
        this.update()
        return flags
      }
      case D:
        return D_VALID
      default:
        return this.memory[register]
    }
  }

  private writeRegister(register: number, value: number): void {
    const f = this.fields
    if (register <= YEAR || register === CENTURY) this.breakDown(this.seconds)
    switch (register) {
      case SECONDS:
        f.second = this.decode(value)
        break
      case MINUTES:
        f.minute = this.decode(value)
        break
      case HOURS:
        f.hour = this.decodeHour(value)
        break
      case WEEKDAY: // follows from the date
        return
      case DAY:
        f.day = this.decode(value)
        break
      case MONTH:
        f.month = this.decode(value)
        break
      case YEAR:
        f.year = Math.floor(f.year / 100) * 100 + this.decode(value)
        break
      case CENTURY:
        f.year = this.decode(value) * 100 + (f.year % 100)
        break
      case A:
        this.memory[A] = value & 0x7f
        return
      case B:
        this.writeB(value)
        return
      case C:
      case D: // read-only
        return
      default:
        this.memory[register] = value
        return
    }
    const month = Math.min(Math.max(f.month, 1), 12)
    this.set(daysOf(f.year, month, f.day) * DAY_SECONDS + f.hour * 3600 + f.minute * 60 + f.second)
  }

  private set(seconds: number): void {
    if (this.memory[B] & B_SET) this.frozen = seconds
    else this.base = seconds - Math.floor(this.now() / SECOND)
  }

  private writeB(value: number): void {
    const seconds = this.seconds
    // SET clears the update-ended interrupt's enable (data sheet, register B).
    this.memory[B] = value & B_SET ? value & ~B_UPDATED : value
    this.set(seconds)
    this.update()
  }

  /** Nanoseconds between periodic interrupts by register A's rate, 0: none (table 3; rates 1 and 2 repeat 8 and 9). */
  private periodNs(): number {
    const rate = this.memory[A] & 0x0f
    if (rate === 0) return 0
    return (2 ** ((rate < 3 ? rate + 7 : rate) - 1) / 32768) * SECOND
  }

  private update(): void {
    const level = (this.flags & this.memory[B] & (C_PERIODIC | C_ALARM | C_UPDATED)) !== 0
    if (level === this.level) return
    this.level = level
    this.irq(level)
  }

  private alarm(register: number, value: number): boolean {
    return (this.memory[register] & ANY) === ANY || this.memory[register] === value
  }

  private alarmMatches(second: number): boolean {
    this.breakDown(second)
    const f = this.fields
    return (
      this.alarm(SECONDS_ALARM, this.encode(f.second)) &&
      this.alarm(MINUTES_ALARM, this.encode(f.minute)) &&
      this.alarm(HOURS_ALARM, this.encodeHour(f.hour))
    )
  }

  /** Nanosecond of the next interrupt that may come, or Infinity. */
  nextEvent(now: number): number {
    const b = this.memory[B]
    let next = Infinity
    if (this.level) return next // raised, and silent until register C is read
    const period = this.periodNs()
    if (b & B_PERIODIC && period > 0) next = Math.ceil((Math.floor(now / period) + 1) * period)
    if (!(b & B_SET) && b & (B_ALARM | B_UPDATED)) next = Math.min(next, (Math.floor(now / SECOND) + 1) * SECOND)
    return next
  }

  /** Sets the flags of all that happened until `now`. */
  advance(now: number): void {
    const from = this.synced
    if (now <= from) return
    this.synced = now
    const period = this.periodNs()
    if (period > 0 && Math.floor(now / period) !== Math.floor(from / period)) this.flags |= C_PERIODIC
    const last = Math.floor(now / SECOND)
    const first = Math.floor(from / SECOND) + 1
    if (last >= first && !(this.memory[B] & B_SET)) {
      this.flags |= C_UPDATED
      // Within a day every time of day has come by.
      const begin = Math.max(first, last - DAY_SECONDS + 1)
      for (let s = begin; s <= last && !(this.flags & C_ALARM); s++)
        if (this.alarmMatches(this.base + s)) this.flags |= C_ALARM
    }
    this.update()
  }

  save(): State {
    return FIELDS.save(this)
  }

  restore(state: State): void {
    FIELDS.restore(this, state)
  }
}
