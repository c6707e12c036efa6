import { PAGING_2_LEVEL, PAGING_PAE } from "../../machine/pageTables.ts"
import type { DescribedEntry } from "../../mmu4/interface.ts"
import { describeWalks } from "./describe.ts"
import { PTE_A, PTE_D, PTE_P, PTE_U, PTE_W, type TableFormat } from "./format.ts"
import { BadState, Fields, listOf, recordOf, type State, stateOf } from "../../machine/snapshot.ts"
import {
  FIXED,
  GUEST_FAULT,
  KILL,
  MMIO,
  type Outcome,
  PF_PRESENT,
  PF_USER,
  PF_WRITE,
  type Shadow,
  type ShadowConfig,
  type ShadowCounts,
} from "./interface.ts"
import { BAD, GuestWalk, NOT_PRESENT, PRESENT } from "./walk.ts"

/*
 * What lguest's shadow MMU and plex86's have in common: shadows that are filled as the guest faults.
 *
 *  - A shadow entry is made when the guest faults on it and thrown away when the guest says that something has changed.
 *    The guest's tables are not write-protected: between a change and its announcement the shadow may be stale, as a
 *    TLB may be. That is the contract (docs/abi-i386.md), and all that a guest can break by breaking it is itself.
 *  - An spte maps a frame of the guest's memory and nothing else, whatever the guest's tables say: `hostAddress` of walk.ts
 *    is the only way to a frame number.
 *  - An spte is writable only if the guest's entry is dirty: the first write faults, and the fault sets D. A is set when
 *    the spte is made.
 *  - Ring 1 is a supervisor to paging, so one shadow serves the guest's kernel and its processes; CR0.WP is set.
 *  - From `top` on all roots hold what the host has put there. What the guest's tables say there is not looked at.
 *  - Memory is bounded by the number of roots and by `tableLimit` tables: when one more is needed, all are thrown away.
 *
 * Shadow directories allow everything; the rights of both guest levels meet in the spte.
 */

/** Nothing of a guest's can have this address: no root, or the linear view's. */
export const NO_PGD = -1

const DIRECTORY_FLAGS = PTE_P | PTE_W | PTE_U | PTE_A

export interface Root {
  /** Guest-physical address of the tables that it shadows. */
  pgd: number
  /** Its frames; empty until it is first used. */
  frames: Array<number>
  cr3: number
}

export const NO_MEMORY = "the host has no memory left for this guest's shadow page tables"

export const hex = (n: number) => `0x${n.toString(16)}`

/** What lives from one fault to the next. The roots, and which of them is current, come on top. */
const FIELDS = new Fields({ numbers: ["next", "kernelAddress"], flags: ["linear", "disturbed", "stale"] })
const COUNTS = new Fields({
  numbers: ["tables", "tablesMade", "roots", "newRoots", "rootsMade", "rootsEvicted", "exhausted"],
})
const FAULTS = new Fields({ numbers: ["fill", "dirty", "guest", "mmio", "kill"] })
const ROOT = new Fields({ numbers: ["pgd", "cr3"], lists: ["frames"] })

export abstract class FilledShadow implements Shadow {
  faultError = 0
  mmio = 0
  reason = ""
  readonly counts: ShadowCounts = {
    faults: { fill: 0, dirty: 0, guest: 0, mmio: 0, kill: 0 },
    tables: 0,
    tablesMade: 0,
    roots: 0,
    newRoots: 0,
    rootsMade: 0,
    rootsEvicted: 0,
    exhausted: 0,
  }
  protected readonly config: ShadowConfig
  protected readonly format: TableFormat
  protected readonly guest: GuestWalk
  /** Where the guest's addresses end. */
  protected readonly top: number
  protected readonly roots: ReadonlyArray<Root>
  protected current: Root
  /** The root that is used anew next. */
  protected next = 0
  protected linear = true
  protected kernelAddress: number
  /** Entries may have vanished: `takeDisturbed`, `takeStale`. */
  protected disturbed = true
  private stale = true
  /** The fault served last found an entry that was too narrow, and not none. */
  private replaced = false

