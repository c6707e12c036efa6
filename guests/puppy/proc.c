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

/* A task without a number: neither found nor counted. */
static struct task *task_bare(void)
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
	t->refs = 1;
	t->state = TASK_NEW;
	t->start_ns = now_ns();
	t->umask = 022;
	t->cpu = this_cpu()->cpu;
	t->affinity = ~0u;
	return t;
}

struct task *task_alloc(void)
{
	struct task *t = task_bare();

	if (!t)
		return NULL;
	prepare_stack(t);
	ulong flags = spin_lock_irqsave(&task_lock);
	t->pid = new_pid();
	t->next_all = all_tasks;
	all_tasks = t;
	spin_unlock_irqrestore(&task_lock, flags);
	return t;
}

struct task *idle_task(int cpu)
{
	struct task *t = task_bare();

	if (t) {
		t->cpu = cpu;
		t->affinity = 1u << cpu;
		t->state = TASK_RUNNING;
		t->on_cpu = true;
		strlcpy(t->comm, "idle", sizeof(t->comm));
	}
	return t;
}

struct task *task_get(pid_t pid)
{
	ulong flags = spin_lock_irqsave(&task_lock);
	struct task *t = task_find(pid);

	if (t)
		t->refs++;
	spin_unlock_irqrestore(&task_lock, flags);
	return t;
}

void task_put(struct task *t)
{
	ulong flags = spin_lock_irqsave(&task_lock);
	bool last = --t->refs == 0;

	spin_unlock_irqrestore(&task_lock, flags);
	if (!last)
		return;
	/* A task that has just died may still be on its way off its stack. */
	for (u32 n = 1; __atomic_load_n(&t->on_cpu, __ATOMIC_ACQUIRE); n++)
		spin_wait(n);
	free_pages_order(va_to_pa((void *)t->stack) >> PAGE_SHIFT, 1);
	kfree(t);
}

/* Its number is free again; the task itself stays while somebody looks at it. */
void task_free(struct task *t)
{
	ulong flags = spin_lock_irqsave(&task_lock);

	for (struct task **p = &all_tasks; *p; p = &(*p)->next_all)
		if (*p == t) {
			*p = t->next_all;
			break;
		}
	spin_unlock_irqrestore(&task_lock, flags);
	task_put(t);
}

u32 task_count(void)
{
	u32 n = 0;
	ulong flags = spin_lock_irqsave(&task_lock);

	for (struct task *t = all_tasks; t; t = t->next_all)
		n++;
	spin_unlock_irqrestore(&task_lock, flags);
	return n;
}

/* ---- Whose address space: task_lock, so that others may look at it ---- */

struct mm *task_mm(struct task *t)
{
	ulong flags = spin_lock_irqsave(&task_lock);
	struct mm *mm = t->mm ? mm_get(t->mm) : NULL;

	spin_unlock_irqrestore(&task_lock, flags);
	return mm;
}

void set_mm(struct mm *mm)
{
	ulong flags = spin_lock_irqsave(&task_lock);

	current->mm = mm;
	mm_switch(mm);
	spin_unlock_irqrestore(&task_lock, flags);
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
