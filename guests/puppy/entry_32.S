/*
 * Into the kernel and out of it, i386. Every way in builds a struct pt_regs on the kernel stack and calls C; every way
 * out goes through INTERRUPT_RETURN, one instruction natively and lguest_iret under lguest.
 *
 * Natively the kernel is at ring 0, under lguest at ring 1; so "did we come from user mode" is asked as RPL 3.
 * The kernel's %ds and %es are the user's flat segment, which either ring may use; %fs finds the per-CPU data.
 */
#include "include/layout.h"

#define INTERRUPT_RETURN \
	771: jmp *pv_ops + PV_IRET * 4; \
	772: .skip PV_SITE_SIZE - (772b - 771b), 0x90; \
	.pushsection .pv_sites, "a"; .long 771b - ., PV_IRET; .popsection

/* A pop that may fault, if a user left a selector whose descriptor is gone: then it gets 0. */
#define POP_SEGMENT(reg) \
	1: popl %reg; \
	.pushsection .fixup, "ax"; 2: movl $0, (%esp); jmp 1b; .popsection; \
	.pushsection .ex_table, "a"; .long 1b - ., 2b - .; .popsection

	.text
/* One stub of 16 bytes for each vector below 64: error code (0 where the processor has none), vector, common part. */
	.balign	16
	.globl	trap_stubs
trap_stubs:
	.set	vector, 0
	.rept	FIRST_EXTERNAL_VECTOR + EXTERNAL_VECTORS
	.balign	16
	.if	!(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17)
	pushl	$0
	.endif
	pushl	$vector
	jmp	common_trap
	.set	vector, vector + 1
	.endr

	.balign	16
common_trap:
	cld
	/* The vector lies where %gs belongs. */
	pushl	%fs
	pushl	%es
	pushl	%ds
	pushl	%eax
	pushl	%ebp
	pushl	%edi
	pushl	%esi
	pushl	%edx
	pushl	%ecx
	pushl	%ebx
	movl	PT_GS(%esp), %edx
	movl	%gs, %ecx
	movl	%ecx, PT_GS(%esp)
	movl	$USER_DS, %ecx
	movl	%ecx, %ds
	movl	%ecx, %es
	movl	$PERCPU_SELECTOR, %ecx
	movl	%ecx, %fs
	movl	%esp, %eax
	call	trap_handler
ret_from_trap:
	movl	PT_CS(%esp), %eax
	andl	$3, %eax
	cmpl	$3, %eax
	jne	restore_all
ret_to_user:
	movl	%esp, %eax
	call	exit_to_user
restore_all:
	popl	%ebx
	popl	%ecx
	popl	%edx
	popl	%esi
	popl	%edi
	popl	%ebp
	popl	%eax
	POP_SEGMENT(ds)
	POP_SEGMENT(es)
	POP_SEGMENT(fs)
	POP_SEGMENT(gs)
	addl	$4, %esp
	INTERRUPT_RETURN

/* int $0x80: a trap gate, so interrupts are as the user had them, on. lguest's host lets it come here directly. */
	.balign	16
	.globl	syscall_entry
syscall_entry:
	cld
	pushl	%eax
	pushl	%gs
	pushl	%fs
	pushl	%es
	pushl	%ds
	pushl	%eax
	pushl	%ebp
	pushl	%edi
	pushl	%esi
	pushl	%edx
	pushl	%ecx
	pushl	%ebx
	movl	$USER_DS, %ecx
	movl	%ecx, %ds
	movl	%ecx, %es
	movl	$PERCPU_SELECTOR, %ecx
	movl	%ecx, %fs
	movl	%esp, %eax
	call	do_syscall
	jmp	ret_to_user

/* A new task comes here from switch_to, with its pt_regs on top of the stack and the task that ran before in %eax. */
	.globl	ret_from_fork
ret_from_fork:
	call	task_begin
	jmp	ret_to_user

/* struct task *switch_to(struct task *from, struct task *to): task.sp is its first word. */
	.globl	switch_to
switch_to:
	pushl	%ebp
	pushl	%edi
	pushl	%esi
	pushl	%ebx
	movl	%esp, (%eax)
	movl	(%edx), %esp
	popl	%ebx
	popl	%esi
	popl	%edi
	popl	%ebp
	ret

/* Native: the processor reports a double fault by switching to this task, with a good stack. */
	.globl	double_fault_entry
double_fault_entry:
	call	double_fault
	ud2
