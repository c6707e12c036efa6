/* Several processors: who is there, how they are called, and what they are called for. */
#pragma once
#include "percpu.h"

extern int cpu_count;   /* that came up; their numbers are 0 to cpu_count - 1 */
extern u32 online_mask; /* bit n: processor n takes part */

enum {
	IPI_RESCHED = 1, /* look at your run queue */
	IPI_TICK = 2,    /* a hundredth of a second has passed */
	IPI_FLUSH = 4,   /* somebody's flush_request waits for you */
};
void ipi_send(u32 mask, u32 what);

void smp_init(void); /* with interrupts on: brings up the other processors */
void secondary_start(struct cpu_area *area) __attribute__((noreturn)); /* where they begin in C, on their own stack */
/* The ops table's flush_tlb_others where processors interrupt each other. Waits for all answers; hold no spinlock. */
void smp_flush_tlb_others(struct mm *mm, u32 mask, ulong start, ulong end);
