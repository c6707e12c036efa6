import { FIRST_EXTERNAL_VECTOR, LGUEST_SHARED } from "../../paravirt_ops/lguest64.ts"
import { hexOf, isBelow } from "../../syscall/address.ts"
import { VCPU_STATE } from "../../vcpu/index.ts"
import { kill } from "../death.ts"
import { FLAG_IF, FLAG_TF } from "./flags.ts"
import * as observe from "./observe.ts"
import { SYSCALL_HANDLER } from "./idt.ts"
import type { VirtualCpu64 } from "./virtualCpu.ts"

/*
 * What the guest's kernel gets to see: system calls of its processes, its own traps, and virtual interrupts. All three
 * are the same move: kernel view, kernel stack, a frame on it, the handler's address in %rip.
 */

const S = LGUEST_SHARED.fields
const STATE = VCPU_STATE.fields

const FLAG_DF = 0x400
const FLAG_NT = 0x4000
const FLAG_RF = 0x10000
const FLAG_AC = 0x40000
/**
 * M:040 The flags are less innocent than they look. With IOPL 3 you could turn off interrupts for good, and the Host
 * would never get its processor back; with NT set, IRET is no return any more.
 *
 * What a guest may set itself: CF PF AF ZF SF TF DF OF AC ID. IOPL, NT, VM, VIF and VIP are the host's to decide.
 */
const GUEST_FLAGS = 0x240dd5
/** What it always runs with: bit 1, and interrupts on, for they are the host's. */
const HOST_FLAGS = 0x202

/** The flags register that a guest really runs with when it asks for `flags`. */
export const sanitizedFlags = (flags: number): number => (flags & GUEST_FLAGS) | HOST_FLAGS

/** The flags as the guest sees them in frames: its own bits, and IF from the word that stands for it. */
const visibleFlags = (v: VirtualCpu64): number => (v.registers.flags & GUEST_FLAGS) | 2 | (v.flag.isOn(v) ? FLAG_IF : 0)

/** Chooses the stack for an event: the one given by SET_STACK when a process is interrupted, else the current one. */
const beginFrame = (v: VirtualCpu64): void => {
  if (v.userView) v.frames.begin(v.words.kernelStackLo, v.words.kernelStackHi)
  else v.frames.begin(v.registers.rspLo, v.registers.rspHi)
}

const enterHandler = (v: VirtualCpu64, lo: number, hi: number, interruptsOff: boolean): void => {
  const { registers, frames } = v
  if (frames.failed)
    kill(`the stack at ${hexOf(frames.lo, frames.hi)}, on which an event has to be pushed, is not mapped for writing`)
  frames.end()
  registers.setRsp(frames.lo, frames.hi)
  registers.setRip(lo, hi)
  registers.setFlags(registers.flags & ~(FLAG_TF | FLAG_RF | FLAG_NT))
  if (interruptsOff) v.flag.set(v, false)
  v.setView(false)
}

/**
 * H:160 Delivers `vector` through the handler that the guest has loaded for it.
 *
 * Reflecting. The processor would have pushed five words on the kernel's stack and gone to the handler (P:110), so we
 * do: through the Guest's page tables, with the Guest's own rights. If its stack is not writable that is the Guest's
 * end; on the bare machine it would have been a triple fault.
 */
export const deliver = (v: VirtualCpu64, vector: number, hasError: boolean, error: number): void => {
  const { registers, frames, guest, selectors } = v
  if (v.sharedPa < 0) kill(`exception ${vector} before LGUEST_INIT`)
  const handler = guest.idt.find(vector)
  if (handler === undefined) return kill(`exception ${vector} (error code 0x${error.toString(16)}) has no handler`)
  const user = v.userView
  beginFrame(v)
  frames.push(user ? selectors.userDs : selectors.kernelDs, 0)
  frames.push(registers.rspLo, registers.rspHi)
  frames.push(visibleFlags(v), 0)
  frames.push(user ? selectors.userCs : selectors.kernelCs, 0)
  frames.push(registers.ripLo, registers.ripHi)
  if (hasError) frames.push(error, 0)
  enterHandler(v, handler.lo, handler.hi, !handler.trap)
}

