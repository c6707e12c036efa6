import {
  CPU_AREA,
  CPU_STRIDE,
  HEADER,
  HEADER_RAM_BASE,
  TLB_ADDEND,
  TLB_AREA,
  TLB_ENTRIES,
  TLB_ENTRY_SIZE,
  TLB_F_EXECUTE,
  TLB_F_GLOBAL,
  TLB_F_LARGE,
  TLB_F_WRITE,
  TLB_FLAGS,
  TLB_GENERATION,
  TLB_GENERATION_MASK,
  TLB_GLOBAL_GENERATION,
  TLB_GLOBAL_SHIFT,
  TLB_TAG_READ,
} from "./core/state.ts"
import type { Machine } from "./machine.ts"

/*
 * What a processor's TLB (core/tlb.ts) holds, for people. Ask between two runs of that processor.
 */

export interface TlbEntry {
  /** Which half: entries for accesses with supervisor rights, and for those with user rights. */
  readonly half: "supervisor" | "user"
  /** Linear address of a 4 KiB page, canonical, and where it leads in the machine's physical memory. */
  readonly linear: bigint
  readonly physical: number
  /** Writing is allowed and the page is dirty: a first write walks the tables again. */
  readonly write: boolean
  readonly execute: boolean
  /** Outlives a change of CR3. */
  readonly global: boolean
  /** A part of a page larger than 4 KiB. */
  readonly large: boolean
}

/** The entries that the processor would use, by half and address. */
export const tlbEntries = (machine: Machine, cpu: number): ReadonlyArray<TlbEntry> => {
  const area = CPU_AREA + cpu * CPU_STRIDE
  const view = new DataView(machine.memory.buffer)
  const ramBase = view.getUint32(HEADER + HEADER_RAM_BASE, true)
  const generation = view.getUint32(area + TLB_GENERATION, true)
  const globals = view.getUint32(area + TLB_GLOBAL_GENERATION, true)
  const entries: TlbEntry[] = []
  for (let i = 0; i < 2 * TLB_ENTRIES; i++) {
    const at = area + TLB_AREA + i * TLB_ENTRY_SIZE
    const tag = view.getBigUint64(at + TLB_TAG_READ, true)
    const tagged = Number(tag & BigInt(TLB_GENERATION_MASK))
    const flags = view.getUint32(at + TLB_FLAGS, true)
    const global = (flags & TLB_F_GLOBAL) !== 0
    const lives = tagged === generation || (global && flags >>> TLB_GLOBAL_SHIFT === globals)
    if (tagged === 0 || !lives) continue
    const linear = tag & ~BigInt(TLB_GENERATION_MASK)
    entries.push({
      half: i < TLB_ENTRIES ? "supervisor" : "user",
      linear,
      physical: (view.getUint32(at + TLB_ADDEND, true) + Number(linear & 0xffff_ffffn) - ramBase) >>> 0,
      write: (flags & TLB_F_WRITE) !== 0,
      execute: (flags & TLB_F_EXECUTE) !== 0,
      global,
      large: (flags & TLB_F_LARGE) !== 0,
    })
  }
  const half = ({ half: h }: TlbEntry): number => (h === "supervisor" ? 0 : 1)
  return entries.sort((a, b) => half(a) - half(b) || (a.linear < b.linear ? -1 : 1))
}
