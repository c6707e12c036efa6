import { execFileSync, spawnSync } from "node:child_process"
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { filesUnder, root } from "../../scripts/guests/images.ts"
import { gasAvailable, tool } from "../../scripts/guests/toolchain.ts"

/*
 * puppy's network against a hostile neighbour: its files, built for this machine with the sanitizers, between a card that is
 * a function and sockets that are structures (net/checks.c, net/fuzz.c). The kernel's headers that they include are copied, but for
 * those that reach for the processor, which have stand-ins beside them.
 */
const sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

const sanitizersWork = (): boolean => {
  try {
    execFileSync("gcc", [...sanitizers, "-x", "c", "-o", "/dev/null", "-"], { input: "int main(void) { return 0; }" })
    return true
  } catch {
    return false
  }
}

const reason = !gasAvailable() ? "gcc is not here" : !sanitizersWork() ? "gcc has no sanitizers here" : undefined
if (reason !== undefined) console.log(`puppy's network is not fuzzed: ${reason}`)

/** Of the folder net/ these know no processes; the buffers' stock is ours, so that each has a block of its own. */
const layers = ["checksum", "device", "arp", "ipv4", "icmp", "udp", "sock"]

describe.skipIf(reason !== undefined)("puppy's network", () => {
  const work = mkdtempSync(join(tmpdir(), "puppy-net-"))

  beforeAll(async () => {
    for (const folder of ["net", "include"]) mkdirSync(join(work, folder))
    const copy = (from: string, to: string) => copyFileSync(join(root, from), join(work, to))
    for (const file of ["net.h", ...layers.map((layer) => `${layer}.c`)])
      copy(`guests/puppy/net/${file}`, `net/${file}`)
    for (const file of ["net.h", "errno.h", "types.h", "string.h"])
      copy(`guests/puppy/include/${file}`, `include/${file}`)
    for (const file of filesUnder("tests/guests/net").filter((name) => name.endsWith(".h")))
      copy(file, `include/${file.slice("tests/guests/net/".length)}`)
    for (const program of ["checks", "fuzz"]) {
      copy(`tests/guests/net/${program}.c`, `${program}.c`)
      await tool(work, "gcc", [
        ...["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-fno-builtin", "-fno-strict-aliasing", ...sanitizers],
        ...["-iquote", "include", "-iquote", ".", "-o", program, `${program}.c`],
        ...layers.map((layer) => `net/${layer}.c`),
      ])
    }
  }, 120_000)

  afterAll(() => rmSync(work, { recursive: true, force: true }))

  const run = (program: string, ...args: ReadonlyArray<string>) => {
    const { status, stdout, stderr } = spawnSync(join(work, program), args, { encoding: "utf8", timeout: 60_000 })
    return { status, failed: stdout.split("\n").filter((line) => line.startsWith("FAIL")), stdout, stderr }
  }

  it("does what the standards say with good frames and bad ones", () => {
    const { status, failed, stdout, stderr } = run("checks")
    expect({ status, failed, stderr }).toEqual({ status: 0, failed: [], stderr: "" })
    expect(stdout.split("\n").filter((line) => line.startsWith("ok")).length).toBeGreaterThan(40)
  })

  it.each([1, 2, 3, 4])("survives what a hostile neighbour sends, seed %i", { timeout: 90_000 }, (seed) => {
    const { status, failed, stderr } = run("fuzz", String(seed), "100000")
    expect({ status, failed, stderr }).toEqual({ status: 0, failed: [], stderr: "" })
  })
})
