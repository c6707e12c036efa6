/* Bare hardware: descriptor tables and their registers (Intel SDM vol. 3, chapters 3, 6 and 7). */
#include "native.h"
#include "proc.h"

void native_syscall_entry(void), double_fault_entry(void);

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
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_SFMASK 0xc0000084
#define MSR_FS_BASE 0xc0000100
#define MSR_GS_BASE 0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102

void native_load_tables(struct percpu *pc)
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

void native_set_kernel_stack(ulong top)
{
	struct percpu *pc = this_cpu();
	pc->tss.rsp[0] = top;
	pc->kernel_sp = top;
}

/* The incoming user's bases; its GS base waits in KERNEL_GS_BASE until SWAPGS. */
void native_load_tls(struct task *t)
{
	wrmsr(MSR_FS_BASE, t->fs_base);
	wrmsr(MSR_KERNEL_GS_BASE, t->gs_base);
}
#else
void native_load_tables(struct percpu *pc)
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

void native_set_kernel_stack(ulong top)
{
	this_cpu()->tss.esp0 = top;
}

void native_load_tls(struct task *t)
{
	__asm__ volatile("movl %0,%%gs" ::"r"(0));
	memcpy(&this_cpu()->gdt[GDT_TLS_MIN], t->tls, sizeof(t->tls));
}
#endif

#define GATE_INTERRUPT 0x8e
#define GATE_TRAP 0x8f
#define GATE_TASK 0x85

void native_set_gate(int vector, void (*handler)(void), int dpl, bool trap)
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
