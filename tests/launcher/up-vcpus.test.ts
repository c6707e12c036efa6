import { readFileSync } from "node:fs"
import { Buffer } from "node:buffer"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import { EventLog } from "../../src/host/index.ts"
import { createEngine, type Engine } from "../../src/launcher/engine.ts"
import { Files } from "../../src/launcher/files.ts"
import { openDevices, Surroundings } from "../../src/launcher/guestDevices.ts"
import { loadImages } from "../../src/launcher/image.ts"
import type { UpOptions } from "../../src/launcher/options.ts"
import type { TerminalSession } from "../../src/launcher/terminal.ts"
import { SharedOutput } from "../../src/launcher/upConsole.ts"
import { parseUpFile } from "../../src/launcher/upFile.ts"
import { runUp, type UpMember } from "../../src/launcher/upLoop.ts"
import { look32, look64, type Seen } from "./hostMemory.ts"

/*
 * Two guests in one launcher, one of each architecture: whenever one of them runs, the VCPU pointer of its processor leads to
 * its own module's functions; whenever none does, it is NULL.
 */

const FILE = `
guests:
  long:
    mem: 32M
    net: {hub: lan}
    script: |
      ifconfig eth0 10.0.0.1/24 up
      ping -c 2 10.0.0.2
  short:
    arch: i386
    mem: 32M
    net: {hub: lan}
    script: |
      ifconfig eth0 10.0.0.2/24 up
      ping -c 2 10.0.0.1
`
const UP: UpOptions = { file: "/x/up.yaml", deterministic: true, seed: 1, maxInstructions: Infinity, verbose: false }
const core = new WebAssembly.Module(readFileSync(new URL("../../dist/machine/core.wasm", import.meta.url)))

/** Nobody types, and what is shown is kept. */
const nobody = () => {
  const shown: Uint8Array[] = []
  const terminal = {
    interactive: false,
    inputEnded: true,
    hasInput: false,
    written: 0,
    failure: undefined,
    size: undefined,
    write(bytes: Uint8Array) {
      shown.push(bytes)
      this.written += bytes.length
    },
    flush: () => true,
    take: () => undefined,
    note: () => undefined,
    change: () => Promise.reject(new Error("there is nobody to wait for")),
    onResize: () => undefined,
    onNext: () => undefined,
  }
  return { terminal: terminal as unknown as TerminalSession, text: () => Buffer.concat(shown).toString("latin1") }
}

/** How far apart the looks are, in simulated ns: no whole parts of anything. */
const APART = 4999
/** When something begins after idle time they are closer for a while, as it may be a process of the host's, and short. */
const CLOSE = 61
const CLOSE_LOOKS = 50

/** The engine, with a look at its processors every so often. */
const watched = (engine: Engine, seen: (what: Seen) => void): Engine => {
  const view = engine.inspect().module!
  const look = { lguest64: look64, lguest: look32 }[view.module]
  const lookAll = () =>
    view.kernel.cpus.forEach((_, cpu) => {
      const what = look(view, cpu)
      if (what !== undefined) seen(what)
    })
  let close = 0
  const run: Engine["run"] = async (slice) => {
    const end = engine.now + slice
    for (;;) {
      const event = await engine.run(Math.min(close-- > 0 ? CLOSE : APART, end - engine.now))
      lookAll()
      if (event.kind === "idle") close = CLOSE_LOOKS
      if (event.kind !== "budget" || engine.now >= end) return event
    }
  }
  return Object.create(engine, { run: { value: run } }) as Engine
}

describe("VCPU pointers", () => {
  it("lead to each guest's own module", { timeout: 120_000 }, async () => {
    const { terminal, text } = nobody()
    const output = new SharedOutput((bytes) => terminal.write(bytes), false)
    const seen = new Map<string, Seen[]>()
    const outcome = await Effect.runPromise(
      Effect.scoped(
        Effect.gen(function* () {
          const around = new Surroundings()
          const members: UpMember[] = []
          for (const [guest, { name, options, script }] of (yield* parseUpFile(UP.file, FILE, UP)).entries()) {
            const { kernel, initrd } = yield* loadImages(options)
            const note = () => undefined
            const devices = yield* openDevices({ ...options, startMs: 0, guest, note }, around)
            const channel = output.channel(name)
            const config = { core, kernel, initrd, options, startMs: 0, note, devices, log: EventLog.off }
            const all: Seen[] = []
            seen.set(name, all)
            const create = async () =>
              watched(await createEngine({ ...config, output: (bytes) => channel.write(bytes) }), (what) =>
                all.push(what),
              )
            members.push({ name, channel, create, link: devices.net?.link, script, sampler: undefined })
          }
          return yield* Effect.promise(() => runUp({ ...UP, terminal, output, members, ended: () => undefined }))
        }),
      ).pipe(Effect.provide(Files.layer)),
    )
    expect(outcome).toMatchObject([
      { kind: "powerOff", status: 0 },
      { kind: "powerOff", status: 0 },
    ])
    expect(text().match(/2 packets transmitted, 2 received/g)).toHaveLength(2)
    for (const all of seen.values()) {
      const of = (kind: Seen["kind"]) => all.filter((what) => what.kind === kind).map(({ vcpu }) => vcpu)
      expect(of("vcpu").length).toBeGreaterThan(100)
      // One guest, so one VCPU.
      expect(new Set(of("vcpu")).size).toBe(1)
      expect(of("vcpu")[0]).not.toBe(0n)
      expect(of("process").length).toBeGreaterThan(0)
      expect(of("idle").length).toBeGreaterThan(0)
      expect(new Set([...of("process"), ...of("idle")])).toEqual(new Set([0n]))
    }
  })
})
