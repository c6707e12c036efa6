/* exit and wait: a dead process keeps its exit status and its kernel stack until its parent asks. */
#include "errno.h"
#include "fs.h"
#include "printk.h"
#include "proc.h"

static struct waitq child_wait; /* all parents: they look for themselves */

#define WNOHANG 1

/* Tells who shares our memory that we are done with it (set_tid_address), and gives it up. */
static void leave_memory(struct mm *mm)
{
	int *tid = current->clear_tid;

	if (tid && mm && READ_ONCE(mm->users) > 1 && !put_user(0, tid))
		do_futex_wake(tid, 1);
	set_mm(NULL);
	if (mm)
		mm_put(mm);
}

void do_exit(int code)
{
	struct task *t = current;
	struct mm *mm = t->mm;

	if (t == init_task) {
		int status = code & 0x7f ? 128 + (code & 0x7f) : code >> 8 & 0xff;
		if (code & 0x7f)
			pr_warn("init was killed by signal %d\n", code & 0x7f);
		filesystems_down();
		pv_ops.power_off("init has exited", status);
	}
	leave_memory(mm);
	files_close(t, false);
	inode_put(t->cwd);
	t->cwd = NULL;

	/* The parent is looked at and told under the lock: it may be dying too. */
	ulong flags = spin_lock_irqsave(&task_lock);
	while (t->children) {
		struct task *c = t->children;
		t->children = c->sibling;
		c->parent = init_task;
		c->sibling = init_task->children;
		init_task->children = c;
	}
	t->exit_code = code;
	t->state = TASK_ZOMBIE;
	if (t->parent)
		send_signal_locked(t->parent, SIGCHLD);
	spin_unlock_irqrestore(&task_lock, flags);
	/* From here on the parent may find us; it frees us when we are off our stack. */
	wake_all(&child_wait);
	schedule();
	panic("a dead process ran again");
}

/* A zombie child that fits; *any: there are children at all that would. Nobody else takes it: it is ours to wait for. */
static struct task *find_zombie(pid_t pid, bool *any)
{
	struct task *self = current, *c;
	ulong flags = spin_lock_irqsave(&task_lock);

	*any = false;
	for (c = self->children; c; c = c->sibling) {
		if (pid > 0 ? c->pid != pid : pid == 0 ? c->pgrp != self->pgrp : pid < -1 ? c->pgrp != -pid : false)
			continue;
		*any = true;
		if (c->state == TASK_ZOMBIE)
			break;
	}
	spin_unlock_irqrestore(&task_lock, flags);
	return c;
}

long do_wait4(pid_t pid, int *status, int options, void *rusage)
{
	struct task *self = current, *c = NULL;
	bool any;

	int err = wait_event(&child_wait, (c = find_zombie(pid, &any)) || !any || (options & WNOHANG));
	if (err)
		return err;
	if (!c)
		return any ? 0 : -ECHILD;
	pid_t found = c->pid;
	int code = c->exit_code;
	ulong flags = spin_lock_irqsave(&task_lock);
	for (struct task **p = &self->children; *p; p = &(*p)->sibling)
		if (*p == c) {
			*p = c->sibling;
			break;
		}
	self->cutime += c->utime + c->cutime;
	self->cstime += c->stime + c->cstime;
	spin_unlock_irqrestore(&task_lock, flags);
	ulong utime = c->utime, stime = c->stime, min_flt = c->min_flt;
	task_free(c);
	if (status && put_user(code, status))
		return -EFAULT;
	if (rusage) {
		/* struct rusage: user and system time, max RSS, three unused, minor faults … */
		long r[18] = { utime / HZ, utime % HZ * 10000, stime / HZ, stime % HZ * 10000, [8] = min_flt };
		if (copy_to_user(rusage, r, sizeof(r)))
			return -EFAULT;
	}
	return found;
}
