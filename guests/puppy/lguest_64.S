/*
 * G:070 lguest64's operations that must be assembly: the interrupt flag is a word in the shared page, at %gs:0.
 *
 * Kernels turn interrupts off and on tens of thousands of times in a second. Asking the Host each time would cost more
 * than everything else together, so nobody asks: "off" is a word that the Host looks at before it interrupts us. If it
 * has to hold one back it sets the word next to it, and that is what enabling has to look at. Two instructions where
 * the hardware had one.
 *
 * That is the default design's answer. The other three follow: asking each time after all (now it can be counted what it
 * costs), the processor's own virtual interrupt flag, and a call into the Host's ROM, which has the word and the code.
 */
#include "include/door.h"
#include "include/layout.h"

/* A function and, from its first byte to its RET, the template. */
#define OPERATION(name, ...) .globl lguest64_##name; lguest64_##name: __VA_ARGS__; lguest64_##name##_end: ret

	.text
OPERATION(word_save_flags, movl %gs:LGS_IRQ_ENABLED, %eax)
OPERATION(word_irq_disable, movl $0, %gs:LGS_IRQ_ENABLED)

/* Enabling: if an interrupt came meanwhile the host has set irqPending, and wants to be asked. */
	.globl	lguest64_word_irq_enable, lguest64_word_restore_flags
lguest64_word_irq_enable:
	movl	$0x200, %gs:LGS_IRQ_ENABLED
	cmpl	$0, %gs:LGS_IRQ_PENDING
	jne	1f
	ret
lguest64_word_restore_flags:
	movl	%eax, %gs:LGS_IRQ_ENABLED
	testl	%eax, %eax
	jz	2f
	cmpl	$0, %gs:LGS_IRQ_PENDING
	jne	1f
2:	ret
1:	pushq	%rax
	movl	$LHCALL_SEND_INTERRUPTS, %eax
	call	ask
	popq	%rax
	ret

/* The callers of these operations expect to lose no register but %rax, a hypercall loses two more. */
ask:
	pushq	%rcx
	pushq	%r11
	HYPERCALL
	popq	%r11
	popq	%rcx
	ret

/* The host's flag: each is a hypercall. */
	.globl	lguest64_asked_save_flags, lguest64_asked_restore_flags
	.globl	lguest64_asked_irq_disable, lguest64_asked_irq_enable
lguest64_asked_save_flags:
	movl	$LHCALL_IRQ_FLAGS, %eax
	jmp	ask
lguest64_asked_restore_flags:
	testl	$0x200, %eax
	movl	$LHCALL_IRQ_DISABLE, %eax
	jz	ask
	movl	$LHCALL_IRQ_ENABLE, %eax
	jmp	ask
lguest64_asked_irq_disable:
	pushq	%rax
	movl	$LHCALL_IRQ_DISABLE, %eax
	call	ask
	popq	%rax
	ret
lguest64_asked_irq_enable:
	pushq	%rax
	movl	$LHCALL_IRQ_ENABLE, %eax
	call	ask
	popq	%rax
	ret

/*
 * The processor's: with CR4.PVI, CLI and STI at ring 3 change VIF, bit 19 of EFLAGS, and leave IF alone (Intel SDM vol. 3,
 * 21.4). VIF goes to bit 9, where everybody looks for the flag. If an interrupt waits (VIP) STI faults, and the host
 * delivers it: nothing to be done here. This is as near to bare hardware as a guest gets.
 */
OPERATION(pvi_save_flags, pushfq; popq %rax; shrl $10, %eax; andl $0x200, %eax)
OPERATION(pvi_restore_flags, testb $2, %ah; jz 1f; sti; jmp 2f; 1: cli; 2:)
OPERATION(pvi_irq_disable, cli)
OPERATION(pvi_irq_enable, sti)

