import type { GuestSetup, LguestDevice, Pending } from "../../host/devLguest.ts"
import type { HostX86_64, VcpuPages } from "../../host/x86_64/host.ts"
import { RSI } from "../../machine/processor.ts"
import { VCPU_STATE } from "../../vcpu/index.ts"
import { Guest64, type Guest64Config } from "./guest.ts"
import { sanitizedFlags } from "./interrupts.ts"
import { VirtualCpu64 } from "./virtualCpu.ts"

/*
 * The lguest64 module: the x86_64 guests of 2007's proposal, with Rusty's read-only switcher page. It gives the host two
 * functions for the VCPU descriptor (in the switcher's text) and two for the gates; everything else here is what those
 * four lead to. It trusts the host below it, and of a guest not one bit.
 */
export class Lguest64Device implements LguestDevice {
  readonly guest: Guest64
  private readonly host: HostX86_64
  private readonly vcpu: VirtualCpu64
  private readonly pages: VcpuPages

  constructor(host: HostX86_64, config: Guest64Config) {
    this.host = host
    const pages = host.createVcpuPages(0, {
      systemCall: host.symbol("lguest64_system_call"),
      trap: host.symbol("lguest64_trap"),
    })
    this.pages = pages
    this.guest = new Guest64(host, config, pages)
    this.vcpu = new VirtualCpu64(this.guest, host, pages)
  }

  initialize({ entry, bootParams }: GuestSetup): void {
    const { vcpu } = this
    for (let i = 0; i < 16; i++) vcpu.registers.setGpr(i, 0, 0)
    vcpu.registers.setGpr(RSI, bootParams, 0)
    vcpu.registers.setRip(entry, 0)
    vcpu.registers.setFlags(sanitizedFlags(0))
    vcpu.registers.set(VCPU_STATE.fields.fsBase.offset, 0, 0)
    vcpu.setView(false)
    this.guest.mmu.linear()
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

  written(gpa: number, bytes: number): void {
    this.guest.shadow.memoryWritten(gpa, bytes)
  }

  registerLo(index: number): number {
    return this.vcpu.registers.gprLo(index)
  }

  registerHi(index: number): number {
    return this.vcpu.registers.gprHi(index)
  }

  setRegister(index: number, lo: number, hi: number): void {
    this.vcpu.registers.setGpr(index, lo, hi)
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
