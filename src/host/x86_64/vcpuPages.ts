import type { Choices } from "../../design/dimensions.ts"
import type { Ram } from "../../machine/ram.ts"
import type { SharedHeap } from "../../machine/shared.ts"
import { VCPU, VCPU_STATE } from "../../vcpu/descriptor.ts"
import type { FrameAllocator } from "../frames.ts"
import {
  cpuAddress,
  descriptorAddress,
  fixed,
  guestWorld,
  hostWorld,
  mapCallPage,
  mapProcessor,
  mapText,
  mapVcpu,
  unmapProcessor,
  type World,
} from "./fixedArea.ts"
import { type SymbolName, switcherSymbol } from "./images.ts"
import * as L from "./layout.ts"
import { freeTables, makeTables, mapPage, newRoot, PTE_A, PTE_D, PTE_P, unmapPage } from "./pageTables.ts"
import { GDT_LIMIT, guestGdtOffset, IDT_LIMIT, writePseudoDescriptor } from "./tables.ts"

/*
 * H:034 What a virtual CPU has of the Host: a descriptor, a state page, and the part of its page tables that is the
 * Host's. How much that is, its design says: a private copy of a few pages, or all there is.
 *
 * All of it is decided here, when the virtual CPU is made. What remains for later is a move to another processor.
 */

/** Where a virtual CPU's pages lie, and its own view of the fixed area. */
export interface VcpuPages {
  /** Physical addresses. */
  readonly descriptor: number
  readonly state: number
  /** PML4 entry for the fixed area while this virtual CPU runs; and in a view that is the guest's user's alone. */
  readonly fixedEntry: number
  readonly userEntry: number
  /** Roots of the tables that the two entries are taken from, 0 where they are the host's. */
  readonly root: number
  readonly userRoot: number
  /** Which pair of pages of the fixed area. */
  readonly slot: number
  /** Physical address of its page of the ROM (ROM_DATA); 0 in designs that have none. */
  readonly rom: number
}

/** What of the host is needed for it. */
export interface VcpuPagesHost {
  readonly ram: Ram
  readonly frames: FrameAllocator
  readonly text: ReadonlyArray<number>
  readonly root: () => number
  readonly pagesOf: (cpu: number) => Float64Array
  readonly symbol: (name: SymbolName) => bigint
  readonly direct: (pa: number) => bigint
  readonly forget: (va: bigint) => void
}

const F = VCPU.fields

/** What `world` says: its tables are the host's, or hold a processor's pages by a guest's rights. */
const WORLD_OF_HOST = 0
const WORLD_OWN = 1
const WORLD_SWITCHED = 2

/** Trees of tables that a virtual CPU can have: its kernel's, and its user's where that one lacks the call page. */
const KERNEL = 0
const USER = 1
const TREES = 2

export class VcpuPagesTable {
  private readonly host: VcpuPagesHost
  private readonly vcpu: Choices["vcpu"]
  private readonly hostWorld: World
  /** By WORLD_ number. */
  private readonly worlds: ReadonlyArray<World>
  /** [TREES * pair + KERNEL or USER]: root of tables of its own, or 0. */
  private readonly trees: Float64Array
  /** By pair: the processor whose pages these hold, and in which world. */
  private readonly cpu: Int32Array
  private readonly world: Int32Array
  /** By pair: where its descriptor lies, if that says which tables the processor has, and the ring of its kernel; else 0. */
  private readonly descriptor: Float64Array
  private readonly ring: Int32Array
  /** Pairs of pages that no virtual CPU has. */
  private readonly free = Array.from({ length: L.VCPU_SLOTS }, (_, i) => L.VCPU_SLOTS - 1 - i)

  constructor(heap: SharedHeap, vcpu: Choices["vcpu"], host: VcpuPagesHost) {
    this.host = host
    this.vcpu = vcpu
    this.hostWorld = hostWorld(vcpu)
    this.worlds = [this.hostWorld, guestWorld(vcpu, "own"), guestWorld(vcpu, "switched")]
    this.trees = heap.f64(L.VCPU_SLOTS * TREES)
    this.cpu = heap.i32(L.VCPU_SLOTS)
    this.world = heap.i32(L.VCPU_SLOTS)
    this.descriptor = heap.f64(L.VCPU_SLOTS)
    this.ring = heap.i32(L.VCPU_SLOTS)
  }

