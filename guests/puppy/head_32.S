/*
 * The first instructions, i386. Linux's 32-bit boot protocol: flat segments, paging off, interrupts off, and in %esi
 * the physical address of boot_params. We are linked 3 GiB higher than we run, so until the jump at the end every
 * address must be corrected by hand.
 *
 * Under lguest (hardware_subarch 1) we are at ring 1 and "paging off" is an illusion that the host keeps up; LGUEST_INIT
 * and NEW_PGTABLE take the places of LGDT and MOV CR3, the tables are the same.
 */
#include "include/layout.h"
#include <lguest_abi.h>
#define PHYS(x) ((x)-KERNEL_OFFSET)
#define TABLE_FLAGS 0x63 /* present, writable, accessed, dirty: what lguest's host accepts in a directory entry */

	.section .head.text, "ax"
	.globl startup
startup:
	cld
	/* What C expects to be zero. The loader did it too, if it keeps the rules. */
	movl	$PHYS(bss_start), %edi
	movl	$bss_end, %ecx
	subl	$bss_start, %ecx
	shrl	$2, %ecx
	xorl	%eax, %eax
	rep stosl
	movl	%esi, PHYS(boot_params_pa)

	/* One page table for the first 4 MiB, which show at 0 (where we are) and at 3 GiB (where we are going). */
	movl	$PHYS(boot_pte), %edi
	movl	$TABLE_FLAGS, %eax
	movl	$1024, %ecx
1:	stosl
	addl	$4096, %eax
	decl	%ecx
	jnz	1b
	movl	$(PHYS(boot_pte) + TABLE_FLAGS), PHYS(kernel_pgd)
	movl	$(PHYS(boot_pte) + TABLE_FLAGS), PHYS(kernel_pgd + (KERNEL_OFFSET >> 22) * 4)

	cmpl	$SUBARCH_LGUEST, BP_SUBARCH(%esi)
	je	2f
	movl	$PHYS(kernel_pgd), %eax
	movl	%eax, %cr3
	movl	%cr0, %eax
	orl	$0x80010000, %eax	/* PG, WP */
	movl	%eax, %cr0
	movl	$high, %eax
	jmp	*%eax
2:	movl	$(PHYS(idle_stack) + KERNEL_STACK), %esp
	movl	$LHCALL_LGUEST_INIT, %eax
	movl	$PHYS(lguest_data), %ebx
	call	hypercall
	movl	$LHCALL_NEW_PGTABLE, %eax
	movl	$PHYS(kernel_pgd), %ebx
	call	hypercall
	movl	$high, %eax
	jmp	*%eax

/* By the door that the design word names, where the doors have not been put in their places yet. */
hypercall:
	movl	BP_SUBARCH_DATA(%esi), %edx
	shrl	$LGUEST_DESIGN_HYPERCALL_SHIFT, %edx
	andl	$LGUEST_DESIGN_FIELD_MASK, %edx
	cmpl	$LGUEST_HYPERCALL_CALL_PAGE, %edx
	jne	1f
	movl	$(LGUEST_CALL_PAGE + LGUEST_CALL_HYPERCALL * LGUEST_CALL_STRIDE), %edx
	jmp	*%edx
1:	int	$LGUEST_TRAP_ENTRY
	ret

	.text
high:
	movl	$(idle_stack + KERNEL_STACK), %esp
	xorl	%ebp, %ebp
	call	start_kernel
	ud2

	.section .bss.page, "aw", @nobits
	.balign	4096
	.globl	boot_tables, kernel_pgd, boot_pte
kernel_pgd:
	.skip	4096
boot_tables:
boot_pte:
	.skip	4096
	.balign	KERNEL_STACK
	.globl	idle_stack
idle_stack:
	.skip	KERNEL_STACK

	.data
	.globl	boot_params_pa
boot_params_pa:
	.long	0
