import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { type Choices, LGUEST, LGUEST64 } from "../../src/design/dimensions.ts"
import { cpuAddress, fixed } from "../../src/host/x86_64/fixedArea.ts"
import * as L from "../../src/host/x86_64/layout.ts"
import { PTE_U, PTE_W } from "../../src/host/x86_64/pageTables.ts"
import { symbols as symbols32 } from "../../src/launcher/attack/image32.gen.ts"
import { symbols as symbols64 } from "../../src/launcher/attack/image64.gen.ts"
import { expectedOf, surprises } from "../../src/launcher/attack/expected.ts"
import type { Outcomes } from "../../src/launcher/designs/expects.ts"
import { matrixJson, matrixText, type Row } from "../../src/launcher/attack/matrix.ts"
import { ATTACKS, attacksOn } from "../../src/launcher/attack/registry.ts"
import { notApplicable, runAttack } from "../../src/launcher/attack/run.ts"
import type { Verdict } from "../../src/launcher/attack/verdict.ts"
import type { World } from "../../src/launcher/attack/world.ts"

/*
 * The harness of `designs attack` itself: on hosts that are as they should be, and on hosts that have been opened on purpose, it tells what
 * was withstood, what cost the guest its life, and what was gained.
 */

const core = new WebAssembly.Module(readFileSync(new URL("../../dist/machine/core.wasm", import.meta.url)))

const attackOn = (choices: Choices, name: string, prepare?: (world: World) => void): Verdict => {
  const attack = ATTACKS.find((a) => a.name === name && a.arch === choices.arch)!
  return runAttack(core, choices, attack, prepare === undefined ? {} : { prepare })
}
const gains = (verdict: Verdict): ReadonlyArray<string> => (verdict.kind === "breached" ? verdict.gains : [])

const PAGE = 4096
/** Physical address of the page-table entry for `va` in the fixed area of a guest's own tables. */
const guestEntry = (world: World, va: bigint): number => {
  const { ram } = world.hosted.machine
  const [pages] = (world.attacker as unknown as { readonly pages: ReadonlyArray<{ readonly root: number }> }).pages
  let table = pages!.root
  for (let level = 4; level > 1; level--)
    table = (ram.read32(table + 8 * Number((va >> BigInt(3 + 9 * level)) & 511n)) & ~(PAGE - 1)) >>> 0
  return table + 8 * Number((va >> 12n) & 511n)
}
/** Gives the guest at ring 3 rights to a page of the fixed area. */
const open =
  (va: bigint, rights: number) =>
  (world: World): void => {
    const { ram } = world.hosted.machine
    const at = guestEntry(world, va)
    expect(ram.read32(at) & 1).toBe(1)
    ram.write32(at, ram.read32(at) | rights)
  }
/** Physical address of a page of the fixed area. */
const physical = (world: World, va: bigint): number =>
  (world.hosted.machine.ram.read32(guestEntry(world, va)) & ~(PAGE - 1)) >>> 0

describe("the suite", () => {
  it("has an entry for each program, and a program for each entry", () => {
    for (const [arch, symbols] of [
      ["x86_64", symbols64],
      ["i386", symbols32],
    ] as const) {
      const entries = new Set(attacksOn(arch).map(({ entry }) => entry))
      expect([...entries].sort()).toEqual(Object.keys(symbols).filter((name) => name.startsWith("attack_")))
      const names = attacksOn(arch).map(({ name }) => name)
      expect(new Set(names).size).toBe(names.length)
      expect(names.every((name) => /^[a-z0-9-]+$/.test(name))).toBe(true)
    }
  })

  it("leaves out what takes more virtual CPUs than a design has", () => {
    const two = ATTACKS.find(({ name }) => name === "table-race")!
    expect(notApplicable(LGUEST64, two)).toBeUndefined()
    expect(notApplicable({ ...LGUEST64, smp: "one" }, two)).toMatch(/two virtual CPUs/)
  })
})

