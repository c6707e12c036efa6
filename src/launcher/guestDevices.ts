import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type DevicesConfig, Hub, type NetConfig, seededEntropy, systemEntropy } from "../devices/index.ts"
import { type BlockSpec, openBlockFile } from "./blockFile.ts"
import type { LaunchError } from "./errors.ts"
import { derivedMac, type NetSpec } from "./net.ts"
import { OpenFiles } from "./openFiles.ts"
import { openPcap } from "./pcapFile.ts"

/* What stands behind the devices of this process's guests: files, hubs, randomness. Closed with the scope. */

/** What guests of one launcher share. */
export class Surroundings {
  readonly files = new OpenFiles()
  private readonly hubs = new Map<string, Hub>()

  hub(name: string): Hub {
    const hub = this.hubs.get(name) ?? new Hub()
    this.hubs.set(name, hub)
    return hub
  }
}

export interface DevicesRequest {
  readonly blocks: ReadonlyArray<BlockSpec>
  readonly net: NetSpec | undefined
  readonly deterministic: boolean
  readonly seed: number
  /** Milliseconds since 1970 at simulated time 0. */
  readonly startMs: number
  /** Number of the guest in this launcher, from 0. */
  readonly guest: number
  /** For a line on standard error. */
  readonly note: (line: string) => void
}

export const openDevices = (
  request: DevicesRequest,
  around: Surroundings,
): Effect.Effect<DevicesConfig, LaunchError, Scope.Scope> =>
  Effect.gen(function* () {
    const { blocks, deterministic, guest, net, note, seed, startMs } = request
    const disks = yield* Effect.forEach(blocks, (block) => openBlockFile(block, around.files, note))
    return {
      disks,
      net: net && (yield* openNet(net, request, around, startMs)),
      entropy: deterministic ? seededEntropy((seed ^ Math.imul(guest, 0x9e37_79b1)) >>> 0) : systemEntropy,
    }
  })

const openNet = (
  { hub, mac, pcap }: NetSpec,
  { guest, note, seed }: DevicesRequest,
  around: Surroundings,
  startMs: number,
): Effect.Effect<NetConfig, LaunchError, Scope.Scope> =>
  Effect.gen(function* () {
    const watch = pcap === undefined ? undefined : yield* openPcap(pcap, startMs, around.files, note)
    return {
      mac: mac ?? derivedMac(seed, guest),
      // Without a hub it is a cable with nobody at its other end.
      link: (hub === undefined ? new Hub() : around.hub(hub)).attach(),
      ...(watch === undefined ? {} : { watch }),
    }
  })
