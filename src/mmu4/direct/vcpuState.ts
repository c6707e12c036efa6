import type { SharedHeap } from "../../machine/shared.ts"
import { OWN_CELLS, Result, TablesInUse, WINDOWS } from "../vcpuState.ts"

/** Frames that the host may write to in a virtual CPU's name between two entries: two for each event's frame, and more. */
const HELD = 32

const VALID = OWN_CELLS
const HELD_COUNT = VALID + 1
const CELLS = HELD_COUNT + 1

/** What a walk of the guest's tables found; overwritten by the next. */
export class DirectWalk {
  /** Level of the last entry that was read; 0: there is a leaf, or a device. */
  missing = 0
  /** Host-physical address of the level-1 entry, and what it says. */
  at = 0
  lo = 0
  hi = 0
  /** Frame of the table that the level-1 entry lies in. */
  table = -1
  /** Frame of the guest's; at `count` and above a device. */
  gfn = 0
  /** What all entries together allow, as the guest means them. */
  write = false
  fetch = false
  user = false
  /** The PML4's entry has U: what it leads to is a process's. */
  process = false
}

/** What the MMU knows of one virtual CPU, in shared cells. View 0 is the kernel's, 1 the user's. */
export class DirectVcpuState extends TablesInUse {
  readonly index: number
  /** Host frames of its two roots. They are the host's own: copies of the guest's PML4 (roots.ts). */
  readonly roots: Int32Array
  /** window.ts: the page table that is open (-1: none), and the frame of the table in which the window is (-1: the linear view). */
  readonly windowTable: Int32Array
  readonly windowIn: Int32Array
  /** Host frames with the copies that are stored to; which of them a window shows. */
  readonly scratch: Int32Array
  readonly windowScratch: Int32Array
  /** Host-physical address of the entry in which the window is (-1: it has been overwritten), and what belongs there. */
  readonly windowAt: Float64Array
  readonly savedLo: Uint32Array
  readonly savedHi: Uint32Array
  /** The open tables as they were, 1024 words each. */
  readonly before: Uint32Array
  private readonly held: Int32Array
  readonly walk = new DirectWalk()
  readonly result = new Result()

  constructor(heap: SharedHeap, index: number) {
    super(heap, CELLS)
    this.index = index
    this.roots = heap.i32(2)
    this.windowTable = heap.i32(WINDOWS)
    this.windowIn = heap.i32(WINDOWS)
    this.scratch = heap.i32(WINDOWS)
    this.windowScratch = heap.i32(WINDOWS)
    this.windowAt = heap.f64(WINDOWS)
    this.savedLo = heap.u32(WINDOWS)
    this.savedHi = heap.u32(WINDOWS)
    this.before = heap.u32(WINDOWS * 1024)
    this.held = heap.i32(HELD)
    if (!heap.fresh) return
    this.windowTable.fill(-1)
  }

  /** The PML4 is validated, and this virtual CPU holds a reference to it. */
  get valid(): boolean {
    return this.cells[VALID] !== 0
  }
  set valid(valid: boolean) {
    this.cells[VALID] = valid ? 1 : 0
  }

  /** Notes that the host will write to a frame before the next entry; false: there are too many. With the guest's lock. */
  hold(holds: Int32Array, gfn: number): boolean {
    const n = this.cells[HELD_COUNT]!
    for (let i = 0; i < n; i++) if (this.held[i] === gfn) return true
    if (n === HELD) return false
    Atomics.add(holds, gfn, 1)
    this.held[n] = gfn
    this.cells[HELD_COUNT] = n + 1
    return true
  }

  /** The host has done what it wanted to do in this virtual CPU's name. Needs no lock. */
  letGo(holds: Int32Array): void {
    const n = this.cells[HELD_COUNT]!
    if (n === 0) return
    for (let i = 0; i < n; i++) Atomics.sub(holds, this.held[i]!, 1)
    this.cells[HELD_COUNT] = 0
  }
}
