/*
 * G:110 Half of what is called memory management is being lazy in the right place. Under a Host each fault may come
 * twice: once because the shadow has not heard of the page, which we never learn of, and once, if we really had not
 * mapped it, to us.
 *
 * Page faults of users: an area promises, a fault delivers. Zeroes come as the one shared zero page until somebody
 * writes; a file's page is shared until somebody writes; and a page that fork shared is copied by whoever writes first.
 */
#include "fs.h"
#include "mm.h"
#include "printk.h"
#include "proc.h"

/* The entry's rights for a page of an area. Accessed and dirty are set in advance: that spares the processor an update,
 * and a hypervisor a fault to learn of it. */
static ulong rights(struct vma *v, bool writable)
{
	ulong pte = PTE_P | PTE_U | PTE_A;

	if (writable)
		pte |= PTE_W | PTE_D;
	if (!(v->prot & PROT_EXEC))
		pte |= pte_nx;
	return pte;
}

static enum fault_result install(struct mm *mm, struct vma *v, ulong *ptep, ulong va, ulong pfn, bool writable)
{
	set_pte(ptep, make_pte(pfn << PAGE_SHIFT, rights(v, writable)), va, mm->pgd_pa);
	if (pfn != zero_pfn)
		mm->rss++;
	return FAULT_OK;
}

/* The page is there, but not for writing: break the sharing. */
static enum fault_result copy_on_write(struct mm *mm, struct vma *v, ulong *ptep, ulong va)
{
	ulong old = pte_pfn(*ptep), pfn = old;

	if (v->shared) {
		/* Not a copy: the page itself, which mprotect had closed. */
	} else if (old == zero_pfn || mem_map[old].refs != 1 || (mem_map[old].flags & PAGE_RESERVED)) {
		pfn = alloc_user_page();
		if (!pfn)
			return FAULT_OOM;
		if (old == zero_pfn) {
			zero_page(pfn);
			mm->rss++;
		} else {
			copy_page(pfn, old);
		}
	}
	change_pte(ptep, make_pte(pfn << PAGE_SHIFT, rights(v, true)), va, mm->pgd_pa);
	if (pfn != old) {
		/* Others that read the old page must see what is written to the new one. */
		flush_others(mm, va, va + PAGE_SIZE);
		page_put(old);
	}
	return FAULT_OK;
}

static enum fault_result fill_anonymous(struct mm *mm, struct vma *v, ulong *ptep, ulong va, bool write)
{
	if (!write)
		return install(mm, v, ptep, va, zero_pfn, false);
	ulong pfn = alloc_user_page();
	if (!pfn)
		return FAULT_OOM;
	zero_page(pfn);
	return install(mm, v, ptep, va, pfn, true);
}

/* With the file system's lock if `may_fetch`; without it, what is in memory already will do, else FAULT_FETCH. */
static enum fault_result fill_from_file(struct mm *mm, struct vma *v, ulong *ptep, ulong va, bool write, bool may_fetch)
{
	u64 at = v->offset + (va - v->start);

	if (at >= v->inode->size)
		return FAULT_BUS;
	ulong page = inode_page_get(v->inode, at >> PAGE_SHIFT);
	if (!page) {
		if (!may_fetch)
			return FAULT_FETCH;
		page = inode_page(v->inode, at >> PAGE_SHIFT, true);
		if (!page)
			return FAULT_OOM;
		page_get(page);
	}
	if (v->shared)
		return install(mm, v, ptep, va, page, v->prot & PROT_WRITE);
	if (!write)
		return install(mm, v, ptep, va, page, false);
	ulong pfn = alloc_user_page();
	if (pfn)
		copy_page(pfn, page);
	page_put(page);
	return pfn ? install(mm, v, ptep, va, pfn, true) : FAULT_OOM;
}

static enum fault_result fault_in(struct mm *mm, ulong va, bool write, bool exec, bool may_fetch)
{
	struct vma *v = vma_find(mm, va);

	if (!v)
		return FAULT_SEGV;
	if (write ? !(v->prot & PROT_WRITE) : exec ? !(v->prot & PROT_EXEC) && pte_nx : !v->prot)
		return FAULT_SEGV;
	va &= PAGE_MASK;
	ulong *ptep = pte_alloc(mm, va);
	if (!ptep)
		return FAULT_OOM;
	if (*ptep & PTE_P) {
		if (write && !(*ptep & PTE_W))
			return copy_on_write(mm, v, ptep, va);
		/* Already right: what faulted was an old memory of the entry, or another processor was quicker. */
		change_pte(ptep, *ptep, va, mm->pgd_pa);
		return FAULT_OK;
	}
	return v->inode ? fill_from_file(mm, v, ptep, va, write, may_fetch) : fill_anonymous(mm, v, ptep, va, write);
}

enum fault_result mm_fault(struct mm *mm, ulong va, bool write, bool exec)
{
	enum fault_result r;
	bool may_fetch = false;

	current->min_flt++;
	for (;;) {
		mutex_lock(&mm->lock);
		r = fault_in(mm, va, write, exec, may_fetch);
		mutex_unlock(&mm->lock);
		if (may_fetch)
			fs_unlock();
		if (likely(r != FAULT_FETCH))
			return r;
		/* The file system's lock comes before the address space's; meanwhile all may have changed, so look again. */
		fs_lock();
		may_fetch = true;
	}
}
