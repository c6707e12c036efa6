/*
 * The call page: the host's code in a guest's address space, at an address that both know, read-only and for the guest's
 * kernel alone (ring 1 is a supervisor to paging). Calling it instead of INT leaves it to the host how a world is left, and
 * even whether: the last five functions are VMI's idea, a ROM with a virtual CPU behind it. They keep the interrupt flag in
 * the page behind this one, and only who turns it on while an interrupt waits gets to see the host.
 *
 * The host trusts nothing of this: it runs at ring 1, and the guest can write the data page itself. Data are addressed
 * through %ss, since nobody can say what the caller has in %ds.
 */
#include "offsets.h"
#define IRQ_ENABLED     %ss:LGUEST_ROM_DATA + LGUEST_ROM_IRQ_ENABLED
#define IRQ_PENDING     %ss:LGUEST_ROM_DATA + LGUEST_ROM_IRQ_PENDING
#define FLAG_IF         0x200

        .text
call_page:
/* What lies between functions is INT3. */
        .macro  FUNCTION number
        .org    call_page + \number * LGUEST_CALL_STRIDE, 0xcc
        .endm

/* The registers of a hypercall. */
        FUNCTION LGUEST_CALL_HYPERCALL
        int     $LGUEST_TRAP_ENTRY
        ret

/* The flag, bit 9, comes in %eax and goes there; no other register is lost. */
        FUNCTION LGUEST_CALL_SAVE_FLAGS
        movl    IRQ_ENABLED, %eax
        ret

        FUNCTION LGUEST_CALL_RESTORE_FLAGS
        movl    %eax, IRQ_ENABLED
        testl   %eax, IRQ_PENDING
        jnz     fetch_interrupts
        ret

        FUNCTION LGUEST_CALL_IRQ_DISABLE
        movl    $0, IRQ_ENABLED
        ret

        FUNCTION LGUEST_CALL_IRQ_ENABLE
        movl    $FLAG_IF, IRQ_ENABLED
        cmpl    $0, IRQ_PENDING
        jne     fetch_interrupts
        ret

/* Jumped to. The host knows the last instruction's address, and that an interrupt there takes the frame over. */
        FUNCTION LGUEST_CALL_IRET
        pushl   8(%esp)
        popl    IRQ_ENABLED
        .globl  rom_iret
rom_iret:
        iret

fetch_interrupts:
        pushl   %eax
        movl    $LHCALL_SEND_INTERRUPTS, %eax
        int     $LGUEST_TRAP_ENTRY
        popl    %eax
        ret
