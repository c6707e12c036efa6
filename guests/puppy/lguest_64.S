/*
 * G:070 lguest64's operations that must be assembly: the interrupt flag is a word in the shared page, at %gs:0.
 *
 * Kernels turn interrupts off and on tens of thousands of times in a second. Asking the Host each time would cost more
 * than everything else together, so nobody asks: "off" is a word that the Host looks at before it interrupts us. If it
 * has to hold one back it sets the word next to it, and that is what enabling has to look at. Two instructions where
 * the hardware had one.
 */
#include "include/layout.h"
#include <lguest64_abi.h>

	.text
	.globl	lguest64_save_flags, lguest64_restore_flags, lguest64_irq_disable, lguest64_irq_enable
lguest64_save_flags:
	movl	%gs:LGS_IRQ_ENABLED, %eax
lguest64_save_flags_end:
	ret
lguest64_irq_disable:
	movl	$0, %gs:LGS_IRQ_ENABLED
lguest64_irq_disable_end:
	ret

/* Enabling: if an interrupt came meanwhile the host has set irqPending, and wants to be asked. */
lguest64_irq_enable:
	movl	$0x200, %gs:LGS_IRQ_ENABLED
	cmpl	$0, %gs:LGS_IRQ_PENDING
	jne	1f
	ret
lguest64_restore_flags:
	movl	%eax, %gs:LGS_IRQ_ENABLED
	testl	%eax, %eax
	jz	2f
	cmpl	$0, %gs:LGS_IRQ_PENDING
	jne	1f
2:	ret
	/* The caller expects to lose no register, a hypercall loses these three. */
1:	pushq	%rax
	pushq	%rcx
	pushq	%r11
	movl	$1, %gs:LGS_HYPERCALL_FLAG
	movl	$LHCALL_SEND_INTERRUPTS, %eax
	syscall
	popq	%r11
	popq	%rcx
	popq	%rax
	ret

/*
 * G:080 Sleeping is the one thing that everybody gets wrong at first. If you look whether there is work, and then go to
 * sleep, the work may come in between, and you sleep beside it.
 *
 * Sleep until an interrupt, which is handled before the call returns. Interrupts must be on for that, yet none may slip
 * in between looking and sleeping: the flag of the coming hypercall holds them back, as STI's shadow does natively.
 */
	.globl	lguest64_halt
lguest64_halt:
	movl	$1, %gs:LGS_HYPERCALL_FLAG
	movl	$0x200, %gs:LGS_IRQ_ENABLED
	movl	$LHCALL_HALT, %eax
	syscall
	ret

/* Where hypercall VCPU_UP starts another processor: its number in %rdi, its stack, no %gs. */
	.globl	lguest64_secondary_entry
lguest64_secondary_entry:
	xorl	%ebp, %ebp
	call	lguest64_secondary
	ud2

/* SWAPGS on entry becomes nothing: a template of no bytes, filled with NOPs. */
nothing:

	.section .rodata
	.balign	8
	.globl	lguest_templates
lguest_templates:
	.quad	lguest64_save_flags, lguest64_save_flags_end
	.quad	0, 0
	.quad	lguest64_irq_disable, lguest64_irq_disable_end
	.skip	6 * 16
	.quad	nothing, nothing
