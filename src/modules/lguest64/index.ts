import type { GuestSetup } from "../../host/devLguest.ts"
import type { HostX86_64, VcpuPages } from "../../host/x86_64/host.ts"
import { HOST_THREAD } from "../../host/task.ts"
import type { GuestInspection } from "../../machine/inspection.ts"
import { RSI } from "../../machine/processor.ts"
import type { SharedHeap } from "../../machine/shared.ts"
import { GuestDevice } from "../device.ts"
import { Guest64, type Guest64Config } from "./guest.ts"
import { inspectLguest64 } from "./inspect.ts"
import { viewLguest64 } from "./view.ts"
import { VirtualCpu64 } from "./virtualCpu.ts"

/*
 * H:090 So far there was no hypervisor at all. Load the module, and this is what comes. The lguest64 module: the x86_64
 * guests of 2007's proposal, with Rusty's read-only switcher page, and those of every other design that somebody argued
 * for. It gives the host two functions for the VCPU descriptor (in the switcher's text) and two for the gates; everything
 * else here is what those four lead to. It trusts the host below it, and of a guest not one bit.
 */

/** Where a virtual CPU's pages and task are; made by the first thread, found by the others. */
const WHERE = 9

export class Lguest64Device extends GuestDevice<VirtualCpu64> {
  readonly guest: Guest64
  private readonly host: HostX86_64
  private readonly pages: ReadonlyArray<VcpuPages>

  constructor(host: HostX86_64, heap: SharedHeap, config: Guest64Config) {
    const where = heap.f64(config.vcpus * WHERE)
    for (let i = 0; heap.fresh && i < config.vcpus; i++)
      create(host, i, config, where.subarray(i * WHERE, (i + 1) * WHERE))
    const pages = Array.from({ length: config.vcpus }, (_, i) => {
      const [descriptor, state, fixedEntry, userEntry, root, userRoot, slot, rom] = where.subarray(
        i * WHERE,
      ) as unknown as Pages
      return { descriptor, state, fixedEntry, userEntry, root, userRoot, slot, rom }
    })
    const guest = new Guest64(host, heap, config, pages)
    pages.forEach((p, i) => {
      const task = host.kernel.tasks.of(where[i * WHERE + WHERE - 1]!)
      guest.vcpus.push(new VirtualCpu64(guest, host, heap, i, p, task))
    })
    super(host.kernel, guest.vcpus)
    this.host = host
    this.pages = pages
    this.guest = guest
  }

  override initialize({ entry, bootParams }: GuestSetup): void {
    const [first] = this.vcpus as [VirtualCpu64]
    first.begin(entry)
    first.registers.setGpr(RSI, bootParams, 0)
  }

  override writing(gpa: number, bytes: number): boolean {
    return this.guest.shadow.keepData?.(gpa, bytes) ?? true
  }

  override written(gpa: number, bytes: number): void {
    this.guest.shadow.releaseData?.(gpa, bytes)
    this.guest.shadow.memoryWritten(gpa, bytes)
  }

  override registerLo(index: number): number {
    return this.vcpu.registers.gprLo(index)
  }

  override registerHi(index: number): number {
    return this.vcpu.registers.gprHi(index)
  }

  override setRegister(index: number, lo: number, hi: number): void {
    this.vcpu.registers.setGpr(index, lo, hi)
  }

  /** The guest for a debugger. */
  inspect(): GuestInspection {
    return inspectLguest64(this.guest, this.vcpus)
  }

  /** The guest for the monitor. */
  view() {
    return viewLguest64(this.host, this.guest, this.pages)
  }

  protected override release(): void {
    this.guest.shadow.destroy()
    this.vcpus.forEach((vcpu, i) => this.host.releaseVcpu(this.pages[i]!, vcpu.task))
  }
}

type Pages = readonly [number, number, number, number, number, number, number, number]

const create = (host: HostX86_64, index: number, { affinity, design }: Guest64Config, where: Float64Array): void => {
  const pages = host.createVcpuPages(index, design)
  const task = host.createVcpuTask(pages, `vcpu ${index}`)
  host.kernel.tasks.affinity[task.pid] = affinity[index] ?? -1
  host.kernel.tasks.thread[task.pid] = HOST_THREAD + 1 + index
  const { descriptor, state, fixedEntry, userEntry, root, userRoot, slot, rom } = pages
  where.set([descriptor, state, fixedEntry, userEntry, root, userRoot, slot, rom, task.pid])
}
