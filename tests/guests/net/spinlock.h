/* Stands in for puppy's spinlock.h: a lock that is taken twice, or held where it must not be, ends the test. */
#pragma once
#include "types.h"

typedef struct {
	int held;
} spinlock_t;
extern int locks_held;

static inline ulong spin_lock_irqsave(spinlock_t *l)
{
	if (l->held++)
		__builtin_trap();
	locks_held++;
	return 0;
}

static inline void spin_unlock_irqrestore(spinlock_t *l, ulong flags)
{
	(void)flags;
	if (!l->held--)
		__builtin_trap();
	locks_held--;
}
