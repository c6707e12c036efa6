/* Queues of sleeping tasks (wait.c; wait_event and its like are in proc.h), and a lock that one may sleep under (mutex.c). */
#pragma once
#include "percpu.h"

struct task;

/* Tasks that sleep until something happens; each takes itself off when it goes on. */
struct waitq {
	spinlock_t lock;
	struct task *first;
};

/* A lock whose waiters sleep, whatever signals come; whoever holds it may sleep too. Not for interrupt handlers. */
struct mutex {
	struct task *owner; /* NULL: free */
	bool hand_over;     /* to the first in line, which has lost too often */
	spinlock_t line;    /* the waiters, in order of arrival */
	struct mutex_waiter *first, *last;
};

void mutex_wait(struct mutex *m);   /* until it is ours */
void mutex_let_go(struct mutex *m); /* with somebody in line; ours, or given back just now */

static inline bool mutex_try(struct mutex *m)
{
	struct task *nobody = NULL;

	return __atomic_compare_exchange_n(&m->owner, &nobody, current, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

static inline void mutex_lock(struct mutex *m)
{
	if (unlikely(!mutex_try(m)))
		mutex_wait(m);
}

static inline void mutex_unlock(struct mutex *m)
{
	if (likely(!READ_ONCE(m->first))) {
		/* An exchange: the owner's word must be out before we look who waits. */
		(void)__atomic_exchange_n(&m->owner, NULL, __ATOMIC_SEQ_CST);
		if (likely(!READ_ONCE(m->first)))
			return;
	}
	mutex_let_go(m);
}
