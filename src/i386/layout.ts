import { at, struct } from "../machine/layout.ts"
import {
  GDT_ENTRIES,
  GDT_KERNEL_CS,
  GDT_KERNEL_DS,
  GDT_LGUEST_CS,
  GDT_LGUEST_DS,
  GDT_TSS,
  GDT_USER_CS,
  GDT_USER_DS,
  SWITCHER_ADDR,
} from "../paravirt_ops/lguest.ts"

/*
 * Where the i386 host lives. Below its PAGE_OFFSET are host processes, above is a direct map of the host's own memory, and
 * the last 4 MiB are the Switcher's: the only addresses that mean the same in the host's page tables and in every guest's.
 */

/** Virtual address of physical address 0 in the direct map, where Linux has it: most guests have their own there. */
export const PAGE_OFFSET = 0xc000_0000
/**
 * And where it lies in designs in which the host moves: 12 MiB below the Switcher, which the host's own memory just fills,
 * above whatever a guest's kernel maps. Those who map it into guests' tables need it there.
 */
export const MOVED_PAGE_OFFSET = 0xff00_0000

/** Physical addresses. */
export const TEXT_PA = 0x10_0000
export const GATE_PA = 0x11_0000
/** From here on frames are allocated. */
export const FREE_PA = 0x12_0000

/** Pages of the Switcher's text; two pages for each processor follow. */
export const SWITCHER_TEXT_PAGES = 2
export const SWITCHER_PAGES_ADDR = SWITCHER_ADDR + SWITCHER_TEXT_PAGES * 4096
/** The text of its sibling that leaves the host mapped: as many pages, further up. */
export const MAPPED_SWITCHER_ADDR = SWITCHER_ADDR + 0x1_0000

/** The host's selectors. Its GDT has the same numbers as a guest's, and the Switcher relies on that for three of them. */
export const KERNEL_CS = GDT_KERNEL_CS << 3
export const KERNEL_DS = GDT_KERNEL_DS << 3
export const USER_CS = (GDT_USER_CS << 3) | 3
export const USER_DS = (GDT_USER_DS << 3) | 3
export const TSS_SELECTOR = GDT_TSS << 3
export const LGUEST_CS = GDT_LGUEST_CS << 3
export const LGUEST_DS = GDT_LGUEST_DS << 3
const GDT_PERCPU = 27
export const PERCPU_SELECTOR = GDT_PERCPU << 3
export const IDT_ENTRIES = 256

/** Where the 8259 pair's vectors begin; its line 0 is the 8254. */
export const PIC_VECTOR = 0x20
/** The lines 7 of master and slave are also what a request that vanished looks like. */
export const SPURIOUS_MASTER = PIC_VECTOR + 7
export const SPURIOUS_SLAVE = PIC_VECTOR + 15

/** What a processor finds at %fs:0 while the host runs on it. */
export const PERCPU = struct("percpu", "PERCPU", 0x20, "a processor's own data", {
  current: at(0x00, 4, "the current task"),
  tss: at(0x04, 4, "this processor's TSS"),
  needResched: at(0x08, 4, "set by gates: another task should run"),
  pages: at(0x0c, 4, "this processor's two pages in the Switcher's range"),
  cpu: at(0x10, 4, "index of this processor"),
})

/** A processor's page: its data, its tables. Offsets within the page. */
export const CPU_PERCPU = 0x000
export const CPU_TSS = 0x080
export const CPU_GDT = 0x100
export const CPU_IDT = 0x800

/** A task as assembly sees it. */
export const TASK = struct("task", "TASK", 0x20, "a task of the host", {
  esp: at(0x00, 4, "kernel stack pointer while it does not run"),
  stackTop: at(0x04, 4, "top of the kernel stack"),
  cr3: at(0x08, 4, "page tables"),
  vcpu: at(0x0c, 4, "virtual CPU that it runs, or NULL"),
  pid: at(0x10, 4, "number"),
})

/** A virtual CPU as assembly sees it; for the host alone. */
export const VCPU = struct("vcpu", "VCPU", 0x20, "a virtual CPU of a guest", {
  root: at(0x00, 4, "CR3 to enter the guest with: the root of its shadow page tables"),
  taskSwitched: at(0x04, 4, "nonzero: the guest runs with CR0.TS set"),
  cr2: at(0x08, 4, "CR2 as the guest left it"),
  regs: at(0x0c, 4, "its registers' page"),
  stale: at(0x10, 4, "nonzero: the TLB may hold what is no longer in the shadow (asked where the host stays mapped)"),
  entry: at(0x14, 4, "the Switcher's way in, as a far pointer: offset"),
  entryCs: at(0x18, 2, "and selector"),
})

