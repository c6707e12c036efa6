/*
 * The backend for bare hardware: ring 0, our own descriptor tables, two 8259 interrupt controllers, the 8254 timer and
 * the CMOS clock.
 */
#include "native_smp.h"
#include "printk.h"
#include "proc.h"

void native_save_flags(void), native_restore_flags(void), native_irq_disable(void), native_irq_enable(void);
void native_iret(void), native_write_cr3(void), native_set_pte(void), native_change_pte(void), native_flush_tlb_one(void);
void native_syscall_entry(void), double_fault_entry(void);

/* ---- Descriptor tables (Intel SDM vol. 3, chapters 3, 6 and 7) ---- */

struct gate {
	u16 offset_low, selector;
	u8 ist, type;
	u16 offset_mid;
#ifdef __x86_64__
	u32 offset_high, reserved;
#endif
};
static struct gate idt[256] __attribute__((aligned(16)));

struct table_pointer {
	u16 limit;
	ulong base;
} __attribute__((packed));

#define DPL(n) ((u64)(n) << 45)
#define CODE32 0x00cf9b000000ffffull /* flat, 4 GiB, readable code, accessed */
#define DATA32 0x00cf93000000ffffull /* flat, 4 GiB, writable, accessed */
#define CODE64 0x00af9b000000ffffull

static u64 segment(u64 base, u32 limit, u32 flags)
{
	return (base & 0xffffff) << 16 | (base & 0xff000000) << 32 | (limit & 0xffff) | (u64)(limit & 0xf0000) << 32 |
	       (u64)flags << 40;
}

#define TSS_AVAILABLE 0x89

#ifdef __x86_64__
#define MSR_EFER 0xc0000080
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_SFMASK 0xc0000084
#define MSR_FS_BASE 0xc0000100
#define MSR_GS_BASE 0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102
#define EFER_SCE 1
#define EFER_NXE 0x800

static void load_tables(struct percpu *pc)
{
	u64 tss = (u64)&pc->tss;

	pc->gdt[KERNEL_CS / 8] = CODE64;
	pc->gdt[KERNEL_DS / 8] = DATA32;
	pc->gdt[USER_DS / 8] = DATA32 | DPL(3);
	pc->gdt[USER_CS / 8] = CODE64 | DPL(3);
	pc->gdt[TSS_SELECTOR / 8] = segment(tss & 0xffffffff, sizeof(pc->tss) - 1, TSS_AVAILABLE);
	pc->gdt[TSS_SELECTOR / 8 + 1] = tss >> 32;
	pc->tss.ist[0] = (ulong)(pc->double_fault_stack + sizeof(pc->double_fault_stack));
	pc->tss.iomap_base = sizeof(pc->tss);

	struct table_pointer gdtr = { sizeof(pc->gdt) - 1, (ulong)pc->gdt }, idtr = { sizeof(idt) - 1, (ulong)idt };
	__asm__ volatile("lgdt %0\n\t"
			 "pushq %1\n\tleaq 1f(%%rip),%%rax\n\tpushq %%rax\n\tlretq\n"
			 "1:\tmovl %2,%%ds\n\tmovl %2,%%es\n\tmovl %2,%%ss\n\tmovl %3,%%fs\n\tmovl %3,%%gs\n\t"
			 "lidt %4\n\tltr %w5" ::"m"(gdtr),
			 "i"(KERNEL_CS), "r"(KERNEL_DS), "r"(0), "m"(idtr), "r"(TSS_SELECTOR)
			 : "rax", "memory");
	wrmsr(MSR_GS_BASE, (ulong)pc - PERCPU_BASE);
	wrmsr(MSR_KERNEL_GS_BASE, 0);
	wrmsr(MSR_STAR, (u64)(USER_DS - 8) << 48 | (u64)KERNEL_CS << 32);
	wrmsr(MSR_LSTAR, (ulong)native_syscall_entry);
	wrmsr(MSR_SFMASK, FLAG_IF | FLAG_TF | FLAG_DF | 0x44000 /* NT, AC */);
}

static void native_set_kernel_stack(ulong top)
{
	struct percpu *pc = this_cpu();
	pc->tss.rsp[0] = top;
	pc->kernel_sp = top;
}

