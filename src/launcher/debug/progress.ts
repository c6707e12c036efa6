import type { DebugTarget } from "./target.ts"

/*
 * Has a virtual CPU executed an instruction? Not every stop at an instruction says so: under a module one that touches a page
 * for the first time, or is carried out by its host, leaves the guest and comes back to where it was. And what the host's own
 * processes do in the meantime is nobody's step.
 */
export class Progress {
  private readonly target: DebugTarget
  readonly vcpu: number
  private readonly from: bigint
  /** Instructions counted when it was last seen between two of its own; undefined: something else ran since. */
  private count: number | undefined

  constructor(target: DebugTarget, vcpu: number) {
    this.target = target
    this.vcpu = vcpu
    this.from = this.rip
    this.count = target.executed(vcpu)
  }

  private get rip(): bigint {
    return this.target.vcpus[this.vcpu]!.read("rip")
  }

  /** To be asked at every stop, with the virtual CPU that it is of. */
  made(at: number | undefined): boolean {
    if (at !== this.vcpu) {
      this.count = undefined
      return false
    }
    const before = this.count
    this.count = this.target.executed(this.vcpu)
    return this.rip !== this.from || (before !== undefined && this.count !== undefined && this.count > before)
  }
}
