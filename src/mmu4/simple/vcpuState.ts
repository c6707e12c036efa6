import type { SharedHeap } from "../../machine/shared.ts"
import { type AddressSpace, GuestWalk, OWN_CELLS, Result, TablesInUse } from "../vcpuState.ts"

const SPACE = OWN_CELLS
const CELLS = SPACE + 1

/** What a simple MMU knows of one virtual CPU, in shared cells; `walk` and `result` are scratch of the thread that runs it. */
export class SimpleVcpuState extends TablesInUse implements AddressSpace {
  readonly index: number
  readonly walk = new GuestWalk()
  readonly result = new Result()

  constructor(heap: SharedHeap, index: number) {
    super(heap, CELLS)
    this.index = index
  }

  /** Which of its spaces is in use. */
  get space(): number {
    return this.cells[SPACE]!
  }
  set space(space: number) {
    this.cells[SPACE] = space
  }
}
