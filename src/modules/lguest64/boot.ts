import { ApicClock } from "../../host/apicClock.ts"
import type { LguestDevice } from "../../host/devLguest.ts"
import type { EventLog } from "../../host/eventLog.ts"
import type { HostKernel } from "../../host/kernel.ts"
import type { ShadowReport } from "../../host/statistics.ts"
import { HostX86_64 } from "../../host/x86_64/host.ts"
import { RESCHEDULE_VECTOR, SPURIOUS_VECTOR, TIMER_VECTOR } from "../../host/x86_64/layout.ts"
import { Chipset } from "../../machine/chipset/index.ts"
import { ATT_NMI } from "../../machine/core/state.ts"
import { Machine } from "../../machine/machine.ts"
import { HYPERCALL_NAMES } from "./hypercalls.ts"
import { Lguest64Device } from "./index.ts"

/*
 * An x86_64 PC with a host on it that has the lguest64 module loaded, one process of its own, and room for one guest.
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
  /** For the report: what the shadow MMU did, and the hypercalls' names by number. */
  readonly shadowReport: () => ShadowReport
  readonly hypercallNames: ReadonlyArray<string | undefined>
}

/** Counts by level of the hardware's, 1..4. */
const byLevel = (counts: Int32Array): Record<string, number> =>
  Object.fromEntries([...counts].map((count, level) => [String(level), count] as const).slice(1))

/** Most shadow pages of a guest, and memory for everything else that the host keeps. */
const SHADOW_LIMIT = 4096
const HOST_BYTES = 0x40_0000 + SHADOW_LIMIT * 4096

export const bootLguest64 = (config: HostedConfig): Hosted => {
  const processor = () => machine.processors[0]!
  const chipset: Chipset = new Chipset({
    processors: 1,
    now: () => processor().now,
    pins: {
      setIntr: (_cpu, level) => processor().setIntr(level),
      nmi: () => processor().attend(ATT_NMI),
      init: () => undefined,
      startUp: () => undefined,
    },
    power: { powerOff: () => undefined, reset: () => undefined },
    serial: () => undefined,
    startSeconds: Math.floor(config.startMs / 1000),
    memoryBytes: HOST_BYTES,
  })
  const machine: Machine = Machine.create({
    core: config.core,
    ramBytes: HOST_BYTES + config.guestBytes,
    processors: 1,
    bus: chipset,
  })
  const clock = new ApicClock(chipset, {
    timer: TIMER_VECTOR,
    reschedule: RESCHEDULE_VECTOR,
    spurious: SPURIOUS_VECTOR,
  })
  const host = new HostX86_64(machine, clock, config.log, HOST_BYTES)
  host.startProcess()
  const open = (base: number, bytes: number, shadowLimit = SHADOW_LIMIT) =>
    new Lguest64Device(host, {
      base,
      bytes,
      startMs: config.startMs,
      shadowLimit,
    })
  const device = open(HOST_BYTES, config.guestBytes)
  const { stats } = device.guest.shadow
  return {
    machine,
    kernel: host.kernel,
    device,
    open,
    guestBase: HOST_BYTES,
    shadowReport: () => ({
      faults: { ...stats.shadowFaults },
      pages: byLevel(stats.allocated),
      pagesAlive: byLevel(stats.alive),
    }),
    hypercallNames: HYPERCALL_NAMES,
  }
}
