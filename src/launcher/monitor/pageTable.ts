import {
  entryFrame,
  isLeaf,
  isPresent,
  type PageTables,
  type PagingFormat,
  PAGING_2_LEVEL,
  PAGING_4_LEVEL,
  PAGING_PAE,
  tableIndex,
  walkTables,
} from "../../machine/pageTables.ts"
import type { VcpuView, Walks } from "../../modules/index.ts"
import { parseAddress } from "./address.ts"
import type { Subject } from "./subject.ts"
import { bitNames, bracketed, fail, hex } from "./text.ts"

/* `info pagetable` and `info shadow`: the walks to one address, entry by entry. */

type Entry = Walks["guest"][number]

/** Flags of an entry by bit number (SDM vol. 3, tables 4-5 to 4-20); PS is bit 7 of an upper entry, PAT of a last one. */
const FLAGS: Readonly<Record<number, string>> = {
  0: "P",
  1: "W",
  2: "U",
  3: "PWT",
  4: "PCD",
  5: "A",
  6: "D",
  7: "PS",
  8: "G",
  9: "avl9",
  10: "avl10",
  11: "avl11",
  63: "NX",
}
const LAST_FLAGS = { ...FLAGS, 7: "PAT" }
const ADDRESS_MASK = 0x000f_ffff_ffff_f000n

const flagsOf = (entry: Entry): string =>
  bracketed(
    bitNames(((BigInt(entry.hi) << 32n) | BigInt(entry.lo)) & ~ADDRESS_MASK, entry.level === 1 ? LAST_FLAGS : FLAGS),
  )

const valueOf = (entry: Entry, format: PagingFormat): string =>
  hex((BigInt(entry.hi) << 32n) | BigInt(entry.lo), 8 * format.entryBytes)

const line = (who: string, space: string, entry: Entry | undefined, format: PagingFormat): string => {
  if (entry === undefined) return `  ${who.padEnd(6)}  -`
  const flags = isPresent(entry) ? ` ${flagsOf(entry)}` : ""
  return `  ${who.padEnd(6)}  ${space} ${hex(entry.address, 32)}: ${valueOf(entry, format)}${flags} ${entry.note}`
}

const heading = (format: PagingFormat, address: bigint, level: number): string =>
  `level ${level}, entry ${tableIndex(format, address, level)}`

/** The page of a walk's end, or undefined where it ends early: physical address of `address` itself. */
const target = (format: PagingFormat, entries: ReadonlyArray<Entry>, address: bigint): number | undefined => {
  const last = entries.at(-1)
  if (last === undefined || !isPresent(last) || !isLeaf(format, last)) return undefined
  const bytes = BigInt(4096 * 2 ** ((last.level - 1) * format.indexBits))
  return entryFrame(format, last) * 4096 + Number(address % bytes)
}

/** Walks by tables in memory, in words. */
const described = (tables: PageTables, address: bigint): ReadonlyArray<Entry> =>
  walkTables(tables, address).map((entry) => {
    const frame = hex(entryFrame(tables.format, entry))
    const note = isLeaf(tables.format, entry) ? `gfn ${frame}` : `table of gfn ${frame}`
    return { ...entry, note: isPresent(entry) ? note : "not present" }
  })

const checked = (subject: Subject, address: bigint): void => {
  if (subject.bits === 64 && BigInt.asUintN(64, BigInt.asIntN(48, address)) !== address)
    fail(`${hex(address)} is not canonical: bits 63..47 must be alike`)
}

const formatOf = (subject: Subject): PagingFormat => {
  if (subject.tables !== undefined) return subject.tables.format
  return subject.bits === 64 ? PAGING_4_LEVEL : (subject.register("cr4") & 0x20n) !== 0n ? PAGING_PAE : PAGING_2_LEVEL
}

type View = VcpuView["view"]

const addressAndView = (subject: Subject, what: string, words: ReadonlyArray<string>): readonly [bigint, View] => {
  const [text, view = subject.held?.view ?? "kernel"] = words
  if (text === undefined) fail(`${what} ADDRESS [kernel|user]: which address?`)
  if (view !== "kernel" && view !== "user") return fail(`"${view}" is no view: kernel or user`)
  const address = parseAddress(text!, subject)
  checked(subject, address)
  return [address, view]
}

