/*
 * System calls: Linux's numbers, meanings and error codes. The registers that carry number and arguments are each
 * architecture's own; the tables are in syscall_32.c and syscall_64.c, the functions beside what they are about, and
 * here those that are about nothing else.
 */
#include "errno.h"
#include "fs.h"
#include "printk.h"
#include "proc.h"
#include "syscalls.h"

extern const struct syscall syscall_table[];
extern const ulong syscall_count;

static inline long make_call(syscall_fn fn, struct pt_regs *regs)
{
#ifdef __x86_64__
	return fn(regs->di, regs->si, regs->dx, regs->r10, regs->r8, regs->r9);
#else
	return fn(regs->bx, regs->cx, regs->dx, regs->si, regs->di, regs->bp);
#endif
}

static __attribute__((noinline)) long fs_call(ulong nr, struct pt_regs *regs)
{
	syscall_fn fn = nr < syscall_count ? syscall_table[nr].fs : NULL;

	if (!fn) {
		pr_debug("%s[%d]: no system call %lu\n", current->comm, current->pid, nr);
		return (long)(regs->ax = (ulong)-ENOSYS);
	}
	fs_lock();
	regs->ax = make_call(fn, regs);
	fs_unlock();
	return regs->ax;
}

__attribute__((used)) long do_syscall(struct pt_regs *regs)
{
	ulong nr = regs->orig_ax;

	if (nr >= syscall_count || !syscall_table[nr].fn)
		return fs_call(nr, regs);
	return regs->ax = make_call(syscall_table[nr].fn, regs);
}

/* ---- Processes ---- */

long sys_exit(int code) { do_exit((code & 0xff) << 8); }
long sys_fork(void) { return do_fork(task_regs(current), &(struct clone_args){ 0 }); }

/* The last two arguments have changed places between the architectures. */
long sys_clone(ulong flags, ulong stack, int *parent_tid, ulong fourth, ulong fifth)
{
#ifdef __x86_64__
	struct clone_args args = { flags, stack, parent_tid, (int *)fourth, fifth };
#else
	struct clone_args args = { flags, stack, parent_tid, (int *)fifth, fourth };
#endif
	return do_fork(task_regs(current), &args);
}

long sys_execve(const char *user_path, char *const *argv, char *const *envp)
{
	char path[256];
	long n = strncpy_from_user(path, user_path, sizeof(path));

	if (n < 0)
		return n;
	if (n == sizeof(path))
		return -ENAMETOOLONG;
	/* On success the registers are the new program's, whose accumulator starts as 0 too. */
	return do_execve(path, argv, envp, true);
}

long sys_wait4(pid_t pid, int *status, int options, void *rusage) { return do_wait4(pid, status, options, rusage); }
long sys_waitpid(pid_t pid, int *status, int options) { return do_wait4(pid, status, options, NULL); }
long sys_getpid(void) { return current->pid; }
long sys_getppid(void)
{
	ulong flags = spin_lock_irqsave(&task_lock);
	long r = current->parent ? current->parent->pid : 0;

	spin_unlock_irqrestore(&task_lock, flags);
	return r;
}
long sys_set_tid_address(int *tid)
{
	current->clear_tid = tid;
	return current->pid;
}
long sys_zero(void) { return 0; } /* user and group numbers, and calls whose success means nothing here */
long sys_sched_yield(void)
{
	schedule();
	return 0;
}

/* A task's own field, which may be another's to read or set: under task_lock. */
static struct task *task_or_self(pid_t pid) { return pid ? task_find(pid) : current; }

