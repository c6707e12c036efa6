/*
 * The backend for lguest64, x86_64 (docs/abi-x86_64.md). We run at ring 3, or 1; privileged requests are hypercalls.
 * Updates of page tables are noted in the shared page's ring: the host empties it before any hypercall, and the return to
 * user mode is one, so most of them cost no switch of their own. What differs between designs is design_64.c's.
 */
#include "door.h"
#include "printk.h"
#include "proc.h"

void lguest64_iret(void), lguest64_halt(void), lguest64_syscall_entry(void), lguest64_secondary_entry(void);

/* Each processor's shared page is the first page of its area. */
static u8 *shared_page(struct percpu *pc) { return container_of(pc, struct cpu_area, pc)->shared; }
#define SHARED_OF(pc, type, offset) (*(volatile type *)(shared_page(pc) + (offset)))
#define SHARED(type, offset) SHARED_OF(this_cpu(), type, offset)

/*
 * G:060 A hypercall. SYSCALL is the only door that leads out of ring 3 quickly, and a Guest's processes use it too; so
 * the kernel says which of the two it means by a flag in the page that only it can reach. The flag and the SYSCALL are
 * two instructions. What if an interrupt came between them, and its handler made a hypercall of its own? The Host sees
 * the flag, and holds interrupts back while it is set.
 *
 * Other designs have other doors, an interrupt of their own or a call into a page of the Host's, and need no flag. The
 * bytes that are compiled here are then replaced before they are first run (G:025).
 */
static ulong hcall(ulong nr, ulong a, ulong b, ulong c, ulong d, ulong e)
{
	register ulong r10 __asm__("r10") = d;
	register ulong r8 __asm__("r8") = e;

	__asm__ volatile(HYPERCALL
			 : "+a"(nr)
			 : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), [flag] "i"(LGS_HYPERCALL_FLAG)
			 : "rcx", "r11", "memory", "cc");
	this_cpu()->queued = false; /* the host has emptied the ring first */
	return nr;
}

/*
 * G:090 Notes a call for later. A full ring is emptied by making this one at once, since the ring is always done first.
 *
 * A ring of postcards. Most of what a Guest has to say about its page tables is not urgent, and a world switch costs
 * more than the message; so they are collected, and the Host empties the box whenever it comes by. It comes by often.
 */
static void async_hcall(ulong nr, ulong a, ulong b, ulong c)
{
	ulong flags = irq_save();
	struct percpu *pc = this_cpu();

	if (SHARED_OF(pc, u8, LGS_HCALL_STATUS + pc->next_call) != LHCALL_FREE) {
		hcall(nr, a, b, c, 0, 0);
	} else {
		volatile u64 *call = (volatile u64 *)(shared_page(pc) + LGS_HCALLS) + pc->next_call * 6;
		call[0] = nr;
		call[1] = a;
		call[2] = b;
		call[3] = c;
		barrier();
		pc->queued = true;
		SHARED_OF(pc, u8, LGS_HCALL_STATUS + pc->next_call) = LHCALL_PENDING;
		pc->next_call = (pc->next_call + 1) % LHCALL_RING_SIZE;
	}
	irq_restore(flags);
}

static void lazy_hcall(ulong nr, ulong a, ulong b, ulong c)
{
	if (this_cpu()->lazy)
		async_hcall(nr, a, b, c);
	else
		hcall(nr, a, b, c, 0, 0);
}

static void lguest64_lazy_begin(void) { this_cpu()->lazy++; }
static void lguest64_lazy_end(void)
{
	struct percpu *pc = this_cpu();

	if (--pc->lazy == 0 && pc->queued)
		hcall(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0, 0);
}

/* ---- Memory ---- */

/* At once: the old tables may be gone, by another processor's hand, as soon as we say that we have left them. */
static void lguest64_write_cr3(ulong pgd) { hcall(LHCALL_NEW_PGTABLE, pgd, 0, 0, 0, 0); }

/* A new entry may wait in the ring: until it is emptied the address faults in the shadow, and the host looks it up. */
static void lguest64_set_pte(ulong *ptep, ulong pte, ulong va, ulong pgd)
{
	*ptep = pte;
	async_hcall(LHCALL_SET_PTE, pgd, va, pte);
}

static void lguest64_change_pte(ulong *ptep, ulong pte, ulong va, ulong pgd)
{
	*ptep = pte;
	lazy_hcall(LHCALL_SET_PTE, pgd, va, pte);
}

/*
 * Where the host has the processor walk our tables (mm/pgtable_64.c) nothing is stored and announced; it is asked for. The
 * others on our processors read entries as soon as they get the address space's lock, so only what is lazy may wait.
 */
static void lguest64_ask_pte(ulong *ptep, ulong pte, ulong va, ulong pgd)
{
	(void)va, (void)pgd;
	lazy_hcall(LHCALL_MMU_UPDATE, va_to_pa(ptep), pte, 0);
}

