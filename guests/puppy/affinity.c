/* System calls about processors: which one this is, and which ones a task may run on. Masks are one word: MAX_CPUS is small. */
#include "errno.h"
#include "proc.h"

/* Its affinity as others see it: without processors that there are not. */
static u32 visible(struct task *t) { return t->affinity & online_mask; }

long sys_sched_setaffinity(pid_t pid, ulong size, const ulong *user)
{
	ulong mask = 0;

	if (!size || copy_from_user(&mask, user, min(size, sizeof(mask))))
		return size ? -EFAULT : -EINVAL;
	if (!(mask & online_mask))
		return -EINVAL;
	struct task *t = task_get(pid ? pid : current->pid);
	if (!t)
		return -ESRCH;
	set_affinity(t, mask & online_mask);
	task_put(t);
	return 0;
}

/* The number of bytes that it wrote. */
long sys_sched_getaffinity(pid_t pid, ulong size, ulong *user)
{
	if (size < sizeof(ulong) || size % sizeof(ulong))
		return -EINVAL;
	struct task *t = task_get(pid ? pid : current->pid);
	if (!t)
		return -ESRCH;
	ulong mask = visible(t);
	task_put(t);
	return put_user(mask, user) ? -EFAULT : (long)sizeof(mask);
}

/* One node: no memory is nearer than other memory. */
long sys_getcpu(u32 *cpu, u32 *node)
{
	if (cpu && put_user(this_cpu()->cpu, cpu))
		return -EFAULT;
	return node && put_user(0u, node) ? -EFAULT : 0;
}
