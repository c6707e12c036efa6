import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { buildImages, initramfsImage, kernelImage } from "../../scripts/guests/images.ts"
import { ARCHES } from "../../scripts/guests/toolchain.ts"
import { lguest64 } from "../launcher/spawn.ts"
import { boot, buildLoader, inFolder, reason } from "./qemu/machine.ts"

/* puppy on several processors: real ones, in QEMU's threads, and simulated ones, under lguest64 and natively. */

const PROCESSORS = 4

/** Numbers that a shell on four processors answers with; each command's lines are told apart by its name. */
const script = (rounds: number) =>
  [
    "nproc",
    "taskset 4 taskset -p 1",
    `smp-bench ${PROCESSORS} w20000; echo smp-bench ended $?`,
    `lock-bench ${PROCESSORS} ${rounds}; echo lock-bench ended $?`,
    `shootdown-bench ${PROCESSORS} ${rounds / 20}; echo shootdown-bench ended $?`,
    // A storm of forks, exits and switches; all processors have their part in it.
    ...[`fork-bench ${rounds} & fork-bench ${rounds} & fork-bench ${rounds} & fork-bench ${rounds} &`].map(
      (storm) =>
        `${storm} ctx-bench ${rounds} & pipe-bench ${rounds / 4} & page-bench ${rounds * 4} & wait; echo storm ended`,
    ),
    "cat /proc/interrupts",
    "poweroff",
    "",
  ].join("\n")

/** Where the prompt stands depends on when the line was typed. */
const lines = (console: string) => console.replaceAll("\r", "").replaceAll("puppy# ", "").split("\n")
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
  expect(count(console, new RegExp(`fork-bench: ${rounds} forks`))).toBe(4)
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

  const run = (arch: (typeof ARCHES)[number], append: string, input: string) =>
    boot({
      arch,
      memory: "128",
      loader: file("loader.elf"),
      kernel: file(kernelImage(arch)),
      initramfs: file(initramfsImage(arch)),
      append,
      // In sockets of their own: QEMU's firmware lists no others in the MP table.
      devices: ["-smp", `${PROCESSORS},sockets=${PROCESSORS}`, "-accel", "tcg,thread=multi", "-serial", "stdio"],
      // What comes before the serial port's driver is lost, as much as fits the port.
      input: "\n".repeat(32) + input,
    })

  it.each(ARCHES)("%s: they share work, locks and memory", { timeout: 90_000 }, async (arch) => {
    expectAll(await run(arch, "", script(100)), 100, 30)
  })

  it("leaves out those beyond maxcpus", { timeout: 90_000 }, async () => {
    const console = await run("x86_64", "maxcpus=3", "nproc\npoweroff\n")
    expect(console).toContain("smp: 3 processors")
    expect(lines(await run("x86_64", "maxcpus=1", "nproc\npoweroff\n"))).toContain("1")
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
    const { status, stdout, stderr } = await lguest64(["run", ...args], script(40))
    expect(stderr).toBe("")
    expectAll(stdout, 40, line)
    expect(status).toBe(0)
  })

  it("lock-bench notices that there is no lock", { timeout: 60_000 }, async () => {
    const { stdout } = await lguest64(
      ["run", "--native", "--smp", "4", "--seed", "1"],
      "lock-bench 4 5000 none; echo ended $?\npoweroff\n",
    )
    expect(stdout).toMatch(/lock-bench: none: BROKEN: the counter is \d+ of 20000/)
    expect(stdout).toContain("ended 1")
  })
})