static void lguest64_ask_entry(ulong *entry, ulong value) { hcall(LHCALL_MMU_UPDATE, va_to_pa(entry), value, 0, 0, 0); }
static void lguest64_nobody_told(ulong pgd, ulong index) { (void)pgd, (void)index; }

void lguest64_direct_paging(void)
{
	pv_ops.patchable[PV_SET_PTE] = lguest64_ask_pte;
	pv_ops.patchable[PV_CHANGE_PTE] = lguest64_ask_pte;
	pv_ops.pgd_cleared = lguest64_nobody_told;
	pv_ops.large_pages = false;
	store_entry = lguest64_ask_entry;
}

static void lguest64_flush_tlb_one(ulong va) { lazy_hcall(LHCALL_FLUSH_TLB_ADDR, va, 0, 0); }
static void lguest64_flush_tlb(bool global) { lazy_hcall(LHCALL_FLUSH_TLB, global, 0, 0); }

static void lguest64_pgd_cleared(ulong pgd, ulong index)
{
	/* Another processor can be given the tables' frames, as tables again, before our ring is emptied. */
	if (many_cpus())
		hcall(LHCALL_SET_PGD, pgd, index, 0, 0, 0);
	else
		async_hcall(LHCALL_SET_PGD, pgd, index, 0);
}

static ulong lguest64_read_cr2(void) { return SHARED(u64, LGS_CR2); }

/* ---- The processor ---- */

static void lguest64_init_cpu(struct cpu_area *area)
{
	u8 *shared = area->shared;
	u32 a, b, c, d;

	/* hcall() finds the flag through %gs, whose base is what this call is about: so by hand. */
	ulong nr = LHCALL_SET_BASE;
	__asm__ volatile(HYPERCALL_BY("movl $1,%c[flag](%%rsi)")
			 : "+a"(nr)
			 : "D"((ulong)LGUEST_BASE_GS_KERNEL), "S"(shared), [flag] "i"(LGS_HYPERCALL_FLAG)
			 : "rcx", "r11", "memory", "cc");
	hcall(LHCALL_TS, 1, 0, 0, 0, 0);
	cpuid(0x80000001, &a, &b, &c, &d);
	if (d & 1 << 20)
		pte_nx = PTE_NX;
	pte_global = PTE_G;
}

static void lguest64_set_gate(int vector, void (*handler)(void), int dpl, bool trap)
{
	/* Non-maskable interrupts, double faults and machine checks stay with the host. */
	if (vector == 2 || vector == 8 || vector == 18 || (vector < 32 && vector > 21))
		return;
	hcall(LHCALL_LOAD_IDT_ENTRY, vector, (ulong)handler, dpl | trap << 8, 0, 0);
}

static void lguest64_set_syscall(void) { hcall(LHCALL_SET_SYSCALL, (ulong)lguest64_syscall_entry, 0, 0, 0, 0); }

static void lguest64_set_kernel_stack(ulong top)
{
	this_cpu()->kernel_sp = top;
	lazy_hcall(LHCALL_SET_STACK, top, 0, 0);
}

static void lguest64_load_tls(struct task *t)
{
	struct percpu *pc = this_cpu();

	if (pc->known_fs != t->fs_base)
		lazy_hcall(LHCALL_SET_BASE, LGUEST_BASE_FS, pc->known_fs = t->fs_base, 0);
	if (pc->known_gs != t->gs_base)
		lazy_hcall(LHCALL_SET_BASE, LGUEST_BASE_GS_USER, pc->known_gs = t->gs_base, 0);
}

/* System calls arrive with virtual interrupts off. */
long do_syscall(struct pt_regs *regs);
__attribute__((used)) void lguest64_syscall(struct pt_regs *regs)
{
	irq_enable();
	do_syscall(regs);
}

/* ---- Interrupts and time ---- */

/* Devices interrupt processor 0. */
static void lguest64_irq_enable_line(int irq) { SHARED_OF(&cpu0_area.pc, u32, LGS_BLOCKED_INTERRUPTS) &= ~(1u << irq); }
static void lguest64_irq_done(int irq) { (void)irq; }

static u64 tsc_start;

static void lguest64_clock_start(void)
{
	tsc_start = rdtsc();
	lguest64_irq_enable_line(0);
	hcall(LHCALL_SET_CLOCKEVENT, TICK_NS, 0, 0, 0, 0);
}

static void lguest64_clock_next(u64 ns) { hcall(LHCALL_SET_CLOCKEVENT, ns, 0, 0, 0, 0); }

