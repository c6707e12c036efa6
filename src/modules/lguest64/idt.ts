import type { SharedHeap } from "../../machine/shared.ts"
import { FIRST_EXTERNAL_VECTOR, LGUEST_IRQS } from "../../paravirt_ops/lguest64.ts"

/*
 * A guest's interrupt descriptors, which the processor never sees: only the module reads them, when it reflects an event.
 */
const PRESENT = 1
const TRAP = 2
const USER = 4

/** LOAD_IDT_ENTRY's flags: bits 0..1 the DPL, bit 8 a trap gate. */
const FLAG_DPL = 3
const FLAG_TRAP_GATE = 0x100

export class GuestIdt {
  private readonly handlerLo: Uint32Array
  private readonly handlerHi: Uint32Array
  private readonly bits: Uint8Array

  constructor(heap: SharedHeap) {
    this.handlerLo = heap.u32(256)
    this.handlerHi = heap.u32(256)
    this.bits = heap.u8(256)
  }

  /** Vectors that a guest may have handlers for: no NMI, double fault or machine check, which are the host's. */
  static allows(vector: number): boolean {
    if (vector === 2 || vector === 8 || vector === 18) return false
    return vector < FIRST_EXTERNAL_VECTOR + LGUEST_IRQS || vector === 128
  }

  load(vector: number, lo: number, hi: number, flags: number): void {
    this.handlerLo[vector] = lo
    this.handlerHi[vector] = hi
    this.bits[vector] =
      PRESENT | ((flags & FLAG_TRAP_GATE) !== 0 ? TRAP : 0) | ((flags & FLAG_DPL) === FLAG_DPL ? USER : 0)
  }

  present(vector: number): boolean {
    return this.bits[vector] !== 0
  }

  isTrap(vector: number): boolean {
    return (this.bits[vector]! & TRAP) !== 0
  }

  /** Whether INT `vector` is allowed to the guest's processes. */
  isUser(vector: number): boolean {
    return (this.bits[vector]! & USER) !== 0
  }

  lo(vector: number): number {
    return this.handlerLo[vector]!
  }

  hi(vector: number): number {
    return this.handlerHi[vector]!
  }
}
