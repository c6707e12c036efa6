/* The system calls about areas: brk, mmap, munmap, mprotect. */
#include "areas.h"
#include "fs.h"

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
			vma_insert(mm, v);
			v = NULL;
			ok = true;
		} else if (new < old) {
			ok = !vma_take_out(mm, new, old, &dead);
		}
		if (ok)
			mm->brk = brk;
	}
	long r = mm->brk;
	mutex_unlock(&mm->lock);
	kfree(v);
	vma_free_list(dead);
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
	if (at < end || vma_split(mm, addr) || vma_split(mm, end))
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
