import { type Arch, type Choices, DIMENSIONS } from "./dimensions.ts"

/*
 * M:157 And not every list of answers is a design. Some contradict each other, and silicon does not care how good the
 * argument was. What cannot work is refused by name here; what works and is unsafe is not, for it has more to teach.
 *
 * The rules. Each is about machines and treaties, not about taste, and tests/designs/rules.test.ts shows for each what
 * happens where it is not kept.
 */

export interface Rule {
  readonly name: string
  /** What it forbids, and why. */
  readonly text: string
  /** The reason, in this design's terms, if the design breaks the rule. */
  readonly breaks: (choices: Choices) => string | undefined
}

export interface Broken {
  readonly rule: Rule
  readonly reason: string
}

const LONG_MODE_HAS_NO_LIMITS = "long mode ignores segment limits (SDM vol. 1, 3.4.2.1)"
const LINUX_ABI = "the kernels that speak lguest's ABI for i386 were compiled for ring 1"

/** Why an alternative does not exist on the other architecture. */
const ABSENT: Readonly<Record<Arch, Readonly<Record<string, string>>>> = {
  x86_64: {
    "host switcher-behind-limits": LONG_MODE_HAS_NO_LIMITS,
    "host everything-behind-limits": LONG_MODE_HAS_NO_LIMITS,
    "events straight":
      "a kernel that is entered from its process without the host has the process's GS, and SWAPGS is for ring 0 alone",
  },
  i386: {
    "ring 3": `${LINUX_ABI}, and their selectors say so`,
    "vcpu pda": "nothing asks for it: while a guest runs the processor has the Switcher's IDT",
    "vcpu task": "nothing asks for it: while a guest runs the processor has the Switcher's IDT",
    "spaces separate": `${LINUX_ABI}, where one address space protects the kernel by U/S`,
    "pageOffset guest-moves": `${LINUX_ABI}, and for 0xC0000000`,
    "selectors own":
      "lguest's ABI lets a guest load descriptors, so it has a GDT, and with it the numbers that it likes",
    "hypercall syscall": "SYSCALL outside of long mode is AMD's alone, and #UD on the others",
    "mmu kvm": "its tables have four levels of 512 entries; the i386 processor walks two or three",
    "mmu direct": "its tables have four levels of 512 entries; the i386 processor walks two or three",
    "interruptFlag pvi": "CR4.PVI is for ring 3 (SDM vol. 3, 21.4); the kernel is at ring 1",
    "smp threads": "lguest's ABI for i386 cannot name a second virtual CPU",
  },
}

const exists: Rule = {
  name: "architecture",
  text: "An answer has to exist on the architecture.",
  breaks: (choices) => {
    for (const { key, alternatives } of DIMENSIONS) {
      const chosen = alternatives.find(({ name }) => name === String(choices[key]))
      if (chosen !== undefined && !chosen.arches.includes(choices.arch))
        return `${key} ${chosen.name} on ${choices.arch}: ${ABSENT[choices.arch][`${key} ${chosen.name}`] ?? "it does not exist"}`
    }
    return undefined
  },
}

const mapsEverything = ({ host }: Choices): boolean => host === "everything" || host === "everything-behind-limits"

export const RULES: ReadonlyArray<Rule> = [
  exists,
  {
    name: "room-for-both",
    text: "Where all of the host stays mapped, host and guest cannot have the same PAGE_OFFSET: one address means one thing.",
    breaks: (choices) =>
      mapsEverything(choices) && choices.pageOffset === "same"
        ? `the host's direct map would lie where the guest's is`
        : undefined,
  },
  {
    name: "own-pages-at-known-address",
    text: "A known address means another page in each virtual CPU's tables; where guests' tables share the host's own, it cannot.",
    breaks: ({ arch, host, vcpu }) =>
      arch === "x86_64" && host === "everything" && vcpu === "known-address"
        ? "the host's own tables would hold one virtual CPU's descriptor, for all processors and for the host's processes"
        : undefined,
  },
  {
    name: "pvi-is-for-ring-3",
    text: "CLI and STI change VIF at ring 3 alone (SDM vol. 3, 21.4); at ring 1 they are #GP.",
    breaks: ({ arch, interruptFlag, ring }) =>
      arch === "x86_64" && interruptFlag === "pvi" && ring !== 3
        ? "the guest's kernel runs at ring 1, where CLI is #GP"
        : undefined,
  },
]

/** The rules that a design breaks. */
export const check = (choices: Choices, rules: ReadonlyArray<Rule> = RULES): ReadonlyArray<Broken> =>
  rules.flatMap((rule) => {
    const reason = rule.breaks(choices)
    return reason === undefined ? [] : [{ rule, reason }]
  })
