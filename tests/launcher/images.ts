/*
 * Kernel images made by hand: one segment of machine code at 1 MiB, and whatever a test wants to be wrong about it.
 */
export type Arch = "i386" | "x86_64"

export const LOAD_AT = 0x10_0000

export interface Segment {
  readonly paddr: number
  readonly vaddr?: bigint
  readonly bytes: Uint8Array
  readonly memsz?: number
  readonly type?: number
}

export interface Image {
  readonly arch: Arch
  readonly segments: ReadonlyArray<Segment>
  readonly entry?: number
}

const MACHINE = { i386: 3, x86_64: 62 } as const
export const EHDR = { i386: 52, x86_64: 64 } as const
export const PHDR = { i386: 32, x86_64: 56 } as const

/** The bytes of an ELF file. */
export const elf = ({ arch, segments, entry = LOAD_AT }: Image): Buffer => {
  const long = arch === "x86_64"
  const headers = EHDR[arch] + segments.length * PHDR[arch]
  const out = Buffer.alloc(headers + segments.reduce((sum, { bytes }) => sum + bytes.length, 0))
  const word = (at: number, value: number | bigint) =>
    long ? out.writeBigUInt64LE(BigInt(value), at) : out.writeUInt32LE(Number(value), at)
  out.write("\x7fELF", 0, "latin1")
  out.set([long ? 2 : 1, 1, 1], 4)
  out.writeUInt16LE(2, 16)
  out.writeUInt16LE(MACHINE[arch], 18)
  out.writeUInt32LE(1, 20)
  word(24, entry)
  word(long ? 32 : 28, EHDR[arch])
  out.writeUInt16LE(EHDR[arch], long ? 52 : 40)
  out.writeUInt16LE(PHDR[arch], long ? 54 : 42)
  out.writeUInt16LE(segments.length, long ? 56 : 44)
  let offset = headers
  segments.forEach(({ paddr, vaddr = BigInt(paddr), bytes, memsz = bytes.length, type = 1 }, i) => {
    const at = EHDR[arch] + i * PHDR[arch]
    out.writeUInt32LE(type, at)
    const fields = [offset, vaddr, paddr, bytes.length, memsz]
    fields.forEach((value, n) => word(at + (long ? 8 + 8 * n : 4 + 4 * n), value))
    out.set(bytes, offset)
    offset += bytes.length
  })
  return out
}

/** A kernel that is nothing but these bytes of machine code. */
export const codeImage = (arch: Arch, code: ReadonlyArray<number>): Buffer =>
  elf({ arch, segments: [{ paddr: LOAD_AT, bytes: Uint8Array.from(code) }] })

/** Machine code, the same in 32 and 64 bits. */
export const CODE = {
  /** mov dx,0x604; mov ax,0x2000 + status; out dx,ax; jmp . */
  powerOff: (status: number) => [0x66, 0xba, 0x04, 0x06, 0x66, 0xb8, status, 0x20, 0x66, 0xef, 0xeb, 0xfe],
  /** ud2, with no handler for it. */
  illegal: [0x0f, 0x0b],
  /** jmp . */
  forever: [0xeb, 0xfe],
  /** cli; hlt */
  halt: [0xfa, 0xf4],
  /** mov dx,0x3f8; mov al,'x'; out dx,al; jmp to the out: the serial port without end. */
  chatter: [0x66, 0xba, 0xf8, 0x03, 0xb0, 0x78, 0xee, 0xeb, 0xfd],
}
