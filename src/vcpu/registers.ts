import type { Ram } from "../machine/ram.ts"
import { VCPU, VCPU_STATE } from "./descriptor.ts"

const F = VCPU_STATE.fields
const D = VCPU.fields

/** Offset in the state page of each general register, by its number in instruction encodings. */
const GPR_OFFSET = Int32Array.from([
  F.rax.offset,
  F.rcx.offset,
  F.rdx.offset,
  F.rbx.offset,
  F.rsp.offset,
  F.rbp.offset,
  F.rsi.offset,
  F.rdi.offset,
  F.r8.offset,
  F.r9.offset,
  F.r10.offset,
  F.r11.offset,
  F.r12.offset,
  F.r13.offset,
  F.r14.offset,
  F.regs.offset,
])

/**
 * The registers of a virtual CPU that does not run, in its state page and its descriptor at these physical addresses; 64-bit
 * values are read and written as two halves.
 */
export class GuestRegisters {
  private readonly ram: Ram
  readonly page: number
  private readonly descriptor: number

  constructor(ram: Ram, page: number, descriptor: number) {
    this.ram = ram
    this.page = page
    this.descriptor = descriptor
  }

  /** Physical address of the root of the next entry. */
  setRoot(pa: number): void {
    this.ram.write64(this.descriptor + D.cr3.offset, pa, 0)
  }

  /** The next entry loads CR3 even if it is the same. */
  askFlush(): void {
    this.ram.write32(this.page + F.flush.offset, 1)
  }

  setFsBase(lo: number, hi: number): void {
    this.ram.write64(this.descriptor + D.fsBase.offset, lo, hi)
  }

  setGsBase(lo: number, hi: number): void {
    this.ram.write64(this.descriptor + D.gsBase.offset, lo, hi)
  }

  get fsBase(): bigint {
    return this.ram.readBig(this.descriptor + D.fsBase.offset)
  }

  get gsBase(): bigint {
    return this.ram.readBig(this.descriptor + D.gsBase.offset)
  }

  lo(offset: number): number {
    return this.ram.read32(this.page + offset)
  }

  hi(offset: number): number {
    return this.ram.read32(this.page + offset + 4)
  }

  set(offset: number, lo: number, hi: number): void {
    this.ram.write64(this.page + offset, lo, hi)
  }

  gprLo(index: number): number {
    return this.lo(GPR_OFFSET[index]!)
  }

  gprHi(index: number): number {
    return this.hi(GPR_OFFSET[index]!)
  }

  setGpr(index: number, lo: number, hi: number): void {
    this.set(GPR_OFFSET[index]!, lo, hi)
  }

  get vector(): number {
    return this.lo(F.vector.offset)
  }

  get error(): number {
    return this.lo(F.error.offset)
  }

  get ripLo(): number {
    return this.lo(F.rip.offset)
  }

  get ripHi(): number {
    return this.hi(F.rip.offset)
  }

  setRip(lo: number, hi: number): void {
    this.set(F.rip.offset, lo, hi)
  }

  get rspLo(): number {
    return this.lo(F.rsp.offset)
  }

  get rspHi(): number {
    return this.hi(F.rsp.offset)
  }

  setRsp(lo: number, hi: number): void {
    this.set(F.rsp.offset, lo, hi)
  }

  get flags(): number {
    return this.lo(F.rflags.offset)
  }

  setFlags(flags: number): void {
    this.set(F.rflags.offset, flags, 0)
  }

  /** The selectors of the next entry. */
  setSelectors(cs: number, ss: number): void {
    this.set(F.cs.offset, cs, 0)
    this.set(F.ss.offset, ss, 0)
  }

  /** RIP, for reports. */
  ripText(): string {
    return `0x${((BigInt(this.ripHi) << 32n) | BigInt(this.ripLo)).toString(16)}`
  }
}
