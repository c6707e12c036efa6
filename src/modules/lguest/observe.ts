import type { TraceNames } from "../../host/trace.ts"
import { RAX } from "../../machine/processor.ts"
import type { VirtualCpu } from "./virtualCpu.ts"

/*
 * What the log (-d) and the trace (--trace) are told of the virtual CPU; the sibling of lguest64's.
 */

/** What became of a page fault, by the shadow's Outcome. */
const OUTCOMES = ["fixed", "the guest's", "mmio", "kill"] as const

export const TRACE_NAMES: TraceNames = {
  faultOutcomes: OUTCOMES,
  views: ["guest ring 0", "guest kernel", "guest ring 2", "guest user"],
  ipiIrq: -1,
}

/** On its way into the guest. */
export const enter = (v: VirtualCpu, root: number): void => {
  const { log, trace, now } = v.host.kernel
  const { registers: r } = v
  if (trace.on) trace.enter(r.cs & 3, r.eip, 0, root)
  if (log.switch) log.line(now, "switch", `enter ring ${r.cs & 3} at ${r.eipText()} root 0x${root.toString(16)}`)
}

/** Out of it again. */
export const leave = (v: VirtualCpu, vector: number): void => {
  const { log, trace, now } = v.host.kernel
  if (trace.on) trace.leave(vector, v.registers.eip, 0)
  if (log.switch) log.line(now, "switch", `leave by vector ${vector}`)
}

/** By an exception, or by INT 0x1f, the hypercall. */
export const trap = (v: VirtualCpu, vector: number): void => {
  const { log, trace, now } = v.host.kernel
  const { registers: r } = v
  if (trace.on) trace.trap(vector, r.errorCode, r.eip, 0)
  if (!log.int) return
  const code = log.instruction(v.memory.instruction(), 32, r.eipText())
  const where = `at ${r.eipText()} ring ${r.cs & 3}`
  log.line(now, "int", `vector ${vector} error 0x${r.errorCode.toString(16)} ${where}: ${code}`)
}

/** By a page fault, and what the shadow MMU made of it. */
export const fault = (v: VirtualCpu, outcome: number, error: number, address: number): void => {
  const { log, trace, now } = v.host.kernel
  if (trace.on) trace.fault(outcome, error, address, 0)
  if (log.mmu)
    log.line(now, "mmu", `fault at 0x${address.toString(16)} error 0x${error.toString(16)}: ${OUTCOMES[outcome]}`)
}

/** `a` holds the arguments: the registers', or those of a call from the ring. */
export const hypercall = (v: VirtualCpu, number: number, name: string | undefined, a: Uint32Array): void => {
  const { log, trace, now } = v.host.kernel
  const { registers: r } = v
  if (trace.on) trace.hypercall(number, a === v.asyncArgs, r.eip, 0, a, undefined)
  if (!log.hcall) return
  const [first, second, third] = Array.from(a, (value) => `0x${value.toString(16)}`)
  log.line(now, "hcall", `${name} ${first} ${second} ${third} at ${r.eipText()}`)
}

/** A system call of a process in the guest that could not go to its kernel directly. */
export const systemCall = (v: VirtualCpu): void => {
  const { trace } = v.host.kernel
  if (trace.on) trace.systemCall(v.registers.gpr(RAX), v.registers.eip, 0)
}

/** A virtual interrupt that is delivered. */
export const inject = (v: VirtualCpu, irq: number): void => {
  const { log, trace, now } = v.host.kernel
  if (trace.on) trace.inject(irq, v.registers.eip, 0)
  if (log.int) log.line(now, "int", `inject irq ${irq} at ${v.registers.eipText()}`)
}
