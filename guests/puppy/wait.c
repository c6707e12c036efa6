/*
 * Sleeping. A task puts itself on a wait queue and only then looks whether it need sleep at all; whoever makes that
 * untrue wakes the queue afterwards. So one of the two sees the other, on whichever processors they are.
 */
#include "proc.h"

void wait_begin(struct waitq *q)
{
	struct task *t = current;

	spin_lock(&q->lock);
	if (t->waiting_on != q) {
		t->waiting_on = q;
		t->next_wait = q->first;
		q->first = t;
	}
	/* An exchange: signals are looked at without the queue's lock, so this must be out before that load. */
	(void)__atomic_exchange_n(&t->state, TASK_SLEEPING, __ATOMIC_SEQ_CST);
	spin_unlock(&q->lock);
}

static void remove(struct waitq *q, struct task *t)
{
	for (struct task **p = &q->first; *p; p = &(*p)->next_wait)
		if (*p == t) {
			*p = t->next_wait;
			break;
		}
	t->waiting_on = NULL;
}

/* Always takes the lock: when it returns nobody looks at the queue on our account, which may be on our stack. */
void wait_end(struct waitq *q)
{
	struct task *t = current;

	spin_lock(&q->lock);
	WRITE_ONCE(t->state, TASK_RUNNING);
	if (t->waiting_on == q)
		remove(q, t);
	spin_unlock(&q->lock);
}

void wake_waiters(struct waitq *q)
{
	ulong flags = spin_lock_irqsave(&q->lock);

	/* The list is last in, first out; waking keeps that order, which is fair enough for queues this short. */
	while (q->first) {
		struct task *t = q->first;
		q->first = t->next_wait;
		t->waiting_on = NULL;
		wake_task(t);
	}
	spin_unlock_irqrestore(&q->lock, flags);
}
