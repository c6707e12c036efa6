import type { DevicesConfig, PciBus } from "../devices/index.ts"
import type { EventLog, HostStatistics, ShadowReport } from "../host/index.ts"
import type { GuestInspection } from "../machine/inspection.ts"
import type { KernelImage } from "../machine/load.ts"
import type { Machine } from "../machine/machine.ts"
import type { MachineState } from "../machine/snapshot.ts"
import type { Counters } from "../machine/processor.ts"
import type { ModuleView } from "../modules/index.ts"
import type { RunOptions } from "./options.ts"
import type { Choices } from "../design/dimensions.ts"
import type { TraceRun } from "./traceRun.ts"

/*
 * What the launcher drives, whether there is a hypervisor or not: a machine that runs for a while and says why it stopped.
 */

export type EngineEvent =
  /** The slice is used up, or a debugger wants to stop here (src/machine/debugger.ts), and it knows. */
  | { readonly kind: "budget" }
  /** Nothing to do until simulated time `until` (ns; Infinity: for ever), unless input comes. */
  | { readonly kind: "idle"; readonly until: number }
  | { readonly kind: "powerOff"; readonly status: number; readonly message: string }
  | { readonly kind: "restart" }
  | { readonly kind: "killed"; readonly reason: string; readonly code?: GuestCode }

/** The instruction that a guest died of. */
export interface GuestCode {
  readonly bytes: Uint8Array
  readonly bits: 32 | 64
  readonly address: bigint
}

export interface Engine {
  /** Simulated time since power-on, ns. */
  readonly now: number
  /** Instructions executed, the host's included. */
  readonly instructions: number
  /** Bytes of input that the guest has not taken. */
  readonly pendingInput: number
  /**
   * Runs for at most `slice` ns of simulated time, which are never fewer than the instructions. An engine with threads runs on
   * its own, and comes back after some milliseconds, fewer for a short slice, and at once for one of 0.
   */
  run(slice: number): EngineEvent | Promise<EngineEvent>
  /**
   * Where virtual CPUs have threads: makes them all wait, out of their guests and with their registers saved, and lets them go on.
   * Without threads they wait whenever `run` is not running.
   */
  pause?(): Promise<void>
  resume?(): void
  /** Lets idle time pass. */
  skip(until: number): void
  input(bytes: Uint8Array): void
  resize(columns: number, rows: number): void
  counts(): EngineCounts
  /** Ends the engine's threads, if it has any, and waits until they are gone. */
  close?(): Promise<void>
  /** What a debugger works on. */
  inspect(): Inspection
  /** What has been recorded, with --trace. */
  trace?(): TraceRun | undefined
  /** None: the machine's processors are other threads'. */
  readonly snapshot?: EngineSnapshot
}

/** A machine's state taken out between two slices, and put into another engine of the same configuration that has not run. */
export interface EngineSnapshot {
  /** Throws NotNow after an ending event. */
  save(): MachineState
  /** Throws BadState. */
  restore(state: MachineState): void
}

/** The guest, and where in its run the engine is. */
export interface Inspection {
  readonly machine: Machine
  readonly guest: GuestInspection
  /** What holds the guest; undefined: nothing does, it has the machine for itself. */
  readonly module: ModuleView | undefined
  /** Its devices. */
  readonly pci: PciBus
  /**
   * What `run` counts: `run(p - position)` comes to `p` exactly, unless something ends it before. The same run of the same guest,
   * in whatever slices, is in the same state at the same position.
   */
  readonly position: number
}

/** Exact counts so far; `host` is absent where there is none. */
export interface EngineCounts {
  readonly processor: Counters
  /** Where there are several processors, those of each; `processor` then has their sums. */
  readonly perProcessor?: ReadonlyArray<Counters>
  readonly host:
    | {
        readonly statistics: HostStatistics
        readonly shadow: ShadowReport
        readonly hypercallNames: ReadonlyArray<string | undefined>
      }
    | undefined
}

export interface EngineConfig {
  readonly core: WebAssembly.Module
  readonly kernel: KernelImage
  readonly initrd: Uint8Array | undefined
  readonly options: RunOptions
  /** The design that the host is built in, and its name; undefined: the module's own. */
  readonly design?: { readonly name: string; readonly choices: Choices } | undefined
  /** Milliseconds since 1970 at power-on. */
  readonly startMs: number
  readonly output: (bytes: Uint8Array) => void
  /** A line for whoever started the run. */
  readonly note: (line: string) => void
  /** Outlives the engine: after a restart there is another one with the same disks. */
  readonly devices: DevicesConfig
  readonly log: EventLog
}

/** Builds the machine and loads the kernel. Throws BootError, or RangeError where there is no memory for it. */
export const createEngine = async (config: EngineConfig): Promise<Engine> => {
  // Each of them is a good part of the program: only the one that runs is loaded.
  if (config.options.native) return (await import("./native.ts")).nativeEngine(config)
  // A debugger stops all virtual CPUs between two instructions, which it can where they take turns.
  if (config.options.smp.given && !config.options.deterministic && config.options.gdb === undefined)
    return (await import("./threads/engine.ts")).threadedEngine(config)
  return (await import("./hostedEngine.ts")).hostedEngine(config)
}
