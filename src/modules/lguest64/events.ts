import { CR2 } from "../../machine/core/state.ts"
import { EMULATE, FIXED, GUEST_FAULT, KILL, MMIO } from "../../mmu4/index.ts"
import { HYPERCALL_VECTOR, LGUEST_SHARED } from "../../paravirt_ops/lguest64.ts"
import { vpnOf } from "../../syscall/address.ts"
import { SYSCALL_EVENT } from "../../vcpu/index.ts"
import { kill } from "../death.ts"
import { isEscape, isPortAccess, softwareInterrupt } from "./instruction.ts"
import { deliver } from "./interrupts.ts"
import * as observe from "./observe.ts"
import { refuseSoftware } from "./software.ts"
import type { VirtualCpu64 } from "./virtualCpu.ts"

/*
 * What took a guest off the processor, and whose business it is.
 */

const S = LGUEST_SHARED.fields

const DEBUG = 1
const BREAKPOINT = 3
const OVERFLOW = 4
const INVALID_OPCODE = 6
const DEVICE_NOT_AVAILABLE = 7
const GENERAL_PROTECTION = 13
const PAGE_FAULT = 14
/** Vectors whose frames have an error code (SDM vol. 3, table 6-1). */
const HAS_ERROR = 0x227d00
const FIRST_HARDWARE_VECTOR = 32

export const reflectTrap = (v: VirtualCpu64, vector: number, error: number): void => {
  v.host.kernel.statistics.reflectedTraps++
  deliver(v, vector, ((HAS_ERROR >>> vector) & 1) !== 0, error)
}

/** `torn`: the instruction that faulted was being let through a guarded write, which has been closed. */
const pageFault = (v: VirtualCpu64, torn: boolean): void => {
  const { kernel } = v.host
  const { processor } = kernel
  const lo = processor.word(CR2)
  const hi = processor.word(CR2 + 4)
  const { error } = v.registers
  const result = v.mmu.pageFault(vpnOf(lo, hi), lo & 0xfff, error, v.userView)
  if (kernel.observed) observe.fault(v, result.kind, error, lo, hi)
  switch (result.kind) {
    case FIXED:
      return
    case GUEST_FAULT:
      if (v.sharedPa >= 0) {
        v.setShared(S.cr2.offset, lo)
        v.setShared(S.cr2.offset + 4, hi)
      }
      reflectTrap(v, PAGE_FAULT, result.error)
      return
    case MMIO:
      if (v.userView) kill(`a process reached guest-physical 0x${result.gpa.toString(16)}, which is no memory`)
      forward(v, PAGE_FAULT, result.gpa)
      return
    case EMULATE:
      v.guarded.begin(vpnOf(lo, hi), torn)
      return
    case KILL:
      kill(result.reason)
  }
}

const generalProtection = (v: VirtualCpu64): void => {
  const { error } = v.registers
  // INT n through one of the host's gates: the error code names the vector (SDM vol. 3, 6.13).
  const vector = error >>> 3
  if ((error & 2) !== 0 && v.guest.idt.present(vector) && (!v.userView || v.guest.idt.isUser(vector))) {
    const length = softwareInterrupt(v.instruction(), vector)
    if (length > 0) {
      v.advance(length)
      reflectTrap(v, vector, 0)
      return
    }
  }
  if (!v.userView && error === 0 && v.flag.refused(v)) return
  if (!v.userView && error === 0 && isPortAccess(v.instruction())) forward(v, GENERAL_PROTECTION, 0)
  else reflectTrap(v, GENERAL_PROTECTION, error)
}

const forward = (v: VirtualCpu64, trap: 13 | 14, address: number): void => {
  v.host.kernel.statistics.forwarded++
  v.leave({ kind: "io", trap, address, instruction: v.instruction(), bits: 64 })
}

/**
 * H:120 On the way out: something has happened in the Guest, and the state page says what. A hardware interrupt was
 * the Host's own and has been served. A SYSCALL is the Guest's, one way or the other. Any exception is either a
 * matter for the shadows, or a device, or the Guest's own, which then gets to see it as if we had never been there.
 */
export const handleEvent = (v: VirtualCpu64, vector: number): void => {
  const { kernel } = v.host
  if (kernel.observed) observe.leave(v, vector)
  // Interrupts were handled by the host's own handler already.
  if (vector >= FIRST_HARDWARE_VECTOR && vector !== SYSCALL_EVENT) return
  // Whatever else the instruction ran into, the page that was opened for it is closed first.
  const torn = v.guarded.active
  if (torn && !v.guarded.end() && vector === DEBUG) return
  if (vector === SYSCALL_EVENT) {
    v.door.systemCall(v)
    return
  }
  kernel.statistics.guestTraps[vector]!++
  if (kernel.observed) observe.trap(v, vector)
  if (vector === PAGE_FAULT) pageFault(v, torn)
  else if (vector === GENERAL_PROTECTION) generalProtection(v)
  else if (vector === HYPERCALL_VECTOR) v.door.interrupt(v)
  else if ((vector === BREAKPOINT || vector === OVERFLOW) && v.userView && !v.guest.idt.isUser(vector))
    refuseSoftware(v, vector)
  // The guest's CR0.TS is a wish that its host remembers: the processor, which has no coprocessor, knows only #UD.
  else if (vector === INVALID_OPCODE && v.words.taskSwitched && isEscape(v.instruction()))
    reflectTrap(v, DEVICE_NOT_AVAILABLE, 0)
  else reflectTrap(v, vector, v.registers.error)
}
