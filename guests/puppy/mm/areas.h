/* What the files about address spaces know of areas: mm/vma.c, mm/space.c, mm/mmap.c. All with the address space's lock. */
#pragma once
#include "mm.h"
#include "percpu.h"
#include "proc.h"

/* Calls fn for every present entry of [start, end). Tables that do not exist are skipped whole. */
static inline __attribute__((always_inline)) void
each_pte(struct mm *mm, ulong start, ulong end, void (*fn)(struct mm *, ulong *, ulong, void *), void *arg)
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

/* Processors but this one that may remember mm's translations. */
static inline u32 other_cpus(struct mm *mm)
{
	if (!many_cpus())
		return 0;
	/* A processor that is not in the mask now will see what we have just written when it comes. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return READ_ONCE(mm->cpus) & ~(1u << this_cpu()->cpu);
}

int vma_split(struct mm *mm, ulong va); /* an area that reaches over va becomes two */
void vma_insert(struct mm *mm, struct vma *new);
/* Takes the areas of [addr, end) out. They are returned in *dead, to be freed without the lock: their files may need the
 * file system's. */
long vma_take_out(struct mm *mm, ulong addr, ulong end, struct vma **dead);
void vma_free_list(struct vma *v);
