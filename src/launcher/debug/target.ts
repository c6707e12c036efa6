import { COUNT_RING } from "../../machine/core/state.ts"
import { type DebugHit, ProcessorDebugger, type Watchpoint } from "../../machine/debugger.ts"
import {
  forgetExit,
  type GuestInspection,
  REGISTER_NAMES,
  type RegisterName,
  type VcpuInspection,
} from "../../machine/inspection.ts"
import type { Processor } from "../../machine/processor.ts"
import type { Inspection } from "../engine.ts"

/** The ring with the fewest rights. */
const LEAST_RING = 3

/*
 * The guest of one engine, for gdb and the monitor alike: registers and memory of its virtual CPUs while nothing runs, and
 * what to stop at when something does. Addresses are the guest's own, virtual or physical.
 */

/** What stopped the processor that a virtual CPU, or (undefined) something of the host's, was on. */
export interface Arrival {
  readonly vcpu: number | undefined
  readonly processor: Processor
  readonly hit: DebugHit
}

/** Bytes within a page of the guest's memory. */
export interface Piece {
  readonly gpa: number
  readonly bytes: Uint8Array
}

export class DebugTarget {
  readonly guest: GuestInspection
  private readonly inspection: Inspection
  private readonly debuggers: ReadonlyArray<ProcessorDebugger>

  constructor(inspection: Inspection) {
    this.inspection = inspection
    this.guest = inspection.guest
    this.debuggers = this.guest.processors.map(
      (processor) => new ProcessorDebugger(inspection.machine, processor, this.guest.ring),
    )
  }

  get bits(): 32 | 64 {
    return this.guest.bits
  }

  get vcpus(): ReadonlyArray<VcpuInspection> {
    return this.guest.vcpus
  }

  /** Where in its run the engine is; see Inspection. */
  get position(): number {
    return this.inspection.position
  }

  /**
   * Names a stop: what the processors have executed, added up. With every instruction and every fault of any of them it grows, so
   * that no two stops of a run have the same. (Their times do so too, but in leaps: that of a processor which waits
   * follows the others only when their turns are over.)
   */
  get moment(): number {
    return this.guest.processors.reduce((sum, processor) => sum + processor.instructions, 0)
  }

  // ------------------------------------------------------------------------------------------------------ registers
  registers(vcpu: number): ReadonlyMap<RegisterName, bigint> {
    const inspected = this.vcpus[vcpu]!
    return new Map(REGISTER_NAMES.map((name) => [name, inspected.read(name)]))
  }

  /** False: it cannot be changed from here. */
  writeRegister(vcpu: number, register: RegisterName, value: bigint): boolean {
    const inspected = this.vcpus[vcpu]!
    return inspected.read(register) === value || inspected.write(register, value)
  }

  // --------------------------------------------------------------------------------------------------------- memory
  /** As many bytes as are memory, from guest-physical `gpa` on. */
  readPhysical(gpa: number, length: number): Uint8Array {
    const { base, bytes } = this.guest
    if (gpa < 0 || gpa >= bytes) return new Uint8Array(0)
    return this.inspection.machine.ram.copyOut(base + gpa, Math.min(length, bytes - gpa))
  }

  /** False, with nothing done: not all of it is memory. */
  writePhysical(gpa: number, data: Uint8Array): boolean {
    const { base, bytes } = this.guest
    if (gpa < 0 || gpa + data.length > bytes) return false
    this.inspection.machine.ram.copyIn(base + gpa, data)
    this.guest.written(gpa, data.length)
    return true
  }

  /** As many bytes from a guest-virtual address on as are mapped to memory. */
  read(vcpu: number, address: bigint, length: number): Uint8Array {
    const out = new Uint8Array(length)
    let done = 0
    while (done < length) {
      const at = this.wrapped(address + BigInt(done))
      const chunk = this.readPhysical(this.vcpus[vcpu]!.translate(at), this.untilPageEnd(at, length - done))
      out.set(chunk, done)
      done += chunk.length
      if (chunk.length === 0) break
    }
    return out.subarray(0, done)
  }

  /** Where bytes for a guest-virtual address go, page by page; undefined: not all of it is mapped to memory. */
  locate(vcpu: number, address: bigint, data: Uint8Array): ReadonlyArray<Piece> | undefined {
    const pieces: Piece[] = []
    for (let done = 0; done < data.length;) {
      const at = this.wrapped(address + BigInt(done))
      const gpa = this.vcpus[vcpu]!.translate(at)
      const length = this.untilPageEnd(at, data.length - done)
      if (gpa < 0 || gpa + length > this.guest.bytes) return undefined
      pieces.push({ gpa, bytes: data.slice(done, done + length) })
      done += length
    }
    return pieces
  }

  private wrapped(address: bigint): bigint {
    return BigInt.asUintN(this.bits, address)
  }

  private untilPageEnd(address: bigint, length: number): number {
    return Math.min(length, 4096 - Number(address & 0xfffn))
  }

  // ---------------------------------------------------------------------------------------------------------- stops
  arm(breakpoints: ReadonlyArray<bigint>, watchpoints: ReadonlyArray<Watchpoint>): void {
    for (const debug of this.debuggers) {
      debug.setBreakpoints(breakpoints)
      debug.setWatchpoints(watchpoints)
    }
  }

  /** Whether to stop before every instruction of the guest. */
  setStepping(on: boolean): void {
    for (const debug of this.debuggers) debug.setStepping(on)
  }

  /** Where the processors stand now they go on, whatever would stop them there. */
  pass(): void {
    for (const debug of this.debuggers) debug.pass()
  }

  /** After the engine's `run`: what a processor has stopped at for us, if one has. */
  arrival(): Arrival | undefined {
    for (const debug of this.debuggers) {
      const hit = debug.hit()
      if (hit === undefined) continue
      forgetExit(debug.processor)
      const vcpu = this.vcpus.findIndex((inspected) => inspected.running() === debug.processor)
      return { vcpu: vcpu < 0 ? undefined : vcpu, processor: debug.processor, hit }
    }
    return undefined
  }

  /** Instructions that a processor has executed in the guest's rings. */
  executed(processor: Processor): number {
    let executed = 0
    for (let ring: number = this.guest.ring; ring <= LEAST_RING; ring++)
      executed += processor.count(COUNT_RING + 8 * ring)
    return executed
  }
}
