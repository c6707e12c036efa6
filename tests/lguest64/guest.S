/*
 * Little guests for the tests of the lguest64 module, one entry for each. They are linked at -2 GiB + 1 MiB and loaded at
 * 1 MiB; until NEW_PGTABLE they run in the linear view, so everything before `high` is position-independent. The test has
 * laid out the page tables (tests/lguest64/guests.ts); results go to `results`, where the test reads them.
 */
#include "offsets.h"

#define PHYS(x)         ((x) - 0xffffffff80000000)
#define VIRT(x)         (0xffffffff80000000 + (x))
#define SHARED_PA       0x2000
#define SHARED          VIRT(SHARED_PA)
#define RESULTS         VIRT(0x3000)
#define PML4_PA         0x4000
#define STACK_TOP       VIRT(0xb000)
#define EVENT_STACK     VIRT(0xd000)
#define USER_TEXT       0x400000
#define HOST_KERNEL_CS  0x10
#define USER_STACK_TOP  0x602000

        .macro HCALL number, a=$0, b=$0, c=$0
        movq    \a, %rdi
        movq    \b, %rsi
        movq    \c, %rdx
        movl    $\number, %eax
        movl    $1, SHARED + LGS_HYPERCALL_FLAG
        syscall
        .endm

        .macro POWER_OFF status
        HCALL   LHCALL_SHUTDOWN, $PHYS(message), $LGUEST_SHUTDOWN_POWEROFF, $\status
        .endm

/* Stores a register as the next result. */
        .macro RESULT index, register
        movq    \register, RESULTS + 8 * (\index)
        .endm

        .text
        .macro BOOT
        leaq    1f(%rip), %rbp
        jmp     boot
1:
        .endm

/* %rbp: where to go on, in the linear view; it is reached at its high address. */
boot:
        movl    $SHARED_PA, %edi
        movl    $LHCALL_LGUEST_INIT, %eax
        syscall
        movl    $1, SHARED_PA + LGS_HYPERCALL_FLAG
        movl    $PML4_PA, %edi
        movl    $LHCALL_NEW_PGTABLE, %eax
        syscall
        movq    $high, %rax
        jmp     *%rax
high:
        movq    $STACK_TOP, %rsp
        HCALL   LHCALL_SET_BASE, $LGUEST_BASE_GS_KERNEL, $SHARED
        HCALL   LHCALL_SET_STACK, $EVENT_STACK
        HCALL   LHCALL_SET_SYSCALL, $system_call
        movl    $32, %ebx
        xorl    %r12d, %r12d
2:      btl     %r12d, not_ours(%rip)
        jc      3f
        movl    %r12d, %ecx
        shll    $4, %ecx
        leaq    stubs(%rcx), %r13
        HCALL   LHCALL_LOAD_IDT_ENTRY, %r12, %r13, $3
3:      incl    %r12d
        cmpl    %ebx, %r12d
        jb      2b
        HCALL   LHCALL_LOAD_IDT_ENTRY, $LGUEST_FIRST_EXTERNAL_VECTOR, $clock
        HCALL   LHCALL_LOAD_IDT_ENTRY, $128, $int80, $3
        movq    $0xffffffff80000000, %rax
        addq    %rax, %rbp
        jmp     *%rbp
        .balign 4
not_ours:
        .long   1 << 2 | 1 << 8 | 1 << 18

/* Exceptions: vector, then the hardware's frame, go to the results 16 and up; the guest ends with status 200 + vector. */
        .balign 16
stubs:
        .set    n, 0
        .rept   32
        .balign 16
        .if !(n == 8 || (n >= 10 && n <= 14) || n == 17 || n == 21)
        pushq   $0
        .endif
        pushq   $n
        jmp     exception
        .set    n, n + 1
        .endr
        .balign 16
exception:
        .irp    i, 0, 1, 2, 3, 4, 5, 6
        popq    %rax
        RESULT  16 + \i, %rax
        .endr
        movq    SHARED + LGS_CR2, %rax
        RESULT  23, %rax
        movl    RESULTS + 16 * 8, %edx
        addl    $200, %edx
        HCALL   LHCALL_SHUTDOWN, $PHYS(message), $LGUEST_SHUTDOWN_POWEROFF, %rdx

/* A system call: what the host pushed goes to results 32 and up, and back to the process with twice its number. */
        .balign 16