  /** Throws a RangeError when there is not even memory for one root. */
  constructor(format: TableFormat, config: ShadowConfig, roots: number) {
    if (config.tableLimit < 16) throw new RangeError("a shadow MMU needs at least 16 tables")
    this.config = config
    this.format = format
    this.guest = new GuestWalk(format, config.memory, config.frames)
    this.top = config.top
    this.kernelAddress = config.top
    this.roots = Array.from({ length: roots }, () => ({ pgd: NO_PGD, frames: [], cr3: 0 }))
    this.current = this.roots[0]!
    if (!this.build(this.current)) throw new RangeError(NO_MEMORY)
  }

  abstract newRoot(pgd: number): Outcome
  abstract setPte(pgd: number, gva: number): Outcome
  abstract flush(all: boolean): void

  protected build(root: Root): boolean {
    const { memory, allocator } = this.config
    const frames: Array<number> = []
    for (let i = 0; i < this.format.rootFrames; i++) {
      const hfn = allocator.alloc()
      if (hfn < 0) {
        for (const taken of frames) allocator.release(taken)
        return false
      }
      frames.push(hfn)
    }
    this.counts.roots++
    root.frames = frames
    root.cr3 = this.format.linkRoot(memory, frames)
    for (const { gva, lo } of this.config.host) this.writeEntry(this.format.shadowDirectory(frames, gva), lo)
    return true
  }

  /** High word first or last does not matter: the processor is not running the guest. */
  protected writeEntry(at: number, lo: number): void {
    this.config.memory.write32(at, lo)
    if (this.format.entryBytes === 8) this.config.memory.write32(at + 4, 0)
  }

  root(): number {
    return this.current.cr3
  }

  setKernelAddress(gva: number): void {
    this.kernelAddress = Math.min(gva, this.top)
  }

  takeDisturbed(): boolean {
    const disturbed = this.disturbed
    this.disturbed = false
    return disturbed
  }

  takeStale(): boolean {
    const { stale } = this
    this.stale = false
    return stale
  }

  protected kill(reason: string): typeof KILL {
    this.reason = reason
    return KILL
  }

  // ------------------------------------------------------------------------------------------------------ the faults
  pageFault(gva: number, error: number): Outcome {
    const { faults } = this.counts
    const outcome = this.serve(gva, error)
    if (outcome === GUEST_FAULT) faults.guest++
    else if (outcome === MMIO) faults.mmio++
    else if (outcome === KILL) faults.kill++
    else if (this.replaced) faults.dirty++
    else faults.fill++
    return outcome
  }

  /** What a fault means, and its repair. Whoever acts in the guest's name comes here too, uncounted. */
  private serve(gva: number, error: number): Outcome {
    const { guest } = this
    const access = error & (PF_WRITE | PF_USER)
    // Here the guest has nothing, whatever its tables say.
    if (gva >= this.top) return this.deny(access)
    if (this.linear) return this.linearFault(gva, access)

    const found = guest.walk(this.current.pgd, gva)
    if (found === BAD) return this.kill(guest.reason)
    if (found === NOT_PRESENT) return this.deny(access)
    if ((access & PF_USER) !== 0 && (guest.rights & PTE_U) === 0) return this.deny(access | PF_PRESENT)
    if ((access & PF_WRITE) !== 0 && (guest.rights & PTE_W) === 0) return this.deny(access | PF_PRESENT)

    const hpa = guest.hostAddress(guest.gfn * 4096)
    if (hpa < 0) return this.device(guest.gfn * 4096 + (gva & 0xfff), gva)

    // As the processor would have: A on the way, A and perhaps D on the leaf.
    const { memory } = this.config
    if (guest.leafAt !== guest.directoryAt) this.setFlags(guest.directoryAt, PTE_A)
    const flags = (access & PF_WRITE) !== 0 ? PTE_A | PTE_D : PTE_A
    if ((guest.leafLo & flags) !== flags) {
      guest.leafLo = (memory.read32(guest.leafAt) | flags) >>> 0
      memory.write32(guest.leafAt, guest.leafLo)
    }
    const at = this.entry(this.current, gva)
    if (at < 0) return this.kill(NO_MEMORY)
    this.replaced = (memory.read32(at) & PTE_P) !== 0
    this.writeEntry(at, this.shadowEntry(hpa))
    return FIXED
  }

