/* fork: a child that is its parent but for the returned 0. Memory is shared until written to (mm/vma.c, mm/fault.c). */
#include "errno.h"
#include "fs.h"
#include "proc.h"

long do_fork(struct pt_regs *regs, ulong stack)
{
	struct task *parent = current, *child = task_alloc();

	if (!child)
		return -ENOMEM;
	child->mm = mm_fork(parent->mm);
	if (!child->mm) {
		task_free(child);
		return -ENOMEM;
	}
	*task_regs(child) = *regs;
	task_regs(child)->ax = 0;
	if (stack)
		task_regs(child)->sp = stack;
	child->pgrp = parent->pgrp;
	child->session = parent->session;
	child->umask = parent->umask;
	child->cwd = inode_get(parent->cwd);
	child->sig_blocked = parent->sig_blocked;
	memcpy(child->sigact, parent->sigact, sizeof(child->sigact));
	memcpy(child->comm, parent->comm, sizeof(child->comm));
#ifdef __x86_64__
	child->fs_base = parent->fs_base;
	child->gs_base = parent->gs_base;
#else
	memcpy(child->tls, parent->tls, sizeof(child->tls));
#endif
	files_fork(child, parent);
	ulong flags = spin_lock_irqsave(&task_lock);
	child->parent = parent;
	child->sibling = parent->children;
	parent->children = child;
	spin_unlock_irqrestore(&task_lock, flags);
	pid_t pid = child->pid;
	make_runnable(child);
	return pid;
}
