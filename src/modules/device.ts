import type { Death, GuestSetup, LguestDevice, Pending } from "../host/devLguest.ts"
import type { HostKernel } from "../host/kernel.ts"
import type { Task } from "../host/task.ts"
import { BadState, NotNow, type State } from "../machine/snapshot.ts"

/*
 * L:160 Finally the far side of the file, where a `read` arrives in the Host. Notice that it runs the Host, not the
 * Guest: whether the Guest gets the processor is the scheduler's decision, as with every task.
 *
 * /dev/lguest as far as it is the same for both modules: reading, interrupts, the end. What is a module's own is how a
 * guest begins, its registers, and what it gives back.
 *
 * Take a rest. What comes now is the long part, with the Bit of Despair in the middle, and you should not begin it
 * hungry: `lguest64 journey Host`.
 */

/** A virtual CPU as its device drives it. */
export interface DrivenVcpu {
  readonly task: Task
  readonly halted: boolean
  readonly pendingInterrupts: number
  /** Whether it has been started: the first is from the beginning. */
  readonly up: boolean
  /** What `read` has to return with; the guest does not run while it is set. */
  pending: Pending | undefined
  interrupt(irq: number): void
  injectTrap(vector: number, error: number): void
  advance(length: number): void
  death(cause: string): Death
}

export abstract class GuestDevice<V extends DrivenVcpu> implements LguestDevice {
  protected readonly vcpus: ReadonlyArray<V>
  private readonly kernel: HostKernel
  /** The virtual CPU that the last `read` was about. */
  protected vcpu: V

  constructor(kernel: HostKernel, vcpus: ReadonlyArray<V>) {
    this.kernel = kernel
    this.vcpus = vcpus
    this.vcpu = vcpus[0]!
  }

  abstract initialize(setup: GuestSetup): void
  writing(_gpa: number, _bytes: number): boolean {
    return true
  }
  abstract written(gpa: number, bytes: number): void
  abstract registerLo(index: number): number
  abstract registerHi(index: number): number
  abstract setRegister(index: number, lo: number, hi: number): void
  /** Gives back the guest's shadows and the virtual CPUs' pages; their tasks are off the processors. */
  protected abstract release(): void

  get served(): number {
    return this.vcpus.indexOf(this.vcpu)
  }

  /** The launcher has carried out what was asked for: the virtual CPU may go on. */
  private resume(vcpu: V): void {
    const { pending } = vcpu
    if (pending?.kind === "io" || pending?.kind === "start") vcpu.pending = undefined
    if (vcpu.pending !== undefined || !vcpu.up || vcpu.task.runnable) return
    if (!vcpu.halted || vcpu.pendingInterrupts !== 0) this.kernel.wake(vcpu.task)
  }

  private answer(): Pending | undefined {
    for (const vcpu of this.vcpus) {
      if (vcpu.pending === undefined) continue
      this.vcpu = vcpu
      return vcpu.pending
    }
    return undefined
  }

  read(limit: number): Pending {
    const { kernel } = this
    this.resume(this.vcpu)
    const waiting = this.answer()
    if (waiting !== undefined) return waiting
    switch (kernel.drive(limit)) {
      case "asked":
        return this.answer() ?? { kind: "slice" }
      case "idle":
        return { kind: "idle", until: kernel.nextEvent() }
      default:
        return { kind: "slice" }
    }
  }

  serve(vcpu: number): Pending | undefined {
    this.vcpu = this.vcpus[vcpu]!
    return this.vcpu.pending
  }

  goOn(): void {
    this.resume(this.vcpu)
  }

  irq(irq: number): void {
    this.vcpus[0]!.interrupt(irq)
  }

  advance(length: number): void {
    this.vcpu.advance(length)
  }

  trap(vector: number, error: number): void {
    this.vcpu.injectTrap(vector, error)
  }

  kill(cause: string): void {
    this.vcpu.pending = { kind: "killed", death: this.vcpu.death(cause) }
  }

  /** What the virtual CPUs have in fields is a module's own. Between two reads they have nothing for the launcher. */
  save(): State {
    if (this.vcpus.some(({ pending }) => pending !== undefined))
      throw new NotNow("the guest waits for its launcher, or is at its end")
    return this.served
  }

  restore(state: State): void {
    const vcpu = typeof state === "number" ? this.vcpus[state] : undefined
    if (vcpu === undefined) throw new BadState("the guest has no such virtual CPU")
    this.vcpu = vcpu
  }

  close(): void {
    const { vcpus, kernel } = this
    for (const vcpu of vcpus) {
      vcpu.pending ??= { kind: "slice" }
      kernel.setTimer(vcpu.task, Infinity)
      kernel.switchAwayFrom(vcpu.task)
    }
    this.release()
  }
}
