import { couldBeSyscall } from "../../i386/idt.ts"
import { REGS } from "../../i386/layout.ts"
import { KILL, type Outcome } from "../../i386/shadow/index.ts"
import {
  GDT_ENTRIES,
  GDT_TLS_ENTRIES,
  GDT_TLS_MIN,
  GUEST_PL,
  HCALL_ARGS,
  HCALL_FREE,
  HCALL_RING_SIZE,
  IRET_FRAME,
  LGUEST_DATA,
  LHCALL,
  type LhcallName,
  SHUTDOWN_POWEROFF,
  SHUTDOWN_RESTART,
} from "../../paravirt_ops/lguest.ts"
import { kill } from "../death.ts"
import { guestMessage } from "../message.ts"
import { FLAG_IF } from "./interruptFlag.ts"
import { sanitizedFlags } from "./interrupts.ts"
import * as observe from "./observe.ts"
import type { VirtualCpu } from "./virtualCpu.ts"

/*
 * Hypercalls: INT 0x1f in the guest's kernel. Every argument is a number that a hostile kernel chose: each is bounded
 * before use, and one out of bounds is the guest's end and nobody else's.
 */

const D = LGUEST_DATA.fields
const R = REGS.fields
const I = IRET_FRAME.fields

/** What one call does; `a` holds %ebx, %ecx, %edx, %esi. */
export type HypercallFunction = (v: VirtualCpu, a: Uint32Array) => void

/** Names by number, for counts and logs. */
export const HYPERCALL_NAMES: ReadonlyArray<string | undefined> = (() => {
  const names: Array<string | undefined> = []
  for (const [name, number] of Object.entries(LHCALL)) names[number] = name
  return names
})()

const hex = (n: number) => `0x${(n >>> 0).toString(16)}`

/** Refuses what is no guest-physical address of `bytes` bytes of the guest's memory. */
const physical = (v: VirtualCpu, gpa: number, bytes: number): number => {
  if (gpa + bytes > v.guest.bytes) kill(`${hex(gpa)} is no address in the guest's memory`)
  return gpa
}

/** The shadow's verdict on what the guest announced. */
const settle = (v: VirtualCpu, outcome: Outcome): void => {
  if (outcome === KILL) kill(v.guest.shadow.reason)
}

/** Characters of SHUTDOWN's reason. */
const MESSAGE_LIMIT = 128
/** lguest takes at most two pages of stack. */
const STACK_PAGES_LIMIT = 2

