import type { RegisterName, VcpuInspection } from "../../machine/inspection.ts"
import type { Processor } from "../../machine/processor.ts"
import { PAGING_2_LEVEL, PAGING_2_LEVEL_SMALL, type PageTables, pagingOf } from "../../machine/pageTables.ts"
import type { ModuleView, VcpuView } from "../../modules/index.ts"
import type { Engine, EngineCounts, Inspection } from "../engine.ts"
import { fail, hex } from "./text.ts"

/*
 * What a command looks at: the guest of one engine as it is now, and the virtual CPU that was selected. Made anew for each
 * command, since a restart or a step back in time puts another machine in the old one's place.
 */
export class Subject {
  readonly inspection: Inspection
  readonly engine: Engine
  /** The selected virtual CPU. */
  readonly index: number

  constructor(engine: Engine, selected: number) {
    this.engine = engine
    this.inspection = engine.inspect()
    this.index = selected < this.vcpus.length ? selected : 0
  }

  get guest() {
    return this.inspection.guest
  }

  get bits(): 32 | 64 {
    return this.guest.bits
  }

  get vcpus(): ReadonlyArray<VcpuInspection> {
    return this.guest.vcpus
  }

  get vcpu(): VcpuInspection {
    return this.vcpus[this.index]!
  }

  get module(): ModuleView | undefined {
    return this.inspection.module
  }

  /** The module's side of the selected virtual CPU. */
  get held(): VcpuView | undefined {
    return this.module?.vcpus[this.index]
  }

  /** For what only a host has. */
  requireModule(what: string): ModuleView {
    return this.module ?? fail(`${what}: there is no host, the guest has the machine for itself`)
  }

  get counts(): EngineCounts {
    return this.engine.counts()
  }

  get processors(): ReadonlyArray<Processor> {
    return this.guest.processors
  }

  /** Index of the processor that a virtual CPU is on, or was on last. */
  processorOf(vcpu: number): number {
    const view = this.module?.vcpus[vcpu]
    if (view === undefined) return vcpu
    const { tasks } = this.module!.kernel
    const on = tasks.onCpu[view.task.pid]!
    return on >= 0 ? on : tasks.lastCpu[view.task.pid]!
  }

  register(name: RegisterName): bigint {
    return this.vcpu.read(name)
  }

  // --------------------------------------------------------------------------------------------------------- memory
  /** As many bytes as are memory, from guest-physical `gpa` on. */
  readPhysical(gpa: number, length: number): Uint8Array {
    const { base, bytes } = this.guest
    if (gpa < 0 || gpa >= bytes) return new Uint8Array(0)
    return this.inspection.machine.ram.copyOut(base + gpa, Math.min(length, bytes - gpa))
  }

  /** As many bytes from a guest-virtual address of the selected virtual CPU as are mapped to memory. */
  readVirtual(address: bigint, length: number): Uint8Array {
    const out = new Uint8Array(length)
    let done = 0
    while (done < length) {
      const at = BigInt.asUintN(this.bits, address + BigInt(done))
      const untilPageEnd = Math.min(length - done, 4096 - Number(at & 0xfffn))
      const chunk = this.readPhysical(this.vcpu.translate(at), untilPageEnd)
      out.set(chunk, done)
      done += chunk.length
      if (chunk.length < untilPageEnd) break
    }
    return out.subarray(0, done)
  }

  /** Bytes at a linear address of a processor itself, by the tables that are in its CR3; undefined where some are not mapped. */
  readLinear(cpu: Processor, address: bigint, length: number): Uint8Array | undefined {
    const { ram } = this.inspection.machine
    const out = new Uint8Array(length)
    for (let done = 0; done < length;) {
      const at = address + BigInt(done)
      const pa = Number(cpu.exports.translate(BigInt.asIntN(64, at), 0, 0, 0))
      const chunk = Math.min(length - done, 4096 - Number(at & 0xfffn))
      if (pa < 0 || pa + chunk > ram.size) return undefined
      out.set(ram.copyOut(pa, chunk), done)
      done += chunk
    }
    return out
  }

  /** The page tables that the selected virtual CPU's guest is on; undefined: it has none, addresses are physical. */
  get tables(): PageTables | undefined {
    if (this.held?.linear === true) return undefined
    const paging = pagingOf((name) => this.register(name))
    if (paging === undefined) return undefined
    const { base, bytes } = this.guest
    const { ram } = this.inspection.machine
    // Under a module large pages are always there.
    const small = paging.format === PAGING_2_LEVEL_SMALL && this.module !== undefined
    return {
      format: small ? PAGING_2_LEVEL : paging.format,
      root: paging.root,
      read32: (gpa) => (gpa >= 0 && gpa + 4 <= bytes ? ram.read32(base + gpa) >>> 0 : undefined),
    }
  }

  /** A host-physical address in words: the guest's frame, if it is one of the guest's. */
  owner(hpa: number): string {
    const { base, bytes } = this.guest
    if (this.module === undefined) return ""
    return hpa >= base && hpa < base + bytes ? `gfn ${hex(Math.floor((hpa - base) / 4096))}` : "the host's"
  }
}
