import { readFileSync } from "node:fs"
import type { Choices } from "../../src/design/dimensions.ts"
import { EventLog } from "../../src/host/eventLog.ts"
import { parseElf } from "../../src/launcher/elf.ts"
import { HostedGuest, type HostedEvent } from "../../src/launcher/hosted.ts"
import { bootLguest } from "../../src/modules/lguest/boot.ts"

/* puppy at ring 1: the committed image, with somebody at its shell. */

const file = (path: string) => new Uint8Array(readFileSync(new URL(`../../${path}`, import.meta.url)))
const core = new WebAssembly.Module(file("dist/machine/core.wasm"))
const MEMORY = 32 * 2 ** 20
const SLICE = 10_000_000
/** Simulated time within which all of this is over. */
const LONGEST = 20_000_000_000

export interface Run {
  readonly event: HostedEvent
  readonly output: string
  readonly guest: HostedGuest
}

/** Types `script`, a line at each prompt, in a guest of that design (default: lguest's). */
export const runPuppy = (script: string, design?: Choices): Run => {
  const kernel = parseElf(file("guests/images/puppy-i386.elf"), { memoryBytes: MEMORY, reserved: undefined })
  const chunks: Array<Uint8Array> = []
  const host = bootLguest({ core, guestBytes: MEMORY, startMs: 1_170_000_000_000, log: EventLog.off, design })
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
