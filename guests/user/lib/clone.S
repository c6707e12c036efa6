/* int clone_memory(fn, argument, top): the child begins with nothing but the new stack, where both wait for it. */
#define CLONE_FLAGS 0x111	/* CLONE_VM, and SIGCHLD at the end */
	.text
	.globl clone_memory
#ifdef __x86_64__
clone_memory:
	andq	$-16, %rdx
	movq	%rdi, -16(%rdx)
	movq	%rsi, -8(%rdx)
	leaq	-16(%rdx), %rsi
	movl	$CLONE_FLAGS, %edi
	xorl	%edx, %edx
	xorl	%r10d, %r10d
	xorl	%r8d, %r8d
	movl	$56, %eax
	syscall
	testq	%rax, %rax
	jz	1f
	ret
1:	xorl	%ebp, %ebp
	popq	%rax
	popq	%rdi
	call	*%rax
	movl	%eax, %edi
	movl	$60, %eax
	syscall
	ud2
#else
clone_memory:
	pushl	%ebx
	pushl	%esi
	pushl	%edi
	movl	24(%esp), %ecx
	andl	$-16, %ecx
	subl	$16, %ecx
	movl	16(%esp), %eax
	movl	%eax, 8(%ecx)
	movl	20(%esp), %eax
	movl	%eax, 12(%ecx)
	addl	$8, %ecx
	movl	$CLONE_FLAGS, %ebx
	xorl	%edx, %edx
	xorl	%esi, %esi
	xorl	%edi, %edi
	movl	$120, %eax
	int	$0x80
	testl	%eax, %eax
	jz	1f
	popl	%edi
	popl	%esi
	popl	%ebx
	ret
1:	xorl	%ebp, %ebp
	popl	%eax
	popl	%edx
	subl	$12, %esp
	pushl	%edx
	call	*%eax
	movl	%eax, %ebx
	movl	$1, %eax
	int	$0x80
	ud2
#endif
	.section .note.GNU-stack, "", @progbits
