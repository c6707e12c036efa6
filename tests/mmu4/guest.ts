import { EMULATE, FIXED } from "../../src/mmu4/index.ts"
import { World, hfnToGfn, type WorldOptions } from "./world.ts"

/*
 * A well-behaved guest for tests that tell a story: page tables made by hand, accesses by the processor.
 */

export const P = 1n
export const W = 2n
export const U = 4n
export const A = 0x20n
export const D = 0x40n
export const PS = 0x80n
export const NX = 1n << 63n

/** Where its tables are: PML4, PDPT, page directory, page table. */
export const PML4 = 1
export const PDPT = 2
export const PD = 3
export const PT = 4

/** vpn from the four indices. */
export const at = (l4: number, l3: number, l2: number, l1: number): number =>
  l4 * 2 ** 27 + l3 * 2 ** 18 + l2 * 512 + l1

export const entryOf = (gfn: number, flags: bigint): bigint => (BigInt(gfn) << 12n) | flags

export type Access = "r" | "w" | "x"

export class Guest {
  readonly world: World
  constructor(options: WorldOptions = {}) {
    this.world = new World(options)
    // The tables see each other through the first entries; the guest's kernel sees its tables at at(0, 0, 1, …).
    this.set(PML4, 0, entryOf(PDPT, P | W | U))
    this.set(PDPT, 0, entryOf(PD, P | W | U))
    this.set(PD, 0, entryOf(PT, P | W | U))
    this.set(PD, 1, entryOf(5, P | W))
    for (let i = 0; i < 16; i++) this.set(5, i, entryOf(i, P | W))
  }

  get mmu() {
    return this.world.mmu
  }
  get faults() {
    return this.world.mmu.stats.shadowFaults
  }

  set(table: number, index: number, entry: bigint): void {
    this.world.poke(table * 4096 + index * 8, entry)
  }
  get(table: number, index: number): bigint {
    return this.world.read64(table * 4096 + index * 8)!
  }

  /** The processor's access: the guest frame that it reached, or the result that the MMU gave. */
  access(
    vpn: number,
    how: Access = "r",
    user = false,
    vcpu = 0,
  ): number | { kind: number; error: number; gpa: number } {
    const cpu = this.mmu.vcpus[vcpu]!
    const hw = this.world.enter(vcpu, user)
    let hfn = hw.access(vpn, how === "w", how === "x")
    if (hfn < 0) {
      const { kind, error, gpa } = cpu.pageFault(vpn, 0, -1 - hfn, user)
      if (kind !== FIXED) return { kind, error, gpa }
      this.world.enter(vcpu, user)
      hfn = hw.access(vpn, how === "w", how === "x")
      if (hfn < 0) throw new Error("fixed, and still a fault")
    }
    const gfn = hfnToGfn.get(hfn)
    if (gfn === undefined) throw new Error(`host frame ${hfn} reached`)
    return gfn
  }

  /** A store of the guest's kernel to one of its tables, through its mapping; what it took. */
  store(table: number, index: number, entry: bigint): "free" | "emulated" {
    const got = this.access(at(0, 0, 1, table), "w")
    if (got === table) {
      this.set(table, index, entry)
      return "free"
    }
    if (typeof got === "number" || got.kind !== EMULATE)
      throw new Error(`the table is not mapped: ${JSON.stringify(got)}`)
    this.mmu.guestWrite(table * 4096 + index * 8, 8, Number(entry & 0xffffffffn), Number(entry >> 32n))
    return "emulated"
  }
}
