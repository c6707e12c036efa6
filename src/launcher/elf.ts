import { at, type Field, struct } from "../machine/layout.ts"
import type { KernelImage } from "../machine/load.ts"

/*
 * Kernel images: static ELF executables (System V ABI, chapters 4 and 5) of either class. Every number in the file is
 * checked before it is used; `KernelError` says in one line what is wrong. The packages of the registry that read ELF files
 * trust them, so this is our own.
 */

/** Why an image cannot be started. */
export class KernelError extends Error {
  override readonly name = "KernelError"
}

/** The first 16 bytes, the same in both classes. */
const IDENT = struct("e_ident", "EI", 16, "what kind of ELF file it is", {
  magic: at(0, 4, "0x7f 'ELF'"),
  class: at(4, 1, "1: 32-bit, 2: 64-bit"),
  data: at(5, 1, "1: little-endian"),
  version: at(6, 1, "1"),
})

const EHDR32 = struct("Elf32_Ehdr", "EHDR32", 52, "the file's header", {
  type: at(16, 2, "2: executable"),
  machine: at(18, 2, "3: i386"),
  entry: at(24, 4, "first instruction; for a kernel a physical address"),
  phoff: at(28, 4, "program headers: offset in the file"),
  phentsize: at(42, 2, "bytes of one"),
  phnum: at(44, 2, "their number"),
})

const EHDR64 = struct("Elf64_Ehdr", "EHDR64", 64, "the file's header", {
  type: at(16, 2, "2: executable"),
  machine: at(18, 2, "62: x86_64"),
  entry: at(24, 8, "first instruction; for a kernel a physical address"),
  phoff: at(32, 8, "program headers: offset in the file"),
  phentsize: at(54, 2, "bytes of one"),
  phnum: at(56, 2, "their number"),
})

const PHDR32 = struct("Elf32_Phdr", "PHDR32", 32, "a segment", {
  type: at(0, 4, "1: to be loaded"),
  offset: at(4, 4, "its bytes in the file"),
  vaddr: at(8, 4, "where it runs"),
  paddr: at(12, 4, "where it is loaded"),
  filesz: at(16, 4, "bytes in the file"),
  memsz: at(20, 4, "bytes in memory"),
})

const PHDR64 = struct("Elf64_Phdr", "PHDR64", 56, "a segment", {
  type: at(0, 4, "1: to be loaded"),
  offset: at(8, 8, "its bytes in the file"),
  vaddr: at(16, 8, "where it runs"),
  paddr: at(24, 8, "where it is loaded"),
  filesz: at(32, 8, "bytes in the file"),
  memsz: at(40, 8, "bytes in memory"),
})

const MAGIC = 0x464c457f
const CLASS_NAMES = ["of no class", "32-bit", "64-bit"]
const LITTLE_ENDIAN = 1
const EXECUTABLE = 2
const SHARED = 3
const MACHINES = { i386: 3, x86_64: 62 } as const
const PT_LOAD = 1
const PT_INTERP = 3
/** Here program headers are counted in a section header (gABI, e_phnum); no kernel has that many. */
const PN_XNUM = 0xffff

/** Where the kernel may not be; undefined natively, where nobody else is. */
export interface Limits {
  /** Bytes of guest memory. */
  readonly memoryBytes: number
  /** The host's virtual addresses, for each architecture: first and last. */
  readonly reserved: Readonly<Record<"i386" | "x86_64", readonly [bigint, bigint]>> | undefined
}

const hex = (n: number | bigint) => `0x${n.toString(16)}`
const mib = (bytes: number) => `${Math.ceil(bytes / 2 ** 20)} MiB`
const fail = (problem: string): never => {
  throw new KernelError(problem)
}

/** A field's value as a number; a 64-bit one past 2^53 is no size or offset of anything, so it is refused by name. */
const reader = (view: DataView) => (base: number, field: Field, name: string) => {
  const offset = base + field.offset
  switch (field.width) {
    case 1:
      return view.getUint8(offset)
    case 2:
      return view.getUint16(offset, true)
    case 4:
      return view.getUint32(offset, true)
    default: {
      const value = view.getUint32(offset, true) + view.getUint32(offset + 4, true) * 2 ** 32
      return value <= Number.MAX_SAFE_INTEGER
        ? value
        : fail(`has ${hex(view.getBigUint64(offset, true))} for its ${name}: no offset, size or physical address`)
    }
  }
}

/** What people hand over most often when it is not an ELF file. */
const guess = (bytes: Uint8Array): string => {
  if (bytes.length === 0) return "is empty"
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) return "is compressed with gzip; the kernel must be the plain ELF file"
  const header = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1", 0x202, 0x206)
  if (header === "HdrS") return "is a Linux bzImage; the ELF file (vmlinux) is needed"
  return "is not an ELF file"
}

interface Segment {
  readonly offset: number
  readonly vaddr: bigint
  readonly paddr: number
  readonly filesz: number
  readonly memsz: number
}

