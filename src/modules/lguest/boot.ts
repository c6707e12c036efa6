import { LGUEST } from "../../design/dimensions.ts"
import { MOVED_PAGE_OFFSET, PAGE_OFFSET } from "../../i386/layout.ts"
import { PicClock } from "../../i386/picClock.ts"
import { HostI386 } from "../../i386/host.ts"
import { pae, twoLevel } from "../../i386/shadow/index.ts"
import { designWord } from "../designWord.ts"
import { type Hosted, type HostedConfig, hostBoard } from "../hosted.ts"
import { HYPERCALL_NAMES } from "./hypercalls.ts"
import { TRACE_NAMES } from "./observe.ts"
import { LguestI386Device } from "./index.ts"

/*
 * An i386 PC with a host on it that has the lguest module loaded, one process of its own, and room for one guest.
 */

/** Where the launcher's devices answer (docs/devices.md). */
const WINDOW = { begin: 0xf000_0000, end: 0xf100_0000 }
/** Most shadow page tables of a guest, and memory for everything else that the host keeps. */
const SHADOW_LIMIT = 2048
const HOST_BYTES = 0x40_0000 + SHADOW_LIMIT * 4096

/** `pae`: host and guest have page tables of three levels; as in Linux, a guest has those of its host. */
export const bootLguest = (config: HostedConfig & { readonly pae?: boolean }): Hosted => {
  const { machine, chipset, heap, trace } = hostBoard(config, HOST_BYTES)
  const clock = new PicClock(chipset)
  const first = config.design ?? LGUEST
  const host = new HostI386({
    machine,
    heap,
    clock,
    log: config.log,
    end: HOST_BYTES,
    format: config.pae === true ? pae : twoLevel,
    trace,
    pageOffset: first.pageOffset === "host-moves" ? MOVED_PAGE_OFFSET : PAGE_OFFSET,
  })
  host.startProcess()
  const open = (base: number, bytes: number, shadowLimit = SHADOW_LIMIT, design = first) =>
    new LguestI386Device(host, {
      base,
      bytes,
      window: WINDOW,
      startMs: config.startMs,
      shadowLimit,
      design,
    })
  const device = open(HOST_BYTES, config.guestBytes)
  const { counts } = device.guest.shadow
  // By level of the hardware's: page tables, directories, and with PAE the table above them.
  const upper = (roots: number): Record<string, number> =>
    config.pae === true ? { 2: 4 * roots, 3: roots } : { 2: roots }
  const shadowReport = () => ({
    faults: { ...counts.faults },
    pages: { 1: counts.tablesMade, ...upper(counts.roots) },
    pagesAlive: { 1: counts.tables, ...upper(counts.roots) },
  })
  return {
    machine,
    kernel: host.kernel,
    device,
    open,
    guestBase: HOST_BYTES,
    designWord: designWord(first, HOST_BYTES / 4096),
    inspect: () => device.inspect(),
    view: () => ({ ...device.view(), shadowReport, hypercallNames: HYPERCALL_NAMES }),
    shadowReport,
    hypercallNames: HYPERCALL_NAMES,
    traceNames: TRACE_NAMES,
    share: () => ({ machine: machine.share(), heap: heap.share, trace: trace?.share }),
    parts: { chipset, clock, kernel: host.kernel, device },
  }
}
