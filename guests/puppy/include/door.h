/*
 * How a hypercall leaves the kernel, x86_64. As compiled each is "set the flag, SYSCALL", and is recorded; where the host
 * wants another door, design_64.c puts that in the place of each before the first is used.
 */
#pragma once
#include <lguest64_abi.h>

#ifdef __ASSEMBLER__
/* %rax number, result; arguments in %rdi, %rsi, %rdx, %r10, %r8; %rcx and %r11 are lost. */
#define HYPERCALL \
	771: movl $1, %gs:LGS_HYPERCALL_FLAG; syscall; 772: \
	.pushsection .doors, "a"; .long 771b - ., 772b - 771b; .popsection
#else
/* The flag is set by an instruction of the user's choice, of six bytes or more. */
#define HYPERCALL_BY(set_flag)                                                                                         \
	"771:\t" set_flag "\n\tsyscall\n772:\n"                                                                        \
	"\t.pushsection .doors,\"a\"\n\t.long 771b-.,772b-771b\n\t.popsection"
#define HYPERCALL HYPERCALL_BY("movl $1,%%gs:%c[flag]")
#endif
