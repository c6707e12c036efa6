/*
 * Frames of physical memory. Free ones are kept in blocks of 2^order frames, each aligned to its size, so that two
 * halves ("buddies") find each other again by flipping one bit of their number. A reference count on every frame makes
 * sharing possible: copy-on-write, the zero page, pages of files.
 *
 * i386 has two zones: low memory is in the kernel's direct map, high memory above it serves user pages alone.
 */
#include "mm.h"
#include "printk.h"
#include "spinlock.h"

#define MAX_ORDER 10
#define ZONES 2

struct page *mem_map;
ulong mem_pfns, mem_total, mem_reserved;
ulong zero_pfn;
static u32 free_list[ZONES][MAX_ORDER + 1]; /* pfn of the first block, 0: none (frame 0 is never free) */
static ulong free_count;
static ulong low_pfns; /* frames below this are in the direct map */
static spinlock_t page_lock;

static int zone_of(ulong pfn) { return pfn < low_pfns ? ZONE_LOW : ZONE_HIGH; }

static void list_add(ulong pfn, int order)
{
	u32 *head = &free_list[zone_of(pfn)][order];
	struct page *p = &mem_map[pfn];

	p->flags |= PAGE_FREE;
	p->order = order;
	p->prev = 0;
	p->next = *head;
	if (*head)
		mem_map[*head].prev = pfn;
	*head = pfn;
}

static void list_remove(ulong pfn)
{
	struct page *p = &mem_map[pfn];

	if (p->next)
		mem_map[p->next].prev = p->prev;
	if (p->prev)
		mem_map[p->prev].next = p->next;
	else
		free_list[zone_of(pfn)][p->order] = p->next;
	p->flags &= ~PAGE_FREE;
}

static void give_back(ulong pfn, int order)
{
	free_count += 1ul << order;
	while (order < MAX_ORDER) {
		ulong buddy = pfn ^ 1ul << order;
		if (buddy >= mem_pfns || !(mem_map[buddy].flags & PAGE_FREE) || mem_map[buddy].order != order ||
		    zone_of(buddy) != zone_of(pfn))
			break;
		list_remove(buddy);
		pfn &= ~(1ul << order);
		order++;
	}
	list_add(pfn, order);
}

static ulong take(int zone, int order)
{
	ulong flags = spin_lock_irqsave(&page_lock), pfn = 0;

	for (int o = order; o <= MAX_ORDER; o++) {
		pfn = free_list[zone][o];
		if (!pfn)
			continue;
		list_remove(pfn);
		/* Too large: the upper halves go back. */
		while (o > order) {
			o--;
			list_add(pfn + (1ul << o), o);
		}
		free_count -= 1ul << order;
		mem_map[pfn].refs = 1;
		break;
	}
	spin_unlock_irqrestore(&page_lock, flags);
	return pfn;
}

ulong alloc_pages(int order) { return take(ZONE_LOW, order); }

ulong alloc_user_page(void)
{
	ulong pfn = take(ZONE_HIGH, 0);
	return pfn ? pfn : take(ZONE_LOW, 0);
}

void free_pages_order(ulong pfn, int order)
{
	ulong flags = spin_lock_irqsave(&page_lock);

	mem_map[pfn].refs = 0;
	give_back(pfn, order);
	spin_unlock_irqrestore(&page_lock, flags);
}

void page_get(ulong pfn)
{
	if (!(mem_map[pfn].flags & PAGE_RESERVED))
		__atomic_add_fetch(&mem_map[pfn].refs, 1, __ATOMIC_RELAXED);
}

void page_put(ulong pfn)
{
	if (mem_map[pfn].flags & PAGE_RESERVED)
		return;
	if (__atomic_sub_fetch(&mem_map[pfn].refs, 1, __ATOMIC_ACQ_REL) == 0)
		free_pages_order(pfn, 0);
}

ulong page_free_count(void) { return free_count; }

/* ---- Setting up ---- */

extern char _end[];
extern ulong early_next; /* kernel_map_init took pages up to here */

static struct range {
	ulong start, end; /* pfns */
} reserved[5];

/* Hands [start, end) to the allocator, except what overlaps a reserved range from the r-th on. */
static void add_range(ulong start, ulong end, size_t r)
{
	for (; r < ARRAY_SIZE(reserved); r++) {
		if (reserved[r].end <= start || reserved[r].start >= end)
			continue;
		if (reserved[r].start > start)
			add_range(start, reserved[r].start, r + 1);
		if (reserved[r].end >= end)
			return;
		start = reserved[r].end;
	}
	while (start < end) {
		/* The largest block that starts here, fits, and does not cross the zones' border. */
		int order = 0;
		ulong limit = start < low_pfns ? min(end, low_pfns) : end;
		while (order < MAX_ORDER && !(start & 1ul << order) && start + (2ul << order) <= limit)
			order++;
		free_count += 1ul << order;
		list_add(start, order);
		start += 1ul << order;
	}
}

