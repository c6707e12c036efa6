/*
 * G:100 Page tables are what a Guest's kernel thinks about most, and it may think of them as its own: they lie in its
 * memory, in the hardware's format, and it writes to them as it would on the bare machine. That the processor never
 * sees them is the Host's business, and the hardest part of it (H:200).
 *
 * There is one kind of Host for which that is not so, Xen's: it has the processor walk these very tables. Then they hold the
 * machine's addresses instead of ours, are read-only to us as soon as they are in use, and each change to one that is has
 * to be asked for. What is not in use yet is memory like any other; so tables are filled first, and hung up then.
 *
 * x86_64 page tables: four levels of 512 entries. The kernel's direct map uses 2 MB pages; its three top-level entries
 * exist before the first process does, so that all address spaces share what hangs below them.
 */
#include "mm.h"
#include "percpu.h"
#include "printk.h"
#include "proc.h"

#define TABLE_ENTRIES 512
#define USER_ENTRIES 256
#define TABLE_USER (PTE_P | PTE_W | PTE_U | PTE_A)
#define LARGE (2 * MiB)

static ulong index_at(ulong va, int level) { return va >> (12 + 9 * level) & (TABLE_ENTRIES - 1); }

extern char _end[];
ulong early_next, pte_nx, pte_global, direct_map = DIRECT_MAP;
void (*store_entry)(ulong *entry, ulong value);

static bool in_initrd(ulong pa)
{
	return pa + PAGE_SIZE > boot.initrd_start && pa < boot.initrd_start + boot.initrd_size;
}

/* Before the direct map exists, tables come from the first 4 MiB, which the image's own mapping covers; when those are used
 * up, from what it reaches already. */
#define IMAGE_MAPPING (4 * MiB)
static ulong mapped; /* the direct map is made up to here */
static void *early_va(ulong pa) { return pa < IMAGE_MAPPING ? (void *)(pa + KERNEL_OFFSET) : pa_to_va(pa); }

ulong early_page(void)
{
	if (!early_next)
		early_next = ALIGN_UP(va_to_pa(_end), PAGE_SIZE);
	while (in_initrd(early_next))
		early_next += PAGE_SIZE;
	if (early_next >= max(IMAGE_MAPPING, mapped) || early_next >> PAGE_SHIFT >= mem_pfns)
		panic("not enough memory: %lu KiB of RAM, puppy needs 4 MiB", mem_total * 4);
	ulong pa = early_next;
	early_next += PAGE_SIZE;
	memset(early_va(pa), 0, PAGE_SIZE);
	return pa;
}

/* The entry for va at a level (3: top, 0: page), building what is missing above it. */
static ulong *early_entry(ulong va, int level)
{
	ulong *table = kernel_pgd;

	for (int l = 3; l > level; l--) {
		ulong *entry = &table[index_at(va, l)];
		if (!(*entry & PTE_P))
			set_entry(entry, make_pte(early_page(), PTE_KERNEL));
		table = early_va(pte_pa(*entry));
	}
	return &table[index_at(va, level)];
}

/* Maps [pa, end), which is in one table's span, by small pages. */
static void map_small(ulong pa, ulong end)
{
	ulong va = pa + direct_map, table = early_page(), *entry = early_va(table);

	for (; pa < end; pa += PAGE_SIZE)
		*entry++ = make_pte(pa, PTE_KERNEL | pte_global);
	set_entry(early_entry(va, 1), make_pte(table, PTE_KERNEL));
}

