import { bootHost } from "../modules/index.ts"
import type { Engine, EngineConfig, EngineEvent } from "./engine.ts"
import { HostedGuest, type HostedEvent } from "./hosted.ts"

const translate = (event: HostedEvent): EngineEvent => {
  switch (event.kind) {
    case "reset":
      return { kind: "restart" }
    case "killed": {
      const { cause, address, instruction, bits } = event.death
      const at = BigInt(`0x${address.replace(/^0x/, "") || "0"}`)
      return {
        kind: "killed",
        reason: `${cause} at 0x${at.toString(16)}`,
        ...(instruction.length > 0 ? { code: { bytes: instruction, bits, address: at } } : {}),
      }
    }
    default:
      return event
  }
}

/** A PC with a host whose module runs the guest. */
export const hostedEngine = async (config: EngineConfig): Promise<Engine> => {
  const { core, options, startMs, log, kernel } = config
  const host = await bootHost(
    kernel.arch === "x86_64" ? { module: "lguest64" } : { module: "lguest", pae: options.pae },
    { core, guestBytes: options.memoryBytes, startMs, log },
  )
  const guest = new HostedGuest({
    host,
    memoryBytes: config.options.memoryBytes,
    kernel: config.kernel,
    cmdline: config.options.cmdline,
    initrd: config.initrd,
    consoleOut: config.output,
    devices: config.devices,
  })
  const { processor, statistics } = host.kernel
  return {
    get now() {
      return guest.now
    },
    get instructions() {
      return processor.instructions
    },
    get pendingInput() {
      return guest.board.console.pendingInput
    },
    run: (slice) => translate(guest.run(slice)),
    skip: (until) => guest.skip(until),
    input: (bytes) => guest.input(bytes),
    resize: (columns, rows) => guest.board.console.resize(columns, rows),
    inspect: () => ({
      machine: host.machine,
      guest: host.inspect(),
      get position() {
        return guest.now
      },
    }),
    counts: () => ({
      processor: processor.counters(),
      host: { statistics, shadow: host.shadowReport(), hypercallNames: host.hypercallNames },
    }),
  }
}
