import { check } from "../../src/design/rules.ts"
import { type Choices, DIMENSIONS, LGUEST } from "../../src/design/dimensions.ts"

/** lguest's design with other answers to some of the questions; the host moves where it has to. */
export const lguestBut = (other: Partial<Choices>): Choices => {
  const moves = other.host === "everything" || other.host === "everything-behind-limits"
  const design: Choices = { ...LGUEST, ...(moves ? { pageOffset: "host-moves" as const } : {}), ...other }
  const broken = check(design)
  if (broken.length > 0) throw new Error(broken.map(({ reason }) => reason).join("; "))
  return design
}

/** Every answer that i386 has and lguest has not given, each by itself. */
export const ALTERNATIVES: ReadonlyArray<readonly [name: string, design: Choices]> = DIMENSIONS.flatMap(
  ({ key, alternatives }) =>
    alternatives
      .filter(({ name, arches }) => arches.includes("i386") && String(LGUEST[key]) !== name)
      .map(({ name }) => [`${key}: ${name}`, lguestBut({ [key]: name })] as const),
)

/** And some of them together. */
export const MIXTURES: ReadonlyArray<readonly [name: string, design: Choices]> = [
  [
    "everything, with a ROM",
    lguestBut({ host: "everything", hypercall: "call-page", interruptFlag: "rom", events: "through-host" }),
  ],
  [
    "plex86's: everything behind limits, on demand, through the host",
    lguestBut({
      host: "everything-behind-limits",
      mmu: "on-demand",
      events: "through-host",
      interruptFlag: "hypercall",
    }),
  ],
  [
    "Rusty's afterthought, with a call page and the host's flag",
    lguestBut({ host: "switcher", hypercall: "call-page", interruptFlag: "hypercall" }),
  ],
]
