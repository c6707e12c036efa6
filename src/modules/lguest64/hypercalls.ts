import { HOST_END_LO, HOST_END_HI, HOST_START_HI } from "./range.ts"
import {
  BASE_FS,
  BASE_GS_KERNEL,
  BASE_GS_USER,
  HCALL_FREE,
  HCALL_PENDING,
  HCALL_RING_SIZE,
  IRET_FRAME,
  IRQ_IPI,
  LGUEST_SHARED,
  LHCALL,
  type LhcallName,
  SHUTDOWN_POWEROFF,
  SHUTDOWN_RESTART,
} from "../../paravirt_ops/lguest64.ts"
import type { Field } from "../../machine/layout.ts"
import { hexOf, isCanonical, toNumber, vpnOf } from "../../syscall/address.ts"
import { VCPU_STATE } from "../../vcpu/index.ts"
import { kill } from "../death.ts"
import { guestMessage } from "../message.ts"
import { GuestIdt, SYSCALL_HANDLER } from "./idt.ts"
import { FLAG_IF } from "./flags.ts"
import { waiting } from "./interrupts.ts"
import * as observe from "./observe.ts"
import type { VirtualCpu64 } from "./virtualCpu.ts"

/*
 * H:140 Hypercalls: what a guest's kernel asks of its host. "As you'd expect, this code is basically one big switch
 * statement", said lguest; ours is a table. Every argument is a number that a hostile kernel chose: each is bounded
 * before use, and one out of bounds is the guest's end and nobody else's.
 */

const S = LGUEST_SHARED.fields
const STATE = VCPU_STATE.fields
const FRAME = IRET_FRAME.fields

/** Arguments of the call that is being served, as halves; the table's functions read them. */
export class HypercallArguments {
  readonly lo = new Uint32Array(5)
  readonly hi = new Uint32Array(5)

  hex(i: number): string {
    return hexOf(this.lo[i]!, this.hi[i]!)
  }
}

export type HypercallFunction = (v: VirtualCpu64, a: HypercallArguments) => void

/** Names by number, for counts and logs. */
export const HYPERCALL_NAMES: ReadonlyArray<string | undefined> = (() => {
  const names: Array<string | undefined> = []
  for (const [name, number] of Object.entries(LHCALL)) names[number] = name
  return names
})()

/**
 * M:020 The first thing to try: lie about an address. Out of range, or in range with an end that is not; near 2^64, so
 * that adding wraps around to something harmless; above 2^53, so that a JavaScript number rounds it. Mind the form of
 * the comparison: with NaN or Infinity it is false, and false kills.
 *
 * A guest-physical address of at least `bytes` bytes of the guest's memory.
 */
const physical = (v: VirtualCpu64, a: HypercallArguments, i: number, bytes: number): number => {
  const gpa = toNumber(a.lo[i]!, a.hi[i]!)
  if (!(gpa + bytes <= v.guest.bytes)) kill(`argument ${i}, ${a.hex(i)}, is no address in the guest's memory`)
  return gpa
}

const canonical = (a: HypercallArguments, i: number): void => {
  if (!isCanonical(a.hi[i]!)) kill(`argument ${i}, ${a.hex(i)}, is no canonical address`)
}

/** A page table's address: a whole frame of the guest's memory. */
const table = (v: VirtualCpu64, a: HypercallArguments, i: number): number => {
  const gpa = physical(v, a, i, 4096)
  if (gpa % 4096 !== 0) kill(`argument ${i}, ${a.hex(i)}, is no page table's address`)
  return gpa
}

/** Characters of SHUTDOWN's reason. */
const MESSAGE_LIMIT = 256

/** Tells the MMU of an upper-level entry that has changed. */
const setTable: HypercallFunction = (v, a) => {
  const gpa = table(v, a, 0)
  const index = toNumber(a.lo[1]!, a.hi[1]!)
  if (!(index < 512)) kill(`argument 1, ${a.hex(1)}, is no index of a page table`)
  v.guest.shadow.entryChanged(gpa + 8 * index)
}

