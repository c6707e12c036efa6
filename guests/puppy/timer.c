/*
 * Time. The timer interrupt drives the scheduler and calls what has been asked for by then. Natively it comes HZ times a
 * second whatever happens; under a hypervisor each one is ordered by hypercall, and an idle guest orders only what it needs.
 */
#include "errno.h"
#include "printk.h"
#include "proc.h"

u64 jiffies; /* timer interrupts, natively the clock */
static u64 boot_wall_ns;
static bool started;

/* Timers that have been started, by ascending deadline. */
static struct ktimer *timers;
static spinlock_t timers_lock;

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

static void unlink(struct ktimer *t)
{
	for (struct ktimer **p = &timers; *p; p = &(*p)->next)
		if (*p == t) {
			*p = t->next;
			t->queued = false;
			return;
		}
}

void timer_start(struct ktimer *t, u64 deadline)
{
	ulong flags = spin_lock_irqsave(&timers_lock);
	struct ktimer **p = &timers;

	if (t->queued)
		unlink(t);
	while (*p && (*p)->deadline <= deadline)
		p = &(*p)->next;
	t->deadline = deadline;
	t->queued = true;
	t->next = *p;
	*p = t;
	spin_unlock_irqrestore(&timers_lock, flags);
}

/* Once this has returned the function does not run any more, on no processor: the timer may be on the caller's stack. */
void timer_cancel(struct ktimer *t)
{
	for (;;) {
		ulong flags = spin_lock_irqsave(&timers_lock);
		bool running = t->running;
		if (t->queued)
			unlink(t);
		spin_unlock_irqrestore(&timers_lock, flags);
		if (!running)
			return;
		cpu_relax();
	}
}

static void run_timers(void)
{
	if (!READ_ONCE(timers))
		return;
	u64 now = now_ns();
	ulong flags = spin_lock_irqsave(&timers_lock);
	while (timers && timers->deadline <= now) {
		struct ktimer *t = timers;
		timers = t->next;
		t->queued = false;
		t->running = true;
		/* Without the lock: the function may start timers, this one too. */
		spin_unlock(&timers_lock);
		t->fn(t);
		spin_lock(&timers_lock);
		t->running = false;
	}
	spin_unlock_irqrestore(&timers_lock, flags);
}

static u64 first_deadline(void)
{
	ulong flags = spin_lock_irqsave(&timers_lock);
	u64 deadline = timers ? timers->deadline : 0;

	spin_unlock_irqrestore(&timers_lock, flags);
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
	jiffies++;
	run_timers();
	sched_tick(user_mode(regs));
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