system_call:
        RESULT  30, %rcx
        RESULT  31, %r11
        movq    %rsp, %rsi
        movq    $(RESULTS + 32 * 8), %rdi
        movl    $21, %ecx
        rep movsq
        movl    SHARED + LGS_IRQ_ENABLED, %eax
        RESULT  29, %rax
        movq    %gs:LGS_VCPU_INDEX, %rax
        incq    RESULTS + 28 * 8
        cmpq    $60, LGR_RAX(%rsp)
        je      exit
        addq    $(15 * 8), %rsp           /* orig_rax; rip, cs, rflags, rsp, ss above it */
        movq    (%rsp), %rax
        addq    %rax, %rax
        subq    $16, %rsp                 /* rax, r11, rcx below rip */
        movq    %rax, (%rsp)
        movq    $0x1111, 8(%rsp)
        movq    $0x2222, 16(%rsp)
        movl    $LHCALL_IRET, %eax
        movl    $1, SHARED + LGS_HYPERCALL_FLAG
        syscall
        ud2
exit:   movl    LGR_RDI(%rsp), %edx
        HCALL   LHCALL_SHUTDOWN, $PHYS(message), $LGUEST_SHUTDOWN_POWEROFF, %rdx

clock:
        incq    RESULTS + 8 * 8
        pushq   %rcx
        pushq   %r11
        pushq   %rax
        movl    $LHCALL_IRET, %eax
        movl    $1, SHARED + LGS_HYPERCALL_FLAG
        syscall
        ud2
int80:
        incq    RESULTS + 9 * 8
        pushq   %rcx
        pushq   %r11
        pushq   %rax
        movl    $LHCALL_IRET, %eax
        movl    $1, SHARED + LGS_HYPERCALL_FLAG
        syscall
        ud2

/* Goes to the user view at %rbx, with interrupts on. */
to_user:
        pushq   $0
        pushq   $USER_STACK_TOP
        pushq   $0x202
        pushq   $GUEST_USER_CS
        pushq   %rbx
        pushq   $0
        pushq   $0
        pushq   $0
        movl    $LHCALL_IRET, %eax
        movl    $1, SHARED + LGS_HYPERCALL_FLAG
        syscall
        ud2

/* ------------------------------------------------------------------------------------------------------ the guests */
        .globl  power_off
power_off:
        BOOT
        POWER_OFF 42

        .globl  selectors
selectors:
        BOOT
        movl    %cs, %eax
        RESULT  0, %rax
        movl    %ss, %eax
        RESULT  1, %rax
        pushfq
        popq    %rax
        RESULT  2, %rax
        movq    SHARED + LGS_RESERVED_START, %rax
        RESULT  3, %rax
        movq    SHARED + LGS_RESERVED_END, %rax
        RESULT  4, %rax
        POWER_OFF 1

/* Whatever the test has put at USER_TEXT. */
        .globl  user
user:
        BOOT
        movl    $USER_TEXT, %ebx
        jmp     to_user

/* Whatever the test has put at guest-physical 0x1f0000, as the kernel. */
        .globl  kernel
kernel:
        BOOT
        movq    $VIRT(0x1f0000), %rax
        jmp     *%rax

        .globl  ticks
ticks:
        BOOT
        movl    $0x200, SHARED + LGS_IRQ_ENABLED
        HCALL   LHCALL_SET_CLOCKEVENT, $1000000
1:      cmpq    $1, RESULTS + 8 * 8       /* one while it runs */
        jb      1b
        HCALL   LHCALL_SET_CLOCKEVENT, $1000000
        HCALL   LHCALL_HALT               /* one while it sleeps */
        movl    $0, SHARED + LGS_IRQ_ENABLED
        HCALL   LHCALL_SET_CLOCKEVENT, $1000000
2:      cmpl    $0, SHARED + LGS_IRQ_PENDING
        je      2b
        movq    RESULTS + 8 * 8, %rax     /* none while interrupts are off */
        RESULT  0, %rax
        movl    $0x200, SHARED + LGS_IRQ_ENABLED
        HCALL   LHCALL_SEND_INTERRUPTS
        POWER_OFF 3

/* Asynchronous calls, done in order and before an ordinary one. */
        .globl  ring
ring:
        BOOT
        .irp    i, 0, 1, 2
        movq    $LHCALL_SET_STACK, SHARED + LGS_HCALLS + \i * 48
        movq    $(EVENT_STACK - 64 * \i), SHARED + LGS_HCALLS + \i * 48 + 8
        movb    $0, SHARED + LGS_HCALL_STATUS + \i
        .endr
        HCALL   LHCALL_FLUSH_ASYNC
        movl    SHARED + LGS_HCALL_STATUS, %eax
        RESULT  0, %rax
        movl    $USER_TEXT, %ebx
        jmp     to_user