/** A virtual CPU that nothing can wake, or that has not been started. */
const isDead = (v: VirtualCpu64): boolean => !v.up || (v.halted && v.sharedPa >= 0 && !v.flag.isOn(v))
const DEAD_ALONE = "HALT with interrupts off: nothing could ever wake it"
const DEAD_TOGETHER = "HALT with interrupts off on every virtual CPU: nothing could ever wake any"

const functions: Record<LhcallName, HypercallFunction> = {
  FLUSH_ASYNC: () => undefined,

  LGUEST_INIT: (v, a) => {
    if (v.sharedPa >= 0) kill("LGUEST_INIT a second time")
    v.initialize(table(v, a, 0))
  },

  SHUTDOWN: (v, a) => {
    const gpa = physical(v, a, 0, 1)
    const how = toNumber(a.lo[1]!, a.hi[1]!)
    if (how !== SHUTDOWN_POWEROFF && how !== SHUTDOWN_RESTART) kill(`SHUTDOWN for the unknown reason ${a.hex(1)}`)
    const restart = how === SHUTDOWN_RESTART
    v.leave({
      kind: "shutdown",
      restart,
      status: a.lo[2]! & 0xff,
      message: guestMessage(v.host.kernel.ram, v.guest, gpa, MESSAGE_LIMIT),
    })
  },

  NEW_PGTABLE: (v, a) => v.checked(v.mmu.newRoot(table(v, a, 0))),

  FLUSH_TLB: (v, a) => v.mmu.flush(a.lo[0] !== 0),

  LOAD_IDT_ENTRY: (v, a) => {
    const vector = toNumber(a.lo[0]!, a.hi[0]!)
    if (!(vector < 256 && GuestIdt.allows(vector))) kill(`a handler for vector ${a.hex(0)}, which is not the guest's`)
    canonical(a, 1)
    v.guest.idt.load(vector, a.lo[1]!, a.hi[1]!, a.lo[2]!)
  },

  SET_STACK: (v, a) => {
    canonical(a, 0)
    v.words.kernelStackLo = a.lo[0]!
    v.words.kernelStackHi = a.hi[0]!
  },

  TS: (v, a) => {
    v.words.taskSwitched = a.lo[0] !== 0
  },

  SET_CLOCKEVENT: (v, a) => {
    const { kernel } = v.host
    const delta = toNumber(a.lo[0]!, a.hi[0]!)
    kernel.setTimer(v.task, delta === 0 ? Infinity : kernel.now + delta)
  },

  HALT: (v) => {
    v.flag.halting(v)
    if (waiting(v) !== 0) return
    v.words.halted = true
    if (v.guest.vcpus.every(isDead)) kill(v.guest.vcpus.length === 1 ? DEAD_ALONE : DEAD_TOGETHER)
  },

  SET_PMD: setTable,
  SET_PUD: setTable,
  SET_PGD: setTable,

  SET_PTE: (v, a) => {
    const pgd = table(v, a, 0)
    canonical(a, 1)
    const gpa = v.guest.shadow.entryAddress(pgd, vpnOf(a.lo[1]!, a.hi[1]!))
    if (gpa >= 0) v.guest.shadow.entryChanged(gpa)
  },

  MMU_UPDATE: (v, a) => {
    const gpa = physical(v, a, 0, 8)
    if (gpa % 8 !== 0) kill(`argument 0, ${a.hex(0)}, is no page-table entry's address`)
    const { mmu, guest } = v
    if (mmu.update === undefined) guest.shadow.guestWrite(gpa, 8, a.lo[1]!, a.hi[1]!)
    else v.checked(mmu.update(gpa, a.lo[1]!, a.hi[1]!))
  },

  SEND_INTERRUPTS: (v) => {
    if (waiting(v) === 0) v.flag.showPending(v, false)
  },

  IRET: (v) => iret(v),

  SET_SYSCALL: (v, a) => {
    canonical(a, 0)
    v.guest.idt.load(SYSCALL_HANDLER, a.lo[0]!, a.hi[0]!, 0)
  },

  SET_BASE: (v, a) => {
    canonical(a, 1)
    // An NMI tells whose GS is loaded by looking whether it is in the host's range.
    if (a.hi[1]! >= HOST_START_HI && !(a.hi[1]! > HOST_END_HI || (a.hi[1] === HOST_END_HI && a.lo[1]! > HOST_END_LO)))
      kill(`a segment base in the host's range, ${a.hex(1)}`)
    switch (toNumber(a.lo[0]!, a.hi[0]!)) {
      case BASE_FS:
        v.registers.setFsBase(a.lo[1]!, a.hi[1]!)
        return
      case BASE_GS_KERNEL:
        v.setKernelGs(a.lo[1]!, a.hi[1]!)
        return
      case BASE_GS_USER:
        v.setUserGs(a.lo[1]!, a.hi[1]!)
        return
    }
    kill(`SET_BASE of the unknown base ${a.hex(0)}`)
  },

  FLUSH_TLB_ADDR: (v, a) => {
    // INVLPG of a non-canonical address does nothing (SDM vol. 2).
    if (isCanonical(a.hi[0]!)) v.mmu.flushAddress(vpnOf(a.lo[0]!, a.hi[0]!))
  },

  VCPU_UP: (v, a) => {
    const vcpu = v.guest.vcpus[toNumber(a.lo[0]!, a.hi[0]!)]
    if (vcpu === undefined)
      return kill(`VCPU_UP of virtual CPU ${a.hex(0)}: this guest may have ${v.guest.vcpus.length}`)
    const shared = table(v, a, 1)
    canonical(a, 2)
    canonical(a, 3)
    if (!vcpu.words.bringUp()) kill(`VCPU_UP of virtual CPU ${vcpu.index}, which is up`)
    vcpu.start(v, shared, { lo: a.lo[2]!, hi: a.hi[2]! }, { lo: a.lo[3]!, hi: a.hi[3]! })
    v.leave({ kind: "start", vcpu: vcpu.index })
  },

  IRQ_FLAGS: (v) => v.registers.set(STATE.rax.offset, v.flag.isOn(v) ? FLAG_IF : 0, 0),

  IRQ_DISABLE: (v) => v.flag.set(v, false),

  IRQ_ENABLE: (v) => v.flag.set(v, true),

  YIELD: (v) => v.host.kernel.yieldCurrent(),

  SEND_IPI: (v, a) => {
    const { vcpus } = v.guest
    const [mask] = a.lo as unknown as [number]
    for (let i = 0; i < 32; i++) {
      if (((mask >>> i) & 1) === 0) continue
      const vcpu = vcpus[i]
      if (vcpu?.up !== true) return kill(`SEND_IPI to virtual CPU ${i}, which is not up`)
      if (v.host.kernel.observed) observe.ipi(v, vcpu)
      vcpu.interrupt(IRQ_IPI)
    }
    if (a.hi[0] !== 0) kill(`SEND_IPI to ${a.hex(0)}: there are no such virtual CPUs`)
  },
}

