import { createHash } from "node:crypto"
import { closeSync, fsyncSync, openSync, renameSync, rmSync, statSync, writeSync } from "node:fs"
import { deflateRawSync, inflateRawSync } from "node:zlib"
import * as Effect from "effect/Effect"
import { at, struct } from "../../machine/layout.ts"
import { CannotWrite } from "../errors.ts"
import { LARGEST_FILE, problemOf } from "../files.ts"

/*
 * The file of a snapshot: a header, a manifest (JSON), then blobs, all but the header deflated. The digest is of the whole file, so
 * that a byte that has changed anywhere is found before anything is believed. Numbers are little-endian.
 */

export const SNAPSHOT_HEADER = struct("snapshot_header", "SNAP", 64, "first bytes of a snapshot", {
  magic: at(0x00, 8, "LG64SNAP"),
  version: at(0x08, 4, "of this format"),
  manifestPacked: at(0x0c, 4, "bytes of the manifest, deflated"),
  manifestBytes: at(0x10, 4, "bytes of the manifest"),
  fileBytes: at(0x18, 8, "bytes of the file"),
  digest: at(0x20, 32, "SHA-256 of the file, with zeros here"),
})

const MAGIC = "LG64SNAP"
export const FORMAT_VERSION = 1
/** Devices' state and the samples of a run: some hundred KiB. */
const LONGEST_MANIFEST = 1 << 28

const F = SNAPSHOT_HEADER.fields

/** How long a blob is in the file, and unpacked. */
export interface BlobSize {
  readonly packed: number
  readonly bytes: number
}

/** What is wrong with a file's bytes. */
export class BadSnapshot extends Error {
  override readonly name = "BadSnapshot"
}

/** A shared array's bytes cannot be deflated where they are. */
const pack = (bytes: Uint8Array): Buffer => deflateRawSync(bytes, { level: 1 })

const digestOf = (pieces: ReadonlyArray<Uint8Array>): Buffer => {
  const hash = createHash("sha256")
  for (const piece of pieces) hash.update(piece)
  return hash.digest()
}

/** The pieces of the file; `manifest` is told the blobs' sizes. */
export const encode = (
  manifest: (blobs: ReadonlyArray<BlobSize>) => unknown,
  blobs: ReadonlyArray<Uint8Array>,
): ReadonlyArray<Uint8Array> => {
  const packed = blobs.map(pack)
  const sizes = blobs.map(({ length }, i) => ({ packed: packed[i]!.length, bytes: length }))
  const text = Buffer.from(JSON.stringify(manifest(sizes)))
  const packedText = pack(text)
  const header = Buffer.alloc(SNAPSHOT_HEADER.size)
  const pieces = [header, packedText, ...packed]
  header.write(MAGIC, F.magic.offset, "latin1")
  header.writeUInt32LE(FORMAT_VERSION, F.version.offset)
  header.writeUInt32LE(packedText.length, F.manifestPacked.offset)
  header.writeUInt32LE(text.length, F.manifestBytes.offset)
  header.writeBigUInt64LE(BigInt(pieces.reduce((sum, { length }) => sum + length, 0)), F.fileBytes.offset)
  digestOf(pieces).copy(header, F.digest.offset)
  return pieces
}

/** A file that has been found whole. */
export interface Opened {
  /** JSON. */
  readonly manifest: unknown
  /** The blobs one after another, given their sizes; throws BadSnapshot if they are others. */
  readonly blobs: (sizes: ReadonlyArray<BlobSize>) => ReadonlyArray<Uint8Array>
}

const unpack = (bytes: Uint8Array, size: number): Buffer => {
  const out = inflateRawSync(bytes, { maxOutputLength: Math.max(size, 1) })
  if (out.length !== size) throw new BadSnapshot("a part of it has another length than it says")
  return out
}

