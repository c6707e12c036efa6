/*
 * State that several threads see. What the host kernel, its modules and the APICs remember lies in typed arrays that come
 * from a SharedHeap; the simulated memory itself is the machine's (machine.ts). Every thread constructs the same objects in
 * the same order and so finds the same arrays: in the first thread, which is `fresh`, they come zeroed and are filled in;
 * in all others they are what they are, and constructors leave them alone.
 *
 * A machine that runs in one thread uses the same arrays and never notices.
 */

/** What a thread needs to see a heap that another has made; it may be posted to a worker. */
export type HeapShare = ReadonlyArray<SharedArrayBuffer>

export class SharedHeap {
  /** True where the heap was made. */
  readonly fresh: boolean
  private readonly buffers: SharedArrayBuffer[]
  private taken = 0

  private constructor(buffers: SharedArrayBuffer[], fresh: boolean) {
    this.buffers = buffers
    this.fresh = fresh
  }

  static create(): SharedHeap {
    return new SharedHeap([], true)
  }

  static attach(share: HeapShare): SharedHeap {
    return new SharedHeap([...share], false)
  }

  /** All arrays handed out so far, in order: for other threads, and for whoever saves them. */
  get share(): HeapShare {
    return this.buffers
  }

  private take(bytes: number): SharedArrayBuffer {
    const at = this.taken++
    if (this.fresh) {
      const buffer = new SharedArrayBuffer(bytes)
      this.buffers.push(buffer)
      return buffer
    }
    const buffer = this.buffers[at]
    if (buffer?.byteLength !== bytes)
      throw new Error(`shared array ${at} has ${buffer?.byteLength ?? "no"} bytes where ${bytes} are expected`)
    return buffer
  }

  u8(length: number): Uint8Array {
    return new Uint8Array(this.take(length))
  }

  i32(length: number): Int32Array {
    return new Int32Array(this.take(4 * length))
  }

  u32(length: number): Uint32Array {
    return new Uint32Array(this.take(4 * length))
  }

  f64(length: number): Float64Array {
    return new Float64Array(this.take(8 * length))
  }
}

/** Somebody who holds a lock, or has to answer, does not: its thread is gone. */
export class ThreadLost extends Error {
  override readonly name = "ThreadLost"
}

/**
 * How long a thread waits for another before it gives up, ms. Virtual CPUs' threads wait for ever, for they are ended from
 * outside; the launcher's, which ends them, must not.
 */
let patience = Infinity
export const setPatience = (milliseconds: number): void => {
  patience = milliseconds
}

/** Sleeps while word `index` is `value`; throws ThreadLost when that lasts too long. */
export const waitWhile = (words: Int32Array, index: number, value: number): void => {
  if (Atomics.wait(words, index, value, patience) === "timed-out")
    throw new ThreadLost("a virtual CPU's thread does not answer")
}

const FREE = 0
const HELD = 1
/** Held, and somebody sleeps for it. */
const CONTENDED = 2
/** Locks are held for a microsecond or so: looking again is cheaper than sleeping. */
const SPINS = 100

/** A lock between threads (the three-state futex lock of Drepper's paper). Not recursive. */
export class Mutex {
  private readonly word: Int32Array

  constructor(heap: SharedHeap) {
    this.word = heap.i32(1)
  }

  lock(): void {
    const { word } = this
    if (Atomics.compareExchange(word, 0, FREE, HELD) === FREE) return
    for (let i = 0; i < SPINS; i++)
      if (Atomics.load(word, 0) === FREE && Atomics.compareExchange(word, 0, FREE, HELD) === FREE) return
    while (Atomics.exchange(word, 0, CONTENDED) !== FREE) waitWhile(word, 0, CONTENDED)
  }

  unlock(): void {
    const { word } = this
    if (Atomics.exchange(word, 0, FREE) === CONTENDED) Atomics.notify(word, 0, 1)
  }
}
