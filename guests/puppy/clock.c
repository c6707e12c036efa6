/* The clocks as system calls show them, and sleeping by them. timer.c has what is behind. */
#include "errno.h"
#include "proc.h"

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