describe("a host as it should be", () => {
  it.each(["read-direct-map", "write-fixed-area", "user-read-kernel", "forge-pda", "leftover-registers", "meltdown"])(
    "withstands %s",
    (name) => {
      expect(attackOn(LGUEST64, name)).toEqual({ kind: "withstood" })
    },
  )

  it("kills, and says why", () => {
    expect(attackOn(LGUEST64, "halt-deaf")).toEqual({
      kind: "killed",
      reason: "HALT with interrupts off: nothing could ever wake it",
    })
    const killed = attackOn(LGUEST, "pte-host-frame")
    expect(killed.kind === "killed" && killed.reason).toMatch(/is not in the guest's memory/)
  })

  it("goes on beside a guest that never stops", () => {
    expect(attackOn(LGUEST64, "spin-deaf")).toEqual({ kind: "withstood", note: "it went on for ever" })
  })

  it.each([LGUEST64, LGUEST])("is struck at each of its instructions, $arch", (choices) => {
    const verdict = attackOn(choices, "nmi-everywhere")
    const [, struck, of] = /struck at (\d+) of (\d+)/.exec((verdict.kind === "withstood" && verdict.note) || "")!
    expect(Number(struck)).toBeGreaterThan(50)
    expect(struck).toBe(of)
  })
})

describe("a host that is open", () => {
  const pda = cpuAddress(0, L.CPU_PDA)
  const idt = cpuAddress(0, L.CPU_IDT)
  /** Where behind the code there is room for a secret. */
  const lastText = fixed(L.TEXT_OFFSET + (L.TEXT_PAGES - 1) * PAGE)

  it("is read: the secrets of the pages that can be, and no others", () => {
    expect(attackOn(LGUEST64, "read-fixed-area", open(pda, PTE_U))).toEqual({
      kind: "breached",
      gains: ["read the PDA of processor 0"],
    })
    expect(gains(attackOn(LGUEST64, "user-read-fixed-area", open(lastText, PTE_U)))).toEqual([
      "read the text of entry code and Switcher",
    ])
  })

  it("is written to, and it is seen where", () => {
    expect(gains(attackOn(LGUEST64, "write-fixed-area", open(pda, PTE_U)))).toEqual([
      expect.stringMatching(/^wrote the PDA of processor 0 \(at offset 0x/),
    ])
    expect(gains(attackOn(LGUEST64, "write-switcher", open(fixed(L.TEXT_OFFSET), PTE_U | PTE_W)))).toEqual([
      expect.stringMatching(/^wrote the text of entry code and Switcher/),
    ])
  })

  it("runs the guest's code at ring 0", () => {
    const verdict = attackOn(LGUEST64, "forge-idt", open(idt, PTE_U | PTE_W))
    expect(gains(verdict)[0]).toBe("ran code of its own at ring 0")
    expect(gains(verdict)).toContainEqual(expect.stringMatching(/^wrote the IDT of processor 0/))
    expect(gains(attackOn(LGUEST64, "forge-pda", open(pda, PTE_U)))[0]).toBe("ran code of its own at ring 0")
  })

  it("lets a process read its kernel where both have one address space", () => {
    expect(gains(attackOn({ ...LGUEST64, spaces: "one" }, "user-read-kernel"))).toEqual([
      "read its own kernel's memory",
    ])
  })

  it("lets a kernel with a segment of thread-local storage look at the Switcher on i386, as Linux's did", () => {
    expect(gains(attackOn(LGUEST, "thread-local")).every((line) => line.startsWith("read the Switcher's"))).toBe(true)
    expect(attackOn(LGUEST, "thread-local").kind).toBe("breached")
  })
})

describe("a host that breaks", () => {
  it("by a fault that nobody takes", () => {
    const verdict = attackOn(LGUEST64, "read-direct-map", (world) => {
      world.hosted.machine.ram.fill(physical(world, cpuAddress(0, L.CPU_IDT)), PAGE, 0)
    })
    expect(gains(verdict)).toEqual([expect.stringMatching(/^the host broke \(HostPanic: /)])
  })

  it("by an NMI whose handler trusts in what it finds", () => {
    const ENTRY = 16
    const verdict = attackOn(LGUEST64, "nmi-everywhere", (world) => {
      const { ram } = world.hosted.machine
      const idt = physical(world, cpuAddress(0, L.CPU_IDT))
      ram.copyIn(idt + 2 * ENTRY, ram.copyOut(idt + 6 * ENTRY, ENTRY))
    })
    expect(verdict.kind).toBe("breached")
  })

  it("by no longer serving its own process", () => {
    const verdict = attackOn(LGUEST64, "read-direct-map", ({ hosted: { kernel } }) => {
      for (const { kind, pid } of kernel.tasks.list()) if (kind === "process") kernel.tasks.setRunnable(pid, false)
      for (const { kind, pid } of kernel.tasks.list())
        if (kind === "process") kernel.scheduler.setTimer(pid, Infinity, 0)
    })
    expect(gains(verdict)).toEqual(["stopped the host's own process"])
  })
})

describe("the matrix", () => {
  const [attack] = attacksOn("x86_64", ["forge-pda"])
  const expects: Outcomes = { withstands: ["forge-pda"], breached: {}, killed: [], harmless: ["iret-race"] }
  const row = (verdict: Verdict): Row => {
    const expected = expectedOf(expects, "forge-pda")
    const cell = { attack: attack!, outcome: verdict, expected, surprising: surprises(expected, verdict) }
    return { design: "mine", title: "A design", arch: "x86_64", cells: [cell] }
  }

  it("marks what a design does not expect of itself, and tells what was gained", () => {
    const text = matrixText([row({ kind: "breached", gains: ["read the moon"] })], 100)
    expect(text).toMatch(/^forge-pda\s+B\*$/m)
    expect(text).toContain("forge-pda: read the moon")
    expect(text).toContain("expected: withstood; it is breached")
    expect(matrixText([row({ kind: "withstood" })], 100)).toMatch(/^forge-pda\s+\.$/m)
    const json = JSON.parse(matrixJson([row({ kind: "killed", reason: "it was time" })], 7))
    expect(json.designs[0].attacks[0]).toMatchObject({
      attack: "forge-pda",
      outcome: { kind: "killed", reason: "it was time" },
      surprising: true,
    })
  })

  it("is told more of a race than that it is harmless", () => {
    const expected = expectedOf(expects, "iret-race")
    expect(surprises(expected, { kind: "withstood" })).toBe(false)
    expect(surprises(expected, { kind: "killed", reason: "" })).toBe(false)
    expect(surprises(expected, { kind: "breached", gains: ["read the moon"] })).toBe(true)
  })

  it("compares what leaks, but for what is chance", () => {
    const breach = { reads: ["the PDA"], writes: ["the moon"], does: ["keeps interrupts off"], why: "so it goes" }
    const expected = expectedOf({ ...expects, breached: { "halt-deaf": breach } }, "halt-deaf")
    const gains = [
      "wrote the moon (at offset 0x10)",
      "keeps interrupts off: EFLAGS 0x3002",
      "read the PDA of processor 1",
      "read the PDA of processor 0",
    ]
    expect(surprises(expected, { kind: "breached", gains })).toBe(false)
    expect(surprises(expected, { kind: "breached", gains: gains.slice(1) })).toBe(true)
    expect(surprises(expected, { kind: "breached", gains: [...gains, "read another guest's memory"] })).toBe(true)
    expect(surprises(expected, { kind: "withstood" })).toBe(true)
    const row = { attack: attack!, outcome: { kind: "breached" as const, gains: ["read the sun"] }, expected }
    const text = matrixText(
      [{ design: "mine", title: "A", arch: "x86_64", cells: [{ ...row, surprising: true }] }],
      200,
    )
    expect(text).toContain("expected: breached (keeps interrupts off; read the PDA; wrote the moon)")
  })

  it("expects nothing of what a design says nothing of", () => {
    expect(surprises(expectedOf(expects, "halt-deaf"), { kind: "killed", reason: "" })).toBe(false)
    expect(surprises(expectedOf(expects, "forge-pda"), { kind: "not-applicable", reason: "" })).toBe(false)
  })
})
