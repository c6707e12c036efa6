import type { Choices } from "../../design/dimensions.ts"
import {
  DESIGN_WORD,
  FLAG_HYPERCALL,
  FLAG_ROM,
  FLAG_SHARED_WORD,
  HYPERCALL_CALL_PAGE,
  HYPERCALL_INTERRUPT,
} from "../../paravirt_ops/lguest64.ts"

/*
 * What an i386 guest is told of its design before its first hypercall, in the format of lguest64's design word. Linux does
 * not look at it, and need not in lguest's own design.
 */
export const designWord = ({ hypercall, interruptFlag }: Choices): { readonly lo: number; readonly hi: number } => {
  const door = hypercall === "call-page" ? HYPERCALL_CALL_PAGE : HYPERCALL_INTERRUPT
  const flag = interruptFlag === "rom" ? FLAG_ROM : interruptFlag === "hypercall" ? FLAG_HYPERCALL : FLAG_SHARED_WORD
  return {
    lo:
      (door << DESIGN_WORD.HYPERCALL_SHIFT) |
      (flag << DESIGN_WORD.FLAG_SHIFT) |
      DESIGN_WORD.NATIVE_SELECTORS |
      DESIGN_WORD.RING_1,
    hi: 0,
  }
}
