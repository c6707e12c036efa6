/* A lock that somebody has: spin_wait_for, in C, gets it; here the registers are saved that C may lose. */
#include "include/layout.h"

	.text
	.globl	spin_contended
spin_contended:
#ifdef __x86_64__
	pushq	%rax
	pushq	%rcx
	pushq	%rdx
	pushq	%rsi
	pushq	%rdi
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	call	spin_wait_for
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rdi
	popq	%rsi
	popq	%rdx
	popq	%rcx
	popq	%rax
#else
	pushl	%eax
	pushl	%ecx
	pushl	%edx
	call	spin_wait_for
	popl	%edx
	popl	%ecx
	popl	%eax
#endif
	ret
