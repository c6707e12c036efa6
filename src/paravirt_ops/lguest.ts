import { at, defines, struct, type Struct } from "../machine/layout.ts"
import {
  CALL_HYPERCALL,
  CALL_IRQ_DISABLE,
  CALL_IRQ_ENABLE,
  CALL_RESTORE_FLAGS,
  CALL_SAVE_FLAGS,
  CALL_STRIDE,
  DESIGN_WORD,
  FLAG_HYPERCALL,
  FLAG_ROM,
  FLAG_SHARED_WORD,
  HYPERCALL_CALL_PAGE,
  HYPERCALL_INTERRUPT,
} from "./lguest64.ts"

/*
 * M:170 And the treaty itself? Compare the two. INT against SYSCALL; a flag in memory against none, because no process
 * may use that INT; one virtual CPU, and no way to name a second. A call page at a known address, as the VMI people had
 * it, would let the Host decide all of that as late as it likes. So there is one too, for designs that want it, and in
 * it the functions of a ROM that keeps the Guest's interrupt flag.
 *
 * The contract between an i386 guest and the lguest module, in one place: Linux's lguest ABI as it stood in Linux 4.x
 * (from 4.1, where `noirq_iret` took the place of the range `noirq_start`..`noirq_end` and virtio moved to PCI, so
 * NOTIFY 17 is gone). docs/abi-i386.md tells it in prose; guests/include/lguest_abi.h is generated from here. What other
 * designs than lguest's need besides is this project's own, numbered as in lguest64.ts; Linux knows nothing of it.
 */

/** Hypercalls: INT 0x1f; number in %eax; arguments in %ebx, %ecx, %edx, %esi; result in %eax. */
export const LHCALL = {
  FLUSH_ASYNC: 0,
  LGUEST_INIT: 1,
  SHUTDOWN: 2,
  NEW_PGTABLE: 4,
  FLUSH_TLB: 5,
  LOAD_IDT_ENTRY: 6,
  SET_STACK: 7,
  TS: 8,
  SET_CLOCKEVENT: 9,
  HALT: 10,
  SET_PMD: 13,
  SET_PTE: 14,
  SET_PGD: 15,
  LOAD_TLS: 16,
  LOAD_GDT_ENTRY: 18,
  SEND_INTERRUPTS: 19,
  IRET: 32,
  IRQ_FLAGS: 40,
  IRQ_DISABLE: 41,
  IRQ_ENABLE: 42,
} as const

export type LhcallName = keyof typeof LHCALL

/** The vector of a hypercall: the highest that no hardware uses. */
export const LGUEST_TRAP_ENTRY = 0x1f

/** SHUTDOWN's second argument. */
export const SHUTDOWN_POWEROFF = 1
export const SHUTDOWN_RESTART = 2

/** The ring of the guest's kernel. */
export const GUEST_PL = 1

/** Entries of the GDT that the guest fills by LOAD_GDT_ENTRY; Linux's numbers for i386. */
export const GDT_ENTRIES = 32
export const GDT_TLS_MIN = 6
export const GDT_TLS_ENTRIES = 3
/** Of these the host keeps its own: the Switcher's code and data, the TSS and the double fault's TSS. */
export const GDT_LGUEST_CS = 10
export const GDT_LGUEST_DS = 11
export const GDT_KERNEL_CS = 12
export const GDT_KERNEL_DS = 13
export const GDT_USER_CS = 14
export const GDT_USER_DS = 15
export const GDT_TSS = 16
export const GDT_LDT = 17
export const GDT_DOUBLEFAULT_TSS = 31

/** Selectors that a guest's kernel starts with, and those that its user is expected to have. */
export const GUEST_KERNEL_CS = (GDT_KERNEL_CS << 3) | GUEST_PL
export const GUEST_KERNEL_DS = (GDT_KERNEL_DS << 3) | GUEST_PL
export const GUEST_USER_CS = (GDT_USER_CS << 3) | 3
export const GUEST_USER_DS = (GDT_USER_DS << 3) | 3

