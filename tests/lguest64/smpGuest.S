/*
 * Little guests with several virtual CPUs, one entry for each, linked at -2 GiB + 1 MiB and loaded at 1 MiB. The test has
 * laid out the page tables (tests/lguest64/smpGuests.ts): the first 2 MiB at -2 GiB and at 0. The first 8 bytes of `RESULTS` are
 * how many rounds there are to be; the rest is for the test to read.
 *
 * %r15 is the virtual CPU's index throughout, %r14 how many there are.
 */
#include "offsets.h"

#define VIRT(x)         (0xffffffff80000000 + (x))
#define PHYS(x)         ((x) - 0xffffffff80000000)
#define PML4_PA         0x140000
#define TABLE           VIRT(0x143000)      /* maps the 2 MiB */
#define SHARED_PA       0x150000            /* a page for each virtual CPU */
#define STACKS          VIRT(0x160000)      /* likewise; event stacks 64 KiB on */
#define RESULTS         VIRT(0x190000)
#define ROUNDS          RESULTS
#define DONE            RESULTS + 8
#define COUNT           RESULTS + 16
#define WRONG           RESULTS + 24
#define ACKS            RESULTS + 32
#define BEGUN           RESULTS + 40
#define PUBLISHED       RESULTS + 48
#define LOCK            RESULTS + 56
#define PLAIN           RESULTS + 64
#define VECTOR          RESULTS + 72
#define ARGUMENTS       RESULTS + 80
#define IPIS            RESULTS + 0x100     /* 8 bytes for each virtual CPU */
#define PAGE_A          0x1d0000            /* hold 1 and 2 */
#define PAGE_B          0x1d1000
#define PAGE_T          0x1d4000            /* a page table; its first entry maps PAGE_7 or the page behind it */
#define PAGE_7          0x1d2000            /* two pages that hold 7 */
#define WINDOWS         0x1e0000            /* a page for each virtual CPU, mapped here and there */
#define IPI_VECTOR      (LGUEST_FIRST_EXTERNAL_VECTOR + LGUEST_IRQ_IPI)

        .macro HCALL number, a=$0, b=$0, c=$0
        movq    \a, %rdi
        movq    \b, %rsi
        movq    \c, %rdx
        movl    $\number, %eax
        movl    $1, %gs:LGS_HYPERCALL_FLAG
        syscall
        .endm

/* Sleeps with interrupts on. Between setting the flag of a hypercall and the call none is delivered, so none comes too early. */
        .macro SLEEP
        movl    $LHCALL_HALT, %eax
        movl    $1, %gs:LGS_HYPERCALL_FLAG
        movl    $0x200, %gs:LGS_IRQ_ENABLED
        syscall
        movl    $0, %gs:LGS_IRQ_ENABLED
        .endm

        .macro INTERRUPTS_ON
        movl    $0x200, %gs:LGS_IRQ_ENABLED
        cmpl    $0, %gs:LGS_IRQ_PENDING
        je      10f
        HCALL   LHCALL_SEND_INTERRUPTS
10:
        .endm

/* In a loop that waits for others, which may have no processor. Loses %rax and the arguments' registers. */
        .macro RELAX
        pause
        HCALL   LHCALL_YIELD
        .endm

        .macro POWER_OFF status
        HCALL   LHCALL_SHUTDOWN, $PHYS(message), $LGUEST_SHUTDOWN_POWEROFF, \status
        .endm

/* Every virtual CPU runs what follows, and the last one to be `finished` ends the guest. */
        .macro EVERYBODY
        leaq    1f(%rip), %rbp
        jmp     boot
1:
        .endm

/* The same, all at once. */
        .macro  TOGETHER
        EVERYBODY
        lock incq BEGUN
2:      RELAX
        cmpq    %r14, BEGUN
        jb      2b
        .endm

/* %rdx: the mask of all but this one. */
        .macro OTHERS
        movl    $1, %edx
        movl    %r14d, %ecx
        shll    %cl, %edx
        decl    %edx
        btrl    %r15d, %edx
        .endm

        .text
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
        movq    $0xffffffff80000000, %rax
        addq    %rax, %rbp
        movq    $(STACKS + 0x1000), %rsp
        xorl    %r15d, %r15d
        call    own
        .irp    vector, 6, 13, 14
        HCALL   LHCALL_LOAD_IDT_ENTRY, $\vector, $exception_\vector
        .endr
        HCALL   LHCALL_LOAD_IDT_ENTRY, $IPI_VECTOR, $ipi
        movl    $1, %r12d
