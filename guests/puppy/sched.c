/*
 * Who runs where. Each processor has a queue, first come first served, 50 ms each. Tasks are switched only when they ask
 * (sleep, exit, yield) or on the way back to user mode; the kernel itself is never preempted.
 *
 * A queue's lock is held across the switch, until the next task runs on its own stack: so whoever has the lock and finds
 * a task neither queued nor current there may have it run elsewhere.
 */
#include "printk.h"
#include "proc.h"

#define SLICE 5 /* ticks */

extern char idle_stack[];
static u32 idle_mask; /* processors that run their idle task: a hint, where to put work */

void sched_init(void)
{
	struct task *idle = this_cpu()->idle;

	idle->stack = (ulong)idle_stack;
	idle->affinity = 1;
	strlcpy(idle->comm, "idle", sizeof(idle->comm));
}

/* ---- Queues, with their lock held ---- */

static void enqueue(struct run_queue *rq, struct task *t)
{
	t->next_run = NULL;
	if (rq->last)
		rq->last->next_run = t;
	else
		rq->first = t;
	rq->last = t;
	rq->length++;
	t->queued = true;
}

static void dequeue(struct run_queue *rq, struct task *t)
{
	struct task *before = NULL;

	if (rq->first == t) {
		rq->first = t->next_run;
	} else {
		before = rq->first;
		while (before->next_run != t)
			before = before->next_run;
		before->next_run = t->next_run;
	}
	if (rq->last == t)
		rq->last = before;
	rq->length--;
	t->queued = false;
}

static void note_idle(struct percpu *pc, bool idle)
{
	if (!many_cpus())
		return;
	if (idle)
		__atomic_fetch_or(&idle_mask, 1u << pc->cpu, __ATOMIC_RELAXED);
	else
		__atomic_fetch_and(&idle_mask, ~(1u << pc->cpu), __ATOMIC_RELAXED);
}

static bool allowed(struct task *t, u32 cpu) { return READ_ONCE(t->affinity) >> cpu & 1; }

/* The queue that t belongs to. It may move while we reach for the lock. */
static struct percpu *lock_queue_of(struct task *t)
{
	if (!many_cpus())
		return this_cpu();
	for (;;) {
		struct percpu *pc = cpus[READ_ONCE(t->cpu)];
		spin_lock(&pc->rq.lock);
		if (READ_ONCE(t->cpu) == pc->cpu)
			return pc;
		spin_unlock(&pc->rq.lock);
	}
}

/* ---- Where to ---- */

/* Where it was, if that is idle or nobody is; else an idle processor; its caches are warm where it was. */
static u32 choose_cpu(struct task *t)
{
	if (!many_cpus())
		return 0;
	u32 able = t->affinity & READ_ONCE(online_mask), idle = able & READ_ONCE(idle_mask), best = t->cpu;

	if (able & idle)
		return idle >> t->cpu & 1 ? t->cpu : (u32)__builtin_ctz(idle);
	if (!(able >> best & 1))
		best = __builtin_ctz(able ? able : 1);
	for (u32 others = able & ~(1u << best); others; others &= others - 1) {
		u32 cpu = __builtin_ctz(others);
		if (READ_ONCE(cpus[cpu]->rq.length) + 1 < READ_ONCE(cpus[best]->rq.length))
			best = cpu;
	}
	return best;
}

/* With the queue's lock: t is to run on pc. Whether that must be called, as it idles. */
static bool add(struct percpu *pc, struct task *t)
{
	t->cpu = pc->cpu;
	enqueue(&pc->rq, t);
	if (pc->task != pc->idle)
		return false;
	pc->need_resched = 1;
	note_idle(pc, false);
	return many_cpus() && pc != this_cpu();
}

/* A task that is running but nowhere, to a queue. */
static void place(struct task *t)
{
	struct percpu *pc = cpus[choose_cpu(t)];
	ulong flags = spin_lock_irqsave(&pc->rq.lock);
	bool call = add(pc, t);

	spin_unlock_irqrestore(&pc->rq.lock, flags);
	if (call)
		ipi_send(1u << pc->cpu, IPI_RESCHED);
}

void make_runnable(struct task *t)
{
	t->state = TASK_RUNNING;
	place(t);
}

bool wake_from(struct task *t, u32 states)
{
	struct percpu *pc = lock_queue_of(t);
	bool woken = states >> t->state & 1, call = false, elsewhere = false;

	if (woken) {
		t->state = TASK_RUNNING;
		/* If it is about to sleep but still here, schedule will see that it need not. */
		if (pc->task != t) {
			elsewhere = choose_cpu(t) != pc->cpu;
			if (!elsewhere)
				call = add(pc, t);
		}
	}
	spin_unlock(&pc->rq.lock);
	if (elsewhere)
		place(t);
	else if (call)
		ipi_send(1u << pc->cpu, IPI_RESCHED);
	return woken;
}

void wake_task(struct task *t) { wake_from(t, 1 << TASK_SLEEPING); }

