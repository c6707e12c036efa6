import { Worker } from "node:worker_threads"
import { HOST_THREAD } from "../../host/task.ts"
import { memoryModelNote } from "../../machine/memoryModel.ts"
import { setPatience, ThreadLost } from "../../machine/shared.ts"
import { bootHost, type Hosted } from "../../modules/index.ts"
import type { Engine, EngineConfig, EngineEvent } from "../engine.ts"
import { HostedGuest, type HostedEvent } from "../hosted.ts"
import { countsOf, moduleFor, shapeOf, translate } from "../hostedEngine.ts"
import { hostedTrace } from "../traceRun.ts"
import { ANSWERED, type ThreadData, type ThreadMessage } from "./messages.ts"

/*
 * L:140 Several virtual CPUs. "I would start really simple: no guest SMP", said Rusty. It is not a hard matter, said
 * Glauber: read in a loop, but in several threads, one for each virtual CPU. Both were right, and the hard part turned
 * out to be elsewhere (H:310).
 *
 * A guest whose virtual CPUs have a thread each. The launcher's thread makes the machine, keeps the devices, and
 * otherwise only listens: to virtual CPUs that have something for it, and to the last processor falling asleep.
 *
 * "The first runs, leaves with a request when it is time to start the others, and the launcher starts a thread for each."
 */

/** How long `run` lets the threads be at most before it comes back to see whether there is input, ms. */
const TURN_MS = 8
/** Simulated ns that the threads may live through in a millisecond: what a slice means to them. */
const NS_PER_MS = 100_000
/** How long the launcher waits for a thread that holds a lock, ms. */
const PATIENCE_MS = 10_000

/** How often to look whether all threads have paused, ms. */
const PAUSE_MS = 1

const BUDGET: HostedEvent = { kind: "budget" }

/** This module is TypeScript under test, and JavaScript in the package. */
const isSource = import.meta.url.endsWith(".ts")
const startWorker = (workerData: ThreadData): Worker =>
  isSource
    ? new Worker(
        `import("tsx/esm/api").then(({ register }) => (register(), import(${JSON.stringify(new URL("./worker.ts", import.meta.url).href)})))`,
        { eval: true, workerData },
      )
    : new Worker(new URL("./worker.js", import.meta.url), { workerData })

class Threads {
  private readonly config: EngineConfig
  private readonly host: Hosted
  private readonly guest: HostedGuest
  private readonly workers = new Map<number, Worker>()
  private readonly waiting = new Map<number, Int32Array>()
  private closing = false
  /** What went wrong with the threads themselves. */
  private failure: EngineEvent | undefined
  /** An error of ours. */
  private defect: { readonly thrown: unknown } | undefined
  /** Ends the turn of `run`. */
  private wake: (() => void) | undefined

  constructor(config: EngineConfig, host: Hosted, guest: HostedGuest) {
    this.config = config
    this.host = host
    this.guest = guest
    this.start(HOST_THREAD, undefined)
    this.start(this.threadOf(0), 0)
  }

  private threadOf(vcpu: number): number {
    return HOST_THREAD + 1 + vcpu
  }

  private start(thread: number, vcpu: number | undefined): void {
    const { config, host } = this
    const waiting = new SharedArrayBuffer(4)
    const worker = startWorker({
      choice: moduleFor(config),
      shape: shapeOf(config),
      share: host.share(),
      thread,
      vcpu,
      log: [...config.options.log],
      waiting,
    })
    this.workers.set(thread, worker)
    this.waiting.set(thread, new Int32Array(waiting))
    const name = vcpu === undefined ? "the host's processes" : `virtual CPU ${vcpu}`
    worker.on("message", (message: ThreadMessage) => this.hear(message))
    worker.on("error", (error) => this.lost(`the thread of ${name} died: ${error.message}`))
    worker.on("exit", (code) => this.lost(`the thread of ${name} ended with status ${code}`))
  }

  private lost(reason: string): void {
    if (this.closing) return
    this.failure ??= { kind: "killed", reason }
    this.wake?.()
  }

  private hear(message: ThreadMessage): void {
    // Whoever waits for an answer then waits until its thread is ended; and no new thread is started any more.
    if (this.closing || this.over !== undefined) return
    switch (message.kind) {
      case "log":
        this.config.log.write(message.line)
        return
      case "idle":
        this.wake?.()
        return
      case "pending":
        this.guarded(() => this.answer(message))
    }
  }