2:      cmpl    %r14d, %r12d
        jae     3f
        movl    %r12d, %esi
        shll    $12, %esi
        leaq    SHARED_PA(%rsi), %rsi
        leaq    1(%r12), %r10
        shll    $12, %r10d
        addq    $STACKS, %r10
        movl    %r12d, %edi
        movq    $secondary, %rdx
        movl    $LHCALL_VCPU_UP, %eax
        movl    $1, %gs:LGS_HYPERCALL_FLAG
        syscall
        incl    %r12d
        jmp     2b
3:      jmp     *%rbp
/* Handed over in memory: all registers but %rdi are 0. */
secondary:
        movl    %edi, %r15d
        call    own
        movq    secondary_at(%rip), %rbp
        jmp     *%rbp

/* Where this virtual CPU's page is, and its stack for events. */
own:
        movl    %r15d, %ebx
        shll    $12, %ebx
        leaq    VIRT(SHARED_PA)(%rbx), %rsi
        movl    $1, LGS_HYPERCALL_FLAG(%rsi)
        movl    LGS_VCPU_COUNT(%rsi), %r14d
        movl    $LGUEST_BASE_GS_KERNEL, %edi
        movl    $LHCALL_SET_BASE, %eax
        syscall
        leaq    STACKS + 0x11000(%rbx), %rdi
        movl    $LHCALL_SET_STACK, %eax
        movl    $1, %gs:LGS_HYPERCALL_FLAG
        syscall
        cmpl    $0, %r15d
        jne     1f
        movq    %rbp, secondary_at(%rip)
1:      ret
        .balign 8
secondary_at:
        .quad   0

        .irp    vector, 6, 13, 14
exception_\vector:
        movq    $\vector, VECTOR
        POWER_OFF $(200 + \vector)
        .endr

finished:
        lock incq DONE
        testl   %r15d, %r15d
        jnz     4f
1:      cmpq    %r14, DONE
        je      2f
        RELAX
        jmp     1b
2:      POWER_OFF $42
4:      SLEEP
        jmp     4b

/* What an IPI means is the guest's affair: %r13 is the function that says so. Callee keeps what it uses. */
ipi:
        pushq   %rcx
        pushq   %r11
        pushq   %rax
        lock incq IPIS(, %r15, 8)
        testq   %r13, %r13
        jz      1f
        pushq   %rdi
        pushq   %rsi
        pushq   %rdx
        call    *%r13
        popq    %rdx
        popq    %rsi
        popq    %rdi
1:      movl    $LHCALL_IRET, %eax
        movl    $1, %gs:LGS_HYPERCALL_FLAG
        syscall
        ud2

/* ------------------------------------------------------------------------------------------------------ the guests */
/* LOCK, and a lock of its own. */
        .globl  count
count:
        TOGETHER
        movq    ROUNDS, %r12
2:      lock incq COUNT
3:      movl    $1, %eax
        xchgl   %eax, LOCK
        testl   %eax, %eax
        jz      4f
        RELAX
        jmp     3b
4:      incq    PLAIN
        movl    $0, LOCK
        decq    %r12
        jnz     2b
        jmp     finished

/* The same with nothing, to show that it takes something. */
        .globl  count_unlocked
count_unlocked:
        TOGETHER
        movq    ROUNDS, %r12
2:      movq    PLAIN, %rax
        incq    %rax
        movq    %rax, PLAIN
        decq    %r12
        jnz     2b
        jmp     finished

/* The first asks, the others answer; all sleep in between. One interrupt that is lost, and they sleep for ever. */
        .globl  ping_pong
ping_pong:
        EVERYBODY
        testl   %r15d, %r15d
        jnz     5f
        xorl    %r13d, %r13d
        movq    ROUNDS, %r12
2:      movq    $0, ACKS
        OTHERS
        HCALL   LHCALL_SEND_IPI, %rdx
        leaq    -1(%r14), %rbx
3:      cmpq    %rbx, ACKS
        je      4f
        SLEEP
        jmp     3b
4:      decq    %r12
        jnz     2b
        POWER_OFF $42
