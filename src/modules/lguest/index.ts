import type { GuestSetup } from "../../host/devLguest.ts"
import type { HostI386, VcpuPages } from "../../i386/host.ts"
import { REGS } from "../../i386/layout.ts"
import type { GuestInspection } from "../../machine/inspection.ts"
import { RSI } from "../../machine/processor.ts"
import { recordOf, type State, stateOf } from "../../machine/snapshot.ts"
import { GUEST_KERNEL_CS, GUEST_KERNEL_DS } from "../../paravirt_ops/lguest.ts"
import { GuestDevice } from "../device.ts"
import { Guest, type GuestConfig } from "./guest.ts"
import { inspectLguest } from "./inspect.ts"
import { sanitizedFlags } from "./interrupts.ts"
import { viewLguest } from "./view.ts"
import { VirtualCpu } from "./virtualCpu.ts"

const R = REGS.fields
const GENERAL_REGISTERS = 8

/*
 * The lguest module: i386 guests as Linux 2.6.23 to 4.13 ran them, kernel at ring 1, behind the Switcher at 0xFFC00000, and
 * in what other designs 2007 had for them. It trusts the host below it, and of a guest not one bit.
 */
export class LguestI386Device extends GuestDevice<VirtualCpu> {
  readonly guest: Guest
  private readonly host: HostI386
  private readonly pages: VcpuPages

  constructor(host: HostI386, config: GuestConfig) {
    const pages = host.createVcpuPages()
    const guest = new Guest(host, config, pages)
    super(host.kernel, [new VirtualCpu(guest, host, pages)])
    this.host = host
    this.pages = pages
    this.guest = guest
  }

  override initialize({ entry, bootParams }: GuestSetup): void {
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

  /** Nothing to do: i386 guests announce what has changed in their tables, whoever changed it. */
  override written(): void {}

  override registerLo(index: number): number {
    return this.vcpu.registers.gpr(index)
  }

  override registerHi(): number {
    return 0
  }

  override setRegister(index: number, lo: number): void {
    this.vcpu.registers.setGpr(index, lo)
  }

  /** The guest for a debugger. */
  inspect(): GuestInspection {
    return inspectLguest(this.guest, this.vcpu)
  }

  /** The guest for the monitor. */
  view() {
    return viewLguest(this.host, this.guest, this.vcpu, this.pages)
  }

  override save(): State {
    return {
      device: super.save(),
      guest: this.guest.save(),
      vcpu: this.vcpu.save(),
      copied: this.host.guestTables.copied(this.guest.gdt),
    }
  }

  override restore(state: State): void {
    const { device, guest, vcpu, copied } = recordOf(state, "the guest")
    super.restore(stateOf(device, "device"))
    this.guest.restore(stateOf(guest, "guest"))
    this.vcpu.restore(stateOf(vcpu, "vcpu"))
    this.host.guestTables.assume(copied === true ? this.guest.gdt : undefined)
  }

  protected override release(): void {
    this.guest.release()
    this.host.releaseVcpu(this.pages, this.vcpu.task)
  }
}