const functions: Record<LhcallName, HypercallFunction> = {
  /** Nothing to do: that the guest came here is enough for the ring to be run. */
  FLUSH_ASYNC: () => undefined,

  LGUEST_INIT: (v, a) => {
    if (v.initialized) kill("LGUEST_INIT a second time")
    const gpa = physical(v, a[0]!, LGUEST_DATA.size)
    if (gpa % 4 !== 0) kill(`lguest_data at ${hex(gpa)}, which is not aligned to 4 bytes`)
    v.initialize(gpa)
    const vector = v.shared(D.syscallVec.offset)
    if (!couldBeSyscall(vector)) kill(`${hex(vector)} as its vector for system calls`)
    const kernel = v.shared(D.kernelAddress.offset)
    if (kernel >= v.guest.hostPart.top) kill(`a kernel that begins at ${hex(kernel)}, in the host's range`)
    v.guest.shadow.setKernelAddress(kernel)
    v.noirqIret = v.flag.iret(v.shared(D.noirqIret.offset))
  },

  SHUTDOWN: (v, a) => {
    const gpa = physical(v, a[0]!, 1)
    const how = a[1]!
    if (how !== SHUTDOWN_POWEROFF && how !== SHUTDOWN_RESTART) kill(`SHUTDOWN for the unknown reason ${hex(how)}`)
    const restart = how === SHUTDOWN_RESTART
    v.leave({
      kind: "shutdown",
      restart,
      status: a[2]! & 0xff,
      message: guestMessage(v.host.kernel.ram, v.guest, gpa, MESSAGE_LIMIT),
    })
  },

  NEW_PGTABLE: (v, a) => settle(v, v.guest.shadow.newRoot(a[0]!)),

  FLUSH_TLB: (v, a) => v.guest.shadow.flush(a[0] !== 0),

  LOAD_IDT_ENTRY: (v, a) => {
    const vector = a[0]!
    if (vector > 255) kill(`a handler for vector ${hex(vector)}`)
    if (!v.guest.idt.load(vector, a[1]!, a[2]!))
      kill(`a gate for vector ${vector} that is neither an interrupt gate nor a trap gate: ${hex(a[2]!)}`)
  },

  SET_STACK: (v, a) => {
    const ss = a[0]!
    if ((ss & 3) !== GUEST_PL || ss > 0xffff) kill(`a stack in segment ${hex(ss)}, which is not of ring 1`)
    if (a[2]! > STACK_PAGES_LIMIT) kill(`a stack of ${a[2]} pages`)
    v.setStack(ss, a[1]!, a[2]!)
  },

  TS: (v, a) => {
    v.taskSwitched = a[0] !== 0
  },

  SET_CLOCKEVENT: (v, a) => {
    const { kernel } = v.host
    kernel.setTimer(v.task, a[0] === 0 ? Infinity : kernel.now + a[0]!)
  },

  HALT: (v) => {
    v.halted = true
  },

  SET_PTE: (v, a) => settle(v, v.guest.shadow.setPte(a[0]!, a[1]!)),
  SET_PGD: (v, a) => settle(v, v.guest.shadow.setPgd(a[0]!, a[1]!)),
  SET_PMD: (v, a) => settle(v, v.guest.shadow.setPmd(a[0]!, a[1]!)),

  LOAD_TLS: (v, a) => {
    const gpa = physical(v, a[0]!, GDT_TLS_ENTRIES * 8)
    const { ram } = v.host.kernel
    for (let i = 0; i < GDT_TLS_ENTRIES; i++) {
      const at = v.guest.base + gpa + 8 * i
      v.guest.gdt.load(GDT_TLS_MIN + i, ram.read32(at), ram.read32(at + 4))
    }
  },

  LOAD_GDT_ENTRY: (v, a) => {
    if (a[0]! >= GDT_ENTRIES) kill(`descriptor ${hex(a[0]!)}, but the table has ${GDT_ENTRIES}`)
    v.guest.gdt.load(a[0]!, a[1]!, a[2]!)
  },

  /** Nothing to do either: interrupts are delivered on the way back. */
  SEND_INTERRUPTS: (v) => {
    if (v.pendingInterrupts === 0) v.flag.showPending(v, false)
  },

  /** To a frame that the guest has made, all at once. Ring 0 is not to be had; what else cannot be loaded is its death. */
  IRET: (v, a) => {
    const { registers: r } = v
    const at = a[0]!
    const cs = v.memory.readStack(at + I.cs.offset) & 0xffff
    if ((cs & 3) < GUEST_PL) kill(`IRET to segment ${hex(cs)}, which is of ring 0`)
    const outer = (cs & 3) !== GUEST_PL
    const eip = v.memory.readStack(at + I.eip.offset)
    const eflags = v.memory.readStack(at + I.eflags.offset)
    r.set(R.eax.offset, v.memory.readStack(at + I.eax.offset))
    r.set(R.ebx.offset, v.memory.readStack(at + I.ebx.offset))
    const esp = outer ? v.memory.readStack(at + I.esp.offset) : (at + I.esp.offset) >>> 0
    if (outer) r.ss = v.memory.readStack(at + I.ss.offset) & 0xffff
    r.esp = esp
    r.cs = cs
    r.eflags = sanitizedFlags(eflags)
    v.goTo(eip)
    v.flag.set(v, (eflags & FLAG_IF) !== 0)
  },

  IRQ_FLAGS: (v) => v.registers.set(R.eax.offset, v.flag.isOn(v) ? FLAG_IF : 0),
  IRQ_DISABLE: (v) => v.flag.set(v, false),
  /** Those that wait are delivered on the way back. */
  IRQ_ENABLE: (v) => v.flag.set(v, true),
}

const byNumber: ReadonlyArray<HypercallFunction | undefined> = HYPERCALL_NAMES.map((name) =>
  name === undefined ? undefined : functions[name as LhcallName],
)

const perform = (v: VirtualCpu, number: number, a: Uint32Array): void => {
  const f = number < byNumber.length ? byNumber[number] : undefined
  if (f === undefined) return kill(`hypercall ${number}, which does not exist`)
  const { kernel } = v.host
  kernel.statistics.hypercalls[number]!++
  if (kernel.observed) observe.hypercall(v, number, HYPERCALL_NAMES[number], a)
  f(v, a)
}

/** Runs what waits in the asynchronous ring, from where it was left, at most once around. */
export const runAsynchronous = (v: VirtualCpu): void => {
  const { ram, statistics } = v.host.kernel
  for (let n = 0; n < HCALL_RING_SIZE; n++) {
    const i = v.nextAsync
    const status = v.data + D.hcallStatus.offset + i
    if (ram.read8(status) === HCALL_FREE) return
    v.nextAsync = (i + 1) % HCALL_RING_SIZE
    const call = v.data + D.hcalls.offset + i * HCALL_ARGS.size
    const number = ram.read32(call)
    for (let k = 0; k < 4; k++) v.asyncArgs[k] = ram.read32(call + 4 + 4 * k)
    statistics.asyncHypercalls++
    perform(v, number, v.asyncArgs)
    ram.write8(status, HCALL_FREE)
    // A guest that is gone or that the launcher must see to does nothing more.
    if (v.pending !== undefined) return
  }
}

/** The hypercall that the guest's registers ask for. */
export const hypercall = (v: VirtualCpu): void => {
  const { registers: r, args } = v
  const number = r.get(R.eax.offset)
  args[0] = r.get(R.ebx.offset)
  args[1] = r.get(R.ecx.offset)
  args[2] = r.get(R.edx.offset)
  args[3] = r.get(R.esi.offset)
  if (!v.initialized && number !== LHCALL.LGUEST_INIT) kill(`hypercall ${number} before LGUEST_INIT`)
  r.set(R.eax.offset, 0)
  // What was put into the ring was meant to happen before.
  if (v.initialized) runAsynchronous(v)
  if (v.pending === undefined) perform(v, number, args)
}
