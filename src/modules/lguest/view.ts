import type { HostI386, VcpuPages } from "../../i386/host.ts"
import { IDT_ENTRIES, PERCPU, VCPU } from "../../i386/layout.ts"
import type { Handler, ModuleView, VcpuView } from "../view.ts"
import type { Guest } from "./guest.ts"
import type { VirtualCpu } from "./virtualCpu.ts"

/* An lguest guest for the monitor. One shadow serves kernel and processes, so its two views are the same. */

const viewOf = (guest: Guest, vcpu: VirtualCpu, pages: VcpuPages): VcpuView => ({
  task: vcpu.task,
  up: true,
  get halted() {
    return vcpu.halted
  },
  get pendingInterrupts() {
    return vcpu.pendingInterrupts >>> 0
  },
  get view() {
    const { kernel } = vcpu.host
    const inGuest = kernel.processorOf(vcpu.task) !== undefined && kernel.processor.cpl !== 0
    return (inGuest ? kernel.processor.cpl : vcpu.registers.cs & 3) === 3 ? "user" : "kernel"
  },
  get linear() {
    return guest.shadow.directory < 0
  },
  get waitsFor() {
    return vcpu.pending?.kind
  },
  descriptor: { struct: VCPU, pa: pages.descriptor, va: BigInt(vcpu.host.virtual(pages.descriptor)) },
  walks: (address) => guest.shadow.describe(Number(BigInt.asUintN(32, address))),
  root: () => guest.shadow.root(),
})

const handlersOf = ({ idt }: Guest): ReadonlyArray<Handler> => {
  const handlers: Handler[] = []
  for (let vector = 0; vector < IDT_ENTRIES; vector++)
    if (idt.present(vector))
      handlers.push({
        vector,
        address: BigInt(idt.address(vector)),
        user: idt.dpl(vector) === 3,
        trap: idt.isTrap(vector),
        direct: idt.isDirect(vector),
      })
  return handlers
}

export const viewLguest = (
  host: HostI386,
  guest: Guest,
  vcpu: VirtualCpu,
  pages: VcpuPages,
): Omit<ModuleView, "shadowReport" | "hypercallNames"> => ({
  module: "lguest",
  kernel: host.kernel,
  directMap: BigInt(host.pageOffset),
  vcpus: [viewOf(guest, vcpu, pages)],
  handlers: () => handlersOf(guest),
  descriptors: () => Array.from(guest.gdt.lo, (lo, i) => [lo, guest.gdt.hi[i]!] as const),
  perProcessor: () => ({ struct: PERCPU, pa: host.perCpuPa, va: BigInt(host.virtual(host.perCpuPa)) }),
})
