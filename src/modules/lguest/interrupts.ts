import { FIRST_EXTERNAL_VECTOR, GUEST_KERNEL_CS, GUEST_PL, LGUEST_DATA } from "../../paravirt_ops/lguest.ts"
import { kill } from "../death.ts"
import { FLAG_IF } from "./interruptFlag.ts"
import * as observe from "./observe.ts"
import type { VirtualCpu } from "./virtualCpu.ts"

/*
 * What the guest's kernel gets to see of traps and virtual interrupts: what the hardware would have pushed, on the stack that
 * the hardware would have used, through the guest's own page tables and with its kernel's rights.
 */

const D = LGUEST_DATA.fields

/** EFLAGS bits. */
const FLAG_TF = 0x100
const FLAG_NT = 0x4000
const FLAG_RF = 0x10000
const FLAG_VM = 0x20000
/** What the processor clears on its way to a handler (SDM vol. 3, 6.12.1.3). */
const CLEARED_BY_TRAP = FLAG_TF | FLAG_NT | FLAG_RF | FLAG_VM
/** What a guest may set itself: CF PF AF ZF SF TF DF OF AC ID. IOPL, NT, VM, VIF and VIP are the host's to decide. */
const GUEST_FLAGS = 0x240dd5
/** What it always runs with: bit 1, and interrupts on, for they are the host's. */
const HOST_FLAGS = 0x202

/** The flags register that a guest really runs with when it asks for `flags`. */
export const sanitizedFlags = (flags: number): number => (flags & GUEST_FLAGS) | HOST_FLAGS

/** The flags as frames show them: the guest's IF in place of the host's. */
const visibleFlags = (v: VirtualCpu): number => (v.registers.eflags & ~FLAG_IF) | (v.flag.isOn(v) ? FLAG_IF : 0)

/** Pushes a frame for what interrupted the guest, on the stack that SET_STACK named or on the one in use. */
const pushFrame = (v: VirtualCpu, hasError: boolean, error: number): void => {
  const { registers: r } = v
  const fromUser = (r.cs & 3) !== GUEST_PL
  if (fromUser && v.stackSegment === 0) kill("an event in a process before SET_STACK")
  const ss = fromUser ? v.stackSegment : r.ss
  v.memory.beginPush(ss, fromUser ? v.stackPointer : r.esp)
  if (fromUser) {
    v.memory.push(r.ss)
    v.memory.push(r.esp)
  }
  v.memory.push(visibleFlags(v))
  v.memory.push(r.cs)
  v.memory.push(r.eip)
  if (hasError) v.memory.push(error)
  r.ss = ss
  r.esp = v.memory.pushed
}

/** Makes the guest go on in its handler; an interrupt gate turns its interrupts off. */
const enterHandler = (v: VirtualCpu, vector: number): void => {
  const { registers: r, guest } = v
  r.cs = GUEST_KERNEL_CS
  r.eip = guest.idt.address(vector)
  r.eflags = sanitizedFlags(r.eflags & ~CLEARED_BY_TRAP)
  if (!guest.idt.isTrap(vector)) v.flag.set(v, false)
}

/** Delivers `vector` through the gate that the guest has loaded for it. */
export const deliver = (v: VirtualCpu, vector: number, hasError: boolean, error: number): void => {
  if (!v.initialized || !v.guest.idt.present(vector))
    kill(`unhandled trap ${vector} (error code 0x${error.toString(16)})`)
  pushFrame(v, hasError, error)
  enterHandler(v, vector)
}

/** Virtual interrupts that wait and are not blocked by the guest. */
export const waiting = (v: VirtualCpu): number =>
  v.initialized ? v.pendingInterrupts & ~v.shared(D.blockedInterrupts.offset) : 0

/**
 * The guest is about to execute the IRET that it named at LGUEST_INIT, having turned its interrupts on one instruction
 * ago. Pushing a frame here, each time, would fill its stack; but the frame that IRET would take off is just the one
 * that the interrupt would push afterwards, save for the flags. So the flags are restored and the frame stays.
 */
const isAtIret = (v: VirtualCpu): boolean => {
  const { registers: r } = v
  return r.eip === v.noirqIret && (r.cs & 3) === GUEST_PL
}

const takeFrameOver = (v: VirtualCpu): void => {
  const { registers: r } = v
  r.eflags = sanitizedFlags(v.memory.readStack(r.esp + 8) & ~CLEARED_BY_TRAP)
}

/**
 * Delivers one waiting interrupt if the guest lets it. One without a handler keeps waiting. A guest that halted is woken,
 * with interrupts on, whatever its flag says.
 */
export const deliverInterrupts = (v: VirtualCpu): void => {
  const bits = waiting(v)
  if (bits === 0) return
  if (v.halted) {
    v.flag.set(v, true)
    v.halted = false
  } else if (!v.flag.isOn(v)) {
    v.flag.showPending(v, true)
    return
  }
  const irq = 31 - Math.clz32(bits & -bits)
  const vector = FIRST_EXTERNAL_VECTOR + irq
  if (v.guest.idt.present(vector)) {
    v.pendingInterrupts &= ~(1 << irq)
    const { kernel } = v.host
    kernel.statistics.injectedInterrupts++
    if (kernel.observed) observe.inject(v, irq)
    if (isAtIret(v)) takeFrameOver(v)
    else pushFrame(v, false, 0)
    enterHandler(v, vector)
  }
  v.writeTime()
  if (waiting(v) === 0) v.flag.showPending(v, false)
}
