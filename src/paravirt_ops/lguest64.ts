import { at, struct } from "../machine/layout.ts"

/*
 * P:170 Last, the treaty. Between Guest and Host there is a list of requests, the hypercalls, and a page of memory that
 * both can see; the rest of the Guest's life is the Guest's own affair. Read the names: you now know enough to guess at
 * most of them.
 *
 * The contract between an x86_64 guest and the lguest64 module, in one place. docs/abi-x86_64.md tells it in prose,
 * guests/include/lguest64_abi.h is generated from it (npm run guests).
 *
 * It follows lguest's i386 ABI where it can: the same hypercall numbers for the same requests, the same ring of
 * asynchronous calls, the same interrupt words. What x86_64 adds is numbered from 32.
 *
 * That was the country from above. If you feel refreshed rather than tired, put on your boots: `lguest64 journey
 * Guest`.
 */

/** Hypercalls: number in %rax; arguments in %rdi, %rsi, %rdx, %r10, %r8; result in %rax; %rcx and %r11 are lost. */
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
  SEND_INTERRUPTS: 19,
  IRET: 32,
  SET_SYSCALL: 33,
  SET_BASE: 34,
  SET_PUD: 35,
  FLUSH_TLB_ADDR: 36,
  VCPU_UP: 37,
  SEND_IPI: 38,
  YIELD: 39,
  IRQ_FLAGS: 40,
  IRQ_DISABLE: 41,
  IRQ_ENABLE: 42,
  MMU_UPDATE: 43,
} as const

export type LhcallName = keyof typeof LHCALL

/** SHUTDOWN's second argument. */
export const SHUTDOWN_POWEROFF = 1
export const SHUTDOWN_RESTART = 2

/** SET_BASE's first argument. */
export const BASE_FS = 0
export const BASE_GS_KERNEL = 1
export const BASE_GS_USER = 2

/** Selectors that a guest runs with; all DPL 3, and the host tells kernel from user by its own record, not by these. */
export const GUEST_KERNEL_CS = 0x53
export const GUEST_KERNEL_DS = 0x5b
export const GUEST_USER_CS = 0x6b
export const GUEST_USER_DS = 0x63
/** In place of the first two for a kernel at ring 1. */
export const GUEST_RING1_CS = 0x71
export const GUEST_RING1_DS = 0x79
/** Those of the bare machine, for designs in which they are switched with the world; the ring is or-ed in. */
export const NATIVE_KERNEL_CS = 0x10
export const NATIVE_KERNEL_DS = 0x18
export const NATIVE_USER_DS = 0x2b
export const NATIVE_USER_CS = 0x33

/**
 * What the guest's kernel has to know of the design that it runs in, before its first hypercall: hardware_subarch_data of
 * boot_params, a 64-bit word. A guest that knows only the default design may ignore it if it is 0.
 */
export const DESIGN_WORD = {
  /** Bits 0..3: how hypercalls are made. */
  HYPERCALL_SHIFT: 0,
  /** Bits 4..7: where the interrupt flag is. */
  FLAG_SHIFT: 4,
  /** Mask of either, shifted down. */
  FIELD_MASK: 15,
  /** Bit 8: the selectors are those of the bare machine, with the ring as RPL. */
  NATIVE_SELECTORS: 0x100,
  /** Bit 9: the kernel runs at ring 1. */
  RING_1: 0x200,
  /** Bit 10: page-table entries hold machine frames; the first of the guest's is in bits 32..63. */
  MACHINE_FRAMES: 0x400,
  /** Bits 16..24: PML4 slot to which the guest moves its direct map; 0: it stays where it is. */
  SLOT_SHIFT: 16,
  SLOT_MASK: 0x1ff,
} as const

/** How hypercalls are made: by SYSCALL with the flag, by INT HYPERCALL_VECTOR, by a call of CALL_HYPERCALL in the call page. */
export const HYPERCALL_SYSCALL = 0
export const HYPERCALL_INTERRUPT = 1
export const HYPERCALL_CALL_PAGE = 2

/** Where the interrupt flag is: irqEnabled of the shared page, the host's (IRQ_ hypercalls), VIF, or the ROM's (calls). */
export const FLAG_SHARED_WORD = 0
export const FLAG_HYPERCALL = 1
export const FLAG_PVI = 2
export const FLAG_ROM = 3

export const HYPERCALL_VECTOR = 0x1f

/**
 * The call page: code of the host's that a guest's kernel calls, at this offset of the host's slot (0xffffff0000080000). Its
 * functions begin CALL_STRIDE bytes apart. CALL_HYPERCALL has the registers of a hypercall. The others are the ROM's
 * interrupt flag: they return and take it (bit 9) in %eax, and lose no other register.
 */
export const CALL_PAGE_OFFSET = 0x80000
export const CALL_STRIDE = 64
export const CALL_HYPERCALL = 0
export const CALL_SAVE_FLAGS = 1
export const CALL_RESTORE_FLAGS = 2
export const CALL_IRQ_DISABLE = 3
export const CALL_IRQ_ENABLE = 4

/** The page behind the call page, in designs whose interrupt flag is the ROM's: one for each virtual CPU. */
export const ROM_DATA = struct("lguest64_rom", "LGV", 0x1000, "the virtual CPU that the call page's code keeps", {
  irqEnabled: at(0x000, 4, "bit 9 as in EFLAGS: virtual interrupts may be delivered"),
  irqPending: at(0x004, 4, "host sets 1 when an interrupt waits for irqEnabled"),
})

