/*
 * Address spaces: a list of areas, each with its rights and what fills it: zeroes, or a file's pages. Nothing is mapped
 * until it is touched (fault.c); here areas are made, cut and copied, and their pages released.
 */
#include "errno.h"
#include "fs.h"
#include "mm.h"
#include "percpu.h"
#include "proc.h"

struct mm *mm_create(void)
{
	struct mm *mm = kzalloc(sizeof(*mm));

	if (mm && !pgd_create(mm)) {
		kfree(mm);
		mm = NULL;
	}
	return mm;
}

void mm_switch(struct mm *mm)
{
	struct percpu *pc = this_cpu();

	if (pc->active_mm == mm)
		return;
	pc->active_mm = mm;
	write_cr3(mm ? mm->pgd_pa : va_to_pa(kernel_pgd));
}

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

/* Calls fn for every present entry of [start, end). Tables that do not exist are skipped whole. */
static void each_pte(struct mm *mm, ulong start, ulong end, void (*fn)(struct mm *, ulong *, ulong, void *), void *arg)
{
	for (ulong va = start; va < end;) {
		ulong stop = min(ALIGN_DOWN(va, PT_SPAN) + PT_SPAN, end);
		ulong *ptep = pte_find(mm, va);
		if (ptep)
			for (; va < stop; va += PAGE_SIZE, ptep++)
				if (*ptep & PTE_P)
					fn(mm, ptep, va, arg);
		va = stop;
	}
}

static void release_one(struct mm *mm, ulong *ptep, ulong va, void *arg)
{
	ulong pfn = pte_pfn(*ptep);

	(void)arg;
	change_pte(ptep, 0, va, mm->pgd_pa);
	if (pfn != zero_pfn) {
		mm->rss--;
		page_put(pfn);
	}
}

/* In an address space that nobody will use again: no processor needs to hear of it, pgd_destroy tells all at once. */
static void release_dead(struct mm *mm, ulong *ptep, ulong va, void *arg)
{
	(void)mm, (void)va, (void)arg;
	page_put(pte_pfn(*ptep));
	*ptep = 0;
}

void mm_destroy(struct mm *mm)
{
	for (struct vma *v = mm->vmas, *next; v; v = next) {
		next = v->next;
		each_pte(mm, v->start, v->end, release_dead, NULL);
		vma_free(v);
	}
	pgd_destroy(mm);
	kfree(mm);
}

/* The area [start, end) becomes an area of its own, or several, by cutting those that reach over its ends. */
static int split_at(struct mm *mm, ulong va)
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

static void insert(struct mm *mm, struct vma *new)
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

long vma_unmap(struct mm *mm, ulong addr, ulong len)
{
	ulong end = addr + ALIGN_UP(len, PAGE_SIZE);

	if ((addr & ~PAGE_MASK) || !len || end < addr || end > TASK_SIZE)
		return -EINVAL;
	if (split_at(mm, addr) || split_at(mm, end))
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
		each_pte(mm, v->start, v->end, release_one, NULL);
		*p = v->next;
		vma_free(v);
	}
	pv_ops.lazy_end();
	return 0;
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

long vma_map(struct mm *mm, ulong addr, ulong len, u32 prot, u32 flags, struct inode *inode, u64 offset)
{
	len = ALIGN_UP(len, PAGE_SIZE);
	if (!len || len > TASK_SIZE || (offset & ~PAGE_MASK))
		return -EINVAL;
	if (flags & MAP_FIXED) {
		if ((addr & ~PAGE_MASK) || addr > TASK_SIZE - len)
			return -EINVAL;
		long err = vma_unmap(mm, addr, len);
		if (err)
			return err;
	} else {
		addr = find_free(mm, len);
		if (!addr)
			return -ENOMEM;
	}
	struct vma *v = kzalloc(sizeof(*v));
	if (!v)
		return -ENOMEM;
	v->start = addr;
	v->end = addr + len;
	v->prot = prot & 7;
	v->inode = inode ? inode_get(inode) : NULL;
	v->offset = offset;
	insert(mm, v);
	return addr;
}

/* ---- Fork: both sides keep the pages, and neither may write to one without copying it first ---- */

struct fork_state {
	struct mm *to;
	bool failed;
};

static void share_one(struct mm *from, ulong *ptep, ulong va, void *arg)
{
	struct fork_state *f = arg;
	ulong *copy = f->failed ? NULL : pte_alloc(f->to, va), pte = *ptep;

	if (!copy) {
		f->failed = true;
		return;
	}
	if (pte & PTE_W) {
		pte &= ~(PTE_W | PTE_D);
		change_pte(ptep, pte, va, from->pgd_pa);
	}
	page_get(pte_pfn(pte));
	*copy = pte; /* nobody runs in the child's tables yet */
	if (pte_pfn(pte) != zero_pfn)
		f->to->rss++;
}

