import type { Choices } from "../../design/dimensions.ts"
import * as inPda from "./image.gen.ts"
import * as atKnownAddress from "./image.known.gen.ts"
import * as inTask from "./image.task.gen.ts"

/*
 * The host's machine code, assembled once for each place where entry code can find the VCPU (S:031). All have the same
 * symbols.
 */

export type SymbolName = keyof typeof inPda.symbols

export interface HostImage {
  /** Offsets from the first byte. */
  readonly symbols: Readonly<Record<SymbolName, number>>
  /** Base64. */
  readonly code: string
}

const IMAGES: Readonly<Record<Choices["vcpu"], HostImage>> = {
  pda: inPda,
  task: inTask,
  "known-address": atKnownAddress,
}

export const imageOf = (vcpu: Choices["vcpu"]): HostImage => IMAGES[vcpu]

const SUFFIX = { everything: "_everything", switched: "_switched", pvi: "_pvi" } as const

type Switcher = Pick<Choices, "host" | "selectors" | "interruptFlag">
type Entry = "switch_to_guest" | "lguest64_system_call" | "lguest64_trap"

/** The symbol of a function of the switcher that guests of a design are built with (S:125). */
export const switcherSymbol = (entry: Entry, { host, selectors, interruptFlag }: Switcher): SymbolName =>
  [
    entry,
    host === "everything" ? SUFFIX.everything : "",
    selectors === "switched" ? SUFFIX.switched : "",
    interruptFlag === "pvi" ? SUFFIX.pvi : "",
  ].join("") as SymbolName