  /** The processor whose pages a virtual CPU sees. */
  cpuOf(slot: number): number {
    return this.cpu[slot]!
  }

  create(index: number, design: Choices): VcpuPages {
    const { ram, frames } = this.host
    const slot = this.free.pop()
    if (slot === undefined) throw new RangeError(`the host has room for ${L.VCPU_SLOTS} virtual CPUs`)
    const descriptor = newRoot(frames)
    const state = newRoot(frames)
    const called = design.hypercall === "call-page" || design.interruptFlag === "rom"
    const rom = called ? newRoot(frames) : 0
    mapVcpu(ram, frames, this.host.root(), descriptorAddress(slot), descriptor, state, this.hostWorld)
    this.cpu[slot] = 0
    this.trees.fill(0, slot * TREES, (slot + 1) * TREES)
    const everything = design.host === "everything"
    const root = everything
      ? this.shareTables(slot, descriptor, state, called)
      : this.ownTables(slot, KERNEL, descriptor, state, design)
    const userRoot =
      called && design.spaces === "separate" ? this.withoutCallPage(slot, descriptor, state, design) : root
    if (called) mapCallPage(ram, frames, root, rom, design.ring)
    this.writeDescriptor(descriptor, slot, index, state, design)
    this.ring[slot] = design.selectors === "switched" ? design.ring : 0
    this.descriptor[slot] = descriptor
    this.useTables(slot)
    const entry = (tables: number) => this.entryOf(tables === 0 ? this.host.root() : tables, L.FIXED_SLOT)
    return { descriptor, state, fixedEntry: entry(root), userEntry: entry(userRoot), root, userRoot, slot, rom }
  }

  /**
   * For the view of processes: the ROM's page is the kernel's to write, and at ring 3 nothing but its absence says so. Its
   * user would turn the kernel's interrupts off there.
   */
  private withoutCallPage(slot: number, descriptor: number, state: number, design: Choices): number {
    return design.host === "everything" ? 0 : this.ownTables(slot, USER, descriptor, state, design)
  }

  /** Text, the tables and stacks of the processor that it runs on, its two pages: no gates, no other virtual CPU. */
  private ownTables(slot: number, tree: number, descriptor: number, state: number, { selectors }: Choices): number {
    const { ram, frames, text, pagesOf } = this.host
    const root = newRoot(frames)
    const number = selectors === "switched" ? WORLD_SWITCHED : WORLD_OWN
    const world = this.worlds[number]!
    mapText(ram, frames, root, text)
    mapProcessor(ram, frames, root, 0, pagesOf(0), world)
    mapVcpu(ram, frames, root, this.addressFor(slot), descriptor, state, world)
    this.trees[slot * TREES + tree] = root
    this.world[slot] = number
    return root
  }

  /**
   * The host's own tables, all of them; where the guest has a page to itself (the call page's), a copy of the lowest with
   * text and processors in it, of which nothing changes after the host has been built.
   */
  private shareTables(slot: number, descriptor: number, state: number, called: boolean): number {
    const { ram, frames } = this.host
    this.world[slot] = WORLD_OF_HOST
    const shared = this.host.root()
    // A rule forbids it, and this is why: there is one such address in these tables, and everybody has them.
    if (this.vcpu === "known-address")
      mapVcpu(ram, frames, shared, this.addressFor(slot), descriptor, state, this.hostWorld)
    if (!called) return 0
    const root = newRoot(frames)
    for (let i = 0; i < L.FIXED_TABLES; i++) {
      const address = fixed(i * L.TABLE_BYTES)
      const theirs = ram.read32(makeTables(ram, frames, shared, address))
      const at = i === 0 ? makeTables(ram, frames, root, address) : this.nextEntry(root, i)
      if (i === 0) ram.copyIn((ram.read32(at) & ~0xfff) >>> 0, ram.copyOut((theirs & ~0xfff) >>> 0, 4096))
      else ram.write64(at, theirs, 0)
    }
    return root
  }

  /** Where the directory's entry `i` lies in the tables of the fixed area below `root`. */
  private nextEntry(root: number, i: number): number {
    return makeTables(this.host.ram, this.host.frames, root, fixed(0)) + 8 * i
  }