  private setFlags(at: number, flags: number): void {
    const { memory } = this.config
    const lo = memory.read32(at)
    if ((lo & flags) !== flags) memory.write32(at, (lo | flags) >>> 0)
  }

  /** The spte for what the walk found at `hpa`. */
  protected shadowEntry(hpa: number): number {
    const { rights, leafLo } = this.guest
    const writable = (rights & PTE_W) !== 0 && (leafLo & PTE_D) !== 0 ? PTE_W : 0
    return (hpa | PTE_P | PTE_A | PTE_D | (rights & PTE_U) | writable) >>> 0
  }

  private deny(error: number): Outcome {
    this.faultError = error
    return GUEST_FAULT
  }

  private device(gpa: number, gva: number): Outcome {
    const { begin, end } = this.config.window
    if (gpa >= begin && gpa < end) {
      this.mmio = gpa
      return MMIO
    }
    return this.kill(`page frame ${hex(Math.floor(gpa / 4096))}, mapped at ${hex(gva)}, is not in the guest's memory`)
  }

  /** The linear view is the kernel's alone. */
  private linearFault(gva: number, access: number): Outcome {
    if ((access & PF_USER) !== 0) return this.deny(access | PF_PRESENT)
    const hpa = this.guest.hostAddress(gva)
    if (hpa < 0) {
      const { begin, end } = this.config.window
      if (gva >= begin && gva < end) return this.device(gva, gva)
      return this.kill(`access to ${hex(gva)}, outside of memory, before NEW_PGTABLE`)
    }
    const at = this.entry(this.current, gva)
    if (at < 0) return this.kill(NO_MEMORY)
    this.replaced = false
    this.writeEntry(at, (hpa & ~0xfff) | PTE_P | PTE_W | PTE_A | PTE_D)
    return FIXED
  }

  kernelPage(gva: number, write: boolean): number {
    const need = write ? PTE_P | PTE_W : PTE_P
    if (gva >= this.top) return -1
    let at = this.existing(this.current, gva)
    if (at < 0 || (this.config.memory.read32(at) & need) !== need) {
      if (this.serve(gva, write ? PF_WRITE : 0) !== FIXED) return -1
      at = this.existing(this.current, gva)
    }
    return ((this.config.memory.read32(at) & 0xfffff000) >>> 0) + (gva & 0xfff)
  }

  get directory(): number {
    return this.linear ? NO_PGD : this.current.pgd
  }

  lookUp(gva: number): number {
    if (gva >= this.top) return -1
    if (this.linear) return gva
    return this.guest.walk(this.current.pgd, gva) === PRESENT ? this.guest.gfn * 4096 + (gva & 0xfff) : -1
  }

  describe(gva: number): { guest: ReadonlyArray<DescribedEntry>; shadow: ReadonlyArray<DescribedEntry> } {
    const { memory, frames } = this.config
    const format = this.format.entryBytes === 8 ? PAGING_PAE : PAGING_2_LEVEL
    const read = (hpa: number): number | undefined => (hpa < 0 ? undefined : memory.read32(hpa) >>> 0)
    const guest = { format, root: this.current.pgd, read32: (gpa: number) => read(this.guest.hostAddress(gpa)) }
    const shadow = { format, root: this.current.cr3, read32: read }
    const map = { count: frames.count, first: frames.gfnToHfn(0), top: this.top }
    return describeWalks(this.linear ? undefined : guest, shadow, gva, map)
  }

  // --------------------------------------------------------------------------------------------------- shadow tables
  /** Host-physical address of the spte for `gva`, with no table made for it: -1 if there is none. */
  protected existing(root: Root, gva: number): number {
    if (root.frames.length === 0) return -1
    const directory = this.config.memory.read32(this.format.shadowDirectory(root.frames, gva))
    if ((directory & PTE_P) === 0) return -1
    const { directoryShift, entryBytes } = this.format
    return ((directory & 0xfffff000) >>> 0) + ((gva >>> 12) & ((1 << (directoryShift - 12)) - 1)) * entryBytes
  }

