import {
  GDT_DOUBLEFAULT_TSS,
  GDT_ENTRIES,
  GDT_KERNEL_CS,
  GDT_KERNEL_DS,
  GDT_LGUEST_CS,
  GDT_LGUEST_DS,
  GDT_TLS_ENTRIES,
  GDT_TLS_MIN,
  GDT_TSS,
  GUEST_PL,
  SWITCHER_ADDR,
} from "../paravirt_ops/lguest.ts"
import { Changes } from "./changes.ts"
import {
  DESC_ACCESSED,
  DESC_CODE,
  DESC_DPL,
  DESC_DPL_SHIFT,
  DESC_EXPAND_DOWN,
  DESC_GRANULARITY,
  DESC_PRESENT,
  DESC_S,
  descriptorBase,
  descriptorHi,
  descriptorLimit,
  descriptorLo,
  flatCode,
  flatData,
} from "./descriptors.ts"
import { Fields, type State } from "../machine/snapshot.ts"

/*
 * S:190 The fence, then. Rusty's first answer to "how do you keep a Guest's hands off the Switcher" was a few bits in
 * each of its descriptors, and it was the file in which one did not tread without a change of underwear. It has become
 * almost serene.
 *
 * A guest's descriptors, made harmless. The processor sees none of the guest's own table: what the guest asks for goes
 * through `sanitize` into a table of the host's, and that one is copied to the processor that runs the guest.
 *
 * Four rules:
 *  1. Nobody gets ring 0: DPL 0 becomes 1. System descriptors (call gates, task gates, TSS, LDT) and the entries
 *     that the Switcher needs are ignored.
 *  2. The accessed bit is set, because the table is read-only while the guest runs and the processor would want to set it.
 *  3. No segment reaches the Switcher: one that would is trimmed to end right below. lguest did so until paging alone had to
 *     do (its pages are read-only or worthless to the guest, but a ring-1 kernel can read them).
 *  4. What cannot be trimmed, because it begins in the Switcher's range or expands down into it, is made not present.
 *
 * The TLS entries are excepted from 3 and 4 where their DPL is 3: thread-local storage lies below its segment's base, at
 * offsets near 4 GiB that wrap around, and programs need it whole. A process is stopped by the pages' U/S bit. A
 * kernel that loads such a segment can look at the Switcher's pages, but not change what the host depends on.
 *
 * Where the fence stands is the design's affair. With all of the host behind it there can be no such exception, for a kernel
 * that loads such a segment could write the host: thread-local storage ends at its base there, as under Xen.
 *
 * Rusty ends his mail of 2007 with a thought: one could do on i386 what x86_64 is forced to do, read-only pages and no
 * segments. Here one can (`host: switcher`): rules 3 and 4 fall away, a flat segment has its 4 GiB again, and
 * tests/i386/designs.test.ts finds nothing that it lets through. Would it be any worse? You have seen all that there is to
 * be seen, and are in a position to ask: `lguest64 journey Mastery`.
 */

/** The entries that the host keeps to itself. */
export const isHostsEntry = (index: number): boolean =>
  index === 0 ||
  index === GDT_TSS ||
  index === GDT_LGUEST_CS ||
  index === GDT_LGUEST_DS ||
  index === GDT_DOUBLEFAULT_TSS

const isTls = (index: number): boolean => index >= GDT_TLS_MIN && index < GDT_TLS_MIN + GDT_TLS_ENTRIES

/** Bits of the high word that are base or limit. */
const BASE_AND_LIMIT = 0xff0f00ff

/** Where segments have to end: rules 3 and 4, for a descriptor that keeps the first two. Both words 0: none. */
export type Fence = (index: number, lo: number, hi: number) => readonly [lo: number, hi: number]

/** No segment reaches `end`; `wholeTls`: but for those of thread-local storage. */
export const endingBelow =
  (end: number, wholeTls: boolean): Fence =>
  (index, lo, hi) => {
    if (wholeTls && isTls(index) && (hi & DESC_DPL) === DESC_DPL) return [lo, hi]
    const base = descriptorBase(lo, hi)
    if (base >= end) return [0, 0]
    if ((hi & DESC_CODE) === 0 && (hi & DESC_EXPAND_DOWN) !== 0) return [0, 0]
    const last = descriptorLimit(lo, hi)
    const allowed = end - 1 - base
    if (last <= allowed) return [lo, hi]
    const attributes = hi & ~BASE_AND_LIMIT
    // Whole pages, where the limit counts pages: the last page that ends below. A byte limit fits always, since it is under
    // 1 MiB and was above `allowed`.
    if ((hi & DESC_GRANULARITY) === 0) return [descriptorLo(base, allowed), descriptorHi(base, allowed, attributes)]
    const pages = Math.floor((allowed + 1) / 4096)
    if (pages === 0) return [0, 0]
    return [descriptorLo(base, pages - 1), descriptorHi(base, pages - 1, attributes)]
  }

/** lguest's. */
export const belowSwitcher: Fence = endingBelow(SWITCHER_ADDR, true)
/** None: paging alone has to do. */
export const noFence: Fence = (_index, lo, hi) => [lo, hi]

/** The descriptor to use in place of lo:hi, as [low, high]; both 0: none. */
export const sanitize = (
  index: number,
  lo: number,
  hi: number,
  fence: Fence = belowSwitcher,
): readonly [lo: number, hi: number] => {
  if (isHostsEntry(index) || (hi & DESC_PRESENT) === 0 || (hi & DESC_S) === 0) return [0, 0]
  const dpl = (hi & DESC_DPL) === 0 ? GUEST_PL << DESC_DPL_SHIFT : hi & DESC_DPL
  return fence(index, lo, ((hi & ~DESC_DPL) | dpl | DESC_ACCESSED) >>> 0)
}

const FIELDS = new Fields({ arrays: ["lo", "hi"], parts: ["changes"] })

/** A guest's descriptor table. */
export class GuestGdt {
  readonly lo = new Uint32Array(GDT_ENTRIES)
  readonly hi = new Uint32Array(GDT_ENTRIES)
  readonly changes = new Changes(GDT_ENTRIES)
  private readonly fence: Fence

  /** It starts with flat code and data for ring 1. */
  constructor(fence: Fence = belowSwitcher) {
    this.fence = fence
    this.load(GDT_KERNEL_CS, descriptorLo(0, 0xfffff), descriptorHi(0, 0xfffff, flatCode(GUEST_PL)))
    this.load(GDT_KERNEL_DS, descriptorLo(0, 0xfffff), descriptorHi(0, 0xfffff, flatData(GUEST_PL)))
  }

  /** `index` is less than GDT_ENTRIES. */
  load(index: number, lo: number, hi: number): void {
    const [l, h] = sanitize(index, lo, hi, this.fence)
    this.lo[index] = l
    this.hi[index] = h
    this.changes.add(index)
  }

  /** Base of the segment that `selector` names; 0 where there is none (or only an LDT's). */
  base(selector: number): number {
    const index = (selector & 0xffff) >>> 3
    if ((selector & 4) !== 0 || index >= GDT_ENTRIES) return 0
    return descriptorBase(this.lo[index]!, this.hi[index]!)
  }

  save(): State {
    return FIELDS.save(this)
  }

  restore(state: State): void {
    FIELDS.restore(this, state)
  }
}
