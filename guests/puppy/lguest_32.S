/*
 * lguest's operations that must be assembly: on the interrupt flag, wherever it is, and IRET, which must not be torn from
 * turning it on.
 */
#include "include/door_32.h"
#include "include/layout.h"

/* A function and, from its first byte to its RET, the template. */
#define OPERATION(name, ...) .globl lguest_##name; lguest_##name: __VA_ARGS__; lguest_##name##_end: ret

	.text
/* A word in lguest_data. */
OPERATION(word_save_flags, movl lguest_data + LGUEST_DATA_IRQ_ENABLED, %eax)
OPERATION(word_irq_disable, movl $0, lguest_data + LGUEST_DATA_IRQ_ENABLED)

/* Enabling: an interrupt may have come meanwhile. The host then has set irq_pending, and wants to be asked. */
	.globl	lguest_word_irq_enable, lguest_word_restore_flags
lguest_word_irq_enable:
	movl	$0x200, lguest_data + LGUEST_DATA_IRQ_ENABLED
	cmpl	$0, lguest_data + LGUEST_DATA_IRQ_PENDING
	jne	1f
	ret
lguest_word_restore_flags:
	/* Both words use bit 9, so one AND tells whether interrupts are now on and one waits. */
	movl	%eax, lguest_data + LGUEST_DATA_IRQ_ENABLED
	testl	%eax, lguest_data + LGUEST_DATA_IRQ_PENDING
	jne	1f
	ret
1:	pushl	%eax
	movl	$LHCALL_SEND_INTERRUPTS, %eax
	HYPERCALL
	popl	%eax
	ret

/*
 * The flags on the stack go to irq_enabled, then IRET does the rest (it cannot change IF at ring 1, which is always
 * set). An interrupt between the two would find the flag on and the frame gone; the host holds back while EIP is at
 * lguest_noirq_iret. The data segments are already the user's, so %ss: is the one to trust.
 */
	.globl	lguest_word_iret, lguest_noirq_iret
lguest_word_iret:
	pushl	8(%esp)
	popl	%ss:lguest_data + LGUEST_DATA_IRQ_ENABLED
lguest_noirq_iret:
	iret

/* The host's own flag: each is a hypercall. */
OPERATION(asked_save_flags, movl $LHCALL_IRQ_FLAGS, %eax; HYPERCALL)
	.globl	lguest_asked_restore_flags, lguest_asked_irq_disable, lguest_asked_irq_enable
lguest_asked_restore_flags:
	testl	$0x200, %eax
	movl	$LHCALL_IRQ_DISABLE, %eax
	jz	1f
	movl	$LHCALL_IRQ_ENABLE, %eax
1:	HYPERCALL
	ret
lguest_asked_irq_disable:
	pushl	%eax
	movl	$LHCALL_IRQ_DISABLE, %eax
	jmp	2f
lguest_asked_irq_enable:
	pushl	%eax
	movl	$LHCALL_IRQ_ENABLE, %eax
2:	HYPERCALL
	popl	%eax
	ret

/* And so is the return: turned on one instruction before it, interrupts could pile up frames between the two. */
	.globl	lguest_asked_iret
lguest_asked_iret:
	pushl	%ebx
	pushl	%eax
	movl	%esp, %ebx
	movl	$LHCALL_IRET, %eax
	HYPERCALL
	ud2

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

/* What a door becomes where there is a call page. By way of memory, so that it is the same bytes everywhere. */
	.globl	door_call_page, door_call_page_end
door_call_page:
	call	*call_page_hypercall
door_call_page_end:

	.section .rodata
	.balign	8
call_page_hypercall:
	.long	LGUEST_CALL_PAGE + LGUEST_CALL_HYPERCALL * LGUEST_CALL_STRIDE

#define TEMPLATES(flag) .globl lguest_##flag##_templates; lguest_##flag##_templates:
#define TEMPLATE(name) .long lguest_##name, lguest_##name##_end
#define FUNCTION .long 0, 0
/* PV_IRQ_ENABLE and all after it are called. */
#define THE_REST .skip 7 * 8
TEMPLATES(word)
	TEMPLATE(word_save_flags)
	FUNCTION
	TEMPLATE(word_irq_disable)
	THE_REST
TEMPLATES(asked)
	TEMPLATE(asked_save_flags)
	FUNCTION
	FUNCTION
	THE_REST
/* Direct calls into the host's page. */
TEMPLATES(rom)
	FUNCTION
	FUNCTION
	FUNCTION
	THE_REST
