/*
 * Reaching frames: those in the direct map are simply there; i386's high memory shows through windows, one for each use,
 * for as long as a copy takes. Device registers get addresses of their own.
 */
#include "mm.h"
#include "printk.h"
#include "proc.h"

#define KMAP_WINDOWS 2

#ifdef __x86_64__
static inline bool direct(ulong pfn) { return (void)pfn, true; }
static void *window_onto(ulong pfn, int window) { return (void)window, pfn_to_va(pfn); }
#else
static inline bool direct(ulong pfn) { return pfn < LOWMEM_MAX >> PAGE_SHIFT; }
static void *window_onto(ulong pfn, int window)
{
	ulong va = KMAP_BASE + (this_cpu()->cpu * KMAP_WINDOWS + window) * PAGE_SIZE;

	change_pte(kernel_pte(va), make_pte(pfn << PAGE_SHIFT, PTE_KERNEL), va, va_to_pa(kernel_pgd));
	return (void *)va;
}
#endif

void *kmap(ulong pfn, int window) { return direct(pfn) ? pfn_to_va(pfn) : window_onto(pfn, window); }

void zero_page(ulong pfn)
{
	if (direct(pfn)) {
		memset(pfn_to_va(pfn), 0, PAGE_SIZE);
		return;
	}
	ulong flags = irq_save();
	memset(kmap(pfn, 0), 0, PAGE_SIZE);
	irq_restore(flags);
}

void copy_page(ulong to, ulong from)
{
	ulong flags = irq_save();
	memcpy(kmap(to, 0), kmap(from, 1), PAGE_SIZE);
	irq_restore(flags);
}

void *ioremap(u64 pa, size_t size)
{
	static ulong next = IOREMAP_BASE;
	ulong offset = pa & ~PAGE_MASK, va = next + offset;

	if (pa + size > (sizeof(ulong) == 4 ? 1ull << 32 : 1ull << 52))
		return NULL;
	for (u64 at = pa - offset; at < pa + size; at += PAGE_SIZE) {
		if (next == IOREMAP_END)
			return NULL;
		set_pte(kernel_pte(next), make_pte(at, PTE_P | PTE_W | PTE_PCD | PTE_A | PTE_D | pte_global), next,
			va_to_pa(kernel_pgd));
		next += PAGE_SIZE;
	}
	return (void *)va;
}
