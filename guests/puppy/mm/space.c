/*
 * Address spaces as a whole: made, copied by fork, run in, and taken apart with the last who uses them; and which processors
 * must be told when what they remember of one is not so any more.
 */
#include "areas.h"
#include "fs.h"

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
	struct percpu *pc = this_cpu();
	struct mm *old = pc->active_mm;

	if (old == mm)
		return;
	/* Among its processors before the first translation, and off the old one's list after the last. */
	if (mm && many_cpus())
		__atomic_fetch_or(&mm->cpus, 1u << pc->cpu, __ATOMIC_SEQ_CST);
	pc->active_mm = mm;
	write_cr3(mm ? mm->pgd_pa : va_to_pa(kernel_pgd));
	if (old && many_cpus())
		__atomic_fetch_and(&old->cpus, ~(1u << pc->cpu), __ATOMIC_SEQ_CST);
}

void flush_others(struct mm *mm, ulong start, ulong end)
{
	u32 others = other_cpus(mm);

	if (others)
		pv_ops.flush_tlb_others(mm, others, start, end);
}

/* In an address space that nobody will use again: no processor needs to hear of it, pgd_destroy tells all at once. */
static void release_dead(struct mm *mm, ulong *ptep, ulong va, void *arg)
{
	(void)mm, (void)va, (void)arg;
	page_put(pte_pfn(*ptep));
	*ptep = 0;
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
	vma_free_list(mm->vmas);
	kfree(mm);
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
