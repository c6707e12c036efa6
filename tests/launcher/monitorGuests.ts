import { readFileSync } from "node:fs"
import * as Effect from "effect/Effect"
import { noDevices } from "../../src/devices/index.ts"
import { EventLog } from "../../src/host/index.ts"
import { createEngine, type Engine } from "../../src/launcher/engine.ts"
import { kernelOf } from "../../src/launcher/image.ts"
import { Monitor } from "../../src/launcher/monitor/commands.ts"
import { parse } from "../../src/launcher/options.ts"

/* Real guests for the monitor's tests: puppy at its prompt, and an engine to ask. */

const file = (path: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(readFileSync(new URL(`../../${path}`, import.meta.url)))

const core = new WebAssembly.Module(file("dist/machine/core.wasm"))

export interface Puppy {
  readonly engine: Engine
  readonly monitor: Monitor
  /** What it has said so far. */
  readonly said: () => string
  /** Types a line and runs until the prompt is back. */
  readonly type: (line: string) => Promise<void>
  /** Puppy's kernel image. */
  readonly image: Uint8Array
}

const SLICE = 1_000_000
const LONGEST = 3000
const PROMPT = /# $/

/** The engine of `lguest64 run` with these arguments, in one thread, that has not run yet. */
const engineOf = async (name: string, args: ReadonlyArray<string>, output: (bytes: Uint8Array) => void) => {
  const request = Effect.runSync(parse("", ["run", "--deterministic", ...args]))
  if (request.kind !== "run") throw new Error("that is not `lguest64 run`")
  const { options } = request
  const arch = options.arch ?? "x86_64"
  const image = file(`guests/images/${name}-${arch}${options.pae ? "-pae" : ""}.elf`)
  const engine = await createEngine({
    core,
    kernel: Effect.runSync(kernelOf(name, image, options)),
    initrd: file(`guests/images/initramfs-${arch}.cpio`),
    options,
    startMs: 0,
    output,
    devices: noDevices(),
    log: EventLog.off,
    note: () => undefined,
  })
  return { engine, image, monitor: new Monitor(() => engine) }
}

/** The hello guest, built for page tables of three levels, once it has some. */
export const helloPae = async (): Promise<Omit<Puppy, "said" | "type">> => {
  const guest = await engineOf("hello", ["hello", "--arch", "i386", "--pae"], () => undefined)
  for (let i = 0; i < LONGEST; i++) {
    const { module, guest: seen } = guest.engine.inspect()
    if (module!.vcpus[0]!.linear === false && seen.vcpus[0]!.running() !== undefined) return guest
    const event = await guest.engine.run(100)
    if (event.kind !== "budget") throw new Error(`it has ended: ${JSON.stringify(event)}`)
  }
  throw new Error("it never has page tables")
}

/** Boots puppy to its prompt. */
export const puppy = async (...args: ReadonlyArray<string>): Promise<Puppy> => {
  let output = ""
  const guest = await engineOf("puppy", args, (bytes) => (output += Buffer.from(bytes).toString("latin1")))
  const { engine } = guest
  const untilPrompt = async (from: number): Promise<void> => {
    for (let i = 0; i < LONGEST; i++) {
      const event = await engine.run(SLICE)
      if (event.kind === "idle") {
        if (PROMPT.test(output.slice(from))) return
        engine.skip(event.until)
      } else if (event.kind !== "budget") throw new Error(`it has ended: ${JSON.stringify(event)}\n${output}`)
    }
    throw new Error(`no prompt:\n${output}`)
  }
  await untilPrompt(0)
  return {
    ...guest,
    said: () => output,
    type: async (line) => {
      const from = output.length
      engine.input(Buffer.from(`${line}\n`))
      await untilPrompt(from + line.length)
    },
  }
}
