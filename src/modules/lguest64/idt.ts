import { Mutex, type SharedHeap } from "../../machine/shared.ts"
import { FIRST_EXTERNAL_VECTOR, LGUEST_IRQS } from "../../paravirt_ops/lguest64.ts"

/*
 * M:100 The same trick with a handler's address. Is it an attack if you can only hurt yourself? It is if the halves of
 * two good addresses make one that the Host has never checked.
 *
 * A guest's handlers, which the processor never sees: only the module reads them, when it reflects an event.
 *
 * One virtual CPU may load a handler while another one takes the very interrupt. An address is two words, and half of the
 * old with half of the new is an address that no guest has asked for; so each handler has two places, and one atomic word
 * that says which of them counts. The reader goes by that word, and reads again if it has changed meanwhile.
 */
const PRESENT = 1
const TRAP = 2
const USER = 4
/** The second place counts. */
const SECOND = 8
/** Each change adds one here, so that two changes during one look are noticed as well. */
const VERSION = 16

/** LOAD_IDT_ENTRY's flags: bits 0..1 the DPL, bit 8 a trap gate. */
const FLAG_DPL = 3
const FLAG_TRAP_GATE = 0x100

const VECTORS = 256
/** Behind the vectors: SET_SYSCALL's handler. */
export const SYSCALL_HANDLER = VECTORS
const HANDLERS = VECTORS + 1

/** Words of a handler: the one that decides, then low and high half in two places. */
const WORDS = 5

/** What `find` found; overwritten by the next. */
export interface Handler64 {
  readonly lo: number
  readonly hi: number
  /** Virtual interrupts stay enabled. */
  readonly trap: boolean
}

export class GuestIdt {
  private readonly words: Uint32Array
  /** Held by whoever loads a handler. */
  private readonly loading: Mutex
  private readonly found = { lo: 0, hi: 0, trap: false }

  constructor(heap: SharedHeap) {
    this.words = heap.u32(HANDLERS * WORDS)
    this.loading = new Mutex(heap)
  }

  /** Vectors that a guest may have handlers for: no NMI, double fault or machine check, which are the host's. */
  static allows(vector: number): boolean {
    if (vector === 2 || vector === 8 || vector === 18) return false
    return vector < FIRST_EXTERNAL_VECTOR + LGUEST_IRQS || vector === 128
  }

  load(vector: number, lo: number, hi: number, flags: number): void {
    const { words } = this
    const at = vector * WORDS
    this.loading.lock()
    const before = words[at]!
    const second = (before & SECOND) === 0
    const place = at + (second ? 3 : 1)
    words[place] = lo
    words[place + 1] = hi
    const bits = ((flags & FLAG_TRAP_GATE) !== 0 ? TRAP : 0) | ((flags & FLAG_DPL) === FLAG_DPL ? USER : 0)
    const version = (before & -VERSION) + VERSION
    Atomics.store(words, at, version | PRESENT | bits | (second ? SECOND : 0))
    this.loading.unlock()
  }

  private state(vector: number): number {
    return Atomics.load(this.words, vector * WORDS)
  }

  present(vector: number): boolean {
    return (this.state(vector) & PRESENT) !== 0
  }

  /** Whether INT `vector` is allowed to the guest's processes. */
  isUser(vector: number): boolean {
    return (this.state(vector) & USER) !== 0
  }

  /** The handler as one of those who loaded it has said; undefined: there is none. */
  find(vector: number): Handler64 | undefined {
    const { words, found } = this
    const at = vector * WORDS
    for (let state = this.state(vector); ;) {
      if ((state & PRESENT) === 0) return undefined
      const place = at + ((state & SECOND) !== 0 ? 3 : 1)
      found.lo = words[place]!
      found.hi = words[place + 1]!
      found.trap = (state & TRAP) !== 0
      const now = this.state(vector)
      if (now === state) return found
      state = now
    }
  }
}
