import type { GuestRegisters } from "../../i386/registers.ts"
import type { Ram } from "../../machine/ram.ts"
import { kill } from "../death.ts"
import type { Guest } from "./guest.ts"

/*
 * The guest's memory as its kernel reaches it, by segments and the shadow of its page tables: where frames are pushed, and
 * where its next instruction lies. What its kernel could not reach ends the guest.
 */
export class KernelMemory {
  /** The stack pointer while a frame is pushed: offset in its segment, and the segment's base. */
  pushed = 0
  private pushBase = 0
  private readonly ram: Ram
  private readonly guest: Guest
  private readonly registers: GuestRegisters

  constructor(ram: Ram, guest: Guest, registers: GuestRegisters) {
    this.ram = ram
    this.guest = guest
    this.registers = registers
  }

  beginPush(ss: number, esp: number): void {
    this.pushBase = this.guest.gdt.base(ss)
    this.pushed = esp
  }

  /** Pushes a 32-bit word with the rights of the guest's kernel. */
  push(value: number): void {
    const { ram } = this
    this.pushed = (this.pushed - 4) >>> 0
    const gva = (this.pushBase + this.pushed) >>> 0
    const at = this.guest.shadow.kernelPage(gva, true)
    if (at < 0)
      kill(`the stack at 0x${gva.toString(16)}, on which an event has to be pushed, is not mapped for writing`)
    if ((gva & 0xfff) <= 0xffc) {
      ram.write32(at, value)
      return
    }
    // A word across two pages: nobody sane has such a stack, but it is allowed.
    for (let i = 0; i < 4; i++) {
      const byte = this.guest.shadow.kernelPage((gva + i) >>> 0, true)
      if (byte < 0) kill(`the stack at 0x${gva.toString(16)}, on which an event has to be pushed, is not mapped whole`)
      ram.write8(byte, value >>> (8 * i))
    }
  }

  /** The 32-bit word at %ss:`address`. */
  readStack(address: number): number {
    const { ram, registers: r, guest } = this
    const gva = (guest.gdt.base(r.ss) + address) >>> 0
    let value = 0
    for (let i = 0; i < 4; i++) {
      const at = guest.shadow.kernelPage((gva + i) >>> 0, false)
      if (at < 0) kill(`the stack at 0x${gva.toString(16)} is not mapped`)
      value |= ram.read8(at) << (8 * i)
    }
    return value >>> 0
  }

  /** Up to 15 bytes at the instruction pointer, fewer where the next page is not mapped. */
  instruction(): Uint8Array {
    const { ram, registers: r, guest } = this
    const start = guest.gdt.base(r.cs) + r.eip
    const bytes = new Uint8Array(15)
    for (let i = 0; i < bytes.length; i++) {
      const at = guest.shadow.kernelPage((start + i) >>> 0, false)
      if (at < 0) return bytes.subarray(0, i)
      bytes[i] = ram.read8(at)
    }
    return bytes
  }
}