/* The incoming user's bases; its GS base waits in KERNEL_GS_BASE until SWAPGS. */
static void native_load_tls(struct task *t)
{
	wrmsr(MSR_FS_BASE, t->fs_base);
	wrmsr(MSR_KERNEL_GS_BASE, t->gs_base);
}
#else
static void load_tables(struct percpu *pc)
{
	pc->gdt[GDT_KERNEL_CS] = CODE32;
	pc->gdt[GDT_KERNEL_DS] = DATA32;
	pc->gdt[GDT_USER_CS] = CODE32 | DPL(3);
	pc->gdt[GDT_USER_DS] = DATA32 | DPL(3);
	pc->gdt[GDT_PERCPU] = DATA32 | segment((ulong)pc, 0, 0);
	pc->gdt[GDT_TSS] = segment((ulong)&pc->tss, sizeof(pc->tss) - 1, TSS_AVAILABLE);
	pc->gdt[GDT_DOUBLEFAULT_TSS] = segment((ulong)&pc->double_fault_tss, sizeof(pc->double_fault_tss) - 1, TSS_AVAILABLE);
	pc->tss.ss0 = KERNEL_DS;
	pc->tss.iomap_base = sizeof(pc->tss);

	/* A double fault often means that the stack is gone: it gets a task of its own. */
	pc->double_fault_tss.cr3 = va_to_pa(kernel_pgd);
	pc->double_fault_tss.eip = (ulong)double_fault_entry;
	pc->double_fault_tss.eflags = 2;
	pc->double_fault_tss.esp = (ulong)(pc->double_fault_stack + sizeof(pc->double_fault_stack));
	pc->double_fault_tss.cs = KERNEL_CS;
	pc->double_fault_tss.ss = pc->double_fault_tss.ds = pc->double_fault_tss.es = KERNEL_DS;
	pc->double_fault_tss.fs = PERCPU_SELECTOR;
	pc->double_fault_tss.iomap_base = sizeof(pc->double_fault_tss);

	struct table_pointer gdtr = { sizeof(pc->gdt) - 1, (ulong)pc->gdt }, idtr = { sizeof(idt) - 1, (ulong)idt };
	__asm__ volatile("lgdt %0\n\t"
			 "ljmp %1,$1f\n"
			 "1:\tmovl %2,%%ds\n\tmovl %2,%%es\n\tmovl %2,%%ss\n\tmovl %3,%%fs\n\tmovl %4,%%gs\n\t"
			 "lidt %5\n\tltr %w6" ::"m"(gdtr),
			 "i"(KERNEL_CS), "r"(KERNEL_DS), "r"(PERCPU_SELECTOR), "r"(0), "m"(idtr), "r"(GDT_TSS * 8)
			 : "memory");
}

static void native_set_kernel_stack(ulong top)
{
	this_cpu()->tss.esp0 = top;
}

static void native_load_tls(struct task *t)
{
	__asm__ volatile("movl %0,%%gs" ::"r"(0));
	memcpy(&this_cpu()->gdt[GDT_TLS_MIN], t->tls, sizeof(t->tls));
}
#endif

#define GATE_INTERRUPT 0x8e
#define GATE_TRAP 0x8f
#define GATE_TASK 0x85

static void native_set_gate(int vector, void (*handler)(void), int dpl, bool trap)
{
	ulong a = (ulong)handler;
	struct gate *g = &idt[vector];

	g->offset_low = a;
	g->selector = KERNEL_CS;
	g->type = (trap ? GATE_TRAP : GATE_INTERRUPT) | dpl << 5;
	g->offset_mid = a >> 16;
#ifdef __x86_64__
	g->offset_high = a >> 32;
	g->ist = vector == 8;
#else
	if (vector == 8) {
		g->selector = GDT_DOUBLEFAULT_TSS * 8;
		g->type = GATE_TASK;
	}
#endif
}

static void native_set_syscall(void) {} /* int 0x80 has its gate; LSTAR was set with the tables */

