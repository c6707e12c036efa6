/*
 * attack.h's sibling for i386: a kernel at ring 1, linked at 3 GiB + 1 MiB, and one process. Registers: a TRY loses
 * %eax, %ecx (the vector, or -1), %edi and %ebp; a REPORT loses %edx; a hypercall %eax and its arguments' registers.
 * Text that the process runs stands between USER_CODE and KERNEL_CODE, because addresses in it are others.
 */
#define KERNEL_OFFSET   0xc0000000
#define VIRT(x)         (KERNEL_OFFSET + (x))
#define PHYS(x)         ((x) - KERNEL_OFFSET)
#define USER_IMAGE      0x08000000
#define USER_BIAS       (USER_IMAGE - VIRT(IMAGE_PA))
#define USER(x)         ((x) + USER_BIAS)

#define WINDOW          0x08100000
#define REPORTS         0x081f0000
#define PARAMS          0x081f1000
#define USER_DATA       0x081f2000
#define USER_STACK_TOP  0x081f4000

#define PGD_PA          0x4000
#define TABLE_PA        0x5000          /* the guest's memory, at 3 GiB and at 0 */
#define PT_USER_PA      0xa000          /* at 0x08000000 */
#define DATA_PA         0xb000          /* struct lguest_data */
#define STACK_PA        0xd000
#define EVENT_STACK_PA  0xe000
#define USER_DATA_PA    0x10000
#define USER_STACK_PA   0x11000
#define TABLES_PA       0x20000
#define PAGES_PA        0x30000         /* up to 0xff000 */
#define lguest_data     VIRT(DATA_PA)

#define INTERRUPT_GATE  0x8e00
#define TRAP_GATE       0x8f00
#define DPL3            0x6000

        .set    bias, 0
        .macro USER_CODE
        .set    bias, USER_BIAS
        .endm
        .macro KERNEL_CODE
        .set    bias, 0
        .endm

        .macro ATTACK name
        .set    bias, 0
        .globl  attack_\name
attack_\name:
        movl    $771f, %ebp
        jmp     boot
771:
        .endm

        .macro HCALL number, a=$0, b=$0, c=$0, d=$0
        movl    \a, %ebx
        movl    \b, %ecx
        movl    \c, %edx
        movl    \d, %esi
        movl    $\number, %eax
        call    hypercall
        .endm

        .macro SET_GATE vector, handler, flags
        movl    \handler, %ecx
        movl    %ecx, %edx
        andl    $0xffff, %ecx
        andl    $0xffff0000, %edx
        orl     $\flags, %edx
        movl    \vector, %ebx
        movl    $LHCALL_LOAD_IDT_ENTRY, %eax
        call    hypercall
        .endm

        .macro EXIT status=0
        movl    $60, %eax
        movl    $\status, %ebx
        int     $0x80
        .endm

        .macro TRYING
        movl    %esp, %ebp
        movl    $(9f + bias), %edi
        movl    $-1, %ecx
        .endm
        .macro DONE
9:      movl    %ebp, %esp
        .endm

        .macro REPORT kind, address, value
        movl    REPORTS, %edx
        movl    $\kind, REPORTS + ARS_REPORTS + AR_KIND(%edx)
        movl    \address, REPORTS + ARS_REPORTS + AR_ADDRESS(%edx)
        movl    \value, REPORTS + ARS_REPORTS + AR_VALUE(%edx)
        .endm
        .macro REPORT_HIGH value
        movl    \value, REPORTS + ARS_REPORTS + AR_VALUE + 4(%edx)
        .endm
        .macro REPORTED
        addl    $AR_SIZE, %edx
        cmpl    $REPORTS_END, %edx
        jae     7f
        movl    %edx, REPORTS
7:
        .endm

/* Reads 8 bytes at %ebx, by segment `seg`. */
        .macro PEEK seg=%ds
        TRY     movl \seg:(%ebx), %eax
        cmpl    $-1, %ecx
        jne     8f
        REPORT  R_READ, %ebx, %eax
        movl    \seg:4(%ebx), %eax
        REPORT_HIGH %eax
        REPORTED
8:
        .endm
        .macro POKE seg=%ds
        TRY     movl $MARK, \seg:(%ebx)
        cmpl    $-1, %ecx
        jne     8f
        REPORT  R_WROTE, %ebx, $MARK
        REPORTED
8:
        .endm
        .macro MUST_FAIL n, instruction:vararg
        TRY     \instruction
        cmpl    $-1, %ecx
        jne     8f
        REPORT  R_THROUGH, $\n, $0
        REPORTED
8:
        .endm

/* Code that wants to be ring 0's: says as whom it runs. It reaches only what the shadows have already (TOUCH). */
        .macro PAYLOAD name
        .balign 16
\name:  movl    %cs, %eax
        pushl   %ss
        popl    %ds
        REPORT  R_SELECTOR, $0, %eax
        REPORTED
10:     jmp     10b
        .endm
        .macro TOUCH name
        movb    \name, %al
        movl    REPORTS, %eax
        movl    %eax, REPORTS
        .endm

        .macro FOR_FIXED
        xorl    %esi, %esi
11:     cmpl    PARAMS + AP_FIXED_COUNT, %esi
        jae     12f
        movl    PARAMS + AP_FIXED(, %esi, 8), %ebx
        .endm
        .macro NEXT_FIXED
        incl    %esi
        jmp     11b
12:
        .endm
