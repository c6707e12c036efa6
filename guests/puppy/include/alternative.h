/*
 * Code that only a machine with several processors needs, and that falls away where there is one: `if (many_cpus()) …`.
 *
 * It begins as an operation that does nothing, five bytes long, so the code behind it runs: that is right on any machine.
 * Once it is known that there is one processor and will be no more, alternative.c makes a jump around the code of each.
 */
#pragma once
#include "types.h"

#define SMP_NOP ".byte 0x0f, 0x1f, 0x44, 0, 0"
/* The record of label 771, where one is, and of where it is to jump to. */
#define SMP_SITE(alone) "\t.pushsection .smp_sites,\"a\"\n\t.long 771b-., " alone "-.\n\t.popsection"

static inline __attribute__((always_inline)) bool many_cpus(void)
{
	__asm__ goto("771:\t" SMP_NOP "\n" SMP_SITE("%l[alone]")::: "memory" : alone);
	return true;
alone:
	return false;
}

/* Stores before this are seen by the other processors before we look at what loads after it find. */
static inline void full_fence(void)
{
	if (many_cpus())
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* x86_64: other code in the place of every hypercall's SYSCALL. */
void replace_doors(const u8 *start, const u8 *end);
void forget_other_cpus(void); /* there are none, and will be none */
