import type { EventLog } from "../host/index.ts"
import { sumOf } from "../machine/counters.ts"
import { inspectNative } from "../machine/inspection.ts"
import { type Delivery, NativePc, type PcEvent } from "../machine/pc.ts"
import type { Engine, EngineConfig, EngineEvent } from "./engine.ts"
import { NativeTrace } from "./traceNative.ts"

const translate = (event: PcEvent): EngineEvent => {
  switch (event.kind) {
    case "powerOff":
      return { kind: "powerOff", status: event.status, message: "" }
    case "reset":
      return { kind: "restart" }
    case "dead":
      return { kind: "killed", reason: event.reason }
    default:
      return event
  }
}

/** A line for each exception and interrupt, in the words of the modules' logs. */
const logged =
  (log: EventLog, bits: 32 | 64) =>
  ({ now, vector, error, rip, instruction }: Delivery): void => {
    const at = `0x${rip.toString(16)}`
    const code = log.instruction(instruction, bits, at)
    log.line(now, "int", `vector ${vector} error 0x${error.toString(16)} at ${at}: ${code}`)
  }

/** A PC with no hypervisor. */
export const nativeEngine = (config: EngineConfig): Engine => {
  const { log, options } = config
  const trace = options.trace === undefined ? undefined : new NativeTrace(options.trace.limit, options.smp.processors)
  const watchers = [
    ...(log.int ? [logged(log, config.kernel.arch === "x86_64" ? 64 : 32)] : []),
    ...(trace === undefined ? [] : [(event: Delivery) => trace.delivered(event)]),
  ]
  const pc = NativePc.create({
    core: config.core,
    memoryBytes: config.options.memoryBytes,
    processors: config.options.smp.processors,
    seed: config.options.seed,
    traits: { lateChecks: config.options.lateChecks },
    kernel: config.kernel,
    cmdline: config.options.cmdline,
    ...(config.initrd === undefined ? {} : { initrd: config.initrd }),
    consoleOut: config.output,
    devices: config.devices,
    serialOut: config.output,
    clock: () => config.startMs,
    ...(watchers.length > 0 ? { watch: (event: Delivery) => watchers.forEach((watch) => watch(event)) } : {}),
  })
  return {
    get now() {
      return pc.now
    },
    get instructions() {
      return pc.instructions
    },
    get pendingInput() {
      return pc.console.pendingInput
    },
    run: (slice) => translate(pc.run(slice)),
    skip: (until) => (trace === undefined ? pc.skip(until) : trace.skip(pc, until)),
    trace: () => trace?.run(pc),
    input: (bytes) => pc.input(bytes),
    resize: (columns, rows) => pc.console.resize(columns, rows),
    inspect: () => ({
      machine: pc.machine,
      guest: inspectNative(
        pc.machine.processors,
        config.kernel.arch === "x86_64" ? 64 : 32,
        config.options.memoryBytes,
      ),
      module: undefined,
      pci: pc.board.pci,
      get position() {
        return pc.instructions
      },
    }),
    snapshot: {
      save: () => pc.save(),
      restore: (state) => {
        pc.restore(state)
        trace?.restored(pc)
      },
    },
    counts: () => {
      const each = pc.machine.processors.map((cpu) => cpu.counters())
      return { processor: sumOf(each), ...(each.length > 1 ? { perProcessor: each } : {}), host: undefined }
    },
  }
}