const byNumber: ReadonlyArray<HypercallFunction | undefined> = HYPERCALL_NAMES.map((name) =>
  name === undefined ? undefined : functions[name as LhcallName],
)

/** Offsets of the five arguments' registers in the state page: %rdi, %rsi, %rdx, %r10, %r8. */
const ARGUMENT = [STATE.rdi.offset, STATE.rsi.offset, STATE.rdx.offset, STATE.r10.offset, STATE.r8.offset] as const

const perform = (v: VirtualCpu64, number: number, asynchronous: boolean): void => {
  const f = number < byNumber.length ? byNumber[number] : undefined
  if (f === undefined) return kill(`hypercall ${number}, which does not exist`)
  const { kernel } = v.host
  kernel.statistics.hypercalls[number]!++
  if (kernel.observed) observe.hypercall(v, number, HYPERCALL_NAMES[number], asynchronous)
  f(v, v.args)
}

/**
 * Calls that change where the guest goes on, or leave it for the launcher, make no sense in a ring that is run at some later
 * time, several at once.
 */
const SYNCHRONOUS = new Set<number>([LHCALL.LGUEST_INIT, LHCALL.IRET, LHCALL.HALT, LHCALL.SHUTDOWN, LHCALL.VCPU_UP])

/**
 * H:150 Runs what waits in the asynchronous ring, from where it was left, at most once around.
 *
 * The box in which the Guest drops its postcards (G:090). It may go on writing while we read, so each one is copied
 * first, and nobody can keep us here for ever: once around, and we leave.
 */
