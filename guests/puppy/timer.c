/*
 * Time. The timer interrupt drives the scheduler and wakes sleepers. Natively it comes HZ times a second whatever
 * happens; under a hypervisor each one is ordered by hypercall, and an idle guest orders only what it needs.
 */
#include "errno.h"
#include "printk.h"
#include "proc.h"

u64 jiffies; /* timer interrupts, natively the clock */
static u64 boot_wall_ns;
static bool started;

struct sleeper {
	struct sleeper *next; /* ascending deadlines */
	u64 deadline;
	struct waitq wait;
	bool done;
};
static struct sleeper *sleepers;

u64 now_ns(void) { return started ? pv_ops.clock_ns() : 0; }
u64 wall_ns(void) { return boot_wall_ns + now_ns(); }

void time_init(void)
{
	boot_wall_ns = pv_ops.wall_seconds() * NSEC_PER_SEC;
	irq_register(0, timer_interrupt);
	pv_ops.clock_start();
	started = true;
}

static void wake_sleepers(void)
{
	if (!sleepers)
		return;
	u64 now = now_ns();
	while (sleepers && sleepers->deadline <= now) {
		struct sleeper *s = sleepers;
		sleepers = s->next;
		s->done = true;
		wake_all(&s->wait);
	}
}

/* Orders the next timer interrupt: a tick while anyone runs, else the first sleeper's deadline, or none. */
void clock_rearm(bool idle)
{
	if (!idle) {
		pv_ops.clock_next(TICK_NS);
	} else if (!sleepers) {
		pv_ops.clock_next(0);
	} else {
		u64 now = now_ns();
		pv_ops.clock_next(sleepers->deadline > now + 1000 ? sleepers->deadline - now : 1000);
	}
}

void timer_interrupt(struct pt_regs *regs)
{
	jiffies++;
	wake_sleepers();
	sched_tick(user_mode(regs));
	/* An idle processor orders its next interrupt before it goes back to sleep. */
	if (current != this_cpu()->idle)
		clock_rearm(false);
}

long sleep_until(u64 deadline)
{
	struct sleeper self = { .deadline = deadline };
	ulong flags = irq_save();
	struct sleeper **p = &sleepers;

	while (*p && (*p)->deadline <= deadline)
		p = &(*p)->next;
	self.next = *p;
	*p = &self;
	while (!self.done && !signal_pending(current)) {
		wait_on(&self.wait);
	}
	if (!self.done)
		for (p = &sleepers; *p; p = &(*p)->next)
			if (*p == &self) {
				*p = self.next;
				break;
			}
	irq_restore(flags);
	return self.done ? 0 : -EINTR;
}