/** Throws BadSnapshot. */
export const open = (file: Uint8Array): Opened => {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength)
  if (bytes.length < SNAPSHOT_HEADER.size || bytes.toString("latin1", F.magic.offset, F.version.offset) !== MAGIC)
    throw new BadSnapshot("is no snapshot")
  const version = bytes.readUInt32LE(F.version.offset)
  if (version !== FORMAT_VERSION)
    throw new BadSnapshot(`is a snapshot of format ${version}, and this lguest64 reads format ${FORMAT_VERSION}`)
  const length = Number(bytes.readBigUInt64LE(F.fileBytes.offset))
  if (length !== bytes.length)
    throw new BadSnapshot(
      `is ${length > bytes.length ? "cut off" : "longer than it was"}: ${bytes.length} of ${length} bytes`,
    )
  const header = Buffer.from(bytes.subarray(0, SNAPSHOT_HEADER.size))
  header.fill(0, F.digest.offset, F.digest.offset + F.digest.width)
  const digest = bytes.subarray(F.digest.offset, F.digest.offset + F.digest.width)
  if (!digestOf([header, bytes.subarray(SNAPSHOT_HEADER.size)]).equals(digest))
    throw new BadSnapshot("is damaged: its checksum is another")
  const packed = bytes.readUInt32LE(F.manifestPacked.offset)
  const size = bytes.readUInt32LE(F.manifestBytes.offset)
  if (size > LONGEST_MANIFEST) throw new BadSnapshot("has no manifest")
  const begin = SNAPSHOT_HEADER.size + packed
  return {
    manifest: readable(() => JSON.parse(unpack(bytes.subarray(SNAPSHOT_HEADER.size, begin), size).toString("utf8"))),
    blobs: (sizes) => {
      let offset = begin
      const blobs = sizes.map((blob) => {
        const from = offset
        offset += blob.packed
        return readable(() => unpack(bytes.subarray(from, offset), blob.bytes))
      })
      if (offset !== bytes.length) throw new BadSnapshot("holds more or less than it says")
      return blobs
    },
  }
}

/** What zlib and JSON have against bytes that somebody has made up, digest and all. */
const readable = <A>(work: () => A): A => {
  try {
    return work()
  } catch (thrown) {
    if (thrown instanceof BadSnapshot) throw thrown
    throw new BadSnapshot("cannot be unpacked")
  }
}

/** Writes the file whole or not at all: whoever reads it meanwhile reads what was there before. */
export const writeWhole = (file: string, pieces: ReadonlyArray<Uint8Array>): Effect.Effect<void, CannotWrite> =>
  Effect.try({
    try: () => writePieces(file, pieces),
    catch: (thrown) => new CannotWrite({ file, problem: problemOf(thrown) }),
  })

/** Whether `writeWhole` will find a place for it: to be asked before an hour of simulation, not after it. */
export const checkPlace = (file: string): Effect.Effect<void, CannotWrite> =>
  Effect.try({
    try: () => {
      if (statSync(file, { throwIfNoEntry: false })?.isDirectory() === true)
        throw Object.assign(new Error(), { code: "EISDIR" })
      closeSync(openSync(partOf(file), "w"))
      rmSync(partOf(file))
    },
    catch: (thrown) => new CannotWrite({ file, problem: problemOf(thrown) }),
  })

const partOf = (file: string): string => `${file}.${process.pid}.part`

const writePieces = (file: string, pieces: ReadonlyArray<Uint8Array>): void => {
  const temporary = partOf(file)
  const bytes = pieces.reduce((sum, { length }) => sum + length, 0)
  if (bytes > LARGEST_FILE)
    throw new Error(`a snapshot of ${Math.round(bytes / 2 ** 20)} MiB is more than can be read again`)
  try {
    const descriptor = openSync(temporary, "w")
    try {
      for (const piece of pieces)
        for (let done = 0; done < piece.length;) done += writeSync(descriptor, piece, done, piece.length - done)
      fsyncSync(descriptor)
    } finally {
      closeSync(descriptor)
    }
    renameSync(temporary, file)
  } catch (thrown) {
    rmSync(temporary, { force: true })
    throw thrown
  }
}
