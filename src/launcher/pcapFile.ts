import { closeSync, existsSync, openSync, writeSync } from "node:fs"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { at, struct } from "../machine/layout.ts"
import { CannotWrite, type LaunchError, UsageError } from "./errors.ts"
import { problemOf } from "./files.ts"
import type { OpenFiles } from "./openFiles.ts"

/*
 * Frames in the classic pcap format, which tcpdump and Wireshark read. Times are the guest's: simulated nanoseconds from
 * the moment at which its clock started.
 */

export const PCAP_HEADER = struct("pcap_file_header", "PCF", 24, "stands once, at the beginning", {
  magic: at(0, 4, "0xa1b23c4d: times in nanoseconds, and the byte order"),
  major: at(4, 2, "2"),
  minor: at(6, 2, "4"),
  zone: at(8, 4, "0: UTC"),
  accuracy: at(12, 4, "0"),
  longest: at(16, 4, "bytes of a frame that are kept"),
  linkType: at(20, 4, "1: Ethernet"),
})

export const PCAP_RECORD = struct("pcap_record_header", "PCR", 16, "stands before each frame", {
  seconds: at(0, 4, "since 1970"),
  nanoseconds: at(4, 4, ""),
  kept: at(8, 4, "bytes that follow"),
  length: at(12, 4, "bytes of the frame"),
})

const MAGIC_NANOSECONDS = 0xa1b2_3c4d
const LONGEST = 0x10000
const ETHERNET = 1

export const pcapHeader = (): Uint8Array => {
  const view = new DataView(new ArrayBuffer(PCAP_HEADER.size))
  const f = PCAP_HEADER.fields
  view.setUint32(f.magic.offset, MAGIC_NANOSECONDS, true)
  view.setUint16(f.major.offset, 2, true)
  view.setUint16(f.minor.offset, 4, true)
  view.setUint32(f.longest.offset, LONGEST, true)
  view.setUint32(f.linkType.offset, ETHERNET, true)
  return new Uint8Array(view.buffer)
}

/** Turns frames into records. Time never goes back: a machine that restarts begins at 0 again. */
export class PcapRecords {
  private readonly startMs: number
  private before = 0
  private last = 0

  /** @param startMs milliseconds since 1970 at simulated time 0. */
  constructor(startMs: number) {
    this.startMs = startMs
  }

  record(now: number, frame: Uint8Array): Uint8Array {
    if (now < this.last) this.before += this.last
    this.last = now
    // Apart, so that no nanosecond is lost: those since 1970 do not fit into a number.
    const ns = (this.startMs % 1000) * 1e6 + this.before + Math.floor(now)
    const bytes = new Uint8Array(PCAP_RECORD.size + frame.length)
    const view = new DataView(bytes.buffer)
    const f = PCAP_RECORD.fields
    view.setUint32(f.seconds.offset, Math.floor(this.startMs / 1000) + Math.floor(ns / 1e9), true)
    view.setUint32(f.nanoseconds.offset, ns % 1e9, true)
    view.setUint32(f.kept.offset, frame.length, true)
    view.setUint32(f.length.offset, frame.length, true)
    bytes.set(frame, PCAP_RECORD.size)
    return bytes
  }
}

/** A new file that frames are appended to, until the scope closes. A disk that fills up ends it, with a word. */
export const openPcap = (
  file: string,
  startMs: number,
  open: OpenFiles,
  note: (line: string) => void,
): Effect.Effect<(now: number, frame: Uint8Array) => void, LaunchError, Scope.Scope> =>
  Effect.gen(function* () {
    const cannot = (thrown: unknown) => new CannotWrite({ file, problem: problemOf(thrown) })
    const twice = new UsageError({ problem: `${file} is given twice, and frames need a file of their own` })
    const claim = Effect.try({ try: () => open.claim(file, "write"), catch: cannot })
    // Before it is emptied.
    const early = existsSync(file) ? yield* claim : undefined
    if (early === undefined && existsSync(file)) return yield* twice
    const descriptor = yield* Effect.acquireRelease(
      Effect.try({ try: () => openSync(file, "w"), catch: cannot }),
      (fd) => Effect.sync(() => closeSync(fd)),
    )
    const release = early ?? (yield* claim)
    if (release === undefined) return yield* twice
    yield* Effect.addFinalizer(() => Effect.sync(release))
    yield* Effect.try({ try: () => void writeSync(descriptor, pcapHeader()), catch: cannot })
    const records = new PcapRecords(startMs)
    let broken = false
    return (now: number, frame: Uint8Array) => {
      if (broken) return
      try {
        writeSync(descriptor, records.record(now, frame))
      } catch (thrown) {
        broken = true
        note(`lguest64: ${file} ends here: ${problemOf(thrown)}`)
      }
    }
  })
