import type { Choices } from "../../design/dimensions.ts"
import type { HostKernel } from "../../host/kernel.ts"
import type { HostX86_64, VcpuPages } from "../../host/x86_64/host.ts"
import type { SharedHeap } from "../../machine/shared.ts"
import type { ShadowMmu } from "../../mmu4/index.ts"
import { LGUEST_SHARED } from "../../paravirt_ops/lguest64.ts"
import { GuestIdt } from "./idt.ts"
import { createMmu } from "./mmus.ts"
import { type Selectors, selectorsOf } from "./selectors.ts"
import type { VirtualCpu64 } from "./virtualCpu.ts"
import { type WorldChange, worldChangeOf } from "./worldChange.ts"

/*
 * H:100 What the Host knows of a Guest is not much: a range of memory, the handlers that it has named, the shadows of
 * its tables. Everything else is in the Guest's own memory, where it belongs.
 *
 * What belongs to a guest as a whole: its memory, its page tables' shadows, its handlers.
 */

export interface Guest64Config {
  /** Host-physical address of guest-physical 0, 4 KiB aligned. */
  readonly base: number
  /** Bytes of guest memory, a multiple of 4096. */
  readonly bytes: number
  /** Wall clock at simulated time 0, milliseconds since 1970. */
  readonly startMs: number
  /** Virtual CPUs that it may have. */
  readonly vcpus: number
  /** For each of them the processors that it may run on, bit by bit; default: all. */
  readonly affinity: ReadonlyArray<number>
  /** The most shadow pages that it may have. */
  readonly shadowLimit: number
  /** What it is built from. */
  readonly design: Choices
}

const S = LGUEST_SHARED.fields
const NS_PER_SECOND = 1_000_000_000

export class Guest64 {
  readonly base: number
  readonly bytes: number
  /** Which of the host's guests this is: what `HostKernel.enterGuest` and `shootDown` are told. */
  readonly number: number
  readonly design: Choices
  readonly selectors: Selectors
  readonly worldChange: WorldChange
  readonly idt: GuestIdt
  readonly shadow: ShadowMmu
  /** All that there may be, up or not. */
  readonly vcpus: VirtualCpu64[] = []
  private readonly host: HostX86_64
  private readonly kernel: HostKernel
  private readonly startNs: number

  constructor(host: HostX86_64, heap: SharedHeap, config: Guest64Config, pages: ReadonlyArray<VcpuPages>) {
    this.host = host
    this.design = config.design
    this.selectors = selectorsOf(config.design)
    this.number = pages[0]!.slot
    this.idt = new GuestIdt(heap)
    this.base = config.base
    this.bytes = config.bytes
    this.startNs = config.startMs * 1e6
    const { kernel } = host
    const { ram, frames } = kernel
    this.kernel = kernel
    this.worldChange = worldChangeOf(config.design.host)
    const first = config.base / 4096
    this.shadow = createMmu(config.design.mmu, {
      heap,
      memory: ram,
      frames: { count: config.bytes / 4096, gfnToHfn: (gfn) => (gfn < config.bytes / 4096 ? first + gfn : -1) },
      allocator: { alloc: () => frames.alloc(), free: (hfn) => frames.release(hfn) },
      flushers: this.worldChange.flushers(this, pages.length),
      host: host.hostEntries(pages, config.design),
      limit: config.shadowLimit,
      laboured: () => kernel.giveWay(),
      views: config.design.spaces === "separate" ? 2 : 1,
      supervisor: config.design.ring === 1,
    })
  }

  /** Gets every processor out of the guest: its shadows allow less than before. */
  shootDown(): void {
    this.kernel.shootDown(this.number)
  }

  /** Writes the wall clock to a shared page. */
  writeTime(sharedPa: number, now: number): void {
    const { ram } = this.host.kernel
    const seconds = Math.floor((this.startNs + now) / NS_PER_SECOND)
    ram.write64(sharedPa + S.timeSec.offset, seconds, Math.floor(seconds / 2 ** 32))
    ram.write64(sharedPa + S.timeNsec.offset, Math.floor(this.startNs + now - seconds * NS_PER_SECOND), 0)
  }
}
