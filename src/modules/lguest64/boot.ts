import { LGUEST64 } from "../../design/dimensions.ts"
import { ApicClock } from "../../host/apicClock.ts"
import { HostX86_64 } from "../../host/x86_64/host.ts"
import { RESCHEDULE_VECTOR, SPURIOUS_VECTOR, TIMER_VECTOR } from "../../host/x86_64/layout.ts"
import { HYPERCALL_NAMES } from "./hypercalls.ts"
import { TRACE_NAMES } from "./observe.ts"
import { designWord } from "../designWord.ts"
import { type Hosted, type HostedConfig, hostBoard } from "../hosted.ts"
import { Lguest64Device } from "./index.ts"

/*
 * An x86_64 PC with a host on it that has the lguest64 module loaded, one process of its own, and room for one guest.
 */

/** Counts by level of the hardware's, 1..4. */
const byLevel = (counts: ArrayLike<number>): Record<string, number> =>
  Object.fromEntries(Array.from(counts, (count, level) => [String(level), count] as const).slice(1))

/** Most shadow pages of a guest, and memory for everything else that the host keeps. */
const SHADOW_LIMIT = 4096
const HOST_BYTES = 0x40_0000 + SHADOW_LIMIT * 4096

const VECTORS = { timer: TIMER_VECTOR, reschedule: RESCHEDULE_VECTOR, spurious: SPURIOUS_VECTOR }

export const bootLguest64 = (config: HostedConfig): Hosted => {
  const { machine, chipset, heap, trace } = hostBoard(config, HOST_BYTES)
  const clocks = Array.from({ length: config.processors ?? 1 }, (_, cpu) => new ApicClock(heap, chipset, cpu, VECTORS))
  const host = new HostX86_64({
    machine,
    heap,
    clocks,
    log: config.log,
    trace,
    end: HOST_BYTES,
    seed: config.seed ?? 0,
    design: config.design,
  })
  if (heap.fresh) host.startProcess()
  const { startMs, vcpus = 1, affinity = [] } = config
  const open = (base: number, bytes: number, shadowLimit = SHADOW_LIMIT, design = config.design ?? LGUEST64) =>
    new Lguest64Device(host, heap, { base, bytes, startMs, vcpus, affinity, shadowLimit, design })
  const device = open(HOST_BYTES, config.guestBytes)
  const { stats } = device.guest.shadow
  const shadowReport = () => ({
    faults: { ...stats.shadowFaults },
    pages: byLevel(stats.allocated),
    pagesAlive: byLevel(stats.alive),
  })
  return {
    machine,
    kernel: host.kernel,
    device,
    open,
    guestBase: HOST_BYTES,
    designWord: designWord(device.guest.design, HOST_BYTES / 4096),
    inspect: () => device.inspect(),
    view: () => ({ ...device.view(), shadowReport, hypercallNames: HYPERCALL_NAMES }),
    shadowReport,
    hypercallNames: HYPERCALL_NAMES,
    traceNames: TRACE_NAMES,
    share: () => ({ machine: machine.share(), heap: heap.share, trace: trace?.share }),
    parts: { chipset, kernel: host.kernel, device },
  }
}
