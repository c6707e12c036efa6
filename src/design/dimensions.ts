/*
 * M:155 Here is the list, then: eleven questions that the thread of 2007 asked or left between its lines, and for each
 * the answers that somebody gave. A design is one answer to each. Nothing in the paths of the Host asks which design a
 * Guest has: the answers are objects and machine code that are chosen once, when the Guest is built.
 *
 * The dimensions of a design, its alternatives, and what each says. Design files (designs/*.yaml) use these names.
 */

/** An architecture of guests. */
export type Arch = "x86_64" | "i386"

export interface Alternative {
  /** The name in design files. */
  readonly name: string
  /** What it says, as the end of a sentence that begins with the dimension's question. */
  readonly text: string
  /** The architectures on which it exists at all; why it does not on the other one is a rule (rules.ts). */
  readonly arches: ReadonlyArray<Arch>
}

export interface Dimension {
  /** The key in design files. */
  readonly key: keyof Choices
  readonly question: string
  readonly alternatives: ReadonlyArray<Alternative>
}

/** One answer to each question; what a guest is built from. */
export interface Choices {
  readonly arch: Arch
  /** The guest kernel's ring. Its processes are always at ring 3. */
  readonly ring: 1 | 3
  /** What of the host is mapped while a guest runs. */
  readonly host: "everything" | "switcher" | "switcher-behind-limits" | "everything-behind-limits"
  /** Where entry code finds the VCPU descriptor. */
  readonly vcpu: "pda" | "task" | "known-address"
  /** Address spaces of guest kernel and guest user. */
  readonly spaces: "separate" | "one"
  /** Whose PAGE_OFFSET gives way. */
  readonly pageOffset: "guest-moves" | "host-moves" | "same"
  /** The guest kernel's CS and DS. */
  readonly selectors: "own" | "switched"
  readonly hypercall: "syscall" | "interrupt" | "call-page"
  readonly mmu: "kvm" | "throw-away" | "on-demand" | "direct"
  readonly interruptFlag: "shared-word" | "hypercall" | "pvi" | "rom"
  /** Traps and the guest's system calls. */
  readonly events: "through-host" | "straight"
  readonly smp: "one" | "threads"
}

const BOTH = ["x86_64", "i386"] as const
const X86_64 = ["x86_64"] as const
const I386 = ["i386"] as const

const alternative = (name: string, arches: ReadonlyArray<Arch>, text: string): Alternative => ({ name, arches, text })

export const DIMENSIONS: ReadonlyArray<Dimension> = [
  {
    key: "ring",
    question: "At which ring does the guest's kernel run?",
    alternatives: [
      alternative("3", X86_64, "at ring 3, like its processes"),
      alternative("1", BOTH, "at ring 1, which paging takes for a supervisor"),
    ],
  },
  {
    key: "host",
    question: "What of the host is mapped while a guest runs?",
    alternatives: [
      alternative("everything", BOTH, "all of it; nothing is switched to reach it"),
      alternative(
        "switcher",
        BOTH,
        "the switcher's pages: read-only text, and what has to be written for each virtual CPU",
      ),
      alternative("switcher-behind-limits", I386, "the switcher's pages, above the limits of the guest's segments"),
      alternative("everything-behind-limits", I386, "all of it, above the limits of the guest's segments"),
    ],
  },
  {
    key: "vcpu",
    question: "Where does the entry code find the VCPU descriptor?",
    alternatives: [
      alternative("pda", X86_64, "a field of the PDA points at it"),
      alternative("task", X86_64, "a field of the current task points at it"),
      alternative("known-address", BOTH, "it is mapped at an address that everybody knows"),
    ],
  },
  {
    key: "spaces",
    question: "Do the guest's kernel and its processes share an address space?",
    alternatives: [
      alternative("separate", X86_64, "no, each has its own view of the guest's tables"),
      alternative("one", BOTH, "yes, one set of shadows serves both"),
    ],
  },
  {
    key: "pageOffset",
    question: "Whose PAGE_OFFSET gives way?",
    alternatives: [
      alternative("guest-moves", X86_64, "the guest maps its memory where the host has nothing"),
      alternative("host-moves", BOTH, "the host's direct map lies elsewhere; the guest's is where it always is"),
      alternative("same", BOTH, "nobody's: both use the same addresses, each in its own world"),
    ],
  },
  {
    key: "selectors",
    question: "Which CS and DS has the guest's kernel?",
    alternatives: [
      alternative("own", X86_64, "its own, in the host's GDT beside the host's"),
      alternative("switched", BOTH, "the numbers that it has on the bare machine; GDT and IDT change with the world"),
    ],
  },
  {
    key: "hypercall",
    question: "How does the guest's kernel call its host?",
    alternatives: [
      alternative("syscall", X86_64, "by SYSCALL, with a flag in a page that only it can reach"),
      alternative("interrupt", BOTH, "by INT 0x1f"),
      alternative("call-page", BOTH, "by a call into a page of the host's at a known address"),
    ],
  },
  {
    key: "mmu",
    question: "Where do the page tables that the processor walks come from?",
    alternatives: [
      alternative("kvm", X86_64, "shadows that are kept, found by frame and role, and follow each change"),
      alternative("throw-away", BOTH, "shadows of a few roots, told of changes by hypercalls, thrown away whole"),
      alternative("on-demand", BOTH, "one empty shadow at each load of CR3, filled as the guest faults"),
      alternative("direct", X86_64, "the guest's own, validated before each change"),
    ],
  },
  {
    key: "interruptFlag",
    question: "Where is the guest's interrupt flag?",
    alternatives: [
      alternative("shared-word", BOTH, "a word in memory that guest and host share"),
      alternative("hypercall", BOTH, "the host's; each CLI and STI is a hypercall"),
      alternative("pvi", X86_64, "VIF in EFLAGS: the processor does it (CR4.PVI)"),
      alternative("rom", BOTH, "in a virtual CPU that the host's ROM keeps, behind calls into it"),
    ],
  },
  {
    key: "events",
    question: "How do traps and system calls of the guest's processes reach its kernel?",
    alternatives: [
      alternative("through-host", BOTH, "the host takes them and reflects them"),
      alternative("straight", I386, "through the processor's own gates, where the ring allows"),
    ],
  },
  {
    key: "smp",
    question: "How many virtual CPUs may a guest have?",
    alternatives: [
      alternative("one", BOTH, "one"),
      alternative("threads", X86_64, "several, with a worker thread and a state page for each"),
    ],
  },
]

/** What `lguest64 run` runs without `--design`: Rusty Russell's answer, with all that could be had besides. */
export const LGUEST64: Choices = {
  arch: "x86_64",
  ring: 3,
  host: "switcher",
  vcpu: "pda",
  spaces: "separate",
  pageOffset: "same",
  selectors: "own",
  hypercall: "syscall",
  mmu: "kvm",
  interruptFlag: "shared-word",
  events: "through-host",
  smp: "threads",
}

/** And on i386: lguest as it was in Linux. */
export const LGUEST: Choices = {
  arch: "i386",
  ring: 1,
  host: "switcher-behind-limits",
  vcpu: "known-address",
  spaces: "one",
  pageOffset: "same",
  selectors: "switched",
  hypercall: "interrupt",
  mmu: "throw-away",
  interruptFlag: "shared-word",
  events: "straight",
  smp: "one",
}

/** The design of a guest for which none is named. */
export const defaultChoices = (arch: Arch): Choices => (arch === "x86_64" ? LGUEST64 : LGUEST)
