import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { type Choices, LGUEST64 } from "../../src/design/dimensions.ts"
import { ATTACKS } from "../../src/launcher/attack/registry.ts"
import { runAttack } from "../../src/launcher/attack/run.ts"

/*
 * A process and its kernel's ROM (user_rom_flag in guests/attacks/process.S), by whoever makes the roots: loads, stores and
 * calls have to fault.
 */

const core = new WebAssembly.Module(readFileSync(new URL("../../dist/machine/core.wasm", import.meta.url)))
const attack = ATTACKS.find(({ name }) => name === "user-rom-flag")!
const MMUS = ["kvm", "throw-away", "on-demand", "direct"] as const
const HOSTS: ReadonlyArray<Partial<Choices>> = [
  { host: "switcher" },
  { host: "everything", pageOffset: "host-moves" },
  { host: "switcher", vcpu: "task" },
  { host: "switcher", selectors: "switched" },
]

const tried = (choices: Partial<Choices>) =>
  runAttack(core, { ...LGUEST64, hypercall: "call-page", interruptFlag: "rom", ...choices }, attack, {})

describe.each(MMUS)("under %s page tables", (mmu) => {
  for (const host of HOSTS)
    it(`a process does not come to the ROM (${Object.values(host).join(", ")})`, () => {
      expect(tried({ mmu, ...host })).toEqual({ kind: "withstood" })
    })

  it("nor where its kernel is a supervisor, which is enough with one view", () => {
    expect(tried({ mmu, ring: 1 })).toEqual({ kind: "withstood" })
    expect(tried({ mmu, ring: 1, spaces: "one" })).toEqual({ kind: "withstood" })
  })

  it("but does with one view at ring 3, and it is noticed", () => {
    expect(tried({ mmu, spaces: "one" })).toEqual({ kind: "breached", gains: Object.values(attack.through!) })
  })
})
