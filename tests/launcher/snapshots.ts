import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type BlockBackend, type DevicesConfig, Hub, SECTOR, seededEntropy } from "../../src/devices/index.ts"
import { EventLog, LOG_CATEGORIES } from "../../src/host/eventLog.ts"
import { createEngine, type Engine, type EngineConfig, type EngineEvent } from "../../src/launcher/engine.ts"
import { parseElf } from "../../src/launcher/elf.ts"
import { Files } from "../../src/launcher/files.ts"
import type { BootImage } from "../../src/launcher/image.ts"
import { defaultOptions, type RunOptions } from "../../src/launcher/options.ts"
import { readSnapshot } from "../../src/launcher/snapshot/index.ts"

/* Guests whose whole lives can be compared: what each said and logged, in one list. */

const file = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url))
export const core = readFileSync(file("dist/machine/core.wasm"))
const compiled = new WebAssembly.Module(core)

export interface Kind {
  readonly arch: "i386" | "x86_64"
  readonly native: boolean
  readonly cpus: number
}

export const KINDS: ReadonlyArray<readonly [string, Kind]> = [
  ["i386 under lguest", { arch: "i386", native: false, cpus: 1 }],
  ["x86_64 under lguest64", { arch: "x86_64", native: false, cpus: 1 }],
  ["i386, native", { arch: "i386", native: true, cpus: 1 }],
  ["x86_64, native", { arch: "x86_64", native: true, cpus: 1 }],
  ["x86_64, two virtual CPUs", { arch: "x86_64", native: false, cpus: 2 }],
  ["x86_64, native, two processors", { arch: "x86_64", native: true, cpus: 2 }],
]

/** A disk in memory, whose bytes are its file. */
export class MemoryDisk implements BlockBackend {
  readonly readOnly = false
  readonly bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    this.bytes = bytes.slice()
  }

  get sectors(): number {
    return this.bytes.length / SECTOR
  }

  read(sector: number, bytes: Uint8Array): boolean {
    bytes.set(this.bytes.subarray(sector * SECTOR, sector * SECTOR + bytes.length))
    return true
  }

  write(sector: number, bytes: Uint8Array): boolean {
    this.bytes.set(bytes, sector * SECTOR)
    return true
  }

  flush(): boolean {
    return true
  }
}

export const DISK = Uint8Array.from({ length: 64 * SECTOR }, (_, i) => i * 31 + (i >> 8))

/** Typed line by line, the next whenever the guest idles: disk, randomness, processes, a pipe, the clock. */
const SCRIPT = [
  "ls /bin | wc",
  "dd if=/dev/hwrng of=/dev/vda bs=512 count=6",
  "sync",
  "dd if=/dev/vda bs=512 count=20 | wc",
  "sleep 1; uptime",
  "echo done; ls / & wait",
  "poweroff 3",
]

export interface Life {
  readonly engine: Engine
  readonly source: { readonly config: EngineConfig; readonly image: BootImage; readonly core: Uint8Array }
  /** What it has said and logged so far. */
  readonly said: string[]
  readonly disk: MemoryDisk
  /** Lines of the script that have been typed. */
  typed: number
  ending: EngineEvent | undefined
}

export const optionsFor = ({ arch, native, cpus }: Kind): RunOptions => ({
  ...defaultOptions(),
  arch,
  native,
  memoryBytes: 16 << 20,
  deterministic: true,
  seed: 5,
  blocks: [{ file: "disk", readOnly: false }],
  net: { hub: undefined, pcap: undefined, mac: undefined },
  smp: { vcpus: cpus, processors: cpus, pins: new Map(), given: cpus > 1 },
})

const read = (path: string) => readFileSync(file(path))

export const begin = async (kind: Kind, diskBytes: Uint8Array = DISK): Promise<Life> => {
  const options = optionsFor(kind)
  const { arch, native } = kind
  const source = read(`guests/images/puppy-${arch}.elf`)
  const image: BootImage = {
    file: `puppy-${arch}.elf`,
    source,
    kernel: parseElf(source, { memoryBytes: options.memoryBytes, reserved: undefined }),
    initrd: read(`guests/images/initramfs-${arch}.cpio`),
  }
  const said: string[] = []
  const disk = new MemoryDisk(diskBytes)
  const devices: DevicesConfig = {
    disks: [disk],
    net: { mac: Uint8Array.of(0x52, 0x54, 0, 1, 2, 3), link: new Hub().attach() },
    entropy: seededEntropy(9),
  }
  const config: EngineConfig = {
    core: compiled,
    kernel: image.kernel,
    initrd: image.initrd,
    options,
    startMs: 1.2e12,
    output: (bytes) => said.push(Buffer.from(bytes).toString("latin1")),
    note: (line) => said.push(line),
    devices,
    log: new EventLog(new Set(native ? ["int"] : LOG_CATEGORIES), (line) => said.push(line)),
  }
  const engine = await createEngine(config)
  return { engine, source: { config, image, core }, said, disk, typed: 0, ending: undefined }
}

const SLICE = 1_000_000

/** Lets a guest live until it has executed so many instructions, or to its end. */
export const live = async (life: Life, instructions = Infinity): Promise<void> => {
  const { engine } = life
  const { processors } = life.source.config.options.smp
  while (life.ending === undefined && engine.instructions < instructions) {
    const left = Math.max(1, Math.floor((instructions - engine.instructions) / processors))
    const event = await engine.run(Math.min(SLICE, left))
    if (event.kind === "idle") {
      const line = engine.pendingInput === 0 ? SCRIPT[life.typed] : undefined
      if (line !== undefined) {
        life.typed++
        engine.input(Buffer.from(`${line}\n`))
      } else if (event.until < Infinity) engine.skip(event.until)
      else life.ending = event
    } else if (event.kind !== "budget") life.ending = event
  }
}

/** The end of a life, for comparison. */
export const endOf = ({ engine, disk, ending, typed }: Life) => {
  const { processor, perProcessor, host } = engine.counts()
  return {
    ending,
    typed,
    now: engine.now,
    processor,
    perProcessor,
    host,
    disk: Buffer.from(disk.bytes).toString("hex"),
  }
}

/** The package's files, and in place of all others these bytes. */
const only = (bytes: Uint8Array) =>
  Layer.effect(
    Files,
    Effect.map(Files, (files) => ({ ...files, read: () => Effect.succeed(bytes) })),
  ).pipe(Layer.provide(Files.layer))

/** A snapshot from a file's bytes; throws the error that the launcher would show. */
export const readBytes = (bytes: Uint8Array, by: Uint8Array = core) =>
  Effect.runSync(Effect.provide(readSnapshot("a.snap", by), only(bytes)))
