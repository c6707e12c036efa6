/*
 * Time. The timer interrupt drives the scheduler and calls what has been asked for by then. Natively it comes to processor
 * 0, HZ times a second whatever happens, which passes it on to those that run something; under a hypervisor each processor
 * orders its own by hypercall, and an idle one orders only what it needs.
 */
#include "errno.h"
#include "printk.h"
#include "proc.h"

u64 jiffies; /* timer interrupts, natively the clock */
static u64 boot_wall_ns;
static bool started;

u64 now_ns(void) { return started ? pv_ops.clock_ns() : 0; }
u64 wall_ns(void) { return boot_wall_ns + now_ns(); }

void time_init(void)
{
	boot_wall_ns = pv_ops.wall_seconds() * NSEC_PER_SEC;
	irq_register(0, timer_interrupt);
	pv_ops.clock_start();
	started = true;
}

/* ---- Kernel timers ---- */

/* A timer is called by the processor that started it, or by the one that has the clock. Its lock is that processor's. */
static struct percpu *lock_home(struct ktimer *t)
{
	for (;;) {
		struct percpu *pc = cpus[READ_ONCE(t->home)];
		spin_lock(&pc->timers_lock);
		if (READ_ONCE(t->home) == pc->cpu)
			return pc;
		spin_unlock(&pc->timers_lock);
	}
}

static void unlink(struct percpu *pc, struct ktimer *t)
{
	if (!t->queued)
		return;
	for (struct ktimer **p = &pc->timers; *p; p = &(*p)->next)
		if (*p == t) {
			*p = t->next;
			break;
		}
	t->queued = false;
}

void timer_start(struct ktimer *t, u64 deadline)
{
	ulong flags = irq_save();
	struct percpu *home = lock_home(t);

	unlink(home, t);
	spin_unlock(&home->timers_lock);
	home = pv_ops.own_clocks ? this_cpu() : cpus[0];
	spin_lock(&home->timers_lock);
	struct ktimer **p = &home->timers;
	while (*p && (*p)->deadline <= deadline)
		p = &(*p)->next;
	t->deadline = deadline;
	WRITE_ONCE(t->home, home->cpu);
	t->queued = true;
	t->next = *p;
	*p = t;
	spin_unlock(&home->timers_lock);
	irq_restore(flags);
}

/* Once this has returned the function does not run any more, on no processor: the timer may be on the caller's stack. */
void timer_cancel(struct ktimer *t)
{
	for (;;) {
		ulong flags = irq_save();
		struct percpu *home = lock_home(t);
		bool running = t->running;
		unlink(home, t);
		spin_unlock(&home->timers_lock);
		irq_restore(flags);
		if (!running)
			return;
		cpu_relax();
	}
}

static void run_timers(void)
{
	struct percpu *pc = this_cpu();

	if (!READ_ONCE(pc->timers))
		return;
	u64 now = now_ns();
	ulong flags = spin_lock_irqsave(&pc->timers_lock);
	while (pc->timers && pc->timers->deadline <= now) {
		struct ktimer *t = pc->timers;
		pc->timers = t->next;
		t->queued = false;
		t->running = true;
		/* Without the lock: the function may start timers, this one too. */
		spin_unlock(&pc->timers_lock);
		t->fn(t);
		spin_lock(&pc->timers_lock);
		t->running = false;
	}
	spin_unlock_irqrestore(&pc->timers_lock, flags);
}

static u64 first_deadline(void)
{
	struct percpu *pc = this_cpu();
	ulong flags = spin_lock_irqsave(&pc->timers_lock);
	u64 deadline = pc->timers ? pc->timers->deadline : 0;

	spin_unlock_irqrestore(&pc->timers_lock, flags);
	return deadline;
}

/* ---- The clock's interrupt ---- */

/* Orders the next timer interrupt: a tick while anyone runs, else the first timer's deadline, or none. */
void clock_rearm(bool idle)
{
	u64 deadline = idle ? first_deadline() : 0;

	if (!idle) {
		pv_ops.clock_next(TICK_NS);
	} else if (!deadline) {
		pv_ops.clock_next(0);
	} else {
		u64 now = now_ns();
		pv_ops.clock_next(deadline > now + 1000 ? deadline - now : 1000);
	}
}

void timer_interrupt(struct pt_regs *regs)
{
	if (this_cpu()->cpu == 0)
		jiffies++;
	run_timers();
	sched_tick(user_mode(regs));
	if (!pv_ops.own_clocks)
		sched_tick_others();
	/* An idle processor orders its next interrupt before it goes back to sleep. */
	if (current != this_cpu()->idle)
		clock_rearm(false);
}

/* ---- Waiting no longer than until some time ---- */

static void time_is_up(struct ktimer *t)
{
	struct timeout *o = container_of(t, struct timeout, timer);

	WRITE_ONCE(o->expired, true);
	wake_all(o->wait);
}

void timeout_start(struct timeout *o, struct waitq *q, u64 deadline)
{
	memset(o, 0, sizeof(*o));
	o->timer.fn = time_is_up;
	o->wait = q;
	if (deadline)
		timer_start(&o->timer, deadline);
}

void timeout_end(struct timeout *o) { timer_cancel(&o->timer); }

long sleep_until(u64 deadline)
{
	struct waitq wait = { 0 };
	struct timeout self;

	timeout_start(&self, &wait, max(deadline, 1ull));
	wait_event(&wait, READ_ONCE(self.expired));
	timeout_end(&self);
	return self.expired ? 0 : -EINTR;
}
