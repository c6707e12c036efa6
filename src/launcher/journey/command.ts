import { type Command, InvalidArgumentError } from "commander"
import { type Part, PARTS } from "./parts.ts"

/* The command line of `lguest64 journey`. */

export interface JourneyOptions {
  /** Undefined: all of them. */
  readonly part: Part | undefined
  readonly list: boolean
}

const NAMES = PARTS.map(({ name }) => name)

/** By its name in any case; "Preparation!" is what Rusty's readers typed. */
const parsePart = (text: string): Part => {
  const name = text.replace(/!$/, "").toLowerCase()
  const part = PARTS.find((known) => known.name.toLowerCase() === name)
  if (part === undefined) throw new InvalidArgumentError(`The parts are ${NAMES.join(", ")}.`)
  return part
}

export const addJourneyCommand = (root: Command, accept: (options: JourneyOptions) => void): void => {
  root
    .command("journey")
    .description("read how all of this works, told by its own code, in seven parts")
    .argument("[PART]", `${NAMES.join(", ")} (default: all, one after the other)`, parsePart)
    .option("--list", "only the table of contents")
    .addHelpText("after", "\nOn a terminal it is shown by $PAGER, or less. Begin with `lguest64 journey Preparation`.")
    .allowExcessArguments(false)
    .action((part: Part | undefined, { list }: { readonly list?: true }) => accept({ part, list: list === true }))
}