5:      movq    $answer, %r13
6:      SLEEP
        jmp     6b
answer:
        lock incq ACKS
        HCALL   LHCALL_SEND_IPI, $1
        ret

/* Interrupts from everybody to everybody, more than anybody can take. */
        .globl  ipi_storm
ipi_storm:
        TOGETHER
        xorl    %r13d, %r13d
        INTERRUPTS_ON
        movq    ROUNDS, %r12
2:      movl    $1, %ebx
        movl    %r14d, %ecx
        shll    %cl, %ebx
        decl    %ebx
        movl    $0, %gs:LGS_IRQ_ENABLED
        HCALL   LHCALL_SEND_IPI, %rbx
        INTERRUPTS_ON
        decq    %r12
        jnz     2b
        movl    $0, %gs:LGS_IRQ_ENABLED
        jmp     finished

/*
 * One page changes places; the others look at it all the time, and know when it must hold just the round's number: after the
 * one who has changed it has heard from all that they have flushed it.
 */
        .globl  change_page
change_page:
        EVERYBODY
        testl   %r15d, %r15d
        jnz     5f
        xorl    %r12d, %r12d
        movl    $PAGE_A, %ebx
2:      incq    %r12
        movq    %r12, BEGUN
        xorl    $(PAGE_A ^ PAGE_B), %ebx
        leaq    VIRT(0)(%rbx), %rax
        movq    %r12, (%rax)
        leaq    3(%rbx), %rax
        movq    $0, ACKS
        movq    %rax, TABLE + (WINDOWS >> 12) * 8
        HCALL   LHCALL_FLUSH_TLB_ADDR, $VIRT(WINDOWS)
        OTHERS
        HCALL   LHCALL_SEND_IPI, %rdx
3:      leaq    -1(%r14), %rax
        cmpq    %rax, ACKS
        je      4f
        RELAX
        jmp     3b
4:      movq    %r12, PUBLISHED
        cmpq    %r12, ROUNDS
        ja      2b
        POWER_OFF $42
5:      movq    $flushed, %r13
        INTERRUPTS_ON
6:      movq    PUBLISHED, %rax
        movq    VIRT(WINDOWS), %rbx
        cmpq    %rax, BEGUN
        jne     6b
        incq    COUNT
        testq   %rax, %rax
        jz      6b
        cmpq    %rax, %rbx
        je      6b
        lock incq WRONG
        jmp     6b
flushed:
        HCALL   LHCALL_FLUSH_TLB_ADDR, $VIRT(WINDOWS)
        lock incq ACKS
        ret

/* Everybody changes entries of the same table, and sees its own change after its own flush. */
        .globl  same_table
same_table:
        TOGETHER
        movq    ROUNDS, %r12
        movl    %r15d, %ebx
        shll    $12, %ebx
2:      .irp    page, 0, 1
        movq    $(PAGE_A + 4096 * \page + 3), TABLE + (WINDOWS >> 12) * 8(, %r15, 8)
        leaq    VIRT(WINDOWS)(%rbx), %rdx
        HCALL   LHCALL_FLUSH_TLB_ADDR, %rdx
        cmpq    $(1 + \page), VIRT(WINDOWS)(%rbx)
        je      3f
        lock incq WRONG
3:
        .endr
        decq    %r12
        jnz     2b
        jmp     finished

/* A page is a table now and then: the first makes it one, and maps through it what the others store there all the time. */
        .globl  table_now_and_then
table_now_and_then:
        TOGETHER
        testl   %r15d, %r15d
        jnz     5f
        movq    ROUNDS, %r12
2:      movq    $(PAGE_T + 0x63), VIRT(0x142000) + 8     /* the directory's next entry: 2 MiB on */
        HCALL   LHCALL_FLUSH_TLB
        movq    VIRT(0x200000), %rax                      /* entry 0: always one of the two */
        cmpq    $7, %rax
        je      3f
        lock incq WRONG
3:      movq    $0, VIRT(0x142000) + 8
        HCALL   LHCALL_FLUSH_TLB
        decq    %r12
        jnz     2b
        POWER_OFF $42
5:      movq    $(PAGE_7 + 0x63), VIRT(PAGE_T)
        movq    $(PAGE_7 + 0x1063), VIRT(PAGE_T)
        incq    COUNT
        jmp     5b