void set_affinity(struct task *t, u32 mask)
{
	bool moved = false;
	ulong flags = irq_save();
	struct percpu *pc = lock_queue_of(t);

	WRITE_ONCE(t->affinity, mask);
	if (!allowed(t, pc->cpu)) {
		moved = t->queued;
		if (moved)
			dequeue(&pc->rq, t);
		else if (pc->task == t)
			pc->need_resched = 1;
	}
	spin_unlock(&pc->rq.lock);
	if (moved)
		place(t);
	else if (pc != this_cpu() && READ_ONCE(pc->need_resched))
		ipi_send(1u << pc->cpu, IPI_RESCHED);
	irq_restore(flags);
	if (t == current && !allowed(t, this_cpu()->cpu))
		schedule();
}

/* Somebody else's waiting task, for a processor that has none. It is on no queue when this returns. */
static __attribute__((noinline)) struct task *steal(struct percpu *pc)
{
	for (int i = 1; i < cpu_count; i++) {
		struct run_queue *rq = &cpus[(pc->cpu + i) % cpu_count]->rq;
		if (!READ_ONCE(rq->first))
			continue;
		spin_lock(&rq->lock);
		for (struct task *t = rq->first; t; t = t->next_run)
			if (allowed(t, pc->cpu)) {
				dequeue(rq, t);
				t->cpu = pc->cpu;
				spin_unlock(&rq->lock);
				return t;
			}
		spin_unlock(&rq->lock);
	}
	return NULL;
}

/* ---- The switch ---- */

static __attribute__((noinline)) void send_away(struct task *leaving)
{
	while (leaving) {
		struct task *t = leaving;
		leaving = t->next_run;
		place(t);
	}
}

/* On the new task's stack, with the lock that schedule took on the old one's. */
static inline void finish_switch(struct task *before)
{
	struct percpu *pc = this_cpu();
	struct task *leaving = pc->rq.leaving;

	if (before)
		__atomic_store_n(&before->on_cpu, false, __ATOMIC_RELEASE);
	if (unlikely(leaving != NULL))
		pc->rq.leaving = NULL;
	spin_unlock(&pc->rq.lock);
	if (unlikely(leaving != NULL))
		send_away(leaving);
}

static void leave(struct run_queue *rq, struct task *t)
{
	t->next_run = rq->leaving;
	rq->leaving = t;
}

static struct task *pick(struct percpu *pc)
{
	struct task *t;

	while ((t = pc->rq.first)) {
		dequeue(&pc->rq, t);
		if (!many_cpus() || allowed(t, pc->cpu))
			return t;
		leave(&pc->rq, t);
	}
	return pc->idle;
}

/* Gives the processor to the next task; returns when it is current's turn again, perhaps on another processor. */
void schedule(void)
{
	ulong flags = irq_save();
	struct percpu *pc = this_cpu();
	struct task *from = pc->task, *to, *stolen = NULL;

	if (many_cpus() && !READ_ONCE(pc->rq.first) && (from == pc->idle || READ_ONCE(from->state) != TASK_RUNNING))
		stolen = steal(pc);
	spin_lock(&pc->rq.lock);
	pc->need_resched = 0;
	if (stolen)
		enqueue(&pc->rq, stolen);
	if (from->state == TASK_RUNNING && from != pc->idle) {
		if (!many_cpus() || allowed(from, pc->cpu))
			enqueue(&pc->rq, from);
		else
			leave(&pc->rq, from);
	}
	to = pick(pc);
	to->slice = SLICE;
	if (to == pc->idle)
		note_idle(pc, true);
	else if (from == pc->idle)
		note_idle(pc, false);
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
		to->on_cpu = true;
		pc->task = to;
		/* Back again perhaps much later, and elsewhere. */
		finish_switch(switch_to(from, to));
	} else {
		finish_switch(NULL);
	}
	irq_restore(flags);
}

/* The first thing a new task does: from ret_from_fork, where schedule would have returned. */
__attribute__((used)) void task_begin(struct task *before)
{
	finish_switch(before);
	irq_enable();
	if (current->kernel_fn)
		current->kernel_fn();
}

/* ---- Accounting ---- */

void sched_tick(bool user)
{
	struct percpu *pc = this_cpu();
	struct task *t = pc->task;

	if (jiffies % 64 == 0)
		update_load(); /* load.c */
	if (t == pc->idle)
		return;
	if (user) {
		t->utime++;
		pc->user_ticks++;
	} else {
		t->stime++;
		pc->system_ticks++;
	}
	t->slice--;
	if (!READ_ONCE(pc->rq.first))
		return;
	if (t->slice <= 0)
		pc->need_resched = 1;
	if (!many_cpus())
		return;
	/* Someone waits here while others have nothing to do: they went idle just before it came. */
	u32 idle = READ_ONCE(idle_mask) & READ_ONCE(online_mask) & ~(1u << pc->cpu);
	if (idle)
		ipi_send(idle & -idle, IPI_RESCHED);
}

/* Where one processor has the clock of all: those that run something hear of it. */
void sched_tick_others(void)
{
	if (!many_cpus())
		return;
	u32 busy = READ_ONCE(online_mask) & ~READ_ONCE(idle_mask) & ~(1u << this_cpu()->cpu);

	if (busy)
		ipi_send(busy, IPI_TICK);
}

void idle_loop(void)
{
	struct percpu *pc = this_cpu();

	note_idle(pc, true);
	for (;;) {
		irq_disable();
		if (!READ_ONCE(pc->rq.first) && !pc->need_resched) {
			clock_rearm(true);
			pv_ops.halt();
		}
		irq_disable();
		schedule();
		irq_enable();
	}
}
