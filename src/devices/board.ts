import { Fields, type State } from "../machine/snapshot.ts"
import type { GuestMemory } from "./guestMemory.ts"
import type { PciBus } from "./pci.ts"
import { type BlockBackend, VirtioBlock } from "./virtioBlock.ts"
import { VirtioConsole } from "./virtioConsole.ts"
import { type EntropySource, seededEntropy, VirtioEntropy } from "./virtioEntropy.ts"
import { type NetLink, VirtioNet } from "./virtioNet.ts"
import { VirtioPci } from "./virtioPci.ts"

/*
 * L:110 The cards in their slots. What differs between a Guest and a bare machine is only where an interrupt line ends,
 * at the 8259 or at /dev/lguest.
 *
 * All devices of one guest, plugged in. What they stand for outside (files, hubs, a source of randomness) outlives
 * them: a guest that restarts gets a new board and the old disks.
 */

/** Interrupt line of each device: natively of the 8259 pair, under a module the number of the virtual interrupt. */
export const LINES = { entropy: 5, net: 9, console: 10, disks: [11, 12, 14, 15] } as const

/** All of them, level-triggered as PCI's are. */
export const DEVICE_LINES: ReadonlyArray<number> = [LINES.entropy, LINES.net, LINES.console, ...LINES.disks]

export const MOST_DISKS = LINES.disks.length

/** What the devices stand for. */
export interface DevicesConfig {
  readonly disks: ReadonlyArray<BlockBackend>
  readonly net: NetConfig | undefined
  readonly entropy: EntropySource
}

export interface NetConfig {
  /** 6 bytes. */
  readonly mac: Uint8Array
  readonly link: NetLink
  /** Sees each frame that passes the device in either direction, at simulated nanosecond `now`. */
  readonly watch?: (now: number, frame: Uint8Array) => void
}

/** A console, and randomness that is the same every time. */
export const noDevices = (): DevicesConfig => ({ disks: [], net: undefined, entropy: seededEntropy(0) })

export interface BoardConfig extends DevicesConfig {
  readonly pci: PciBus
  readonly memory: GuestMemory
  /** What the guest writes to its console. */
  readonly consoleOut: (bytes: Uint8Array) => void
  /** Simulated nanoseconds. */
  readonly now: () => number
}

/** All devices are plugged into the bus. */
const FIELDS = new Fields({ parts: ["pci"] })

export class Board {
  readonly pci: PciBus
  readonly console: VirtioConsole
  readonly disks: ReadonlyArray<VirtioBlock>
  readonly net: VirtioNet | undefined
  readonly entropy: VirtioEntropy
  private readonly functions: VirtioPci[] = []

  constructor({ pci, memory, consoleOut, now, disks, net, entropy }: BoardConfig) {
    if (disks.length > MOST_DISKS) throw new RangeError(`a board has room for ${MOST_DISKS} disks`)
    this.pci = pci
    this.console = new VirtioConsole(consoleOut)
    this.entropy = new VirtioEntropy(entropy)
    this.disks = disks.map((disk, i) => new VirtioBlock(disk, `disk${i}`))
    if (net !== undefined) {
      const { mac, link, watch } = net
      this.net = new VirtioNet(mac, link, watch && ((frame) => watch(now(), frame)))
    }
    // The order is that of the PCI slots, from 1 on.
    const plug = (device: ConstructorParameters<typeof VirtioPci>[0], line: number) => {
      const fn = new VirtioPci(device, memory)
      this.functions.push(fn)
      pci.plug(fn, line)
    }
    plug(this.console, LINES.console)
    plug(this.entropy, LINES.entropy)
    this.disks.forEach((disk, i) => plug(disk, LINES.disks[i]!))
    if (this.net !== undefined) plug(this.net, LINES.net)
  }

  /** Is there work that waits for a poll? */
  get busy(): boolean {
    return (this.net?.pending ?? 0) > 0 || this.functions.some((fn) => fn.busy)
  }

  /**
   * Does what no access of the guest's sets off: frames that have come, and work that was cut short. Whoever runs the guest
   * calls it before each slice. Throws GuestFault.
   */
  poll(): void {
    for (const fn of this.functions) fn.poll()
    this.net?.poll()
  }

  save(): State {
    return FIELDS.save(this)
  }

  restore(state: State): void {
    FIELDS.restore(this, state)
  }
}