struct mm *mm_fork(struct mm *from)
{
	struct mm *to = mm_create();
	struct fork_state state = { to, false };
	struct vma **tail;

	if (!to)
		return NULL;
	to->brk_start = from->brk_start;
	to->brk = from->brk;
	to->arg_start = from->arg_start;
	to->arg_end = from->arg_end;
	tail = &to->vmas;
	pv_ops.lazy_begin();
	for (struct vma *v = from->vmas; v; v = v->next) {
		struct vma *copy = kmalloc(sizeof(*copy));
		if (!copy) {
			state.failed = true;
			break;
		}
		*copy = *v;
		copy->next = NULL;
		if (copy->inode)
			inode_get(copy->inode);
		*tail = copy;
		tail = &copy->next;
		each_pte(from, v->start, v->end, share_one, &state);
	}
	pv_ops.lazy_end();
	if (state.failed) {
		mm_destroy(to);
		return NULL;
	}
	return to;
}

ulong mm_size(struct mm *mm)
{
	ulong size = 0;

	for (struct vma *v = mm->vmas; v; v = v->next)
		size += v->end - v->start;
	return size;
}

/* ---- System calls ---- */

long sys_brk(ulong brk)
{
	struct mm *mm = current->mm;
	ulong old = ALIGN_UP(mm->brk, PAGE_SIZE), new = ALIGN_UP(brk, PAGE_SIZE);

	if (brk < mm->brk_start || brk > TASK_SIZE)
		return mm->brk;
	if (new > old) {
		for (struct vma *v = mm->vmas; v; v = v->next)
			if (v->start < new && v->end > old)
				return mm->brk;
		if (IS_ERROR(vma_map(mm, old, new - old, PROT_READ | PROT_WRITE, MAP_FIXED, NULL, 0)))
			return mm->brk;
	} else if (new < old) {
		vma_unmap(mm, new, old - new);
	}
	return mm->brk = brk;
}

long do_mmap(ulong addr, ulong len, ulong prot, ulong flags, long fd, u64 offset)
{
	struct inode *inode = NULL;

	if (!(flags & (MAP_SHARED | MAP_PRIVATE)))
		return -EINVAL;
	if (!(flags & MAP_ANONYMOUS)) {
		struct file *f = fd_get(fd);
		if (!f)
			return -EBADF;
		if (!f->inode || !S_ISREG(f->inode->mode))
			return -ENODEV;
		/* Files are mapped as private copies; a shared writable mapping would have to write back. */
		if ((flags & MAP_SHARED) && (prot & PROT_WRITE))
			return -ENODEV;
		inode = f->inode;
	} else if ((flags & MAP_SHARED) && (prot & PROT_WRITE)) {
		return -ENODEV;
	}
	return vma_map(current->mm, addr, len, prot, flags, inode, offset);
}

long sys_munmap(ulong addr, ulong len) { return vma_unmap(current->mm, addr, len); }

static void protect_one(struct mm *mm, ulong *ptep, ulong va, void *arg)
{
	u32 prot = ((struct vma *)arg)->prot;
	ulong pte = *ptep;

	/* Rights are taken away at once; writing, where it is granted, is granted by the next fault. */
	if (!(prot & PROT_WRITE))
		pte &= ~PTE_W;
	pte &= ~(PTE_U | PTE_NX);
	if (prot)
		pte |= PTE_U;
	if (!(prot & PROT_EXEC))
		pte |= pte_nx;
	if (pte != *ptep)
		change_pte(ptep, pte, va, mm->pgd_pa);
}

long sys_mprotect(ulong addr, ulong len, ulong prot)
{
	struct mm *mm = current->mm;
	ulong end = addr + ALIGN_UP(len, PAGE_SIZE), at = addr;

	if ((addr & ~PAGE_MASK) || end < addr || end > TASK_SIZE || (prot & ~7ul))
		return -EINVAL;
	for (struct vma *v = mm->vmas; v && at < end; v = v->next)
		if (v->start <= at && v->end > at)
			at = v->end;
	if (at < end)
		return -ENOMEM;
	if (split_at(mm, addr) || split_at(mm, end))
		return -ENOMEM;
	pv_ops.lazy_begin();
	for (struct vma *v = mm->vmas; v; v = v->next)
		if (v->start >= addr && v->end <= end) {
			v->prot = prot;
			each_pte(mm, v->start, v->end, protect_one, v);
		}
	pv_ops.lazy_end();
	return 0;
}
