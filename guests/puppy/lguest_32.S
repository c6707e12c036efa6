/* lguest's operations that must be assembly: the interrupt flag is a word in lguest_data, and IRET must not be torn. */
#include "include/layout.h"
#include <lguest_abi.h>

	.text
	.globl	lguest_save_flags, lguest_restore_flags, lguest_irq_disable, lguest_irq_enable
lguest_save_flags:
	movl	lguest_data + LGUEST_DATA_IRQ_ENABLED, %eax
lguest_save_flags_end:
	ret
lguest_irq_disable:
	movl	$0, lguest_data + LGUEST_DATA_IRQ_ENABLED
lguest_irq_disable_end:
	ret

/* Enabling: an interrupt may have come meanwhile. The host then has set irq_pending, and wants to be asked. */
lguest_irq_enable:
	movl	$0x200, lguest_data + LGUEST_DATA_IRQ_ENABLED
	cmpl	$0, lguest_data + LGUEST_DATA_IRQ_PENDING
	jne	1f
	ret
lguest_restore_flags:
	/* Both words use bit 9, so one AND tells whether interrupts are now on and one waits. */
	movl	%eax, lguest_data + LGUEST_DATA_IRQ_ENABLED
	testl	%eax, lguest_data + LGUEST_DATA_IRQ_PENDING
	jne	1f
	ret
1:	pushl	%eax
	movl	$LHCALL_SEND_INTERRUPTS, %eax
	int	$LGUEST_TRAP_ENTRY
	popl	%eax
	ret

/*
 * The flags on the stack go to irq_enabled, then IRET does the rest (it cannot change IF at ring 1, which is always
 * set). An interrupt between the two would find the flag on and the frame gone; the host holds back while EIP is at
 * lguest_noirq_iret. The data segments are already the user's, so %ss: is the one to trust.
 */
	.globl	lguest_iret, lguest_noirq_iret
lguest_iret:
	pushl	8(%esp)
	popl	%ss:lguest_data + LGUEST_DATA_IRQ_ENABLED
lguest_noirq_iret:
	iret

/* The fourth argument of these comes in %ebx, see PV_CALL4; C wants it on the stack. */
	.globl	lguest_set_pte, lguest_change_pte
lguest_set_pte:
	pushl	%ebx
	call	lguest_do_set_pte
	popl	%ebx
	ret
lguest_change_pte:
	pushl	%ebx
	call	lguest_do_change_pte
	popl	%ebx
	ret

	.section .rodata
	.balign	8
	.globl	lguest_templates
lguest_templates:
	.long	lguest_save_flags, lguest_save_flags_end
	.long	0, 0
	.long	lguest_irq_disable, lguest_irq_disable_end
	.skip	7 * 8
