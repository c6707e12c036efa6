import { at, type Field, struct } from "../machine/layout.ts"

/*
 * Is an initrd what it should be? A "newc" cpio archive (Linux's Documentation/driver-api/early-userspace/
 * buffer-format.rst) up to its trailer. The guest unpacks it on its own; this is so that a wrong file is told here, in one
 * line, and not by a kernel's panic.
 */

const HEX = 8
const NEWC = struct("cpio_newc", "CPIO", 110, "header of an entry; numbers are eight hexadecimal digits", {
  magic: at(0, 6, "070701, or 070702 with checksums"),
  mode: at(14, HEX, "type and permissions"),
  filesize: at(54, HEX, "bytes of contents"),
  namesize: at(94, HEX, "bytes of the name with its NUL"),
})

const MAGICS = new Set(["070701", "070702"])
const TRAILER = "TRAILER!!!"
const LONGEST_NAME = 4096
const COMPRESSED: ReadonlyArray<readonly [string, ReadonlyArray<number>]> = [
  ["gzip", [0x1f, 0x8b]],
  ["bzip2", [0x42, 0x5a, 0x68]],
  ["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a]],
  ["zstd", [0x28, 0xb5, 0x2f, 0xfd]],
  ["lz4", [0x02, 0x21, 0x4c, 0x18]],
]

const align = (n: number) => Math.ceil(n / 4) * 4

/** What is wrong with the archive, or undefined. */
export const cpioProblem = (bytes: Uint8Array): string | undefined => {
  const archive = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const compression = COMPRESSED.find(([, magic]) => magic.every((byte, i) => bytes[i] === byte))
  if (compression) return `is compressed with ${compression[0]}; the initrd must be a plain cpio archive`
  const text = (position: number, field: Field) =>
    archive.toString("latin1", position + field.offset, position + field.offset + field.width)
  const number = (position: number, field: Field): number => {
    const digits = text(position, field)
    return /^[0-9a-fA-F]{8}$/.test(digits) ? parseInt(digits, 16) : -1
  }
  for (let position = 0, entries = 0; ; entries++) {
    const where = `entry ${entries}, at byte ${position},`
    if (position + NEWC.fields.magic.width > bytes.length)
      return entries === 0 ? "is not a cpio archive" : `is truncated: there is no ${TRAILER} entry`
    if (!MAGICS.has(text(position, NEWC.fields.magic)))
      return entries === 0 ? "is not a cpio archive in the newc format" : `is damaged: ${where} has no newc header`
    if (position + NEWC.size > bytes.length) return `is truncated: the header of ${where} is cut off`
    const fileBytes = number(position, NEWC.fields.filesize)
    const nameBytes = number(position, NEWC.fields.namesize)
    if (fileBytes < 0 || nameBytes <= 0 || nameBytes > LONGEST_NAME || number(position, NEWC.fields.mode) < 0)
      return `is damaged: ${where} has a header that makes no sense`
    const nameAt = position + NEWC.size
    const contentsAt = align(nameAt + nameBytes)
    if (contentsAt + fileBytes > bytes.length)
      return `is truncated: ${where} has ${fileBytes} bytes of contents, of which ${Math.max(0, bytes.length - contentsAt)} are there`
    if (archive.toString("latin1", nameAt, nameAt + nameBytes - 1) === TRAILER) return undefined
    position = align(contentsAt + fileBytes)
  }
}
