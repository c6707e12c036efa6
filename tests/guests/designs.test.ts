import { describe, expect, it } from "vitest"
import { type Choices, LGUEST64 } from "../../src/design/dimensions.ts"
import { check } from "../../src/design/rules.ts"
import type { HostedGuest } from "../../src/launcher/hosted.ts"
import { LHCALL } from "../../src/paravirt_ops/lguest64.ts"
import { bootPuppy, type Ended } from "../designs/puppy.ts"

/*
 * One image of puppy under every design that a guest can notice: door of hypercalls, place of the interrupt flag, ring,
 * selectors, PAGE_OFFSET, page tables with the machine's addresses. What its user sees is the same under all.
 */

/** Times that programs have measured, and the memory that is free. */
const MEASURED = /, [\d.]+ (ns|ns each|reads|per second)\b|\d+ of \d+ KiB free/g

interface Run extends Ended {
  readonly guest: HostedGuest
}

const run = async (design: Choices, vcpus: number, lines: ReadonlyArray<string>): Promise<Run> => {
  const puppy = await bootPuppy(design, { vcpus })
  const ended = puppy.run(lines)
  return { ...ended, output: ended.output.replaceAll(MEASURED, ""), guest: puppy.guest }
}

const MIXED = [
  "echo one two | cat",
  "seq 100 | grep 7 | head -n 3",
  "getpid-loop 100",
  "page-bench 50",
  "ctx-bench 20",
  "(exit 3); echo $?",
  "sleep 0.05 & sh -c 'exit 4'; wait; echo waited",
  "poweroff 9",
]

const MIXED_ON_TWO = [
  "nproc",
  ...MIXED.slice(0, -1),
  "fork-bench 5 >/dev/null & fork-bench 5 >/dev/null & wait; echo forked",
  "shootdown-bench 2 3",
  "lock-bench 2 20; echo locks $?",
  "poweroff 9",
]

/** The few dimensions that a row is about; the others are as in the default. */
type Noticed = Pick<Choices, "hypercall" | "interruptFlag" | "ring" | "selectors" | "pageOffset" | "mmu">

const nameOf = ({ hypercall, interruptFlag, ring, selectors, pageOffset, mmu }: Noticed): string =>
  `${hypercall}, ${interruptFlag}, ring ${ring}, ${selectors}, ${pageOffset}, ${mmu}`

const each = <A, B>(values: ReadonlyArray<A>, rows: (value: A) => ReadonlyArray<B>): ReadonlyArray<B> =>
  values.flatMap(rows)

const WAYS_IN: ReadonlyArray<Pick<Noticed, "hypercall" | "interruptFlag">> = each(
  ["syscall", "interrupt", "call-page"] as const,
  (hypercall) =>
    (["shared-word", "hypercall", "pvi", "rom"] as const).map((interruptFlag) => ({ hypercall, interruptFlag })),
)
const PLACES: ReadonlyArray<Pick<Noticed, "ring" | "selectors">> = each([3, 1] as const, (ring) =>
  (["own", "switched"] as const).map((selectors) => ({ ring, selectors })),
)
const OFFSETS = ["same", "guest-moves", "host-moves"] as const

/**
 * Every way in from every place, with one PAGE_OFFSET each in turn; every PAGE_OFFSET with the default's rest; and direct
 * paging with some of it.
 */
const ROWS: ReadonlyArray<readonly [name: string, design: Choices]> = [
  ...each(WAYS_IN, (way) => PLACES.map((place) => ({ ...way, ...place }))).map((noticed, i) => ({
    ...noticed,
    pageOffset: OFFSETS[i % OFFSETS.length]!,
    mmu: LGUEST64.mmu,
  })),
  ...OFFSETS.map((pageOffset) => ({ ...LGUEST64, pageOffset })),
  ...OFFSETS.map((pageOffset) => ({ ...LGUEST64, pageOffset, mmu: "direct" as const })),
  ...PLACES.map((place) => ({ ...LGUEST64, ...place, hypercall: "interrupt" as const, mmu: "direct" as const })),
]
  .map((noticed) => [nameOf(noticed), { ...LGUEST64, ...noticed }] as const)
  .filter(([, design]) => check(design).length === 0)

/** With more than one virtual CPU the ways in matter, and where each finds its own interrupt flag. */
const ROWS_OF_TWO = ROWS.filter(([, { ring, selectors }]) => ring === 3 && selectors === "own")

/** How often the guest asked for its interrupt flag. */
const asked = ({ host }: HostedGuest, name: "IRQ_FLAGS" | "IRQ_DISABLE" | "IRQ_ENABLE"): number =>
  host.kernel.statistics.hypercalls[LHCALL[name]]!

describe("one puppy under many designs", () => {
  const normal = run(LGUEST64, 1, MIXED)
  const normalOnTwo = run(LGUEST64, 2, MIXED_ON_TWO)

  it("says under the default one what it should", async () => {
    const { kind, status, output } = await normal
    expect([kind, status]).toEqual(["powerOff", 9])
    for (const answer of ["one two\n", "7\n17\n27\n", "3\n", "waited\n"]) expect(output).toContain(`\n${answer}`)
    const onTwo = await normalOnTwo
    expect([onTwo.kind, onTwo.status]).toEqual(["powerOff", 9])
    for (const answer of ["nproc\n2\n", "forked\n", "locks 0\n"]) expect(onTwo.output).toContain(answer)
    expect(onTwo.output).not.toMatch(/BROKEN|STALE|panic/)
  })

  it.each(ROWS)("%s: says the same", async (_, design) => {
    const { guest, ...ended } = await run(design, 1, MIXED)
    const { guest: _guest, ...expected } = await normal
    expect(ended).toEqual(expected)
    // It is what it says it is: it asks if it has to, and not otherwise.
    const calls = (["IRQ_FLAGS", "IRQ_DISABLE", "IRQ_ENABLE"] as const).map((name) => asked(guest, name))
    if (design.interruptFlag === "hypercall") expect(Math.min(...calls)).toBeGreaterThan(100)
    else expect(calls).toEqual([0, 0, 0])
    const { processor } = guest.host.kernel
    expect(processor.counters().instructions[design.ring]).toBeGreaterThan(100_000)
  })

  it.each(ROWS_OF_TWO)("%s, two virtual CPUs: says the same", async (_, design) => {
    const { guest: _own, ...ended } = await run(design, 2, MIXED_ON_TWO)
    const { guest: _normal, ...expected } = await normalOnTwo
    expect(ended).toEqual(expected)
  })
})
