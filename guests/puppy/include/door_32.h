/*
 * How a hypercall leaves the kernel, i386; the sibling of door.h. As compiled each is INT 0x1f, with room behind it, and is
 * recorded; where the host has a call page, design_32.c puts a call into the place of each.
 */
#pragma once
#include <lguest_abi.h>

#ifdef __ASSEMBLER__
/* %eax number, result; arguments in %ebx, %ecx, %edx, %esi. */
#define HYPERCALL \
	771: int $LGUEST_TRAP_ENTRY; .byte 0x0f, 0x1f, 0x40, 0; 772: \
	.pushsection .doors, "a"; .long 771b - ., 772b - 771b; .popsection
#else
#define HYPERCALL                                                                                                      \
	"771:\tint %[door]\n\t.byte 0x0f,0x1f,0x40,0\n772:\n"                                                          \
	"\t.pushsection .doors,\"a\"\n\t.long 771b-.,772b-771b\n\t.popsection"
#endif
