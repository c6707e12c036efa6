import { mappedRanges } from "../../machine/pageTables.ts"
import type { Subject } from "./subject.ts"
import { columns, hex, sizeOf } from "./text.ts"

/* `info mem`: what the guest's own page tables map. */

/** A guest may let tables refer to each other without end. */
const MOST_ENTRIES = 1 << 20
const MOST_RANGES = 1000

export const infoMem = (subject: Subject): string => {
  const { tables, bits, index } = subject
  if (tables === undefined) return `virtual CPU ${index} has no page tables: addresses are guest-physical`
  const { ranges, cut } = mappedRanges(tables, MOST_ENTRIES)
  const title = `${tables.format.name} page tables at guest-physical ${hex(tables.root, 32)}`
  const rows = ranges
    .slice(0, MOST_RANGES)
    .map(({ begin, bytes, user, write, execute }) => [
      `${hex(begin, bits)}..${hex(BigInt.asUintN(64, begin + bytes - 1n), bits)}`,
      sizeOf(bytes),
      user ? "user" : "kernel",
      `r${write ? "w" : "-"}${execute ? "x" : "-"}`,
    ])
  const more = ranges.length > MOST_RANGES ? [`and ${ranges.length - MOST_RANGES} ranges more`] : []
  if (cut) more.push(`only the first ${MOST_ENTRIES} entries were read: these tables refer to each other`)
  const list = rows.length === 0 ? ["nothing is mapped"] : [columns([["addresses", "size", "for", "may"], ...rows])]
  return [title, ...list, ...more].join("\n")
}
