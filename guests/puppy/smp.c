/*
 * G:170 With two processors there are two TLBs, and each may remember what the other has just unmapped. Nobody may give
 * a page away before all have forgotten it: that is a shootdown. We shall meet the same scene one floor below, played
 * by the Host (H:310).
 *
 * Several processors: bringing them up, interrupting one another, and making one another forget translations.
 *
 * A shootdown is a request in the asking processor's own area, a bit for it in each other's flush_from, and an interrupt.
 * There is no lock: processors may shoot at each other at once, and whoever waits for answers gives its own meanwhile, with
 * interrupts off too. What must not be is a spinlock held while waiting: another might spin on it with interrupts off.
 */
#include "smp.h"
#include "printk.h"
#include "proc.h"

struct percpu *cpus[MAX_CPUS] = { &cpu0_area.pc };
int cpu_count = 1;
u32 online_mask = 1;

/* A spinlock that was not free, from spin.S: returns when it is ours. */
__attribute__((used)) void spin_wait_for(spinlock_t *l)
{
	do {
		/* Only looking leaves the cache line with whoever is about to give it back. */
		for (u32 n = 1; READ_ONCE(l->held); n++)
			spin_wait(n);
	} while (__atomic_exchange_n(&l->held, 1, __ATOMIC_ACQUIRE));
}

/* ---- Interrupts between processors ---- */

void ipi_send(u32 mask, u32 what)
{
	u32 need = 0;

	/* If the word was not empty, the interrupt that its first bit asked for is still to be taken. */
	for (u32 left = mask; left; left &= left - 1) {
		u32 cpu = __builtin_ctz(left);
		if (!__atomic_fetch_or(&cpus[cpu]->ipi_work, what, __ATOMIC_SEQ_CST))
			need |= 1u << cpu;
	}
	if (need)
		pv_ops.send_ipi(need);
}

static void answer_flushes(void)
{
	ulong flags = irq_save();
	struct percpu *pc = this_cpu();
	u32 from = __atomic_exchange_n(&pc->flush_from, 0, __ATOMIC_SEQ_CST), lazy = pc->lazy;

	/* An answer means that it is done: no batches, even if we have interrupted one. */
	pc->lazy = 0;
	for (; from; from &= from - 1) {
		struct flush_request *r = &cpus[__builtin_ctz(from)]->flush;
		if (pc->active_mm == r->mm) {
			if (pc->task->mm != r->mm)
				mm_switch(NULL); /* nobody runs in it here: it was only left in place */
			else if (r->end - r->start > 32 * PAGE_SIZE)
				pv_ops.flush_tlb(false);
			else
				for (ulong va = r->start; va < r->end; va += PAGE_SIZE)
					flush_tlb_one(va);
		}
		__atomic_fetch_and(&r->waiting, ~(1u << pc->cpu), __ATOMIC_RELEASE);
	}
	pc->lazy = lazy;
	irq_restore(flags);
}

void smp_flush_tlb_others(struct mm *mm, u32 mask, ulong start, ulong end)
{
	struct percpu *pc = this_cpu();

	pc->flush.mm = mm;
	pc->flush.start = start;
	pc->flush.end = end;
	__atomic_store_n(&pc->flush.waiting, mask, __ATOMIC_RELEASE);
	for (u32 left = mask; left; left &= left - 1)
		__atomic_fetch_or(&cpus[__builtin_ctz(left)]->flush_from, 1u << pc->cpu, __ATOMIC_SEQ_CST);
	ipi_send(mask, IPI_FLUSH);
	for (u32 n = 1; __atomic_load_n(&pc->flush.waiting, __ATOMIC_ACQUIRE); n++) {
		if (READ_ONCE(pc->flush_from))
			answer_flushes();
		spin_wait(n);
	}
}

static void ipi_interrupt(struct pt_regs *regs)
{
	struct percpu *pc = this_cpu();
	u32 work = __atomic_exchange_n(&pc->ipi_work, 0, __ATOMIC_SEQ_CST);

	if (work & IPI_FLUSH)
		answer_flushes();
	if (work & IPI_RESCHED)
		pc->need_resched = 1;
	if (work & IPI_TICK)
		sched_tick(user_mode(regs));
}

/* ---- Bringing up ---- */

static struct cpu_area *area_new(int cpu)
{
	const int order = sizeof(struct cpu_area) > PAGE_SIZE ? 1 : 0;
	ulong pfn = alloc_pages(order);

	_Static_assert(sizeof(struct cpu_area) <= 2 * PAGE_SIZE, "cpu_area");
	if (!pfn)
		return NULL;
	struct cpu_area *area = pfn_to_va(pfn);
	memset(area, 0, sizeof(*area));
#ifdef __x86_64__
	memcpy(area->shared, cpu0_area.shared, sizeof(area->shared));
#endif
	area->pc.self = &area->pc;
	area->pc.cpu = area->pc.apic_id = cpu; /* bare hardware may know better, see native_smp.c */
	area->pc.idle = area->pc.task = idle_task(cpu);
	if (area->pc.idle)
		return area;
	free_pages_order(pfn, order);
	return NULL;
}

/* On the new processor: its tables, then it has nothing to do until somebody is queued here. */
void secondary_start(struct cpu_area *area)
{
	pv_ops.init_cpu(area);
	pv_ops.set_kernel_stack(area->pc.idle->stack + KERNEL_STACK);
	while (READ_ONCE(cpus[area->pc.cpu]) != &area->pc)
		pv_ops.halt(); /* too late: nobody counts on us */
	__atomic_fetch_or(&online_mask, 1u << area->pc.cpu, __ATOMIC_SEQ_CST);
	idle_loop();
}

#define PATIENCE (500 * 1000000ull) /* ns: for one processor to come up */

static bool start(int cpu)
{
	struct cpu_area *area = area_new(cpu);

	if (!area)
		return false;
	cpus[cpu] = &area->pc;
	pv_ops.start_cpu(area, area->pc.idle->stack + KERNEL_STACK);
	u32 n = 1;
	for (u64 end = now_ns() + PATIENCE; now_ns() < end; n++) {
		if (READ_ONCE(online_mask) >> cpu & 1)
			return true;
		spin_wait(n);
	}
	/* Its area stays: it might come late. But it is nobody to count on. */
	pr_warn("smp: processor %d did not come up\n", cpu);
	cpus[cpu] = NULL;
	return false;
}

void smp_init(void)
{
	const char *most = boot_param("maxcpus=");
	int limit = most ? max((int)parse_number(most, NULL), 1) : MAX_CPUS, found = 1;

	if (limit > 1 && pv_ops.ipi_line >= 0)
		found = min(pv_ops.find_cpus(), min(limit, MAX_CPUS));
	/* Not where one was called and did not come: it might come late. */
	if (found < 2) {
		forget_other_cpus();
		return;
	}
	irq_register(pv_ops.ipi_line, ipi_interrupt);
	while (cpu_count < found && start(cpu_count))
		cpu_count++;
	pr_notice("smp: %d processors\n", cpu_count);
}
