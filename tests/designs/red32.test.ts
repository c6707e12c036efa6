import { describe, expect, it } from "vitest"
import { type Choices, LGUEST } from "../../src/design/dimensions.ts"
import { GATE_INTERRUPT, gateHi, gateLo } from "../../src/i386/descriptors.ts"
import { GUEST_KERNEL_CS, LHCALL } from "../../src/paravirt_ops/lguest.ts"
import { TestGuest } from "../i386/guests.ts"

/* What was found by whoever read i386 designs' code as an attacker, and no program of guests/attacks tries. */

const FRAGMENT = 0x1f_f000
const HANDLER = 0xc020_0000

const word = (value: number): ReadonlyArray<number> => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff)

describe.each<readonly [string, Partial<Choices>]>([
  ["straight", {}],
  ["through-host", { events: "through-host" }],
])("events %s:", (_name, choices) => {
  // Where the Switcher expects an error code of the processor's and finds none, all that it saves is one word off.
  it.each([10, 11, 12, 17])("INT %i is no exception with an error code", (vector) => {
    const guest = new TestGuest("fragment_kernel", { design: { ...LGUEST, ...choices } })
    const code = [
      ...[0xb8, ...word(LHCALL.LOAD_IDT_ENTRY), 0xbb, ...word(vector)],
      ...[0xb9, ...word(gateLo(GUEST_KERNEL_CS, HANDLER)), 0xba, ...word(gateHi(HANDLER, 3, GATE_INTERRUPT))],
      ...[0xcd, 0x1f, 0xcd, vector],
    ]
    guest.hosted.machine.ram.copyIn(guest.hosted.guestBase + FRAGMENT, Uint8Array.from(code))
    expect(guest.run()).toMatchObject({
      kind: "killed",
      death: { cause: `unhandled trap 13 (error code 0x${((vector << 3) | 2).toString(16)})` },
    })
  })
})
