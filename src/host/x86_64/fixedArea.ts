import type { Ram } from "../../machine/ram.ts"
import type { FrameAllocator } from "../frames.ts"
import * as L from "./layout.ts"
import { mapPage, PTE_G, PTE_W, unmapPage } from "./pageTables.ts"

/*
 * H:030 Almost. The processor itself must find its tables, the first instructions that it executes and a place for what
 * it pushes, whichever world it is in. These few pages are the only ones at which both worlds agree.
 *
 * The fixed area in page tables: the host's root has all of it, a guest's roots what is needed to get out of the guest.
 * They differ in rights, and `world` says which it is.
 *
 * Global pages. Each change of the world loads CR3 twice, and a processor that had to walk anew each time to the code
 * and the data that both worlds map alike would do little else. So text, the processor's own pages and the state page
 * are marked global (SDM vol. 3, 4.10.2.4). A global TLB entry outlives the tables that it was read from; hence the rules:
 *
 *  1. Only what host and guest map at the same address with the same rights. TSS and VCPU descriptor are writable in the
 *     host's tables alone: were they global, the entry that lets the host write would still be there for the guest.
 *  2. Only what a guest's tables have anyway. Gates, direct map and kernel stacks go with every CR3 load, so that what is
 *     mapped while a guest runs is what its tables say.
 *  3. Only supervisor pages: to ring 3 it makes no difference which of them the TLB remembers.
 *  4. A state page belongs to one virtual CPU, so it leaves the TLB when the task leaves the processor (HostX86_64.schedule).
 */

/** Rights to the pages that only the host may write. */
export const HOST_WORLD = PTE_W
export const GUEST_WORLD = 0
type World = typeof HOST_WORLD | typeof GUEST_WORLD

export const fixed = (offset: number): bigint => L.FIXED + BigInt(offset)
/** Virtual address of a page of a processor's area. */
export const cpuAddress = (cpu: number, page: number): bigint => fixed(L.CPU_OFFSET + (cpu * L.CPU_PAGES + page) * 4096)
/** Virtual address of a virtual CPU's descriptor; the state page follows. */
export const descriptorAddress = (slot: number): bigint => fixed(L.VCPU_OFFSET + slot * 8192)

/** GDT and IDT are never written by these addresses: their accessed and busy bits are set from the start. */
const cpuRights = (page: number, world: World): number => {
  if (page === L.CPU_TSS) return world
  return page === L.CPU_GDT || page === L.CPU_IDT ? PTE_G : PTE_G | PTE_W
}

/** Maps the text, given by the physical addresses of its pages. */
export const mapText = (ram: Ram, frames: FrameAllocator, root: number, text: ReadonlyArray<number>): void =>
  text.forEach((pa, i) => mapPage(ram, frames, root, fixed(L.TEXT_OFFSET + i * 4096), pa, PTE_G, false))

/** Maps a processor's pages. A guest's tables hold those of the one processor that it runs on. */
export const mapProcessor = (
  ram: Ram,
  frames: FrameAllocator,
  root: number,
  cpu: number,
  pages: ArrayLike<number>,
  world: World,
): void => {
  for (let i = 0; i < L.CPU_USED; i++)
    mapPage(ram, frames, root, cpuAddress(cpu, i), pages[i]!, cpuRights(i, world), true)
}

export const unmapProcessor = (ram: Ram, root: number, cpu: number): void => {
  for (let i = 0; i < L.CPU_USED; i++) unmapPage(ram, root, cpuAddress(cpu, i))
}

/** Maps a virtual CPU's two pages. */
export const mapVcpu = (
  ram: Ram,
  frames: FrameAllocator,
  root: number,
  slot: number,
  descriptor: number,
  state: number,
  world: World,
): void => {
  const at = descriptorAddress(slot)
  mapPage(ram, frames, root, at, descriptor, world, true)
  mapPage(ram, frames, root, at + 4096n, state, PTE_W | PTE_G, true)
}
