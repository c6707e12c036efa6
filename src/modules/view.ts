import type { Pending } from "../host/devLguest.ts"
import type { HostKernel } from "../host/kernel.ts"
import type { ShadowReport } from "../host/statistics.ts"
import type { Task } from "../host/task.ts"
import type { Struct } from "../machine/layout.ts"
import type { DescribedEntry } from "../mmu4/interface.ts"

/*
 * How a module and its host hold a guest, for people (the monitor): what lies behind the GuestInspection that a debugger
 * sees. Asking changes nothing. Ask while none of the guest's virtual CPUs runs.
 */

/** The two walks to an address; entries as far as each goes, from the top. */
export interface Walks {
  /** By guest-physical address; empty in the linear view, which has no tables. */
  readonly guest: ReadonlyArray<DescribedEntry>
  /** By host-physical address. */
  readonly shadow: ReadonlyArray<DescribedEntry>
}

export interface VcpuView {
  readonly task: Task
  /** Whether it has been started. */
  readonly up: boolean
  readonly halted: boolean
  /** Virtual interrupts raised and not delivered, bit by bit. */
  readonly pendingInterrupts: number
  /** In which view of its tables the guest is. */
  readonly view: "kernel" | "user"
  /** It has no page tables yet: addresses are guest-physical ones. */
  readonly linear: boolean
  /** What the launcher has to see to before it goes on. */
  readonly waitsFor: Pending["kind"] | undefined
  /** Its descriptor: what the host's context switch puts into a processor's data. */
  readonly descriptor: Area
  walks(address: bigint, view: "kernel" | "user"): Walks
  /** Value for CR3 in that view, -1 while there is no root for it. */
  root(view: "kernel" | "user"): number
}

/** A structure in the host's memory. */
export interface Area {
  readonly struct: Struct
  /** Physical address, and the one that the host knows it by. */
  readonly pa: number
  readonly va: bigint
}

/** One of a guest's interrupt handlers, as it has told the host. */
export interface Handler {
  readonly vector: number
  readonly address: bigint
  /** Whether the guest's processes may come here by INT. */
  readonly user: boolean
  /** Whether virtual interrupts stay enabled. */
  readonly trap: boolean
  /** The processor goes there by itself; else the host reflects the event. */
  readonly direct: boolean
}

export interface ModuleView {
  readonly module: "lguest64" | "lguest"
  readonly kernel: HostKernel
  /** Where the host's kernel has physical address 0. */
  readonly directMap: bigint
  readonly vcpus: ReadonlyArray<VcpuView>
  readonly handlers: () => ReadonlyArray<Handler>
  /** The guest's descriptors as the processor has them, low and high words; undefined: a guest has none of its own. */
  readonly descriptors: () => ReadonlyArray<readonly [lo: number, hi: number]> | undefined
  /** What a processor of the host finds at its own %gs:0 or %fs:0. */
  readonly perProcessor: (cpu: number) => Area
  readonly shadowReport: () => ShadowReport
  readonly hypercallNames: ReadonlyArray<string | undefined>
}
