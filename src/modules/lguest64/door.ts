import type { Choices } from "../../design/dimensions.ts"
import { HYPERCALL_VECTOR, LGUEST_SHARED } from "../../paravirt_ops/lguest64.ts"
import { hypercall } from "./hypercalls.ts"
import { reflectSystemCall } from "./interrupts.ts"
import { reflectSoftware } from "./software.ts"
import type { VirtualCpu64 } from "./virtualCpu.ts"

/*
 * H:133 By which door a hypercall comes in. Where SYSCALL is the guest's processes' door as well, a flag says who knocks
 * (H:130). With a door of its own for hypercalls no flag is needed, and nothing can come between it and the knocking.
 */
export interface HypercallDoor {
  /** SYSCALL has brought the guest here. */
  systemCall(v: VirtualCpu64): void
  /** INT HYPERCALL_VECTOR has; RIP is behind it. */
  interrupt(v: VirtualCpu64): void
  /** Bytes on the kernel's stack below the frame of hypercall IRET. */
  readonly belowFrame: number
}

const S = LGUEST_SHARED.fields

/**
 * H:130 The question of the proposal: hypercall, or a system call of a process of the guest?
 *
 * Both come by the same instruction at the same ring. We do not look where RIP is, nor at any selector, for a process
 * could have arranged those: it is our own record of the view that decides, and then the flag, which is on a page
 * that the user's view does not have.
 */
const bySystemCall: HypercallDoor = {
  systemCall: (v) => {
    const isHypercall = !v.userView && (v.sharedPa < 0 || v.shared(S.hypercallFlag.offset) !== 0)
    if (isHypercall) {
      if (v.sharedPa >= 0) v.setShared(S.hypercallFlag.offset, 0)
      hypercall(v)
    } else reflectSystemCall(v)
  },
  // Another guest's design has opened this door in the host's IDT; here it is a vector like any other.
  interrupt: (v) => reflectSoftware(v, HYPERCALL_VECTOR),
  belowFrame: 0,
}

const ofItsOwn = (belowFrame: number): HypercallDoor => ({
  systemCall: reflectSystemCall,
  interrupt: (v) => {
    if (v.userView) reflectSoftware(v, HYPERCALL_VECTOR)
    else hypercall(v)
  },
  belowFrame,
})

/** By SYSCALL, but the ROM, which keeps the interrupt flag, has its own door: its code asks for SEND_INTERRUPTS by INT. */
const bySystemCallBesidesRom: HypercallDoor = { ...bySystemCall, interrupt: ofItsOwn(0).interrupt }

/** A return address lies between the stack pointer and what the guest's kernel has pushed. */
const RETURN_ADDRESS = 8

const DOORS: Record<Choices["hypercall"], HypercallDoor> = {
  syscall: bySystemCall,
  interrupt: ofItsOwn(0),
  "call-page": ofItsOwn(RETURN_ADDRESS),
}

export const hypercallDoor = (design: Pick<Choices, "hypercall" | "interruptFlag">): HypercallDoor =>
  design.hypercall === "syscall" && design.interruptFlag === "rom" ? bySystemCallBesidesRom : DOORS[design.hypercall]
