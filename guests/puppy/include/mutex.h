/* Queues of sleeping tasks, and a lock that one may sleep under. Functions in wait.c; wait_event and its like in proc.h. */
#pragma once
#include "spinlock.h"

struct task;

/* Tasks that sleep until something happens; each takes itself off when it goes on. */
struct waitq {
	spinlock_t lock;
	struct task *first;
};

/* A lock whose waiters sleep, whatever signals come; whoever holds it may sleep too. Not for interrupt handlers. */
struct mutex {
	struct task *owner; /* NULL: free */
	struct waitq wait;
};

void mutex_lock(struct mutex *m);
void mutex_unlock(struct mutex *m);
