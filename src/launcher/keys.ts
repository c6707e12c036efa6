/*
 * The keys that are ours on an interactive terminal, as in QEMU: Ctrl-A is the prefix. A state machine of its own, because
 * the prefix and its key may come in different reads.
 */

const CTRL_A = 0x01

export const KEYS_HELP = [
  "Ctrl-A x  end the run",
  "Ctrl-A c  the monitor, and back",
  "Ctrl-A h  this help",
  "Ctrl-A n  type at the next guest (lguest64 up)",
  "Ctrl-A a  send Ctrl-A to the guest (also Ctrl-A Ctrl-A)",
]

export interface KeyActions {
  /** Bytes for the guest. */
  readonly send: (bytes: Uint8Array) => void
  readonly quit: () => void
  readonly help: () => void
  /** Opens the monitor, or goes back to the guest. */
  readonly monitor: () => void
  /** Another guest has the keyboard from now on. */
  readonly next: () => void
}

export class Keys {
  private prefixed = false
  private readonly actions: KeyActions

  constructor(actions: KeyActions) {
    this.actions = actions
  }

  /** Bytes as the terminal gave them. */
  input(bytes: Uint8Array): void {
    const out: number[] = []
    const send = () => {
      if (out.length > 0) this.actions.send(Uint8Array.from(out.splice(0)))
    }
    for (const byte of bytes) {
      if (!this.prefixed) {
        if (byte === CTRL_A) this.prefixed = true
        else out.push(byte)
        continue
      }
      this.prefixed = false
      switch (byte) {
        case 0x78: // x
        case 0x58:
          send()
          this.actions.quit()
          return
        case 0x68: // h
        case 0x3f: // ?
          this.actions.help()
          break
        case 0x63: // c
          send()
          this.actions.monitor()
          break
        case 0x6e: // n
          send()
          this.actions.next()
          break
        case CTRL_A:
        case 0x61: // a
          out.push(CTRL_A)
          break
        default:
          break // a key that means nothing, like in QEMU
      }
    }
    send()
  }
}
