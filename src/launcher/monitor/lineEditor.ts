/*
 * A line of input on a terminal in raw mode: bytes in, what the terminal shall show out. The cursor is always at the line's
 * end. Keys: Backspace, ^U (all), ^W (a word), ^C (another line), Up and Down (history), Tab (completion), ^L (show again),
 * ^D on an empty line (leave).
 */

export interface LineSink {
  /** For the terminal. */
  readonly show: (text: string) => void
  /** A line has been entered; its newline is shown already. */
  readonly line: (line: string) => void
  readonly leave: () => void
  /** What a line could go on with. */
  readonly complete: (line: string) => ReadonlyArray<string>
}

const LONGEST = 1000
const HISTORY = 100
/** Column 0, and nothing right of it. */
const CLEAR_LINE = "\r\x1b[K"

const common = (words: ReadonlyArray<string>): string => {
  let prefix = words[0] ?? ""
  for (const word of words) while (!word.startsWith(prefix)) prefix = prefix.slice(0, -1)
  return prefix
}

export class LineEditor {
  private readonly prompt: string
  private readonly sink: LineSink
  private text = ""
  private readonly history: string[] = []
  /** Place in the history; its length: the line that is being written. */
  private at = 0
  private draft = ""
  /** Bytes of an escape sequence so far. */
  private escape: string | undefined

  constructor(prompt: string, sink: LineSink) {
    this.prompt = prompt
    this.sink = sink
  }

  /** Prompt and line, in place of whatever is in this row of the terminal. */
  redraw(): void {
    this.sink.show(`${CLEAR_LINE}${this.prompt}${this.text}`)
  }

  /** The row is for somebody else. */
  clear(): void {
    this.sink.show(CLEAR_LINE)
  }

  /** Bytes as the terminal gave them. */
  input(bytes: Uint8Array): void {
    for (const byte of bytes) this.key(byte)
  }

  private key(byte: number): void {
    if (this.escape !== undefined) return this.escaped(byte)
    switch (byte) {
      case 0x1b:
        this.escape = ""
        return
      case 0x0d:
      case 0x0a:
        return this.enter()
      case 0x7f:
      case 0x08:
        return this.set(this.text.slice(0, -1))
      case 0x15: // ^U
        return this.set("")
      case 0x17: // ^W
        return this.set(this.text.replace(/\S*\s*$/, ""))
      case 0x03: // ^C
        this.sink.show("^C\n")
        this.text = ""
        this.at = this.history.length
        return this.redraw()
      case 0x04: // ^D
        if (this.text === "") this.sink.leave()
        return
      case 0x09:
        return this.tab()
      case 0x0c: // ^L
        return this.redraw()
      default:
        if (byte >= 0x20 && byte < 0x7f && this.text.length < LONGEST) {
          const letter = String.fromCharCode(byte)
          this.text += letter
          this.sink.show(letter)
        }
    }
  }

  /** ESC [ A and the like: parameters, then a letter. */
  private escaped(byte: number): void {
    this.escape += String.fromCharCode(byte)
    const introduced = this.escape === "[" || this.escape === "O"
    if (introduced || (byte >= 0x20 && byte < 0x40)) return
    const letter = this.escape!.at(-1)
    this.escape = undefined
    if (letter === "A") this.recall(this.at - 1)
    else if (letter === "B") this.recall(this.at + 1)
  }

  private set(text: string): void {
    this.text = text
    this.redraw()
  }

  private recall(at: number): void {
    if (at < 0 || at > this.history.length) return
    if (this.at === this.history.length) this.draft = this.text
    this.at = at
    this.set(this.history[at] ?? this.draft)
  }

  private tab(): void {
    const found = this.sink.complete(this.text)
    const prefix = common(found)
    if (found.length === 1) this.set(`${prefix} `)
    else if (prefix.length > this.text.length) this.set(prefix)
    else if (found.length > 1) {
      this.sink.show(`\n${found.map((line) => line.slice(line.lastIndexOf(" ") + 1)).join("  ")}\n`)
      this.redraw()
    }
  }

  private enter(): void {
    const { text, history } = this
    this.sink.show("\n")
    this.text = ""
    if (text.trim() !== "" && history.at(-1) !== text) history.push(text)
    if (history.length > HISTORY) history.shift()
    this.at = history.length
    this.draft = ""
    this.sink.line(text)
  }
}
