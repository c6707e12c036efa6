/* fork: a child that is its parent but for the returned 0. Memory is shared until written to (mm/vma.c, mm/fault.c). */
#include "errno.h"
#include "fs.h"
#include "proc.h"

/* clone's flags that mean something here. Sharing memory comes without the rest of what makes threads: the child is a
 * process, with a number, files and signal handlers of its own. After vfork it would be the parent's own stack that the
 * child runs on; a copy does as well, since it is about to exec. */
#define CLONE_VM 0x100
#define CLONE_FILES 0x400
#define CLONE_SIGHAND 0x800
#define CLONE_VFORK 0x4000
#define CLONE_THREAD 0x10000
#define CLONE_SETTLS 0x80000
#define CLONE_PARENT_SETTID 0x100000
#define CLONE_CHILD_CLEARTID 0x200000
#define CLONE_CHILD_SETTID 0x1000000
#define UNSUPPORTED (CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD)

#ifndef __x86_64__
int set_tls(struct task *t, ulong user_desc);
#endif

long do_fork(struct pt_regs *regs, const struct clone_args *args)
{
	struct task *parent = current, *child;
	bool share = (args->flags & (CLONE_VM | CLONE_VFORK)) == CLONE_VM;

	if (args->flags & UNSUPPORTED)
		return -EINVAL;
	child = task_alloc();
	if (!child)
		return -ENOMEM;
	child->mm = share ? mm_get(parent->mm) : mm_fork(parent->mm);
	if (!child->mm) {
		task_free(child);
		return -ENOMEM;
	}
	*task_regs(child) = *regs;
	task_regs(child)->ax = 0;
	if (args->stack)
		task_regs(child)->sp = args->stack;
	child->umask = parent->umask;
	child->affinity = parent->affinity;
	child->cwd = inode_get(parent->cwd);
	memcpy(child->comm, parent->comm, sizeof(child->comm));
#ifdef __x86_64__
	child->fs_base = parent->fs_base;
	child->gs_base = parent->gs_base;
	if ((args->flags & CLONE_SETTLS) && args->tls < TASK_SIZE)
		child->fs_base = args->tls;
#else
	memcpy(child->tls, parent->tls, sizeof(child->tls));
	if (args->flags & CLONE_SETTLS)
		set_tls(child, args->tls);
#endif
	files_fork(child, parent);
	pid_t pid = child->pid;
	/* In memory that both see; what the parent alone should not see is written before there is a child to run. */
	if (args->flags & CLONE_PARENT_SETTID)
		(void)put_user(pid, args->parent_tid);
	if (args->flags & CLONE_CHILD_CLEARTID)
		child->clear_tid = args->child_tid;
	if ((args->flags & CLONE_CHILD_SETTID) && share)
		(void)put_user(pid, args->child_tid);
	ulong flags = spin_lock_irqsave(&task_lock);
	child->pgrp = parent->pgrp;
	child->session = parent->session;
	child->sig_blocked = parent->sig_blocked;
	memcpy(child->sigact, parent->sigact, sizeof(child->sigact));
	child->parent = parent;
	child->sibling = parent->children;
	parent->children = child;
	spin_unlock_irqrestore(&task_lock, flags);
	make_runnable(child);
	return pid;
}
