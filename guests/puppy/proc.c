/* Tasks: made, found, taken apart. */
#include "fs.h"
#include "printk.h"
#include "proc.h"

struct task *all_tasks, *init_task;
spinlock_t task_lock;
static pid_t last_pid;

void ret_from_fork(void);

struct pt_regs *task_regs(struct task *t) { return (struct pt_regs *)(t->stack + KERNEL_STACK) - 1; }

struct task *task_find(pid_t pid)
{
	struct task *t = all_tasks;

	while (t && t->pid != pid)
		t = t->next_all;
	return t;
}

static pid_t new_pid(void)
{
	do {
		last_pid = last_pid < 32767 ? last_pid + 1 : 2;
	} while (task_find(last_pid));
	return last_pid;
}

/* What switch_to expects on a new task's stack: saved registers, then the address to return to. */
static void prepare_stack(struct task *t)
{
	ulong *sp = (ulong *)task_regs(t);
#ifdef __x86_64__
	const int saved = 6;
#else
	const int saved = 4;
#endif
	*--sp = (ulong)ret_from_fork;
	for (int i = 0; i < saved; i++)
		*--sp = 0;
	t->sp = (ulong)sp;
}

struct task *task_alloc(void)
{
	struct task *t = kzalloc(sizeof(*t));
	ulong stack;

	if (!t)
		return NULL;
	stack = alloc_pages(1);
	if (!stack) {
		kfree(t);
		return NULL;
	}
	t->stack = (ulong)pfn_to_va(stack);
	prepare_stack(t);
	ulong flags = spin_lock_irqsave(&task_lock);
	t->pid = new_pid();
	t->state = TASK_SLEEPING;
	t->start_ns = now_ns();
	t->umask = 022;
	t->next_all = all_tasks;
	all_tasks = t;
	spin_unlock_irqrestore(&task_lock, flags);
	return t;
}

void task_free(struct task *t)
{
	ulong flags = spin_lock_irqsave(&task_lock);

	for (struct task **p = &all_tasks; *p; p = &(*p)->next_all)
		if (*p == t) {
			*p = t->next_all;
			break;
		}
	spin_unlock_irqrestore(&task_lock, flags);
	free_pages_order(va_to_pa((void *)t->stack) >> PAGE_SHIFT, 1);
	kfree(t);
}

/* A task that starts in a kernel function; it becomes a process by executing a program. */
struct task *kernel_task(void (*fn)(void))
{
	struct task *t = task_alloc();

	if (!t)
		panic("no memory for the first process");
	t->kernel_fn = fn;
	t->pgrp = t->session = t->pid;
	t->cwd = inode_get(root_inode);
	memset(task_regs(t), 0, sizeof(struct pt_regs));
	task_regs(t)->orig_ax = -1;
	if (!init_task)
		init_task = t;
	strlcpy(t->comm, "init", sizeof(t->comm));
	make_runnable(t);
	return t;
}
