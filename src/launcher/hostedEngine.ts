import { HostStatistics } from "../host/statistics.ts"
import { sumOf } from "../machine/counters.ts"
import { SharedHeap } from "../machine/shared.ts"
import { restoreMachine, saveMachine } from "../machine/snapshot.ts"
import { bootHost, type Hosted, type HostedShape, type ModuleChoice } from "../modules/index.ts"
import type { Engine, EngineConfig, EngineCounts, EngineEvent } from "./engine.ts"
import { HostedGuest, type HostedEvent } from "./hosted.ts"
import { affinity } from "./smp.ts"
import { hostedTrace, recordsFor } from "./traceRun.ts"

export const translate = (event: HostedEvent): EngineEvent => {
  switch (event.kind) {
    case "reset":
      return { kind: "restart" }
    case "killed": {
      const { cause, address, instruction, bits } = event.death
      const at = BigInt(`0x${address.replace(/^0x/, "") || "0"}`)
      return {
        kind: "killed",
        reason: `${cause} at 0x${at.toString(16)}`,
        ...(instruction.length > 0 ? { code: { bytes: instruction, bits, address: at } } : {}),
      }
    }
    default:
      return event
  }
}

/** The module for the guest's architecture. */
export const moduleFor = ({ kernel, options }: EngineConfig): ModuleChoice =>
  kernel.arch === "x86_64" ? { module: "lguest64" } : { module: "lguest", pae: options.pae }

/** The PC that the options ask for. */
export const shapeOf = ({ options, design, startMs }: EngineConfig): HostedShape => ({
  design: design?.choices,
  guestBytes: options.memoryBytes,
  startMs,
  processors: options.smp.processors,
  vcpus: options.smp.vcpus,
  affinity: Array.from({ length: options.smp.vcpus }, (_, vcpu) => affinity(options.smp, vcpu)),
  seed: options.seed,
  lateChecks: options.lateChecks,
  traceRecords: options.trace === undefined ? 0 : recordsFor(options.trace.limit, options.smp.processors),
})

/** The counts of all processors: their own, and the host's and its module's. */
export const countsOf = (host: Hosted): EngineCounts => {
  const { cpus } = host.kernel
  const each = cpus.map(({ processor }) => processor.counters())
  const statistics = new HostStatistics(SharedHeap.create())
  for (const cpu of cpus) statistics.add(cpu.statistics)
  return {
    processor: sumOf(each),
    ...(each.length > 1 ? { perProcessor: each } : {}),
    host: { statistics, shadow: host.shadowReport(), hypercallNames: host.hypercallNames },
  }
}

/** A PC with a host whose module runs the guest. */
export const hostedEngine = async (config: EngineConfig): Promise<Engine> => {
  const { core, log } = config
  const host = await bootHost(moduleFor(config), { ...shapeOf(config), core, log })
  const guest = new HostedGuest({
    host,
    memoryBytes: config.options.memoryBytes,
    kernel: config.kernel,
    cmdline: config.options.cmdline,
    initrd: config.initrd,
    consoleOut: config.output,
    devices: config.devices,
  })
  const { cpus } = host.kernel
  const parts = { ...host.parts, guest }
  return {
    get now() {
      return guest.now
    },
    get instructions() {
      return cpus.reduce((sum, { processor }) => sum + processor.instructions, 0)
    },
    get pendingInput() {
      return guest.board.console.pendingInput
    },
    run: (slice) => translate(guest.run(slice)),
    skip: (until) => guest.skip(until),
    input: (bytes) => guest.input(bytes),
    resize: (columns, rows) => guest.board.console.resize(columns, rows),
    inspect: () => ({
      machine: host.machine,
      guest: host.inspect(),
      module: host.view(),
      pci: guest.board.pci,
      get position() {
        return guest.now
      },
    }),
    snapshot: {
      save: () => saveMachine(host.machine, host.share().heap, parts),
      restore: (state) => {
        restoreMachine(host.machine, host.share().heap, parts, state)
        // What has been recorded is the beginning of a machine that was never run.
        host.kernel.trace.buffers.used.fill(0)
      },
    },
    counts: () => countsOf(host),
    trace: () => hostedTrace(host),
  }
}
