import { describe, expect, it } from "vitest"
import { type Choices, LGUEST64 } from "../../src/design/dimensions.ts"
import { GuestFault, GuestMemory } from "../../src/devices/guestMemory.ts"
import type { HostedGuest } from "../../src/launcher/hosted.ts"
import type { DirectMmu } from "../../src/mmu4/direct/index.ts"
import { LHCALL } from "../../src/paravirt_ops/lguest64.ts"
import { bootPuppy, type Ended, MEMORY } from "../designs/puppy.ts"
import { recount } from "./direct.ts"

/* puppy, the same image as ever, with the processor walking its own page tables. */

interface Run extends Ended {
  readonly guest: HostedGuest
  readonly mmu: DirectMmu
}

/** At each prompt all that the MMU has counted is counted again. */
const run = async (choices: Partial<Choices>, vcpus: number, lines: ReadonlyArray<string>): Promise<Run> => {
  const puppy = await bootPuppy({ ...LGUEST64, mmu: "direct", ...choices }, { vcpus })
  const { guest } = puppy
  const mmu = (guest.host.device as unknown as { guest: { shadow: DirectMmu } }).guest.shadow
  const ended = puppy.run(lines, () => expect(recount(mmu.state)).toEqual([]))
  return { ...ended, guest, mmu }
}

const MIXED: ReadonlyArray<readonly [line: string, answer: string]> = [
  ["echo one two | cat", "one two\n"],
  ["seq 20 | head -n 3 | tail -n 1", "3\n"],
  ["seq 3 -1 1", "3\n2\n1\n"],
  ["seq 100 | grep -c 1", "20\n"],
  ["yes no | head -n 2", "no\nno\n"],
  ["echo both | tee /tmp/x; cat /tmp/x", "both\nboth\n"],
  ["cp /tmp/x /tmp/y && mv /tmp/y /tmp/z && cat /tmp/z", "both\n"],
  ["(exit 3); echo $?", "3\n"],
  ["nosuch 2>/dev/null; echo $?", "127\n"],
  ["fork-bench 5 >/dev/null; echo forked $?", "forked 0\n"],
  ["page-bench 50 >/dev/null; echo paged $?", "paged 0\n"],
  ["ctx-bench 20 >/dev/null; echo switched $?", "switched 0\n"],
  ["sleep 0.05 & sh -c 'exit 4'; wait; echo waited", "waited\n"],
]

const MIXED_ON_TWO: typeof MIXED = [
  ["nproc", "2\n"],
  ...MIXED,
  ["fork-bench 5 >/dev/null & fork-bench 5 >/dev/null & wait; echo forked", "forked\n"],
  ["shootdown-bench 2 3 >/dev/null; echo shot $?", "shot 0\n"],
  ["lock-bench 2 20 >/dev/null; echo locks $?", "locks 0\n"],
]

const answersIn = (output: string, script: typeof MIXED) =>
  script.map(([line]) => {
    const from = output.indexOf(`puppy# ${line}\n`) + `puppy# ${line}\n`.length
    const answer = output.slice(from, output.indexOf("puppy# ", from))
    // Numbers of processes in the background.
    return answer.replaceAll(/^\[\d+\]\n/gm, "")
  })

it("no device writes to a page table", async () => {
  const { guest, mmu } = await run({}, 1, ["poweroff 9"])
  const { device, machine, guestBase } = guest.host
  const memory = new GuestMemory(
    machine.ram,
    guestBase,
    MEMORY,
    (gpa, bytes) => device.written(gpa, bytes),
    (gpa, bytes) => device.writing(gpa, bytes),
  )
  const table = mmu.vcpus[0]!.pgd
  for (const write of [
    () => memory.write16(table, 1),
    () => memory.write32(table, 1),
    () => memory.atomicWrite16(table, 1),
    () => memory.copyIn(table - 4, new Uint8Array(8)),
  ])
    expect(write).toThrow(GuestFault)
  const data = mmu.state.type.lastIndexOf(0) * 4096
  memory.write32(data, 0x1234)
  expect(memory.read32(data)).toBe(0x1234)
  expect(mmu.state.holds[data / 4096]).toBe(0)
})

const KINDS: ReadonlyArray<readonly [name: string, choices: Partial<Choices>]> = [
  ["ring 3, two views", {}],
  ["ring 3, one space", { spaces: "one" }],
  ["ring 1, one space", { ring: 1, spaces: "one" }],
  ["all of the host mapped, and CR3 with it", { host: "everything", pageOffset: "guest-moves" }],
  ["the same at ring 1", { ring: 1, spaces: "one", host: "everything", pageOffset: "host-moves" }],
]

describe.each(KINDS)("puppy's own tables: %s", (_, choices) => {
  it.each([
    [1, MIXED],
    [2, MIXED_ON_TWO],
  ] as const)("a shell on %i virtual CPUs", async (vcpus, script) => {
    const lines = [...script.map(([line]) => line), "poweroff 9"]
    const { kind, status, output, guest, mmu } = await run(choices, vcpus, lines)
    expect([kind, status], output.slice(-500)).toEqual(["powerOff", 9])
    expect(answersIn(output, script)).toEqual(script.map(([, answer]) => answer))
    expect(output).not.toMatch(/BROKEN|STALE|panic/)
    // It asks for its changes; hardly any store has to be let through a window.
    expect(guest.host.kernel.statistics.hypercalls[LHCALL.MMU_UPDATE]).toBeGreaterThan(500)
    expect(mmu.stats.shadowFaults.emulate).toBeLessThan(100)
    expect(mmu.stats.shadowFaults.kill).toBe(0)
  })
})