static void native_init_cpu(struct cpu_area *area)
{
	u32 a, b, c, features, extended;

	load_tables(&area->pc);
	cpuid(1, &a, &b, &c, &features);
	write_cr0((read_cr0() | CR0_WP | CR0_EM) & ~0xaul /* TS, MP */);
	ulong cr4 = read_cr4();
	if (features & 1 << 3)
		cr4 |= CR4_PSE;
	else
		pv_ops.large_pages = false;
	if (features & 1 << 13) {
		cr4 |= CR4_PGE;
		pte_global = PTE_G;
	}
	write_cr4(cr4);
	cpuid(0x80000000, &a, &b, &c, &extended);
	if (a >= 0x80000001) {
		cpuid(0x80000001, &a, &b, &c, &extended);
#ifdef __x86_64__
		u64 efer = rdmsr(MSR_EFER) | EFER_SCE;
		if (extended & 1 << 20) {
			efer |= EFER_NXE;
			pte_nx = PTE_NX;
		}
		wrmsr(MSR_EFER, efer);
#endif
	}
}

/* ---- Memory ---- */

static ulong native_read_cr2(void)
{
	ulong v;
	__asm__ volatile("mov %%cr2,%0" : "=r"(v));
	return v;
}

static void native_flush_tlb(bool global)
{
	ulong cr3, cr4 = read_cr4();

	if (global && (cr4 & CR4_PGE)) {
		write_cr4(cr4 & ~CR4_PGE);
		write_cr4(cr4);
		return;
	}
	__asm__ volatile("mov %%cr3,%0" : "=r"(cr3));
	write_cr3(cr3);
}

static void native_pgd_cleared(ulong pgd, ulong index) { (void)pgd, (void)index; }
static void native_lazy(void) {}

/* ---- Interrupts: the 8259 pair, vectors 32 to 47 (data sheet: ICW1 to ICW4) ---- */

#define PIC1 0x20
#define PIC2 0xa0
static u16 pic_mask = 0xffff & ~(1 << 2); /* line 2 is the second controller */

static void pic_init(void)
{
	outb(PIC1, 0x11);
	outb(PIC2, 0x11);
	outb(PIC1 + 1, FIRST_EXTERNAL_VECTOR);
	outb(PIC2 + 1, FIRST_EXTERNAL_VECTOR + 8);
	outb(PIC1 + 1, 4);
	outb(PIC2 + 1, 2);
	outb(PIC1 + 1, 1);
	outb(PIC2 + 1, 1);
	outb(PIC1 + 1, pic_mask);
	outb(PIC2 + 1, pic_mask >> 8);
}

static void native_irq_enable_line(int irq)
{
	if (irq > 15)
		return; /* the local APIC's */
	pic_mask &= ~(1 << irq);
	outb(PIC1 + 1, pic_mask);
	outb(PIC2 + 1, pic_mask >> 8);
}

static void native_irq_done(int irq)
{
	if (irq >= 16) {
		if (irq == NATIVE_IPI_LINE)
			native_ipi_done();
		return;
	}
	if (irq >= 8)
		outb(PIC2, 0x20);
	outb(PIC1, 0x20);
}

static void native_halt(void) { __asm__ volatile("sti; hlt" ::: "memory"); }

/* ---- Time: the 8254's channel 0 interrupts every 10 ms; its counter gives the time between ---- */

#define PIT_HZ 1193182
#define PIT_COUNT (PIT_HZ / HZ)

static void native_clock_start(void)
{
	outb(0x43, 0x34); /* channel 0, both bytes, mode 2: rate generator */
	outb(0x40, PIT_COUNT & 0xff);
	outb(0x40, PIT_COUNT >> 8);
	native_irq_enable_line(0);
}

static void native_clock_next(u64 ns) { (void)ns; }

static bool tick_waits(void)
{
	outb(PIC1, 0x0a); /* OCW3: read the request register */
	return inb(PIC1) & 1;
}

static u64 native_clock_ns(void)
{
	static spinlock_t lock; /* the port is read in two halves */
	static u64 last;
	ulong flags = spin_lock_irqsave(&lock);

	outb(0x43, 0); /* latch */
	u32 count = inb(0x40);
	count |= inb(0x40) << 8;
	u64 within = (u64)(PIT_COUNT - min(count, (u32)PIT_COUNT)) * 838;
	u64 now = jiffies * TICK_NS + within;
	/* The counter wraps before its interrupt is taken, which with several processors may take a while. */
	if (cpu_count > 1 && within < TICK_NS / 2 && tick_waits())
		now += TICK_NS;
	/* However that may be, time must not go back. */
	if (now < last)
		now = last;
	last = now;
	spin_unlock_irqrestore(&lock, flags);
	return now;
}

