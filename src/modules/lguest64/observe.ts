import type { TraceNames } from "../../host/trace.ts"
import { RAX, RCX } from "../../machine/processor.ts"
import { IRQ_IPI } from "../../paravirt_ops/lguest64.ts"
import { hexOf } from "../../syscall/address.ts"
import { SYSCALL_EVENT } from "../../vcpu/index.ts"
import type { VirtualCpu64 } from "./virtualCpu.ts"

/*
 * What the log (-d) and the trace (--trace) are told of a virtual CPU. Called where `kernel.observed` says that one of them
 * wants to know, so that their places in the code pay for one test and no more.
 */

/** What became of a page fault, by mmu4's FaultKind. */
const OUTCOMES = ["fixed", "the guest's", "mmio", "guarded write", "kill"] as const

export const TRACE_NAMES: TraceNames = {
  faultOutcomes: OUTCOMES,
  views: ["guest kernel", "guest user"],
  ipiIrq: IRQ_IPI,
}

/** On its way into the guest. */
export const enter = (v: VirtualCpu64, root: number): void => {
  const { log, trace, now } = v.host.kernel
  const { registers: r, userView } = v
  if (trace.on) trace.enter(userView ? 1 : 0, r.ripLo, r.ripHi, root)
  if (!log.switch) return
  const view = userView ? "user" : "kernel"
  log.line(now, "switch", `${v.label}enter ${view} at ${r.ripText()} root 0x${root.toString(16)}`)
}

/** Out of it again. */
export const leave = (v: VirtualCpu64, vector: number): void => {
  const { log, trace, now } = v.host.kernel
  if (trace.on) trace.leave(vector, v.registers.ripLo, v.registers.ripHi)
  if (log.switch)
    log.line(now, "switch", `${v.label}leave by ${vector === SYSCALL_EVENT ? "syscall" : `vector ${vector}`}`)
}

/** By an exception. */
export const trap = (v: VirtualCpu64, vector: number): void => {
  const { log, trace, now } = v.host.kernel
  const { registers: r } = v
  if (trace.on) trace.trap(vector, r.error, r.ripLo, r.ripHi)
  if (!log.int) return
  const at = r.ripText()
  const code = log.instruction(v.instruction(), 64, at)
  log.line(now, "int", `${v.label}vector ${vector} error 0x${r.error.toString(16)} at ${at}: ${code}`)
}

/** By a page fault, and what the shadow MMU made of it. */
export const fault = (v: VirtualCpu64, outcome: number, error: number, lo: number, hi: number): void => {
  const { log, trace, now } = v.host.kernel
  if (trace.on) trace.fault(outcome, error, lo, hi)
  if (log.mmu)
    log.line(now, "mmu", `${v.label}fault at ${hexOf(lo, hi)} error 0x${error.toString(16)}: ${OUTCOMES[outcome]}`)
}

/** `asynchronous`: from the ring. */
export const hypercall = (v: VirtualCpu64, number: number, name: string | undefined, asynchronous: boolean): void => {
  const { log, trace, now } = v.host.kernel
  const { args: a, registers: r } = v
  if (trace.on) trace.hypercall(number, asynchronous, r.ripLo, r.ripHi, a.lo, a.hi)
  if (log.hcall) log.line(now, "hcall", `${v.label}${name} ${a.hex(0)} ${a.hex(1)} ${a.hex(2)} at ${r.ripText()}`)
}

/** A system call of a process in the guest. */
export const systemCall = (v: VirtualCpu64): void => {
  const { trace } = v.host.kernel
  // SYSCALL has left the address of the next instruction in RCX.
  if (trace.on) trace.systemCall(v.registers.gprLo(RAX), v.registers.gprLo(RCX), v.registers.gprHi(RCX))
}

/** A virtual interrupt that is delivered. */
export const inject = (v: VirtualCpu64, irq: number): void => {
  const { log, trace, now } = v.host.kernel
  if (trace.on) trace.inject(irq, v.registers.ripLo, v.registers.ripHi)
  if (log.int) log.line(now, "int", `inject irq ${irq} at ${v.registers.ripText()}`)
}

/** `v` is about to interrupt virtual CPU `to`. */
export const ipi = (v: VirtualCpu64, to: VirtualCpu64): void => {
  const { trace } = v.host.kernel
  if (trace.on) trace.ipi(to.task.pid)
}
