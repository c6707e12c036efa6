import { Fields, type Saved, type State } from "../machine/snapshot.ts"
import type { NetLink } from "./virtioNet.ts"

/*
 * D:170 Two Guests with a card each need a cable between them. Here it is, all of it. A hub: what comes in at one port
 * goes out at all others. It learns nothing and delays nothing; a frame waits at its port until the guest there is next
 * served.
 *
 * You know both ends of a device now, but who wired them together, and to what? Whoever made the Guest: `lguest64
 * journey Launcher`.
 */

/** Frames that wait at a port; more than a ring holds are lost, as on a wire. */
const LONGEST_QUEUE = 256

const FIELDS = new Fields({ numbers: ["lost"], chunks: ["frames"] })

class Port implements NetLink, Saved {
  private readonly hub: ReadonlyArray<Port>
  private readonly frames: Uint8Array[] = []
  /** Frames that found no room here. */
  lost = 0

  constructor(hub: ReadonlyArray<Port>) {
    this.hub = hub
  }

  send(frame: Uint8Array): void {
    for (const port of this.hub) if (port !== this) port.arrive(frame)
  }

  private arrive(frame: Uint8Array): void {
    if (this.frames.length < LONGEST_QUEUE) this.frames.push(frame)
    else this.lost++
  }

  receive(): Uint8Array | undefined {
    return this.frames.shift()
  }

  get pending(): number {
    return this.frames.length
  }

  get waiting(): Saved {
    return this
  }

  save(): State {
    return FIELDS.save(this)
  }

  restore(state: State): void {
    FIELDS.restore(this, state)
  }
}

export class Hub {
  private readonly ports: Port[] = []

  /** A new port. */
  attach(): NetLink & { readonly lost: number } {
    const port = new Port(this.ports)
    this.ports.push(port)
    return port
  }
}