static u32 cmos(u8 reg)
{
	outb(0x70, reg);
	return inb(0x71);
}

static u64 days_since_1970(u32 y, u32 m, u32 d)
{
	/* Months counted from March, so that the leap day is the year's last. */
	if (m <= 2)
		y--, m += 12;
	return 365ull * y + y / 4 - y / 100 + y / 400 + (153 * (m - 3) + 2) / 5 + d - 1 - 719468;
}

static u64 native_wall_seconds(void)
{
	u32 t[6], again[6];
	static const u8 regs[6] = { 0, 2, 4, 7, 8, 9 }; /* s, min, h, day, month, year */

	/* Read twice, until no update came between. */
	do {
		for (int i = 0; i < 6; i++)
			t[i] = cmos(regs[i]);
		for (int i = 0; i < 6; i++)
			again[i] = cmos(regs[i]);
	} while (memcmp(t, again, sizeof(t)));
	u32 mode = cmos(0x0b);
	bool pm = t[2] & 0x80;
	t[2] &= 0x7f;
	if (!(mode & 4)) /* BCD */
		for (int i = 0; i < 6; i++)
			t[i] = (t[i] >> 4) * 10 + (t[i] & 15);
	if (!(mode & 2)) /* 12 hours */
		t[2] = t[2] % 12 + (pm ? 12 : 0);
	return days_since_1970(2000 + t[5] % 100, t[4], t[3]) * 86400 + t[2] * 3600 + t[1] * 60 + t[0];
}

/* ---- The end ---- */

static __attribute__((noreturn)) void native_power_off(const char *why, int status)
{
	(void)why;
	irq_disable();
	outw(0x604, 0x2000 | (status & 0xff)); /* ACPI's SLP_EN; the machine takes the exit status from the low byte */
	for (;;)
		__asm__ volatile("cli; hlt");
}

static __attribute__((noreturn)) void native_restart(void)
{
	irq_disable();
	outb(0xcf9, 6);
	for (;;)
		__asm__ volatile("cli; hlt");
}

static void native_init(struct cpu_area *area)
{
	native_init_cpu(area);
	if (area == &cpu0_area)
		pic_init();
	else
		native_secondary_init();
}

const struct pv_ops pv_native = {
	.patchable = {
		[PV_SAVE_FLAGS] = native_save_flags,
		[PV_RESTORE_FLAGS] = native_restore_flags,
		[PV_IRQ_DISABLE] = native_irq_disable,
		[PV_IRQ_ENABLE] = native_irq_enable,
		[PV_IRET] = native_iret,
		[PV_WRITE_CR3] = native_write_cr3,
		[PV_SET_PTE] = native_set_pte,
		[PV_CHANGE_PTE] = native_change_pte,
		[PV_FLUSH_TLB_ONE] = native_flush_tlb_one,
	},
	.name = "native",
	.user_cs = USER_CS,
	.user_ds = USER_DS,
	.large_pages = true,
	.has_ports = true,
	.own_clocks = false,
	.ipi_line = NATIVE_IPI_LINE,
	.init_cpu = native_init,
	.set_gate = native_set_gate,
	.set_syscall = native_set_syscall,
	.set_kernel_stack = native_set_kernel_stack,
	.load_tls = native_load_tls,
	.read_cr2 = native_read_cr2,
	.flush_tlb = native_flush_tlb,
	.flush_tlb_others = smp_flush_tlb_others,
	.pgd_cleared = native_pgd_cleared,
	.lazy_begin = native_lazy,
	.lazy_end = native_lazy,
	.halt = native_halt,
	.irq_enable_line = native_irq_enable_line,
	.irq_done = native_irq_done,
	.clock_start = native_clock_start,
	.clock_next = native_clock_next,
	.clock_ns = native_clock_ns,
	.wall_seconds = native_wall_seconds,
	.find_cpus = native_find_cpus,
	.start_cpu = native_start_cpu,
	.send_ipi = native_send_ipi,
	.power_off = native_power_off,
	.restart = native_restart,
};
