/*
 * The event log behind `-d`. A category that is off costs its caller one comparison: `if (log.switch) log.line(…)`.
 */
export const LOG_CATEGORIES = ["int", "mmu", "hcall", "switch"] as const
export type LogCategory = (typeof LOG_CATEGORIES)[number]

export class EventLog {
  readonly int: boolean
  readonly mmu: boolean
  readonly hcall: boolean
  readonly switch: boolean
  private readonly sink: (line: string) => void

  constructor(categories: ReadonlySet<LogCategory>, sink: (line: string) => void) {
    this.int = categories.has("int")
    this.mmu = categories.has("mmu")
    this.hcall = categories.has("hcall")
    this.switch = categories.has("switch")
    this.sink = sink
  }

  /** One line: simulated time in ticks, category, text. */
  line(now: number, category: LogCategory, text: string): void {
    this.sink(`${now} ${category} ${text}`)
  }

  static readonly off = new EventLog(new Set(), () => undefined)
}
