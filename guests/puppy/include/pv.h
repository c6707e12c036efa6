/*
 * G:030 How much of a kernel is privileged? Surprisingly little: it fits into one table. That is the whole of
 * paravirtualisation, and the reason why a Guest is easier to host than an unmodified system, which has to be caught
 * red-handed at each of these.
 *
 * paravirt_ops: every operation that needs ring 0 goes through this table. One backend fills it at boot: native
 * (pv_native.c), lguest (pv_lguest_32.c) or lguest64 (pv_lguest_64.c).
 *
 * The first words are the hot ones. Each use of them is `call *pv_ops+N`, recorded in the section .pv_sites;
 * alternative.c then overwrites it with the bare instruction, or with a direct call, so that the indirection costs
 * nothing where it matters. Their calling convention is stricter than C's, see the inline functions.
 */
#pragma once
#include "arch.h"

struct task;
struct mm;
struct cpu_area;

/* Code between two labels; none: the function in the table is called. */
struct pv_template {
	const u8 *start, *end;
};

struct pv_ops {
	void *patchable[PV_PATCHABLE];
	const struct pv_template *templates; /* by operation, what to patch its places with */

	const char *name;
	ulong user_cs, user_ds; /* selectors that a user runs with */
	bool large_pages;       /* may the kernel map itself with 4 MB (i386) or 2 MB (x86_64) pages? */
	bool has_ports;         /* PC hardware besides PCI: PIC, PIT, UART, CMOS */
	bool own_clocks;        /* each processor has a clock of its own; else processor 0 ticks for all */
	int ipi_line;           /* the interrupt that send_ipi makes, -1: there is none */

	void (*init_cpu)(struct cpu_area *area);                                 /* descriptor tables, %fs or %gs */
	void (*set_gate)(int vector, void (*handler)(void), int dpl, bool trap); /* trap: interrupts stay on */
	void (*set_syscall)(void);                                               /* x86_64: where SYSCALL goes */
	void (*set_kernel_stack)(ulong top);                                     /* used on the next entry from user mode */
	void (*load_tls)(struct task *t);                                        /* the task's thread-local segments */

	ulong (*read_cr2)(void);
	void (*flush_tlb)(bool global);
	/* Other processors, those of mask, forget what they remember of mm's [start, end). */
	void (*flush_tlb_others)(struct mm *mm, u32 mask, ulong start, ulong end);
	void (*pgd_cleared)(ulong pgd, ulong index); /* a top-level entry was set to 0 */
	void (*lazy_begin)(void);                    /* until lazy_end, page-table updates may be batched */
	void (*lazy_end)(void);

	void (*halt)(void); /* interrupts off on entry, on at return: waits for one without losing any */
	void (*irq_enable_line)(int irq);
	void (*irq_done)(int irq);
	void (*clock_start)(void);
	void (*clock_next)(u64 ns); /* next timer interrupt, 0: none needed; a periodic timer ignores it */
	u64 (*clock_ns)(void);      /* since boot, monotonic */
	int (*find_cpus)(void);     /* how many there may be, this one included */
	/* Has processor number area->pc.cpu go to secondary_start(area) on that stack. */
	void (*start_cpu)(struct cpu_area *area, ulong stack);
	void (*send_ipi)(u32 mask); /* ipi_line's interrupt on each processor of mask */
	void (*yield)(void);        /* lets others have this processor for a while; NULL: there are no others */
	u64 (*wall_seconds)(void);  /* since 1970, now */
	void (*power_off)(const char *why, int status) __attribute__((noreturn));
	void (*restart)(void) __attribute__((noreturn));
};

extern struct pv_ops pv_ops;
extern const struct pv_ops pv_native;
#ifdef __x86_64__
extern const struct pv_ops pv_lguest64;
void lguest64_adapt(u64 design); /* pv_ops, to the design that the host has (design_64.c) */
#else
extern const struct pv_ops pv_lguest;
void lguest_adapt(u64 design); /* the same (design_32.c) */
#endif

void pv_select(u32 subarch, u64 design);
void pv_patch(void);

/* The call, padded so that any replacement fits, and its record: where, and which operation. */
#define PV_CALL(op)                                                                                                    \
	"771:\tcall *pv_ops+%c[off]\n772:\t.skip " PV_STR(PV_SITE_SIZE) "-(772b-771b), 0x90\n"                         \
	"\t.pushsection .pv_sites,\"a\"\n\t.long 771b-.\n\t.long " PV_STR(op) "\n\t.popsection\n"
#define PV_STR_(x) #x
#define PV_STR(x) PV_STR_(x)
#define PV_OFF(op) [off] "i"((op) * sizeof(void *))

/* Interrupt flag: these leave every register alone but the accumulator, which carries the flags. */
static inline ulong irq_flags(void)
{
	ulong flags;
	__asm__ volatile(PV_CALL(PV_SAVE_FLAGS) : "=a"(flags) : PV_OFF(PV_SAVE_FLAGS) : "memory", "cc");
	return flags;
}
static inline void irq_restore(ulong flags)
{
	__asm__ volatile(PV_CALL(PV_RESTORE_FLAGS) : "+a"(flags) : PV_OFF(PV_RESTORE_FLAGS) : "memory", "cc");
}
static inline void irq_disable(void)
{
	__asm__ volatile(PV_CALL(PV_IRQ_DISABLE) ::PV_OFF(PV_IRQ_DISABLE) : "memory", "cc");
}
static inline void irq_enable(void)
{
	__asm__ volatile(PV_CALL(PV_IRQ_ENABLE) ::PV_OFF(PV_IRQ_ENABLE) : "memory", "cc");
}
static inline ulong irq_save(void)
{
	ulong flags = irq_flags();
	irq_disable();
	return flags;
}

/* The rest are called as C functions are, so what C may lose is declared lost. */
#ifdef __x86_64__
#define PV_LOST "rax", "r8", "r9", "r10", "r11", "memory", "cc"
#define PV_CALL4(op, a, b, c, d)                                                                                       \
	do {                                                                                                           \
		ulong _a = (a), _b = (b), _c = (c), _d = (d);                                                          \
		__asm__ volatile(PV_CALL(op) : "+D"(_a), "+S"(_b), "+d"(_c), "+c"(_d) : PV_OFF(op) : PV_LOST);         \
	} while (0)
#else
/* Three in registers (regparm), the fourth in %ebx for a thunk to push. */
#define PV_CALL4(op, a, b, c, d)                                                                                       \
	do {                                                                                                           \
		ulong _a = (a), _b = (b), _c = (c);                                                                    \
		__asm__ volatile(PV_CALL(op) : "+a"(_a), "+d"(_b), "+c"(_c) : PV_OFF(op), "b"(d) : "memory", "cc");    \
	} while (0)
#endif

/* Address space: the physical address of the top-level table. */
static inline void write_cr3(ulong pgd) { PV_CALL4(PV_WRITE_CR3, pgd, 0, 0, 0); }
/* Sets an entry that was not present, which no processor can have remembered. */
static inline void set_pte(ulong *ptep, ulong pte, ulong va, ulong pgd) { PV_CALL4(PV_SET_PTE, (ulong)ptep, pte, va, pgd); }
/* Changes or removes a present entry of the address space in use, and makes the processor forget the old one. */
static inline void change_pte(ulong *ptep, ulong pte, ulong va, ulong pgd) { PV_CALL4(PV_CHANGE_PTE, (ulong)ptep, pte, va, pgd); }
static inline void flush_tlb_one(ulong va) { PV_CALL4(PV_FLUSH_TLB_ONE, va, 0, 0, 0); }
