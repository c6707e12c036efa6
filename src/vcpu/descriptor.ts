import { at, struct } from "../machine/layout.ts"

/*
 * S:070 And what the pointer points at. This is the proposal's descriptor, and Rusty's answer to it in one: "use a
 * read-only page for this code, and a rw page to save & restore state".
 *
 * Two pages for each virtual CPU, side by side in the fixed area. The first is writable for the host alone: while the
 * guest runs it is mapped read-only, so that not even code at ring 0 which the guest tricked could change where the
 * host goes on. It begins with the VCPU descriptor, which assembly examines and which is therefore compact. The second
 * is writable in both worlds: the guest's registers, on top of which the processor pushes what it interrupted. What the
 * switcher loads at ring 0 (CR3, the bases) is on the first, since a kernel at ring 1 can write to the second while it runs.
 */
export const VCPU = struct(
  "vcpu",
  "VCPU",
  0x1000,
  "VCPU descriptor and the host's saved state (read-only for guests)",
  {
    systemCall: at(0x00, 8, "where SYSCALL goes while this guest runs"),
    trap: at(0x08, 8, "where exceptions and interrupts go while this guest runs"),
    state: at(0x10, 8, "the state page"),
    stackTop: at(0x18, 8, "end of the state page: RSP0 while this guest runs"),
    guest: at(0x20, 8, "number of the guest in its module, for debuggers"),
    hostRsp: at(0x28, 8, "the host's stack while the guest runs"),
    hostCr3: at(0x30, 8, "the host's page tables while the guest runs"),
    index: at(0x38, 4, "which virtual CPU of its guest this is"),
    enter: at(0x40, 8, "the switcher that takes this guest in: its task calls it"),
    frame: at(0x48, 8, "the saved registers in the direct map, where all of the host is mapped"),
    gdtr: at(0x50, 1, "the GDT while this guest runs (limit, base), where selectors are switched", 10),
    idtr: at(0x60, 1, "the IDT that belongs to it", 10),
    cr3: at(0x70, 8, "root of the shadow page tables to run on"),
    fsBase: at(0x78, 8, "the guest's FS base"),
    gsBase: at(0x80, 8, "the guest's GS base"),
  },
)

/** Vector that the state page shows for SYSCALL, which has none of its own. */
export const SYSCALL_EVENT = 0x100

/**
 * S:080 The page that both worlds may write to, laid out from its end: RSP0 points behind its last byte, so what the
 * processor pushes when it leaves the Guest falls into the very fields in which we want it. Nobody copies a frame.
 *
 * The state page; the registers end where it ends, in the order in which the entry code pushes them.
 */
export const VCPU_STATE = struct(
  "vcpu_state",
  "STATE",
  0x1000,
  "a virtual CPU's state page (writable in both worlds)",
  {
    flush: at(0x00, 4, "not 0: load CR3 on the way in even if it is the same; the switcher clears it"),
    userRsp: at(0x08, 8, "%rsp of the code that made SYSCALL, where the PDA is not mapped"),
    regs: at(0xf50, 8, "%r15: the first of the saved registers", 1),
    r14: at(0xf58, 8, "%r14"),
    r13: at(0xf60, 8, "%r13"),
    r12: at(0xf68, 8, "%r12"),
    rbp: at(0xf70, 8, "%rbp"),
    rbx: at(0xf78, 8, "%rbx"),
    r11: at(0xf80, 8, "%r11"),
    r10: at(0xf88, 8, "%r10"),
    r9: at(0xf90, 8, "%r9"),
    r8: at(0xf98, 8, "%r8"),
    rax: at(0xfa0, 8, "%rax"),
    rcx: at(0xfa8, 8, "%rcx"),
    rdx: at(0xfb0, 8, "%rdx"),
    rsi: at(0xfb8, 8, "%rsi"),
    rdi: at(0xfc0, 8, "%rdi"),
    vector: at(0xfc8, 8, "vector of the event, or SYSCALL_EVENT"),
    error: at(0xfd0, 8, "its error code, or 0"),
    rip: at(0xfd8, 8, "%rip"),
    cs: at(0xfe0, 8, "%cs"),
    rflags: at(0xfe8, 8, "%rflags"),
    rsp: at(0xff0, 8, "%rsp"),
    ss: at(0xff8, 8, "%ss"),
  },
)
