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
import { LGUEST_SHARED } from "../../paravirt_ops/lguest64.ts"
import { vpnOf } from "../../syscall/address.ts"
import type { Guest64 } from "./guest.ts"
import { FLAG_IF } from "./flags.ts"
import { sanitizedFlags } from "./interrupts.ts"
import type { VirtualCpu64 } from "./virtualCpu.ts"

/*
 * An lguest64 guest for a debugger. While the processor is in the guest its registers are there; else the state page has
 * them, complete, since whatever takes the processor out of the guest leaves by the entry code.
 */

const SHARED = LGUEST_SHARED.fields

/** What the guest's kernel can rely on: PE, MP, ET, NE, WP, AM and PG; PAE and PGE; SCE, LME, LMA and NXE. */
const CR0 = 0x8005_0033n
const CR0_TS = 8n
const CR4 = 0xa0n
const EFER = 0xd01n
const PAGE_PRESENT = 1
const PAGE_LARGE = 0x80
/** Address bits of an entry above bit 31. */
const ADDRESS_HI = 0xfffff
const LEAF_LEVEL = 1
const TOP_LEVEL = 4

const big = (lo: number, hi: number): bigint => (BigInt(hi) << 32n) | BigInt(lo)
const lo = (value: bigint): number => Number(BigInt.asUintN(32, value))
const hi = (value: bigint): number => Number(BigInt.asUintN(32, value >> 32n))

class Vcpu64Inspection implements VcpuInspection {
  private readonly vcpu: VirtualCpu64
  private readonly guest: Guest64
  private readonly index: number

  constructor(vcpu: VirtualCpu64, guest: Guest64, index: number) {
    this.vcpu = vcpu
    this.guest = guest
    this.index = index
  }

  running(): Processor | undefined {
    const processor = this.vcpu.host.kernel.processorOf(this.vcpu.task)
    return processor !== undefined && processor.cpl !== 0 ? processor : undefined
  }

  read(register: RegisterName): bigint {
    const { vcpu } = this
    const { userView, selectors } = vcpu
    switch (register) {
      // Only the host's record says which of the two the guest is in.
      case "cs":
        return BigInt(userView ? selectors.userCs : selectors.kernelCs)
      case "ss":
        return BigInt(userView ? selectors.userDs : selectors.kernelDs)
      case "eflags":
        return this.flags()
      case "cr0":
        return vcpu.words.taskSwitched ? CR0 | CR0_TS : CR0
      case "cr2":
        return this.shared(SHARED.cr2.offset)
      case "cr3":
        return BigInt(this.root())
      case "cr4":
        return CR4
      case "efer":
        return EFER
      case "k_gs_base":
        return 0n
    }
    const cpu = this.running()
    return cpu !== undefined ? readProcessor(cpu, register) : this.saved(register)
  }

  private saved(register: RegisterName): bigint {
    const { registers } = this.vcpu
    if (isGpr(register)) return big(registers.gprLo(gprIndex(register)), registers.gprHi(gprIndex(register)))
    if (register === "rip") return big(registers.ripLo, registers.ripHi)
    return register === "fs_base" ? registers.fsBase : register === "gs_base" ? registers.gsBase : 0n
  }

  /** IF is the guest's own word for it: the processor's is always set there. */
  private flags(): bigint {
    const { vcpu } = this
    const cpu = this.running()
    // What the processor keeps of the guest's flag (VIF) the host learns as if the guest had just been left.
    if (cpu !== undefined) vcpu.flag.left(vcpu, lo(cpu.flags))
    const own = cpu?.flags ?? BigInt(vcpu.registers.flags)
    return (own & ~BigInt(FLAG_IF)) | BigInt(vcpu.flag.isOn(vcpu) ? FLAG_IF : 0)
  }

  write(register: RegisterName, value: bigint): boolean {
    const { vcpu } = this
    const { registers } = vcpu
    const cpu = this.running()
    if (register === "eflags") {
      const flags = sanitizedFlags(lo(value))
      vcpu.flag.set(vcpu, (lo(value) & FLAG_IF) !== 0)
      if (cpu !== undefined) cpu.flags = BigInt(flags | vcpu.flag.bits(vcpu))
      else registers.setFlags(flags)
      return true
    }
    if (register === "k_gs_base") return false
    if (cpu !== undefined) return writeProcessor(cpu, register, value)
    if (isGpr(register)) registers.setGpr(gprIndex(register), lo(value), hi(value))
    else if (register === "rip") {
      registers.setRip(lo(value), hi(value))
      // Sent elsewhere, it does not wait for an interrupt any more.
      vcpu.words.halted = false
      if (vcpu.pending === undefined) vcpu.host.kernel.wake(vcpu.task)
    } else if (register === "fs_base") registers.setFsBase(lo(value), hi(value))
    else if (register === "gs_base") registers.setGsBase(lo(value), hi(value))
    else return false
    return true
  }

  private shared(offset: number): bigint {
    const { vcpu } = this
    return vcpu.sharedPa < 0 ? 0n : big(vcpu.shared(offset), vcpu.shared(offset + 4))
  }

  private walk(vpn: number) {
    return this.guest.shadow.describe(this.index, vpn, this.vcpu.userView).guest
  }

  /** Guest-physical address of the guest's PML4; 0 before the first. */
  private root(): number {
    const top = this.walk(0)[0]
    return top === undefined ? 0 : top.address - (top.address % 4096)
  }

  translate(address: bigint): number {
    if (BigInt.asIntN(48, address) !== BigInt.asIntN(64, address)) return -1
    const vpn = vpnOf(lo(address), hi(address))
    const offset = lo(address) & 0xfff
    const entries = this.walk(vpn)
    // Before the first root, the linear view: 4 GiB at their own addresses.
    if (entries.length === 0) return vpn < 2 ** 20 ? vpn * 4096 + offset : -1
    const last = entries.at(-1)!
    if ((last.lo & PAGE_PRESENT) === 0) return -1
    const isLeaf = last.level === LEAF_LEVEL || (last.level < TOP_LEVEL && (last.lo & PAGE_LARGE) !== 0)
    if (!isLeaf) return -1
    const pages = 512 ** (last.level - 1)
    const gfn = (last.hi & ADDRESS_HI) * 2 ** 20 + (last.lo >>> 12)
    return (gfn - (gfn % pages) + (vpn % pages)) * 4096 + offset
  }
}

export const inspectLguest64 = (guest: Guest64, vcpus: ReadonlyArray<VirtualCpu64>): GuestInspection => ({
  bits: 64,
  vcpus: vcpus.map((vcpu, index) => new Vcpu64Inspection(vcpu, guest, index)),
  processors: vcpus[0]!.host.kernel.machine.processors,
  ring: 1,
  base: guest.base,
  bytes: guest.bytes,
  written: (gpa, bytes) => guest.shadow.memoryWritten(gpa, bytes),
})
