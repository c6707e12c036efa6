/*
 * The "newc" cpio format, which Linux and puppy unpack at boot (Linux's Documentation/driver-api/early-userspace/
 * buffer-format.rst): for each entry a header of 13 eight-digit hexadecimal fields after the magic, the name, the
 * contents, each padded to 4 bytes; the last entry is called TRAILER!!!. All times, owners and devices are 0, so the
 * same contents give the same bytes.
 */

export type Entry =
  | { readonly kind: "directory"; readonly path: string }
  | { readonly kind: "file"; readonly path: string; readonly mode: number; readonly bytes: Uint8Array }
  | { readonly kind: "link"; readonly path: string; readonly target: string }

const MAGIC = "070701"
const ALIGN = 4
const DIRECTORY = 0o040755
const REGULAR = 0o100000
const SYMBOLIC_LINK = 0o120777

const modeOf = (entry: Entry): number =>
  entry.kind === "directory" ? DIRECTORY : entry.kind === "link" ? SYMBOLIC_LINK : REGULAR | entry.mode

const contentsOf = (entry: Entry): Uint8Array =>
  entry.kind === "file" ? entry.bytes : Buffer.from(entry.kind === "link" ? entry.target : "")

const padded = (bytes: Uint8Array): Buffer => Buffer.concat([bytes, Buffer.alloc(-bytes.length & (ALIGN - 1))])

const record = (inode: number, mode: number, links: number, name: string, contents: Uint8Array): Buffer => {
  const fields = [inode, mode, 0, 0, links, 0, contents.length, 0, 0, 0, 0, Buffer.byteLength(name) + 1, 0]
  const header = MAGIC + fields.map((field) => field.toString(16).padStart(8, "0")).join("")
  return Buffer.concat([padded(Buffer.from(`${header}${name}\0`)), padded(contents)])
}

/** The archive; directories must come before what is in them. */
export const cpio = (entries: ReadonlyArray<Entry>): Buffer =>
  Buffer.concat([
    ...entries.map((entry, i) =>
      record(i + 1, modeOf(entry), entry.kind === "directory" ? 2 : 1, entry.path, contentsOf(entry)),
    ),
    record(0, 0, 1, "TRAILER!!!", new Uint8Array(0)),
  ])
