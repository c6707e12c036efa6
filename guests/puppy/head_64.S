/*
 * G:010 Part 2, Guest: the life of a kernel that knows that it is not alone. Ours is called puppy, after the animals in
 * lguest, and is small enough to be read in a weekend; for the journey an hour will do.
 *
 * It begins here, on the bare machine and under a Host alike. See what it must do before it can do anything: clear its
 * memory, make itself page tables, and move to where it was linked. Natively the tables go into CR3 by an instruction
 * that only ring 0 may use. A Guest asks instead: two hypercalls, and they are the same SYSCALL that its own processes
 * will use; or go by another door, if that is how its Host is built.
 *
 * The first instructions, x86_64: 64-bit mode, memory mapped to itself, interrupts off, and in %rsi the physical
 * address of boot_params; native and under lguest64 alike (docs/abi-x86_64.md). We are linked 2 GiB below the top, and
 * go there as soon as our own tables are in force.
 */
#include "include/door.h"
#include "include/layout.h"
#define PHYS(x) ((x)-KERNEL_OFFSET)
#define TABLE_FLAGS 0x63 /* present, writable, accessed, dirty */
#define LARGE_FLAGS 0xe3 /* and a 2 MiB page */

	.section .head.text, "ax"
	.globl startup
startup:
	cld
	movl	$PHYS(bss_start), %edi
	movl	$PHYS(bss_end), %ecx
	subl	%edi, %ecx
	shrl	$3, %ecx
	xorl	%eax, %eax
	rep stosq
	movl	%esi, PHYS(boot_params_pa)

	/* The first 4 MiB, twice: at 0, where we are, and at KERNEL_OFFSET, the last but one GiB of the address space. */
	movl	$(PHYS(boot_pud_low) + TABLE_FLAGS), PHYS(kernel_pgd)
	movl	$(PHYS(boot_pud) + TABLE_FLAGS), PHYS(kernel_pgd + 511 * 8)
	movl	$(PHYS(boot_pmd) + TABLE_FLAGS), PHYS(boot_pud_low)
	movl	$(PHYS(boot_pmd) + TABLE_FLAGS), PHYS(boot_pud + 510 * 8)
	movl	$LARGE_FLAGS, PHYS(boot_pmd)
	movl	$(0x200000 + LARGE_FLAGS), PHYS(boot_pmd + 8)

	cmpl	$SUBARCH_LGUEST, BP_SUBARCH(%rsi)
	je	1f
	movl	$PHYS(kernel_pgd), %eax
	movq	%rax, %cr3
	movq	$high, %rax
	jmp	*%rax
1:	movl	$PHYS(idle_stack + KERNEL_STACK), %esp
	testl	$LGUEST_DESIGN_MACHINE_FRAMES, BP_SUBARCH_DATA(%rsi)
	jz	2f
	call	machine_tables
2:
	movl	BP_SUBARCH_DATA(%rsi), %ebx
	shrl	$LGUEST_DESIGN_HYPERCALL_SHIFT, %ebx
	andl	$LGUEST_DESIGN_FIELD_MASK, %ebx
	/* Before LGUEST_INIT every SYSCALL is a hypercall; after it the flag must say so. */
	xorl	%edx, %edx
	movl	$LHCALL_LGUEST_INIT, %eax
	movl	$PHYS(cpu0_area), %edi
	call	hypercall
	movl	$1, %edx
	movl	$LHCALL_NEW_PGTABLE, %eax
	movl	$PHYS(kernel_pgd), %edi
	call	hypercall
	movq	$high, %rax
	jmp	*%rax

/*
 * For a host that has the processor walk these tables (mm/pgtable_64.c): small pages, for some of them are tables and
 * read-only to us, and the machine's addresses, of which the first frame is told in the design word.
 */
machine_tables:
	movl	BP_SUBARCH_DATA + 4(%rsi), %ebx
	shlq	$12, %rbx
	movq	%rbx, PHYS(machine_offset)
	leaq	TABLE_FLAGS(%rbx), %rax
	movl	$PHYS(boot_pte), %edi
1:	movq	%rax, (%rdi)
	addq	$4096, %rax
	addq	$8, %rdi
	cmpl	$PHYS(boot_pte + 2 * 4096), %edi
	jb	1b
	movl	$(PHYS(boot_pte) + TABLE_FLAGS), PHYS(boot_pmd)
	movl	$(PHYS(boot_pte + 4096) + TABLE_FLAGS), PHYS(boot_pmd + 8)
	addq	%rbx, PHYS(kernel_pgd)
	addq	%rbx, PHYS(kernel_pgd + 511 * 8)
	addq	%rbx, PHYS(boot_pud_low)
	addq	%rbx, PHYS(boot_pud + 510 * 8)
	addq	%rbx, PHYS(boot_pmd)
	addq	%rbx, PHYS(boot_pmd + 8)
	ret

/* By door %ebx, with the flag in %edx, where the doors have not been put in their places yet. */
hypercall:
	cmpl	$LGUEST_HYPERCALL_INTERRUPT, %ebx
	je	1f
	ja	2f
	movl	%edx, PHYS(cpu0_area + LGS_HYPERCALL_FLAG)
	syscall
	ret
1:	int	$LGUEST_HYPERCALL_VECTOR
	ret
2:	cmpl	$LGUEST_HYPERCALL_CALL_PAGE, %ebx
	jne	3f
	jmp	*PHYS(call_page_hypercall)	/* with our caller's return address, as if we had called */
3:	ud2

	.text
high:
	movq	$(idle_stack + KERNEL_STACK), %rsp
	xorl	%ebp, %ebp
	call	start_kernel
	ud2

	.section .bss.page, "aw", @nobits
	.balign	4096
	.globl	boot_tables, kernel_pgd
kernel_pgd:
	.skip	4096
boot_tables:
boot_pud_low:
	.skip	4096
boot_pud:
	.skip	4096
boot_pmd:
	.skip	4096
boot_pte:
	.skip	2 * 4096
	.balign	KERNEL_STACK
	.globl	idle_stack
idle_stack:
	.skip	KERNEL_STACK

	.data
	.globl	boot_params_pa, machine_offset
boot_params_pa:
	.quad	0
machine_offset:
	.quad	0
