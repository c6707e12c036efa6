import type { Ram } from "../machine/ram.ts"
import { REGS, REGS_OFFSET } from "./layout.ts"

const F = REGS.fields

/** Offset of each general register, by its number in instruction encodings. */
const GPR_OFFSET = Int32Array.from([
  F.eax.offset,
  F.ecx.offset,
  F.edx.offset,
  F.ebx.offset,
  F.esp.offset,
  F.ebp.offset,
  F.esi.offset,
  F.edi.offset,
])

/** The registers of a virtual CPU that does not run, in its page at physical address `page`. */
export class GuestRegisters {
  readonly page: number
  private readonly ram: Ram
  private readonly at: number

  constructor(ram: Ram, page: number) {
    this.ram = ram
    this.page = page
    this.at = page + REGS_OFFSET
  }

  get(offset: number): number {
    return this.ram.read32(this.at + offset)
  }

  set(offset: number, value: number): void {
    this.ram.write32(this.at + offset, value)
  }

  /** A selector: the upper half of its word means nothing. */
  selector(offset: number): number {
    return this.get(offset) & 0xffff
  }

  gpr(index: number): number {
    return this.get(GPR_OFFSET[index]!)
  }

  setGpr(index: number, value: number): void {
    this.set(GPR_OFFSET[index]!, value)
  }

  get trapNumber(): number {
    return this.get(F.trapNumber.offset)
  }

  set trapNumber(value: number) {
    this.set(F.trapNumber.offset, value)
  }

  get errorCode(): number {
    return this.get(F.errorCode.offset)
  }

  get eip(): number {
    return this.get(F.eip.offset)
  }

  set eip(value: number) {
    this.set(F.eip.offset, value)
  }

  get cs(): number {
    return this.selector(F.cs.offset)
  }

  set cs(value: number) {
    this.set(F.cs.offset, value)
  }

  get eflags(): number {
    return this.get(F.eflags.offset)
  }

  set eflags(value: number) {
    this.set(F.eflags.offset, value)
  }

  get esp(): number {
    return this.get(F.esp.offset)
  }

  set esp(value: number) {
    this.set(F.esp.offset, value)
  }

  get ss(): number {
    return this.selector(F.ss.offset)
  }

  set ss(value: number) {
    this.set(F.ss.offset, value)
  }

  /** EIP, for reports. */
  eipText(): string {
    return `0x${this.eip.toString(16)}`
  }
}
