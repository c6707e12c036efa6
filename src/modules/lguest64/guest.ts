import type { HostX86_64, VcpuPages } from "../../host/x86_64/host.ts"
import { FIXED_SLOT } from "../../host/x86_64/layout.ts"
import { SharedHeap } from "../../machine/shared.ts"
import { createShadowMmu, type ShadowMmu, type VcpuMmu } from "../../mmu4/index.ts"
import { LGUEST_SHARED } from "../../paravirt_ops/lguest64.ts"
import { GuestIdt } from "./idt.ts"

/*
 * What belongs to a guest as a whole: its memory, its page tables' shadows, its handlers.
 */

export interface Guest64Config {
  /** Host-physical address of guest-physical 0, 4 KiB aligned. */
  readonly base: number
  /** Bytes of guest memory, a multiple of 4096. */
  readonly bytes: number
  /** Wall clock at simulated time 0, milliseconds since 1970. */
  readonly startMs: number
  /** The most shadow pages that it may have. */
  readonly shadowLimit: number
}

const S = LGUEST_SHARED.fields
const NS_PER_SECOND = 1_000_000_000

export class Guest64 {
  readonly base: number
  readonly bytes: number
  readonly idt = new GuestIdt()
  readonly mmu: VcpuMmu
  readonly shadow: ShadowMmu
  /** SET_SYSCALL. */
  syscallSet = false
  syscallLo = 0
  syscallHi = 0
  private readonly host: HostX86_64
  private readonly startNs: number

  constructor(host: HostX86_64, config: Guest64Config, pages: VcpuPages) {
    this.host = host
    this.base = config.base
    this.bytes = config.bytes
    this.startNs = config.startMs * 1e6
    const { ram, frames } = host.kernel
    const first = config.base / 4096
    this.shadow = createShadowMmu({
      heap: SharedHeap.create(),
      memory: ram,
      frames: { count: config.bytes / 4096, gfnToHfn: (gfn) => (gfn < config.bytes / 4096 ? first + gfn : -1) },
      allocator: { alloc: () => frames.alloc(), free: (hfn) => frames.release(hfn) },
      // Every entry to a guest loads CR3, and no shadow entry is global: on one processor nothing stale survives.
      flushers: [{ flushAll: () => undefined, flushPage: () => undefined }],
      host: { slots: [FIXED_SLOT], entryLo: () => pages.fixedEntry, entryHi: () => 0 },
      limit: config.shadowLimit,
    })
    this.mmu = this.shadow.vcpus[0]!
  }

  /** Writes the wall clock to a shared page. */
  writeTime(sharedPa: number, now: number): void {
    const { ram } = this.host.kernel
    const seconds = Math.floor((this.startNs + now) / NS_PER_SECOND)
    ram.write64(sharedPa + S.timeSec.offset, seconds, Math.floor(seconds / 2 ** 32))
    ram.write64(sharedPa + S.timeNsec.offset, Math.floor(this.startNs + now - seconds * NS_PER_SECOND), 0)
  }
}