void kernel_map_init(void)
{
	u64 top = 0;

	for (int i = 0; i < boot.e820_entries; i++)
		if (boot.e820[i].type == 1) {
			/* Memory above 3 GiB and a bit would collide with nothing, but is not needed either. */
			u64 end = min(boot.e820[i].addr + boot.e820[i].size, 0xf0000000ull);
			if (end > boot.e820[i].addr)
				mem_total += (end - boot.e820[i].addr) >> PAGE_SHIFT;
			top = max(top, end);
		}
	mem_pfns = top >> PAGE_SHIFT;
	if (top < 2 * MiB)
		panic("not enough memory: %lu KiB of RAM, puppy needs 4 MiB", mem_total * 4);

	for (ulong pa = 0; pa < top; mapped = pa) {
		if (pv_ops.large_pages && pa + LARGE <= top) {
			/* One walk for each table of 512 large pages. */
			ulong *entry = early_entry(pa + direct_map, 1);
			do {
				*entry++ = make_pte(pa, PTE_KERNEL | PTE_PS | pte_global);
				pa += LARGE;
			} while (pa + LARGE <= top && pa % (512 * LARGE));
		} else {
			ulong end = min(ALIGN_DOWN(pa, LARGE) + LARGE, (ulong)top);
			map_small(pa, end);
			pa = end;
		}
	}
	early_entry(IOREMAP_BASE, 0);
	/* The identity map has served. */
	set_entry(&kernel_pgd[0], 0);
	pv_ops.pgd_cleared(va_to_pa(kernel_pgd), 0);
	pv_ops.flush_tlb(true);
}

ulong *kernel_pte(ulong va)
{
	ulong *table = kernel_pgd;

	for (int l = 3; l > 0; l--)
		table = pa_to_va(pte_pa(table[index_at(va, l)]));
	return &table[index_at(va, 0)];
}

ulong *pte_find(struct mm *mm, ulong va)
{
	ulong *table = mm->pgd;

	for (int l = 3; l > 0; l--) {
		ulong entry = table[index_at(va, l)];
		if (!(entry & PTE_P))
			return NULL;
		table = pa_to_va(pte_pa(entry));
	}
	return &table[index_at(va, 0)];
}

ulong *pte_alloc(struct mm *mm, ulong va)
{
	ulong *table = mm->pgd;

	for (int l = 3; l > 0; l--) {
		ulong *entry = &table[index_at(va, l)];
		if (!(*entry & PTE_P)) {
			ulong pfn = alloc_page();
			if (!pfn)
				return NULL;
			zero_page(pfn);
			set_entry(entry, make_pte(pfn << PAGE_SHIFT, TABLE_USER));
		}
		table = pa_to_va(pte_pa(*entry));
	}
	return &table[index_at(va, 0)];
}

bool pgd_create(struct mm *mm)
{
	ulong pfn = alloc_page();

	if (!pfn)
		return false;
	mm->pgd = pfn_to_va(pfn);
	mm->pgd_pa = pfn << PAGE_SHIFT;
	memset(mm->pgd, 0, USER_ENTRIES * sizeof(ulong));
	memcpy(mm->pgd + USER_ENTRIES, kernel_pgd + USER_ENTRIES, USER_ENTRIES * sizeof(ulong));
	return true;
}

/* The first entry from i on that is not 0, or end. Tables of tables are mostly empty, so eight at a time. */
static ulong next_present(const ulong *table, ulong i, ulong end)
{
	while (i < end) {
		const ulong *e = &table[i];
		if (*e)
			return i;
		if (i % 8 || e[1] | e[2] | e[3] | e[4] | e[5] | e[6] | e[7])
			i++;
		else
			i += 8;
	}
	return end;
}

static void free_table(ulong pfn, int level)
{
	if (level > 0) {
		ulong *table = pfn_to_va(pfn);
		for (ulong i = 0; (i = next_present(table, i, TABLE_ENTRIES)) < TABLE_ENTRIES; i++)
			free_table(pte_pfn(table[i]), level - 1);
	}
	page_put(pfn);
}

/* Frees the tables; what they mapped has been released before. The hypervisor hears of every top-level entry that goes. */
void pgd_destroy(struct mm *mm)
{
	for (ulong i = 0; (i = next_present(mm->pgd, i, USER_ENTRIES)) < USER_ENTRIES; i++) {
		ulong entry = mm->pgd[i];
		mm->pgd[i] = 0;
		pv_ops.pgd_cleared(mm->pgd_pa, i);
		free_table(pte_pfn(entry), 2);
	}
	page_put(mm->pgd_pa >> PAGE_SHIFT);
}
