/* How much there is to do: the load average, and what each processor's time went into. */
#include "proc.h"

ulong run_queue_length(void)
{
	ulong n = 0;

	for (int cpu = 0; cpu < cpu_count; cpu++)
		n += READ_ONCE(cpus[cpu]->rq.length) + (READ_ONCE(cpus[cpu]->task) != cpus[cpu]->idle);
	return n;
}

/* Linux's load average: every 5 s the number of runnable tasks enters with weight 1 - exp(-5s / 1, 5, 15 min). */
#define LOAD_PERIOD (5 * NSEC_PER_SEC)
static const u32 load_exp[3] = { 1884, 2014, 2037 }; /* of 2048 */
static ulong load[3];
static u64 load_next;
static spinlock_t load_lock;

void update_load(void)
{
	u64 now = now_ns();

	if (!spin_trylock(&load_lock))
		return; /* another processor is at it */
	for (int guard = 0; now >= load_next && guard < 200; guard++) {
		load_next += LOAD_PERIOD;
		for (int i = 0; i < 3; i++)
			load[i] = (load[i] * load_exp[i] + run_queue_length() * 2048 * (2048 - load_exp[i])) / 2048;
	}
	if (now >= load_next)
		load_next = now + LOAD_PERIOD;
	spin_unlock(&load_lock);
}

/* Fixed point, 16 bits of fraction, as sysinfo has it. */
void load_average(ulong out[3])
{
	for (int i = 0; i < 3; i++)
		out[i] = load[i] << 5;
}

/* A processor's time by what it did; idle is what is left, as idle processors take no ticks. */
void cpu_ticks(int cpu, ulong *user, ulong *system, ulong *idle)
{
	ulong total = now_ns() / TICK_NS;

	*user = READ_ONCE(cpus[cpu]->user_ticks);
	*system = READ_ONCE(cpus[cpu]->system_ticks);
	*idle = total > *user + *system ? total - *user - *system : 0;
}
