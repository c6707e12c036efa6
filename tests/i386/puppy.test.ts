import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { EventLog } from "../../src/host/eventLog.ts"
import { parseElf } from "../../src/launcher/elf.ts"
import { HostedGuest, type HostedEvent } from "../../src/launcher/hosted.ts"
import { bootLguest } from "../../src/modules/lguest/boot.ts"
import { LHCALL } from "../../src/paravirt_ops/lguest.ts"

/* puppy at ring 1: the committed image, the shell, and what the host counted meanwhile. */

const file = (path: string) => new Uint8Array(readFileSync(new URL(`../../${path}`, import.meta.url)))
const core = new WebAssembly.Module(file("dist/machine/core.wasm"))
const MEMORY = 32 * 2 ** 20
const SLICE = 10_000_000
/** Simulated time within which all of this is over. */
const LONGEST = 20_000_000_000

const run = (script: string): { event: HostedEvent; output: string; guest: HostedGuest } => {
  const kernel = parseElf(file("guests/images/puppy-i386.elf"), { memoryBytes: MEMORY, reserved: undefined })
  const chunks: Array<Uint8Array> = []
  const host = bootLguest({ core, guestBytes: MEMORY, startMs: 1_170_000_000_000, log: EventLog.off })
  const guest = new HostedGuest({
    host,
    memoryBytes: MEMORY,
    kernel,
    cmdline: "",
    initrd: file("guests/images/initramfs-i386.cpio"),
    consoleOut: (bytes) => chunks.push(bytes.slice()),
  })
  const lines = script.split("\n").filter((line) => line !== "")
  const text = () => Buffer.concat(chunks).toString("utf8")
  for (;;) {
    const event = guest.run(SLICE)
    const typed = text()
    if (event.kind === "idle" && typed.endsWith("# ") && lines.length > 0)
      guest.input(Buffer.from(`${lines.shift()!}\n`))
    else if (event.kind === "idle" && event.until !== Infinity) guest.skip(event.until)
    else if (event.kind !== "budget" || guest.now > LONGEST) return { event, output: typed, guest }
  }
}

describe("puppy under lguest", () => {
  it("comes to its shell, runs programs and powers off with a status", () => {
    const { event, output, guest } = run("uname\necho hello | cat\nps\npoweroff 17\n")
    expect(event).toMatchObject({ kind: "powerOff", status: 17 })
    expect(output).toContain("puppy on i386, lguest")
    expect(output).toMatch(/# echo hello \| cat\r?\nhello/)
    const { statistics, processor } = guest.host.kernel
    const { vectors, instructions } = processor.counters()
    // System calls of its processes went straight to its kernel.
    expect(statistics.reflectedSystemCalls).toBe(0)
    expect(vectors[0x80]!).toBeGreaterThan(100)
    expect(instructions[1]).toBeGreaterThan(instructions[0])
    expect(statistics.hypercalls[LHCALL.LGUEST_INIT]).toBe(1)
    expect(statistics.hypercalls[LHCALL.NEW_PGTABLE]).toBeGreaterThan(5)
    expect(statistics.asyncHypercalls).toBeGreaterThan(0)
    expect(statistics.worldSwitches).toBeGreaterThan(500)
  })

  it("preempts processes on the clock", () => {
    const { event, output, guest } = run("cpu-bench 3000000 & cpu-bench 3000000\npoweroff 0\n")
    expect(event).toMatchObject({ kind: "powerOff" })
    expect(output).toMatch(/cpu-bench/)
    expect(guest.host.kernel.statistics.injectedInterrupts).toBeGreaterThan(5)
  })
})
