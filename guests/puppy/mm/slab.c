/*
 * Small objects: for each power of two from 32 bytes a list of free ones, filled a page at a time. The first bytes of a
 * page say what size its objects have, so that kfree needs no size. Pages are not given back.
 */
#include "mm.h"
#include "spinlock.h"

#define MIN_SHIFT 5
#define MAX_SHIFT 11
#define SLAB_MAGIC 0x51ab

struct slab_page {
	u16 magic, shift;
	u32 unused[3];
};
struct free_object {
	struct free_object *next;
};
static struct free_object *free_objects[MAX_SHIFT + 1];
static spinlock_t slab_lock;

static int shift_for(size_t size)
{
	int s = MIN_SHIFT;
	while ((1ul << s) < size)
		s++;
	return s;
}

/* Larger objects take whole pages; the page after the header page cannot be confused with a slab, as it is aligned. */
static void *alloc_large(size_t size)
{
	ulong pfn = alloc_pages(size <= PAGE_SIZE ? 0 : 1);

	if (!pfn)
		return NULL;
	mem_map[pfn].unused = size <= PAGE_SIZE ? 1 : 2;
	return pfn_to_va(pfn);
}

void *kmalloc(size_t size)
{
	int shift = shift_for(size);

	if (shift > MAX_SHIFT - 1)
		return alloc_large(size);
	ulong flags = spin_lock_irqsave(&slab_lock);
	if (!free_objects[shift]) {
		ulong pfn = alloc_page();
		if (!pfn) {
			spin_unlock_irqrestore(&slab_lock, flags);
			return NULL;
		}
		struct slab_page *page = pfn_to_va(pfn);
		page->magic = SLAB_MAGIC;
		page->shift = shift;
		for (ulong at = PAGE_SIZE - (1ul << shift); at >= sizeof(*page); at -= 1ul << shift) {
			struct free_object *o = (void *)page + at;
			o->next = free_objects[shift];
			free_objects[shift] = o;
		}
	}
	struct free_object *o = free_objects[shift];
	free_objects[shift] = o->next;
	spin_unlock_irqrestore(&slab_lock, flags);
	return o;
}

void *kzalloc(size_t size)
{
	void *p = kmalloc(size);

	if (p)
		memset(p, 0, size);
	return p;
}

void kfree(void *p)
{
	if (!p)
		return;
	if (!((ulong)p & (PAGE_SIZE - 1))) {
		ulong pfn = va_to_pa(p) >> PAGE_SHIFT;
		free_pages_order(pfn, mem_map[pfn].unused - 1);
		return;
	}
	struct slab_page *page = (void *)((ulong)p & PAGE_MASK);
	ulong flags = spin_lock_irqsave(&slab_lock);
	struct free_object *o = p;
	o->next = free_objects[page->shift];
	free_objects[page->shift] = o;
	spin_unlock_irqrestore(&slab_lock, flags);
}
