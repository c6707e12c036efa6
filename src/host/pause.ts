import { type SharedHeap, waitWhile } from "../machine/shared.ts"

/** Not 0 while virtual CPUs must not enter their guests; threads that wait here meanwhile. */
const ASKED = 0
const WAITING = 1

/** A host whose threads stand still: virtual CPUs do not enter their guests, but ask for the launcher and wait here. */
export class Pause {
  private readonly words: Int32Array

  constructor(heap: SharedHeap) {
    this.words = heap.i32(2)
  }

  /** Whether somebody wants all to pause. */
  get asked(): boolean {
    return Atomics.load(this.words, ASKED) !== 0
  }

  /** How many threads wait. */
  get waiting(): number {
    return Atomics.load(this.words, WAITING)
  }

  ask(): void {
    Atomics.store(this.words, ASKED, 1)
  }

  /** A thread that has been asked waits until it may go on. */
  wait(): void {
    const { words } = this
    Atomics.add(words, WAITING, 1)
    while (this.asked) waitWhile(words, ASKED, 1)
    Atomics.sub(words, WAITING, 1)
    Atomics.notify(words, WAITING)
  }

  /** Returns when all have gone on: the next pause counts none of them who has not come back. */
  end(): void {
    const { words } = this
    Atomics.store(words, ASKED, 0)
    Atomics.notify(words, ASKED)
    for (let here = this.waiting; here !== 0; here = this.waiting) waitWhile(words, WAITING, here)
  }
}
