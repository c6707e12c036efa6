/*
 * An address space's areas, each with its rights and what fills it: zeroes, or a file's pages. Nothing is mapped until it is
 * touched (fault.c); here areas are made and cut, and their pages released. Whoever reads or changes an address space that
 * others may use holds its lock; the file system's lock, where both are needed, is taken first.
 */
#include "areas.h"
#include "fs.h"

struct vma *vma_find(struct mm *mm, ulong va)
{
	struct vma *v = mm->vmas;

	while (v && v->end <= va)
		v = v->next;
	return v && v->start <= va ? v : NULL;
}

static void vma_free(struct vma *v)
{
	if (v->inode)
		inode_put(v->inode);
	kfree(v);
}

/* Pages that are unmapped but that another processor may still write to, until it has forgotten them. */
struct gathered {
	ulong start, end;
	u32 count;
	ulong pfns[48];
};

static void let_go(struct mm *mm, struct gathered *g)
{
	if (!g->count)
		return;
	/* What the hypervisor was to be told in one go, it is told before the others look. */
	pv_ops.lazy_end();
	flush_others(mm, g->start, g->end);
	pv_ops.lazy_begin();
	while (g->count)
		page_put(g->pfns[--g->count]);
}

static void release_one(struct mm *mm, ulong *ptep, ulong va, void *arg)
{
	ulong pfn = pte_pfn(*ptep);
	struct gathered *g = arg;

	change_pte(ptep, 0, va, mm->pgd_pa);
	if (pfn != zero_pfn)
		mm->rss--;
	if (!other_cpus(mm)) {
		page_put(pfn);
		return;
	}
	if (!g->count)
		g->start = va;
	g->end = va + PAGE_SIZE;
	g->pfns[g->count++] = pfn;
	if (g->count == ARRAY_SIZE(g->pfns))
		let_go(mm, g);
}

void vma_free_list(struct vma *v)
{
	for (struct vma *next; v; v = next) {
		next = v->next;
		vma_free(v);
	}
}

/* The area [start, end) becomes an area of its own, or several, by cutting those that reach over its ends. */
int vma_split(struct mm *mm, ulong va)
{
	struct vma *v = vma_find(mm, va);

	if (!v || v->start == va)
		return 0;
	struct vma *rest = kmalloc(sizeof(*rest));
	if (!rest)
		return -ENOMEM;
	*rest = *v;
	rest->start = va;
	rest->offset += va - v->start;
	if (rest->inode)
		inode_get(rest->inode);
	v->end = va;
	v->next = rest;
	return 0;
}

void vma_insert(struct mm *mm, struct vma *new)
{
	struct vma **p = &mm->vmas;

	while (*p && (*p)->end <= new->start)
		p = &(*p)->next;
	new->next = *p;
	*p = new;
	/* brk and mmap grow by small steps: an anonymous area joins its neighbour below. */
	for (struct vma *v = mm->vmas; v && v->next; v = v->next) {
		struct vma *n = v->next;
		if (n == new && v->end == n->start && !v->inode && !n->inode && v->prot == n->prot && v->stack == n->stack) {
			v->end = n->end;
			v->next = n->next;
			kfree(n);
			return;
		}
	}
}

long vma_take_out(struct mm *mm, ulong addr, ulong end, struct vma **dead)
{
	struct gathered gathered = { .count = 0 };

	if (vma_split(mm, addr) || vma_split(mm, end))
		return -ENOMEM;
	pv_ops.lazy_begin();
	for (struct vma **p = &mm->vmas; *p;) {
		struct vma *v = *p;
		if (v->end <= addr) {
			p = &v->next;
			continue;
		}
		if (v->start >= end)
			break;
		each_pte(mm, v->start, v->end, release_one, &gathered);
		*p = v->next;
		v->next = *dead;
		*dead = v;
	}
	let_go(mm, &gathered);
	pv_ops.lazy_end();
	return 0;
}

long vma_unmap(struct mm *mm, ulong addr, ulong len)
{
	ulong end = addr + ALIGN_UP(len, PAGE_SIZE);
	struct vma *dead = NULL;

	if ((addr & ~PAGE_MASK) || !len || end < addr || end > TASK_SIZE)
		return -EINVAL;
	mutex_lock(&mm->lock);
	long r = vma_take_out(mm, addr, end, &dead);
	mutex_unlock(&mm->lock);
	vma_free_list(dead);
	return r;
}

/* A free range of that length above MMAP_BASE; 0: none. */
static ulong find_free(struct mm *mm, ulong len)
{
	ulong at = MMAP_BASE;

	for (struct vma *v = mm->vmas; v; v = v->next) {
		if (v->end <= at)
			continue;
		if (v->start >= at && v->start - at >= len)
			return at;
		at = v->end;
	}
	return TASK_SIZE - at >= len ? at : 0;
}

static long map(struct mm *mm, struct vma *new, ulong len, u32 flags, struct vma **dead)
{
	if (flags & MAP_FIXED) {
		if ((new->start & ~PAGE_MASK) || new->start > TASK_SIZE - len)
			return -EINVAL;
		long err = vma_take_out(mm, new->start, new->start + len, dead);
		if (err)
			return err;
	} else {
		new->start = find_free(mm, len);
		if (!new->start)
			return -ENOMEM;
	}
	new->end = new->start + len;
	ulong at = new->start;
	vma_insert(mm, new); /* which may have made it part of its neighbour */
	return at;
}

long vma_map(struct mm *mm, ulong addr, ulong len, u32 prot, u32 flags, struct inode *inode, u64 offset)
{
	len = ALIGN_UP(len, PAGE_SIZE);
	if (!len || len > TASK_SIZE || (offset & ~PAGE_MASK))
		return -EINVAL;
	struct vma *v = kzalloc(sizeof(*v)), *dead = NULL;
	if (!v)
		return -ENOMEM;
	v->start = addr;
	v->prot = prot & 7;
	v->shared = inode && (flags & MAP_SHARED) && (flags & MAP_ANONYMOUS);
	v->inode = inode ? inode_get(inode) : NULL;
	v->offset = offset;
	mutex_lock(&mm->lock);
	long r = map(mm, v, len, flags, &dead);
	mutex_unlock(&mm->lock);
	if (IS_ERROR(r))
		vma_free(v);
	vma_free_list(dead);
	return r;
}

ulong mm_size(struct mm *mm)
{
	ulong size = 0;

	mutex_lock(&mm->lock);
	for (struct vma *v = mm->vmas; v; v = v->next)
		size += v->end - v->start;
	mutex_unlock(&mm->lock);
	return size;
}
