import { seededEntropy } from "../../devices/index.ts"
import type { Choices } from "../../design/dimensions.ts"
import { EventLog } from "../../host/index.ts"
import type { Engine, EngineConfig } from "../engine.ts"
import { hostedEngine } from "../hostedEngine.ts"
import type { BootImage } from "../image.ts"
import { defaultOptions, type RunOptions } from "../options.ts"
import { startOf } from "../run.ts"
import { countsOf, shadowBytes, type Totals } from "./counts.ts"

/*
 * One guest in one design, from power-on to power-off, with lines typed at its shell, in this thread and with nothing of the outside:
 * no terminal, no clock, no network. The moment of each line depends on the simulation alone (the guest idles, and has taken what it
 * was given before), so the same guest, lines and seed give the same counts.
 */

export interface Guest {
  readonly core: WebAssembly.Module
  readonly image: BootImage
  readonly choices: Choices
  readonly vcpus: number
  readonly seed: number
}

/** Why there is no count: what became of the guest. */
export class Failed extends Error {}

/** Simulated nanoseconds between two looks at the shadows. */
const SLICE = 250_000
const MOST_INSTRUCTIONS = 20e9
/** A guest that sleeps for so long, with nothing more to be typed, waits in vain. */
const LONGEST_SLEEP = 3600e9
const LONGEST_WORDS = 100

const engineOptions = ({ image, vcpus, seed }: Guest): RunOptions => ({
  ...defaultOptions(),
  arch: image.kernel.arch,
  deterministic: true,
  seed,
  smp: { vcpus, processors: vcpus, pins: new Map(), given: vcpus > 1 },
})

const create = (guest: Guest, output: (bytes: Uint8Array) => void): Promise<Engine> => {
  const { core, image, choices, seed } = guest
  const options = engineOptions(guest)
  const config: EngineConfig = {
    core,
    kernel: image.kernel,
    initrd: image.initrd,
    options,
    design: { name: "", choices },
    startMs: startOf(options),
    output,
    note: () => undefined,
    devices: { disks: [], net: undefined, entropy: seededEntropy(seed) },
    log: EventLog.off,
  }
  return hostedEngine(config)
}

const printable = (text: string): string => text.replace(/[^\x20-\x7e]/g, "?").trim()

/** The last line of what a guest has said, as far as it is text. */
const lastWords = (said: string): string => {
  const line =
    said
      .trimEnd()
      .split(/[\r\n]+/)
      .at(-1) ?? ""
  const words = printable(line)
  return words === "" ? "" : `; it said last: ${words.slice(-LONGEST_WORDS)}`
}

const why = ({ message }: { readonly message: string }): string => (message === "" ? "" : `: ${printable(message)}`)

/** Types the lines; throws Failed unless the guest then powers off with status 0. */
export const measure = async (guest: Guest, lines: ReadonlyArray<string>): Promise<Totals> => {
  let said = ""
  const decoder = new TextDecoder("latin1")
  const engine = await create(guest, (bytes) => (said = (said + decoder.decode(bytes)).slice(-4 * LONGEST_WORDS)))
  const input = [...lines, "poweroff $?"].map((line) => new TextEncoder().encode(`${line}\n`))
  let most = 0
  const fail = (reason: string): never => {
    throw new Failed(reason + lastWords(said))
  }
  for (;;) {
    const event = await engine.run(SLICE)
    most = Math.max(most, shadowBytes(engine.counts()))
    switch (event.kind) {
      case "budget":
        if (engine.instructions > MOST_INSTRUCTIONS) fail(`it was not done after ${MOST_INSTRUCTIONS} instructions`)
        break
      case "idle": {
        const next = engine.pendingInput > 0 ? undefined : input.shift()
        if (next !== undefined) engine.input(next)
        else if (event.until === Infinity) fail("it waits for an interrupt that cannot come")
        else if (event.until - engine.now > LONGEST_SLEEP) fail("it sleeps for ever")
        else engine.skip(event.until)
        break
      }
      case "powerOff":
        if (input.length > 0)
          fail(`it powered off before it had been told all, with status ${event.status}${why(event)}`)
        if (event.status !== 0) fail(`the workload ended with status ${event.status}${why(event)}`)
        return { counts: countsOf(engine.counts()), shadowBytes: most }
      case "killed":
        return fail(`the guest was killed: ${event.reason}`)
      case "restart":
        return fail("the guest restarted")
    }
  }
}
