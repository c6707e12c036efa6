/*
 * All of the x86_64 host that is machine code, in one image: entry stubs, switcher, context switch, idle loop. The order is
 * that of the pages; scripts/assemble.ts links it at the start of the fixed area.
 */
#include "offsets.h"

        .text

/*
 * S:090 Fifteen registers, and the five words that the processor pushes by itself: that is all there is to a program
 * that was interrupted (P:040). Put them away in this order, and somebody else can have the processor; take them back,
 * and nobody has noticed.
 *
 * The registers in the order of FRAME and VCPU_STATE: %r15 ends up lowest.
 */
        .macro SAVE_REGS
        pushq   %rdi
        pushq   %rsi
        pushq   %rdx
        pushq   %rcx
        pushq   %rax
        pushq   %r8
        pushq   %r9
        pushq   %r10
        pushq   %r11
        pushq   %rbx
        pushq   %rbp
        pushq   %r12
        pushq   %r13
        pushq   %r14
        pushq   %r15
        cld                       /* no gate clears DF, and C code relies on it */
        .endm

        .macro RESTORE_REGS
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %rbp
        popq    %rbx
        popq    %r11
        popq    %r10
        popq    %r9
        popq    %r8
        popq    %rax
        popq    %rcx
        popq    %rdx
        popq    %rsi
        popq    %rdi
        .endm

#include "../../syscall/entry_64.S"
#include "../../vcpu/switcher_64.S"

/* ------------------------------------------------------------------------------------------------- context switch */
/*
 * H:080 A context switch. Save six registers, exchange the stack pointer, restore six registers: you went to sleep as
 * one task and wake up as another, in the middle of a function that both of them once called.
 *
 * Which task runs next is decided in the gate; that it runs is done here. The gate returns the next task, or NULL to
 * stay. The line that matters to a guest is the one that copies the task's VCPU into the PDA (S:033).
 */
        .balign 16
        .globl schedule
schedule:
        movl    $0, %gs:PDA_NEED_RESCHED
        call    gate_schedule
        testq   %rax, %rax
        jz      1f
        pushq   %rbx
        pushq   %rbp
        pushq   %r12
        pushq   %r13
        pushq   %r14
        pushq   %r15
        movq    %gs:PDA_CURRENT, %rcx
        movq    %rsp, TASK_RSP(%rcx)
        movq    %rax, %gs:PDA_CURRENT
        movq    TASK_RSP(%rax), %rsp
        movq    TASK_STACK_TOP(%rax), %rdx
        movq    %rdx, %gs:PDA_KERNEL_STACK
        movq    %gs:PDA_TSS, %rcx
        movq    %rdx, TSS_RSP0(%rcx)
#if defined(FIND_VCPU_PDA)
        movq    TASK_VCPU(%rax), %rdx
        movq    %rdx, %gs:PDA_VCPU
#endif
        movq    TASK_CR3(%rax), %rdx
        movq    %rdx, %cr3

        /*
         * Data segments and their bases are still those of whoever ran before. The next one has none, or (a guest) has its
         * bases loaded by the Switcher. The PDA is out of the way while the selector of GS is loaded, which sets the base too.
         */
        xorl    %edx, %edx
        xorl    %eax, %eax
        movl    %edx, %ds
        movl    %edx, %es
        movl    %edx, %fs
        swapgs
        movl    %edx, %gs
        swapgs
        movl    $MSR_FS_BASE, %ecx
        wrmsr
        movl    $MSR_KERNEL_GS_BASE, %ecx
        wrmsr
        call    gate_finishSwitch /* the old task is all in memory: it may go on elsewhere */
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %rbp
        popq    %rbx
1:      ret

/*
 * The first task, and what runs when no other can. The flag is tested with interrupts off and STI takes effect behind the
 * HLT that follows it, so a wake-up between the two is not lost.
 */
        .balign 16
        .globl idle_task
idle_task:
        cli
        cmpl    $0, %gs:PDA_NEED_RESCHED
        je      1f
        call    schedule
        jmp     idle_task
1:      sti
        hlt
        jmp     idle_task

/* A new host process starts here, with its user frame on its kernel stack. */
        .balign 16
        .globl process_task
process_task:
        jmp     return_to_user
