import type { Choices } from "../design/dimensions.ts"
import {
  DESIGN_WORD,
  FLAG_HYPERCALL,
  FLAG_PVI,
  FLAG_ROM,
  FLAG_SHARED_WORD,
  HYPERCALL_CALL_PAGE,
  HYPERCALL_INTERRUPT,
  HYPERCALL_SYSCALL,
} from "../paravirt_ops/lguest64.ts"
import type { DesignWord } from "./hosted.ts"

/*
 * What a guest is told of its design before its first hypercall, so that one kernel runs in all of them ("this is a
 * real feature which should not be ignored", wrote Rusty): hardware_subarch_data of its boot_params. The format is the same
 * for both architectures. Linux on i386 does not look at it, and need not in lguest's own design.
 */

const HYPERCALL: Record<Choices["hypercall"], number> = {
  syscall: HYPERCALL_SYSCALL,
  interrupt: HYPERCALL_INTERRUPT,
  "call-page": HYPERCALL_CALL_PAGE,
}

const FLAG: Record<Choices["interruptFlag"], number> = {
  "shared-word": FLAG_SHARED_WORD,
  hypercall: FLAG_HYPERCALL,
  pvi: FLAG_PVI,
  rom: FLAG_ROM,
}

/** PML4 slot of the direct map of a guest that has to move it: some way above the usual one. */
export const MOVED_SLOT = 304

/** `firstFrame`: the host frame behind guest frame 0. */
export const designWord = (choices: Choices, firstFrame: number): DesignWord => {
  const direct = choices.mmu === "direct"
  return {
    lo:
      (HYPERCALL[choices.hypercall] << DESIGN_WORD.HYPERCALL_SHIFT) |
      (FLAG[choices.interruptFlag] << DESIGN_WORD.FLAG_SHIFT) |
      (choices.selectors === "switched" ? DESIGN_WORD.NATIVE_SELECTORS : 0) |
      (choices.ring === 1 ? DESIGN_WORD.RING_1 : 0) |
      (direct ? DESIGN_WORD.MACHINE_FRAMES : 0) |
      (choices.pageOffset === "guest-moves" ? MOVED_SLOT << DESIGN_WORD.SLOT_SHIFT : 0),
    hi: direct ? firstFrame : 0,
  }
}
