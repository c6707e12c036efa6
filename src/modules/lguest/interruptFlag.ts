import type { Choices } from "../../design/dimensions.ts"
import { symbols } from "../../i386/callPage_32.gen.ts"
import { CALL_PAGE_ADDR, LGUEST_DATA, ROM_DATA } from "../../paravirt_ops/lguest.ts"
import type { VirtualCpu } from "./virtualCpu.ts"

/*
 * Where the guest's interrupt flag is: three answers, and all that the host has to know of each. The sibling of
 * lguest64's; the fourth, PVI, is for ring 3. Whoever calls knows that the guest has made LGUEST_INIT.
 */
export interface InterruptFlag {
  isOn(v: VirtualCpu): boolean
  set(v: VirtualCpu, on: boolean): void
  /** Tells the guest whether an interrupt waits until it turns them on. */
  showPending(v: VirtualCpu, waits: boolean): void
  /**
   * Address of the IRET that follows at once on turning the flag on, so that an interrupt there takes over the frame on the
   * stack; -1: there is none. `named` is what the guest has given as its own.
   */
  iret(named: number): number
}

export const FLAG_IF = 0x200
const D = LGUEST_DATA.fields
const ROM = ROM_DATA.fields
const NONE = -1

/** A word that both share: irqEnabled and irqPending of lguest_data. */
const sharedWord: InterruptFlag = {
  isOn: (v) => (v.shared(D.irqEnabled.offset) & FLAG_IF) !== 0,
  set: (v, on) => v.setShared(D.irqEnabled.offset, on ? FLAG_IF : 0),
  showPending: (v, waits) => v.setShared(D.irqPending.offset, waits ? FLAG_IF : 0),
  iret: (named) => named,
}

/** The host's own. Nobody needs to be told that one waits, since turning them on is a call; so is returning with them on. */
const byHypercall: InterruptFlag = {
  isOn: (v) => v.interruptsOn,
  set: (v, on) => {
    v.interruptsOn = on
  },
  showPending: () => undefined,
  iret: () => NONE,
}

/** The ROM's: two words in the page behind the call page, which the guest reaches through calls (or by itself: so be it). */
const rom: InterruptFlag = {
  isOn: (v) => (v.rom(ROM.irqEnabled.offset) & FLAG_IF) !== 0,
  set: (v, on) => v.setRom(ROM.irqEnabled.offset, on ? FLAG_IF : 0),
  showPending: (v, waits) => v.setRom(ROM.irqPending.offset, waits ? FLAG_IF : 0),
  iret: () => CALL_PAGE_ADDR + symbols.rom_iret,
}

/** Those that exist on i386 (src/design/rules.ts refuses the other). */
const FLAGS: Partial<Record<Choices["interruptFlag"], InterruptFlag>> = {
  "shared-word": sharedWord,
  hypercall: byHypercall,
  rom,
}

export const interruptFlag = (choice: Choices["interruptFlag"]): InterruptFlag => {
  const flag = FLAGS[choice]
  if (flag === undefined) throw new RangeError(`no i386 guest has its interrupt flag by ${choice}`)
  return flag
}