/* One hypercall with the number and arguments that the test has put at `results`. */
        .globl  any_hypercall
any_hypercall:
        BOOT
        movq    RESULTS + 8, %rdi
        movq    RESULTS + 16, %rsi
        movq    RESULTS + 24, %rdx
        movq    RESULTS + 32, %r10
        movq    RESULTS + 40, %r8
        movq    RESULTS, %rax
        movl    $1, SHARED + LGS_HYPERCALL_FLAG
        syscall
        POWER_OFF 77

/* Writes to its own page tables: remaps `window`, flushes, and looks. */
        .globl  remap
remap:
        BOOT
        movq    VIRT(0x1e0000), %rax
        RESULT  0, %rax
        movq    VIRT(0x7000 + 0x1e0 * 8), %rcx    /* the entry for 0x1e0000 */
        movq    VIRT(0x7000 + 0x1e1 * 8), %rdx
        movq    %rdx, VIRT(0x7000 + 0x1e0 * 8)
        HCALL   LHCALL_FLUSH_TLB_ADDR, $VIRT(0x1e0000)
        movq    VIRT(0x1e0000), %rax
        RESULT  1, %rax
        lock btsq $9, VIRT(0x5000 + 510 * 8)      /* an upper entry, by a read-modify-write */
        movq    VIRT(0x1e0000), %rax
        RESULT  2, %rax
        movq    VIRT(0x7000 + 0x1e2 * 8), %rax
        RESULT  3, %rax
        movq    $5, VIRT(0x1e2000)
        movq    VIRT(0x7000 + 0x1e2 * 8), %rax    /* now dirty */
        RESULT  4, %rax
        POWER_OFF 6

/* Reads a frame that is none of its own, by a leaf entry beyond its memory. */
        .globl  beyond
beyond:
        BOOT
        movq    $0x40000063, VIRT(0x7000 + 0x1e0 * 8)
        HCALL   LHCALL_FLUSH_TLB_ADDR, $VIRT(0x1e0000)
        movq    VIRT(0x1e0000), %rax
        RESULT  0, %rax
        POWER_OFF 1

        .globl  halt_deaf
halt_deaf:
        BOOT
        HCALL   LHCALL_HALT
        POWER_OFF 1

        .globl  spin
spin:
        BOOT
1:      incq    RESULTS
        jmp     1b

/* For random fragments: as little of a kernel as will do. An exception finds no handler, and ends the guest. */
        .globl  fuzz_user, fuzz_kernel
fuzz_user:
        leaq    2f(%rip), %rbp
        jmp     1f
fuzz_kernel:
        leaq    3f(%rip), %rbp
1:      movl    $SHARED_PA, %edi
        movl    $LHCALL_LGUEST_INIT, %eax
        syscall
        movl    $1, SHARED_PA + LGS_HYPERCALL_FLAG
        movl    $PML4_PA, %edi
        movl    $LHCALL_NEW_PGTABLE, %eax
        syscall
        movq    $4f, %rax
        jmp     *%rax
4:      movq    $STACK_TOP, %rsp
        HCALL   LHCALL_SET_STACK, $EVENT_STACK
        HCALL   LHCALL_SET_SYSCALL, $system_call
        movl    $0x200, SHARED + LGS_IRQ_ENABLED
        movq    $0xffffffff80000000, %rax
        addq    %rax, %rbp
        jmp     *%rbp
2:      movl    $USER_TEXT, %ebx
        jmp     to_user
3:      movq    $VIRT(0x1f0000), %rax
        jmp     *%rax

/* ---------------------------------------------------------------------------------------------------------- attacks */
/*
 * A table of its own descriptors at linear address 0, where a processor's LDTR points after reset. The call gate in it leads to
 * the host's code segment: whoever gets through runs at ring 0.
 */
        .globl  ldt_gate
ldt_gate:
        BOOT
        movq    $ring0, %rax
        movw    %ax, VIRT(0)
        movw    $HOST_KERNEL_CS, VIRT(2)
        movw    $0xec00, VIRT(4)          /* present, DPL 3, a 64-bit call gate */
        shrq    $16, %rax
        movw    %ax, VIRT(6)
        shrq    $16, %rax
        movq    %rax, VIRT(8)
        movl    $0, RESULTS + 8
        movw    $7, RESULTS + 12          /* entry 0 of the LDT, RPL 3 */
        lcall   *RESULTS + 8
        POWER_OFF 1
