/*
 * Address spaces: a list of areas, each with its rights and what fills it: zeroes, or a file's pages. Nothing is mapped
 * until it is touched (fault.c); here areas are made, cut and copied, and their pages released. Whoever reads or changes an
 * address space that others may use holds its lock; the file system's lock, where both are needed, is taken first.
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
		return NULL;
	}
	if (mm)
		mm->users = 1;
	return mm;
}

struct mm *mm_get(struct mm *mm)
{
	__atomic_fetch_add(&mm->users, 1, __ATOMIC_RELAXED);
	return mm;
}

void mm_switch(struct mm *mm)
{
	ulong flags = irq_save();
	struct percpu *pc = this_cpu();
	struct mm *old = pc->active_mm;

	if (old != mm) {
		/* Among its processors before the first translation, and off the old one's list after the last. */
		if (mm)
			__atomic_fetch_or(&mm->cpus, 1u << pc->cpu, __ATOMIC_SEQ_CST);
		pc->active_mm = mm;
		write_cr3(mm ? mm->pgd_pa : va_to_pa(kernel_pgd));
		if (old)
			__atomic_fetch_and(&old->cpus, ~(1u << pc->cpu), __ATOMIC_SEQ_CST);
	}
	irq_restore(flags);
}

static u32 other_cpus(struct mm *mm)
{
	/* A processor that is not in the mask now will see what we have just written when it comes. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return READ_ONCE(mm->cpus) & ~(1u << this_cpu()->cpu);
}

void flush_others(struct mm *mm, ulong start, ulong end)
{
	u32 others = other_cpus(mm);

	if (others)
		pv_ops.flush_tlb_others(mm, others, start, end);
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

/* In an address space that nobody will use again: no processor needs to hear of it, pgd_destroy tells all at once. */
static void release_dead(struct mm *mm, ulong *ptep, ulong va, void *arg)
{
	(void)mm, (void)va, (void)arg;
	page_put(pte_pfn(*ptep));
	*ptep = 0;
}

static void free_list(struct vma *v)
{
	for (struct vma *next; v; v = next) {
		next = v->next;
		vma_free(v);
	}
}

void mm_put(struct mm *mm)
{
	if (__atomic_sub_fetch(&mm->users, 1, __ATOMIC_ACQ_REL))
		return;
	/* Processors that have it still in CR3, since they had nothing else to run, let go of it. */
	flush_others(mm, 0, TASK_SIZE);
	for (struct vma *v = mm->vmas; v; v = v->next)
		each_pte(mm, v->start, v->end, release_dead, NULL);
	pgd_destroy(mm);
	free_list(mm->vmas);
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

/* Takes the areas of [addr, end) out. They are returned in *dead, to be freed without the lock: their files may need the
 * file system's. */
static long unmap(struct mm *mm, ulong addr, ulong end, struct vma **dead)
{
	struct gathered gathered = { .count = 0 };

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
	long r = unmap(mm, addr, end, &dead);
	mutex_unlock(&mm->lock);
	free_list(dead);
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
		long err = unmap(mm, new->start, new->start + len, dead);
		if (err)
			return err;
	} else {
		new->start = find_free(mm, len);
		if (!new->start)
			return -ENOMEM;
	}
	new->end = new->start + len;
	ulong at = new->start;
	insert(mm, new); /* which may have made it part of its neighbour */
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
	free_list(dead);
	return r;
}

/* ---- Fork: both sides keep the pages, and neither may write to one without copying it first ---- */

struct fork_state {
	struct mm *to;
	bool shared; /* this area's pages are for both, to write to */
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
	if ((pte & PTE_W) && !f->shared) {
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
	struct fork_state state = { .to = to };
	struct vma **tail;

	if (!to)
		return NULL;
	mutex_lock(&from->lock);
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
		state.shared = v->shared;
		each_pte(from, v->start, v->end, share_one, &state);
	}
	pv_ops.lazy_end();
	/* From now on nobody may write to what both have. */
	flush_others(from, 0, TASK_SIZE);
	mutex_unlock(&from->lock);
	if (state.failed) {
		mm_put(to);
		return NULL;
	}
	return to;
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

/* ---- System calls ---- */

static bool free_range(struct mm *mm, ulong start, ulong end)
{
	for (struct vma *v = mm->vmas; v; v = v->next)
		if (v->start < end && v->end > start)
			return false;
	return true;
}

/* Moves the end of the data, or says where it is: Linux's brk has no errors. */
long sys_brk(ulong brk)
{
	struct mm *mm = current->mm;
	struct vma *v = kzalloc(sizeof(*v)), *dead = NULL;

	mutex_lock(&mm->lock);
	ulong old = ALIGN_UP(mm->brk, PAGE_SIZE), new = ALIGN_UP(brk, PAGE_SIZE);
	if (v && brk >= mm->brk_start && brk <= TASK_SIZE) {
		bool ok = new == old;
		if (new > old && free_range(mm, old, new)) {
			*v = (struct vma){ .start = old, .end = new, .prot = PROT_READ | PROT_WRITE };
			insert(mm, v);
			v = NULL;
			ok = true;
		} else if (new < old) {
			ok = !unmap(mm, new, old, &dead);
		}
		if (ok)
			mm->brk = brk;
	}
	long r = mm->brk;
	mutex_unlock(&mm->lock);
	kfree(v);
	free_list(dead);
	return r;
}

/* Memory that survives fork as one: the pages of a file without a name. */
static long map_shared(ulong addr, ulong len, ulong prot, ulong flags)
{
	struct inode *inode = len <= RAMFS_MAX_PAGES << PAGE_SHIFT ? inode_new(S_IFREG | 0600) : NULL;

	if (!inode)
		return -ENOMEM;
	inode->size = ALIGN_UP(len, PAGE_SIZE);
	long r = vma_map(current->mm, addr, len, prot, flags, inode, 0);
	inode_put(inode);
	return r;
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
	} else if (flags & MAP_SHARED) {
		return map_shared(addr, len, prot, flags);
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

static long protect(struct mm *mm, ulong addr, ulong end, u32 prot)
{
	ulong at = addr;

	for (struct vma *v = mm->vmas; v && at < end; v = v->next)
		if (v->start <= at && v->end > at)
			at = v->end;
	if (at < end || split_at(mm, addr) || split_at(mm, end))
		return -ENOMEM;
	pv_ops.lazy_begin();
	for (struct vma *v = mm->vmas; v; v = v->next)
		if (v->start >= addr && v->end <= end) {
			v->prot = prot;
			each_pte(mm, v->start, v->end, protect_one, v);
		}
	pv_ops.lazy_end();
	flush_others(mm, addr, end);
	return 0;
}

long sys_mprotect(ulong addr, ulong len, ulong prot)
{
	struct mm *mm = current->mm;
	ulong end = addr + ALIGN_UP(len, PAGE_SIZE);

	if ((addr & ~PAGE_MASK) || end < addr || end > TASK_SIZE || (prot & ~7ul))
		return -EINVAL;
	mutex_lock(&mm->lock);
	long r = protect(mm, addr, end, prot);
	mutex_unlock(&mm->lock);
	return r;
}