/** Vector of virtual interrupt 0 (the clock event); 1..31 are the launcher's devices. */
export const FIRST_EXTERNAL_VECTOR = 32
export const LGUEST_IRQS = 32
export const IRQ_TIMER = 0
/** The vector of guest system calls unless `syscallVec` says otherwise; Plan 9 uses the other one. */
export const SYSCALL_VECTOR = 0x80
export const SYSCALL_VECTOR_PLAN9 = 0x40

/** Entries of the asynchronous ring; status bytes. */
export const HCALL_RING_SIZE = 64
export const HCALL_FREE = 0xff
export const HCALL_PENDING = 0

/** The Switcher's range begins here, and takes all that is above. */
export const SWITCHER_ADDR = 0xffc00000

/**
 * The call page, in designs that have one: the host's code at a known address, which a guest's kernel calls. Functions begin
 * CALL_STRIDE bytes apart; CALL_HYPERCALL and the four of the ROM's interrupt flag are those of lguest64.ts, at the same
 * places. CALL_IRET is jumped to, with what IRET wants on the stack. From this address on nothing is the guest's then.
 */
export const CALL_PAGE_ADDR = 0xfec00000
export const CALL_IRET = 5

/** The page behind the call page, in designs whose interrupt flag is the ROM's. The guest's kernel can write it: it is its own. */
export const ROM_DATA_ADDR = CALL_PAGE_ADDR + 0x1000
export const ROM_DATA = struct("lguest_rom", "LGUEST_ROM", 0x1000, "the virtual CPU that the call page's code keeps", {
  irqEnabled: at(0x000, 4, "bit 9 as in EFLAGS: virtual interrupts may be delivered"),
  irqPending: at(0x004, 4, "host sets 0x200 when an interrupt waits for irqEnabled"),
})

/**
 * What hypercall IRET takes from %ss:%ebx, lowest address first; the last two only if `cs` is of an outer ring. For designs
 * whose interrupt flag is the host's: nothing else could turn it on and return in one step.
 */
export const IRET_FRAME = struct("lguest_iret", "LGUEST_IRET", 7 * 4, "where the guest goes on", {
  eax: at(0x00, 4, "%eax"),
  ebx: at(0x04, 4, "%ebx"),
  eip: at(0x08, 4, "%eip"),
  cs: at(0x0c, 4, "%cs"),
  eflags: at(0x10, 4, "%eflags; IF is the guest's own"),
  esp: at(0x14, 4, "%esp"),
  ss: at(0x18, 4, "%ss"),
})

/** One entry of the asynchronous ring; the registers of a hypercall in the same order. */
export const HCALL_ARGS = struct("hcall_args", "HCALL", 20, "an asynchronous hypercall", {
  arg0: at(0x00, 4, "number, as in %eax"),
  arg1: at(0x04, 4, "as in %ebx"),
  arg2: at(0x08, 4, "as in %ecx"),
  arg3: at(0x0c, 4, "as in %edx"),
  arg4: at(0x10, 4, "as in %esi"),
})

/**
 * What the guest registers with LGUEST_INIT; anywhere in guest memory, 4-byte aligned. The guest can write all of it at
 * any time: hostile until checked.
 */
export const LGUEST_DATA = struct("lguest_data", "LGUEST_DATA", 0x56c, "what guest and host share", {
  irqEnabled: at(0x000, 4, "0x200 (as in EFLAGS): virtual interrupts may be delivered; 0: not"),
  blockedInterrupts: at(0x004, 4, "bitmap of virtual interrupts 0..31 that the guest has masked"),
  cr2: at(0x008, 4, "address of the last page fault delivered"),
  timeSec: at(0x00c, 4, "wall clock at LGUEST_INIT and at the last interrupt delivered, seconds since 1970"),
  timeNsec: at(0x010, 4, "nanoseconds of it"),
  irqPending: at(0x014, 4, "host sets 0x200 when an interrupt waits for irqEnabled"),
  hcallStatus: at(0x018, 1, "0xff free or done, 0 pending", HCALL_RING_SIZE),
  hcalls: at(0x058, 4, "64 x struct hcall_args", HCALL_RING_SIZE * 5),
  reserveMem: at(
    0x558,
    4,
    "bytes at the top of the address space that are the Switcher's; host writes it at LGUEST_INIT",
  ),
  tscKhz: at(0x55c, 4, "rate of RDTSC, kHz; host writes it at LGUEST_INIT"),
  noirqIret: at(0x560, 4, "address of the one IRET before which no interrupt is pushed; read at LGUEST_INIT"),
  kernelAddress: at(0x564, 4, "where the guest's kernel space begins; read at LGUEST_INIT"),
  syscallVec: at(0x568, 4, "vector of its system calls, 0x80 or 0x40; read at LGUEST_INIT"),
})