/** Vector of virtual interrupt 0 (the clock event); 1..31 are the launcher's devices; 31 is the IPI. */
export const FIRST_EXTERNAL_VECTOR = 32
export const LGUEST_IRQS = 32
export const IRQ_TIMER = 0
export const IRQ_IPI = 31

/** Entries of the asynchronous ring; status bytes. */
export const HCALL_RING_SIZE = 64
export const HCALL_FREE = 0xff
export const HCALL_PENDING = 0

/** Virtual addresses from here to HOST_END belong to the host: PML4 slot 510. */
export const HOST_PML4_SLOT = 510

/**
 * The per-VCPU shared page, in guest memory, 4096-byte aligned, mapped by the guest where its kernel alone reaches it.
 * Everything in it is written by the guest at will: hostile until checked.
 */
export const LGUEST_SHARED = struct(
  "lguest64_shared",
  "LGS",
  0x1000,
  "the page that a guest's virtual CPU shares with its host",
  {
    hypercallFlag: at(0x000, 4, "guest sets 1 before SYSCALL to mean a hypercall; the host clears it"),
    irqEnabled: at(0x004, 4, "bit 9 as in EFLAGS: virtual interrupts may be delivered"),
    irqPending: at(0x008, 4, "host sets 1 when an interrupt waits for irqEnabled"),
    vcpuCount: at(0x00c, 4, "virtual CPUs that this guest may bring up, itself included; host writes it"),
    blockedInterrupts: at(0x010, 4, "bitmap of virtual interrupts 0..31 that the guest has masked"),
    tscKhz: at(0x014, 4, "rate of RDTSC, kHz; host writes it at LGUEST_INIT"),
    cr2: at(0x018, 8, "address of the last page fault delivered"),
    timeSec: at(0x020, 8, "wall clock at the last LGUEST_INIT or clock event, seconds since 1970"),
    timeNsec: at(0x028, 8, "nanoseconds of it"),
    noirqStart: at(0x030, 8, "no interrupt is delivered while RIP is in [noirqStart, noirqEnd)"),
    noirqEnd: at(0x038, 8, "end of that range"),
    kernelAddress: at(
      0x040,
      8,
      "where the guest's kernel space begins, for whoever looks at it; the host does not depend on it",
    ),
    reservedStart: at(0x048, 8, "first address of the host's range; host writes it at LGUEST_INIT"),
    reservedEnd: at(0x050, 8, "last address of the host's range"),
    vcpuIndex: at(0x058, 4, "index of this virtual CPU; host writes it"),
    abiVersion: at(0x05c, 4, "1; host writes it at LGUEST_INIT"),
    hcallStatus: at(0x080, 1, "0xff free or done, 0 pending", 64),
    hcalls: at(0x100, 8, "64 x { number, arg0..arg4 }", 64 * 6),
  },
)

/** What the host pushes on the guest kernel's stack at a reflected system call; lowest address first. */
export const GUEST_REGS = struct("lguest64_regs", "LGR", 21 * 8, "registers of the interrupted guest user", {
  r15: at(0x00, 8, "%r15"),
  r14: at(0x08, 8, "%r14"),
  r13: at(0x10, 8, "%r13"),
  r12: at(0x18, 8, "%r12"),
  rbp: at(0x20, 8, "%rbp"),
  rbx: at(0x28, 8, "%rbx"),
  r11: at(0x30, 8, "%r11: the user's flags, as SYSCALL leaves them"),
  r10: at(0x38, 8, "%r10"),
  r9: at(0x40, 8, "%r9"),
  r8: at(0x48, 8, "%r8"),
  rax: at(0x50, 8, "%rax: for a system call its number"),
  rcx: at(0x58, 8, "%rcx: the user's return address, as SYSCALL leaves it"),
  rdx: at(0x60, 8, "%rdx"),
  rsi: at(0x68, 8, "%rsi"),
  rdi: at(0x70, 8, "%rdi"),
  origRax: at(0x78, 8, "the system call's number again"),
  rip: at(0x80, 8, "the user's return address"),
  cs: at(0x88, 8, "GUEST_USER_CS"),
  rflags: at(0x90, 8, "the user's flags"),
  rsp: at(0x98, 8, "the user's stack"),
  ss: at(0xa0, 8, "GUEST_USER_DS"),
})

/** What hypercall IRET takes from the guest's stack (%rsp at the SYSCALL); lowest address first. */
export const IRET_FRAME = struct("lguest64_iret", "LGI", 8 * 8, "frame of hypercall IRET", {
  rax: at(0x00, 8, "restored to %rax"),
  r11: at(0x08, 8, "restored to %r11"),
  rcx: at(0x10, 8, "restored to %rcx"),
  rip: at(0x18, 8, "where to go on"),
  cs: at(0x20, 8, "GUEST_KERNEL_CS or GUEST_USER_CS: decides which"),
  rflags: at(0x28, 8, "IF goes to irqEnabled; IOPL, NT, VM, RF are ignored"),
  rsp: at(0x30, 8, "stack"),
  ss: at(0x38, 8, "ignored; the selector that belongs to cs is used"),
})
