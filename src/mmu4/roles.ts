import { RW, US, NX_HI } from "./entries.ts"

/*
 * H:210 One table of the Guest may need several shadows. The one that decides everything here: Guest kernel and Guest
 * user both run at ring 3, where the U bit of an entry protects nothing from anybody. So there are two views of the
 * same tables, and in the user's the kernel's pages are simply not there.
 *
 * A role is what a shadow page is besides its frame: two shadow pages of one guest table with different roles have
 * different entries. It is one integer:
 *
 *   bits 0..2   level, 1 to 4
 *   bit 3       direct: shadows no guest table; entry i maps frame + i * 512^(level-1). Direct pages make up the linear
 *               view, and split the guest's 2 MiB and 1 GiB pages. The frame is the first one mapped, so the part of a
 *               1 GiB page that a table covers (its "quadrant") is told by the frame and needs no bit here.
 *   bit 4, 5    W, X: what all entries above allow. Entries that refer to tables allow everything, so that the hardware's
 *               answer depends on the last entry alone, and that one is computed from role and guest entry.
 *   bit 6       the user view, if there are two: it has tables only below guest entries with U set. What the guest's user
 *               must not see is absent from it. Direct pages are the same in both views: bit 0.
 *   bit 7       U: like W and X, where the guest's kernel is a supervisor to paging. At ring 3 it is never set: there all
 *               leaves have U, whatever the guest's entries say (`Views.leafBits`).
 *   bits 8..15  roots: virtual CPU + 1, because the host's entries differ; in the user's view they may differ once more.
 */

export const ROLE_LEVEL = 0x07
export const ROLE_DIRECT = 0x08
export const ROLE_W = 0x10
export const ROLE_X = 0x20
export const ROLE_USER = 0x40
export const ROLE_U = 0x80
export const ROLE_VCPU_SHIFT = 8
/** All that can be allowed. */
export const ACCESS_ALL = ROLE_W | ROLE_X | ROLE_U
/** Virtual CPUs that the role can tell apart. */
export const MAX_VCPUS = 255

export const levelOf = (role: number): number => role & ROLE_LEVEL
export const isDirect = (role: number): boolean => (role & ROLE_DIRECT) !== 0

/** What is left of `access` (ROLE_W, ROLE_X, ROLE_U) below a guest entry. */
export const accessBelow = (access: number, lo: number, hi: number): number =>
  access &
  ((lo & RW) !== 0 ? ACCESS_ALL : ROLE_X | ROLE_U) &
  ((hi & NX_HI) !== 0 ? ROLE_W | ROLE_U : ACCESS_ALL) &
  ((lo & US) !== 0 ? ACCESS_ALL : ROLE_W | ROLE_X)

/** Whether the view of a role (ROLE_USER or 0) shows what lies below a guest entry at all. */
export const visible = (viewRole: number, lo: number): boolean => viewRole === 0 || (lo & US) !== 0

export const tableRole = (level: number, access: number, viewRole: number): number => level | access | viewRole
export const directRole = (level: number, access: number): number => level | ROLE_DIRECT | access
export const rootRole = (linear: boolean, access: number, viewRole: number, vcpu: number): number =>
  4 | (linear ? ROLE_DIRECT : 0) | access | viewRole | ((vcpu + 1) << ROLE_VCPU_SHIFT)

/** For people: `L1 W X user`; with U, of a path that the guest's user may take: `L1 W X U kernel`. */
export const roleName = (role: number): string => {
  const words = [`L${levelOf(role)}`]
  if (isDirect(role)) words.push("direct")
  if ((role & ROLE_W) !== 0) words.push("W")
  if ((role & ROLE_X) !== 0) words.push("X")
  if ((role & ROLE_U) !== 0) words.push("U")
  words.push((role & ROLE_USER) !== 0 ? "user" : isDirect(role) ? "both" : "kernel")
  if (role >> ROLE_VCPU_SHIFT !== 0) words.push(`root of vcpu ${(role >> ROLE_VCPU_SHIFT) - 1}`)
  return words.join(" ")
}
