import type { GuestSetup } from "../../host/devLguest.ts"
import type { HostX86_64, VcpuPages } from "../../host/x86_64/host.ts"
import type { GuestInspection } from "../../machine/inspection.ts"
import { RSI } from "../../machine/processor.ts"
import { VCPU_STATE } from "../../vcpu/index.ts"
import { GuestDevice } from "../device.ts"
import { Guest64, type Guest64Config } from "./guest.ts"
import { inspectLguest64 } from "./inspect.ts"
import { sanitizedFlags } from "./interrupts.ts"
import { VirtualCpu64 } from "./virtualCpu.ts"

/*
 * The lguest64 module: the x86_64 guests of 2007's proposal, with Rusty's read-only switcher page. It gives the host two
 * functions for the VCPU descriptor (in the switcher's text) and two for the gates; everything else here is what those
 * four lead to. It trusts the host below it, and of a guest not one bit.
 */
export class Lguest64Device extends GuestDevice<VirtualCpu64> {
  readonly guest: Guest64
  private readonly host: HostX86_64
  private readonly pages: VcpuPages

  constructor(host: HostX86_64, config: Guest64Config) {
    const pages = host.createVcpuPages(0, {
      systemCall: host.symbol("lguest64_system_call"),
      trap: host.symbol("lguest64_trap"),
    })
    const guest = new Guest64(host, config, pages)
    super(host.kernel, new VirtualCpu64(guest, host, pages))
    this.host = host
    this.pages = pages
    this.guest = guest
  }

  override initialize({ entry, bootParams }: GuestSetup): void {
    const { vcpu } = this
    for (let i = 0; i < 16; i++) vcpu.registers.setGpr(i, 0, 0)
    vcpu.registers.setGpr(RSI, bootParams, 0)
    vcpu.registers.setRip(entry, 0)
    vcpu.registers.setFlags(sanitizedFlags(0))
    vcpu.registers.set(VCPU_STATE.fields.fsBase.offset, 0, 0)
    vcpu.setView(false)
    this.guest.mmu.linear()
  }

  override written(gpa: number, bytes: number): void {
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
    return inspectLguest64(this.guest, [this.vcpu])
  }

  protected override release(): void {
    this.guest.shadow.destroy()
    this.host.releaseVcpu(this.pages, this.vcpu.task)
  }
}
