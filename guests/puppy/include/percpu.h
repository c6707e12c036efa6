/* What each processor has for itself, reached through %fs (i386) or %gs (x86_64). */
#pragma once
#include "arch.h"

struct task;
struct mm;

struct percpu {
	/* layout.h knows the offsets of these four. */
	struct percpu *self;
	struct task *task; /* that runs here: current */
	ulong kernel_sp; /* x86_64: top of current's kernel stack, for SYSCALL, which switches no stack */
	ulong user_sp;   /* x86_64: where SYSCALL's entry puts the user's stack pointer for a moment */

	u32 cpu;
	u32 need_resched;    /* current has used up its time, or someone was woken */
	struct task *idle;
	struct mm *active_mm; /* address space that CR3 holds; NULL: the kernel's own */
	ulong irq_count;
#ifdef __x86_64__
	u64 gdt[10];
	struct {
		u32 reserved0;
		u64 rsp[3];
		u64 reserved1;
		u64 ist[7];
		u8 reserved2[10];
		u16 iomap_base;
	} __attribute__((packed)) tss;
#else
	u64 gdt[GDT_ENTRIES] __attribute__((aligned(8)));
	struct {
		u32 link, esp0, ss0, unused[22];
		u16 trap, iomap_base;
	} tss;
#endif
};

/* On x86_64 the page shared with the hypervisor comes first, so that %gs:0 reaches its words with one instruction. */
struct cpu_area {
#ifdef __x86_64__
	u8 shared[PAGE_SIZE];
#endif
	struct percpu pc;
} __attribute__((aligned(4096)));

extern struct cpu_area cpu0_area;

#ifdef __x86_64__
#define PERCPU_ASM "%%gs:"
#else
#define PERCPU_ASM "%%fs:"
#endif

static inline struct percpu *this_cpu(void)
{
	struct percpu *p;
	__asm__("mov " PERCPU_ASM "%c1,%0" : "=r"(p) : "i"(PC_SELF));
	return p;
}

/* Not volatile: within one function current does not change, whatever it sleeps through. */
static inline struct task *get_current(void)
{
	struct task *t;
	__asm__("mov " PERCPU_ASM "%c1,%0" : "=r"(t) : "i"(PC_CURRENT));
	return t;
}
#define current get_current()
