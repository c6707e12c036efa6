import type { GuestSetup, LguestDevice, Pending } from "../../host/devLguest.ts"
import type { HostI386, VcpuPages } from "../../i386/host.ts"
import { REGS } from "../../i386/layout.ts"
import { RSI } from "../../machine/processor.ts"
import { GUEST_KERNEL_CS, GUEST_KERNEL_DS } from "../../paravirt_ops/lguest.ts"
import { Guest, type GuestConfig } from "./guest.ts"
import { sanitizedFlags } from "./interrupts.ts"
import { VirtualCpu } from "./virtualCpu.ts"

const R = REGS.fields
const GENERAL_REGISTERS = 8

/*
 * The lguest module: i386 guests as Linux 2.6.23 to 4.13 ran them, kernel at ring 1, behind the Switcher at 0xFFC00000. It
 * trusts the host below it, and of a guest not one bit.
 */
export class LguestI386Device implements LguestDevice {
  readonly guest: Guest
  private readonly host: HostI386
  private readonly vcpu: VirtualCpu
  private readonly pages: VcpuPages

  constructor(host: HostI386, config: GuestConfig) {
    this.host = host
    const pages = host.createVcpuPages()
    this.pages = pages
    this.guest = new Guest(host, config, pages)
    this.vcpu = new VirtualCpu(this.guest, host, pages)
  }

  initialize({ entry, bootParams }: GuestSetup): void {
    const { registers } = this.vcpu
    for (let i = 0; i < GENERAL_REGISTERS; i++) registers.setGpr(i, 0)
    registers.setGpr(RSI, bootParams)
    registers.eip = entry
    registers.eflags = sanitizedFlags(0)
    registers.cs = GUEST_KERNEL_CS
    registers.ss = GUEST_KERNEL_DS
    registers.set(R.ds.offset, GUEST_KERNEL_DS)
    registers.set(R.es.offset, GUEST_KERNEL_DS)
    registers.set(R.fs.offset, 0)
    registers.set(R.gs.offset, 0)
  }

  read(limit: number): Pending {
    const { vcpu, host } = this
    const { kernel } = host
    if (vcpu.pending?.kind === "io") vcpu.pending = undefined
    if (vcpu.pending !== undefined) return vcpu.pending
    if (!vcpu.task.runnable && (!vcpu.halted || vcpu.pendingInterrupts !== 0)) kernel.wake(vcpu.task)
    switch (kernel.drive(limit)) {
      case "asked":
        return vcpu.pending ?? { kind: "slice" }
      case "idle":
        return { kind: "idle", until: kernel.clock.nextEvent(kernel.now) }
      case "slice":
        return { kind: "slice" }
    }
  }

  irq(irq: number): void {
    this.vcpu.interrupt(irq)
    // The guest may be in the middle of a long stretch: it is interrupted, so that `prepare` looks at what waits.
    if (this.vcpu.pending === undefined) this.host.kernel.clock.kick()
  }

  /** Nothing to do: i386 guests announce what has changed in their tables, whoever changed it. */
  written(): void {}

  registerLo(index: number): number {
    return this.vcpu.registers.gpr(index)
  }

  registerHi(): number {
    return 0
  }

  setRegister(index: number, lo: number): void {
    this.vcpu.registers.setGpr(index, lo)
  }

  advance(length: number): void {
    this.vcpu.advance(length)
  }

  trap(vector: number, error: number): void {
    this.vcpu.injectTrap(vector, error)
  }

  kill(cause: string): void {
    this.vcpu.pending = { kind: "killed", death: this.vcpu.death(cause) }
  }

  close(): void {
    const { host, vcpu } = this
    vcpu.pending ??= { kind: "slice" }
    host.kernel.timers.cancel(vcpu.clockEvent)
    host.kernel.switchAwayFrom(vcpu.task)
    this.guest.shadow.destroy()
    host.releaseVcpu(this.pages, vcpu.task)
  }
}
