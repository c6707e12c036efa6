/*
 * The event log behind `-d`. Where it is off, and no trace is asked for, an event costs its place one comparison:
 * `if (kernel.observed) …`.
 */
export const LOG_CATEGORIES = ["int", "mmu", "hcall", "switch"] as const
export type LogCategory = (typeof LOG_CATEGORIES)[number]

/** One instruction in words. */
export type Disassembler = (bytes: Uint8Array, bits: 32 | 64, address: bigint) => string

export class EventLog {
  readonly int: boolean
  readonly mmu: boolean
  readonly hcall: boolean
  readonly switch: boolean
  private readonly sink: (line: string) => void
  private readonly disassembler: Disassembler | undefined

  /** Without a disassembler instructions are shown as bytes. */
  constructor(categories: ReadonlySet<LogCategory>, sink: (line: string) => void, disassembler?: Disassembler) {
    this.int = categories.has("int")
    this.mmu = categories.has("mmu")
    this.hcall = categories.has("hcall")
    this.switch = categories.has("switch")
    this.sink = sink
    this.disassembler = disassembler
  }

  /** Whether it wants anything. */
  get any(): boolean {
    return this.int || this.mmu || this.hcall || this.switch
  }

  /** The instruction that starts with `bytes`, for a line. */
  instruction(bytes: Uint8Array, bits: 32 | 64, address: string): string {
    if (bytes.length === 0) return "unreadable"
    if (this.disassembler !== undefined) return this.disassembler(bytes, bits, BigInt(address))
    return [...bytes.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ")
  }

  /** One line: simulated time in ticks, category, text. */
  line(now: number, category: LogCategory, text: string): void {
    this.sink(`${now} ${category} ${text}`)
  }

  /** A line that another thread has made. */
  write(line: string): void {
    this.sink(line)
  }

  static readonly off = new EventLog(new Set(), () => undefined)
}
