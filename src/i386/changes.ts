import { Fields, type State } from "../machine/snapshot.ts"

const FIELDS = new Fields({ numbers: ["first", "end"] })

/**
 * Which entries of a guest's descriptor table have changed since they were copied to the processor that runs the guest: all
 * from the first to the last. Guests change few at a time: three for thread-local storage at a context switch, one handler.
 */
export class Changes {
  private readonly count: number
  first: number
  /** After the last; not above `first` if there is none. */
  end: number

  /** In a new table of `count` entries all are new. */
  constructor(count: number) {
    this.count = count
    this.first = 0
    this.end = count
  }

  add(index: number): void {
    this.first = Math.min(this.first, index)
    this.end = Math.max(this.end, index + 1)
  }

  /** The copy is another guest's. */
  addAll(): void {
    this.first = 0
    this.end = this.count
  }

  /** The copy has been brought up to date. */
  clear(): void {
    this.first = this.count
    this.end = 0
  }

  save(): State {
    return FIELDS.save(this)
  }

  restore(state: State): void {
    FIELDS.restore(this, state)
  }
}