const verdict = (
  subject: Subject,
  gpa: number | undefined,
  hpa: number | undefined,
  last: Entry | undefined,
): string => {
  const { base, bytes } = subject.guest
  const guest = gpa === undefined ? "the guest maps nothing here" : `the guest maps guest-physical ${hex(gpa)}`
  if (hpa === undefined && last !== undefined && isPresent(last))
    return `${guest}; what is here belongs to the host, and the guest cannot use it`
  if (hpa === undefined) {
    const next = gpa === undefined ? "so an access is the guest's fault" : "so the first access comes to the host"
    return `${guest}; the shadow has nothing yet, ${next}`
  }
  if (hpa < base || hpa >= base + bytes) return `${guest}; the shadow maps memory of the host's at ${hex(hpa)}`
  const shadow = `the shadow host-physical ${hex(hpa)}, which is guest-physical ${hex(hpa - base)}`
  return `${guest}, ${shadow}: ${gpa === hpa - base ? "they agree" : "the shadow is behind, until the guest flushes"}`
}

export const infoPageTable = (subject: Subject, words: ReadonlyArray<string>): string => {
  const [address, view] = addressAndView(subject, "info pagetable", words)
  const { held, tables, bits } = subject
  const format = formatOf(subject)
  if (held === undefined) {
    if (tables === undefined) return `paging is off: ${hex(address, bits)} is the physical address`
    const entries = described(tables, address)
    const gpa = target(format, entries, address)
    return [
      `${hex(address, bits)} on virtual CPU ${subject.index}, ${format.name} page tables at ${hex(tables.root, 32)}`,
      ...entries.flatMap((entry) => [heading(format, address, entry.level), line("guest", "gpa", entry, format)]),
      gpa === undefined ? "nothing is mapped here" : `physical address ${hex(gpa)}`,
    ].join("\n")
  }
  const walks = held.walks(address, view)
  const rows = [`${hex(address, bits)} in the ${view} view of virtual CPU ${subject.index}, ${format.name} page tables`]
  if (held.linear) rows.push("the guest has no page tables yet: the shadow maps its memory at its own addresses")
  for (let level: number = format.levels; level >= 1; level--) {
    const guest = walks.guest.find((entry) => entry.level === level)
    const shadow = walks.shadow.find((entry) => entry.level === level)
    if (guest === undefined && shadow === undefined) break
    rows.push(heading(format, address, level))
    if (!held.linear) rows.push(line("guest", "gpa", guest, format))
    rows.push(line("shadow", "hpa", shadow, format))
  }
  if (walks.shadow.length === 0) rows.push("there is no shadow root for this view yet")
  const gpa = held.linear ? Number(address) : target(format, walks.guest, address)
  return [...rows, verdict(subject, gpa, target(format, walks.shadow, address), walks.shadow.at(-1))].join("\n")
}

export const infoShadow = (subject: Subject, words: ReadonlyArray<string>): string => {
  subject.requireModule("info shadow")
  const [address] = addressAndView(subject, "info shadow", words)
  const held = subject.held!
  const format = formatOf(subject)
  const views: ReadonlyArray<View> = subject.module!.module === "lguest64" ? ["kernel", "user"] : [held.view]
  return views
    .map((view) => {
      const { shadow } = held.walks(address, view)
      const now = view === held.view ? ", where the guest is" : ""
      if (shadow.length === 0) return `${view} view${now}: no shadow root yet`
      const name = views.length === 1 ? "one shadow for kernel and processes" : `${view} view${now}`
      const rows = shadow.flatMap((entry) => [
        heading(format, address, entry.level),
        line("shadow", "hpa", entry, format),
      ])
      const hpa = target(format, shadow, address)
      const end = hpa === undefined ? "nothing is mapped here" : `host-physical ${hex(hpa)}, ${subject.owner(hpa)}`
      return [`${name}: root at host-physical ${hex(held.root(view), 32)}`, ...rows, end].join("\n")
    })
    .join("\n\n")
}
