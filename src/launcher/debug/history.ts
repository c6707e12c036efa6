import type { RegisterName } from "../../machine/inspection.ts"
import type { Engine } from "../engine.ts"
import type { DebugTarget } from "./target.ts"

/*
 * All that came to a deterministic machine from outside, and when: with it the machine can be run again from its power-on to
 * any moment of its past. What comes from the launcher comes between two slices, and is told by the engine's position there;
 * what a debugger changes it changes while the guest is stopped between two of its instructions, and that is told by the moment (target.ts).
 */

/** What the launcher did. */
export type Deed =
  | { readonly kind: "input"; readonly bytes: Uint8Array }
  | { readonly kind: "resize"; readonly columns: number; readonly rows: number }
  | { readonly kind: "skip"; readonly until: number }

/** What the debugger did. */
export type Change =
  | { readonly kind: "memory"; readonly gpa: number; readonly bytes: Uint8Array }
  | { readonly kind: "register"; readonly vcpu: number; readonly register: RegisterName; readonly value: bigint }

export type Entry =
  /** `idle`: the engine had said that there is nothing to do; with several processors the position alone does not tell that. */
  | {
      readonly kind: "deed"
      readonly position: number
      readonly moment: number
      readonly idle: boolean
      readonly deed: Deed
    }
  | { readonly kind: "change"; readonly moment: number; readonly change: Change }

export class History {
  private readonly entries: Entry[] = []
  /** How many of them have happened to the engine that is in use: less than all, after a journey into the past. */
  cursor = 0

  at(index: number): Entry | undefined {
    return this.entries[index]
  }

  /** What the engine in use is yet to meet. */
  get upcoming(): Entry | undefined {
    return this.entries[this.cursor]
  }

  /** What happens now; a future that was known is no longer what will be. */
  append(entry: Entry): void {
    this.entries.length = this.cursor
    this.entries.push(entry)
    this.cursor++
  }

  /** Forgets what would follow, from the first change by the debugger on: nobody would make it again. */
  forgetChanges(): void {
    const index = this.entries.findIndex((entry, i) => i >= this.cursor && entry.kind === "change")
    if (index >= 0) this.entries.length = index
  }
}

export const perform = (engine: Engine, deed: Deed): void => {
  switch (deed.kind) {
    case "input":
      return engine.input(deed.bytes)
    case "resize":
      return engine.resize(deed.columns, deed.rows)
    case "skip":
      return engine.skip(deed.until)
  }
}

/** False: it could not be made. */
export const applyChange = (target: DebugTarget, change: Change): boolean =>
  change.kind === "memory"
    ? target.writePhysical(change.gpa, change.bytes)
    : target.writeRegister(change.vcpu, change.register, change.value)
