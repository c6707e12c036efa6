import { statSync } from "node:fs"

/*
 * Which files this process has open for its guests. Two guests with one disk would ruin each other's file system, so a file
 * that somebody writes is open once.
 */

export type Access = "read" | "write"

export class OpenFiles {
  private readonly holders = new Map<string, { readonly access: Access; count: number }>()

  /** Takes the file at `path`, which exists, or says no. The result gives it back. */
  claim(path: string, access: Access): (() => void) | undefined {
    const { dev, ino } = statSync(path)
    const key = `${dev}:${ino}`
    const holder = this.holders.get(key)
    if (holder !== undefined && (holder.access === "write" || access === "write")) return undefined
    if (holder === undefined) this.holders.set(key, { access, count: 1 })
    else holder.count++
    return () => {
      const held = this.holders.get(key)
      if (held !== undefined && --held.count === 0) this.holders.delete(key)
    }
  }
}