  /** Where the guest has its two pages. */
  private addressFor(slot: number): bigint {
    return this.vcpu === "known-address" ? fixed(L.KNOWN_OFFSET) : descriptorAddress(slot)
  }

  private writeDescriptor(at: number, slot: number, index: number, state: number, design: Choices): void {
    const { ram, symbol, direct, root } = this.host
    const frame = design.host === "everything" ? direct(state + VCPU_STATE.fields.regs.offset) : 0n
    ram.writeBig(at + F.systemCall.offset, symbol(switcherSymbol("lguest64_system_call", design)))
    ram.writeBig(at + F.trap.offset, symbol(switcherSymbol("lguest64_trap", design)))
    ram.writeBig(at + F.enter.offset, symbol(switcherSymbol("switch_to_guest", design)))
    ram.writeBig(at + F.state.offset, descriptorAddress(slot) + 4096n)
    ram.writeBig(at + F.stackTop.offset, this.addressFor(slot) + 4096n + BigInt(VCPU_STATE.size))
    ram.writeBig(at + F.hostCr3.offset, BigInt(root()))
    ram.writeBig(at + F.frame.offset, frame)
    ram.write32(at + F.index.offset, index)
  }

  /** The tables that the processor has while this virtual CPU runs there, where those are not the host's. */
  private useTables(slot: number): void {
    const ring = this.ring[slot]!
    if (ring === 0) return
    const { ram } = this.host
    const cpu = this.cpu[slot]!
    const descriptor = this.descriptor[slot]!
    const gdt = cpuAddress(cpu, L.CPU_GUEST_GDT) + BigInt(guestGdtOffset(ring))
    writePseudoDescriptor(ram, descriptor + F.gdtr.offset, GDT_LIMIT, gdt)
    writePseudoDescriptor(ram, descriptor + F.idtr.offset, IDT_LIMIT, cpuAddress(cpu, L.CPU_GUEST_IDT))
  }

  /** A virtual CPU comes to another processor: of the host its guest sees that one's tables, and the former's no more. */
  move(slot: number, cpu: number): void {
    const { ram, frames, pagesOf } = this.host
    const world = this.worlds[this.world[slot]!]!
    for (let i = slot * TREES; i < (slot + 1) * TREES; i++) {
      const root = this.trees[i]!
      if (root === 0) continue
      unmapProcessor(ram, root, this.cpu[slot]!)
      mapProcessor(ram, frames, root, cpu, pagesOf(cpu), world)
    }
    this.cpu[slot] = cpu
    this.useTables(slot)
  }

  /** Where the entry code goes through the task, a guest's tables have the page of its own, to be read. */
  mapTask(pages: VcpuPages, va: bigint, pa: number): void {
    for (let i = pages.slot * TREES; i < (pages.slot + 1) * TREES; i++)
      if (this.trees[i] !== 0) mapPage(this.host.ram, this.host.frames, this.trees[i]!, va, pa, 0, true)
  }

  /** Takes back what `create` gave. */
  release(pages: VcpuPages): void {
    const { ram, frames, root, forget } = this.host
    const va = descriptorAddress(pages.slot)
    for (const page of [va, va + 4096n]) {
      unmapPage(ram, root(), page)
      forget(page)
    }
    const shares = this.world[pages.slot] === WORLD_OF_HOST
    if (this.vcpu === "known-address" && shares) {
      mapPage(ram, frames, root(), fixed(L.KNOWN_OFFSET), L.ZERO_PA, 0, true)
      unmapPage(ram, root(), fixed(L.KNOWN_OFFSET) + 4096n)
    }
    if (pages.root !== 0) {
      // What it has of the host's own tables stays the host's.
      if (shares) for (let i = 1; i < L.FIXED_TABLES; i++) ram.write64(this.nextEntry(pages.root, i), 0, 0)
      freeTables(ram, frames, pages.root)
    }
    if (pages.userRoot !== 0 && pages.userRoot !== pages.root) freeTables(ram, frames, pages.userRoot)
    for (const pa of [pages.descriptor, pages.state, pages.rom]) if (pa !== 0) frames.release(pa / 4096)
    this.free.push(pages.slot)
  }

  /** Low half of a root's entry, as an entry of another root. */
  entryOf(root: number, slot: number): number {
    return (this.host.ram.read32(root + 8 * slot) | PTE_P | PTE_A | PTE_D) >>> 0
  }
}
