import type { Ram } from "../machine/ram.ts"

/*
 * P:150 One cheat there is, and it is a fair one: we have not written a Linux in C to be our Host. The Host's first and
 * last instructions, where every trick is, are machine code (S:010); what a C compiler would have made of the rest is
 * TypeScript. Between the two are gates.
 *
 * Gates: the only doors from the host's machine code to "the C code of the host kernel", which is TypeScript. A gate is
 * an address; a stub calls it like any function, the core leaves `run` with EXIT_GATE, the registered function does its
 * work, and when the processor runs again it executes what lies at the address: a RET.
 */
const RET = 0xc3

export type GateHandler = () => void

export class GateTable {
  private readonly handlers: Array<GateHandler | undefined>
  private readonly base: number
  private readonly stride: number

  /** `fresh`: in the thread that made the machine, which writes what the processor executes. */
  constructor(ram: Ram, base: number, stride: number, count: number, fresh: boolean) {
    this.base = base
    this.stride = stride
    this.handlers = new Array<GateHandler | undefined>(count).fill(undefined)
    for (let i = 0; fresh && i < count; i++) ram.write8(base + i * stride, RET)
  }

  register(index: number, handler: GateHandler): void {
    this.handlers[index] = handler
  }

  /** Calls the function whose gate lies at the physical address `pa`. */
  dispatch(pa: number): void {
    const handler = this.handlers[(pa - this.base) / this.stride]
    if (handler === undefined) throw new Error(`no function is registered for the gate at 0x${pa.toString(16)}`)
    handler()
  }
}
