/*
 * Several consoles on one terminal: each line of output begins with its guest's name, and input finds its guest.
 */

const NEWLINE = 0x0a
const BREAK = Uint8Array.of(0x0d, NEWLINE)
/** A line without end is cut here. */
const LONGEST_LINE = 1 << 14
/** What a person types; longer lines come in parts, so that a guest's small buffers fill up in turn. */
const LONGEST_INPUT = 256

/** What is shown: whole lines, and at most one that is not finished yet, of one guest. */
export class SharedOutput {
  /** Does somebody look on, to whom a prompt means something before its line is finished? */
  readonly interactive: boolean
  private readonly sink: (bytes: Uint8Array) => void
  /** Whose line stands unfinished. */
  private open: Channel | undefined

  constructor(sink: (bytes: Uint8Array) => void, interactive: boolean) {
    this.sink = sink
    this.interactive = interactive
  }

  channel(name: string): Channel {
    return new Channel(this, name)
  }

  /** A part of a line of this channel's, with the line's end or without it. */
  show(channel: Channel, bytes: Uint8Array): void {
    if (this.open !== channel) {
      this.finish()
      this.sink(channel.prefix)
    }
    this.sink(bytes)
    this.open = bytes.at(-1) === NEWLINE ? undefined : channel
  }

  /** Ends the line that is not finished. */
  finish(): void {
    if (this.open !== undefined) this.sink(BREAK)
    this.open = undefined
  }
}

/** One guest's console. */
export class Channel {
  readonly prefix: Uint8Array
  private readonly output: SharedOutput
  private held: Uint8Array[] = []
  private heldBytes = 0

  constructor(output: SharedOutput, name: string) {
    this.output = output
    this.prefix = new TextEncoder().encode(`${name}| `)
  }

  write(bytes: Uint8Array): void {
    let from = 0
    for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, from)) {
      this.hold(bytes.subarray(from, at + 1))
      this.settle()
      from = at + 1
    }
    if (from < bytes.length) this.hold(bytes.subarray(from))
    if (this.heldBytes > LONGEST_LINE) {
      this.hold(BREAK)
      this.settle()
    }
  }

  private hold(bytes: Uint8Array): void {
    this.held.push(bytes)
    this.heldBytes += bytes.length
  }

  /** The guest waits, perhaps for an answer. */
  pause(): void {
    if (this.output.interactive) this.settle()
  }

  private settle(): void {
    for (const bytes of this.held.splice(0)) this.output.show(this, bytes)
    this.heldBytes = 0
  }

  /** No more will come. */
  end(): void {
    this.settle()
    this.output.finish()
  }
}

/** Cuts text into what is typed at once: lines, long ones in parts. */
export const pieces = (bytes: Uint8Array): Uint8Array[] => {
  const out: Uint8Array[] = []
  for (let from = 0; from < bytes.length;) {
    const newline = bytes.indexOf(NEWLINE, from)
    const end = Math.min(newline < 0 ? bytes.length : newline + 1, from + LONGEST_INPUT)
    out.push(bytes.subarray(from, end))
    from = end
  }
  return out
}

/** Input from a pipe, where a line "a:ls" is for guest a. */
export class AddressedLines {
  private text = ""

  /** Takes bytes as they come; returns the lines that are complete, with their ends. */
  add(bytes: Uint8Array): string[] {
    this.text += Buffer.from(bytes).toString("latin1")
    const lines = this.text.split("\n")
    this.text = lines.pop() ?? ""
    return lines.map((line) => `${line}\n`)
  }

  /** What is left when the input ends. */
  rest(): string[] {
    const rest = this.text
    this.text = ""
    return rest === "" ? [] : [rest]
  }

  /** The guest's name in a line, and the text for it; undefined where there is no name. */
  static split(line: string): { readonly name: string; readonly bytes: Uint8Array } | undefined {
    const [, name, text] = /^([A-Za-z][A-Za-z0-9_-]*):([^]*)$/.exec(line) ?? []
    return name === undefined || text === undefined ? undefined : { name, bytes: Buffer.from(text, "latin1") }
  }
}
