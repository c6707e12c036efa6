import type { Death, GuestSetup, LguestDevice, Pending } from "../host/devLguest.ts"
import type { HostKernel } from "../host/kernel.ts"
import type { Task } from "../host/task.ts"
import type { Timer } from "../host/timers.ts"

/*
 * /dev/lguest as far as it is the same for both modules: reading, interrupts, the end. What is a module's own is how a
 * guest begins, its registers, and what it gives back.
 */

/** A virtual CPU as its device drives it. */
export interface DrivenVcpu {
  readonly task: Task
  readonly clockEvent: Timer
  readonly halted: boolean
  readonly pendingInterrupts: number
  /** What `read` has to return with; the guest does not run while it is set. */
  pending: Pending | undefined
  interrupt(irq: number): void
  injectTrap(vector: number, error: number): void
  advance(length: number): void
  death(cause: string): Death
}

export abstract class GuestDevice<V extends DrivenVcpu> implements LguestDevice {
  protected readonly vcpu: V
  private readonly kernel: HostKernel

  constructor(kernel: HostKernel, vcpu: V) {
    this.kernel = kernel
    this.vcpu = vcpu
  }

  abstract initialize(setup: GuestSetup): void
  abstract written(gpa: number, bytes: number): void
  abstract registerLo(index: number): number
  abstract registerHi(index: number): number
  abstract setRegister(index: number, lo: number, hi: number): void
  /** Gives back the guest's shadows and the virtual CPU's pages; its task is off the processor. */
  protected abstract release(): void

  read(limit: number): Pending {
    const { vcpu, kernel } = this
    if (vcpu.pending?.kind === "io") vcpu.pending = undefined
    if (vcpu.pending !== undefined) return vcpu.pending
    if (!vcpu.task.runnable && (!vcpu.halted || vcpu.pendingInterrupts !== 0)) kernel.wake(vcpu.task)
    switch (kernel.drive(limit)) {
      case "asked":
        return vcpu.pending ?? { kind: "slice" }
      case "idle":
        return { kind: "idle", until: kernel.clock.nextEvent(kernel.now) }
      case "slice":
        return { kind: "slice" }
    }
  }

  irq(irq: number): void {
    this.vcpu.interrupt(irq)
    // The guest may be in the middle of a long stretch: it is interrupted, so that `prepare` looks at what waits.
    if (this.vcpu.pending === undefined) this.kernel.clock.kick()
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

  close(): void {
    const { vcpu, kernel } = this
    vcpu.pending ??= { kind: "slice" }
    kernel.timers.cancel(vcpu.clockEvent)
    kernel.switchAwayFrom(vcpu.task)
    this.release()
  }
}
