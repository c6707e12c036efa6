import type { SharedHeap } from "../machine/shared.ts"
import { LEVELS } from "./entries.ts"
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
  /** ROLE_W, ROLE_X and ROLE_U as all entries together allow. */
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

/** What a guest walk has to know of the virtual CPU that it is for, and where it leaves what it finds. */
export interface AddressSpace {
  readonly linear: boolean
  /** Frame of the guest's PML4; 0 in the linear view. */
  readonly pgdGfn: number
  readonly walk: GuestWalk
  readonly result: Result
}

const LINEAR = 0
const PGD_GFN = 1
/** First of the cells that are the MMU's own. */
export const OWN_CELLS = 2

/** Which of the guest's tables a virtual CPU uses, in the first of `cells` shared ones. */
export class TablesInUse {
  protected readonly cells: Int32Array

  constructor(heap: SharedHeap, cells: number) {
    this.cells = heap.i32(cells)
    if (heap.fresh) this.linear = true
  }

  get linear(): boolean {
    return this.cells[LINEAR] !== 0
  }
  set linear(on: boolean) {
    this.cells[LINEAR] = on ? 1 : 0
  }

  /** Frame of the guest's PML4; 0 in the linear view. */
  get pgdGfn(): number {
    return this.cells[PGD_GFN]!
  }
  set pgdGfn(gfn: number) {
    this.cells[PGD_GFN] = gfn
  }
}

/** Pages that one virtual CPU can have open for its next instruction: no instruction stores to more than two. */
export const WINDOWS = 2

const CURRENT = OWN_CELLS
const HANDED = CURRENT + 2
const RETIRED = HANDED + 2
const WINDOW_GFN = RETIRED + 2
const WINDOW_ID = WINDOW_GFN + WINDOWS
const CELLS = WINDOW_ID + WINDOWS

/**
 * What the MMU knows of one virtual CPU, in shared cells; `walk` and `result` are scratch of the thread that runs it. View 0
 * is the kernel's, 1 the user's if it has one of its own (views.ts).
 */
export class VcpuState extends TablesInUse implements AddressSpace {
  readonly index: number
  /** Root that faults are resolved in, by view; -1: none. Pinned. */
  readonly current: Int32Array
  /** Root that `rootFor` returned last, by view: the processor may be running on it. Pinned. */
  readonly handed: Int32Array
  /** Root that was returned before that: the processor may not have left it yet. Pinned. */
  readonly retired: Int32Array
  /** window.ts: the tables that are open for one instruction (-1: none), and the sptes that map them. */
  readonly windowGfn: Int32Array
  readonly windowId: Int32Array
  readonly walk = new GuestWalk()
  readonly result = new Result()

  constructor(heap: SharedHeap, index: number) {
    super(heap, CELLS)
    this.index = index
    this.current = this.cells.subarray(CURRENT, CURRENT + 2)
    this.handed = this.cells.subarray(HANDED, HANDED + 2)
    this.retired = this.cells.subarray(RETIRED, RETIRED + 2)
    this.windowGfn = this.cells.subarray(WINDOW_GFN, WINDOW_GFN + WINDOWS)
    this.windowId = this.cells.subarray(WINDOW_ID, WINDOW_ID + WINDOWS)
    if (!heap.fresh) return
    for (const none of [this.current, this.handed, this.retired, this.windowGfn]) none.fill(-1)
  }
}
