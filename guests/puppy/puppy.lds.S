/* Linked where the kernel runs, loaded (AT) where physical memory is: 1 MiB up. The entry is a physical address. */
#include "include/layout.h"
#undef i386 /* gcc defines it as 1 */

#ifdef __x86_64__
OUTPUT_FORMAT("elf64-x86-64")
OUTPUT_ARCH(i386:x86-64)
#else
OUTPUT_FORMAT("elf32-i386")
OUTPUT_ARCH(i386)
#endif
ENTRY(phys_startup)

PHDRS
{
	text PT_LOAD FLAGS(5);
	data PT_LOAD FLAGS(6);
}

SECTIONS
{
	. = KERNEL_OFFSET + 0x100000;
	_start = .;
	.text : AT(ADDR(.text) - KERNEL_OFFSET) {
		*(.head.text)
		*(.text .text.*)
		*(.fixup)
	} :text
	.rodata : AT(ADDR(.rodata) - KERNEL_OFFSET) {
		*(.rodata .rodata.*)
		. = ALIGN(8);
		pv_sites_start = .;
		*(.pv_sites)
		pv_sites_end = .;
		doors_start = .;
		*(.doors)
		doors_end = .;
		smp_sites_start = .;
		*(.smp_sites)
		smp_sites_end = .;
		. = ALIGN(8);
		ex_table_start = .;
		*(.ex_table)
		ex_table_end = .;
	} :text
	. = ALIGN(4096);
	.data : AT(ADDR(.data) - KERNEL_OFFSET) {
		*(.data.page)
		*(.data .data.*)
	} :data
	. = ALIGN(4096);
	bss_start = .;
	.bss : AT(ADDR(.bss) - KERNEL_OFFSET) {
		*(.bss.page)
		*(.bss .bss.* COMMON)
		. = ALIGN(4096);
	} :data
	bss_end = .;
	_end = .;
	phys_startup = startup - KERNEL_OFFSET;
	/DISCARD/ : { *(.comment) *(.note*) *(.eh_frame*) }
}