ring0:  movl    %cs, %eax
        RESULT  0, %rax
        ud2

/* Reads the same address for ever, flushing it each time. */
        .globl  reread
reread:
        BOOT
1:      movq    VIRT(0x1e0000), %rax
        RESULT  0, %rax
        HCALL   LHCALL_FLUSH_TLB_ADDR, $VIRT(0x1e0000)
        jmp     1b

/* Breakpoints are for the kernel alone. */
        .globl  private_breakpoint
private_breakpoint:
        BOOT
        HCALL   LHCALL_LOAD_IDT_ENTRY, $3, $(stubs + 3 * 16)
        movl    $USER_TEXT, %ebx
        jmp     to_user

/* Every data segment register and base is the guest's; then it computes for ever. */
        .globl  mark_segments
mark_segments:
        BOOT
        HCALL   LHCALL_SET_BASE, $LGUEST_BASE_FS, $0x11110000
        HCALL   LHCALL_SET_BASE, $LGUEST_BASE_GS_KERNEL, $0x22220000
        movl    $GUEST_USER_DS, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %fs
        movl    %eax, %gs
1:      incq    RESULTS
        jmp     1b

        .globl  read_segments
read_segments:
        BOOT
        movl    %ds, %eax
        RESULT  0, %rax
        movl    %es, %eax
        RESULT  1, %rax
        movl    %fs, %eax
        RESULT  2, %rax
        movl    %gs, %eax
        RESULT  3, %rax
        POWER_OFF 1

/* Clock events at the times that the test has put at `results` + 8 and up, 0 at the end; then it computes for ever. */
        .globl  clock_events
clock_events:
        BOOT
        leaq    RESULTS + 8, %rbx
1:      movq    (%rbx), %r12
        testq   %r12, %r12
        jz      2f
        HCALL   LHCALL_SET_CLOCKEVENT, %r12
        addq    $8, %rbx
        jmp     1b
2:      incq    RESULTS
        jmp     2b

/*
 * Round and round through the doors: system call, INT 0x80, a hypercall from each handler. The process checks all
 * registers that its kernel preserves, and a kernel that resumes with a wrong stack or base does not live long.
 */
        .globl  doors
doors:
        BOOT
        movl    $0x200, SHARED + LGS_IRQ_ENABLED
        leaq    doors_process(%rip), %rsi
        movq    $VIRT(0x1c0000), %rdi
        movl    $(doors_end - doors_process), %ecx
        rep movsb
        movl    $USER_TEXT, %ebx
        jmp     to_user
doors_process:
        movl    $0x0b0b0b0b, %ebx
        movq    $0x1111111122222222, %rdx
        movq    $0x0808080808080808, %r8
        movl    $0x09090909, %r9d
        movl    $0x10101010, %r10d
        movl    $0x12121212, %r12d
        movl    $0x13131313, %r13d
        movl    $0x14141414, %r14d
        movl    $0x15151515, %r15d
        movl    $0x05050505, %ebp
        movl    $0x601000, %edi
1:      movl    $5, %eax
        std
        syscall
2:      cmpl    $10, %eax
        jne     3f
        pushfq
        popq    %rax
        testl   $0x400, %eax
        jz      3f
        cld
        movl    $7, %eax
        int     $0x80
        cmpl    $7, %eax
        jne     3f
        cmpl    $0x0b0b0b0b, %ebx
        jne     3f
        movq    $0x1111111122222222, %rax
        cmpq    %rax, %rdx
        jne     3f
        movq    $0x0808080808080808, %rax
        cmpq    %rax, %r8
        jne     3f
        leal    (%r9, %r10), %eax
        addl    %r12d, %eax
        addl    %r13d, %eax
        addl    %r14d, %eax
        addl    %r15d, %eax
        addl    %ebp, %eax
        cmpl    $(0x09090909 + 0x10101010 + 0x12121212 + 0x13131313 + 0x14141414 + 0x15151515 + 0x05050505), %eax
        jne     3f
        cmpq    $0x602000, %rsp
        jne     3f
        incq    0x601000
        jmp     1b
3:      movl    $60, %eax
        movl    $99, %edi
        syscall
doors_end:

/* One store into two of its tables at once, the last bytes of the one and the first of the other. */
        .globl  straddle
straddle:
        BOOT
        movl    VIRT(0x4ffc), %eax
        movl    VIRT(0x5000), %edx
        shlq    $32, %rdx
        orq     %rax, %rdx
        movq    %rdx, VIRT(0x4ffc)
        POWER_OFF 5

message:
        .asciz  "done"
