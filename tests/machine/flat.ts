import * as S from "../../src/machine/core/state.ts"
import type { Machine } from "../../src/machine/machine.ts"
import type { Processor } from "../../src/machine/processor.ts"

/** A processor brought into flat code behind the back of INIT and the start-up IPI: 32-bit, or 64-bit under page tables. */
export interface FlatStart {
  readonly index: number
  /** Where it begins, and the top of its stack. */
  readonly code: number
  readonly stack: number
  /** 64-bit code, under these page tables. */
  readonly cr3?: number
}

export const startFlat = (machine: Machine, { index, code, stack, cr3 }: FlatStart): Processor => {
  const cpu = machine.processor(index)
  cpu.powerOn()
  cpu.setWord(S.WAIT_SIPI, 0)
  cpu.setWord(S.ATTENTION, 0)
  cpu.setLong(S.CR0, 0x11n)
  cpu.setSegment(S.SEG_CS, 0x10, 0n, 0xffffffff, 0xc09b00)
  for (const segment of [S.SEG_ES, S.SEG_SS, S.SEG_DS]) cpu.setSegment(segment, 0x18, 0n, 0xffffffff, 0xc09300)
  if (cr3 !== undefined) {
    cpu.setLong(S.CR3, BigInt(cr3))
    cpu.setLong(S.CR4, 0x20n)
    cpu.setLong(S.MSR_EFER, 0x500n)
    cpu.setLong(S.CR0, 0x80000011n)
    cpu.setSegment(S.SEG_CS, 0x10, 0n, 0xffffffff, 0xa09b00)
    cpu.flushTlb(true)
  }
  cpu.rip = BigInt(code)
  cpu.setGpr(4, BigInt(stack))
  cpu.refresh()
  return cpu
}

/** Machine code's little-endian operands. */
export const dword = (n: number) => [n & 255, (n >>> 8) & 255, (n >>> 16) & 255, (n >>> 24) & 255]
