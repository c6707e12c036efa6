import type { Ram } from "../machine/ram.ts"
import { GDT_ENTRIES, GDT_LGUEST_CS, GDT_LGUEST_DS, GDT_TSS } from "../paravirt_ops/lguest.ts"
import {
  descriptorHi,
  descriptorLo,
  flatCode,
  flatData,
  GATE_INTERRUPT,
  gateHi,
  gateLo,
  smallData,
  tssAvailable,
  tssBusy,
} from "./descriptors.ts"
import type { GuestIdt } from "./idt.ts"
import * as L from "./layout.ts"
import { type GuestGdt, isHostsEntry } from "./segments.ts"

/*
 * GDT, IDT and TSS of one processor: the pair of each that the host runs on, and the pair that it runs on while a guest
 * does, in the second of its two pages.
 */

export const GDT_BYTES = GDT_ENTRIES * 8
export const IDT_BYTES = L.IDT_ENTRIES * 8
const FLAT_LIMIT = 0xfffff

const P = L.PAGES.fields
/** Offsets in the second page, of which the layout counts from the first. */
const inState = (offset: number): number => offset - 4096

const writeDescriptor = (ram: Ram, gdt: number, index: number, base: number, limit: number, attributes: number): void =>
  ram.write64(gdt + 8 * index, descriptorLo(base, limit), descriptorHi(base, limit, attributes))

const writeFlat = (ram: Ram, gdt: number, selector: number, attributes: number): void =>
  writeDescriptor(ram, gdt, selector >>> 3, 0, FLAT_LIMIT, attributes)

/** The host's GDT at `gdt`, with a TSS in use and a processor's own data at the virtual addresses given. */
export const writeHostGdt = (ram: Ram, gdt: number, tss: number, percpu: number): void => {
  writeFlat(ram, gdt, L.KERNEL_CS, flatCode(0))
  writeFlat(ram, gdt, L.KERNEL_DS, flatData(0))
  writeFlat(ram, gdt, L.USER_CS, flatCode(3))
  writeFlat(ram, gdt, L.USER_DS, flatData(3))
  writeFlat(ram, gdt, L.LGUEST_CS, flatCode(0))
  writeFlat(ram, gdt, L.LGUEST_DS, flatData(0))
  writeDescriptor(ram, gdt, L.TSS_SELECTOR >>> 3, tss, L.TSS.size - 1, tssBusy)
  writeDescriptor(ram, gdt, L.PERCPU_SELECTOR >>> 3, percpu, L.PERCPU.size - 1, smallData)
}

/** The host's IDT at `idt`: a stub of 16 bytes for each vector, from `vectors` on. */
export const writeHostIdt = (ram: Ram, idt: number, vectors: number, userVectors: ReadonlyArray<number>): void => {
  for (let vector = 0; vector < L.IDT_ENTRIES; vector++) {
    const handler = vectors + 16 * vector
    const dpl = userVectors.includes(vector) ? 3 : 0
    ram.write64(idt + 8 * vector, gateLo(L.KERNEL_CS, handler), gateHi(handler, dpl, GATE_INTERRUPT))
  }
}

/**
 * What never changes in a processor's second page (physical address `state`): where both worlds' tables are, the
 * Switcher's descriptors, the TSS's way into ring 0. `pages` is the virtual address of the two pages.
 */
export const writeState = (ram: Ram, state: number, pages: number, hostGdt: number, hostIdt: number): void => {
  const table = (desc: number, base: number, bytes: number, address: number): void => {
    ram.write16(state + inState(desc), bytes - 1)
    ram.write32(state + inState(base), address)
  }
  table(P.hostGdtDesc.offset, P.hostGdtBase.offset, GDT_BYTES, hostGdt)
  table(P.hostIdtDesc.offset, P.hostIdtBase.offset, IDT_BYTES, hostIdt)
  table(P.guestGdtDesc.offset, P.guestGdtBase.offset, GDT_BYTES, pages + P.guestGdt.offset)
  table(P.guestIdtDesc.offset, P.guestIdtBase.offset, IDT_BYTES, pages + P.guestIdt.offset)
  const gdt = state + inState(P.guestGdt.offset)
  writeDescriptor(ram, gdt, GDT_LGUEST_CS, 0, FLAT_LIMIT, flatCode(0))
  writeDescriptor(ram, gdt, GDT_LGUEST_DS, 0, FLAT_LIMIT, flatData(0))
  writeDescriptor(ram, gdt, GDT_TSS, pages + P.guestTss.offset, L.TSS.size - 1, tssAvailable)
  const tss = state + inState(P.guestTss.offset)
  ram.write32(tss + L.TSS.fields.esp0.offset, pages + P.regs.offset + L.REGS.size)
  ram.write16(tss + L.TSS.fields.ss0.offset, L.LGUEST_DS)
  ram.write16(tss + L.TSS.fields.ioMapBase.offset, L.TSS.size)
}

/** The guest's part of a processor's second page: copies of the tables of whichever guest ran there last. */
export class GuestTables {
  private readonly ram: Ram
  private readonly state: number
  private last: GuestGdt | undefined

  /** `state`: physical address of the second page. */
  constructor(ram: Ram, state: number) {
    this.ram = ram
    this.state = state
  }

  /** Copies what has changed of a guest's tables, all if another guest ran here, and its kernel's stack for direct traps. */
  load(gdt: GuestGdt, idt: GuestIdt, ss: number, esp: number): void {
    if (this.last !== gdt) {
      gdt.changes.addAll()
      idt.changes.addAll()
      this.last = gdt
    }
    this.copyGdt(gdt)
    this.copyIdt(idt)
    const tss = this.state + inState(P.guestTss.offset)
    this.ram.write32(tss + L.TSS.fields.esp1.offset, esp)
    this.ram.write16(tss + L.TSS.fields.ss1.offset, ss)
  }

  /** Whether what lies there is the copy of a guest's tables. */
  copied(gdt: GuestGdt): boolean {
    return this.last === gdt
  }

  /** What lies there, in a memory that has been put back, is the copy of a guest's tables or (undefined) of nobody's. */
  assume(gdt: GuestGdt | undefined): void {
    this.last = gdt
  }

  /** The guest is gone. */
  forget(): void {
    this.last = undefined
  }

  private copyGdt({ changes, lo, hi }: GuestGdt): void {
    const to = this.state + inState(P.guestGdt.offset)
    for (let i = changes.first; i < changes.end; i++) if (!isHostsEntry(i)) this.ram.write64(to + 8 * i, lo[i]!, hi[i]!)
    changes.clear()
  }

  /** Direct gates, and the Switcher's stubs for all other vectors. */
  private copyIdt(idt: GuestIdt): void {
    const { changes } = idt
    const to = this.state + inState(P.guestIdt.offset)
    for (let vector = changes.first; vector < changes.end; vector++)
      this.ram.write64(to + 8 * vector, idt.entryLo(vector), idt.entryHi(vector))
    changes.clear()
  }
}