  private answer({ vcpu, pending }: Extract<ThreadMessage, { kind: "pending" }>): void {
    const { guest, host } = this
    host.device.serve(vcpu)
    if (pending.kind === "start") this.start(this.threadOf(pending.vcpu), pending.vcpu)
    guest.answer(pending)
    this.endByFault()
    if (guest.end !== undefined) {
      this.wake?.()
      return
    }
    const words = this.waiting.get(this.threadOf(vcpu))!
    Atomics.store(words, 0, ANSWERED)
    Atomics.notify(words, 0)
  }

  /** Our own side of the device has one thing to say, which no thread hears: that a fault of the devices killed the guest. */
  private endByFault(): void {
    const { device } = this.host
    const fault = device.serve(device.served)
    if (fault?.kind === "killed") this.guest.answer(fault)
  }

  /** What a thread that is lost makes impossible ends the guest. */
  guarded(work: () => void): void {
    if (this.over !== undefined) return
    try {
      work()
      this.endByFault()
    } catch (thrown) {
      if (thrown instanceof ThreadLost) this.lost(thrown.message)
      else this.defect ??= { thrown }
      this.wake?.()
    }
  }

  /** Nothing to do until then; undefined: there is. */
  private get idle(): EngineEvent | undefined {
    const { guest, host } = this
    const { scheduler } = host.kernel
    let event: EngineEvent | undefined
    this.guarded(() => {
      if (scheduler.allIdle && !guest.board.busy) event = { kind: "idle", until: scheduler.idleDeadline() }
    })
    return event
  }

  /** Why there is nothing more to run. */
  private get over(): EngineEvent | undefined {
    return this.failure ?? (this.guest.end === undefined ? undefined : translate(this.guest.end))
  }

  async run(slice: number): Promise<EngineEvent> {
    this.guarded(() => this.guest.poll())
    const now = this.outcome
    if (now !== undefined) return now
    if (slice <= 0) return translate(BUDGET)
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, Math.min(TURN_MS, slice / NS_PER_MS))
      this.wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.wake = undefined
    return this.outcome ?? translate(BUDGET)
  }

  /** What `run` has to say at once. Throws what a message has thrown, which nobody could catch there. */
  private get outcome(): EngineEvent | undefined {
    const idle = this.idle
    if (this.defect !== undefined) throw this.defect.thrown
    return this.over ?? idle
  }

  /** All virtual CPUs leave their guests and wait. Those that have something for the launcher are seen to first. */
  async pause(): Promise<void> {
    const { kernel } = this.host
    kernel.pause()
    while (!kernel.paused && this.over === undefined && !this.closing)
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
  }

  async close(): Promise<void> {
    this.closing = true
    await Promise.all([...this.workers.values()].map((worker) => worker.terminate()))
    this.workers.clear()
  }
}

/** A PC with a host whose module runs the guest, and a thread for each of its tasks. */
export const threadedEngine = async (config: EngineConfig): Promise<Engine> => {
  const { core, log, options } = config
  const note = memoryModelNote(process.arch)
  if (note !== undefined) config.note(note)
  const host = await bootHost(moduleFor(config), { ...shapeOf(config), core, log })
  const { kernel } = host
  setPatience(PATIENCE_MS)
  kernel.scheduler.useThreads()
  const guest = new HostedGuest({
    host,
    memoryBytes: options.memoryBytes,
    kernel: config.kernel,
    cmdline: options.cmdline,
    initrd: config.initrd,
    consoleOut: config.output,
    devices: config.devices,
  })
  const threads = new Threads(config, host, guest)
  host.device.goOn()
  return {
    get now() {
      return kernel.time
    },
    get instructions() {
      return kernel.cpus.reduce((sum, { processor }) => sum + processor.instructions, 0)
    },
    get pendingInput() {
      return guest.board.console.pendingInput
    },
    run: (slice) => threads.run(slice),
    skip: (until) => threads.guarded(() => kernel.passTime(until)),
    input: (bytes) => threads.guarded(() => guest.input(bytes)),
    resize: (columns, rows) => threads.guarded(() => guest.board.console.resize(columns, rows)),
    pause: () => threads.pause(),
    resume: () => kernel.pauses.end(),
    close: () => threads.close(),
    inspect: () => ({
      machine: host.machine,
      guest: host.inspect(),
      module: host.view(),
      pci: guest.board.pci,
      get position() {
        return kernel.time
      },
    }),
    counts: () => countsOf(host),
    trace: () => hostedTrace(host),
  }
}
