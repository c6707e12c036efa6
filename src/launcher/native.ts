import { NativePc, type PcEvent } from "../machine/pc.ts"
import type { Engine, EngineConfig, EngineEvent } from "./engine.ts"

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

/** A PC with no hypervisor. */
export const nativeEngine = (config: EngineConfig): Engine => {
  const pc = NativePc.create({
    core: config.core,
    memoryBytes: config.options.memoryBytes,
    kernel: config.kernel,
    cmdline: config.options.cmdline,
    ...(config.initrd === undefined ? {} : { initrd: config.initrd }),
    consoleOut: config.output,
    serialOut: config.output,
    clock: () => config.startMs,
  })
  return {
    get now() {
      return pc.now
    },
    get instructions() {
      return pc.processor.instructions
    },
    get pendingInput() {
      return pc.console.pendingInput
    },
    run: (slice) => translate(pc.run(slice)),
    skip: (until) => pc.skip(until),
    input: (bytes) => pc.input(bytes),
    resize: (columns, rows) => pc.console.resize(columns, rows),
    counts: () => ({ processor: pc.processor.counters(), host: undefined }),
  }
}
