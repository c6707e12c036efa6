import { ENTRIES, LEVELS } from "./entries.ts"
import { FIXED, type FaultKind, type FaultResult } from "./interface.ts"

/** What a guest walk found; one for each virtual CPU, overwritten by the next walk (walk.ts). */
export class GuestWalk {
  /** FIXED: allowed. GUEST_FAULT or KILL otherwise. */
  outcome: FaultKind = FIXED
  /** GUEST_FAULT: error code. */
  error = 0
  /** KILL: the frame of a table that is no memory. */
  badFrame = 0
  /** Level of the entry that maps the page; 4 in the linear view, whose root is one large page. */
  leafLevel = 0
  /** Guest frame of the 4 KiB page; may lie beyond memory. */
  gfn = 0
  /** ROLE_W and ROLE_X as all entries together allow. */
  access = 0
  /** The mapping entry's D flag, after the walk. */
  dirty = false
  /** [level]: entry, its guest-physical address, the frame of its table, and the access from the root down to it. */
  readonly lo = new Uint32Array(LEVELS + 1)
  readonly hi = new Uint32Array(LEVELS + 1)
  readonly gpa = new Float64Array(LEVELS + 1)
  readonly table = new Int32Array(LEVELS + 1)
  readonly accessAt = new Uint8Array(LEVELS + 1)
}

export class Result implements FaultResult {
  kind: FaultKind = FIXED
  error = 0
  gpa = 0
  reason = ""
  set(kind: FaultKind, error: number, gpa: number): this {
    this.kind = kind
    this.error = error
    this.gpa = gpa
    this.reason = ""
    return this
  }
}

/** What the MMU knows of one virtual CPU. View 0 is the kernel's, 1 the user's. */
export class VcpuState {
  readonly index: number
  linear = true
  /** Frame of the guest's PML4; 0 in the linear view. */
  pgdGfn = 0
  /** Root that faults are resolved in, by view; -1: none. Pinned. */
  readonly current = new Int32Array([-1, -1])
  /** Root that `rootFor` returned last, by view: the processor may be running on it. Pinned. */
  readonly handed = new Int32Array([-1, -1])
  /** window.ts: the table that is open for one instruction, its spte, and its contents before and after; gfn -1: none. */
  windowGfn = -1
  windowId = 0
  readonly windowBefore = new Uint32Array(ENTRIES * 2)
  readonly windowAfter = new Uint32Array(ENTRIES * 2)
  readonly walk = new GuestWalk()
  readonly result = new Result()

  constructor(index: number) {
    this.index = index
  }
}
