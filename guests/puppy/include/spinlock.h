/*
 * Locks that spin. Whoever holds one neither sleeps nor waits for another processor's answer (a TLB shootdown), so the
 * others wait for a handful of instructions. A lock that an interrupt handler takes too is taken with interrupts off.
 * With one processor nobody can wait, and taking a lock is a jump over it.
 */
#pragma once
#include "alternative.h"
#include "pv.h"

typedef struct {
	u32 held;
} spinlock_t;

/*
 * G:180 A trap that only Guests fall into: the virtual CPU that holds the lock may not be running at all, since its
 * Host has given the processor to somebody else. Perhaps to us, who use it to spin.
 *
 * In a loop that waits for another processor; n: how often it has come here. Under a hypervisor that one may have none
 * of its own, and whoever waits for long had better stand aside.
 */
static inline void spin_wait(u32 n)
{
	cpu_relax();
	if (n % 1024 == 0 && pv_ops.yield)
		pv_ops.yield();
}

#ifdef __x86_64__
#define SPIN_REGISTER "D"
#else
#define SPIN_REGISTER "a"
#endif

static inline bool spin_trylock(spinlock_t *l) { return !many_cpus() || !__atomic_exchange_n(&l->held, 1, __ATOMIC_ACQUIRE); }

/*
 * Set the bit and see what it was. If somebody has the lock, spin_contended (spin.S) waits for it and loses no register: so
 * the compiler need not keep any out of the way for what hardly ever happens.
 */
static inline void spin_lock(spinlock_t *l)
{
	__asm__ volatile("771:\t" SMP_NOP "\n\tlock btsl $0,(%[l])\n\tjnc 772f\n\tcall spin_contended\n772:\n"
			 SMP_SITE("772b")
			 : "+m"(l->held)
			 : [l] SPIN_REGISTER(l)
			 : "memory", "cc");
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
