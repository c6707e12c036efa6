import { describe, expect, it } from "vitest"
import { gateAddress, gateHi, gateLo, gatePresent, GATE_INTERRUPT, GATE_TRAP } from "../../src/i386/descriptors.ts"
import { couldBeSyscall, GuestIdt, isDirectVector, isHostsVector, noVector } from "../../src/i386/idt.ts"
import { LGUEST_CS } from "../../src/i386/layout.ts"
import { GUEST_KERNEL_CS, LGUEST_TRAP_ENTRY } from "../../src/paravirt_ops/lguest.ts"

const HANDLER = 0xc0123456
/** Of vector 0, and of any other. */
const STUBS = 0xffc00840
const stub = (vector: number) => STUBS + 16 * vector
const straight = () => new GuestIdt(STUBS, isDirectVector)
const gate = (dpl: number, type: number, selector = 0x60) =>
  [gateLo(selector, HANDLER), gateHi(HANDLER, dpl, type)] as const

/** What the processor's IDT would hold for `vector`: where, with which selector, for whom, interrupts off or not. */
const entry = (idt: GuestIdt, vector: number) => {
  const lo = idt.entryLo(vector)
  const hi = idt.entryHi(vector)
  expect(gatePresent(hi)).toBe(true)
  return { address: gateAddress(lo, hi), selector: lo >>> 16, dpl: (hi >>> 13) & 3, type: (hi >>> 8) & 0x1f }
}
const home = (vector: number, dpl: number) => ({
  address: stub(vector),
  selector: LGUEST_CS,
  dpl,
  type: GATE_INTERRUPT,
})

describe("a guest's gates", () => {
  it("of the trap kind go straight to its kernel, at ring 1 whatever selector it wrote", () => {
    const idt = straight()
    expect(idt.load(0x80, ...gate(3, GATE_TRAP, LGUEST_CS))).toBe(true)
    expect(entry(idt, 0x80)).toEqual({ address: HANDLER, selector: GUEST_KERNEL_CS, dpl: 3, type: GATE_TRAP })
    idt.load(3, ...gate(3, GATE_TRAP))
    expect(entry(idt, 3)).toEqual({ address: HANDLER, selector: GUEST_KERNEL_CS, dpl: 3, type: GATE_TRAP })
  })

  it("of the interrupt kind come to the host, with the privilege that the guest asked for", () => {
    const idt = straight()
    idt.load(0x80, ...gate(3, GATE_INTERRUPT))
    expect(entry(idt, 0x80)).toEqual(home(0x80, 3))
    idt.load(3, ...gate(3, GATE_INTERRUPT))
    expect(entry(idt, 3)).toEqual(home(3, 3))
    idt.load(0, ...gate(0, GATE_INTERRUPT))
    expect(entry(idt, 0)).toEqual(home(0, 0))
    expect(idt.address(0x80)).toBe(HANDLER)
    expect(idt.isTrap(0x80)).toBe(false)
  })

  it("all come to the host in a design that wants to see all, and processes may use those that they might", () => {
    const idt = new GuestIdt(STUBS, noVector)
    for (const vector of [3, 4, 0x80]) {
      idt.load(vector, ...gate(3, GATE_TRAP))
      expect(entry(idt, vector)).toEqual(home(vector, 3))
      expect(idt.isDirect(vector)).toBe(false)
      expect(idt.isTrap(vector)).toBe(true)
    }
    idt.load(0, ...gate(0, GATE_TRAP))
    expect(entry(idt, 0)).toEqual(home(0, 0))
  })

  it("for what the host must see first never go straight", () => {
    const idt = straight()
    for (const vector of [7, 13, 14]) {
      expect(idt.load(vector, ...gate(3, GATE_TRAP))).toBe(true)
      // Nor may a process pretend to be such an exception.
      expect(entry(idt, vector)).toEqual(home(vector, 0))
      expect(idt.present(vector)).toBe(true)
    }
    for (const vector of [32, 33, 63, 0x41, 0x7f, 0x81, 255]) {
      idt.load(vector, ...gate(3, GATE_TRAP))
      expect(entry(idt, vector)).toEqual(home(vector, 0))
    }
  })

  it("for the host's own vectors are ignored, and the hypercall stays open to ring 1", () => {
    const idt = straight()
    for (const vector of [2, 8, 15, 18, LGUEST_TRAP_ENTRY]) {
      expect(isHostsVector(vector)).toBe(true)
      expect(idt.load(vector, ...gate(3, GATE_TRAP))).toBe(true)
      expect(idt.present(vector)).toBe(false)
      expect(entry(idt, vector)).toEqual(home(vector, vector === LGUEST_TRAP_ENTRY ? 1 : 0))
    }
  })

  it("of any other kind are refused; one that is not present clears the vector", () => {
    const idt = straight()
    // Task gate, 16-bit gates, call gate, a data segment.
    for (const type of [0x5, 0x6, 0x7, 0xc, 0x12, 0x1e]) expect(idt.load(4, ...gate(3, type))).toBe(false)
    idt.load(4, ...gate(3, GATE_TRAP))
    expect(idt.present(4)).toBe(true)
    expect(idt.load(4, 0, 0)).toBe(true)
    expect(idt.present(4)).toBe(false)
    expect(entry(idt, 4)).toEqual(home(4, 0))
  })

  it("partition the vectors", () => {
    const direct = Array.from({ length: 256 }, (_, v) => v).filter(isDirectVector)
    expect(direct.filter((v) => v >= 32)).toEqual([0x40, 0x80])
    expect(direct.filter(couldBeSyscall)).toEqual([0x40, 0x80])
    expect(direct.filter((v) => v < 32)).toEqual([
      0, 1, 3, 4, 5, 6, 9, 10, 11, 12, 16, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30,
    ])
  })
})