export const runAsynchronous = (v: VirtualCpu64): void => {
  if (v.sharedPa < 0) return
  const { ram, statistics } = v.host.kernel
  for (let n = 0; n < HCALL_RING_SIZE; n++) {
    const i = v.words.nextAsync
    const status = v.sharedPa + S.hcallStatus.offset + i
    if (ram.read8(status) !== HCALL_PENDING) return
    v.words.nextAsync = (i + 1) % HCALL_RING_SIZE
    const call = v.sharedPa + S.hcalls.offset + i * 48
    const number = toNumber(ram.read32(call), ram.read32(call + 4))
    for (let k = 0; k < 5; k++) {
      v.args.lo[k] = ram.read32(call + 8 + 8 * k)
      v.args.hi[k] = ram.read32(call + 12 + 8 * k)
    }
    ram.write8(status, HCALL_FREE)
    if (SYNCHRONOUS.has(number)) kill(`hypercall ${number} in the asynchronous ring`)
    statistics.asyncHypercalls++
    perform(v, number, true)
  }
}

/** The hypercall that the guest's registers ask for. */
export const hypercall = (v: VirtualCpu64): void => {
  const { registers: r } = v
  runAsynchronous(v)
  const number = toNumber(r.lo(STATE.rax.offset), r.hi(STATE.rax.offset))
  for (let i = 0; i < ARGUMENT.length; i++) {
    v.args.lo[i] = r.lo(ARGUMENT[i]!)
    v.args.hi[i] = r.hi(ARGUMENT[i]!)
  }
  if (number !== LHCALL.IRET) r.set(STATE.rax.offset, 0, 0)
  perform(v, number, false)
}

const low = (frame: Uint32Array, field: Field): number => frame[field.offset >>> 2]!
const high = (frame: Uint32Array, field: Field): number => frame[(field.offset >>> 2) + 1]!

/**
 * H:190 The way back to the Guest's process, at the Guest's request. Nothing in this frame is believed; it is merely
 * what the Guest would like.
 *
 * Return from an event. The frame lies at the kernel's stack pointer and is read with the kernel's rights; of the
 * selector only one bit of knowledge is taken, kernel or user.
 */
const iret = (v: VirtualCpu64): void => {
  const { registers: r } = v
  const frame = v.iretFrame
  const at = r.rspLo + v.door.belowFrame
  v.memory.readFrame(at >>> 0, (r.rspHi + (at > 0xffff_ffff ? 1 : 0)) >>> 0, frame)
  const cs = low(frame, FRAME.cs)
  if (cs !== v.selectors.kernelCs && cs !== v.selectors.userCs) kill(`IRET to selector 0x${cs.toString(16)}`)
  const flags = low(frame, FRAME.rflags)
  r.set(STATE.rax.offset, low(frame, FRAME.rax), high(frame, FRAME.rax))
  r.set(STATE.rcx.offset, low(frame, FRAME.rcx), high(frame, FRAME.rcx))
  r.set(STATE.r11.offset, low(frame, FRAME.r11), high(frame, FRAME.r11))
  r.setRip(low(frame, FRAME.rip), high(frame, FRAME.rip))
  r.setRsp(low(frame, FRAME.rsp), high(frame, FRAME.rsp))
  r.setFlags(flags)
  v.flag.set(v, (flags & FLAG_IF) !== 0)
  v.setView(cs === v.selectors.userCs)
}