/* A handler at -2 GiB and one at 0, loaded in turns, while the first runs into them. */
        .globl  change_handler
change_handler:
        TOGETHER
        movq    ROUNDS, %r12
        testl   %r15d, %r15d
        jz      5f
2:      HCALL   LHCALL_LOAD_IDT_ENTRY, $3, $PHYS(breakpoint), $3
        HCALL   LHCALL_LOAD_IDT_ENTRY, $3, $breakpoint, $3
        jmp     2b
5:      HCALL   LHCALL_LOAD_IDT_ENTRY, $3, $breakpoint, $3
6:      int3
        decq    %r12
        jnz     6b
        POWER_OFF $42
breakpoint:
        incq    COUNT
        pushq   %rcx
        pushq   %r11
        pushq   %rax
        movl    $LHCALL_IRET, %eax
        movl    $1, %gs:LGS_HYPERCALL_FLAG
        syscall
        ud2

/* All go to sleep with interrupts off. */
        .globl  deaf
deaf:
        EVERYBODY
2:      HCALL   LHCALL_HALT
        jmp     2b

/* The first ends it before the others have done anything. */
        .globl  power_off_at_once
power_off_at_once:
        EVERYBODY
        testl   %r15d, %r15d
        jnz     2f
        POWER_OFF $42
2:      SLEEP
        jmp     2b

/* The last one ends it while the others compute, or call the host, or have the launcher do something. */
        .globl  end_while_busy
end_while_busy:
        EVERYBODY
        lock incq DONE
        leal    1(%r15), %eax
        cmpl    %r14d, %eax
        je      5f
2:      testl   $1, %r15d
        jz      3f
        movl    $0x80000000, %eax
        movl    $0xcf8, %edx
        outl    %eax, %dx
        jmp     2b
3:      HCALL   LHCALL_FLUSH_TLB
        jmp     2b
5:      RELAX
        cmpq    %r14, DONE
        jne     5b
        POWER_OFF $42

/* A virtual CPU's own page is another one's too: what they call the host for is what the last one has written there. */
        .globl  shared_page
shared_page:
        TOGETHER
        movq    ROUNDS, %r12
2:      movl    $1, VIRT(SHARED_PA) + LGS_HYPERCALL_FLAG
        movl    $0x200, VIRT(SHARED_PA) + LGS_IRQ_ENABLED
        movq    $LHCALL_FLUSH_TLB, VIRT(SHARED_PA) + LGS_HCALLS
        movb    $0, VIRT(SHARED_PA) + LGS_HCALL_STATUS
        movl    $0xffffffff, VIRT(SHARED_PA) + LGS_BLOCKED_INTERRUPTS
        movl    $0, VIRT(SHARED_PA) + LGS_BLOCKED_INTERRUPTS
        HCALL   LHCALL_FLUSH_ASYNC
        decq    %r12
        jnz     2b
        jmp     finished

/* VCPU_UP with the four arguments that the test has put there, once or twice; then it waits for whoever comes up. */
        .globl  any_vcpu_up
any_vcpu_up:
        leaq    1f(%rip), %rbp
        movl    $SHARED_PA, %edi
        movl    $LHCALL_LGUEST_INIT, %eax
        syscall
        movl    $1, SHARED_PA + LGS_HYPERCALL_FLAG
        movl    $PML4_PA, %edi
        movl    $LHCALL_NEW_PGTABLE, %eax
        syscall
        movq    $1f, %rax
        jmp     *%rax
1:      movq    $(STACKS + 0x1000), %rsp
        xorl    %r15d, %r15d
        call    own
        HCALL   LHCALL_LOAD_IDT_ENTRY, $14, $exception_14
        movq    ROUNDS, %r12
2:      movq    ARGUMENTS, %rdi
        movq    ARGUMENTS + 8, %rsi
        movq    ARGUMENTS + 16, %rdx
        movq    ARGUMENTS + 24, %r10
        movl    $LHCALL_VCPU_UP, %eax
        movl    $1, %gs:LGS_HYPERCALL_FLAG
        syscall
        decq    %r12
        jnz     2b
        movl    $2000000, %ecx
3:      cmpq    $0, DONE
        jne     4f
        loop    3b
        POWER_OFF $1
4:      POWER_OFF $42
        .globl  arrived
arrived:
        incq    DONE
        jmp     arrived

message:
        .asciz  "done"
