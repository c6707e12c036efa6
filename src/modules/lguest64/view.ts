import { cpuAddress, descriptorAddress } from "../../host/x86_64/fixedArea.ts"
import type { HostX86_64, VcpuPages } from "../../host/x86_64/host.ts"
import { CPU_PDA } from "../../host/x86_64/layout.ts"
import { PDA } from "../../pda/index.ts"
import { vpnOf } from "../../syscall/address.ts"
import { VCPU } from "../../vcpu/index.ts"
import type { Handler, ModuleView, VcpuView } from "../view.ts"
import type { Guest64 } from "./guest.ts"
import { GuestIdt } from "./idt.ts"
import type { VirtualCpu64 } from "./virtualCpu.ts"

/* An lguest64 guest for the monitor. */

const VECTORS = 256

const viewOf = (guest: Guest64, vcpu: VirtualCpu64, pages: VcpuPages): VcpuView => ({
  task: vcpu.task,
  get up() {
    return vcpu.up
  },
  get halted() {
    return vcpu.halted
  },
  get pendingInterrupts() {
    return vcpu.pendingInterrupts >>> 0
  },
  get view() {
    return vcpu.userView ? "user" : "kernel"
  },
  get linear() {
    return vcpu.mmu.isLinear
  },
  get waitsFor() {
    return vcpu.pending?.kind
  },
  descriptor: { struct: VCPU, pa: pages.descriptor, va: BigInt.asUintN(64, descriptorAddress(pages.slot)) },
  walks: (address, view) => {
    const vpn = vpnOf(Number(BigInt.asUintN(32, address)), Number(BigInt.asUintN(32, address >> 32n)))
    return guest.shadow.describe(vcpu.index, vpn, view === "user")
  },
  root: (view) => {
    const top = guest.shadow.describe(vcpu.index, 0, view === "user").shadow[0]
    return top === undefined ? -1 : top.address - (top.address % 4096)
  },
})

const handlersOf = (idt: GuestIdt): ReadonlyArray<Handler> => {
  const handlers: Handler[] = []
  for (let vector = 0; vector < VECTORS; vector++) {
    const handler = idt.find(vector)
    if (handler === undefined) continue
    handlers.push({
      vector,
      address: (BigInt(handler.hi) << 32n) | BigInt(handler.lo),
      user: idt.isUser(vector),
      trap: handler.trap,
      direct: false,
    })
  }
  return handlers
}

export const viewLguest64 = (
  host: HostX86_64,
  guest: Guest64,
  pages: ReadonlyArray<VcpuPages>,
): Omit<ModuleView, "shadowReport" | "hypercallNames"> => ({
  module: "lguest64",
  kernel: host.kernel,
  directMap: host.pageOffset,
  vcpus: guest.vcpus.map((vcpu, i) => viewOf(guest, vcpu, pages[i]!)),
  handlers: () => handlersOf(guest.idt),
  // Its selectors are fixed by the ABI, and lead into the host's own table.
  descriptors: () => undefined,
  perProcessor: (cpu) => ({
    struct: PDA,
    pa: host.pdaOf(cpu),
    va: BigInt.asUintN(64, cpuAddress(cpu, CPU_PDA)),
  }),
})
