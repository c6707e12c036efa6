/*
 * Copies that may fault. The faulting instruction's address is in .ex_table with the place to go on; REP MOVS and STOS
 * leave in the count register what is still to be done, which is just what the caller wants to know.
 */
#define EX(from, to) .pushsection .ex_table, "a"; .long from - ., to - .; .popsection

	.text
#ifdef __x86_64__
	.globl	raw_copy, raw_clear, raw_strncpy
raw_copy:	/* to, from, n */
	movq	%rdx, %rcx
	shrq	$3, %rcx
	andl	$7, %edx
1:	rep movsq
	movl	%edx, %ecx
2:	rep movsb
	movq	%rcx, %rax
	ret
3:	leaq	(%rdx,%rcx,8), %rax
	ret
4:	movq	%rcx, %rax
	ret
	EX(1b, 3b)
	EX(2b, 4b)

raw_clear:	/* to, n */
	movq	%rsi, %rcx
	movl	%esi, %edx
	shrq	$3, %rcx
	andl	$7, %edx
	xorl	%eax, %eax
1:	rep stosq
	movl	%edx, %ecx
2:	rep stosb
	movq	%rcx, %rax
	ret
3:	leaq	(%rdx,%rcx,8), %rax
	ret
4:	movq	%rcx, %rax
	ret
	EX(1b, 3b)
	EX(2b, 4b)

raw_strncpy:	/* to, from, n */
	xorl	%eax, %eax
1:	cmpq	%rdx, %rax
	jae	3f
2:	movb	(%rsi,%rax), %cl
	movb	%cl, (%rdi,%rax)
	testb	%cl, %cl
	jz	3f
	incq	%rax
	jmp	1b
3:	ret
4:	movq	$-14, %rax
	ret
	EX(2b, 4b)
#else
	.globl	raw_copy, raw_clear, raw_strncpy
raw_copy:	/* to %eax, from %edx, n %ecx */
	pushl	%edi
	pushl	%esi
	pushl	%ebx
	movl	%eax, %edi
	movl	%edx, %esi
	movl	%ecx, %ebx
	shrl	$2, %ecx
	andl	$3, %ebx
1:	rep movsl
	movl	%ebx, %ecx
2:	rep movsb
3:	movl	%ecx, %eax
	popl	%ebx
	popl	%esi
	popl	%edi
	ret
4:	leal	(%ebx,%ecx,4), %ecx
	jmp	3b
	EX(1b, 4b)
	EX(2b, 3b)

raw_clear:	/* to %eax, n %edx */
	pushl	%edi
	movl	%eax, %edi
	movl	%edx, %ecx
	shrl	$2, %ecx
	andl	$3, %edx
	xorl	%eax, %eax
1:	rep stosl
	movl	%edx, %ecx
2:	rep stosb
3:	movl	%ecx, %eax
	popl	%edi
	ret
4:	leal	(%edx,%ecx,4), %ecx
	jmp	3b
	EX(1b, 4b)
	EX(2b, 3b)

raw_strncpy:	/* to %eax, from %edx, n %ecx */
	pushl	%edi
	pushl	%ebx
	movl	%eax, %edi
	xorl	%eax, %eax
1:	cmpl	%ecx, %eax
	jae	3f
2:	movb	(%edx,%eax), %bl
	movb	%bl, (%edi,%eax)
	testb	%bl, %bl
	jz	3f
	incl	%eax
	jmp	1b
3:	popl	%ebx
	popl	%edi
	ret
4:	movl	$-14, %eax
	jmp	3b
	EX(2b, 4b)
#endif
