import type { Choices } from "../../design/dimensions.ts"
import type { TlbFlusher } from "../../mmu4/interface.ts"
import { isCanonical } from "../../syscall/address.ts"
import type { Guest64 } from "./guest.ts"
import type { VirtualCpu64 } from "./virtualCpu.ts"

/*
 * H:115 What a guest may do no more must leave the TLBs. Where each way in loads CR3 (the Host is not mapped, so it has
 * to) that comes for nothing: whoever is out of the Guest has forgotten it. Where the Host stays mapped and CR3 with it,
 * somebody has to say so.
 */
export interface WorldChange {
  /** For each virtual CPU of the guest what its MMU calls when rights have been taken away. */
  flushers(guest: Guest64, vcpus: number): ReadonlyArray<TlbFlusher>
  /** The virtual CPU is about to enter its guest; the host knows already (enterGuest). */
  entering(v: VirtualCpu64): void
  /** Whether it may go back in as it is, after an interrupt that the host has handled without leaving it. */
  mayResume(v: VirtualCpu64): boolean
}

const nothing = () => undefined
/**
 * One call empties all processors of the guest, whichever virtual CPU they run. Who flushes for himself is out already, and
 * `mine` is all that is left to do for him.
 */
const forEverybody = (
  guest: Guest64,
  vcpus: number,
  before: () => void,
  mine: (vcpu: number) => void,
): ReadonlyArray<TlbFlusher> =>
  Array.from({ length: vcpus }, (_, vcpu) => ({
    flushAll: (own?: boolean) => {
      if (own === true) mine(vcpu)
      else if (vcpu === 0) {
        before()
        guest.shootDown()
      }
    },
    flushPage: nothing,
  }))

/** Every entry loads CR3, and no shadow entry is global: who is out of the guest has nothing stale. */
const switched: WorldChange = {
  flushers: (guest, vcpus) => forEverybody(guest, vcpus, nothing, nothing),
  entering: nothing,
  mayResume: () => false,
}

/**
 * CR3 is loaded when it changes. So each virtual CPU is told first, and then got out: one that is about to enter has said so
 * before it looks (enterGuest, then the word), so either it sees the word or it is seen.
 */
const mapped: WorldChange = {
  flushers: (guest, vcpus) =>
    forEverybody(
      guest,
      vcpus,
      () => {
        for (const { words } of guest.vcpus) words.askFlush()
      },
      (vcpu) => guest.vcpus[vcpu]!.words.askFlush(),
    ),
  entering: (v) => {
    if (v.words.takeFlush()) v.registers.askFlush()
  },
  mayResume: (v) => {
    const { kernel } = v.host
    if (v.pending !== undefined || kernel.pauses.asked || v.words.pendingInterrupts !== 0) return false
    // Behind the last instruction of the lower half: IRETQ there would be the host's fault (M:050).
    if (!isCanonical(v.registers.ripHi)) return false
    kernel.enterGuest(v.guest.number)
    return !v.words.flushAsked
  },
}

const WORLD_CHANGES: Record<Choices["host"], WorldChange> = {
  everything: mapped,
  switcher: switched,
  "switcher-behind-limits": switched,
  "everything-behind-limits": mapped,
}

export const worldChangeOf = (choice: Choices["host"]): WorldChange => WORLD_CHANGES[choice]
