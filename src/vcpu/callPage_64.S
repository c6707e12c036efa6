/*
 * H:187 The ROM that somebody could have burnt into a machine for guests: a page of code which the Host maps into a
 * Guest, and which the Guest calls. It can do nothing that the Guest could not do by itself, being at the Guest's ring;
 * but it is the Host's to say how it does it, and the Guest's kernel need not know.
 *
 * The call page: functions LGUEST_CALL_STRIDE apart, for any stack. The page behind it (ROM_DATA) is the virtual CPU's own,
 * so all of this is position-dependent on one thing alone: that the two lie side by side. docs/abi-x86_64.md has the
 * contract.
 */
#include "offsets.h"

        .text

        .macro FUNCTION number
        .org    \number * LGUEST_CALL_STRIDE
        .endm

/*
 * A hypercall, with its registers as always. It goes by the gate and not by SYSCALL: that one would need the flag in the
 * shared page, and a kernel that has just begun has neither that page nor a GS base to find it by.
 */
        FUNCTION LGUEST_CALL_HYPERCALL
        .globl call_hypercall
call_hypercall:
        int     $LGUEST_HYPERCALL_VECTOR
        ret

        FUNCTION LGUEST_CALL_SAVE_FLAGS
        .globl call_save_flags
call_save_flags:
        movl    rom_data + LGV_IRQ_ENABLED(%rip), %eax
        ret

        FUNCTION LGUEST_CALL_RESTORE_FLAGS
        .globl call_restore_flags
call_restore_flags:
        testl   $EFLAGS_IF, %eax
        jnz     call_irq_enable
        jmp     call_irq_disable

        FUNCTION LGUEST_CALL_IRQ_DISABLE
        .globl call_irq_disable
call_irq_disable:
        movl    $0, rom_data + LGV_IRQ_ENABLED(%rip)
        ret

/*
 * First on, then look: an interrupt that the Host would have delivered had it seen the flag has set irqPending before, and
 * one that comes between the two is delivered at once.
 */
        FUNCTION LGUEST_CALL_IRQ_ENABLE
        .globl call_irq_enable
call_irq_enable:
        movl    $EFLAGS_IF, rom_data + LGV_IRQ_ENABLED(%rip)
        cmpl    $0, rom_data + LGV_IRQ_PENDING(%rip)
        jne     1f
        ret
1:      pushq   %rax
        movl    $LHCALL_SEND_INTERRUPTS, %eax
        int     $LGUEST_HYPERCALL_VECTOR
        popq    %rax
        ret