/* The virtual processors' counters are not quite the same; nobody who moves between them may see time go back. */
static u64 latest(u64 ns)
{
	static u64 last;
	u64 seen = READ_ONCE(last);

	while (ns > seen)
		if (__atomic_compare_exchange_n(&last, &seen, ns, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return ns;
	return seen;
}

static u64 lguest64_clock_ns(void)
{
	u64 now = rdtsc(), ticks = now > tsc_start ? now - tsc_start : 0;
	u32 khz = SHARED(u32, LGS_TSC_KHZ);

	if (khz != 1000000 && khz)
		ticks = ticks / khz * 1000000 + ticks % khz * 1000000 / khz;
	return cpu_count > 1 ? latest(ticks) : ticks;
}

static u64 lguest64_wall_seconds(void) { return SHARED(u64, LGS_TIME_SEC); }

/* ---- Other processors ---- */

static int lguest64_find_cpus(void) { return SHARED(u32, LGS_VCPU_COUNT); }
static void lguest64_send_ipi(u32 mask) { hcall(LHCALL_SEND_IPI, mask, 0, 0, 0, 0); }
static void lguest64_yield(void) { hcall(LHCALL_YIELD, 0, 0, 0, 0, 0); }

/* From lguest64_secondary_entry: no %gs yet. */
__attribute__((used)) void lguest64_secondary(ulong index)
{
	secondary_start(container_of(cpus[index], struct cpu_area, pc));
}

/*
 * G:160 More than one processor. On the bare machine waking the second one is a small drama in real mode, INIT and SIPI
 * and a page below one mebibyte (native_smp.c, if you like that sort of thing). Here one asks, politely, and gives it a
 * stack.
 *
 * It starts on the tables that we use now; those of a process may go away, so it begins on the kernel's.
 */
static void lguest64_start_cpu(struct cpu_area *area, ulong stack)
{
	SHARED_OF(&area->pc, u32, LGS_HYPERCALL_FLAG) = 0;
	SHARED_OF(&area->pc, u32, LGS_IRQ_ENABLED) = 0;
	SHARED_OF(&area->pc, u32, LGS_IRQ_PENDING) = 0;
	SHARED_OF(&area->pc, u32, LGS_BLOCKED_INTERRUPTS) = ~(1u << LGUEST_IRQ_TIMER | 1u << LGUEST_IRQ_IPI);
	memset(shared_page(&area->pc) + LGS_HCALL_STATUS, LHCALL_FREE, LHCALL_RING_SIZE);
	hcall(LHCALL_VCPU_UP, area->pc.cpu, va_to_pa(area->shared), (ulong)lguest64_secondary_entry, stack, 0);
}

/* ---- The end ---- */

static __attribute__((noreturn)) void shutdown(const char *why, u32 reason, int status)
{
	static char message[128];

	irq_disable();
	strlcpy(message, why, sizeof(message));
	hcall(LHCALL_SHUTDOWN, va_to_pa(message), reason, status & 0xff, 0, 0);
	for (;;)
		;
}

static __attribute__((noreturn)) void lguest64_power_off(const char *why, int status)
{
	shutdown(why, LGUEST_SHUTDOWN_POWEROFF, status);
}

static __attribute__((noreturn)) void lguest64_restart(void)
{
	shutdown("Restarting system.", LGUEST_SHUTDOWN_RESTART, 0);
}

const struct pv_ops pv_lguest64 = {
	.patchable = {
		/* The interrupt flag's four are design_64.c's. */
		[PV_IRET] = lguest64_iret,
		[PV_WRITE_CR3] = lguest64_write_cr3,
		[PV_SET_PTE] = lguest64_set_pte,
		[PV_CHANGE_PTE] = lguest64_change_pte,
		[PV_FLUSH_TLB_ONE] = lguest64_flush_tlb_one,
	},
	.name = "lguest64",
	.user_cs = GUEST_USER_CS,
	.user_ds = GUEST_USER_DS,
	.large_pages = true,
	.has_ports = false,
	.own_clocks = true,
	.ipi_line = LGUEST_IRQ_IPI,
	.init_cpu = lguest64_init_cpu,
	.set_gate = lguest64_set_gate,
	.set_syscall = lguest64_set_syscall,
	.set_kernel_stack = lguest64_set_kernel_stack,
	.load_tls = lguest64_load_tls,
	.read_cr2 = lguest64_read_cr2,
	.flush_tlb = lguest64_flush_tlb,
	.flush_tlb_others = smp_flush_tlb_others,
	.pgd_cleared = lguest64_pgd_cleared,
	.lazy_begin = lguest64_lazy_begin,
	.lazy_end = lguest64_lazy_end,
	.halt = lguest64_halt,
	.irq_enable_line = lguest64_irq_enable_line,
	.irq_done = lguest64_irq_done,
	.clock_start = lguest64_clock_start,
	.clock_next = lguest64_clock_next,
	.clock_ns = lguest64_clock_ns,
	.wall_seconds = lguest64_wall_seconds,
	.find_cpus = lguest64_find_cpus,
	.start_cpu = lguest64_start_cpu,
	.send_ipi = lguest64_send_ipi,
	.yield = lguest64_yield,
	.power_off = lguest64_power_off,
	.restart = lguest64_restart,
};
