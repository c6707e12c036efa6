/*
 * Locks stand where several processors would need them. With one processor, and a kernel that is never preempted in
 * kernel mode, taking one is nothing; the _irq variants still keep interrupt handlers out.
 */
#pragma once
#include "pv.h"

typedef struct {
#ifdef CONFIG_SMP
	u32 held;
#endif
	u8 unused[0];
} spinlock_t;

static inline void spin_lock(spinlock_t *l)
{
#ifdef CONFIG_SMP
	while (__atomic_exchange_n(&l->held, 1, __ATOMIC_ACQUIRE))
		cpu_relax();
#else
	(void)l;
	barrier();
#endif
}

static inline void spin_unlock(spinlock_t *l)
{
#ifdef CONFIG_SMP
	__atomic_store_n(&l->held, 0, __ATOMIC_RELEASE);
#else
	(void)l;
	barrier();
#endif
}

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
