import type { SharedHeap } from "../../machine/shared.ts"
import { type AddressSpace, GuestWalk, Result } from "../vcpuState.ts"

const LINEAR = 0
const PGD_GFN = 1
const SPACE = 2
const CELLS = 3

/** What a simple MMU knows of one virtual CPU, in shared cells; `walk` and `result` are scratch of the thread that runs it. */
export class SimpleVcpuState implements AddressSpace {
  readonly index: number
  private readonly cells: Int32Array
  readonly walk = new GuestWalk()
  readonly result = new Result()

  constructor(heap: SharedHeap, index: number) {
    this.index = index
    this.cells = heap.i32(CELLS)
    if (heap.fresh) this.linear = true
  }

  get linear(): boolean {
    return this.cells[LINEAR] !== 0
  }
  set linear(on: boolean) {
    this.cells[LINEAR] = on ? 1 : 0
  }

  get pgdGfn(): number {
    return this.cells[PGD_GFN]!
  }
  set pgdGfn(gfn: number) {
    this.cells[PGD_GFN] = gfn
  }

  /** Which of its spaces is in use. */
  get space(): number {
    return this.cells[SPACE]!
  }
  set space(space: number) {
    this.cells[SPACE] = space
  }
}
