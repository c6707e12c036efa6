/*
 * G:120 Into the kernel and out of it, x86_64. Every way in builds a struct pt_regs and calls C; every way out goes
 * through INTERRUPT_RETURN with the pt_regs at %rsp.
 *
 * Natively SYSCALL and interrupts leave the user's %gs base in place, and SWAPGS fetches the kernel's. Under lguest64
 * both kernel and user are at ring 3, the host exchanges the bases, and the SWAPGS sites are patched away.
 *
 * Below are the stubs for exceptions and interrupts. They cannot tell whether it was a processor that came to them or a
 * Host that pushed the same words on the stack and pointed the way: that is what reflecting means (H:160).
 */
#include "include/door.h"
#include "include/layout.h"

#define SITE_END(op) \
	772: .skip PV_SITE_SIZE - (772b - 771b), 0x90; \
	.pushsection .pv_sites, "a"; .long 771b - ., op; .popsection

#define INTERRUPT_RETURN 771: jmp *pv_ops + PV_IRET * 8; SITE_END(PV_IRET)

/* From user mode (RPL 3 in the frame's CS)? Then the kernel's %gs. */
#define SWAPGS_FROM_USER(cs) 771: testb $3, cs(%rsp); jz 772f; swapgs; SITE_END(PV_ENTRY_SWAPGS)

	.macro	push_rest
	pushq	%rsi
	pushq	%rdx
	pushq	%rcx
	pushq	%rax
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	.endm

	.macro	pop_all
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rax
	popq	%rcx
	popq	%rdx
	popq	%rsi
	popq	%rdi
	.endm

	.text
/*
 * G:123 The doors: whoever stands before one has already pushed where it came from. One stub of 16 bytes for each
 * vector below 64: error code (0 where the processor has none), vector, common part.
 */
	.balign	16
	.globl	trap_stubs
trap_stubs:
	.set	vector, 0
	.rept	FIRST_EXTERNAL_VECTOR + EXTERNAL_VECTORS
	.balign	16
	.if	!(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17)
	pushq	$0
	.endif
	pushq	$vector
	jmp	common_trap
	.set	vector, vector + 1
	.endr

	.balign	16
common_trap:
	cld
	SWAPGS_FROM_USER(24)	/* above: vector, error code, %rip, then %cs */
	/* The vector lies where %rdi belongs. */
	push_rest
	movq	PT_RDI(%rsp), %rsi
	movq	%rdi, PT_RDI(%rsp)
	movq	%rsp, %rdi
	call	trap_handler	/* returns whether we go back to user mode */
	testl	%eax, %eax
	jz	restore_all
ret_to_user:
	movq	%rsp, %rdi
	call	exit_to_user
restore_all:
	INTERRUPT_RETURN

	.globl	native_iret
native_iret:
	testb	$3, PT_CS(%rsp)
	jz	1f
	swapgs
1:	pop_all
	addq	$8, %rsp
	iretq

/*
 * G:127 This is what a system call costs on the bare machine. Mind the careful end: a kernel that returns by SYSRET
 * without looking has given ring 0 away (M:050).
 *
 * SYSCALL, native: interrupts off by SFMASK, no stack yet, %rcx = return address, %r11 = flags.
 */
	.balign	16
	.globl	native_syscall_entry
native_syscall_entry:
	swapgs
	movq	%rsp, %gs:PC_USER_SP
	movq	%gs:PC_KERNEL_SP, %rsp
	pushq	$USER_DS
	pushq	%gs:PC_USER_SP
	pushq	%r11
	pushq	$USER_CS
	pushq	%rcx
	pushq	%rax
	pushq	%rdi
	push_rest
	movq	%rsp, %rdi
	sti
	call	do_syscall
	movq	%rsp, %rdi
	call	exit_to_user
	/* SYSRET is quicker than IRET, and right if nobody changed the frame behind our back (a signal, exec). */
	movq	PT_RCX(%rsp), %rcx
	cmpq	%rcx, PT_IP(%rsp)
	jne	native_iret
	movq	PT_R11(%rsp), %r11
	cmpq	%r11, PT_FLAGS(%rsp)
	jne	native_iret
	/* SYSRET to a non-canonical address faults at ring 0 on the user's stack (Intel SDM, SYSRET): never. */
	movq	%rcx, %rax
	shrq	$47, %rax
	jnz	native_iret
	pop_all
	movq	PT_SP - PT_ORIG_AX(%rsp), %rsp
	swapgs
	sysretq

/*
 * G:130 SYSCALL, lguest64: the host has pushed a pt_regs (its lguest64_regs is the same) and turned virtual interrupts
 * off.
 *
 * Compare it with the native entry above: no SWAPGS, no hunt for a stack, no saving of registers. The Host had them all
 * in its hands anyway. What it costs is that it had them in its hands: two world switches for each system call of a
 * process. On i386 lguest did without (H:350).
 */
	.balign	16
	.globl	lguest64_syscall_entry
lguest64_syscall_entry:
	cld
	movq	%rsp, %rdi
	call	lguest64_syscall
	jmp	ret_to_user

/*
 * G:140 And the way back. An ordinary IRET in ring 3 cannot turn a Guest's kernel into a Guest's user, as to the
 * processor both are users; only the Host can exchange the views. So returning is a hypercall.
 *
 * Return, lguest64: hypercall IRET takes %rax, %r11 and %rcx from three words below the interrupt frame. Those are the
 * slots of %rsi, %rdi and orig_ax, which are free once the registers are loaded. Where the hypercall is a call its return
 * address comes below them, and the host takes the frame from above it.
 */
	.globl	lguest64_iret
lguest64_iret:
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rax
	popq	%rcx
	popq	%rdx
	movq	8(%rsp), %rdi	/* %rsi, %rdi, orig_ax, %rip … */
	movq	%rcx, 16(%rsp)
	movq	%r11, 8(%rsp)
	movq	(%rsp), %rsi
	movq	%rax, (%rsp)
	movl	$LHCALL_IRET, %eax
	HYPERCALL
	ud2

/* A new task comes here from switch_to, with its pt_regs on top of the stack and the task that ran before in %rax. */
	.globl	ret_from_fork
ret_from_fork:
	movq	%rax, %rdi
	call	task_begin
	jmp	ret_to_user

/* struct task *switch_to(struct task *from, struct task *to): task.sp is its first word. */
	.globl	switch_to
switch_to:
	pushq	%rbp
	pushq	%rbx
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, (%rdi)
	movq	(%rsi), %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbx
	popq	%rbp
	movq	%rdi, %rax
	ret
