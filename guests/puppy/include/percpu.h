/* What each processor has for itself, reached through %fs (i386) or %gs (x86_64). */
#pragma once
#include "arch.h"
#include "spinlock.h"

#define MAX_CPUS 16

struct task;
struct mm;
struct ktimer;

/* A request to others to forget translations, in the area of whoever makes it (smp.c). */
struct flush_request {
	struct mm *mm;
	ulong start, end;
	u32 waiting; /* processors that have not answered yet */
};

/* Tasks that are ready and wait for this processor. The lock also guards a queued or running task's state and cpu. */
struct run_queue {
	spinlock_t lock;
	struct task *first, *last;
	ulong length;
	struct task *leaving; /* may not run here any more: taken elsewhere as soon as we are off their stack */
};

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
	struct run_queue rq;
	struct ktimer *timers; /* by ascending deadline (timer.c) */
	spinlock_t timers_lock;

	ulong irq_count, irqs[EXTERNAL_VECTORS];
	ulong user_ticks, system_ticks;

	u32 ipi_work;   /* what the next interrupt from another processor is about: IPI_… (smp.h) */
	u32 flush_from; /* processors whose flush_request waits for our answer */
	struct flush_request flush;

	/* The backends': a hypervisor is told of changes in batches, and only of changes. */
	u32 lazy, next_call;
	bool queued;
	u64 known_fs, known_gs;
	u32 apic_id;
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
	struct {
		u32 link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi, es, cs,
			ss, ds, fs, gs, ldt;
		u16 trap, iomap_base;
	} double_fault_tss;
#endif
	u8 double_fault_stack[1536] __attribute__((aligned(16)));
};

/*
 * G:050 On x86_64 the page shared with the hypervisor comes first, so that %gs:0 reaches its words with one
 * instruction.
 *
 * This is all of the furniture that Host and Guest have in common: a page for each virtual CPU, in the Guest's own
 * memory. What is in it was agreed in P:170. The Guest may scribble on it as it likes, and the Host reads it as you
 * would read a letter from a stranger.
 */
struct cpu_area {
#ifdef __x86_64__
	u8 shared[PAGE_SIZE];
#endif
	struct percpu pc;
} __attribute__((aligned(4096)));

extern struct cpu_area cpu0_area;
extern struct percpu *cpus[MAX_CPUS]; /* NULL: there is none of that number */

#ifdef __x86_64__
#define PERCPU_ASM "%%gs:"
#else
#define PERCPU_ASM "%%fs:"
#endif

/* Volatile: after a task has slept it may be on another processor. */
static inline struct percpu *this_cpu(void)
{
	struct percpu *p;
	__asm__ volatile("mov " PERCPU_ASM "%c1,%0" : "=r"(p) : "i"(PC_SELF));
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
