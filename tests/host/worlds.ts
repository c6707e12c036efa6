import { readFileSync } from "node:fs"
import { type Choices, LGUEST64 } from "../../src/design/dimensions.ts"
import { ApicClock } from "../../src/host/apicClock.ts"
import { EventLog } from "../../src/host/eventLog.ts"
import { HostX86_64 } from "../../src/host/x86_64/host.ts"
import type { HostImage } from "../../src/host/x86_64/images.ts"
import { RESCHEDULE_VECTOR, SPURIOUS_VECTOR, TIMER_VECTOR } from "../../src/host/x86_64/layout.ts"
import { PTE_P, PTE_PS } from "../../src/host/x86_64/pageTables.ts"
import type { Ram } from "../../src/machine/ram.ts"
import { hostBoard } from "../../src/modules/hosted.ts"

/* An x86_64 host without any module, and page tables for who looks at them. */

const core = new WebAssembly.Module(readFileSync(new URL("../../dist/machine/core.wasm", import.meta.url)))
const HOST_BYTES = 0x80_0000
const VECTORS = { timer: TIMER_VECTOR, reschedule: RESCHEDULE_VECTOR, spurious: SPURIOUS_VECTOR }

export const bareHost = (design: Partial<Choices> = {}, processors = 1, image?: HostImage): HostX86_64 => {
  const config = { core, guestBytes: 0, startMs: 0, processors, log: EventLog.off }
  const { machine, chipset, heap } = hostBoard(config, HOST_BYTES)
  const clocks = Array.from({ length: processors }, (_, cpu) => new ApicClock(heap, chipset, cpu, VECTORS))
  const choices = { ...LGUEST64, ...design }
  return new HostX86_64({ machine, heap, clocks, log: EventLog.off, end: HOST_BYTES, seed: 1, design: choices, image })
}

const NX = 2 ** 31

/** An entry that maps a page. */
export interface Leaf {
  readonly lo: number
  readonly noExecute: boolean
}

/** All entries below `table` that map pages, by virtual page number (bits 12..47). */
export const leaves = (ram: Ram, table: number, level = 4, base = 0): Map<number, Leaf> => {
  const found = new Map<number, Leaf>()
  for (let i = 0; i < 512; i++) {
    const lo = ram.read32(table + 8 * i)
    const vpn = base + i * 512 ** (level - 1)
    if ((lo & PTE_P) === 0) continue
    if (level === 1 || (lo & PTE_PS) !== 0)
      found.set(vpn, { lo, noExecute: (ram.read32(table + 8 * i + 4) & NX) !== 0 })
    else for (const [v, leaf] of leaves(ram, (lo & ~0xfff) >>> 0, level - 1, vpn)) found.set(v, leaf)
  }
  return found
}

/** Bits 12..47 of an address. */
export const vpn = (address: bigint): number => Number(BigInt.asUintN(48, address) >> 12n)

/** Physical address behind a virtual one, -1 where nothing is. */
export const translate = (ram: Ram, root: number, address: bigint): number => {
  let table = root
  for (let level = 4; level > 0; level--) {
    const bits = BigInt(3 + 9 * level)
    const entry = ram.read32(table + 8 * Number((address >> bits) & 0x1ffn))
    if ((entry & PTE_P) === 0) return -1
    if (level === 1 || (entry & PTE_PS) !== 0) {
      const within = BigInt.asUintN(Number(bits), address)
      return Number((BigInt(entry & ~0xfff) & 0xffffffffn & ~((1n << bits) - 1n)) | within)
    }
    table = (entry & ~0xfff) >>> 0
  }
  return -1
}
