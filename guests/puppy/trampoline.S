/*
 * Where another processor of a bare machine starts: real mode, at the physical page TRAMPOLINE, to which native_smp.c has
 * copied this. It takes the way that a boot loader and head_*.S take the first one, and ends in native_secondary, at the
 * address where the kernel runs, with the stack that the last words of the page name.
 */
#include "include/layout.h"
#define AT(x) (TRAMPOLINE + (x) - trampoline_start)
#define SELECTOR_CODE32 0x08
#define SELECTOR_DATA 0x10
#define SELECTOR_CODE64 0x18

	.section .rodata
	.balign	16
	.globl	trampoline_start, trampoline_end, trampoline_parameters
trampoline_start:
	.code16
	cli
	cld
	xorw	%ax, %ax
	movw	%ax, %ds
	lgdtl	AT(gdtr)
	movl	%cr0, %eax
	andl	$0x9fffffff, %eax	/* caches on: CD, NW */
	orl	$1, %eax		/* PE */
	movl	%eax, %cr0
	ljmpl	$SELECTOR_CODE32, $AT(protected)

	.code32
protected:
	movl	$SELECTOR_DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	AT(cr4), %eax
	movl	%eax, %cr4
	movl	AT(cr3), %eax
	movl	%eax, %cr3
#ifdef __x86_64__
	movl	$0xc0000080, %ecx
	rdmsr
	orl	$0x100, %eax		/* EFER.LME */
	wrmsr
	movl	%cr0, %eax
	orl	$0x80010000, %eax	/* PG, WP */
	movl	%eax, %cr0
	ljmpl	$SELECTOR_CODE64, $AT(long_mode)

	.code64
long_mode:
	movl	$AT(stack), %ebx
	movq	(%rbx), %rsp
	movq	8(%rbx), %rdi
	movq	16(%rbx), %rax
	xorl	%ebp, %ebp
	call	*%rax
	ud2
	.balign	8
#else
	movl	%cr0, %eax
	orl	$0x80010000, %eax	/* PG, WP */
	movl	%eax, %cr0
	movl	AT(stack), %esp
	movl	AT(area), %eax
	xorl	%ebp, %ebp
	call	*AT(entry)
	ud2
	.balign	4
#endif

/* struct trampoline_parameters */
trampoline_parameters:
cr3:	.long	0
cr4:	.long	0
#ifdef __x86_64__
stack:	.quad	0
area:	.quad	0
entry:	.quad	0
#else
stack:	.long	0
area:	.long	0
entry:	.long	0
#endif
	.balign	8
gdt:	.quad	0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff
gdtr:	.word	. - gdt - 1
	.long	AT(gdt)
trampoline_end:

#ifdef __x86_64__
	.code64
#endif
