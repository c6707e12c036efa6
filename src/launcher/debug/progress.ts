import type { Processor } from "../../machine/processor.ts"
import type { Arrival, DebugTarget } from "./target.ts"

/*
 * Has a virtual CPU executed an instruction? Not every stop at an instruction says so: under a module one that touches a page
 * for the first time, or is carried out by its host, leaves the guest and comes back to where it was. And what the host's own
 * processes do in the meantime is nobody's step.
 */
export class Progress {
  private readonly target: DebugTarget
  readonly vcpu: number
  private readonly from: bigint
  /** The processor that it was on between two of its own, and what that had counted; undefined: something else ran there since. */
  private processor: Processor | undefined
  private count = 0

  constructor(target: DebugTarget, vcpu: number) {
    this.target = target
    this.vcpu = vcpu
    this.from = this.rip
    this.note(target.vcpus[vcpu]!.running())
  }

  private note(processor: Processor | undefined): void {
    this.processor = processor
    this.count = processor === undefined ? 0 : this.target.executed(processor)
  }

  private get rip(): bigint {
    return this.target.vcpus[this.vcpu]!.read("rip")
  }

  /** To be asked at every stop. */
  made({ vcpu, processor }: Arrival): boolean {
    if (vcpu !== this.vcpu) {
      if (processor === this.processor) this.processor = undefined
      return false
    }
    const { processor: before, count } = this
    this.note(processor)
    return this.rip !== this.from || (before === processor && this.count > count)
  }
}
