/*
 * G:190 The elder sibling. On i386 the Guest's kernel lives in ring 1, between its processes and its Host, and has
 * segments of its own; so it must tell of its descriptors too. Otherwise the table of operations is the same, which is
 * what made one kernel for both possible.
 *
 * The backend for lguest, i386. Privileged requests are hypercalls, `int $0x1f` or what else the host's design has in its
 * place (design_32.c, which also knows where the interrupt flag is). Updates of page tables come in droves,
 * so between lazy_begin and lazy_end they are only noted in lguest_data's ring, which the host empties before it does
 * the next real hypercall.
 */
#include "door_32.h"
#include "lguest_i386.h"
#include "printk.h"
#include "proc.h"

void lguest_set_pte(void), lguest_change_pte(void);
extern char lguest_noirq_iret[];

struct lguest_data lguest_data = {
	.hcall_status = { [0 ... LHCALL_RING_SIZE - 1] = 0xff },
	.noirq_iret = (u32)lguest_noirq_iret,
	.kernel_address = KERNEL_SPACE,
	.blocked_interrupts = ~0u, /* each line is opened when its driver is ready */
	.syscall_vec = SYSCALL_VECTOR,
};

static bool queued; /* calls wait in the ring */

static ulong hcall(ulong nr, ulong a, ulong b, ulong c, ulong d)
{
	__asm__ volatile(HYPERCALL : "+a"(nr) : [door] "i"(LGUEST_TRAP_ENTRY), "b"(a), "c"(b), "d"(c), "S"(d) : "memory");
	queued = false;
	return nr;
}

static u32 lazy, next_call;
static ulong current_cr3;

/* Notes a call for later. A full ring is emptied by making this one at once, since the ring is always done first. */
static void async_hcall(ulong nr, ulong a, ulong b, ulong c)
{
	ulong flags = irq_save();

	if (lguest_data.hcall_status[next_call] != LHCALL_FREE) {
		hcall(nr, a, b, c, 0);
	} else {
		__typeof__(lguest_data.hcalls[0]) *call = &lguest_data.hcalls[next_call];
		call->nr = nr;
		call->arg[0] = a;
		call->arg[1] = b;
		call->arg[2] = c;
		call->arg[3] = LHCALL_PENDING;
		barrier();
		queued = true;
		lguest_data.hcall_status[next_call] = LHCALL_PENDING;
		next_call = (next_call + 1) % LHCALL_RING_SIZE;
	}
	irq_restore(flags);
}

static void lazy_hcall(ulong nr, ulong a, ulong b, ulong c)
{
	if (lazy)
		async_hcall(nr, a, b, c);
	else
		hcall(nr, a, b, c, 0);
}

static void lguest_lazy_begin(void) { lazy++; }
static void lguest_lazy_end(void)
{
	if (--lazy == 0 && queued)
		hcall(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0);
}

/* ---- Memory ---- */

static void lguest_write_cr3(ulong pgd)
{
	current_cr3 = pgd;
	lazy_hcall(LHCALL_NEW_PGTABLE, pgd, 0, 0);
}

/* The entry was empty, so the shadow has nothing there, and the host finds the new one when the address is touched. */
__attribute__((used)) void lguest_do_set_pte(ulong *ptep, ulong pte, ulong va, ulong pgd)
{
	*ptep = pte;
	if (lazy)
		async_hcall(LHCALL_SET_PTE, pgd, va, pte);
}

__attribute__((used)) void lguest_do_change_pte(ulong *ptep, ulong pte, ulong va, ulong pgd)
{
	*ptep = pte;
	lazy_hcall(LHCALL_SET_PTE, pgd, va, pte);
}

/* Forget the shadow's entry: the host will look it up again. */
static void lguest_flush_tlb_one(ulong va) { lazy_hcall(LHCALL_SET_PTE, current_cr3, va, 0); }
static void lguest_flush_tlb(bool global) { lazy_hcall(LHCALL_FLUSH_TLB, global, 0, 0); }
static void lguest_pgd_cleared(ulong pgd, ulong index) { async_hcall(LHCALL_SET_PGD, pgd, index, 0); }
static ulong lguest_read_cr2(void) { return lguest_data.cr2; }

/* ---- The processor ---- */

static void set_gdt(int index, u64 descriptor)
{
	hcall(LHCALL_LOAD_GDT_ENTRY, index, (u32)descriptor, descriptor >> 32, 0);
}

static void lguest_init_cpu(struct cpu_area *area)
{
	ulong pc = (ulong)&area->pc;

	current_cr3 = va_to_pa(kernel_pgd);
	/* The host lowers privilege 0 in a descriptor to 1, where we run. */
	set_gdt(GDT_KERNEL_CS, 0x00cf9b000000ffffull);
	set_gdt(GDT_KERNEL_DS, 0x00cf93000000ffffull);
	set_gdt(GDT_USER_CS, 0x00cffb000000ffffull);
	set_gdt(GDT_USER_DS, 0x00cff3000000ffffull);
	set_gdt(GDT_PERCPU, 0x00cf93000000ffffull | (pc & 0xffffffull) << 16 | (u64)(pc >> 24) << 56);
	__asm__ volatile("movl %0,%%ds\n\tmovl %0,%%es\n\tmovl %1,%%fs\n\tmovl %2,%%gs" ::"r"(USER_DS),
			 "r"(PERCPU_SELECTOR), "r"(0) : "memory");
	/* No floating point, so that there is none to save: any use of it traps. */
	hcall(LHCALL_TS, 1, 0, 0, 0);
}

