/*
 * Packets of gdb's remote serial protocol (gdb manual, appendix E.1): `$data#checksum`, answered by `+` or `-`; between
 * packets 0x03 asks for a stop. What arrives may be anything: a reader gives back what it made of it, and holds no more than
 * one packet.
 */

/** Bytes of a packet's data at most, before escapes are taken out; gdb is told. */
export const PACKET_SIZE = 0x4000

const START = 0x24 // $
const END = 0x23 // #
const ESCAPE = 0x7d // }
const ESCAPE_BIT = 0x20
const RUN = 0x2a // *
const ACK = 0x2b // +
const NAK = 0x2d // -
const INTERRUPT = 0x03

export type Received =
  | { readonly kind: "packet"; readonly data: Uint8Array }
  | { readonly kind: "ack" | "nak" | "interrupt" | "badChecksum" | "tooLong" }

type State = "idle" | "data" | "checksum1" | "checksum2"

const hexDigit = (byte: number): number => {
  const digit = parseInt(String.fromCharCode(byte), 16)
  return Number.isNaN(digit) ? -1 : digit
}

const unescape = (raw: Uint8Array): Uint8Array => {
  const out = new Uint8Array(raw.length)
  let length = 0
  for (let i = 0; i < raw.length; i++) {
    const escaped = raw[i] === ESCAPE && i + 1 < raw.length
    out[length++] = escaped ? raw[++i]! ^ ESCAPE_BIT : raw[i]!
  }
  return out.subarray(0, length)
}

export class PacketReader {
  private state: State = "idle"
  private readonly data = new Uint8Array(PACKET_SIZE)
  /** Bytes of the packet so far; more than fit are counted only. */
  private length = 0
  private sum = 0
  private first = 0

  /** What these bytes complete. */
  read(bytes: Uint8Array): ReadonlyArray<Received> {
    const received: Received[] = []
    for (const byte of bytes) {
      const one = this.take(byte)
      if (one !== undefined) received.push(one)
    }
    return received
  }

  private take(byte: number): Received | undefined {
    switch (this.state) {
      case "idle":
        if (byte === START) this.begin()
        else if (byte === ACK) return { kind: "ack" }
        else if (byte === NAK) return { kind: "nak" }
        else if (byte === INTERRUPT) return { kind: "interrupt" }
        return undefined
      case "data":
        if (byte === END) this.state = "checksum1"
        // A packet whose end was lost: the next one counts.
        else if (byte === START) this.begin()
        else {
          if (this.length < PACKET_SIZE) this.data[this.length] = byte
          this.length++
          this.sum = (this.sum + byte) & 0xff
        }
        return undefined
      case "checksum1":
        this.first = hexDigit(byte)
        this.state = "checksum2"
        return undefined
      case "checksum2": {
        this.state = "idle"
        const second = hexDigit(byte)
        if (this.first < 0 || second < 0 || this.first * 16 + second !== this.sum) return { kind: "badChecksum" }
        if (this.length > PACKET_SIZE) return { kind: "tooLong" }
        return { kind: "packet", data: unescape(this.data.subarray(0, this.length)) }
      }
    }
  }

  private begin(): void {
    this.state = "data"
    this.length = 0
    this.sum = 0
  }
}

const SPECIAL = new Set([START, END, ESCAPE, RUN])

/** The bytes of a packet. */
export const packet = (data: Uint8Array): Uint8Array => {
  const out: number[] = [START]
  let sum = 0
  const put = (byte: number): void => {
    out.push(byte)
    sum = (sum + byte) & 0xff
  }
  for (const byte of data) {
    if (SPECIAL.has(byte)) {
      put(ESCAPE)
      put(byte ^ ESCAPE_BIT)
    } else put(byte)
  }
  const digits = sum.toString(16).padStart(2, "0")
  return Uint8Array.from([...out, END, digits.charCodeAt(0), digits.charCodeAt(1)])
}

export const ACKNOWLEDGED = Uint8Array.of(ACK)
export const REFUSED = Uint8Array.of(NAK)
