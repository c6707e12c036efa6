import { REGS } from "../../i386/layout.ts"
import {
  gprIndex,
  type GuestInspection,
  isGpr,
  readProcessor,
  type RegisterName,
  type VcpuInspection,
  writeProcessor,
} from "../../machine/inspection.ts"
import type { Processor } from "../../machine/processor.ts"
import { LGUEST_DATA } from "../../paravirt_ops/lguest.ts"
import type { Guest } from "./guest.ts"
import { sanitizedFlags } from "./interrupts.ts"
import type { VirtualCpu } from "./virtualCpu.ts"

/*
 * An lguest guest for a debugger. While the processor is in the guest its registers are there; else the registers' page has
 * them, complete, since whatever takes the processor out of the guest leaves by the Switcher.
 */

const R = REGS.fields
const D = LGUEST_DATA.fields
const FLAG_IF = 0x200n
/** PE, MP, ET, NE, WP and PG. */
const CR0 = 0x8001_0033n
const CR0_TS = 8n
const CR4_PAE = 0x20n
const SAVED = { rip: R.eip, cs: R.cs, ss: R.ss, ds: R.ds, es: R.es, fs: R.fs, gs: R.gs } as const

const isSaved = (register: RegisterName): register is keyof typeof SAVED => register in SAVED
const word = (value: bigint): number => Number(BigInt.asUintN(32, value))

class VcpuInspection32 implements VcpuInspection {
  private readonly vcpu: VirtualCpu
  private readonly guest: Guest

  constructor(vcpu: VirtualCpu, guest: Guest) {
    this.vcpu = vcpu
    this.guest = guest
  }

  running(): Processor | undefined {
    const { kernel } = this.vcpu.host
    return kernel.processorOf(this.vcpu.task) !== undefined && kernel.processor.cpl !== 0 ? kernel.processor : undefined
  }

  read(register: RegisterName): bigint {
    const { vcpu, guest } = this
    switch (register) {
      case "eflags":
        return this.flags()
      case "cr0":
        return vcpu.taskSwitched ? CR0 | CR0_TS : CR0
      case "cr2":
        return vcpu.initialized ? BigInt(vcpu.shared(D.cr2.offset)) : 0n
      case "cr3":
        return BigInt(Math.max(guest.shadow.directory, 0))
      case "cr4":
        return vcpu.host.format.entryBytes === 8 ? CR4_PAE : 0n
      case "k_gs_base":
      case "efer":
        return 0n
    }
    const cpu = this.running()
    if (cpu !== undefined) return readProcessor(cpu, register)
    if (isGpr(register)) return gprIndex(register) < 8 ? BigInt(vcpu.registers.gpr(gprIndex(register))) : 0n
    if (!isSaved(register)) return 0n
    const value = vcpu.registers.get(SAVED[register].offset)
    return BigInt(register === "rip" ? value : value & 0xffff)
  }

  /** IF is the guest's own: the processor's is always set there. */
  private flags(): bigint {
    const { vcpu } = this
    const own = this.running()?.flags ?? BigInt(vcpu.registers.eflags)
    return (own & ~FLAG_IF) | (vcpu.initialized && vcpu.flag.isOn(vcpu) ? FLAG_IF : 0n)
  }

  write(register: RegisterName, value: bigint): boolean {
    const { vcpu } = this
    const { registers } = vcpu
    const cpu = this.running()
    if (register === "eflags") {
      const flags = sanitizedFlags(word(value))
      if (cpu !== undefined) cpu.flags = BigInt(flags)
      else registers.eflags = flags
      if (vcpu.initialized) vcpu.flag.set(vcpu, (value & FLAG_IF) !== 0n)
      return true
    }
    if (isGpr(register)) {
      if (gprIndex(register) >= 8) return false
      if (cpu !== undefined) cpu.setGpr(gprIndex(register), BigInt.asUintN(32, value))
      else registers.setGpr(gprIndex(register), word(value))
      return true
    }
    if (register !== "rip") return false
    if (cpu !== undefined) return writeProcessor(cpu, register, BigInt.asUintN(32, value))
    registers.eip = word(value)
    // Sent elsewhere, it does not wait for an interrupt any more.
    vcpu.halted = false
    if (vcpu.pending === undefined) vcpu.host.kernel.wake(vcpu.task)
    return true
  }

  translate(address: bigint): number {
    return address > 0xffff_ffffn ? -1 : this.guest.shadow.lookUp(word(address))
  }
}

export const inspectLguest = (guest: Guest, vcpu: VirtualCpu): GuestInspection => ({
  bits: 32,
  vcpus: [new VcpuInspection32(vcpu, guest)],
  processors: vcpu.host.kernel.machine.processors,
  ring: 1,
  base: guest.base,
  bytes: guest.bytes,
  // What is shadowed may have been a page table. Nobody will announce the change, so nothing that is shadowed is kept.
  written: () => guest.shadow.flush(true),
})