/* A hole in RAM that is large enough, in the direct map, and free of everything reserved. */
static ulong find_hole(ulong pages)
{
	for (int i = 0; i < boot.e820_entries; i++) {
		if (boot.e820[i].type != 1 || boot.e820[i].addr >= low_pfns * PAGE_SIZE)
			continue;
		ulong start = max((ulong)(boot.e820[i].addr + PAGE_SIZE - 1) >> PAGE_SHIFT, 256ul);
		ulong end = (ulong)min((boot.e820[i].addr + boot.e820[i].size) >> PAGE_SHIFT, (u64)low_pfns);
	again:
		if (start + pages > end)
			continue;
		for (size_t r = 0; r < ARRAY_SIZE(reserved); r++)
			if (reserved[r].start < start + pages && reserved[r].end > start) {
				start = reserved[r].end;
				goto again;
			}
		return start;
	}
	return 0;
}

/*
 * Boot loaders like to put the initramfs at the end of memory, which on i386 may be outside the direct map: then it is
 * copied to where the kernel can read it at any time.
 */
static void bring_initrd_down(void)
{
	ulong pages = (boot.initrd_size + PAGE_SIZE - 1) >> PAGE_SHIFT, from = boot.initrd_start >> PAGE_SHIFT;

	if (!pages || from + pages <= low_pfns || from + pages > mem_pfns)
		return;
	ulong to = find_hole(pages);
	if (!to)
		panic("not enough low memory for an initramfs of %lu KiB", pages * 4);
	for (ulong i = 0; i < pages; i++)
		copy_page(to + i, from + i);
	boot.initrd_start = (to << PAGE_SHIFT) + (boot.initrd_start & ~PAGE_MASK);
}

void page_init(void)
{
	ulong map_pages = (mem_pfns * sizeof(struct page) + PAGE_SIZE - 1) >> PAGE_SHIFT;

#ifdef __x86_64__
	low_pfns = mem_pfns;
#else
	low_pfns = min(mem_pfns, (ulong)LOWMEM_MAX >> PAGE_SHIFT);
#endif
	reserved[0] = (struct range){ 0, 1 }; /* frame 0 means "none" */
	reserved[3] = (struct range){ 1 * MiB >> PAGE_SHIFT, early_next >> PAGE_SHIFT }; /* image, page tables */
	/* Where other processors start, natively. */
	reserved[4] = (struct range){ TRAMPOLINE >> PAGE_SHIFT, (TRAMPOLINE >> PAGE_SHIFT) + 1 };
	bring_initrd_down();
	reserved[1] = (struct range){ boot.initrd_start >> PAGE_SHIFT,
				      (boot.initrd_start + boot.initrd_size + PAGE_SIZE - 1) >> PAGE_SHIFT };
	ulong map_start = find_hole(map_pages);
	if (!map_start)
		panic("not enough memory: %lu KiB of RAM, puppy needs 4 MiB", mem_total * 4);
	reserved[2] = (struct range){ map_start, map_start + map_pages };
	mem_map = pfn_to_va(map_start);
	memset(mem_map, 0, map_pages << PAGE_SHIFT);

	for (int i = 0; i < boot.e820_entries; i++) {
		if (boot.e820[i].type != 1)
			continue;
		u64 start = (boot.e820[i].addr + PAGE_SIZE - 1) >> PAGE_SHIFT;
		u64 end = (boot.e820[i].addr + boot.e820[i].size) >> PAGE_SHIFT;
		if (start < mem_pfns && start < end)
			add_range(start, min(end, (u64)mem_pfns), 0);
	}
	mem_reserved = mem_total - free_count;
	for (size_t r = 0; r < ARRAY_SIZE(reserved); r++)
		for (ulong pfn = reserved[r].start; pfn < min(reserved[r].end, mem_pfns); pfn++)
			mem_map[pfn].flags = PAGE_RESERVED;
	zero_pfn = alloc_page();
	if (!zero_pfn || free_count < 64)
		panic("not enough memory: %lu KiB of RAM, puppy needs 4 MiB", mem_total * 4);
	mem_map[zero_pfn].flags = PAGE_RESERVED;
	zero_page(zero_pfn);
	printk(LOG_NOTICE, "memory: %lu of %lu KiB free%s\n", free_count * 4, mem_total * 4,
	       low_pfns < mem_pfns ? " (with high memory)" : "");
}