static void lguest_set_gate(int vector, void (*handler)(void), int dpl, bool trap)
{
	ulong a = (ulong)handler;

	hcall(LHCALL_LOAD_IDT_ENTRY, vector, (KERNEL_CS | 1) << 16 | (a & 0xffff),
	      (a & 0xffff0000) | 0x8e00 | trap << 8 | dpl << 13, 0);
}

static void lguest_set_syscall(void) {}

static void lguest_set_kernel_stack(ulong top)
{
	lazy_hcall(LHCALL_SET_STACK, KERNEL_DS | 1, top, STACK_PAGES);
}

static void lguest_load_tls(struct task *t)
{
	/* The host reloads our segment registers whenever it lets us run: none may name a descriptor that goes away. */
	__asm__ volatile("movl %0,%%gs" ::"r"(0));
	lazy_hcall(LHCALL_LOAD_TLS, va_to_pa(t->tls), 0, 0);
}

/* ---- Interrupts and time ---- */

/* Delivering the interrupt that ends it, the host sets irq_enabled itself. */
static void lguest_halt(void)
{
	hcall(LHCALL_HALT, 0, 0, 0, 0);
	irq_enable();
}

static void lguest_irq_enable_line(int irq) { lguest_data.blocked_interrupts &= ~(1u << irq); }
static void lguest_irq_done(int irq) { (void)irq; }

static u64 tsc_start;

static void lguest_clock_start(void)
{
	tsc_start = rdtsc();
	lguest_irq_enable_line(0);
	hcall(LHCALL_SET_CLOCKEVENT, TICK_NS, 0, 0, 0);
}

static void lguest_clock_next(u64 ns) { hcall(LHCALL_SET_CLOCKEVENT, min(ns, (u64)NSEC_PER_SEC), 0, 0, 0); }

static u64 host_time_ns(void)
{
	u32 sec, nsec;

	/* Two words: again if the host changed them in between. */
	do {
		sec = READ_ONCE(lguest_data.time_sec);
		nsec = READ_ONCE(lguest_data.time_nsec);
	} while (READ_ONCE(lguest_data.time_sec) != sec);
	return sec * NSEC_PER_SEC + nsec;
}

static u64 lguest_clock_ns(void)
{
	static u64 base;

	if (lguest_data.tsc_khz) {
		u64 ticks = rdtsc() - tsc_start;
		u32 khz = lguest_data.tsc_khz;
		if (khz == 1000000)
			return ticks;
		return ticks / khz * 1000000 + ticks % khz * 1000000 / khz;
	}
	/* No reliable TSC: the time of the last interrupt must do. */
	if (!base)
		base = host_time_ns();
	return host_time_ns() - base;
}

static u64 lguest_wall_seconds(void) { return lguest_data.time_sec; }

/* ---- The end ---- */

static __attribute__((noreturn)) void shutdown(const char *why, u32 reason, int status)
{
	static char message[128];

	/* The host reads all 128 bytes of it. */
	strlcpy(message, why, sizeof(message));
	hcall(LHCALL_SHUTDOWN, va_to_pa(message), reason, status & 0xff, 0);
	for (;;)
		hcall(LHCALL_HALT, 0, 0, 0, 0);
}

static __attribute__((noreturn)) void lguest_power_off(const char *why, int status)
{
	irq_disable();
	shutdown(why, LGUEST_SHUTDOWN_POWEROFF, status);
}

static __attribute__((noreturn)) void lguest_restart(void)
{
	irq_disable();
	shutdown("Restarting system.", LGUEST_SHUTDOWN_RESTART, 0);
}

const struct pv_ops pv_lguest = {
	.patchable = {
		/* PV_SAVE_FLAGS to PV_IRET: lguest_adapt */
		[PV_WRITE_CR3] = lguest_write_cr3,
		[PV_SET_PTE] = lguest_set_pte,
		[PV_CHANGE_PTE] = lguest_change_pte,
		[PV_FLUSH_TLB_ONE] = lguest_flush_tlb_one,
	},
	.name = "lguest",
	.user_cs = USER_CS,
	.user_ds = USER_DS,
	.large_pages = false, /* lguest's shadow pages know 4 KB only */
	.has_ports = false,
	.own_clocks = true,
	.ipi_line = -1, /* the ABI knows one virtual processor */
	.init_cpu = lguest_init_cpu,
	.set_gate = lguest_set_gate,
	.set_syscall = lguest_set_syscall,
	.set_kernel_stack = lguest_set_kernel_stack,
	.load_tls = lguest_load_tls,
	.read_cr2 = lguest_read_cr2,
	.flush_tlb = lguest_flush_tlb,
	.flush_tlb_others = smp_flush_tlb_others,
	.pgd_cleared = lguest_pgd_cleared,
	.lazy_begin = lguest_lazy_begin,
	.lazy_end = lguest_lazy_end,
	.halt = lguest_halt,
	.irq_enable_line = lguest_irq_enable_line,
	.irq_done = lguest_irq_done,
	.clock_start = lguest_clock_start,
	.clock_next = lguest_clock_next,
	.clock_ns = lguest_clock_ns,
	.wall_seconds = lguest_wall_seconds,
	.power_off = lguest_power_off,
	.restart = lguest_restart,
};
