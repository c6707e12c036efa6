import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { buildImages, initramfsImage, kernelImage } from "../../scripts/guests/images.ts"
import { ARCHES } from "../../scripts/guests/toolchain.ts"
import { start as startLguest64 } from "../launcher/spawn.ts"
import { converse } from "./converse.ts"
import { buildLoader, inFolder, reason, start } from "./qemu/machine.ts"

/* puppy on several processors: real ones, in QEMU's threads, and simulated ones, under lguest64 and natively. */

const PROCESSORS = 4

/** What the shell is asked for. `rounds` is a multiple of 20. */
const script = (rounds: number): ReadonlyArray<string> => [
  "nproc",
  "taskset 4 taskset -p 1",
  `smp-bench ${PROCESSORS} w20000; echo smp-bench ended $?`,
  `lock-bench ${PROCESSORS} ${rounds}; echo lock-bench ended $?`,
  `shootdown-bench ${PROCESSORS} ${rounds / 20}; echo shootdown-bench ended $?`,
  // A storm of forks, exits and switches; all processors have their part in it.
  `fork-bench ${rounds} & fork-bench ${rounds} & fork-bench ${rounds} & fork-bench ${rounds} & ` +
    `ctx-bench ${rounds} & pipe-bench ${rounds / 4} & page-bench ${rounds * 4} & wait; echo storm ended`,
  "cat /proc/interrupts",
  "poweroff",
]

const lines = (console: string) => console.split("\n")
const count = (console: string, pattern: RegExp) => lines(console).filter((line) => pattern.test(line)).length

const expectAll = (console: string, rounds: number, line: number) => {
  expect(console).toContain(`smp: ${PROCESSORS} processors`)
  expect(lines(console)).toContain(`${PROCESSORS}`)
  expect(console).toContain(`affinity mask: f`)
  for (const program of ["smp-bench", "lock-bench", "shootdown-bench"]) expect(console).toContain(`${program} ended 0`)
  expect(count(console, /^smp-bench: process \d: 20000 rounds$/)).toBe(PROCESSORS)
  for (const kind of ["spin", "ticket", "futex"])
    expect(console).toContain(`lock-bench: ${kind}, ${PROCESSORS} processes, ${PROCESSORS * rounds} acquisitions`)
  for (const kind of ["remap", "mprotect"])
    expect(console).toContain(`shootdown-bench: ${kind}, ${PROCESSORS} processors, ${rounds / 20} rounds`)
  expect(console).not.toMatch(/BROKEN|STALE|panic/)
  // In the storm, lines of several processes may share one of the console's.
  expect(console.split(`fork-bench: ${rounds} forks`)).toHaveLength(5)
  expect(console).toContain("storm ended")
  // Every processor has been interrupted by others.
  const row = lines(console).find((text) => text.includes("other processors"))
  const counts = row?.match(/\d+/g)?.map(Number) ?? []
  expect(counts[0]).toBe(line)
  expect(counts.slice(1).filter((n) => n > 0)).toHaveLength(PROCESSORS)
}

describe.skipIf(reason !== undefined)("four processors in QEMU", () => {
  const work = mkdtempSync(`${tmpdir()}/puppy-smp-`)
  const file = inFolder(work)

  beforeAll(async () => {
    await buildImages(work, [...ARCHES.map(kernelImage), ...ARCHES.map(initramfsImage)])
    await buildLoader(file("loader.elf"))
  }, 120_000)
  afterAll(() => rmSync(work, { recursive: true, force: true }))

  const run = async (arch: (typeof ARCHES)[number], append: string, input: ReadonlyArray<string>) => {
    const machine = start({
      arch,
      memory: "128",
      loader: file("loader.elf"),
      kernel: file(kernelImage(arch)),
      initramfs: file(initramfsImage(arch)),
      append,
      // In sockets of their own: QEMU's firmware lists no others in the MP table.
      devices: ["-smp", `${PROCESSORS},sockets=${PROCESSORS}`, "-accel", "tcg,thread=multi", "-serial", "stdio"],
    })
    return (await converse(machine, input)).console
  }

  it.each(ARCHES)("%s: they share work, locks and memory", { timeout: 90_000 }, async (arch) => {
    expectAll(await run(arch, "", script(100)), 100, 30)
  })

  it("leaves out those beyond maxcpus", { timeout: 90_000 }, async () => {
    const console = await run("x86_64", "maxcpus=3", ["nproc", "poweroff"])
    expect(console).toContain("smp: 3 processors")
    expect(lines(await run("x86_64", "maxcpus=1", ["nproc", "poweroff"]))).toContain("1")
  })
})

describe("four simulated processors", () => {
  it.each([
    ["under lguest64, in threads", ["--arch", "x86_64", "--smp", "4"], 31],
    ["under lguest64, two virtual CPUs to a processor", ["--arch", "x86_64", "--smp", "4", "--pcpus", "2"], 31],
    ["under lguest64, in turns", ["--arch", "x86_64", "--smp", "4", "--seed", "11"], 31],
    ["native x86_64", ["--arch", "x86_64", "--native", "--smp", "4"], 30],
    ["native i386", ["--arch", "i386", "--native", "--smp", "4", "--seed", "3"], 30],
  ] as const)("%s: they share work, locks and memory", { timeout: 90_000 }, async (_, args, line) => {
    const { status, console, stderr } = await converse(startLguest64(["run", ...args]), script(40))
    expect(stderr).toBe("")
    expectAll(console, 40, line)
    expect(status).toBe(0)
  })

  it("lock-bench notices that there is no lock", { timeout: 60_000 }, async () => {
    const { console } = await converse(startLguest64(["run", "--native", "--smp", "4", "--seed", "1"]), [
      "lock-bench 4 5000 none; echo ended $?",
      "poweroff",
    ])
    expect(console).toMatch(/lock-bench: none: BROKEN: the counter is \d+ of 20000/)
    expect(console).toContain("ended 1")
  })
})
