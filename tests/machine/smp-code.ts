import type { Ram } from "../../src/machine/ram.ts"
import { dword } from "./flat.ts"

/*
 * A small operating system for several processors, in 32-bit machine code: tables, the way from a start-up IPI to flat
 * protected mode, the local APIC's registers.
 */

export const GDT = 0x1000
export const CODE_SELECTOR = 0x10
export const DATA_SELECTOR = 0x18
const GDTR_IMAGE = 0x500
const IDTR_IMAGE = 0x510
export const IDT = 0x600000
/** Where a start-up IPI leads: page 8. */
export const START_PAGE = 8
/** Stacks grow down from here, one page for each processor. */
const STACKS = 0x610000

export const APIC = 0xfee00000
export const APIC_ID = APIC + 0x20
export const TPR = APIC + 0x80
export const EOI = APIC + 0xb0
export const SVR = APIC + 0xf0
export const ICR_LOW = APIC + 0x300
export const ICR_HIGH = APIC + 0x310

export const CLI = 0xfa
export const STI = 0xfb
export const HLT = 0xf4
export const PAUSE = [0xf3, 0x90]
/** mov dword [address], value */
export const put = (address: number, value: number) => [0xc7, 0x05, ...dword(address), ...dword(value)]
/** mov eax, [address]; mov [address], eax */
export const loadEax = (address: number) => [0xa1, ...dword(address)]
export const storeEax = (address: number) => [0xa3, ...dword(address)]
/** lock inc dword [address] */
export const lockInc = (address: number) => [0xf0, 0xff, 0x05, ...dword(address)]
/** Looks at [address] until it is `value` (at most 127). */
export const waitFor = (address: number, value: number) => [0x83, 0x3d, ...dword(address), value, 0x75, 0xf7]
export const lidt = [0x0f, 0x01, 0x1d, ...dword(IDTR_IMAGE)]

/** Descriptors, gates for `handlers` by vector, and the code that other processors start with and that ends at `entry`. */
export const layTables = (ram: Ram, handlers: ReadonlyMap<number, number>, entry: number): void => {
  ram.writeBig(GDT + CODE_SELECTOR, 0x00cf9b000000ffffn)
  ram.writeBig(GDT + DATA_SELECTOR, 0x00cf93000000ffffn)
  const table = (at: number, limit: number, base: number) => {
    ram.write16(at, limit)
    ram.write32(at + 2, base)
  }
  table(GDTR_IMAGE, DATA_SELECTOR + 7, GDT)
  table(IDTR_IMAGE, 0x7ff, IDT)
  for (const [vector, at] of handlers) {
    ram.write32(IDT + 8 * vector, (CODE_SELECTOR << 16) | (at & 0xffff))
    ram.write32(IDT + 8 * vector + 4, (at & 0xffff0000) | 0x8e00)
  }
  const flat = (START_PAGE << 12) + 0x100
  ram.copyIn(
    START_PAGE << 12,
    Uint8Array.from([
      ...[CLI, 0x31, 0xc0, 0x8e, 0xd8], // xor ax, ax; mov ds, ax
      ...[0x66, 0x0f, 0x01, 0x16, GDTR_IMAGE & 255, GDTR_IMAGE >> 8], // lgdt
      ...[0x0f, 0x20, 0xc0, 0x66, 0x83, 0xc8, 0x01, 0x0f, 0x22, 0xc0], // cr0 |= PE
      ...[0x66, 0xea, ...dword(flat), CODE_SELECTOR, 0], // jmp far
    ]),
  )
  ram.copyIn(
    flat,
    Uint8Array.from([
      ...[0x66, 0xb8, DATA_SELECTOR, 0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0], // ds, es, ss
      ...loadEax(APIC_ID),
      ...[0xc1, 0xe8, 24, 0x89, 0xc3], // shr eax, 24; mov ebx, eax: the processor's number
      ...[0x40, 0xc1, 0xe0, 12, 0x05, ...dword(STACKS), 0x89, 0xc4], // esp = STACKS + (number + 1) * 4096
      ...lidt,
      ...put(SVR, 0x1ff),
      ...[0xb8, ...dword(entry), 0xff, 0xe0], // jmp entry
    ]),
  )
}

/** What the first processor does to bring up all others: INIT, and the start-up IPI twice, as the manual wants. */
export const bringUp = [
  ...[0xbc, ...dword(STACKS + 4096)], // mov esp
  ...lidt,
  ...put(SVR, 0x1ff),
  ...put(ICR_LOW, 0xc4500),
  ...put(ICR_LOW, 0xc4600 | START_PAGE),
  ...put(ICR_LOW, 0xc4600 | START_PAGE),
]