/** Order in which the fields of lguest64_regs are pushed: from the last to the first. */
const PUSHED = [
  STATE.rdi.offset,
  STATE.rsi.offset,
  STATE.rdx.offset,
  STATE.rcx.offset,
  STATE.rax.offset,
  STATE.r8.offset,
  STATE.r9.offset,
  STATE.r10.offset,
  STATE.r11.offset,
  STATE.rbx.offset,
  STATE.rbp.offset,
  STATE.r12.offset,
  STATE.r13.offset,
  STATE.r14.offset,
  STATE.regs.offset,
] as const

/**
 * H:170 The same for a system call, with more on the stack, since here the treaty was ours to write. The words in
 * quotation marks are the proposal's; the code after them is what it takes.
 *
 * Reflects a system call: "the host will load the registers back onto the guest's stack and return to the guest ... the
 * guest will need to read the %rcx that is stored on the stack to get the %rip of the guest's process to return to".
 */
export const reflectSystemCall = (v: VirtualCpu64): void => {
  const { registers, frames, guest, selectors } = v
  const handler = guest.idt.find(SYSCALL_HANDLER)
  if (handler === undefined) return kill("a system call without SET_SYSCALL")
  if (v.host.kernel.observed) observe.systemCall(v)
  const user = v.userView
  const flags = visibleFlags(v)
  beginFrame(v)
  frames.push(user ? selectors.userDs : selectors.kernelDs, 0)
  frames.push(registers.rspLo, registers.rspHi)
  frames.push(flags, 0)
  frames.push(user ? selectors.userCs : selectors.kernelCs, 0)
  frames.push(registers.ripLo, registers.ripHi)
  frames.push(registers.lo(STATE.rax.offset), registers.hi(STATE.rax.offset))
  for (const offset of PUSHED) {
    // SYSCALL's own %r11 shows the flags that the process had, the guest's IF in place of the host's.
    if (offset === STATE.r11.offset) frames.push(flags, 0)
    else frames.push(registers.lo(offset), registers.hi(offset))
  }
  registers.set(STATE.rcx.offset, handler.lo, handler.hi)
  registers.set(STATE.r11.offset, flags & ~FLAG_IF, 0)
  v.host.kernel.statistics.reflectedSystemCalls++
  enterHandler(v, handler.lo, handler.hi, true)
  // What every kernel has in SFMASK: C code wants DF clear, and no process may choose which way its kernel copies.
  registers.setFlags(registers.flags & ~(FLAG_DF | FLAG_AC))
}

/** Virtual interrupts that wait and are not blocked by the guest. */
export const waiting = (v: VirtualCpu64): number =>
  v.sharedPa < 0 ? 0 : v.words.pendingInterrupts & ~v.shared(S.blockedInterrupts.offset)

/** Whether the guest may be interrupted where it is. */
const interruptible = (v: VirtualCpu64): boolean => {
  if (!v.flag.isOn(v)) return false
  if (v.userView) return true
  // Between setting the flag and the SYSCALL a hypercall must not be torn.
  if (v.shared(S.hypercallFlag.offset) !== 0) return false
  const { ripLo, ripHi } = v.registers
  const at = S.noirqStart.offset
  const to = S.noirqEnd.offset
  return isBelow(ripLo, ripHi, v.shared(at), v.shared(at + 4)) || !isBelow(ripLo, ripHi, v.shared(to), v.shared(to + 4))
}

/**
 * H:180 Delivers one waiting interrupt if that is possible now, and keeps `irqPending` true to what then still waits.
 *
 * A virtual interrupt is a bit in a word until the Guest may be interrupted. It may not while its word says "off", and
 * not in the two places where it is between two things: before a hypercall's SYSCALL, and where it has asked for it by
 * address. What could not be delivered is announced, so that the Guest asks as soon as it can (G:070).
 */
export const deliverInterrupts = (v: VirtualCpu64): void => {
  const bits = waiting(v)
  if (bits === 0) return
  if (!interruptible(v)) {
    v.flag.showPending(v, true)
    // Where the guest itself has asked not to be interrupted it goes on, and calls when it is through.
    if (v.flag.isOn(v)) v.words.halted = false
    return
  }
  const irq = 31 - Math.clz32(bits & -bits)
  v.words.lower(irq)
  v.words.halted = false
  const { kernel } = v.host
  kernel.statistics.injectedInterrupts++
  if (kernel.observed) observe.inject(v, irq)
  deliver(v, FIRST_EXTERNAL_VECTOR + irq, false, 0)
  v.flag.showPending(v, waiting(v) !== 0)
}