/** What lies on a task's kernel stack after an entry, lowest address first; esp and ss only after one from ring 3. */
export const FRAME = struct("frame", "FRAME", 18 * 4, "registers of the interrupted code", {
  gs: at(0x00, 4, "%gs; as of all segment registers here, only the low half counts"),
  fs: at(0x04, 4, "%fs"),
  es: at(0x08, 4, "%es"),
  ds: at(0x0c, 4, "%ds"),
  ebx: at(0x10, 4, "%ebx"),
  ecx: at(0x14, 4, "%ecx"),
  edx: at(0x18, 4, "%edx"),
  esi: at(0x1c, 4, "%esi"),
  edi: at(0x20, 4, "%edi"),
  ebp: at(0x24, 4, "%ebp"),
  eax: at(0x28, 4, "%eax"),
  vector: at(0x2c, 4, "vector"),
  error: at(0x30, 4, "error code or 0"),
  eip: at(0x34, 4, "%eip"),
  cs: at(0x38, 4, "%cs"),
  eflags: at(0x3c, 4, "%eflags"),
  esp: at(0x40, 4, "%esp"),
  ss: at(0x44, 4, "%ss"),
})

/** 32-bit TSS (SDM vol. 3, 8.2.1). */
export const TSS = struct("tss", "TSS", 0x68, "32-bit task-state segment", {
  esp0: at(0x04, 4, "stack for ring 0"),
  ss0: at(0x08, 2, "its segment"),
  esp1: at(0x0c, 4, "stack for ring 1"),
  ss1: at(0x10, 2, "its segment"),
  ioMapBase: at(0x66, 2, "offset of the I/O bitmap; past the limit: none"),
})

/**
 * The guest's registers: the last words of the first of a processor's two pages. The Switcher pops them to enter the
 * guest; TSS.ESP0 is their end, so whatever happens in the guest pushes its frame where the frame belongs.
 */
export const REGS = struct("lguest_regs", "REGS", 18 * 4, "a guest's registers", {
  eax: at(0x00, 4, "%eax"),
  ebx: at(0x04, 4, "%ebx"),
  ecx: at(0x08, 4, "%ecx"),
  edx: at(0x0c, 4, "%edx"),
  esi: at(0x10, 4, "%esi"),
  edi: at(0x14, 4, "%edi"),
  ebp: at(0x18, 4, "%ebp"),
  gs: at(0x1c, 4, "%gs; as of all segment registers here, only the low half counts"),
  fs: at(0x20, 4, "%fs"),
  ds: at(0x24, 4, "%ds"),
  es: at(0x28, 4, "%es"),
  trapNumber: at(0x2c, 4, "vector of the event, or TRAP_IN_SWITCHER"),
  errorCode: at(0x30, 4, "its error code or 0"),
  eip: at(0x34, 4, "%eip"),
  cs: at(0x38, 4, "%cs"),
  eflags: at(0x3c, 4, "%eflags"),
  esp: at(0x40, 4, "%esp"),
  ss: at(0x44, 4, "%ss"),
})

/** Trap number that no processor has: the Switcher itself faulted on its way into the guest. */
export const TRAP_IN_SWITCHER = 256
/** The same for a fault of its IRET, whose frame is pushed on top of the trap number: the Switcher's %cs lies there. */
export const TRAP_IN_IRET = LGUEST_CS

/** Offset of the registers in their page. */
export const REGS_OFFSET = 4096 - REGS.size

/**
 * S:150 Now the elder one, lguest's own, on i386. It lies at 0xFFC00000 in the Host's tables and in every Guest's: two
 * pages of text, and for each processor these two. It has no PDA to ask: while a Guest runs the processor has other
 * tables, so whatever comes in by the Switcher's stubs came from a Guest. Elegant, as long as there are segment limits
 * to hide behind; and, as it turned out, without them too (S:190).
 *
 * A processor's two pages as the Switcher sees them through one pointer. The first is the registers' page of whichever
 * guest runs (in the host's own tables: an empty page). The second is writable for the host and read-only in guests'
 * tables.
 */
export const PAGES = struct("lguest_pages", "PAGES", 0x2000, "a processor's two pages in the Switcher's range", {
  regs: at(REGS_OFFSET, REGS.size, "struct lguest_regs"),
  hostCr3: at(0x1000, 4, "the host's page tables"),
  hostEsp: at(0x1004, 4, "the host's stack"),
  hostIdtDesc: at(0x100a, 2, "the host's IDT: limit, then base"),
  hostIdtBase: at(0x100c, 4, "its base"),
  hostGdtDesc: at(0x1012, 2, "the host's GDT: limit, then base"),
  hostGdtBase: at(0x1014, 4, "its base"),
  guestIdtDesc: at(0x101a, 2, "the IDT while a guest runs: limit, then base"),
  guestIdtBase: at(0x101c, 4, "its base"),
  guestGdtDesc: at(0x1022, 2, "the GDT while a guest runs: limit, then base"),
  guestGdtBase: at(0x1024, 4, "its base"),
  guestTss: at(0x1040, TSS.size, "the TSS while a guest runs"),
  guestIdt: at(0x1100, 8, "the IDT", IDT_ENTRIES),
  guestGdt: at(0x1900, 8, "the GDT", GDT_ENTRIES),
})

/** The gates of the i386 host, in the order in which they lie in the gate page. */
export const GATES = [
  "hostSystemCall",
  "hostTrap",
  "hostInterrupt",
  "schedule",
  "finishSwitch",
  "vcpuPrepare",
  "vcpuEvent",
  "fatalTrap",
] as const
export type GateName = (typeof GATES)[number]
/** Bytes from one gate to the next. */
export const GATE_STRIDE = 16
