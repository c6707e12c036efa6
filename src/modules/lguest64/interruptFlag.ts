import type { Choices } from "../../design/dimensions.ts"
import { LGUEST_SHARED } from "../../paravirt_ops/lguest64.ts"
import { FLAG_IF } from "./flags.ts"
import { turningOn } from "./instruction.ts"
import type { VirtualCpu64 } from "./virtualCpu.ts"

/*
 * H:185 Where is the Guest's interrupt flag? Four answers, and this file is all that the Host has to know of them. lguest
 * put it in a word that both can see; that one costs nothing but trust, and the Guest can only cheat itself. Who does
 * not like it may ask the Host each time, or let the processor keep it, or the Host's own code in the Guest's space.
 */
export interface InterruptFlag {
  isOn(v: VirtualCpu64): boolean
  set(v: VirtualCpu64, on: boolean): void
  /** Tells the guest whether an interrupt waits until it turns them on. */
  showPending(v: VirtualCpu64, waits: boolean): void
  /** HALT: a guest that cannot turn its interrupts on and go to sleep in one step has it done for it. */
  halting(v: VirtualCpu64): void
  /** #GP in the guest's kernel: was it the attempt to turn interrupts on? Then it is seen to. */
  refused(v: VirtualCpu64): boolean
  /** The guest has left the processor with these flags. */
  left(v: VirtualCpu64, flags: number): void
  /** Bits of EFLAGS that the guest has to run with. */
  bits(v: VirtualCpu64): number
}

const S = LGUEST_SHARED.fields

const nothing = (): void => undefined
const noBits = (): number => 0
const never = (): boolean => false

/** A word that both share: irqEnabled and irqPending of the shared page. */
const sharedWord: InterruptFlag = {
  isOn: (v) => v.sharedPa >= 0 && (v.shared(S.irqEnabled.offset) & FLAG_IF) !== 0,
  set: (v, on) => {
    if (v.sharedPa < 0) return
    const word = v.shared(S.irqEnabled.offset)
    v.setShared(S.irqEnabled.offset, on ? word | FLAG_IF : word & ~FLAG_IF)
  },
  showPending: (v, waits) => {
    if (v.sharedPa >= 0) v.setShared(S.irqPending.offset, waits ? 1 : 0)
  },
  halting: nothing,
  refused: never,
  left: nothing,
  bits: noBits,
}

/** The host's own; nobody needs to be told that one waits, since turning them on is a call. */
const byHypercall: InterruptFlag = {
  isOn: (v) => v.words.interruptsOn,
  set: (v, on) => {
    v.words.interruptsOn = on
  },
  showPending: nothing,
  halting: (v) => {
    v.words.interruptsOn = true
  },
  refused: never,
  left: nothing,
  bits: noBits,
}

/** Bits of EFLAGS (SDM vol. 3, 2.3). */
const FLAG_VIF = 1 << 19
const FLAG_VIP = 1 << 20

/**
 * VIF, which CLI and STI change at ring 3 if CR4.PVI is set (SDM vol. 3, 21.4); with VIP set STI faults, and that is how a
 * guest says that it can be interrupted now. Its processes can do the same, so what they leave there is not believed.
 */
const pvi: InterruptFlag = {
  isOn: (v) => v.words.interruptsOn,
  set: (v, on) => {
    v.words.interruptsOn = on
  },
  showPending: (v, waits) => {
    v.words.interruptWaits = waits
  },
  halting: (v) => {
    v.words.interruptsOn = true
  },
  refused: (v) => {
    const length = v.words.interruptWaits ? turningOn(v.instruction()) : 0
    if (length === 0) return false
    v.advance(length)
    v.words.interruptsOn = true
    v.words.interruptWaits = false
    return true
  },
  left: (v, flags) => {
    if (!v.userView) v.words.interruptsOn = (flags & FLAG_VIF) !== 0
  },
  bits: (v) => (v.words.interruptsOn ? FLAG_VIF : 0) | (v.words.interruptWaits && !v.userView ? FLAG_VIP : 0),
}

/** The ROM's virtual CPU: a word on a page of the host's that the code in the call page keeps (docs/abi-x86_64.md). */
const rom: InterruptFlag = {
  isOn: (v) => (v.romFlag() & FLAG_IF) !== 0,
  set: (v, on) => v.setRomFlag(on ? FLAG_IF : 0),
  showPending: (v, waits) => v.setRomPending(waits ? 1 : 0),
  halting: (v) => v.setRomFlag(FLAG_IF),
  refused: never,
  left: nothing,
  bits: noBits,
}

const FLAGS: Record<Choices["interruptFlag"], InterruptFlag> = {
  "shared-word": sharedWord,
  hypercall: byHypercall,
  pvi,
  rom,
}

/**
 * With SYSCALL's flag set no interrupt comes before HALT, so the guest turns them on itself (G:080). Other doors have nothing
 * to hold interrupts back by: there HALT turns them on.
 */
export const interruptFlag = ({ interruptFlag: choice, hypercall }: Choices): InterruptFlag =>
  choice === "shared-word" && hypercall !== "syscall"
    ? { ...sharedWord, halting: (v) => sharedWord.set(v, true) }
    : FLAGS[choice]
