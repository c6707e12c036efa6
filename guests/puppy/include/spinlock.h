/*
 * Locks that spin. Whoever holds one neither sleeps nor waits for another processor's answer (a TLB shootdown), so the
 * others wait for a handful of instructions. A lock that an interrupt handler takes too is taken with interrupts off.
 */
#pragma once
#include "pv.h"

typedef struct {
	u32 held;
} spinlock_t;

/*
 * In a loop that waits for another processor; n: how often it has come here. Under a hypervisor that one may have none of
 * its own, and whoever waits for long had better stand aside.
 */
static inline void spin_wait(u32 n)
{
	cpu_relax();
	if (n % 1024 == 0 && pv_ops.yield)
		pv_ops.yield();
}

static inline bool spin_trylock(spinlock_t *l) { return !__atomic_exchange_n(&l->held, 1, __ATOMIC_ACQUIRE); }

static inline void spin_lock(spinlock_t *l)
{
	while (!spin_trylock(l))
		/* Only looking leaves the cache line with whoever is about to give it back. */
		for (u32 n = 1; READ_ONCE(l->held); n++)
			spin_wait(n);
}

static inline void spin_unlock(spinlock_t *l) { __atomic_store_n(&l->held, 0, __ATOMIC_RELEASE); }

static inline ulong spin_lock_irqsave(spinlock_t *l)
{
	ulong flags = irq_save();
	spin_lock(l);
	return flags;
}

static inline void spin_unlock_irqrestore(spinlock_t *l, ulong flags)
{
	spin_unlock(l);
	irq_restore(flags);
}
