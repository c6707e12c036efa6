/*
 * A boot loader for QEMU, which cannot enter a kernel by the 32- or 64-bit Linux protocol directly. QEMU loads this by
 * Multiboot (version 1) with two modules, the kernel's ELF image and the initramfs; it lays the image out, fills boot_params and
 * jumps to e_entry as docs/abi-x86_64.md and docs/native-machine.md say. Development aid: nothing of it ships.
 */
#define MAGIC 0x1badb002
#define FLAGS 3 /* modules on page boundaries, memory map */
	.section .text
	.long MAGIC, FLAGS, -(MAGIC + FLAGS)
	.globl _start
_start:
	movl	$stack + 4096, %esp
	pushl	%ebx
	call	load		/* (multiboot information) -> entry; long_mode is set for an ELF64 image */
	movl	%eax, %edi
	lgdt	gdtr
	movl	boot_params_address, %esi
	cmpl	$0, long_mode
	jne	1f
	ljmp	$0x10, $3f
3:	movl	$0x18, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	xorl	%ebp, %ebp
	jmp	*%edi
1:	movl	%cr4, %eax
	orl	$0x20, %eax	/* PAE */
	movl	%eax, %cr4
	movl	page_tables, %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx
	rdmsr
	orl	$0x100, %eax	/* EFER.LME */
	wrmsr
	movl	%cr0, %eax
	orl	$0x80000000, %eax
	movl	%eax, %cr0
	ljmp	$0x20, $2f
	.code64
2:	movl	$0x18, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	%edi, %edi
	movl	%esi, %esi
	jmp	*%rdi
	.code32
	.data
	.balign 8
gdt:	.quad 0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff
gdtr:	.word . - gdt - 1
	.long gdt
	.bss
	.balign 4096
stack:	.skip 4096