long sys_setpgid(pid_t pid, pid_t pgrp)
{
	ulong flags = spin_lock_irqsave(&task_lock);
	struct task *t = task_or_self(pid);
	long r = 0;

	if (!t || (t != current && t->parent != current))
		r = -ESRCH;
	else if (pgrp < 0)
		r = -EINVAL;
	else
		t->pgrp = pgrp ? pgrp : t->pid;
	spin_unlock_irqrestore(&task_lock, flags);
	return r;
}
static long group_of(pid_t pid, bool session)
{
	ulong flags = spin_lock_irqsave(&task_lock);
	struct task *t = task_or_self(pid);
	long r = !t ? -ESRCH : session ? t->session : t->pgrp;

	spin_unlock_irqrestore(&task_lock, flags);
	return r;
}
long sys_getpgid(pid_t pid) { return group_of(pid, false); }
long sys_getpgrp(void) { return current->pgrp; }
long sys_getsid(pid_t pid) { return group_of(pid, true); }
long sys_setsid(void)
{
	if (current->pgrp == current->pid && current != init_task)
		return -EPERM;
	return current->pgrp = current->session = current->pid;
}
long sys_umask(u32 mask)
{
	u32 old = current->umask;
	current->umask = mask & 0777;
	return old;
}

/* ---- Thread-local storage: where %fs (x86_64) or %gs (i386) points ---- */

#ifdef __x86_64__
#define ARCH_SET_GS 0x1001
#define ARCH_SET_FS 0x1002
#define ARCH_GET_FS 0x1003
#define ARCH_GET_GS 0x1004
long sys_arch_prctl(int code, ulong arg)
{
	struct task *t = current;

	switch (code) {
	case ARCH_SET_FS:
	case ARCH_SET_GS:
		if (arg >= TASK_SIZE)
			return -EPERM;
		*(code == ARCH_SET_FS ? &t->fs_base : &t->gs_base) = arg;
		pv_ops.load_tls(t);
		return 0;
	case ARCH_GET_FS:
		return put_user(t->fs_base, (ulong *)arg);
	case ARCH_GET_GS:
		return put_user(t->gs_base, (ulong *)arg);
	}
	return -EINVAL;
}
#else
struct user_desc {
	u32 entry, base, limit, flags; /* 1: 32-bit, bits 1..2 contents, 8: read/exec only, 16: pages, 32: not present, 64: useable */
};
int set_tls(struct task *t, ulong user_desc)
{
	struct user_desc *user = (void *)user_desc, d;

	if (copy_from_user(&d, user, sizeof(d)))
		return -EFAULT;
	if (d.entry == ~0u) {
		for (d.entry = GDT_TLS_MIN; t->tls[d.entry - GDT_TLS_MIN]; d.entry++)
			if (d.entry == GDT_TLS_MIN + 2)
				return -ESRCH;
		if (put_user(d.entry, &user->entry))
			return -EFAULT;
	}
	if (d.entry < GDT_TLS_MIN || d.entry > GDT_TLS_MIN + 2)
		return -EINVAL;
	u64 desc = 0;
	/* Data segments at ring 3, and nothing else; an empty one clears the entry. */
	if (!(d.flags & 32) && (d.base || d.limit)) {
		u64 type = 0xf1 | (d.flags & 8 ? 0 : 2);
		desc = (d.limit & 0xffff) | (u64)(d.base & 0xffffff) << 16 | type << 40 | (u64)(d.limit >> 16 & 15) << 48 |
		       (u64)((d.flags & 1) << 2 | (d.flags & 16) >> 1) << 52 | (u64)(d.base >> 24) << 56;
	}
	t->tls[d.entry - GDT_TLS_MIN] = desc;
	return 0;
}

long sys_set_thread_area(ulong user)
{
	int err = set_tls(current, user);

	if (!err)
		pv_ops.load_tls(current);
	return err;
}
#endif

/* Resource limits: the stack is 8 MiB, open files are NOFILE, the rest is what memory allows. */
long sys_prlimit64(pid_t pid, u32 what, const void *new, u64 *old)
{
	u64 limit = what == 3 ? 8 * MiB : what == 7 ? NOFILE : ~0ull;
	u64 both[2] = { limit, limit };

	if (pid && group_of(pid, false) == -ESRCH)
		return -ESRCH;
	if (new)
		return -EPERM;
	return old ? copy_to_user(old, both, sizeof(both)) : 0;
}

long sys_getrlimit(u32 what, ulong *out)
{
	ulong limit = what == 3 ? 8 * MiB : what == 7 ? NOFILE : ~0ul;
	ulong both[2] = { limit, limit };
	return copy_to_user(out, both, sizeof(both));
}
