import type { Ram } from "../../machine/ram.ts"
import { FIXED, PF_WRITE, type ShadowMmu, type VcpuMmu } from "../../mmu4/index.ts"
import { hexOf, isCanonical, vpnOf } from "../../syscall/address.ts"
import type { GuestSpace } from "../../syscall/frames.ts"
import type { GuestRegisters } from "../../vcpu/index.ts"
import { kill } from "../death.ts"

/** Bytes of the longest instruction. */
const LONGEST_INSTRUCTION = 15

/** A guest's memory as its kernel sees it on one virtual CPU: by its own page tables, with its own rights. */
export class KernelMemory implements GuestSpace {
  private readonly ram: Ram
  /** Host-physical address of guest-physical 0. */
  private readonly base: number
  private readonly shadow: ShadowMmu
  private readonly mmu: VcpuMmu

  constructor(ram: Ram, base: number, shadow: ShadowMmu, mmu: VcpuMmu) {
    this.ram = ram
    this.base = base
    this.shadow = shadow
    this.mmu = mmu
  }

  kernelPage(vpn: number, write: boolean): number {
    const result = this.mmu.translate(vpn, 0, write ? PF_WRITE : 0, false)
    return result.kind === FIXED ? this.base + result.gpa : -1
  }

  wrote(pa: number, bytes: number): void {
    this.shadow.memoryWritten(pa - this.base, bytes)
  }

  /** Host-physical address of the page that hi:lo lies in, for reading; -1 if it is not mapped. */
  private readable(lo: number, hi: number): number {
    return isCanonical(hi) ? this.kernelPage(vpnOf(lo, hi), false) : -1
  }

  /** Reads a frame, which must be mapped; no 32 bits of it may lie across two pages. */
  readFrame(lo: number, hi: number, into: Uint32Array): void {
    let page = -1
    for (let i = 0; i < into.length; i++) {
      if (i === 0 || (lo & 0xfff) === 0) page = this.readable(lo, hi)
      if (page < 0 || (lo & 0xfff) > 0xffc) kill(`a frame at ${hexOf(lo, hi)}, which is not mapped whole`)
      into[i] = this.ram.read32(page + (lo & 0xfff))
      lo = (lo + 4) >>> 0
      if (lo < 4) hi = (hi + 1) >>> 0
    }
  }

  /** Up to 15 bytes at the instruction pointer, fewer where the next page is not mapped. */
  instruction({ ripLo: lo, ripHi: hi }: GuestRegisters): Uint8Array {
    const bytes = new Uint8Array(LONGEST_INSTRUCTION)
    let page = -1
    for (let i = 0; i < bytes.length; i++) {
      if (i === 0 || (lo & 0xfff) === 0) page = this.readable(lo, hi)
      if (page < 0) return bytes.subarray(0, i)
      bytes[i] = this.ram.read8(page + (lo & 0xfff))
      lo = (lo + 1) >>> 0
      if (lo === 0) hi = (hi + 1) >>> 0
    }
    return bytes
  }
}
