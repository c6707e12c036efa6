import { US } from "./entries.ts"
import { ENTRY_U } from "./columns.ts"
import { ROLE_U, ROLE_USER, ROLE_W, ROLE_X } from "./roles.ts"

/*
 * H:215 Two questions that are asked once, when the Guest is built: has its kernel a ring of its own, in the eyes of
 * paging? And do kernel and user share their shadows? The answers become four numbers, and nothing that runs per fault
 * ever asks again.
 *
 * With the kernel at ring 3, U in an spte keeps nobody out, so all leaves have it, and the user needs a view of its own.
 * With the kernel at ring 1, the hardware tells it from its user by U as on the bare machine, and one view is enough.
 * One view at ring 3 is possible too: then processes can reach their kernel's pages as soon as it has touched them.
 */

export interface Views {
  readonly count: 1 | 2
  /** Index of the user's view: that of the kernel's (0), or its own (1). */
  readonly user: 0 | 1
  /** ROLE_USER if the user's view is one of its own; else 0. */
  readonly userRole: number
  /** The access of a root, from which each entry of a path takes away: ROLE_U is in it only where U decides something. */
  readonly access: number
  /** Bits that all leaves have, whatever the guest's entries say: US or none. */
  readonly leafBits: number
  /** What a leaf must have for the guest's user to use it: ENTRY_U, or nothing. */
  readonly userNeeds: number
}

export const viewsOf = (count: 1 | 2, supervisor: boolean): Views => ({
  count,
  user: count === 2 ? 1 : 0,
  userRole: count === 2 ? ROLE_USER : 0,
  access: ROLE_W | ROLE_X | (supervisor ? ROLE_U : 0),
  leafBits: supervisor ? 0 : US,
  userNeeds: supervisor ? ENTRY_U : 0,
})
