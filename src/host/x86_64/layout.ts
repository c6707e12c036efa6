import { at, struct } from "../../machine/layout.ts"

/*
 * H:020 Where does it live? On i386 the question was easy: at the top, behind a fence of segment limits. Here there are
 * no fences but page tables, so what matters is what a Guest's tables contain. The proposal of 2007 kept the whole Host
 * mapped in them, for simplicity; Andi Kleen asked who protects it then. In this design almost nothing is mapped.
 *
 * Where the x86_64 host lives. Low canonical addresses belong to host processes; PML4 slot 272 maps all of memory; slot
 * 510 is the fixed area, the only part of the host that a guest's page tables share.
 */

/** Slot of the direct map: where Linux has it, or (`pageOffset: host-moves`) out of the guests' way. */
export const DIRECT_MAP_SLOT = 272
export const MOVED_DIRECT_MAP_SLOT = 288
/** The address at which a slot of the upper half begins. */
export const slotAddress = (slot: number): bigint => BigInt.asUintN(64, BigInt.asIntN(48, BigInt(slot) << 39n))
/** Virtual address of physical address 0 in the direct map of most hosts. */
export const PAGE_OFFSET = slotAddress(DIRECT_MAP_SLOT)

/** Everything fixed lies in the first 6 MiB of slot 510, so its addresses share the upper half below. */
export const FIXED = 0xffff_ff00_0000_0000n
export const FIXED_HI = 0xffff_ff00
export const FIXED_SLOT = 510

/** Offsets in the fixed area (they are also the low 32 bits of the addresses). */
export const TEXT_OFFSET = 0x000000
export const TEXT_PAGES = 4
export const GATE_OFFSET = 0x010000
/** `vcpu: known-address`: a page of zeros for the host, a virtual CPU's descriptor for its guest; its state page follows. */
export const KNOWN_OFFSET = 0x090000
export const CPU_OFFSET = 0x100000
export const CPU_PAGES = 0x10
/** Pages of a processor's area. */
export const CPU_GDT = 0
export const CPU_IDT = 1
export const CPU_TSS = 2
export const CPU_PDA = 3
/** Stacks of the IST: NMI, double fault, machine check. */
export const CPU_IST = 4
/** GDTs and IDT while a guest runs that has the bare machine's selectors. */
export const CPU_GUEST_GDT = 7
export const CPU_GUEST_IDT = 8
/** Those that are used, and the processors that there is room for below the virtual CPUs' pages. */
export const CPU_USED = CPU_GUEST_IDT + 1
export const MAX_CPUS = 16
export const VCPU_OFFSET = 0x200000
/** Two pages each, up to the tasks. */
export const VCPU_SLOTS = 256
/** `vcpu: task`: a page for each task, by its number. */
export const TASK_OFFSET = 0x400000
/** A page table maps that much; those of the fixed area begin at its multiples. */
export const TABLE_BYTES = 0x200000
export const FIXED_TABLES = 3

/** Physical addresses. */
export const TEXT_PA = 0x100000
export const GATE_PA = 0x110000
export const CALL_PAGE_PA = 0x112000
/** Nobody ever writes to it. */
export const ZERO_PA = 0x113000
/** From here on frames are allocated. */
export const FREE_PA = 0x120000

/** The host's selectors; guests' are in paravirt_ops/lguest64.ts. */
export const KERNEL_CS = 0x10
export const KERNEL_DS = 0x18
export const USER32_CS = 0x23
export const USER_DS = 0x2b
export const USER_CS = 0x33
export const TSS_SELECTOR = 0x40
/**
 * Ring 0 once more, by numbers that it has in all GDTs: SYSCALL and the gates of a guest with the bare machine's selectors
 * lead to these, so that what is interrupted between two GDTs can be returned to in either.
 */
export const SWITCHER_CS = 0x80
export const SWITCHER_DS = 0x88
export const GDT_ENTRIES = 18

/** Interrupt vectors of the host's own, all from its local APIC. */
export const TIMER_VECTOR = 0xef
export const RESCHEDULE_VECTOR = 0xfd
export const SPURIOUS_VECTOR = 0xff

/** 64-bit TSS (SDM vol. 3, 8.7). */
export const TSS = struct("tss", "TSS", 0x68, "64-bit task-state segment", {
  rsp0: at(0x04, 8, "stack for ring 0"),
  rsp1: at(0x0c, 8, "stack for ring 1"),
  rsp2: at(0x14, 8, "stack for ring 2"),
  ist: at(0x24, 8, "interrupt stacks 1 to 7", 7),
  ioMapBase: at(0x66, 2, "offset of the I/O bitmap; past the limit: none"),
})

/** A task as assembly sees it. */
export const TASK = struct("task", "TASK", 0x40, "a task of the host", {
  rsp: at(0x00, 8, "kernel stack pointer while it does not run"),
  stackTop: at(0x08, 8, "top of the kernel stack"),
  cr3: at(0x10, 8, "page tables"),
  vcpu: at(0x18, 8, "VCPU descriptor that it runs, or NULL; context switch copies it into the PDA"),
  pid: at(0x20, 4, "number"),
})

/** What lies on a task's kernel stack after an entry from user mode, lowest address first. */
export const FRAME = struct("frame", "FRAME", 22 * 8, "registers of the interrupted code", {
  r15: at(0x00, 8, "%r15"),
  r14: at(0x08, 8, "%r14"),
  r13: at(0x10, 8, "%r13"),
  r12: at(0x18, 8, "%r12"),
  rbp: at(0x20, 8, "%rbp"),
  rbx: at(0x28, 8, "%rbx"),
  r11: at(0x30, 8, "%r11"),
  r10: at(0x38, 8, "%r10"),
  r9: at(0x40, 8, "%r9"),
  r8: at(0x48, 8, "%r8"),
  rax: at(0x50, 8, "%rax"),
  rcx: at(0x58, 8, "%rcx"),
  rdx: at(0x60, 8, "%rdx"),
  rsi: at(0x68, 8, "%rsi"),
  rdi: at(0x70, 8, "%rdi"),
  vector: at(0x78, 8, "vector, or SYSCALL_EVENT"),
  error: at(0x80, 8, "error code or 0"),
  rip: at(0x88, 8, "%rip"),
  cs: at(0x90, 8, "%cs"),
  rflags: at(0x98, 8, "%rflags"),
  rsp: at(0xa0, 8, "%rsp"),
  ss: at(0xa8, 8, "%ss"),
})

/** The gates of the x86_64 host, in the order in which they lie in the gate page. */
export const GATES = [
  "hostSystemCall",
  "hostTrap",
  "hostInterrupt",
  "hostNmi",
  "schedule",
  "finishSwitch",
  "vcpuPrepare",
  "vcpuEvent",
  "fatalTrap",
  "vcpuResume",
] as const
export type GateName = (typeof GATES)[number]
/** Bytes from one gate to the next. */
export const GATE_STRIDE = 16