/** Constants of the guests' C header, by their C names. */
export const HEADER_CONSTANTS: Readonly<Record<string, number>> = {
  ...Object.fromEntries(Object.entries(LHCALL).map(([name, number]) => [`LHCALL_${name}`, number])),
  LGUEST_TRAP_ENTRY,
  LGUEST_SHUTDOWN_POWEROFF: SHUTDOWN_POWEROFF,
  LGUEST_SHUTDOWN_RESTART: SHUTDOWN_RESTART,
  LGUEST_GUEST_PL: GUEST_PL,
  LGUEST_GDT_ENTRIES: GDT_ENTRIES,
  LGUEST_GDT_TLS_MIN: GDT_TLS_MIN,
  LGUEST_GDT_TLS_ENTRIES: GDT_TLS_ENTRIES,
  LGUEST_GDT_KERNEL_CS: GDT_KERNEL_CS,
  LGUEST_GDT_KERNEL_DS: GDT_KERNEL_DS,
  LGUEST_GDT_USER_CS: GDT_USER_CS,
  LGUEST_GDT_USER_DS: GDT_USER_DS,
  LGUEST_KERNEL_CS: GUEST_KERNEL_CS,
  LGUEST_KERNEL_DS: GUEST_KERNEL_DS,
  LGUEST_USER_CS: GUEST_USER_CS,
  LGUEST_USER_DS: GUEST_USER_DS,
  LGUEST_FIRST_EXTERNAL_VECTOR: FIRST_EXTERNAL_VECTOR,
  LGUEST_IRQS,
  LGUEST_IRQ_TIMER: IRQ_TIMER,
  LGUEST_SYSCALL_VECTOR: SYSCALL_VECTOR,
  LHCALL_RING_SIZE: HCALL_RING_SIZE,
  LHCALL_FREE: HCALL_FREE,
  LHCALL_PENDING: HCALL_PENDING,
  LGUEST_SWITCHER_ADDR: SWITCHER_ADDR,
  ...Object.fromEntries(Object.entries(DESIGN_WORD).map(([name, value]) => [`LGUEST_DESIGN_${name}`, value])),
  LGUEST_HYPERCALL_INTERRUPT: HYPERCALL_INTERRUPT,
  LGUEST_HYPERCALL_CALL_PAGE: HYPERCALL_CALL_PAGE,
  LGUEST_FLAG_SHARED_WORD: FLAG_SHARED_WORD,
  LGUEST_FLAG_HYPERCALL: FLAG_HYPERCALL,
  LGUEST_FLAG_ROM: FLAG_ROM,
  LGUEST_CALL_PAGE: CALL_PAGE_ADDR,
  LGUEST_CALL_STRIDE: CALL_STRIDE,
  LGUEST_CALL_HYPERCALL: CALL_HYPERCALL,
  LGUEST_CALL_SAVE_FLAGS: CALL_SAVE_FLAGS,
  LGUEST_CALL_RESTORE_FLAGS: CALL_RESTORE_FLAGS,
  LGUEST_CALL_IRQ_DISABLE: CALL_IRQ_DISABLE,
  LGUEST_CALL_IRQ_ENABLE: CALL_IRQ_ENABLE,
  LGUEST_CALL_IRET: CALL_IRET,
  LGUEST_ROM_DATA: ROM_DATA_ADDR,
}

/** Structures of the guests' C header. */
export const HEADER_STRUCTS: ReadonlyArray<Struct> = [HCALL_ARGS, LGUEST_DATA, ROM_DATA, IRET_FRAME]

/** `#define` lines for C and assembler alike: the body of guests/include/lguest_abi.h. */
export const headerText = (): string =>
  [
    ...Object.entries(HEADER_CONSTANTS).map(([name, value]) => `#define ${name.padEnd(40)} 0x${value.toString(16)}`),
    "",
    ...HEADER_STRUCTS.map(defines),
  ].join("\n")
