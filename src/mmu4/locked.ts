import type { Mutex } from "../machine/shared.ts"
import { FRAME_BYTES } from "./entries.ts"
import type { Description, FaultResult, MmuStats, ShadowMmu, VcpuMmu } from "./interface.ts"

/*
 * The guest's lock, in one place for all MMUs. What is called from outside takes it and calls the method of the same name
 * with `Locked` behind, which is the MMU's own and may look and change until it returns. Locked methods call each other,
 * never one without the suffix: the lock is not recursive.
 *
 * What is good without the lock each MMU overrides, or asks before it takes it (`minds`).
 */

interface LockedState {
  readonly mutex: Mutex
  readonly stats: MmuStats
}

export abstract class LockedMmu<S extends LockedState> implements ShadowMmu {
  abstract readonly vcpus: readonly VcpuMmu[]
  readonly stats: MmuStats
  /** For tests and monitors, to be read. */
  readonly state: S

  constructor(state: S) {
    this.state = state
    this.stats = state.stats
  }

  protected abstract guestWriteLocked(gpa: number, size: number, lo: number, hi: number): boolean
  protected abstract entryChangedLocked(gpa: number): void
  /** Whether the MMU has to hear of somebody else's store there; asked without the lock. */
  protected abstract minds(gpa: number, bytes: number): boolean
  protected abstract memoryWrittenLocked(gpa: number, bytes: number): void
  protected abstract entryAddressLocked(pgdGfn: number, vpn: number): number
  protected abstract zapFrameLocked(gfn: number): void
  protected abstract zapAllLocked(): void
  protected abstract reclaimLocked(pages: number): number
  protected abstract destroyLocked(): void
  protected abstract describeLocked(vcpu: number, vpn: number, userView: boolean): Description

  guestWrite(gpa: number, size: number, lo: number, hi: number): boolean {
    const { mutex } = this.state
    mutex.lock()
    try {
      return this.guestWriteLocked(gpa, size, lo, hi)
    } finally {
      mutex.unlock()
    }
  }

  entryChanged(gpa: number): void {
    const { mutex } = this.state
    mutex.lock()
    try {
      this.entryChangedLocked(gpa)
    } finally {
      mutex.unlock()
    }
  }

  memoryWritten(gpa: number, bytes: number): void {
    if (!this.minds(gpa, bytes)) return
    const { mutex } = this.state
    mutex.lock()
    try {
      this.memoryWrittenLocked(gpa, bytes)
    } finally {
      mutex.unlock()
    }
  }

  entryAddress(pgdGpa: number, vpn: number): number {
    const { mutex } = this.state
    mutex.lock()
    try {
      const gfn = Math.floor(pgdGpa / FRAME_BYTES)
      return gfn >= 0 ? this.entryAddressLocked(gfn, vpn) : -1
    } finally {
      mutex.unlock()
    }
  }

  zapFrame(gfn: number): void {
    const { mutex } = this.state
    mutex.lock()
    try {
      this.zapFrameLocked(gfn)
    } finally {
      mutex.unlock()
    }
  }

  zapAll(): void {
    const { mutex } = this.state
    mutex.lock()
    try {
      this.zapAllLocked()
    } finally {
      mutex.unlock()
    }
  }

  reclaim(pages: number): number {
    const { mutex } = this.state
    mutex.lock()
    try {
      return this.reclaimLocked(pages)
    } finally {
      mutex.unlock()
    }
  }

  destroy(): void {
    const { mutex } = this.state
    mutex.lock()
    try {
      this.destroyLocked()
    } finally {
      mutex.unlock()
    }
  }

  describe(vcpu: number, vpn: number, userView: boolean): Description {
    const { mutex } = this.state
    mutex.lock()
    try {
      return this.describeLocked(vcpu, vpn, userView)
    } finally {
      mutex.unlock()
    }
  }
}

interface LockedVcpuState {
  readonly linear: boolean
  readonly pgdGfn: number
}

/** One virtual CPU's side of an MMU. */
export abstract class LockedVcpu<S extends LockedState, V extends LockedVcpuState> implements VcpuMmu {
  protected readonly s: S
  protected readonly v: V

  constructor(state: S, vcpu: V) {
    this.s = state
    this.v = vcpu
  }

  get isLinear(): boolean {
    return this.v.linear
  }

  get pgd(): number {
    return this.v.pgdGfn * FRAME_BYTES
  }

  /** Without the lock: before every entry to the guest the answer is, nearly always, what it was. */
  abstract rootFor(userView: boolean): number

  /** `gfn` may be anything. */
  protected abstract newRootLocked(gfn: number, pgdGpa: number): FaultResult
  protected abstract linearLocked(): void
  protected abstract pageFaultLocked(vpn: number, offset: number, error: number, userView: boolean): FaultResult
  protected abstract translateLocked(vpn: number, offset: number, access: number, userView: boolean): FaultResult
  protected abstract openWindowLocked(vpn: number, userView: boolean): boolean
  protected abstract closeWindowLocked(): void
  protected abstract flushLocked(global: boolean): void
  protected abstract flushAddressLocked(vpn: number): void

  newRoot(pgdGpa: number): FaultResult {
    const { mutex } = this.s
    mutex.lock()
    try {
      return this.newRootLocked(Math.floor(pgdGpa / FRAME_BYTES), pgdGpa)
    } finally {
      mutex.unlock()
    }
  }

  linear(): void {
    const { mutex } = this.s
    mutex.lock()
    try {
      this.linearLocked()
    } finally {
      mutex.unlock()
    }
  }

  pageFault(vpn: number, offset: number, error: number, userView: boolean): FaultResult {
    const { mutex } = this.s
    mutex.lock()
    try {
      return this.pageFaultLocked(vpn, offset, error, userView)
    } finally {
      mutex.unlock()
    }
  }

  translate(vpn: number, offset: number, access: number, userView: boolean): FaultResult {
    const { mutex } = this.s
    mutex.lock()
    try {
      return this.translateLocked(vpn, offset, access, userView)
    } finally {
      mutex.unlock()
    }
  }

  openWindow(vpn: number, userView: boolean): boolean {
    const { mutex } = this.s
    mutex.lock()
    try {
      return this.openWindowLocked(vpn, userView)
    } finally {
      mutex.unlock()
    }
  }

  closeWindow(): void {
    const { mutex } = this.s
    mutex.lock()
    try {
      this.closeWindowLocked()
    } finally {
      mutex.unlock()
    }
  }

  flush(global: boolean): void {
    const { s } = this
    s.mutex.lock()
    try {
      s.stats.flushes++
      this.flushLocked(global)
    } finally {
      s.mutex.unlock()
    }
  }

  flushAddress(vpn: number): void {
    const { s } = this
    s.mutex.lock()
    try {
      s.stats.flushAddresses++
      this.flushAddressLocked(vpn)
    } finally {
      s.mutex.unlock()
    }
  }
}