/* The ROM's: functions of the call page, which is too far away for a relative call. They keep all but %rax. */
#define CALL_PAGE(function) (LGUEST_CALL_PAGE + (function) * LGUEST_CALL_STRIDE)
#define LGUEST_CALL_PAGE ((0xffff << 48) + (LGUEST_HOST_PML4_SLOT << 39) + LGUEST_CALL_PAGE_OFFSET)
OPERATION(rom_save_flags, call *rom_save_flags)
OPERATION(rom_restore_flags, call *rom_restore_flags)
OPERATION(rom_irq_disable, call *rom_irq_disable)
OPERATION(rom_irq_enable, call *rom_irq_enable)

/*
 * G:080 Sleeping is the one thing that everybody gets wrong at first. If you look whether there is work, and then go to
 * sleep, the work may come in between, and you sleep beside it.
 *
 * Sleep until an interrupt, which is handled before the call returns. Interrupts must be on for that, yet none may slip
 * in between looking and sleeping: the flag of the coming hypercall holds them back, as STI's shadow does natively.
 *
 * Where there is no such flag, or the interrupt flag is not ours to write, we go to sleep with interrupts off: then HALT
 * itself turns them on, and only the Host can be in between.
 */
	.globl	lguest64_halt, lguest64_halt_off
lguest64_halt:
	movl	$1, %gs:LGS_HYPERCALL_FLAG
	movl	$0x200, %gs:LGS_IRQ_ENABLED
	movl	$LHCALL_HALT, %eax
	syscall
	ret
lguest64_halt_off:
	movl	$LHCALL_HALT, %eax
	HYPERCALL
	ret

/* Where hypercall VCPU_UP starts another processor: its number in %rdi, its stack, no %gs. */
	.globl	lguest64_secondary_entry
lguest64_secondary_entry:
	xorl	%ebp, %ebp
	call	lguest64_secondary
	ud2

/* The other two doors. Neither needs a flag: nobody but the kernel comes through them. */
	.globl	door_interrupt, door_interrupt_end, door_call_page, door_call_page_end
door_interrupt:
	int	$LGUEST_HYPERCALL_VECTOR
door_interrupt_end:
door_call_page:
	call	*call_page_hypercall
door_call_page_end:

/* SWAPGS on entry becomes nothing: a template of no bytes, filled with NOPs. */
nothing:

	.section .rodata
	.balign	8
	.globl	call_page_hypercall
call_page_hypercall:
	.quad	CALL_PAGE(LGUEST_CALL_HYPERCALL)
rom_save_flags:
	.quad	CALL_PAGE(LGUEST_CALL_SAVE_FLAGS)
rom_restore_flags:
	.quad	CALL_PAGE(LGUEST_CALL_RESTORE_FLAGS)
rom_irq_disable:
	.quad	CALL_PAGE(LGUEST_CALL_IRQ_DISABLE)
rom_irq_enable:
	.quad	CALL_PAGE(LGUEST_CALL_IRQ_ENABLE)

#define TEMPLATES(flag) .globl lguest64_##flag##_templates; lguest64_##flag##_templates:
#define TEMPLATE(name) .quad lguest64_##name, lguest64_##name##_end
#define FUNCTION .quad 0, 0
/* PV_IRET to PV_FLUSH_TLB_ONE, and PV_ENTRY_SWAPGS. */
#define THE_REST .skip 5 * 16; .quad nothing, nothing
TEMPLATES(word)
	TEMPLATE(word_save_flags)
	FUNCTION
	TEMPLATE(word_irq_disable)
	FUNCTION
	THE_REST
TEMPLATES(asked)
	FUNCTION
	FUNCTION
	FUNCTION
	FUNCTION
	THE_REST
TEMPLATES(pvi)
	TEMPLATE(pvi_save_flags)
	TEMPLATE(pvi_restore_flags)
	TEMPLATE(pvi_irq_disable)
	TEMPLATE(pvi_irq_enable)
	THE_REST
TEMPLATES(rom)
	TEMPLATE(rom_save_flags)
	TEMPLATE(rom_restore_flags)
	TEMPLATE(rom_irq_disable)
	TEMPLATE(rom_irq_enable)
	THE_REST
