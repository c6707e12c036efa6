import type { Choices } from "../design/dimensions.ts"
import type { LguestDevice } from "../host/devLguest.ts"
import type { EventLog } from "../host/eventLog.ts"
import type { HostKernel } from "../host/kernel.ts"
import type { ShadowReport } from "../host/statistics.ts"
import { TraceBuffers, type TraceNames } from "../host/trace.ts"
import { Chipset } from "../machine/chipset/index.ts"
import type { GuestInspection } from "../machine/inspection.ts"
import { Machine, type MachineShare } from "../machine/machine.ts"
import { processorPins } from "../machine/pins.ts"
import type { Parts } from "../machine/snapshot.ts"
import { type HeapShare, SharedHeap } from "../machine/shared.ts"
import type { ModuleView } from "./view.ts"

/*
 * A PC with a host on it that has a module loaded, and room for guests: what both modules' `boot.ts` give, and the board
 * that both hosts stand on.
 */

/** What every thread that works on the same PC has to agree on; it may be posted to a worker. */
export interface HostedShape {
  /** The design that the guest is built in; default: its architecture's own. */
  readonly design?: Choices | undefined
  /** Bytes of the guest's memory, a multiple of 4096. */
  readonly guestBytes: number
  /** Milliseconds since 1970 at simulated time 0. */
  readonly startMs: number
  /** Virtual CPUs of the guest (default 1), and physical processors of the host (default 1). */
  readonly vcpus?: number
  readonly processors?: number
  /** For each virtual CPU the processors that it may run on, bit by bit; default: all. */
  readonly affinity?: ReadonlyArray<number>
  /** Of the turns that several processors take in one thread. */
  readonly seed?: number
  /** Records of a trace that each processor has room for; 0, the default: no trace. */
  readonly traceRecords?: number
  /** The processors check the permission of a load after it has been carried out (docs/late-checks.md). */
  readonly lateChecks?: boolean | undefined
}

/** A PC that another thread has made; it may be posted to a worker. */
export interface HostedShare {
  readonly machine: MachineShare
  readonly heap: HeapShare
  /** Buffers of the trace, if there is one. */
  readonly trace?: HeapShare | undefined
}

export interface HostedConfig extends HostedShape {
  /** The compiled core (dist/machine/core.wasm). */
  readonly core: WebAssembly.Module
  readonly log: EventLog
  /** The PC is there already: this thread has its share in it. */
  readonly share?: HostedShare
}

export interface Hosted {
  readonly machine: Machine
  readonly kernel: HostKernel
  readonly device: LguestDevice
  /**
   * Another guest on the same host, on a part of the launcher's memory (host-physical address and bytes), with at most
   * `shadowLimit` shadow pages. It may have another design (default: the first one's) as far as guests choose: where the entry
   * code finds the VCPU, and where the host is mapped, is one answer for all.
   */
  readonly open: (base: number, bytes: number, shadowLimit?: number, design?: Choices) => LguestDevice
  /** Host-physical address of the guest's memory: what the launcher has mapped. */
  readonly guestBase: number
  /** What the guest is told of its design: hardware_subarch_data of its boot_params. Default 0. */
  readonly designWord?: DesignWord | undefined
  /** The guest for a debugger. */
  readonly inspect: () => GuestInspection
  /** What lies behind it, for the monitor. */
  readonly view: () => ModuleView
  /** For the report: what the shadow MMU did, and the hypercalls' names by number. */
  readonly shadowReport: () => ShadowReport
  readonly hypercallNames: ReadonlyArray<string | undefined>
  readonly traceNames: TraceNames
  /** For other threads, once this one has made everything. */
  readonly share: () => HostedShare
  /** What is neither in the memory nor in the heap. */
  readonly parts: Parts
}

/** Halves of a 64-bit word. */
export interface DesignWord {
  readonly lo: number
  readonly hi: number
}

export interface HostBoard {
  readonly machine: Machine
  readonly chipset: Chipset
  readonly heap: SharedHeap
  readonly trace: TraceBuffers | undefined
}

/**
 * L:050 Now a computer for the Host to run on. On silicon you would have it already; here it comes with the Guest. Its
 * own devices are few: the Host has no disk, no screen and no ambitions.
 *
 * Memory and processors on a board whose power switch and serial port lead nowhere: a host needs neither.
 */
export const hostBoard = (config: HostedConfig, hostBytes: number): HostBoard => {
  const { share } = config
  const processors = config.processors ?? 1
  const heap = share === undefined ? SharedHeap.create() : SharedHeap.attach(share.heap)
  const { traceRecords = 0 } = config
  const trace = traceRecords === 0 ? undefined : new TraceBuffers(processors, traceRecords, share?.trace)
  const chipset: Chipset = new Chipset({
    heap,
    processors,
    now: (cpu) => machine.processor(cpu).now,
    pins: processorPins(() => machine),
    power: { powerOff: () => undefined, reset: () => undefined },
    serial: () => undefined,
    startSeconds: Math.floor(config.startMs / 1000),
    memoryBytes: hostBytes,
  })
  const machine: Machine =
    share === undefined
      ? Machine.create({
          core: config.core,
          ramBytes: hostBytes + config.guestBytes,
          processors,
          bus: chipset,
          traits: { lateChecks: config.lateChecks },
        })
      : Machine.attach(share.machine, chipset)
  return { machine, chipset, heap, trace }
}
