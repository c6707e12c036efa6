import type { Ram } from "../../machine/ram.ts"

/*
 * Memory that a guest must not change: what it held before, compared with what it holds after. Of structures that the host
 * itself writes while it runs, the bytes that it may write are left out.
 */

/** Bytes [from, to) of a page. */
export type Span = readonly [from: number, to: number]

export interface Guarded {
  /** As it is told: "the GDT". */
  readonly name: string
  /** Physical address and bytes. */
  readonly pa: number
  readonly bytes: number
  /** What may change. */
  readonly volatile: ReadonlyArray<Span>
}

export class Guard {
  private readonly ram: Ram
  private readonly kept: ReadonlyArray<{ readonly is: Guarded; readonly before: Uint8Array }>

  constructor(ram: Ram, all: ReadonlyArray<Guarded>) {
    this.ram = ram
    this.kept = all.map((is) => ({ is, before: ram.copyOut(is.pa, is.bytes) }))
  }

  /** What has changed, a line for each. */
  changes(): ReadonlyArray<string> {
    const lines: string[] = []
    for (const { is, before } of this.kept) {
      const after = this.ram.copyOut(is.pa, is.bytes)
      if (Buffer.compare(before, after) === 0) continue
      const at = before.findIndex(
        (byte, i) => byte !== after[i] && !is.volatile.some(([from, to]) => i >= from && i < to),
      )
      if (at >= 0) lines.push(`wrote ${is.name} (at offset 0x${at.toString(16)})`)
    }
    return lines
  }
}
