import type { Choices } from "../../design/dimensions.ts"
import type { Ram } from "../../machine/ram.ts"
import { CALL_PAGE_OFFSET } from "../../paravirt_ops/lguest64.ts"
import type { FrameAllocator } from "../frames.ts"
import * as L from "./layout.ts"
import { mapPage, PTE_G, PTE_U, PTE_W, unmapPage } from "./pageTables.ts"

/*
 * H:030 Almost. The processor itself must find its tables, the first instructions that it executes and a place for what
 * it pushes, whichever world it is in. These few pages are the only ones at which both worlds agree.
 *
 * The fixed area in page tables: the host's root has all of it, a guest's roots what is needed to get out of the guest.
 * They differ in rights and in pages, and a `World` says in which.
 *
 * Global pages. Each change of the world loads CR3 twice, and a processor that had to walk anew each time to the code
 * and the data that both worlds map alike would do little else. So text, the processor's own pages and the state page
 * are marked global (SDM vol. 3, 4.10.2.4). A global TLB entry outlives the tables that it was read from; hence the rules:
 *
 *  1. Only what host and guest map at the same address with the same rights. TSS and VCPU descriptor are writable in the
 *     host's tables alone: were they global, the entry that lets the host write would still be there for the guest.
 *  2. Only what all guests' tables have anyway. Gates, direct map and kernel stacks go with every CR3 load, so that what is
 *     mapped while a guest runs is what its tables say. So do the tables of guests whose selectors are switched, the call
 *     page, and on hosts that look at a known address the PDA and all that lies at that address.
 *  3. Only supervisor pages: to ring 3 it makes no difference which of them the TLB remembers.
 *  4. A state page belongs to one virtual CPU, so it leaves the TLB when the task leaves the processor (HostX86_64.schedule).
 *
 * Guests for which everything stays mapped (`host: everything`) have the host's own tables below their slots, so whatever
 * the TLB remembers of them the host itself could have left there, and 1, 2 and 4 are about that already: for the next guest
 * that has less, all but the globals goes with the CR3 load that its task's turn begins with. What such a guest has for
 * itself (call page) is not global either. Its entries for guest memory are another matter: the switcher loads CR3 only when
 * the root is another one or STATE's `flush` asks for it, so whoever takes rights from its shadows has to ask.
 */

/** A processor's pages. */
const ALL_PAGES = Array.from({ length: L.CPU_USED }, (_, page) => page)
const SWITCHED_PAGES = [L.CPU_GUEST_GDT, L.CPU_GUEST_IDT]

/** What of the fixed area somebody's tables have. */
export interface World {
  /** Rights to the pages that only the host may write: PTE_W or 0. */
  readonly rights: number
  /** Which pages of a processor's area there are. */
  readonly pages: ReadonlyArray<number>
  /** PTE_G where all guests have the PDA and their state pages at the host's addresses. */
  readonly shared: number
}

const sharing = (vcpu: Choices["vcpu"]): number => (vcpu === "known-address" ? 0 : PTE_G)

export const hostWorld = (vcpu: Choices["vcpu"]): World => ({ rights: PTE_W, pages: ALL_PAGES, shared: sharing(vcpu) })

export const guestWorld = (vcpu: Choices["vcpu"], selectors: Choices["selectors"]): World => ({
  rights: 0,
  pages: ALL_PAGES.filter(
    (page) =>
      (page !== L.CPU_PDA || vcpu !== "known-address") && (!SWITCHED_PAGES.includes(page) || selectors === "switched"),
  ),
  shared: sharing(vcpu),
})

export const fixed = (offset: number): bigint => L.FIXED + BigInt(offset)
/** Virtual address of a page of a processor's area. */
export const cpuAddress = (cpu: number, page: number): bigint => fixed(L.CPU_OFFSET + (cpu * L.CPU_PAGES + page) * 4096)
/** Virtual address of a virtual CPU's descriptor in the host's tables; the state page follows. */
export const descriptorAddress = (slot: number): bigint => fixed(L.VCPU_OFFSET + slot * 8192)
/** Virtual address of a task's structure, on hosts that find the VCPU through it. */
export const taskAddress = (pid: number): bigint => fixed(L.TASK_OFFSET + pid * 4096)

/** GDT and IDT are never written by these addresses: their accessed and busy bits are set from the start. */
const cpuRights = (page: number, { rights, shared }: World): number => {
  switch (page) {
    case L.CPU_TSS:
      return rights
    case L.CPU_PDA:
      return shared | PTE_W
    case L.CPU_GDT:
    case L.CPU_IDT:
      return PTE_G
    case L.CPU_GUEST_GDT:
    case L.CPU_GUEST_IDT:
      return 0
  }
  return PTE_G | PTE_W
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
  for (const i of world.pages) mapPage(ram, frames, root, cpuAddress(cpu, i), pages[i]!, cpuRights(i, world), true)
}

export const unmapProcessor = (ram: Ram, root: number, cpu: number): void => {
  for (let i = 0; i < L.CPU_USED; i++) unmapPage(ram, root, cpuAddress(cpu, i))
}

/** Maps a virtual CPU's two pages at `at`: descriptorAddress, or for a guest the known address. */
export const mapVcpu = (
  ram: Ram,
  frames: FrameAllocator,
  root: number,
  at: bigint,
  descriptor: number,
  state: number,
  { rights, shared }: World,
): void => {
  mapPage(ram, frames, root, at, descriptor, rights, true)
  mapPage(ram, frames, root, at + 4096n, state, PTE_W | shared, true)
}

/** Maps the call page and, behind it, a virtual CPU's page of the ROM, for a kernel at ring `ring` (SDM vol. 3, 4.6). */
export const mapCallPage = (
  ram: Ram,
  frames: FrameAllocator,
  root: number,
  rom: number,
  ring: Choices["ring"],
): void => {
  const user = ring === 3 ? PTE_U : 0
  mapPage(ram, frames, root, fixed(CALL_PAGE_OFFSET), L.CALL_PAGE_PA, user, false)
  mapPage(ram, frames, root, fixed(CALL_PAGE_OFFSET + 4096), rom, PTE_W | user, true)
}
