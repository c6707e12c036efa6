import { LHCALL } from "../../paravirt_ops/lguest.ts"
import type { Attack } from "./registry.ts"

/* The attacks on i386 designs: the programs of guests/attacks/i386.S. */

type Rest = Omit<Attack, "name" | "arch" | "side" | "text" | "entry"> & { readonly entry?: string }

const attack = (side: Attack["side"], name: string, text: string, rest: Rest = {}): Attack => ({
  name,
  arch: "i386",
  side,
  text,
  entry: `attack_${name.replaceAll("-", "_")}`,
  ...rest,
})
const kernel = (name: string, text: string, rest?: Rest) => attack("kernel", name, text, rest)
const user = (name: string, text: string, rest?: Rest) => attack("user", name, text, rest)

/** Of tables-32.S: wrong addresses, and hypercalls that there are and three that there are not. */
const CLASSES = 12
const NUMBERS = Object.keys(LHCALL).length + 3
/** segments-32.S. */
const PLACES = 8

export const attacks32: ReadonlyArray<Attack> = [
  kernel("write-switcher", "writes to the Switcher's text"),
  user("user-write-switcher", "the same as a process"),
  kernel("read-fixed-area", "reads the pages that both worlds have mapped"),
  user("user-read-fixed-area", "the same as a process"),
  kernel("write-fixed-area", "writes there"),
  user("user-write-fixed-area", "the same as a process"),
  kernel("thread-local", "reads and writes there by a segment of thread-local storage"),
  kernel("read-direct-map", "reads the host through its direct map"),
  user("user-read-direct-map", "the same as a process"),
  kernel("write-direct-map", "writes there"),
  user("user-write-direct-map", "the same as a process"),

  kernel("pte-host-frame", "maps frames of others by a page-table entry", { variants: 8 }),
  kernel("huge-page-straddle", "maps 4 MiB across the end of its memory"),
  kernel("reserved-bits", "sets reserved bits in a large page's entry", { variants: 20 }),
  kernel("own-host-slot", "fills the host's entries of its directory"),
  kernel("reach-shadow", "looks for the shadows through a directory that maps itself"),
  kernel("table-exhaustion", "has page tables without end", { shadowLimit: 128, limit: 60_000_000 }),

  user("user-read-kernel", "reads its kernel's memory"),
  user("user-write-kernel", "writes there"),
  user("user-hypercall", "makes hypercalls by every door"),
  user("stale-tlb", "uses a translation after it has been taken back", { variants: 3 }),

  kernel("hypercall-arguments", "makes every hypercall with every kind of wrong address", {
    variants: NUMBERS * CLASSES,
    limit: 200_000,
  }),
  kernel("hypercall-storm", "makes hypercalls for ever"),
  kernel("ring-storm", "keeps the asynchronous ring full"),
  kernel("halt-deaf", "halts with interrupts off"),
  kernel("spin-deaf", "spins with interrupts off"),

  kernel("gdt-limits", "asks for segments that reach the host"),
  kernel("gdt-ring-0", "asks for code of ring 0"),
  kernel("gdt-call-gate", "asks for gates and tasks, and for the host's own entries"),
  kernel("far-transfers", "loads every selector, and jumps to it", { limit: 10_000_000 }),
  user("user-far-transfers", "the same as a process", { limit: 10_000_000 }),
  kernel("iret-selectors", "returns to every selector", { variants: 0x110 }),
  kernel("iret-flags", "returns with flags that are the host's", { variants: 9 }),
  kernel("privileged-instructions", "executes what is the host's alone"),
  user("user-privileged-instructions", "the same as a process"),
  kernel("idt-host-vector", "has a handler for a vector of the host's", { variants: 11 }),
  user("user-software-interrupts", "raises every vector by INT"),
  user("set-stack-host", "has the host push an event's frame into the host", { variants: PLACES }),
  kernel("rsp-host", "has its stack in the host when something happens", { variants: PLACES * 5 }),
  kernel("single-step", "steps across the switch"),
  kernel("interrupt-everywhere", "an interrupt at every instruction of the switch", {
    entry: "attack_doors",
    strike: "interrupt",
  }),
  kernel("nmi-everywhere", "an NMI at every instruction of the switch", { entry: "attack_doors", strike: "nmi" }),

  user("user-meltdown", "reads host and kernel by a load that is denied late", { lateChecks: true }),
  user("meltdown-fixed-area", "reads so what both worlds have mapped", { lateChecks: true, limit: 20_000_000 }),

  kernel("forge-idt", "puts a gate of its own into the IDT"),
  kernel("forge-gdt", "puts a call gate into the GDT"),
  kernel("forge-tss", "has ring 0's stack in the host's memory"),
  kernel("forge-state", "writes nonsense to its registers' page"),
]
