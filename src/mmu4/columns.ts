import type { PhysicalMemory } from "./interface.ts"
import type { Views } from "./views.ts"

/*
 * What all shadow MMUs of this folder have in common: columns of typed arrays beside the shadow tables in memory, one
 * number for each shadow page (`sp`, a slot) and for each spte (`id`, sp * 512 + index), and the meaning of their bits.
 */

/** pageFlags: the slot is in use. */
export const PAGE_LIVE = 1
/** Its guest table may have been written since it was read. Level 1 only; all pages of a frame or none. */
export const PAGE_UNSYNC = 2
/** Zapped while pinned: empty, not to be found, freed when the last pin goes. */
export const PAGE_DEAD = 4
/** Used since the reclaimer looked last. */
export const PAGE_TOUCHED = 8

/** entryInfo: maps a page (4 KiB in level 1, else 2 MiB); entryTarget is its first guest frame. */
export const ENTRY_LEAF = 1
/** Refers to a shadow page; entryTarget is its slot. */
export const ENTRY_TABLE = 2
/** A leaf that allows writing, executing, and the guest's user where U tells (views.ts). */
export const ENTRY_W = 4
export const ENTRY_X = 8
export const ENTRY_U = 16

/** The guest's tables, to be read and never to be believed. */
export interface GuestTables {
  readonly memory: PhysicalMemory
  /** [slot] = 1: the PML4 slot is the host's. */
  readonly hostSlot: Uint8Array
  /** Reserved address bits of a guest entry's high half. */
  readonly reservedHi: number
  readonly frameCount: number
  readonly views: Views
  /** What readGuestEntry found. */
  guestLo: number
  guestHi: number
  /** Host frame behind a guest frame; -1: no memory there. */
  hostFrame(gfn: number): number
  /** Host-physical address of a guest-physical one that is known to be memory. */
  hostAddress(gpa: number): number
}

/** The columns in which a shadow can be looked up. */
export interface ShadowColumns {
  readonly memory: PhysicalMemory
  readonly views: Views
  readonly pageHfn: Int32Array
  readonly pageGfn: Int32Array
  readonly pageRole: Int32Array
  readonly pageFlags: Uint8Array
  readonly entryInfo: Uint8Array
  readonly entryTarget: Int32Array
}
