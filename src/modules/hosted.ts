import type { LguestDevice } from "../host/devLguest.ts"
import type { EventLog } from "../host/eventLog.ts"
import type { HostKernel } from "../host/kernel.ts"
import type { ShadowReport } from "../host/statistics.ts"
import { Chipset } from "../machine/chipset/index.ts"
import type { GuestInspection } from "../machine/inspection.ts"
import { Machine } from "../machine/machine.ts"
import { processorPins } from "../machine/pins.ts"
import { SharedHeap } from "../machine/shared.ts"

/*
 * A PC with a host on it that has a module loaded, and room for guests: what both modules' `boot.ts` give, and the board
 * that both hosts stand on.
 */

export interface HostedConfig {
  /** The compiled core (dist/machine/core.wasm). */
  readonly core: WebAssembly.Module
  /** Bytes of the guest's memory, a multiple of 4096. */
  readonly guestBytes: number
  /** Milliseconds since 1970 at simulated time 0. */
  readonly startMs: number
  readonly log: EventLog
}

export interface Hosted {
  readonly machine: Machine
  readonly kernel: HostKernel
  readonly device: LguestDevice
  /**
   * Another guest on the same host, on a part of the launcher's memory (host-physical address and bytes), with at most
   * `shadowLimit` shadow pages.
   */
  readonly open: (base: number, bytes: number, shadowLimit?: number) => LguestDevice
  /** Host-physical address of the guest's memory: what the launcher has mapped. */
  readonly guestBase: number
  /** The guest for a debugger. */
  readonly inspect: () => GuestInspection
  /** For the report: what the shadow MMU did, and the hypercalls' names by number. */
  readonly shadowReport: () => ShadowReport
  readonly hypercallNames: ReadonlyArray<string | undefined>
}

/** Memory and one processor on a board whose power switch and serial port lead nowhere: a host needs neither. */
export const hostBoard = (config: HostedConfig, hostBytes: number): { machine: Machine; chipset: Chipset } => {
  const chipset: Chipset = new Chipset({
    heap: SharedHeap.create(),
    processors: 1,
    now: (cpu) => machine.processor(cpu).now,
    pins: processorPins(() => machine),
    power: { powerOff: () => undefined, reset: () => undefined },
    serial: () => undefined,
    startSeconds: Math.floor(config.startMs / 1000),
    memoryBytes: hostBytes,
  })
  const machine: Machine = Machine.create({
    core: config.core,
    ramBytes: hostBytes + config.guestBytes,
    processors: 1,
    bus: chipset,
  })
  return { machine, chipset }
}
