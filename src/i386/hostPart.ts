import type { Choices } from "../design/dimensions.ts"
import type { FrameAllocator } from "../host/frames.ts"
import type { Ram } from "../machine/ram.ts"
import { CALL_PAGE_ADDR, ROM_DATA_ADDR, SWITCHER_ADDR } from "../paravirt_ops/lguest.ts"
import { LGUEST_CS, MAPPED_SWITCHER_ADDR, SWITCHER_PAGES_ADDR, VCPU } from "./layout.ts"
import { symbols as mappedSwitcher } from "./mappedSwitcher_32.gen.ts"
import { entryAddress, type HostPageTables, takeFrame, writeEntry } from "./pageTables.ts"
import { belowSwitcher, endingBelow, type Fence, noFence } from "./segments.ts"
import { PTE_A, PTE_D, PTE_P, PTE_U, PTE_W } from "./shadow/format.ts"
import type { HostEntry, TableFormat } from "./shadow/index.ts"
import { symbols as switcher } from "./switcher_32.gen.ts"

/*
 * S:185 What of the Host is mapped while a Guest runs, and what keeps the Guest off it? The argument of 2007 had four
 * answers for i386. lguest's: the Switcher's pages, behind segment limits. Rusty's afterthought: the same pages without
 * limits, read-only where it matters. Those of Xen and plex86: all of the Host, behind limits. And what Steven proposed for
 * x86_64, all of it with nothing in between, which at ring 1 is an open door; it runs all the same, so that one can
 * look through.
 *
 * The host's part of a guest's address space, the same in all roots of its shadow: the Switcher's pages, the call page, and
 * in some designs the host's direct map.
 */

interface Placement {
  /** Whether the host's direct map is in the guest's tables. */
  readonly everything: boolean
  readonly fence: (pageOffset: number) => Fence
  /** Flags of the second of a processor's two pages. */
  readonly state: number
  /** Where the Switcher's text begins that the guest is entered and left by, and its stubs. */
  readonly entry: number
  readonly stubs: number
}

const SWITCHER = {
  everything: false,
  state: 0,
  entry: SWITCHER_ADDR,
  stubs: SWITCHER_ADDR + switcher.default_handlers,
}
/** The host runs on the guest's tables and writes what it remembers of itself there: nothing is read-only. */
const EVERYTHING = {
  everything: true,
  state: PTE_W,
  entry: MAPPED_SWITCHER_ADDR,
  stubs: MAPPED_SWITCHER_ADDR + mappedSwitcher.default_handlers,
}

const PLACEMENTS: Record<Choices["host"], Placement> = {
  "switcher-behind-limits": { ...SWITCHER, fence: () => belowSwitcher },
  switcher: { ...SWITCHER, fence: () => noFence },
  "everything-behind-limits": { ...EVERYTHING, fence: (pageOffset) => endingBelow(pageOffset, false) },
  everything: { ...EVERYTHING, fence: () => noFence },
}

/** What of a design decides what a guest finds up there. */
export type HostPartChoices = Pick<Choices, "host" | "hypercall" | "interruptFlag">

/** What the host has to put there. */
export interface HostPartSources {
  readonly ram: Ram
  readonly frames: FrameAllocator
  readonly format: TableFormat
  readonly tables: HostPageTables
  /** Where the host's direct map begins. */
  readonly pageOffset: number
  /** Physical addresses: the Switcher's text, its sibling's, the call page, the second of the processor's two pages. */
  readonly switcherText: ReadonlyArray<number>
  readonly mappedSwitcherText: ReadonlyArray<number>
  readonly callPage: number
  readonly state: number
}

export class HostPart {
  /** From here on nothing is the guest's. */
  readonly top: number
  readonly fence: Fence
  readonly stubs: number
  /** Whether the guest's tables serve the host too, so that CR3 may stay as it is when worlds change. */
  readonly keepsTables: boolean
  /** The directory entries that every root has. */
  readonly entries: ReadonlyArray<HostEntry>
  /** Physical address of the ROM's data page; -1: there is none. */
  readonly romData: number
  private readonly taken: Array<number> = []

  /** `descriptor` and `regs`: physical addresses of the virtual CPU's two pages. */
  constructor(sources: HostPartSources, choices: HostPartChoices, descriptor: number, regs: number) {
    const { ram, format, frames, tables, pageOffset } = sources
    const placement = PLACEMENTS[choices.host]
    if (placement.everything && pageOffset < CALL_PAGE_ADDR)
      throw new RangeError(`the host's direct map is at 0x${pageOffset.toString(16)}, where its guests have their own`)
    const called = choices.hypercall === "call-page" || choices.interruptFlag === "rom"
    this.top = called ? CALL_PAGE_ADDR : placement.everything ? pageOffset : SWITCHER_ADDR
    this.fence = placement.fence(pageOffset)
    this.stubs = placement.stubs
    this.keepsTables = placement.everything

    const take = (): number => {
      const pa = takeFrame(frames)
      this.taken.push(pa)
      return pa
    }
    const map = (table: number, gva: number, pa: number, flags: number): void =>
      writeEntry(ram, format, entryAddress(format, table, gva), pa | flags | PTE_P | PTE_A | PTE_D)
    const directory = (gva: number, table: number): HostEntry => ({
      gva,
      lo: (table | PTE_P | PTE_W | PTE_U | PTE_A) >>> 0,
    })

    // Supervisor, and of the Switcher's own only the registers can be written.
    const top = take()
    const text = (base: number, pages: ReadonlyArray<number>): void =>
      pages.forEach((pa, i) => map(top, base + i * 4096, pa, 0))
    if (placement.everything) text(MAPPED_SWITCHER_ADDR, sources.mappedSwitcherText)
    else text(SWITCHER_ADDR, sources.switcherText)
    map(top, SWITCHER_PAGES_ADDR, regs, PTE_W)
    map(top, SWITCHER_PAGES_ADDR + 4096, sources.state, placement.state)

    const entries = placement.everything ? [...tables.entries(SWITCHER_ADDR)] : []
    entries.push(directory(SWITCHER_ADDR, top))
    this.romData = choices.interruptFlag === "rom" ? take() : -1
    if (called) {
      const calls = take()
      map(calls, CALL_PAGE_ADDR, sources.callPage, 0)
      if (this.romData >= 0) map(calls, ROM_DATA_ADDR, this.romData, PTE_W)
      entries.push(directory(CALL_PAGE_ADDR, calls))
    }
    this.entries = entries
    ram.write32(descriptor + VCPU.fields.entry.offset, placement.entry)
    ram.write16(descriptor + VCPU.fields.entryCs.offset, LGUEST_CS)
  }

  release(frames: FrameAllocator): void {
    for (const pa of this.taken.splice(0)) frames.release(pa / 4096)
  }
}

/** Bytes of address space that the host's direct map can have. */
export const directMapLimit = (pageOffset: number): number => SWITCHER_ADDR - pageOffset
