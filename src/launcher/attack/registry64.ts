import { LHCALL } from "../../paravirt_ops/lguest64.ts"
import type { Attack } from "./registry.ts"

/* The attacks on x86_64 designs: the programs of guests/attacks/x86_64.S. */

type Rest = Omit<Attack, "name" | "arch" | "side" | "text" | "entry"> & { readonly entry?: string }

const attack = (side: Attack["side"], name: string, text: string, rest: Rest = {}): Attack => ({
  name,
  arch: "x86_64",
  side,
  text,
  entry: `attack_${name.replaceAll("-", "_")}`,
  ...rest,
})
const kernel = (name: string, text: string, rest?: Rest) => attack("kernel", name, text, rest)
const user = (name: string, text: string, rest?: Rest) => attack("user", name, text, rest)

/** Of hypercalls.S: those that there are, and three that there are not. */
const NUMBERS = Object.keys(LHCALL).length + 3
const CLASSES = 16
/** stacks.S. */
const PLACES = 16

const READ_ACROSS = "read the host's text by a load that begins below it"
const WRITE_ACROSS = "wrote to the host's text by a store that begins below it"
const ACROSS = { 1: READ_ACROSS, 2: WRITE_ACROSS, 3: WRITE_ACROSS, 4: READ_ACROSS, 5: WRITE_ACROSS }
/** process.S. */
const ROM = {
  1: "read the ROM's interrupt flag",
  2: "wrote the ROM's interrupt flag",
  3: "called the ROM's save_flags",
  4: "called the ROM's irq_disable",
  5: "called the ROM's restore_flags",
}

export const attacks64: ReadonlyArray<Attack> = [
  kernel("write-switcher", "writes to the text of entry code and Switcher"),
  user("user-write-switcher", "the same as a process"),
  kernel("read-fixed-area", "reads the pages that both worlds have mapped"),
  user("user-read-fixed-area", "the same as a process"),
  kernel("write-fixed-area", "writes there"),
  user("user-write-fixed-area", "the same as a process"),
  kernel("read-direct-map", "reads host and other guests through the host's direct map"),
  user("user-read-direct-map", "the same as a process"),
  kernel("write-direct-map", "writes there"),
  user("user-write-direct-map", "the same as a process"),
  kernel("leftover-registers", "looks for what world switches leave in registers"),

  kernel("pte-host-frame", "maps frames of others by a page-table entry", { variants: 9 }),
  kernel("huge-page-straddle", "maps 2 MiB across the end of its memory"),
  kernel("pdpt-gigabyte", "maps 1 GiB"),
  kernel("reserved-bits", "sets reserved bits in entries", { variants: 51 }),
  kernel("own-host-slot", "fills the host's slot of its PML4"),
  kernel("reach-shadow", "looks for the shadows through a table that maps itself"),
  kernel("table-race", "changes an entry while the host looks at it", { vcpus: 2, seeds: 3, variants: 2 }),
  kernel("upper-table-race", "changes a table into a huge page while the host looks at it", { vcpus: 2, seeds: 4 }),
  kernel("iret-race", "changes a return frame while the host reads it", { vcpus: 2, seeds: 4 }),
  kernel("table-exhaustion", "has page tables without end", { shadowLimit: 128, limit: 60_000_000 }),

  user("user-read-kernel", "reads its kernel's memory"),
  user("user-write-kernel", "writes there"),
  user("user-hypercall", "makes hypercalls by every door", { variants: 2 }),
  user("user-rom-flag", "turns its kernel's interrupts off in the ROM", { through: ROM }),
  user("stale-tlb", "uses a translation after it has been taken back", { variants: 3 }),
  user("stale-tlb-two", "the same from another virtual CPU", { vcpus: 2, seeds: 4 }),

  kernel("hypercall-arguments", "makes every hypercall with every kind of wrong address", {
    variants: NUMBERS * CLASSES,
    limit: 100_000,
  }),
  kernel("vcpu-up-arguments", "starts a virtual CPU at every kind of wrong address", {
    vcpus: 2,
    variants: 3 * CLASSES,
  }),
  kernel("hypercall-storm", "makes hypercalls for ever"),
  kernel("ring-storm", "keeps the asynchronous ring full"),
  kernel("ring-race", "refills it from another virtual CPU", { vcpus: 2, seeds: 4 }),
  kernel("ipi-storm", "interrupts two virtual CPUs by each other for ever", { vcpus: 2, seeds: 2 }),
  kernel("clock-storm", "sets a clock event for each nanosecond"),
  kernel("halt-deaf", "halts with interrupts off"),
  kernel("halt-deaf-two", "halts so on one virtual CPU, and spins so on another", { vcpus: 2 }),
  kernel("spin-deaf", "spins with interrupts off"),

  user("set-stack-host", "has the host push an event's frame into the host", { variants: PLACES * 2 }),
  kernel("rsp-host", "has its stack in the host when something happens", { variants: PLACES * 7 }),
  user("user-rsp-host", "the same as a process", { variants: PLACES * 6 }),
  kernel("noncanonical-return", "returns to addresses that are not canonical", { variants: 9 }),
  kernel("iret-selectors", "returns to every selector", { variants: 0x90 }),
  kernel("iret-flags", "returns with flags that are the host's", { variants: 10 }),

  kernel("privileged-instructions", "executes what is the host's alone"),
  user("user-privileged-instructions", "the same as a process"),
  kernel("far-transfers", "loads every selector, and jumps to it", { limit: 10_000_000 }),
  user("user-far-transfers", "the same as a process", { limit: 10_000_000 }),
  kernel("ldt-gate", "has a call gate where an empty LDTR points"),
  kernel("idt-host-vector", "has a handler for a vector of the host's", { variants: 12 }),
  kernel("software-interrupts", "raises every vector by INT"),
  user("user-software-interrupts", "the same as a process"),
  kernel("swapgs-games", "confuses the host about GS, under NMIs", {
    nmis: true,
    through: { 1: "executed SWAPGS", 2: READ_ACROSS, 3: "read the host's text by way of GS", 4: "executed SWAPGS" },
  }),
  kernel("base-in-host", "has a segment base in the host", { variants: 18, nmis: true }),

  user("edge-immediate", "reads another page as an instruction's operand"),
  kernel("edge-access", "reads, writes and jumps across the edge to the host", { through: ACROSS }),
  user("user-edge-access", "the same as a process", { through: ACROSS }),
  user("stale-text", "runs text that has been changed or taken back"),
  kernel("single-step", "steps across the switch"),
  kernel("nmi-everywhere", "an NMI at every instruction of the switch", { entry: "attack_doors", strike: "nmi" }),
  kernel("interrupt-everywhere", "an interrupt at every instruction of the switch", {
    entry: "attack_doors",
    strike: "interrupt",
  }),

  kernel("forge-pda", "puts a descriptor of its own into the PDA"),
  kernel("forge-descriptor", "puts functions of its own into its VCPU descriptor"),
  kernel("forge-tss", "takes the host's stack away"),
  kernel("forge-idt", "puts a gate of its own into the IDT"),
  kernel("forge-gdt", "puts a call gate into the GDT"),
  kernel("meltdown", "reads the host by a load that is denied late", { lateChecks: true }),
  user("user-meltdown", "reads host and kernel so, as a process", { lateChecks: true }),
  user("meltdown-fixed-area", "reads so what both worlds have mapped", { lateChecks: true, limit: 20_000_000 }),

  kernel("forge-state", "writes nonsense to its state page"),
]
