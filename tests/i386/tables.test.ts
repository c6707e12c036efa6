import fc from "fast-check"
import { describe, expect, it } from "vitest"
import {
  descriptorHi,
  descriptorLo,
  flatCode,
  flatData,
  GATE_TRAP,
  gateHi,
  gateLo,
} from "../../src/i386/descriptors.ts"
import { GuestIdt, isDirectVector } from "../../src/i386/idt.ts"
import { GuestGdt, isHostsEntry } from "../../src/i386/segments.ts"
import { GDT_BYTES, GuestTables, IDT_BYTES } from "../../src/i386/tables.ts"
import { IDT_ENTRIES, PAGES } from "../../src/i386/layout.ts"
import { GDT_ENTRIES } from "../../src/paravirt_ops/lguest.ts"
import { Ram } from "../../src/machine/ram.ts"

const STATE = 0x1000
const GDT = STATE + PAGES.fields.guestGdt.offset - 4096
const IDT = STATE + PAGES.fields.guestIdt.offset - 4096

const newIdt = () => new GuestIdt(0xffc00840, isDirectVector)

const memory = () => new Ram(new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }), 0x1000, 0x4000, 0x100)

/** What the page of a processor holds on which nothing but these tables has ever been. */
const copyOf = (gdt: GuestGdt, idt: GuestIdt) => {
  const ram = memory()
  gdt.changes.addAll()
  idt.changes.addAll()
  new GuestTables(ram, STATE).load(gdt, idt, 0, 0)
  return { gdt: ram.copyOut(GDT, GDT_BYTES), idt: ram.copyOut(IDT, IDT_BYTES) }
}

const step = fc.record({
  guest: fc.nat(1),
  what: fc.constantFrom("descriptor", "gate", "run", "run", "new"),
  index: fc.oneof(fc.nat(GDT_ENTRIES - 1), fc.nat(IDT_ENTRIES - 1)),
  value: fc.nat(0xff),
})

describe("the copies of guests' descriptor tables on a processor", () => {
  it("are those of the guest that runs, whatever ran before and however few entries it changed", () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), (steps) => {
        const ram = memory()
        const tables = new GuestTables(ram, STATE)
        const fresh = () => ({ gdt: new GuestGdt(), idt: newIdt() })
        const guests = [fresh(), fresh()]
        for (const { guest, what, index, value } of steps) {
          const { gdt, idt } = guests[guest]!
          if (what === "descriptor") {
            const attributes = (value & 1) !== 0 ? flatCode(1) : flatData(3)
            gdt.load(index % GDT_ENTRIES, descriptorLo(0, value), descriptorHi(0, value, attributes))
          } else if (what === "gate") {
            idt.load(index, gateLo(0, value), (value & 1) !== 0 ? gateHi(value << 16, 3, GATE_TRAP) : 0)
          } else if (what === "new") {
            tables.forget()
            guests[guest] = fresh()
          } else {
            tables.load(gdt, idt, 0x69, 0x1234)
            const held = { gdt: ram.copyOut(GDT, GDT_BYTES), idt: ram.copyOut(IDT, IDT_BYTES) }
            expect(held).toEqual(copyOf(gdt, idt))
          }
        }
      }),
      { numRuns: 100 },
    )
  })

  it("leave the host's own entries alone", () => {
    const ram = memory()
    ram.fill(GDT, GDT_BYTES, 0xa5)
    new GuestTables(ram, STATE).load(new GuestGdt(), newIdt(), 0, 0)
    for (let i = 0; i < GDT_ENTRIES; i++) expect(ram.read32(GDT + 8 * i) === 0xa5a5a5a5).toBe(isHostsEntry(i))
  })
})