/**
 * L:020 First the kernel's file, which is the first thing that a stranger hands us. An ELF image is a list of pieces:
 * these bytes of the file belong at that address. Every number in it may be a lie, and a few well-known ones crash
 * loaders.
 *
 * The image, ready to be laid out in memory; throws KernelError.
 */
export const parseElf = (bytes: Uint8Array, limits: Limits): KernelImage => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const read = reader(view)
  if (bytes.length < IDENT.size || read(0, IDENT.fields.magic, "magic") !== MAGIC) return fail(guess(bytes))
  const elfClass = read(0, IDENT.fields.class, "class")
  if (elfClass !== 1 && elfClass !== 2) fail(`is an ELF file of unknown class ${elfClass}`)
  if (read(0, IDENT.fields.data, "byte order") !== LITTLE_ENDIAN) fail("is a big-endian ELF file; x86 is little-endian")
  if (read(0, IDENT.fields.version, "version") !== 1) fail("is an ELF file of an unknown version")

  const long = elfClass === 2
  const ehdr = long ? EHDR64 : EHDR32
  const phdr = long ? PHDR64 : PHDR32
  if (bytes.length < ehdr.size) fail(`is truncated: ${bytes.length} bytes are less than an ELF header`)
  const header = (name: keyof typeof ehdr.fields) => read(0, ehdr.fields[name], name)
  const arch = long ? "x86_64" : "i386"
  if (header("machine") !== MACHINES[arch])
    fail(`is a ${CLASS_NAMES[elfClass]} ELF file for machine ${header("machine")}, not for ${arch}`)
  if (header("type") === SHARED) fail("is position-independent; a kernel is linked for its address (ET_EXEC)")
  if (header("type") !== EXECUTABLE) fail("is an ELF file, but no executable (an object file or a core dump?)")

  const count = header("phnum")
  const table = header("phoff")
  if (count === 0 || count === PN_XNUM) fail("has no program headers")
  if (header("phentsize") !== phdr.size) fail(`has program headers of ${header("phentsize")} bytes, not ${phdr.size}`)
  if (table + count * phdr.size > bytes.length)
    fail(`is truncated: program headers end at ${hex(table + count * phdr.size)}, the file at ${hex(bytes.length)}`)

  const segments: Segment[] = []
  for (let i = 0; i < count; i++) {
    const base = table + i * phdr.size
    const field = (name: keyof typeof phdr.fields) => read(base, phdr.fields[name], `segment ${i} ${name}`)
    const type = field("type")
    if (type === PT_INTERP) fail("asks for a dynamic linker; a kernel is static")
    if (type !== PT_LOAD) continue
    const vaddrAt = base + phdr.fields.vaddr.offset
    const vaddr = long ? view.getBigUint64(vaddrAt, true) : BigInt(view.getUint32(vaddrAt, true))
    const [offset, paddr, filesz, memsz] = [field("offset"), field("paddr"), field("filesz"), field("memsz")]
    if (filesz > memsz) fail(`segment ${i} has ${filesz} bytes in the file and only ${memsz} in memory`)
    if (offset + filesz > bytes.length)
      fail(`is truncated: segment ${i} ends at ${hex(offset + filesz)}, the file at ${hex(bytes.length)}`)
    if (memsz > 0) segments.push({ offset, vaddr, paddr, filesz, memsz })
  }
  if (segments.length === 0) fail("has nothing to load (no PT_LOAD segment)")
  const entry = header("entry")
  check(segments, entry, arch, limits)
  return {
    arch,
    entry,
    segments: segments.map(({ offset, paddr, filesz, memsz }) => ({
      address: paddr,
      bytes: bytes.subarray(offset, offset + filesz),
      memoryBytes: memsz,
    })),
  }
}

/** Does it fit into the guest, and out of the host's way? */
const check = (segments: ReadonlyArray<Segment>, entry: number, arch: "i386" | "x86_64", limits: Limits): void => {
  const sorted = [...segments].sort((a, b) => a.paddr - b.paddr)
  sorted.forEach((segment, i) => {
    const end = segment.paddr + segment.memsz
    const next = sorted[i + 1]
    if (next !== undefined && end > next.paddr)
      fail(`segments overlap: ${hex(segment.paddr)}..${hex(end)} and the one at ${hex(next.paddr)}`)
    if (end > limits.memoryBytes)
      fail(`needs memory up to ${hex(end)}: more than the guest's ${mib(limits.memoryBytes)} (see --mem)`)
    const lastVirtual = segment.vaddr + BigInt(segment.memsz) - 1n
    if (lastVirtual >= 1n << (arch === "i386" ? 32n : 64n))
      fail(`the segment at ${hex(segment.vaddr)} wraps around the end of the address space`)
    const reserved = limits.reserved?.[arch]
    if (reserved !== undefined && segment.vaddr <= reserved[1] && lastVirtual >= reserved[0])
      fail(
        `the segment at ${hex(segment.vaddr)} collides with the host, which has ${hex(reserved[0])}..${hex(reserved[1])}`,
      )
  })
  if (!segments.some(({ paddr, filesz }) => entry >= paddr && entry < paddr + filesz))
    fail(`starts at ${hex(entry)}, where nothing is loaded (the entry is a physical address)`)
}
