/*
 * What the attacks share: a kernel of a few pages, one process, and words to say what came of it. Every program begins
 * with ATTACK, is then the guest's kernel on its own page tables with handlers for everything, and may start its
 * process with GO_USER. The process runs at another address than its kernel, in pages that it may only read; both may
 * write to the reports. Registers: a TRY loses %r12, %r14 and %r15, an exception also %rax; a hypercall loses %rax,
 * %rcx, %r11 and its arguments; a REPORT loses %r10.
 */
#define KERNEL_OFFSET   0xffffffff80000000
#define VIRT(x)         (KERNEL_OFFSET + (x))
#define PHYS(x)         ((x) - KERNEL_OFFSET)
/* The image as the process sees it, read-only. */
#define USER_IMAGE      0x400000
#define USER(x)         ((x) - VIRT(IMAGE_PA) + USER_IMAGE)

/* Pages that kernel and process both have. */
#define REPORTS         0x5f0000
#define PARAMS          0x5f1000
#define USER_DATA       0x5f2000
#define USER_STACK_TOP  0x5f4000
/* 64 pages for the attacks to map what they like, for the process as well. */
#define WINDOW          0x500000
/* The same for the kernel alone. */
#define KERNEL_WINDOW   VIRT(0x1e0000)

/* Guest-physical. The first 2 MiB are the kernel's at VIRT(0). */
#define PML4_PA         0x4000
#define PDPT_HIGH_PA    0x5000
#define PD_HIGH_PA      0x6000
#define PT_HIGH_PA      0x7000
#define PDPT_LOW_PA     0x8000
#define PD_LOW_PA       0x9000
#define PT_USER_PA      0xa000
#define SHARED_PA       0xb000          /* virtual CPU 0's; 1's is the next */
#define STACK_PA        0xd000          /* bit 16 of a stack's address is the virtual CPU's index */
#define EVENT_STACK_PA  0xe000
#define USER_DATA_PA    0x10000
#define PT_LOW_PA       0x12000         /* the first 2 MiB at 0, for the kernel */
#define USER_STACK_PA   0x11000
/* Free for attacks. */
#define TABLES_PA       0x20000         /* up to 0x2f000 */
#define PAGES_PA        0x30000         /* up to 0xff000 */

#define USER_FLAGS      0x67            /* present, writable, user, accessed, dirty */
#define KERNEL_FLAGS    0x63

/* The kernel's first instruction in the linear view; goes on behind it at the high address. */
        .macro ATTACK name
        .globl  attack_\name
attack_\name:
        leaq    771f(%rip), %rbp
        jmp     boot
771:
        .endm

/* Number and arguments; by the door that the design has. */
        .macro HCALL number, a=$0, b=$0, c=$0, d=$0
        movq    \a, %rdi
        movq    \b, %rsi
        movq    \c, %rdx
        movq    \d, %r10
        movl    $\number, %eax
        call    hypercall
        .endm

/* The process's end. */
        .macro EXIT status=0
        movl    $60, %eax
        movl    $\status, %edi
        syscall
        .endm

/* Whatever exception the instructions up to DONE end in, they are over then; %r12d is the vector, or -1. */
        .macro TRYING
        movq    %rsp, %r14
        leaq    9f(%rip), %r15
        movl    $-1, %r12d
        .endm
        .macro DONE
9:      movq    %r14, %rsp
        .endm

        .macro REPORT kind, address, value
        movq    REPORTS, %r10
        movq    $\kind, REPORTS + ARS_REPORTS + AR_KIND(%r10)
        movq    \address, REPORTS + ARS_REPORTS + AR_ADDRESS(%r10)
        movq    \value, REPORTS + ARS_REPORTS + AR_VALUE(%r10)
        addq    $AR_SIZE, %r10
        cmpq    $REPORTS_END, %r10
        jae     7f
        movq    %r10, REPORTS
7:
        .endm

/* Reads 8 bytes at a register's address, and says so if it can. Loses %rax. */
        .macro PEEK at
        TRY     movq (\at), %rax
        cmpl    $-1, %r12d
        jne     8f
        REPORT  R_READ, \at, %rax
8:
        .endm

/* Writes 8 bytes there. */
        .macro POKE at
        TRY     movq $MARK, (\at)
        cmpl    $-1, %r12d
        jne     8f
        REPORT  R_WROTE, \at, $MARK
8:
        .endm

/* Tries an instruction that must not go through, the n-th. */
        .macro MUST_FAIL n, instruction:vararg
        TRY     \instruction
        cmpl    $-1, %r12d
        jne     8f
        REPORT  R_THROUGH, $\n, $0
8:
        .endm

/* Frame `pa` of the guest's own (a register), as an entry with `flags`: in the register. */
        .macro OWN_ENTRY pa, flags
        addq    frame_offset(%rip), \pa
        orq     $\flags, \pa
        .endm

/* Entry `index` of the table at guest-physical `table` becomes %rdx; the caller flushes. */
        .macro SET_ENTRY table, index
        movq    $\table, %rdi
        movq    \index, %rsi
        call    set_entry
        .endm

/* The last page below PML4 slot `slot` is PAGES_PA, for the process as well; the tables are at TABLES_PA. */
        .macro MAP_LAST_PAGE slot
        movl    $(TABLES_PA + 0x1000), %edx
        OWN_ENTRY %rdx, USER_FLAGS
        SET_ENTRY TABLES_PA, $511
        movl    $(TABLES_PA + 0x2000), %edx
        OWN_ENTRY %rdx, USER_FLAGS
        SET_ENTRY (TABLES_PA + 0x1000), $511
        movl    $PAGES_PA, %edx
        OWN_ENTRY %rdx, USER_FLAGS
        SET_ENTRY (TABLES_PA + 0x2000), $511
        movl    $TABLES_PA, %edx
        OWN_ENTRY %rdx, USER_FLAGS
        SET_ENTRY PML4_PA, $\slot
        HCALL   LHCALL_SET_PGD, $PML4_PA, $\slot
        .endm

/* The code that wants to be ring 0's: says so in a word that only ring 0 can write, and stops. Needs no stack. */
        .macro PAYLOAD name
        .balign 16
\name:  movq    PARAMS + AP_MARK, %rax
        movq    $MARK, (%rax)
        movl    %cs, %eax
        REPORT  R_SELECTOR, $0, %rax
10:     jmp     10b
        .endm

/* It cannot be fetched for at ring 0: there, a page that the shadows do not have yet is the host's end and not ours. */
        .macro TOUCH name
        movb    \name(%rip), %al
        movq    REPORTS, %rax
        movq    %rax, REPORTS
        movq    PARAMS, %rax
        .endm

/* For each of the `count` addresses at `list`, in %rbx: BODY ... NEXT. %r13 counts. */
        .macro FOR_FIXED
        xorl    %r13d, %r13d
11:     cmpq    PARAMS + AP_FIXED_COUNT, %r13
        jae     12f
        movq    PARAMS + AP_FIXED(, %r13, 8), %rbx
        .endm
        .macro NEXT_FIXED
        incq    %r13
        jmp     11b
12:
        .endm
