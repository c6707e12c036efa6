import { FRAME_BYTES } from "../entries.ts"
import type { Description, ShadowMmuConfig, VcpuMmu } from "../interface.ts"
import { LockedMmu } from "../locked.ts"
import { describe } from "./describe.ts"
import { destroy, forgetAll, touchesTable } from "./forget.ts"
import { DATA, DirectState } from "./state.ts"
import { letGo, settle } from "./types.ts"
import { updateEntry } from "./update.ts"
import { DirectVcpu } from "./vcpu.ts"
import { findEntry } from "./walk.ts"

/*
 * M:166 The strangest of the four MMUs has no shadows at all. The processor walks the Guest's own tables, real addresses
 * and all, as Xen has it do; so the Guest may hold the pen, but not write with it. Every stroke is looked at before it is
 * made. If you can get one past the reader, you own the machine.
 *
 * Direct paging, validated. The guest's page tables hold machine frames, which is all that the guest has to know
 * (DESIGN_WORD.MACHINE_FRAMES), and are read-only to it. It asks for changes (hypercall MMU_UPDATE); where it just stores,
 * the store is made to a copy, and looked at (window.ts). The room trusts what it has validated, because it lets nobody
 * change that but itself.
 *
 * Invariants, whenever no call is in progress (tests/mmu4/direct.test.ts is named after them):
 *
 *  1. CONFINEMENT. From no root does a processor get to a frame that is not the guest's, but by the host's slots.
 *  2. TYPES. A frame is data or a page table of one level and space. What an entry of a table of level n refers to is a table
 *     of level n-1 in the same space; a PML4's entries with U lead to tables of processes, the others to the kernel's.
 *  3. EXCLUSION. What is a page table no entry allows to write to, in the guest's tables or in the linear view; nor does
 *     the host write to it in the guest's name.
 *  4. COUNTS. typeCount, references and writable are what a count from scratch finds.
 *  5. VIEWS. The user's root has exactly those of the kernel's entries that the guest has given U. A kernel at ring 3 has U
 *     in all entries below the others.
 *  6. TLB. What a processor remembers leads to a page table that still is one, and allows it to write to data alone.
 *     Rights are taken away in memory first; a flush of all processors comes before anything is concluded from it, not
 *     before the call ends: what a stale translation within its own data does is the guest's own business, as on the bare
 *     machine.
 *  7. MEANING. What the host has changed in an entry can be told from it (entry.ts), and is undone when its table is none
 *     any more.
 *
 * There are no large pages and no tables that refer to themselves. An entry for a device has P clear in the table, so that
 * a guest that reads it back sees bit 9 in its place. Accessed and dirty flags are the processor's own, and cost nothing.
 *
 * In the counts, a fault "dirty" is the first store to a page that was a page table, "fill" one in the linear view; a "zap" is
 * a table that became data; writeProtects are entries that lost RW.
 *
 * Files: entry.ts (what an entry says), leaf.ts (who may write), types.ts (what a frame is), update.ts (one change),
 * window.ts (a store), roots.ts, linear.ts, walk.ts (faults), forget.ts, describe.ts.
 */

export class DirectMmu extends LockedMmu<DirectState> {
  readonly vcpus: readonly VcpuMmu[]

  constructor(config: ShadowMmuConfig) {
    super(new DirectState(config))
    this.vcpus = this.state.vcpus.map((v) => new DirectVcpu(this.state, v))
  }

  protected guestWriteLocked(gpa: number, size: number, lo: number, hi: number): boolean {
    const s = this.state
    const gfn = Math.floor(gpa / FRAME_BYTES)
    const offset = gpa % FRAME_BYTES
    if (!(gfn >= 0 && gfn < s.count) || offset + size > FRAME_BYTES) return false
    if (s.type[gfn] === DATA || letGo(s, gfn)) {
      this.plainWrite(s.first * FRAME_BYTES + gpa, size, lo, hi)
      return true
    }
    const good = this.writeTable(gpa, size, lo, hi)
    settle(s)
    return good
  }

  private plainWrite(at: number, size: number, lo: number, hi: number): void {
    const { memory } = this.state
    for (let i = 0; i < size; i++) memory.write8(at + i, ((i < 4 ? lo : hi) >>> (8 * (i & 3))) & 0xff)
  }

  /** A store to a page table, which may lie across two of its entries. */
  private writeTable(gpa: number, size: number, lo: number, hi: number): boolean {
    const s = this.state
    const bytes = new Uint8Array(16)
    const words = new DataView(bytes.buffer)
    const start = gpa - (gpa % 8)
    const end = gpa + size > start + 8 ? 16 : 8
    for (let i = 0; i < end; i += 4) words.setUint32(i, s.memory.read32(s.first * FRAME_BYTES + start + i), true)
    for (let i = 0; i < size; i++) bytes[(gpa % 8) + i] = (i < 4 ? lo : hi) >>> (8 * (i & 3))
    for (let i = 0; i < end; i += 8)
      if (!updateEntry(s, start + i, words.getUint32(i, true), words.getUint32(i + 4, true))) return false
    return true
  }

  /** Stores to tables are looked at when they are made, so there is nothing to announce. */
  protected entryChangedLocked(): void {}

  /** Who has asked before (keepData, translate) has not written to a table. */
  protected minds(gpa: number, bytes: number): boolean {
    return touchesTable(this.state, gpa, bytes)
  }

  protected memoryWrittenLocked(gpa: number, bytes: number): void {
    if (touchesTable(this.state, gpa, bytes)) forgetAll(this.state)
  }

  /** See ShadowMmu.keepData. */
  keepData(gpa: number, bytes: number): boolean {
    const s = this.state
    const first = Math.floor(gpa / FRAME_BYTES)
    const end = Math.ceil((gpa + bytes) / FRAME_BYTES)
    s.mutex.lock()
    try {
      for (let gfn = first; gfn < end; gfn++) if (s.type[gfn] !== DATA && !letGo(s, gfn)) return false
      for (let gfn = first; gfn < end; gfn++) Atomics.add(s.holds, gfn, 1)
      return true
    } finally {
      s.mutex.unlock()
    }
  }

  /** See ShadowMmu.releaseData. */
  releaseData(gpa: number, bytes: number): void {
    const { holds } = this.state
    for (let gfn = Math.floor(gpa / FRAME_BYTES); gfn < (gpa + bytes) / FRAME_BYTES; gfn++) Atomics.sub(holds, gfn, 1)
  }

  protected entryAddressLocked(pgdGfn: number, vpn: number): number {
    return findEntry(this.state, pgdGfn, vpn)
  }

  /** Machine frames are in the guest's tables: nothing less than to forget them all will do. */
  protected zapFrameLocked(): void {
    forgetAll(this.state)
  }

  protected zapAllLocked(): void {
    forgetAll(this.state)
  }

  /** There are no shadow pages to give back. */
  protected reclaimLocked(): number {
    return 0
  }

  protected destroyLocked(): void {
    destroy(this.state)
  }

  protected describeLocked(vcpu: number, vpn: number, userView: boolean): Description {
    return describe(this.state, vcpu, vpn, userView)
  }
}

/** Xen's method behind the interface of the others; throws BadMmuConfig. */
export const createDirectMmu = (config: ShadowMmuConfig): DirectMmu => new DirectMmu(config)