  /** The same with a table made if need be; -1 when memory is out even after everything has been thrown away. */
  private entry(root: Root, gva: number): number {
    const at = this.existing(root, gva)
    if (at >= 0) return at
    let hfn = this.counts.tables < this.config.tableLimit ? this.config.allocator.alloc() : -1
    if (hfn < 0) {
      this.counts.exhausted++
      for (const r of this.roots) this.release(r, 0, this.top)
      hfn = this.config.allocator.alloc()
      if (hfn < 0) return -1
    }
    this.counts.tables++
    this.counts.tablesMade++
    this.writeEntry(this.format.shadowDirectory(root.frames, gva), ((hfn * 4096) | DIRECTORY_FLAGS) >>> 0)
    return this.existing(root, gva)
  }

  /** Throws away the tables of `root` that map any of [from, to); `to` is at most `top`. */
  protected release(root: Root, from: number, to: number): void {
    if (root.frames.length === 0) return
    const { memory, allocator } = this.config
    const span = 2 ** this.format.directoryShift
    for (let gva = from - (from % span); gva < to; gva += span) {
      const at = this.format.shadowDirectory(root.frames, gva)
      const lo = memory.read32(at)
      if ((lo & PTE_P) === 0) continue
      allocator.release(lo >>> 12)
      this.writeEntry(at, 0)
      this.counts.tables--
      this.disturbed = true
      this.stale = true
    }
  }

  protected find(pgd: number): Root | undefined {
    for (const root of this.roots) if (root.pgd === pgd) return root
    return undefined
  }

  // ---------------------------------------------------------------------------------------------- what the guest says
  protected dropPte(root: Root, gva: number): void {
    const at = this.existing(root, gva)
    if (at < 0) return
    this.writeEntry(at, 0)
    this.disturbed = true
    this.stale = true
  }

  setPgd(pgd: number, index: number): Outcome {
    const { topEntries, topShift } = this.format
    if (index >= topEntries) return this.kill(`entry ${index} of a page directory, which has ${topEntries}`)
    const root = this.find((pgd & this.format.rootMask) >>> 0)
    const from = index * 2 ** topShift
    if (root !== undefined && from < this.top) this.release(root, from, Math.min(from + 2 ** topShift, this.top))
    return FIXED
  }

  setPmd(pmd: number, index: number): Outcome {
    if (this.format.entryBytes !== 8) return this.kill("SET_PMD, but its page tables have two levels")
    if (index >= 512) return this.kill(`entry ${index} of a page directory, which has 512`)
    const address = (pmd & 0xfffff000) >>> 0
    // The hypercall does not say whose table it is: whoever has it at its top loses what hung on the entry.
    for (const root of this.roots) {
      if (root.pgd === NO_PGD) continue
      for (let i = 0; i < this.format.topEntries; i++) {
        const at = this.guest.hostAddress(root.pgd + 8 * i)
        if (at < 0) continue
        const lo = this.config.memory.read32(at)
        const gva = i * 2 ** this.format.topShift + index * 2 ** this.format.directoryShift
        if ((lo & PTE_P) !== 0 && (lo & 0xfffff000) >>> 0 === address && gva < this.top)
          this.release(root, gva, gva + 1)
      }
    }
    return FIXED
  }

  destroy(): void {
    const { allocator } = this.config
    for (const root of this.roots) {
      this.release(root, 0, this.top)
      for (const hfn of root.frames) allocator.release(hfn)
      if (root.frames.length > 0) this.counts.roots--
      root.frames = []
      root.pgd = NO_PGD
    }
  }

  save(): State {
    return {
      ...FIELDS.save(this),
      roots: this.roots.map((root) => ROOT.save(root)),
      current: this.roots.indexOf(this.current),
      counts: COUNTS.save(this.counts),
      faults: FAULTS.save(this.counts.faults),
    }
  }

  restore(state: State): void {
    const { roots, current, counts, faults } = recordOf(state, "the shadow")
    FIELDS.restore(this, state)
    const saved = listOf(roots, "roots")
    this.roots.forEach((root, i) => ROOT.restore(root, stateOf(saved[i], "a root")))
    const root = typeof current === "number" ? this.roots[current] : undefined
    if (root === undefined) throw new BadState("the current root is none of the roots")
    this.current = root
    COUNTS.restore(this.counts, stateOf(counts, "counts"))
    FAULTS.restore(this.counts.faults, stateOf(faults, "faults"))
  }
}
