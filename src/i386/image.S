/*
 * The i386 host's own machine code: entry stubs, context switch, the kernel side of a virtual CPU. It lies in the direct
 * map, wherever the design has put that: all its addresses are relative. In most designs none of it is mapped while a guest
 * runs. What is, is switcher_32.S.
 */
#include "offsets.h"

        .text

/* The registers in the order of FRAME: %gs ends up lowest. Then the segments that the host's code expects. */
        .macro SAVE_REGS
        pushl   %eax
        pushl   %ebp
        pushl   %edi
        pushl   %esi
        pushl   %edx
        pushl   %ecx
        pushl   %ebx
        pushl   %ds
        pushl   %es
        pushl   %fs
        pushl   %gs
        movl    $KERNEL_DS, %edx
        movl    %edx, %ds
        movl    %edx, %es
        movl    $PERCPU_SELECTOR, %edx
        movl    %edx, %fs
        cld
        .endm

        .macro RESTORE_REGS
        popl    %gs
        popl    %fs
        popl    %es
        popl    %ds
        popl    %ebx
        popl    %ecx
        popl    %edx
        popl    %esi
        popl    %edi
        popl    %ebp
        popl    %eax
        .endm

/* --------------------------------------------------------------------------------------------------- vectors 0 to 255 */
/*
 * The host's IDT leads here; interrupt gates, so interrupts are off. Some exceptions push an error code (SDM vol. 3,
 * 6.13); the others get a zero, so that all frames look alike.
 */
        .balign 16
        .globl vectors
vectors:
        .set n, 0
        .rept 256
        .balign 16
        .if !(n == 8 || (n >= 10 && n <= 14) || n == 17 || n == 21)
        pushl   $0
        .endif
        pushl   $n
        jmp     common_vector
        .set n, n + 1
        .endr

/*
 * No guest runs on this IDT: while one does, the processor uses the one in its second page. So there is no VCPU pointer to
 * test here, which is the whole difference between this file and entry_64.S. What comes from outside of ring 0 is a
 * host process.
 */
        .balign 16
common_vector:
        SAVE_REGS
        movl    %esp, %eax
        cmpl    $2, FRAME_VECTOR(%esp)
        je      5f                /* an NMI asks nobody, and nobody is scheduled on its way back */
        testl   $3, FRAME_CS(%esp)
        jz      from_kernel
        cmpl    $SYSCALL_VECTOR, FRAME_VECTOR(%esp)
        je      1f
        cmpl    $32, FRAME_VECTOR(%esp)
        jb      2f
        call    gate_hostInterrupt
        jmp     return_to_user
1:      call    gate_hostSystemCall
        jmp     return_to_user
2:      call    gate_hostTrap

        .globl return_to_user
return_to_user:
        cmpl    $0, %fs:PERCPU_NEED_RESCHED
        je      3f
        call    schedule
        jmp     return_to_user
3:      RESTORE_REGS
        addl    $8, %esp          /* vector and error code */
        iret

/*
 * The host itself was interrupted: in its idle loop, or because the Switcher hands on an interrupt that came while a
 * guest ran. NMIs come this way too, from whatever ring, and have nothing to do. Any other exception is a defect of the host.
 */
from_kernel:
        cmpl    $32, FRAME_VECTOR(%esp)
        jb      4f
5:      call    gate_hostInterrupt
        RESTORE_REGS
        addl    $8, %esp
        iret
4:      call    gate_fatalTrap
        hlt

/* ----------------------------------------------------------------------------------------------------- context switch */
/* Which task runs next is decided in the gate, which returns it, or NULL to stay; that it runs is done here. */
        .balign 16
        .globl schedule
schedule:
        movl    $0, %fs:PERCPU_NEED_RESCHED
        call    gate_schedule
        testl   %eax, %eax
        jz      1f
        pushl   %ebx
        pushl   %ebp
        pushl   %esi
        pushl   %edi
        movl    %fs:PERCPU_CURRENT, %ecx
        movl    %esp, TASK_ESP(%ecx)
        movl    %eax, %fs:PERCPU_CURRENT
        movl    TASK_ESP(%eax), %esp
        movl    TASK_STACK_TOP(%eax), %edx
        movl    %fs:PERCPU_TSS, %ecx
        movl    %edx, TSS_ESP0(%ecx)
        movl    TASK_CR3(%eax), %edx
        movl    %edx, %cr3
        call    gate_finishSwitch
        popl    %edi
        popl    %esi
        popl    %ebp
        popl    %ebx
1:      ret

/*
 * The first task, which the others interrupt: nothing to do but wait. STI holds interrupts back for one instruction (SDM
 * vol. 2), so none comes between it and HLT.
 */
        .balign 16
        .globl idle_task
idle_task:
        cli
        cmpl    $0, %fs:PERCPU_NEED_RESCHED
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

/* ------------------------------------------------------------------------------------------- the task of a virtual CPU */
/*
 * Its kernel side, forever: let the module prepare (it may say that there is nothing to run), enter the guest, let the
 * module see what happened. The far call leaves on our stack what an interrupt would have left there: flags, selector,
 * address. The Switcher comes back by an IRET that takes them, or, when an interrupt brought it back, lets the handler's
 * own IRET take them.
 */
        .balign 16
        .globl vcpu_task
vcpu_task:
        call    gate_vcpuPrepare
        testl   %eax, %eax
        jz      3f
        movl    %fs:PERCPU_CURRENT, %ebp
        movl    TASK_VCPU(%ebp), %ebp
        cmpl    $0, VCPU_TASK_SWITCHED(%ebp)
        je      1f
        movl    %cr0, %eax        /* the guest wants to be told when somebody uses the FPU */
        orl     $CR0_TS, %eax
        movl    %eax, %cr0
1:      movl    VCPU_ROOT(%ebp), %ebx
        movl    %fs:PERCPU_PAGES, %eax
        pushfl
        lcall   *VCPU_ENTRY(%ebp)
        cmpl    $0, VCPU_TASK_SWITCHED(%ebp)
        je      2f
        clts
2:      movl    %cr2, %eax        /* at once, before a fault of the host's overwrites it */
        movl    %eax, VCPU_CR2(%ebp)
        call    gate_vcpuEvent
        cmpl    $0, %fs:PERCPU_NEED_RESCHED
        je      vcpu_task
3:      call    schedule
        jmp     vcpu_task
