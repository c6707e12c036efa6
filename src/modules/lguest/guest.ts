import type { HostI386, VcpuPages } from "../../i386/host.ts"
import type { Choices } from "../../design/dimensions.ts"
import { GuestIdt, isDirectVector, noVector } from "../../i386/idt.ts"
import { GuestGdt } from "../../i386/segments.ts"
import {
  OnDemandShadow,
  type Shadow,
  type ShadowConfig,
  type TableFormat,
  ThrowAwayShadow,
} from "../../i386/shadow/index.ts"
import type { HostPart } from "../../i386/hostPart.ts"
import { LGUEST_DATA } from "../../paravirt_ops/lguest.ts"
import { Fields, type State } from "../../machine/snapshot.ts"

/*
 * What belongs to a guest as a whole: its memory, its page tables' shadows, its descriptors.
 */

export interface GuestConfig {
  /** Host-physical address of guest-physical 0, 4 KiB aligned. */
  readonly base: number
  /** Bytes of guest memory, a multiple of 4096. */
  readonly bytes: number
  /** Guest-physical addresses [begin, end) at which the launcher has devices. */
  readonly window: { readonly begin: number; readonly end: number }
  /** Wall clock at simulated time 0, milliseconds since 1970. */
  readonly startMs: number
  /** The most shadow page tables that it may have. */
  readonly shadowLimit: number
  readonly design: Choices
}

/** The shadow MMUs that exist on i386 (src/design/rules.ts refuses the others). */
const MMUS: Partial<Record<Choices["mmu"], (format: TableFormat, config: ShadowConfig) => Shadow>> = {
  "throw-away": (format, config) => new ThrowAwayShadow(format, config),
  "on-demand": (format, config) => new OnDemandShadow(format, config),
}

/** Which of its gates the processor may take by itself. */
const DIRECT: Record<Choices["events"], (vector: number) => boolean> = {
  straight: isDirectVector,
  "through-host": noVector,
}

const D = LGUEST_DATA.fields
const NS_PER_SECOND = 1_000_000_000

const FIELDS = new Fields({ parts: ["gdt", "idt", "shadow"] })

export class Guest {
  readonly base: number
  readonly bytes: number
  readonly design: Choices
  /** What of its address space is the host's. */
  readonly hostPart: HostPart
  readonly gdt: GuestGdt
  readonly idt: GuestIdt
  readonly shadow: Shadow
  private readonly host: HostI386
  private readonly startNs: number

  constructor(host: HostI386, config: GuestConfig, pages: VcpuPages) {
    const { ram, frames } = host.kernel
    this.host = host
    this.base = config.base
    this.bytes = config.bytes
    this.startNs = config.startMs * 1e6
    const { design } = config
    this.design = design
    const first = config.base / 4096
    const mmu = MMUS[design.mmu]
    if (mmu === undefined) throw new RangeError(`no i386 guest has ${design.mmu} shadows`)
    this.hostPart = host.createHostPart(design, pages)
    this.gdt = new GuestGdt(this.hostPart.fence)
    this.idt = new GuestIdt(this.hostPart.stubs, DIRECT[design.events])
    this.shadow = mmu(host.format, {
      memory: ram,
      frames: { count: config.bytes / 4096, gfnToHfn: (gfn) => first + gfn },
      allocator: frames,
      window: config.window,
      top: this.hostPart.top,
      host: this.hostPart.entries,
      tableLimit: config.shadowLimit,
    })
  }

  /** Gives back what it has of the host's memory. */
  release(): void {
    this.shadow.destroy()
    this.hostPart.release(this.host.kernel.frames)
  }

  /** Writes the wall clock to lguest_data at host-physical `data`. */
  writeTime(data: number, now: number): void {
    const { ram } = this.host.kernel
    const seconds = Math.floor((this.startNs + now) / NS_PER_SECOND)
    ram.write32(data + D.timeSec.offset, seconds >>> 0)
    ram.write32(data + D.timeNsec.offset, Math.floor(this.startNs + now - seconds * NS_PER_SECOND))
  }

  save(): State {
    return FIELDS.save(this)
  }

  restore(state: State): void {
    FIELDS.restore(this, state)
  }
}
