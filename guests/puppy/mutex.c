/*
 * Mutexes: locks whose waiters sleep. A free one belongs to whoever comes first, which may be a task that never slept: it is
 * running, and who was woken is not yet. So that a waiter cannot lose for ever, waiters stand in line, the first alone is
 * woken and tries; and when it has lost a few times, the mutex is not freed any more but handed to it. Hence nobody waits
 * for longer than those before him in line, and PATIENCE + 1 holders for each.
 */
#include "proc.h"

#define PATIENCE 4 /* times that the first in line may find that somebody was quicker */

struct mutex_waiter {
	struct mutex_waiter *next;
	struct task *task;
};

void mutex_wait(struct mutex *m)
{
	struct mutex_waiter self = { NULL, current };
	ulong flags = spin_lock_irqsave(&m->line);
	u32 lost = 0;

	if (m->last)
		m->last->next = &self;
	else
		m->first = &self;
	m->last = &self;
	for (;;) {
		/* An exchange: that we wait must be out before we look at the owner, see mutex_unlock and mutex_let_go. */
		(void)__atomic_exchange_n(&self.task->state, TASK_SLEEPING, __ATOMIC_SEQ_CST);
		if (m->first == &self) {
			if (READ_ONCE(m->owner) == self.task /* handed over */ || mutex_try(m))
				break;
			if (++lost > PATIENCE)
				WRITE_ONCE(m->hand_over, true);
		}
		spin_unlock(&m->line);
		schedule();
		spin_lock(&m->line);
	}
	WRITE_ONCE(self.task->state, TASK_RUNNING);
	WRITE_ONCE(m->first, self.next);
	if (!self.next)
		m->last = NULL;
	WRITE_ONCE(m->hand_over, false);
	spin_unlock_irqrestore(&m->line, flags);
}

void mutex_let_go(struct mutex *m)
{
	/* As long as the mutex is ours the first in line stays, and hand_over, which it alone sets, is not taken back. */
	if (m->owner == current && !READ_ONCE(m->hand_over))
		(void)__atomic_exchange_n(&m->owner, NULL, __ATOMIC_SEQ_CST);
	ulong flags = spin_lock_irqsave(&m->line);
	if (m->first) {
		if (m->owner == current)
			__atomic_store_n(&m->owner, m->first->task, __ATOMIC_SEQ_CST);
		wake_task(m->first->task);
	}
	spin_unlock_irqrestore(&m->line, flags);
}
