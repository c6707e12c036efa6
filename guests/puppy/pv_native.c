/*
 * The backend for bare hardware: ring 0 and two 8259 interrupt controllers. Descriptor tables are native_tables.c, timer and
 * clock native_clock.c, other processors native_smp.c.
 */
#include "native.h"
#include "native_smp.h"
#include "printk.h"
#include "proc.h"

extern const struct pv_template native_templates[PV_PATCHABLE];
void native_save_flags(void), native_restore_flags(void), native_irq_disable(void), native_irq_enable(void);
void native_iret(void), native_write_cr3(void), native_set_pte(void), native_change_pte(void), native_flush_tlb_one(void);

static void native_set_syscall(void) {} /* int 0x80 has its gate; LSTAR was set with the tables */

#ifdef __x86_64__
#define MSR_EFER 0xc0000080
#define EFER_SCE 1
#define EFER_NXE 0x800
#endif

static void native_init_cpu(struct cpu_area *area)
{
	u32 a, b, c, features, extended;

	native_load_tables(&area->pc);
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

void native_irq_enable_line(int irq)
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
	.templates = native_templates,
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
