/* Where a program begins: the stack holds argc, argv[], NULL, envp[], NULL (the System V ABI's process entry). */
	.section .text.start, "ax"
	.globl _start
#ifdef __x86_64__
_start:
	xorl	%ebp, %ebp
	movq	(%rsp), %rdi
	leaq	8(%rsp), %rsi
	leaq	8(%rsi,%rdi,8), %rdx
	andq	$-16, %rsp
	call	start
	ud2

/* long syscall6(number, a, b, c, d, e, f) */
	.globl syscall6
syscall6:
	movq	%rdi, %rax
	movq	%rsi, %rdi
	movq	%rdx, %rsi
	movq	%rcx, %rdx
	movq	%r8, %r10
	movq	%r9, %r8
	movq	8(%rsp), %r9
	syscall
	ret

	.globl restore_signal
restore_signal:
	movl	$15, %eax	/* rt_sigreturn */
	syscall
#else
_start:
	xorl	%ebp, %ebp
	movl	%esp, %esi
	movl	(%esi), %eax
	leal	4(%esi), %edx
	leal	4(%edx,%eax,4), %ecx
	andl	$-16, %esp
	subl	$4, %esp
	pushl	%ecx
	pushl	%edx
	pushl	%eax
	call	start
	ud2

	.globl syscall6
syscall6:
	pushl	%ebx
	pushl	%esi
	pushl	%edi
	pushl	%ebp
	movl	20(%esp), %eax
	movl	24(%esp), %ebx
	movl	28(%esp), %ecx
	movl	32(%esp), %edx
	movl	36(%esp), %esi
	movl	40(%esp), %edi
	movl	44(%esp), %ebp
	int	$0x80
	popl	%ebp
	popl	%edi
	popl	%esi
	popl	%ebx
	ret

	.globl restore_signal
restore_signal:
	movl	$173, %eax	/* rt_sigreturn */
	int	$0x80
#endif
	.section .note.GNU-stack, "", @progbits
