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

__attribute__((used)) long do_syscall(struct pt_regs *regs)
{
	ulong nr = regs->orig_ax;
	long r = -ENOSYS;

	if (nr < syscall_count && syscall_table[nr].fn) {
		const struct syscall *call = &syscall_table[nr];
		if (call->fs)
			fs_lock();
#ifdef __x86_64__
		r = call->fn(regs->di, regs->si, regs->dx, regs->r10, regs->r8, regs->r9);
#else
		r = call->fn(regs->bx, regs->cx, regs->dx, regs->si, regs->di, regs->bp);
#endif
		if (call->fs)
			fs_unlock();
	} else {
		pr_debug("%s[%d]: no system call %lu\n", current->comm, current->pid, nr);
	}
	return regs->ax = r;
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

/* ---- Time ---- */

struct timespec {
	long sec, nsec;
};

static struct timespec to_timespec(u64 ns)
{
	return (struct timespec){ ns / NSEC_PER_SEC, ns % NSEC_PER_SEC };
}

static u64 clock_time(int clock, bool *ok)
{
	*ok = true;
	switch (clock) {
	case 0: /* REALTIME, and its coarse sibling */
	case 5:
		return wall_ns();
	case 1: /* MONOTONIC, RAW, COARSE, BOOTTIME */
	case 4:
	case 6:
	case 7:
		return now_ns();
	case 2: /* PROCESS and THREAD CPU time */
	case 3:
		return (current->utime + current->stime) * TICK_NS;
	}
	*ok = false;
	return 0;
}

long sys_clock_gettime(int clock, struct timespec *out)
{
	bool ok;
	struct timespec ts = to_timespec(clock_time(clock, &ok));
	return ok ? put_user(ts, out) : -EINVAL;
}

/* i386's later calls with 64-bit seconds. */
long sys_clock_gettime64(int clock, void *out)
{
	bool ok;
	u64 ns = clock_time(clock, &ok);
	u64 ts[2] = { ns / NSEC_PER_SEC, ns % NSEC_PER_SEC };
	return ok ? copy_to_user(out, ts, sizeof(ts)) : -EINVAL;
}

long sys_clock_getres(int clock, struct timespec *out)
{
	bool ok;
	struct timespec ts = { 0, 1 };
	clock_time(clock, &ok);
	return !ok ? -EINVAL : out ? put_user(ts, out) : 0;
}

long sys_gettimeofday(long *tv, int *tz)
{
	u64 ns = wall_ns();
	long out[2] = { ns / NSEC_PER_SEC, ns % NSEC_PER_SEC / 1000 };
	int zone[2] = { 0, 0 };

	if (tv && copy_to_user(tv, out, sizeof(out)))
		return -EFAULT;
	return tz ? copy_to_user(tz, zone, sizeof(zone)) : 0;
}

long sys_time(long *out)
{
	long t = wall_ns() / NSEC_PER_SEC;
	return out && put_user(t, out) ? -EFAULT : t;
}

static long sleep_ns(u64 deadline, struct timespec *left)
{
	long r = sleep_until(deadline);

	if (r && left) {
		u64 now = now_ns();
		struct timespec ts = to_timespec(deadline > now ? deadline - now : 0);
		if (put_user(ts, left))
			return -EFAULT;
	}
	return r;
}

static long read_timespec(const struct timespec *user, u64 *ns)
{
	struct timespec ts;

	if (copy_from_user(&ts, user, sizeof(ts)))
		return -EFAULT;
	if (ts.sec < 0 || ts.nsec < 0 || (ulong)ts.nsec >= NSEC_PER_SEC)
		return -EINVAL;
	*ns = (u64)min(ts.sec, 1000000000l) * NSEC_PER_SEC + ts.nsec;
	return 0;
}

long sys_nanosleep(const struct timespec *user, struct timespec *left)
{
	u64 ns;
	long r = read_timespec(user, &ns);
	return r ? r : sleep_ns(now_ns() + ns, left);
}

long sys_clock_nanosleep(int clock, int flags, const struct timespec *user, struct timespec *left)
{
	bool ok;
	u64 ns, now = clock_time(clock, &ok);
	long r = read_timespec(user, &ns);

	if (r || !ok)
		return r ? r : -EINVAL;
	if (flags & 1) /* absolute */
		return sleep_ns(now_ns() + (ns > now ? ns - now : 0), NULL);
	return sleep_ns(now_ns() + ns, left);
}

long sys_times(long *out)
{
	struct task *t = current;
	long v[4] = { t->utime, t->stime, t->cutime, t->cstime };

	if (out && copy_to_user(out, v, sizeof(v)))
		return -EFAULT;
	return now_ns() / TICK_NS;
}

long sys_getrusage(int who, long *out)
{
	struct task *t = current;
	bool self = who == 0;
	ulong u = self ? t->utime : t->cutime, s = self ? t->stime : t->cstime;
	long r[18] = { u / HZ, u % HZ * 10000, s / HZ, s % HZ * 10000, [8] = self ? t->min_flt : 0 };

	return copy_to_user(out, r, sizeof(r));
}

/* ---- The machine ---- */

static char host_name[65] = "puppy";

long sys_uname(char *out)
{
	char names[6][65] = { "puppy", "", "1.0" };

	strlcpy(names[1], host_name, 65);
	snprintf(names[3], 65, "#1 %s", pv_ops.name);
	strlcpy(names[4], sizeof(ulong) == 8 ? "x86_64" : "i686", 65);
	strlcpy(names[5], "(none)", 65);
	return copy_to_user(out, names, sizeof(names));
}

long sys_sethostname(const char *name, size_t n)
{
	char copy[sizeof(host_name)] = "";

	if (n >= sizeof(copy))
		return -EINVAL;
	if (copy_from_user(copy, name, n))
		return -EFAULT;
	memcpy(host_name, copy, sizeof(copy));
	return 0;
}

struct sysinfo {
	long uptime;
	ulong loads[3], totalram, freeram, sharedram, bufferram, totalswap, freeswap;
	u16 procs, pad;
	ulong totalhigh, freehigh;
	u32 mem_unit;
	u8 rest[20 - 2 * sizeof(long) - sizeof(u32)];
};

long sys_sysinfo(struct sysinfo *out)
{
	struct sysinfo s = { .uptime = now_ns() / NSEC_PER_SEC, .mem_unit = PAGE_SIZE };

	load_average(s.loads);
	s.totalram = mem_total;
	s.freeram = page_free_count();
	s.procs = task_count();
	return copy_to_user(out, &s, sizeof(s));
}

long sys_syslog(int type, char *buf, int len)
{
	switch (type) {
	case 2: /* read */
	case 3: /* read all */
	case 4: { /* and clear */
		if (len < 0)
			return -EINVAL;
		int n = min(len, log_size()), done = 0;
		char *page = kmalloc(2 * PAGE_SIZE);
		if (!page)
			return -ENOMEM;
		/* At most two pages at once: the newest. */
		done = log_read(page, min(n, 2 * (int)PAGE_SIZE));
		long r = copy_to_user(buf, page, done);
		kfree(page);
		if (type == 4)
			log_clear();
		return r ? r : done;
	}
	case 5:
		log_clear();
		return 0;
	case 6:
	case 7:
		return 0;
	case 8:
		if (len < 1 || len > 8)
			return -EINVAL;
		console_loglevel = len;
		return 0;
	case 9:
	case 10:
		return log_size();
	}
	return -EINVAL;
}

/* POWER_OFF's argument is the exit status that the machine ends with; Linux ignores it. */
long sys_reboot(u32 magic1, u32 magic2, u32 cmd, ulong arg)
{
	if (magic1 != 0xfee1dead ||
	    (magic2 != 672274793 && magic2 != 85072278 && magic2 != 369367448 && magic2 != 537993216))
		return -EINVAL;
	switch (cmd) {
	case 0x4321fedc: /* POWER_OFF */
	case 0xcdef0123: /* HALT */
		filesystems_down();
		pv_ops.power_off("Power down", arg < 256 ? arg : 0);
	case 0x01234567: /* RESTART */
	case 0xa1b2c3d4: /* RESTART2 */
		filesystems_down();
		pv_ops.restart();
	case 0x89abcdef: /* CAD_ON, CAD_OFF */
	case 0:
		return 0;
	}
	return -EINVAL;
}

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
