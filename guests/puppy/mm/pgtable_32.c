/*
 * i386 page tables: two levels of 1024 entries. A directory entry covers 4 MB, and may map them as one large page where
 * the processor has PSE; under lguest the kernel uses 4 KB pages throughout.
 */
#include "mm.h"
#include "percpu.h"
#include "printk.h"
#include "proc.h"

#define PGD_SHIFT 22
#define TABLE_ENTRIES 1024
#define USER_ENTRIES (TASK_SIZE >> PGD_SHIFT)
#define TABLE_USER (PTE_P | PTE_W | PTE_U | PTE_A)
/* What lguest's host accepts in a directory entry: nothing but present, writable, user, accessed, dirty. */
#define TABLE_KERNEL PTE_KERNEL

extern char _end[];
extern ulong boot_pte[];
ulong early_next, pte_nx, pte_global;
static ulong early_mapped = 4 * MiB;

static bool in_initrd(ulong pa)
{
	return pa + PAGE_SIZE > boot.initrd_start && pa < boot.initrd_start + boot.initrd_size;
}

/* Page tables for the direct map, from the memory after the image that is mapped already. */
ulong early_page(void)
{
	if (!early_next)
		early_next = ALIGN_UP(va_to_pa(_end), PAGE_SIZE);
	while (in_initrd(early_next))
		early_next += PAGE_SIZE;
	if (early_next >= early_mapped || early_next >> PAGE_SHIFT >= mem_pfns)
		panic("not enough memory: %lu KiB of RAM, puppy needs 4 MiB", mem_total * 4);
	ulong pa = early_next;
	early_next += PAGE_SIZE;
	memset(pa_to_va(pa), 0, PAGE_SIZE);
	return pa;
}

static ulong *early_table(ulong va)
{
	ulong pa = early_page();
	kernel_pgd[va >> PGD_SHIFT] = pa | TABLE_KERNEL;
	return pa_to_va(pa);
}

void kernel_map_init(void)
{
	u64 top = 0;

	for (int i = 0; i < boot.e820_entries; i++)
		if (boot.e820[i].type == 1) {
			u64 end = min(boot.e820[i].addr + boot.e820[i].size, 0xf0000000ull);
			if (end > boot.e820[i].addr)
				mem_total += (end - boot.e820[i].addr) >> PAGE_SHIFT;
			top = max(top, end);
		}
	mem_pfns = top >> PAGE_SHIFT;
	ulong low = min((ulong)top, (ulong)LOWMEM_MAX);
	if (top < 2 * MiB)
		panic("not enough memory: %lu KiB of RAM, puppy needs 4 MiB", mem_total * 4);

	for (ulong i = 0; i < TABLE_ENTRIES; i++)
		boot_pte[i] |= pte_global;
	pv_ops.lazy_begin();
	for (ulong pa = 4 * MiB; pa < low; pa += 4 * MiB) {
		ulong *entry = &kernel_pgd[(pa + DIRECT_MAP) >> PGD_SHIFT];
		if (pv_ops.large_pages && pa + 4 * MiB <= low) {
			*entry = pa | PTE_KERNEL | PTE_PS | pte_global;
		} else {
			ulong *table = early_table(pa + DIRECT_MAP);
			for (ulong i = 0; i < TABLE_ENTRIES && pa + i * PAGE_SIZE < low; i++)
				table[i] = (pa + i * PAGE_SIZE) | PTE_KERNEL | pte_global;
		}
		early_mapped = pa + 4 * MiB;
	}
	/* Tables for the windows onto high memory and device registers exist from the start: every process shares them. */
	early_table(KMAP_BASE);
	early_table(IOREMAP_BASE);
	/* The identity map has served. */
	kernel_pgd[0] = 0;
	pv_ops.pgd_cleared(va_to_pa(kernel_pgd), 0);
	pv_ops.flush_tlb(true);
	pv_ops.lazy_end();
}

ulong *kernel_pte(ulong va)
{
	ulong *table = pa_to_va(kernel_pgd[va >> PGD_SHIFT] & PTE_FRAME);
	return &table[(va >> PAGE_SHIFT) % TABLE_ENTRIES];
}

ulong *pte_find(struct mm *mm, ulong va)
{
	ulong entry = mm->pgd[va >> PGD_SHIFT];

	if (!(entry & PTE_P))
		return NULL;
	return (ulong *)pa_to_va(entry & PTE_FRAME) + (va >> PAGE_SHIFT) % TABLE_ENTRIES;
}

ulong *pte_alloc(struct mm *mm, ulong va)
{
	ulong *entry = &mm->pgd[va >> PGD_SHIFT];

	if (!(*entry & PTE_P)) {
		ulong pfn = alloc_page();
		if (!pfn)
			return NULL;
		zero_page(pfn);
		*entry = pfn << PAGE_SHIFT | TABLE_USER;
	}
	return pte_find(mm, va);
}

bool pgd_create(struct mm *mm)
{
	ulong pfn = alloc_page();

	if (!pfn)
		return false;
	mm->pgd = pfn_to_va(pfn);
	mm->pgd_pa = pfn << PAGE_SHIFT;
	memset(mm->pgd, 0, USER_ENTRIES * sizeof(ulong));
	memcpy(mm->pgd + USER_ENTRIES, kernel_pgd + USER_ENTRIES, (TABLE_ENTRIES - USER_ENTRIES) * sizeof(ulong));
	return true;
}

/* Frees the tables; what they mapped has been released before. The hypervisor hears of every entry that goes. */
void pgd_destroy(struct mm *mm)
{
	for (ulong i = 0; i < USER_ENTRIES; i++) {
		ulong entry = mm->pgd[i];
		if (!(entry & PTE_P))
			continue;
		mm->pgd[i] = 0;
		pv_ops.pgd_cleared(mm->pgd_pa, i);
		page_put(pte_pfn(entry));
	}
	page_put(mm->pgd_pa >> PAGE_SHIFT);
}
