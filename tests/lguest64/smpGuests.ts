import { readFileSync } from "node:fs"
import { EventLog } from "../../src/host/index.ts"
import { noDevices } from "../../src/devices/index.ts"
import type { Engine, EngineConfig, EngineEvent } from "../../src/launcher/engine.ts"
import { hostedEngine } from "../../src/launcher/hostedEngine.ts"
import type { RunOptions } from "../../src/launcher/options.ts"
import { threadedEngine } from "../../src/launcher/threads/engine.ts"
import type { KernelImage } from "../../src/machine/load.ts"
import { code, symbols } from "./smpGuest.gen.ts"

/* Runs the guests of smpGuest.S, with all virtual CPUs in turns in this thread, or with a thread for each. */

const core = new WebAssembly.Module(readFileSync(new URL("../../dist/machine/core.wasm", import.meta.url)))
const image = Uint8Array.from(Buffer.from(code, "base64"))
const LOAD = 0x10_0000
const END = 0x20_0000
const MEMORY = 0x40_0000
const TABLE = 0x3
/** As smpGuest.S has them. */
const PML4 = 0x14_0000
export const SHARED = 0x15_0000
const RESULTS = 0x19_0000
const ARGUMENTS = 80
const PAGE_A = 0x1d_0000
const PAGE_7 = 0x1d_2000
const PAGE_T = 0x1d_4000
const HIGH = 0xffff_ffff_8000_0000n

export type Entry = keyof typeof symbols

/** The guest's address of one of its symbols. */
export const addressOf = (entry: Entry): bigint => HIGH + BigInt(LOAD + symbols[entry])

export interface Setup {
  readonly vcpus: number
  /** Default: as many. */
  readonly processors?: number
  readonly pins?: ReadonlyMap<number, number>
  readonly rounds?: number
  readonly arguments?: ReadonlyArray<bigint>
  readonly seed?: number
}

const memory = ({ rounds = 1, arguments: args = [] }: Setup): Uint8Array => {
  const bytes = new Uint8Array(END - LOAD)
  const view = new DataView(bytes.buffer)
  const put = (at: number, value: bigint) => view.setBigUint64(at - LOAD, value, true)
  const entry = (table: number, index: number, value: number) => put(table + 8 * index, BigInt(value))
  bytes.set(image)
  entry(PML4, 511, (PML4 + 0x1000) | TABLE)
  entry(PML4 + 0x1000, 510, (PML4 + 0x2000) | TABLE)
  entry(PML4 + 0x2000, 0, (PML4 + 0x3000) | TABLE)
  for (let i = 0; i < 512; i++) entry(PML4 + 0x3000, i, (i * 4096) | TABLE)
  entry(PML4, 0, (PML4 + 0x4000) | TABLE)
  entry(PML4 + 0x4000, 0, (PML4 + 0x2000) | TABLE)
  put(RESULTS, BigInt(rounds))
  args.forEach((value, i) => put(RESULTS + ARGUMENTS + 8 * i, BigInt.asUintN(64, value)))
  put(PAGE_A, 1n)
  put(PAGE_A + 4096, 2n)
  put(PAGE_7, 7n)
  put(PAGE_7 + 4096, 7n)
  entry(PAGE_T, 0, PAGE_7 | 0x63)
  return bytes
}

const kernel = (entry: Entry, setup: Setup): KernelImage => ({
  arch: "x86_64",
  entry: LOAD + symbols[entry],
  segments: [{ address: LOAD, bytes: memory(setup), memoryBytes: END - LOAD }],
})

const configOf = (entry: Entry, setup: Setup, log: EventLog): EngineConfig => ({
  core,
  kernel: kernel(entry, setup),
  initrd: undefined,
  options: {
    memoryBytes: MEMORY,
    cmdline: "",
    native: false,
    pae: false,
    seed: setup.seed ?? 0,
    log: new Set(),
    trace: undefined,
    smp: {
      vcpus: setup.vcpus,
      processors: setup.processors ?? setup.vcpus,
      pins: setup.pins ?? new Map(),
      given: true,
    },
  } as unknown as RunOptions,
  startMs: 0,
  output: () => undefined,
  note: () => undefined,
  devices: noDevices(),
  log,
})

export class SmpGuest {
  readonly engine: Engine
  private readonly ram: Engine["inspect"] extends () => infer I ? I : never

  private constructor(engine: Engine) {
    this.engine = engine
    this.ram = engine.inspect()
  }

  /** In turns, by the seed. */
  static async inTurns(entry: Entry, setup: Setup, log = EventLog.off): Promise<SmpGuest> {
    return new SmpGuest(await hostedEngine(configOf(entry, setup, log)))
  }

  static async inThreads(entry: Entry, setup: Setup, log = EventLog.off): Promise<SmpGuest> {
    return new SmpGuest(await threadedEngine(configOf(entry, setup, log)))
  }

  /** Until it ends, or all that is left is to wait for ever, or (in turns) `limit` simulated ns have passed. */
  async run(limit = Infinity): Promise<EngineEvent> {
    const { engine } = this
    for (;;) {
      const event = await engine.run(Math.min(10_000_000, limit - engine.now))
      if (event.kind === "idle" && event.until < Infinity) engine.skip(event.until)
      else if (event.kind !== "budget" || engine.now >= limit) return event
    }
  }

  async close(): Promise<void> {
    await this.engine.close?.()
  }

  private result(index: number): bigint {
    const { machine } = this.ram
    return machine.ram.readBig(machine.ram.size - MEMORY + RESULTS + 8 * index)
  }

  get done(): bigint {
    return this.result(1)
  }

  get count(): bigint {
    return this.result(2)
  }

  get wrong(): bigint {
    return this.result(3)
  }

  /** What was counted with no atomic instruction. */
  get plain(): bigint {
    return this.result(8)
  }

  ipis(vcpu: number): bigint {
    return this.result(32 + vcpu)
  }
}
