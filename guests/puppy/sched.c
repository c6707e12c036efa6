/*
 * Who runs. One queue, first come first served, 50 ms each. Tasks are switched only when they ask (sleep, exit, yield)
 * or on the way back to user mode; the kernel itself is never preempted, so its data needs guarding from interrupts
 * alone. The queue's lock is what other processors will meet.
 */
#include "printk.h"
#include "proc.h"

#define SLICE 5 /* ticks */

static struct task *run_first, *run_last;
static spinlock_t run_lock;
static ulong runnable;

extern char idle_stack[];

void sched_init(void)
{
	struct task *idle = this_cpu()->idle;

	idle->stack = (ulong)idle_stack;
	strlcpy(idle->comm, "idle", sizeof(idle->comm));
}

static void enqueue(struct task *t)
{
	t->next_run = NULL;
	if (run_last)
		run_last->next_run = t;
	else
		run_first = t;
	run_last = t;
	runnable++;
}

void make_runnable(struct task *t)
{
	ulong flags = spin_lock_irqsave(&run_lock);

	t->state = TASK_RUNNING;
	enqueue(t);
	if (current == this_cpu()->idle)
		this_cpu()->need_resched = 1;
	spin_unlock_irqrestore(&run_lock, flags);
}

/* Gives the processor to the next task; returns when it is current's turn again. */
void schedule(void)
{
	ulong flags = spin_lock_irqsave(&run_lock);
	struct percpu *pc = this_cpu();
	struct task *from = pc->task, *to;

	pc->need_resched = 0;
	if (from->state == TASK_RUNNING && from != pc->idle)
		enqueue(from);
	to = run_first;
	if (to) {
		run_first = to->next_run;
		if (!run_first)
			run_last = NULL;
		runnable--;
		to->slice = SLICE;
	} else {
		to = pc->idle;
	}
	if (to != from) {
		/* All that the hypervisor must know of the new task goes in one bundle. */
		pv_ops.lazy_begin();
		if (to->mm) {
			pv_ops.set_kernel_stack(to->stack + KERNEL_STACK);
			pv_ops.load_tls(to);
			mm_switch(to->mm);
		}
		pv_ops.lazy_end();
		if (from == pc->idle)
			clock_rearm(false);
		pc->task = to;
		spin_unlock(&run_lock);
		switch_to(from, to);
		/* Back again, perhaps much later. */
		irq_restore(flags);
		return;
	}
	spin_unlock_irqrestore(&run_lock, flags);
}

/* The first thing a new task does: from ret_from_fork, where schedule would have returned. */
__attribute__((used)) void task_begin(void)
{
	irq_enable();
	if (current->kernel_fn)
		current->kernel_fn();
}

void wait_on(struct waitq *q)
{
	struct task *t = current;

	t->state = TASK_SLEEPING;
	t->waiting_on = q;
	t->next_wait = q->first;
	q->first = t;
	schedule();
}

static void remove_waiter(struct task *t)
{
	for (struct task **p = &t->waiting_on->first; *p; p = &(*p)->next_wait)
		if (*p == t) {
			*p = t->next_wait;
			break;
		}
	t->waiting_on = NULL;
}

void wake_task(struct task *t)
{
	ulong flags = irq_save();

	if (t->state == TASK_SLEEPING) {
		if (t->waiting_on)
			remove_waiter(t);
		make_runnable(t);
	}
	irq_restore(flags);
}

void wake_all(struct waitq *q)
{
	ulong flags = irq_save();

	/* The list is last in, first out; waking keeps that order, which is fair enough for queues this short. */
	while (q->first)
		wake_task(q->first);
	irq_restore(flags);
}

ulong run_queue_length(void) { return runnable + (current != this_cpu()->idle); }

/* ---- Accounting ---- */

/* Linux's load average: every 5 s the number of runnable tasks enters with weight 1 - exp(-5s / 1, 5, 15 min). */
#define LOAD_PERIOD (5 * NSEC_PER_SEC)
static const u32 load_exp[3] = { 1884, 2014, 2037 }; /* of 2048 */
static ulong load[3];
static u64 load_next;

static void update_load(void)
{
	u64 now = now_ns();

	for (int guard = 0; now >= load_next && guard < 200; guard++) {
		load_next += LOAD_PERIOD;
		for (int i = 0; i < 3; i++)
			load[i] = (load[i] * load_exp[i] + run_queue_length() * 2048 * (2048 - load_exp[i])) / 2048;
	}
	if (now >= load_next)
		load_next = now + LOAD_PERIOD;
}

/* Fixed point, 16 bits of fraction, as sysinfo has it. */
void load_average(ulong out[3])
{
	for (int i = 0; i < 3; i++)
		out[i] = load[i] << 5;
}

void sched_tick(bool user)
{
	struct task *t = current;

	if (jiffies % 64 == 0)
		update_load();
	if (t == this_cpu()->idle)
		return;
	if (user)
		t->utime++;
	else
		t->stime++;
	if (--t->slice <= 0 && run_first)
		this_cpu()->need_resched = 1;
}

void idle_loop(void)
{
	for (;;) {
		irq_disable();
		if (!run_first) {
			clock_rearm(true);
			pv_ops.halt();
		}
		irq_disable();
		schedule();
		irq_enable();
	}
}
